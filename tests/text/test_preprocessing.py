import json
import sys

import nltk
import pytest
from nltk.corpus import wordnet
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.tag import PerceptronTagger

from lm_keras import text
from lm_keras.errors import InputError
from lm_keras.text import tagging


@pytest.fixture
def nothing_downloaded(monkeypatch):
    """NLTK as it is after `pip install`: no resource anywhere."""
    monkeypatch.setattr(nltk.data, "path", [])
    tagging._perceptron.cache_clear()
    wordnet._unload()


@pytest.fixture
def nltk_data(monkeypatch, tmp_path):
    """A folder of NLTK's resources for a test to fill; NLTK looks nowhere else."""
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    tagging._perceptron.cache_clear()
    wordnet._unload()
    yield tmp_path
    tagging._perceptron.cache_clear()
    wordnet._unload()


# === Stop words ===


def test_stop_words_without_a_download(nothing_downloaded):
    found = text.words("The cat didn't sit on the mat, and she WON'T either; they’re out.")
    assert text.without_stop_words(found) == ["cat", "sit", "mat", ",", ";", "’", "."]
    assert text.stop_words() == text.stop_words("en") >= {"the", "of", "n't", "not", "don't", "don", "'re", "ca"}
    # words that some lists hold, and that topics are made of
    assert not text.stop_words() & {"won", "computer", "system", "fire", "bill", "interest", "empty"}


def test_chinese_stop_words(nothing_downloaded):
    pytest.importorskip("jieba")
    found = text.words("我们的语言模型是在大量的文本上训练的。", "zh")
    assert text.without_stop_words(found, "zh") == ["语言", "模型", "大量", "文本", "训练", "。"]


def test_stop_words_name_the_download(nothing_downloaded):
    with pytest.raises(InputError, match=r'^language \'de\' needs .* run nltk.download\("stopwords"\)$'):
        text.stop_words("de")
    with pytest.raises(InputError, match="'xx' is not known"):
        text.stop_words("xx")
    with pytest.raises(InputError, match="None is not one"):
        text.stop_words(None)


def test_stop_words_of_nltk_once_they_are_there(nltk_data):
    with pytest.raises(InputError, match="nltk.download"):
        text.stop_words("de")
    lists = nltk_data / "corpora" / "stopwords"
    lists.mkdir(parents=True)
    (lists / "german").write_text("und\noder\nüber\n", encoding="utf-8")
    (lists / "english").write_text("the\nwon't\n", encoding="utf-8")
    assert text.stop_words("de") == {"und", "oder", "über"}  # found without a restart
    assert text.without_stop_words(["Über", "Berg", "und", "Tal"], "de") == ["Berg", "Tal"]
    assert "of" in text.stop_words("en"), "the packaged list, the same on every machine"
    assert text.stop_words("en", downloaded=True) == {"the", "won't", "wo", "n't"}
    assert "的" in text.stop_words("zh")
    with pytest.raises(InputError, match="no stop words for 'zh'"):
        text.stop_words("zh", downloaded=True)
    with pytest.raises(InputError, match="no stop words for 'pl'"):
        text.stop_words("pl")


# === Stems and lemmas ===


def test_stems(nothing_downloaded):
    assert text.stem(["Running", "runs", "generously", "happy", "cats"]) == ["run", "run", "generous", "happi", "cat"]
    assert text.stem(["Häuser", "Autobahnen"], "de") == ["haus", "autobahn"]
    assert text.stem(["语言", "模型"], "zh") == ["语言", "模型"]
    assert text.stem([]) == []
    with pytest.raises(InputError, match="no stemmer for 'pl'"):
        text.stem(["psy"], "pl")
    with pytest.raises(InputError, match="no stemmer for 'porter'"):
        text.stem(["dogs"], "porter")


def test_lemmas_name_the_download(nothing_downloaded):
    with pytest.raises(InputError, match=r'^lemmas need .* run nltk.download\("wordnet"\)$'):
        text.lemmas(["mice"])
    assert text.lemmas(["老鼠", ("跑", "v")], "zh") == ["老鼠", "跑"]
    with pytest.raises(InputError, match="of en and zh only, not of 'de'"):
        text.lemmas(["Mäuse"], "de")


