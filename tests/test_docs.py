"""What the documents say of the code is there."""

import re
import subprocess

import pytest
from paths import ROOT

import lm_keras as lk

PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]


TESTS = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
TARGETS = re.compile(r"\]\(([\w./-]+)\)")


def test_pages_name_tests_and_files():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert len(TESTS.findall(text)) > 20 and len(TARGETS.findall(text)) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_and_files_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    for path, test in TESTS.findall(text):
        assert (ROOT / path).is_file(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"
    for target in TARGETS.findall(text):
        assert (page.parent / target).exists(), target


def test_every_equation_has_its_test():
    rows = [line for line in (ROOT / "docs/equations.md").read_text(encoding="utf-8").splitlines() if "| `" in line]
    assert len(rows) > 15
    assert all("`tests/" in row or "as for" in row for row in rows)


def names_of(text):
    """The dotted names of the library in a page, as tuples: lk.a.b, lm_keras.a.b, and `models.gpt2.SIZES` alone."""
    for name in re.findall(r"\b(?:lk|lm_keras)((?:\.[A-Za-z]\w*)+)", text):
        yield tuple(name[1:].split("."))
    for name in re.findall(r"`((?:data|embeddings|generation|models|serving|tasks|text|training)(?:\.\w+)+)", text):
        yield tuple(name.split("."))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_that_a_page_uses_are_there(page):
    for name in set(names_of(page.read_text(encoding="utf-8"))):
        found = lk
        for part in name:
            if part in ("py", "git", "config"):  # a file
                break
            assert hasattr(found, part), ".".join(name)
            found = getattr(found, part)


def test_modules_are_there_without_an_import_of_their_own(warm_python):
    code = "import lm_keras as lk; assert lk.models.gpt2.SIZES['gpt2']['num_layers'] == 12; lk.models.bert.SIZES"
    subprocess.run([warm_python, "-c", code], check=True, capture_output=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lk.models.nothing
