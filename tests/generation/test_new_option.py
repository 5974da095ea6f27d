"""A new option of sampling is a few lines in two files and reaches everything: done on a copy of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import small_models
from paths import ROOT

import lm_keras as lk

PACKAGE = Path(lk.__file__).parent
DOUBLE = ROOT / "tests" / "support" / "double.py"

# The steps that lm_keras/generation/config.py names: {file: {the line before which: what is written there}}.
STEPS = {
    "generation/config.py": {
        "    repetition_penalty: float = option(": """\
    epsilon: float = option(
        0.0, "0 keeps all words", least=0, most=1, signatures=("sample",), examples=(0.0, 0.1, 0.01, 1.0)
    )
""",
        "    repetition_penalty: float\n": "    epsilon: float\n",
        "    length_penalty: float | Sequence[float]\n": "    epsilon: float | Sequence[float]\n",
    },
    "generation/sampling.py": {
        "def sample(": '''\
@sampling_filter
def epsilon(p: tf.Tensor, scaled: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Hewitt et al. 2022: words of at least that probability."""
    return p >= value


''',
    },
}

# In a fresh process, with the changed package: what each way of writing a text gives with `epsilon=1`.
SCRIPT = """
import contextlib, io, json, subprocess, sys
import lm_keras as lk
from small_models import tiny_lm
from lm_keras.cli.parser import main
from lm_keras.serving import Client
from lm_keras.serving.export import session

lm, options = tiny_lm("lstm", lk.text.WordTokenizer.train(["a b c d e f g h"])), {"max_new_tokens": 12, "seed": 3}
found = {name: lm.generate("a b", **options, **more)[0].text for name, more in
         {"greedy": {"temperature": 0}, "free": {}, "zero": {"epsilon": 0}, "generate": {"epsilon": 1}}.items()}
found["config"] = lm.generate("a b", lk.GenerationConfig(epsilon=1, **options))[0].text
found["stream"] = "".join(lm.stream("a b", epsilon=1, **options))
lm.save("run")
with contextlib.redirect_stdout(io.StringIO()) as printed:
    main("generate run --max-new-tokens 12 --seed 3 --epsilon 1 --prompt".split() + ["a b"])
found["command line"] = printed.getvalue().removeprefix("a b").rstrip("\\n")
version = lk.export(lm, "saved_models/lm")
found["check"] = lk.check(version)
models = json.dumps({"models": {"lm": "saved_models/lm"}, "labels": {}})
command = [sys.executable, "-I", sys.argv[1], session.__file__, models]
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as double:
    with Client(f"http://127.0.0.1:{json.loads(double.stdout.readline())['rest']}", "lm") as client:
        found["inputs"] = sorted(client.metadata()["sample"]["inputs"])
        found["client"], found["client without"] = (
            client.sample("a b", **options, **more)[0].text for more in ({"epsilon": 1}, {}))
        rows = client.sample(["a b", "a b"], max_new_tokens=12, seed=[3, 3], epsilon=[1, 0])
        found["a value a row"] = [one.text for one in rows]
    double.stdin.close()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the script prints, with a copy of the package to which the steps were done."""
    pytest.importorskip("tensorflow_serving.apis", reason="no tensorflow-serving-api")
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "lm_keras", ignore=shutil.ignore_patterns("__pycache__"))
    for name, lines in STEPS.items():
        path = folder / "lm_keras" / name
        source = path.read_text(encoding="utf-8")
        for before, added in lines.items():
            assert source.count(before) == 1, before
            source = source.replace(before, added + before)
        path.write_text(source, encoding="utf-8")
    paths = os.pathsep.join([str(folder), str(Path(small_models.__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(DOUBLE)], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("way", ["generate", "config", "stream", "command line", "client"])
def test_a_new_option_reaches(found, way):
    """No word has that probability, so that the best one is taken each time."""
    assert found[way] == found["greedy"] != found["free"] == found["zero"]


def test_an_export_has_it_as_an_input_and_passes_its_check(found):
    assert found["check"] == []
    assert {"epsilon", "max_new_tokens", "prompt", "seed", "temperature", "top_k", "top_p"} <= set(found["inputs"])
    assert found["client without"] == found["free"]
    assert found["a value a row"] == [found["greedy"], found["free"]]
