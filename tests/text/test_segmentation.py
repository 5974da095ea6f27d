import marshal
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given, settings
from texts import nltk_words, paragraphs, sentences, texts, tricky_texts

from lm_keras.errors import InputError
from lm_keras.text import segmentation, words
from lm_keras.text import sentences as split
from lm_keras.text.tokenizers.word.treebank import Treebank


def test_english_sentences_keep_abbreviations_together():
    text = (
        "Dr. Smith of the U.S. Navy met Mrs. Jones, e.g. at St. Mary's, in Jan. 2020. He was late. "
        "Was it Prof. J. S. Bach, i.e. the composer? No. They left at 5 p.m. on Oct. 3rd."
    )
    assert split(text) == [
        "Dr. Smith of the U.S. Navy met Mrs. Jones, e.g. at St. Mary's, in Jan. 2020.",
        "He was late.",
        "Was it Prof. J. S. Bach, i.e. the composer?",
        "No.",
        "They left at 5 p.m. on Oct. 3rd.",
    ]


def test_words_are_those_of_nltk_on_each_sentence():
    assert words("They saw them. Don't go!") == ["They", "saw", "them", ".", "Do", "n't", "go", "!"]
    for paragraph in paragraphs()[::20]:
        assert words(paragraph) == [word for s in split(paragraph) for word in nltk_words(s)]
    assert split("") == [] == words("")


def test_fast_tokenizer_equals_nltk_on_the_corpora():
    fast = Treebank()
    for texts_ in (sentences()[::3], paragraphs()[::3], ["\n".join(paragraphs()[:200])]):
        assert [fast(text) for text in texts_] == [nltk_words(text) for text in texts_]


_shared = Treebank()  # remembers across examples, as in use


def test_fast_tokenizer_equals_nltk_on_tricky_text():
    for text in [*tricky_texts(), " .\n", 'a \'b\n\' "c"\n"d" ."\n )']:
        assert _shared(text) == nltk_words(text), repr(text)


@settings(max_examples=500)
@given(texts, texts)
def test_fast_tokenizer_equals_nltk_on_any_text(before, text):
    fast = Treebank()
    fast(before)
    assert fast(text) == nltk_words(text)


def test_fast_tokenizer_forgets_before_memory_is_full(monkeypatch):
    monkeypatch.setattr("lm_keras.text.tokenizers.word.treebank._MAX_PIECES", 50)
    fast = Treebank()
    for text in sentences()[:200]:
        assert fast(text) == nltk_words(text)
    assert len(fast._known) < 200


@pytest.fixture
def other_punkt(tmp_path, monkeypatch):
    """An NLTK folder with models that know one abbreviation, "late.", and no other."""
    for language in ("english", "german"):
        folder = tmp_path / "tokenizers" / "punkt_tab" / language
        folder.mkdir(parents=True)
        (folder / "abbrev_types.txt").write_text("late\n")
        for name in ("collocations.tab", "sent_starters.txt", "ortho_context.tab"):
            (folder / name).write_text("")
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    segmentation._punkt.cache_clear()
    yield
    segmentation._punkt.cache_clear()


def test_what_nltk_has_downloaded_is_used_when_asked_for_alone(other_punkt):
    text = "Dr. Smith was late. He left."
    assert split(text) == ["Dr. Smith was late.", "He left."]
    assert words(text) == ["Dr.", "Smith", "was", "late", ".", "He", "left", "."]
    assert split(text, downloaded=True) == ["Dr.", "Smith was late. He left."] == split(text, "de")
    assert words(text, downloaded=True) == ["Dr", ".", "Smith", "was", "late.", "He", "left", "."]


def test_chinese():
    pytest.importorskip("jieba")
    text = "他说：“你好！”然后走了。你去吗？？好…\n完"
    assert split(text, "zh") == ["他说：“你好！”", "然后走了。", "你去吗？？", "好…", "完"]
    assert words("我们学习语言模型。 好", "zh") == ["我们", "学习", "语言", "模型", "。", "好"]


def test_words_between_spaces():
    assert words(" no it was n't <unk> mr.\n N \t\xa0 ", None) == [
        "no",
        "it",
        "was",
        "n't",
        "<unk>",
        "mr.",
        "N",
        "\xa0",
    ]
    assert split(" a b .\n\n c d ? \n", None) == ["a b .", "c d ?"]


def test_errors_say_what_to_do(monkeypatch):
    with pytest.raises(InputError, match="'xx' is not known"):
        words("a", "xx")
    with pytest.raises(InputError, match="'xx' is not known"):
        split("a", "xx")
    monkeypatch.setattr("nltk.data.path", [])
    segmentation._punkt.cache_clear()
    with pytest.raises(InputError, match="python -m nltk.downloader punkt_tab"):
        split("Das ist z. B. gut.", "de")
    with pytest.raises(InputError, match="'en' needs NLTK's english sentence model"):
        words("That is e.g. good.", downloaded=True)
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(InputError, match=r"pip install lm_keras\[zh\]"):
        words("好", "zh")


def test_text_does_not_load_tensorflow():
    code = (
        "import sys, lm_keras.text as t; t.words('A b. C.'); k = t.WordTokenizer.train(['a b']); k.encode('a');"
        "t.CharTokenizer.train(['a']); assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_cache_in_a_folder_that_others_write_to(tmp_path, monkeypatch):
    """jieba takes its dictionary from a file in the folder for temporary files, whoever wrote it."""
    jieba = pytest.importorskip("jieba")
    text = "我来到北京清华大学"
    expected = words(text, "zh")
    planted = marshal.dumps(({"我来到北京清华大学": 10**9}, 10**9))
    (tmp_path / "jieba.cache").write_bytes(planted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, value in {"initialized": False, "FREQ": {}, "total": 0}.items():
        monkeypatch.setattr(jieba.dt, name, value)
    assert words(text, "zh") == expected == ["我", "来到", "北京", "清华大学"]
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("jieba.cache", planted)]
