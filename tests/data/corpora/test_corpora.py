"""Named corpora: the embedded ones in full, the others with small stand-ins for their files."""

import gzip
import hashlib
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

import lm_keras as lk
from lm_keras.data.corpora import registry
from lm_keras.data.corpora.registry import CORPORA, fetch, load, locate
from lm_keras.errors import InputError

CONTENT = {
    "ptb": "".join(f" sentence <unk> {i} \n" for i in range(20)),
    "tinyshakespeare": "First Citizen:\nSpeak, speak.\n\n" * 30,
    "hongloumeng": " 第一回　甄士隐\n    此开卷第一回也。\n" * 30,
    "shuihu": "\r\n话说大宋仁宗天子在位。\r\n" * 30,
    "tang-poems": "".join(
        f"帝京篇\t太宗皇帝\t秦川雄帝宅{i}。\n新樂府\t美撥亂\t白居易\t七德舞{i}。\n題\t韓氏\t\n" for i in range(10)
    ),
    # Windows-1252, as the authors' files
    "mr": b"".join(b"a good film \x97 of %d sorts . \n\nclich\xe9s %d .\n" % (i, i) for i in range(10)),
    "sms-spam": "".join(f"ham\tsee you at {i}\nspam\tWIN £10{i} now\n" for i in range(10)),
}


