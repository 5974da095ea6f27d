"""`lm-keras vectors`: its figures are those of the functions, whatever the format of the file."""

import gzip
import hashlib
import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from gensim.models import FastText
from gensim.models.fasttext import save_facebook_model
from word_tests import half_right, made, read_pairs, read_questions

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.data.corpora.registry import CORPORA

QUESTIONS = read_questions(each=12)


@pytest.fixture(autouse=True)
def known_sets(monkeypatch):
    """A twelfth of a second instead of two: some questions of each section."""
    sets = {name: read_pairs(name) for name in ("wordsim353", "simlex999")} | {"word-analogies": QUESTIONS}
    monkeypatch.setattr(lk.data, "load", lambda name, split: {"all": sets[name]}[split])


@pytest.fixture(scope="module")
def vectors():
    return half_right([*QUESTIONS, *(("pairs", a, b, a, b) for a, b, _ in read_pairs("wordsim353")[:80])])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, vectors):
    folder = tmp_path_factory.mktemp("vectors")
    for name, kind in {"glove.txt": "glove", "word2vec.vec": "word2vec", "word2vec.bin": "word2vec-binary"}.items():
        lk.embeddings.save_vectors(vectors, folder / name, kind)
    with gzip.open(folder / "glove.txt.gz", "wb") as file:
        file.write((folder / "glove.txt").read_bytes())
    with zipfile.ZipFile(folder / "both.zip", "w") as archive:
        archive.write(folder / "glove.txt", "a.txt")
        archive.writestr("b.txt", "the 1 2\n")
    return folder


def output(capsys, *arguments):
    assert main(["vectors", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_figures_are_those_of_the_functions(capsys, folder, vectors):
    told = json.loads(output(capsys, folder / "glove.txt", "--json"))
    assert told["words"] == len(vectors) and told["dim"] == vectors.vector_size
    pairs = lk.embeddings.word_similarity(vectors, read_pairs("wordsim353"))
    assert told["wordsim353"] == vars(pairs) and pairs.pairs > 20
    for method in ("3cosadd", "3cosmul"):
        found, part = lk.embeddings.analogies(vectors, QUESTIONS, method), told["analogies"][method]
        assert part["total"] == {"accuracy": found.total.accuracy, **vars(found.total)}
        assert list(part["sections"]) == list(found.sections)
        assert part["sections"]["currency"]["correct"] == found.sections["currency"].correct
        assert part["syntactic"]["accuracy"] == found.syntactic.accuracy


def test_the_table(capsys, folder, vectors):
    lines = output(capsys, folder / "glove.txt").splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line}
    pairs = lk.embeddings.word_similarity(vectors, read_pairs("simlex999"))
    assert rows["SimLex-999"] == [f"{pairs.spearman:.4f}", str(pairs.pairs), str(pairs.missed)]
    add, mul = (lk.embeddings.analogies(vectors, QUESTIONS, method) for method in ("3cosadd", "3cosmul"))
    for name in ("semantic", "syntactic", "total"):
        one, two = getattr(add, name), getattr(mul, name)
        assert rows[name] == [f"{one.accuracy:.1%}", f"{two.accuracy:.1%}", str(one.questions), str(one.missed)]
    assert list(rows)[-17:-3] == list(add.sections)


def test_every_format(capsys, folder):
    expected = json.loads(output(capsys, folder / "glove.txt", "--json"))
    runs = [["glove.txt.gz"], ["word2vec.vec"], ["word2vec.vec", "--format", "word2vec"]]
    runs += [["word2vec.bin"], ["word2vec.bin", "--format", "word2vec"], ["both.zip", "--member", "a.txt"]]
    for name, *more in runs:
        told = json.loads(output(capsys, folder / name, *more, "--json"))
        assert told == expected | {"file": str(folder / name)}


def test_a_known_set_by_its_name(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LM_KERAS_DATA", str(tmp_path))
    path = tmp_path / "glove-6b-50d/glove.6B.50d.top20000.txt.gz"
    path.parent.mkdir()
    shutil.copy(folder / "glove.txt.gz", path)
    expected = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    monkeypatch.setitem(CORPORA, "glove-6b-50d", replace(CORPORA["glove-6b-50d"], sha256=expected))
    assert json.loads(output(capsys, "glove-6b-50d", "--json"))["file"] == str(path)


def test_models_of_fasttext(capsys, tmp_path):
    words = sorted({word for _, *asked in QUESTIONS[:24] for word in asked})
    model = FastText([words] * 2, vector_size=4, min_count=1, bucket=50, epochs=1, seed=1, workers=1)
    save_facebook_model(model, str(tmp_path / "m.bin"))
    for more in ([], ["--format", "fasttext"]):
        told = json.loads(output(capsys, tmp_path / "m.bin", "--json", *more))
        assert told["analogies"]["3cosadd"]["total"]["questions"] == 24
        assert told["wordsim353"]["spearman"] is None  # JSON has no nan
    assert "WordSim-353" in output(capsys, tmp_path / "m.bin")


def refused(capsys, *arguments):
    assert main(["vectors", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_bad_input_is_one_line(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LM_KERAS_DATA", str(tmp_path))
    monkeypatch.setattr("lm_keras.data.corpora.registry.cache_folder", lambda: tmp_path)
    assert "does not exist" in refused(capsys, tmp_path / "nothing.txt")
    assert "'b.txt': name one as member= (on the command line: --member)" in refused(capsys, folder / "both.zip")
    assert "glove-6b-50d is not on this machine" in refused(capsys, "glove-6b-50d")
    assert "is not the number of words" in refused(capsys, folder / "glove.txt.gz", "--format", "fasttext")
    shutil.copy(folder / "word2vec.bin", tmp_path / "cut.bin")
    with (tmp_path / "cut.bin").open("rb+") as file:
        file.truncate(5_000)
    assert "get it again" in refused(capsys, tmp_path / "cut.bin")
    lk.embeddings.save_vectors(made(["今天", "天气"], np.eye(2)), tmp_path / "zh.txt", "glove")
    assert "none of the English words" in refused(capsys, tmp_path / "zh.txt")


def test_what_is_wrong_with_a_file_is_shown(capsys, folder, tmp_path):
    whole = (folder / "glove.txt").read_bytes()
    first = whole.split(b" ", 1)[0]
    (tmp_path / "v.txt").write_bytes(
        whole + b"caf\xe9 " + whole.split(b"\n", 1)[0].split(b" ", 1)[1] + b"\n" + whole[:-1]
    )
    assert main(["vectors", str(tmp_path / "v.txt"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["words"] == whole.count(b"\n") + 1
    lines = captured.err.splitlines()
    assert len(lines) == 3 and all(line.startswith(f"lm-keras: warning: {tmp_path}") for line in lines)
    assert "nothing ends the last line" in lines[0] and "1 words are not UTF-8" in lines[1]
    assert f"words come again, the first is {first.decode()!r}" in lines[2]


def test_the_format_of_a_binary_file_without_a_zero_byte(capsys, folder, tmp_path, vectors):
    rows = np.frombuffer(vectors.vectors.astype("<f4").tobytes().replace(b"\0", b"\1"), "<f4").reshape(
        len(vectors), -1
    )
    lk.embeddings.save_vectors(made(list(vectors.index_to_key), rows), tmp_path / "v", "word2vec-binary")
    assert b"\0" not in (tmp_path / "v").read_bytes()
    assert json.loads(output(capsys, tmp_path / "v", "--json"))["words"] == len(vectors)