def test_lemmas_of_a_small_wordnet(nltk_data):
    folder = nltk_data / "corpora" / "wordnet"
    folder.mkdir(parents=True)
    for name in WordNetCorpusReader._FILES:
        (folder / name).write_text("", encoding="utf-8")
    for part, letter, words in (
        ("noun", "n", ["dog", "mouse", "left"]),
        ("verb", "v", ["leave", "dog"]),
        ("adj", "a", ["good"]),
    ):
        lines = [f"{word} {letter} 1 0 1 0 00000001\n" for word in words]
        (folder / f"index.{part}").write_text("".join(lines), encoding="utf-8")
    (folder / "noun.exc").write_text("mice mouse\n", encoding="utf-8")
    (folder / "verb.exc").write_text("left leave\n", encoding="utf-8")
    (folder / "adj.exc").write_text("better good\n", encoding="utf-8")
    assert text.lemmas(["dogs", "mice", "left", "Zebras", "better"]) == ["dog", "mouse", "left", "Zebras", "better"]
    tagged = [("left", "VBD"), ("left", "NN"), ("dogging", "VBG"), ("better", "JJR"), ("mice", "MD"), (".", ".")]
    assert text.lemmas(tagged) == ["leave", "left", "dogging", "good", "mice", "."]


# === Parts of speech ===


@pytest.mark.parametrize(("language", "name"), [("en", "eng"), ("ru", "rus")])
def test_tags_name_the_download(nothing_downloaded, language, name):
    with pytest.raises(InputError, match=rf'run nltk.download\("averaged_perceptron_tagger_{name}"\)$') as error:
        text.tags(["dogs"], language)
    assert "\n" not in str(error.value)


def test_tags_of_a_small_tagger(nltk_data):
    sentences = [
        [("dogs", "NNS"), ("bark", "VBP")],
        [("the", "DT"), ("dogs", "NNS"), ("see", "VBP"), ("the", "DT"), ("cat", "NN")],
    ]
    small = PerceptronTagger(load=False)
    small.train(sentences, nr_iter=8)
    folder = nltk_data / "taggers" / "averaged_perceptron_tagger_eng"
    folder.mkdir(parents=True)
    for name, part in zip(small.param_files("eng"), small.encode_json_obj(), strict=True):
        (folder / name).write_text(json.dumps(part), encoding="utf-8")
    assert text.tags(["the", "dogs", "bark"]) == [("the", "DT"), ("dogs", "NNS"), ("bark", "VBP")]


def test_chinese_tags_need_no_download(nothing_downloaded):
    pytest.importorskip("jieba")
    sentence = text.words("我爱北京天安门，王小明也爱。", "zh")
    found = dict(text.tags(sentence, "zh"))
    assert list(found) == list(dict.fromkeys(sentence))
    assert {"我": "r", "爱": "v", "北京": "ns", "天安门": "ns", "，": "x"}.items() <= found.items()
    assert text.tags(["", " "], "zh") == [("", "x"), (" ", "x")]
    with pytest.raises(InputError, match="not for 'de'"):
        text.tags(["Hunde"], "de")


# === What does not fit ===


def test_input_that_does_not_fit():
    for function in (text.stem, text.lemmas, text.tags, text.without_stop_words):
        with pytest.raises(InputError, match=r"a list of words, not a text: give lk.text.words\(text\)"):
            function("a text")
    for function in (text.stem, text.tags, text.without_stop_words, text.lemmas):
        with pytest.raises(InputError, match="got None"):
            function(None)
        with pytest.raises(InputError, match="got 3"):
            function(["a", 3])
    with pytest.raises(InputError, match=r"pairs of lk.text.tags, got \('a',\)"):
        text.lemmas([("a",)])


def test_chinese_tags_need_jieba(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(InputError, match=r"pip install lm_keras\[zh\]"):
        text.tags(["好"], "zh")