@pytest.fixture(autouse=True)
def no_folders(tmp_path, monkeypatch):
    monkeypatch.delenv("LM_KERAS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """A data folder with the layout of the real one; the sha256 in the table are those of the stand-ins."""
    for name, content in CONTENT.items():
        corpus = CORPORA[name]
        folder = tmp_path / "data" / corpus.folder
        folder.mkdir(parents=True, exist_ok=True)
        content = content if isinstance(content, bytes) else content.encode()
        for file in corpus.sha256:
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(CORPORA, name, replace(corpus, sha256=dict.fromkeys(corpus.sha256, digest)))
    monkeypatch.setenv("LM_KERAS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_table():
    assert lk.data.available() == [
        *("wiki-excerpt", "lee-news", "ptb", "tinyshakespeare", "hongloumeng", "shuihu", "tang-poems"),
        *("mr", "sms-spam", "ag-news", "chnsenticorp-hotel", "clinc150", "semeval2010-task8"),
        *("hate-offensive", "hatecheck"),
        *("conll2003", "msra-ner", "conll04", "squad2-cs224n-dev", "xquad", "cmu-qa", "babi"),
        *("dailydialog", "cornell-pairs", "chatterbot-corpus", "dialogsum", "scitldr", "lcsts-part3"),
        *(
            "multi30k",
            "tatoeba-cmn",
            "hyporadise-nbest",
            "spoken-nbest",
            "piqa",
            "lambada",
            "blimp",
            "wordsim353",
            "simlex999",
            "word-analogies",
        ),
        *("glove-6b-50d", "gpt2-bpe"),
    ]
    for corpus in CORPORA.values():
        assert corpus.description and corpus.licence and corpus.source and (corpus.read or corpus.read_by)
        assert "\n" not in lk.data.describe(corpus.name)
        assert corpus.embedded or (set(corpus.files) == set(corpus.splits))
        names = [[files] if isinstance(files, str) else files for files in corpus.files.values()]
        assert {file for files in names for file in files} == set(corpus.sha256)
        assert all(len(digest) == 64 for digest in corpus.sha256.values())


def test_lee_news():
    texts = load("lee-news", "all")
    assert len(texts) == 300
    assert texts[0].startswith("Hundreds of people have been forced to vacate their homes")
    train, valid = load("lee-news"), load("lee-news", "validation")
    assert (len(train), len(valid)) == (272, 28), "a tenth, less two copies of training items"
    assert not set(train) & set(valid) and sorted(train + valid) == sorted(texts)


def test_sets_in_a_data_folder(stand_ins):
    assert load("ptb", "test")[3] == "sentence <unk> 3"
    assert [len(load("ptb", split)) for split in CORPORA["ptb"].splits] == [20, 20, 20]
    for name in ("tinyshakespeare", "hongloumeng", "shuihu"):
        (train,), (valid,), (whole,) = (load(name, split) for split in ("train", "validation", "all"))
        assert train + valid == whole == CONTENT[name].replace("\r\n", "\n")
        assert abs(len(train) - 0.9 * len(whole)) < 0.05 * len(whole)
    assert len(load("tinyshakespeare")[0]) == int(0.9 * len(CONTENT["tinyshakespeare"])), "as in nanoGPT"
    assert load("tang-poems", "all") == [f"{poem}{i}。" for i in range(10) for poem in ("秦川雄帝宅", "七德舞")]
    assert (len(load("tang-poems")), len(load("tang-poems", "validation"))) == (18, 2)
    assert locate("ptb") == fetch("ptb") == stand_ins / "ptb"
    assert locate("shuihu") == stand_ins / "hongloumeng" / "shuihu.txt.gz"


def test_labelled_sets(stand_ins):
    reviews, messages = load("mr", "all"), load("sms-spam", "all")
    texts = [text for i in range(10) for text in (f"a good film \u2014 of {i} sorts .", f"clichés {i} .")]
    assert reviews == [(text, label) for label in (0, 1) for text in texts]
    assert messages == [record for i in range(10) for record in ((f"see you at {i}", 0), (f"WIN £10{i} now", 1))]
    assert (reviews[0].text, reviews[-1].label) == (texts[0], 1)
    assert [lk.data.classes(name) for name in ("mr", "sms-spam", "ptb")] == [
        ("negative", "positive"),
        ("ham", "spam"),
        (),
    ]
    assert (len(load("sms-spam")), len(load("sms-spam", "validation"))) == (18, 2)
    assert load("mr", "validation") == [], "every text is in the other file too, with the other label"
    (stand_ins / "mr" / "rt-polarity.pos.gz").unlink()
    with pytest.raises(InputError, match=r"mr is not on this machine .*missing: mr/rt-polarity.pos\); run"):
        load("mr")


def test_plain_files_and_the_cache_folder(stand_ins, monkeypatch):
    path = stand_ins / "ptb" / "ptb.test.txt"
    path.write_text(CONTENT["ptb"])
    (stand_ins / "ptb" / "ptb.test.txt.gz").unlink()
    assert len(load("ptb", "test")) == 20
    monkeypatch.delenv("LM_KERAS_DATA")
    assert locate("ptb") is None
    registry.cache_folder().parent.mkdir(parents=True, exist_ok=True)
    stand_ins.rename(registry.cache_folder())
    assert len(load("ptb", "test")) == 20


def test_a_changed_or_damaged_file_is_refused(stand_ins):
    path = stand_ins / "ptb" / "ptb.test.txt.gz"
    path.write_bytes(gzip.compress(b"something else\n"))
    for call in (lambda: load("ptb", "test"), lambda: fetch("ptb")):
        with pytest.raises(
            InputError, match="test.txt.gz: not the ptb that is expected .*; delete it and get it again"
        ):
            call()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read .*; delete it and get it again from https://catalog.ldc"):
        load("ptb", "test")
    path = stand_ins / "hongloumeng" / "shuihu.txt.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(InputError, match="cannot be read .*; delete it and run lm-keras data fetch shuihu"):
        fetch("shuihu")


def test_a_file_that_expands_without_end_is_refused(stand_ins, monkeypatch):
    monkeypatch.setattr(registry, "MAX_SIZE", 2**20)
    path = stand_ins / "ptb" / "ptb.test.txt.gz"
    path.write_bytes(gzip.compress(bytes(2**26)))
    for _ in range(2):
        tracemalloc.start()
        with pytest.raises(InputError, match="more than 1,048,576 bytes, so not ptb; delete it and get it again"):
            load("ptb", "test")
        assert tracemalloc.get_traced_memory()[1] < 2**24  # not the 64 MB of the file
        tracemalloc.stop()
        path.unlink(missing_ok=True)
        path.with_suffix("").write_bytes(bytes(2**26))  # and not compressed


def test_errors_say_what_to_do(monkeypatch):
    for call, says in [
        (lambda: load("enwik8"), "unknown corpus 'enwik8'; known are wiki-excerpt"),
        (lambda: load("Lee_News"), "unknown corpus 'Lee_News'; did you mean 'lee-news'. Known are wiki-excerpt"),
        (lambda: load(["ptb"]), r"unknown corpus \['ptb'\]"),
        (lambda: load("ptb", "dev"), "no split 'dev'; choose from train, validation, test"),
        (lambda: load("ptb"), "LDC.*ptb/ptb.train.txt"),
        (lambda: load("babi"), r"\(its two archives .*tasks_1-20_v1-2.*babi/babi_en_1k.tar.xz, babi/babi_en-10k"),
        (lambda: load("gpt2-bpe"), r"holds no texts; .*BPETokenizer.from_files\(folder / 'encoder.json'"),
        (lambda: load("glove-6b-50d"), "holds no texts; .*load_glove.lk.data.fetch.'glove-6b-50d'"),
        (lambda: fetch("ptb"), "cannot be fetched .*LDC.*catalog.ldc"),
        (lambda: fetch("tang-poems"), "58 JSON files"),
        (lambda: load("shuihu"), "LM_KERAS_DATA is not set.*lm-keras data fetch shuihu"),
        (lambda: fetch("nothing"), "unknown corpus"),
    ]:
        with pytest.raises(InputError, match=says) as error:
            call()
        assert "\n" not in str(error.value)
    monkeypatch.setenv("LM_KERAS_DATA", "/no/such/folder")
    with pytest.raises(InputError, match="LM_KERAS_DATA is /no/such/folder"):
        load("tinyshakespeare")
    for nowhere in ("~nobody-of-this-name/data", "x" * 5000):
        monkeypatch.setenv("LM_KERAS_DATA", nowhere)
        with pytest.raises(InputError, match="ptb is not on this machine"):
            load("ptb")


def test_importing_the_package_loads_neither_tensorflow_nor_gensim():
    """TextDataset is a tf.data.Dataset."""
    code = (
        "import sys, lm_keras.data as data; names = [getattr(data, n) for n in data.__all__ if n != 'TextDataset'];"
        "print([m for m in ('tensorflow', 'gensim', 'urllib.request') if m in sys.modules])"
    )
    root = Path(lk.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert run.stdout.strip() == "[]", run.stderr
