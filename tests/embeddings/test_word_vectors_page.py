"""The page on word vectors runs from top to bottom, on vectors and a text of a few words."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

import lm_keras as lk

PAGE = ROOT / "docs/word_vectors.md"
TEXT = "The king drinks water with ice. A man and a woman see the queen. She is great, he is dull.\n"
MODELS = ("trained", "frozen", "late")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The two files that the page needs, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text(TEXT * 40, encoding="utf-8")
    asked = {word for some in lk.embeddings.WEAT_TESTS["maths-arts"] for word in some}
    words = sorted({*lk.text.words(TEXT.lower()), "film", "start", "end", "waste", "time", *asked})
    rows = np.random.default_rng(0).normal(0, 0.64, (len(words), 50))
    lines = (f"{word} {' '.join(f'{number:.5f}' for number in row)}\n" for word, row in zip(words, rows, strict=True))
    with zipfile.ZipFile(tmp_path / "glove.6B.zip", "w") as archive:
        archive.writestr("glove.6B.50d.txt", "".join(lines))
        archive.writestr("glove.6B.100d.txt", "")


def test_the_page_runs_from_top_to_bottom(files):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)  # noqa: S102
    assert names["coverage"].found > 15 and len(names["few"].index_to_key) < len(names["vectors"].index_to_key)
    assert abs(names["start"].std() - 0.25 / 3**0.5) < 1e-6 and not names["frozen"].get_layer("embedding").trainable
    moved = {
        name: np.abs(names[name].get_layer("embedding").get_weights()[0] - names["start"]).max() for name in MODELS
    }
    assert moved["frozen"] == 0 < moved["late"] < moved["trained"]
    assert [list(some.index_to_key) for some in names["again"]] == [names["own"].index_to_key] * 2
    assert not names["found"].missed and Path("words.png").stat().st_size > 1000
