import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from nltk.tokenize.destructive import NLTKWordTokenizer
from texts import paragraphs, texts

from lm_keras.errors import InputError
from lm_keras.text import WordTokenizer, load_tokenizer, segmentation, words


def tokens(tokenizer, text):
    return [tokenizer.tokens[i] for i in tokenizer.encode(text)]


def test_sentences_inside_a_text():
    tokenizer = WordTokenizer.train(["I saw them. They ran.", "Mr. Fox ran."])
    assert {"them", "Mr.", "."} <= set(tokenizer.tokens) and "them." not in tokenizer.tokens
    assert tokens(tokenizer, "Mr. Fox saw them. They ran. Ran Qq. I ran.") == (
        ["Mr.", "Fox", "saw", "them", ".", "They", "ran", ".", "<unk>", "<unk>", ".", "I", "ran", "."]
    )
    assert tokens(tokenizer, "ran.. I ran... I.") == ["ran", "<unk>", "I", "ran", "<unk>", "I", "."]
    without_period = WordTokenizer.train(["a b"])
    assert tokens(without_period, "b. a") == ["<unk>", "a"]


def test_most_paragraphs_are_read_as_sentence_by_sentence():
    tokenizer = WordTokenizer.train(paragraphs()[:1000])
    same = sum(tokens(tokenizer, text) == words(text) for text in paragraphs()[:1000])
    assert same > 900


def test_encode_is_nltk_and_the_back_off():
    tokenizer = WordTokenizer.train(paragraphs()[:300], vocab_size=3000)
    ids = {token: i for i, token in enumerate(tokenizer.tokens)}
    for text in paragraphs()[300:600]:
        expected = []
        for word in NLTKWordTokenizer().tokenize(text):
            if word not in ids and word.endswith(".") and not word.endswith("..") and len(word) > 1:
                expected += [ids.get(word[:-1], 1), ids["."]]
            else:
                expected.append(ids.get(word, 1))
        assert tokenizer.encode(text) == expected


def test_special_tokens_in_a_text_are_not_special():
    tokenizer = WordTokenizer.train(["<pad> <eos> <unk> a <unk>"], language=None)
    assert tokenizer.tokens == ["<pad>", "<unk>", "<eos>", "a"]
    assert tokenizer.encode("a <eos> <pad> <unk> b") == [3, 1, 1, 1, 1]
    assert tokenizer.tf_encode(["a <eos> <pad> <unk> b"]).to_list() == [[3, 1, 1, 1, 1]]
    assert tokenizer.decode([3, 1, 2, 3]) == "a <unk> a"


@pytest.mark.parametrize(
    "text",
    [
        "He said, \"Don't go (now); it's 12:30!\" They'll pay $5, or 3% of it...",
        "We've [not] seen the dogs' toys: I'd say I'm sure.",
        "“It’s fine,” she said; ‘they’re here’.",
        "M. Curie's £3.50 {set} #1",
    ],
)
def test_decode_puts_spaces_where_english_does(text):
    tokenizer = WordTokenizer.train([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_decode_goes_on_from_the_token_before():
    tokenizer = WordTokenizer.train(["( We do n't , no"], language="en")
    we, comma, no, bracket, not_ = (tokenizer.tokens.index(word) for word in ("We", ",", "no", "(", "n't"))
    assert tokenizer.decode([no]) == "no" == tokenizer.decode([no], previous=-1) == tokenizer.decode([no], previous=2)
    assert tokenizer.decode([no], previous=we) == " no"
    assert tokenizer.decode([comma, no], previous=we) == ", no"
    assert tokenizer.decode([no], previous=bracket) == "no"
    assert tokenizer.decode([not_], previous=we) == "n't"
    assert tokenizer.decode([0, no, 2], previous=we) == " no"


def test_lower_case():
    tokenizer = WordTokenizer.train(["The cat. THE Dog's ΣΑΣ"], lowercase=True)
    assert "The" not in tokenizer.tokens and tokens(tokenizer, "tHE DOG'S σας ΣΑΣ") == [
        "the",
        "dog",
        "'s",
        "<unk>",
        "σασ",
    ]


def test_chinese():
    pytest.importorskip("jieba")
    tokenizer = WordTokenizer.train(["我们学习语言模型。我用Python 3写程序，“很好”。"], language="zh")
    assert tokens(tokenizer, "我们学习Python。") == ["我们", "学习", "Python", "。"]
    assert tokenizer.decode(tokenizer.encode("我们学习语言模型，“很好”。")) == "我们学习语言模型，“很好”。"
    with pytest.raises(InputError, match="use CharTokenizer for a model that is exported"):
        tokenizer.tf_encode(["好"])


@pytest.fixture
def shared_jieba(monkeypatch):
    """The jieba that all share, whose dictionary a test may change."""
    jieba = pytest.importorskip("jieba")
    segmentation.load_jieba()
    monkeypatch.setattr(jieba.dt, "FREQ", dict(jieba.dt.FREQ))
    monkeypatch.setattr(jieba.dt, "total", jieba.dt.total)
    monkeypatch.setattr("jieba.finalseg.Force_Split_Words", set())
    return jieba


CLOUD = "李小福是创新办主任也是云计算方面的专家，我们中出了一个叛徒。"


@pytest.fixture
def user_dict(tmp_path):
    path = tmp_path / "user.txt"
    path.write_text("\ufeff云计算 5 n\n李小福\n\n创新办 3 i\n", encoding="utf-8")
    return path


def loaded(tokenizer, folder):
    """What a new process reads of the saved tokenizer: ids of CLOUD."""
    tokenizer.save(folder)
    code = "import sys, lm_keras.text as t; print(t.load_tokenizer(sys.argv[1]).encode(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(folder), CLOUD]
    return json.loads(subprocess.run(command, check=True, stdout=-1, text=True).stdout)


def test_words_of_a_user_dictionary_are_saved(tmp_path, user_dict):
    pytest.importorskip("jieba")
    assert "云计算" not in tokens(WordTokenizer.train([CLOUD], language="zh"), CLOUD)
    tokenizer = WordTokenizer.train([CLOUD], language="zh", user_words=user_dict)
    assert {"云计算", "李小福", "创新办"} <= set(tokens(tokenizer, CLOUD))
    assert tokenizer.user_words == {"云计算": 5, "李小福": 1, "创新办": 3}
    tokenizer.save(tmp_path)
    assert load_tokenizer(tmp_path).encode(CLOUD) == tokenizer.encode(CLOUD)
    again = WordTokenizer.train([CLOUD], language="zh", user_words=["云计算", "李小福", "创新办"])
    assert again.tokens == tokenizer.tokens
    WordTokenizer.train(["a b"]).save(tmp_path)
    assert "user_words" not in json.loads((tmp_path / "tokenizer.json").read_text())


def test_what_was_done_to_the_shared_jieba_is_saved_and_later_changes_nothing(tmp_path, user_dict, shared_jieba):
    plain = WordTokenizer.train([CLOUD], language="zh")
    before = tokens(plain, CLOUD)
    assert plain.user_words == {}
    shared_jieba.load_userdict(str(user_dict))
    shared_jieba.add_word("一个叛徒")
    shared_jieba.del_word("我们")
    expected = segmentation.words(CLOUD, "zh")
    tokenizer = WordTokenizer.train([CLOUD], language="zh")
    assert tokens(tokenizer, CLOUD) == expected != before
    assert {"云计算", "李小福", "一个叛徒", "我", "们"} <= set(expected)
    shared_jieba.add_word("方面的专家")
    assert "方面的专家" in segmentation.words(CLOUD, "zh")
    assert tokens(tokenizer, CLOUD) == expected and tokens(plain, CLOUD) == before
    assert loaded(tokenizer, tmp_path) == tokenizer.encode(CLOUD)


def test_a_saved_tokenizer_without_jieba_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("jieba")
    WordTokenizer.train(["好"], language="zh").save(tmp_path)
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(InputError, match="language 'zh' needs jieba"):
        load_tokenizer(tmp_path).encode("好")


def test_words_that_jieba_finds_itself_may_be_taken_away(tmp_path, shared_jieba):
    """The hidden Markov model finds a word that no dictionary has."""
    text = "他来到了网易杭研大厦。"
    assert "杭研" in tokens(WordTokenizer.train([text], language="zh"), text)
    shared_jieba.del_word("杭研")
    tokenizer = WordTokenizer.train([text], language="zh")
    assert {"杭", "研"} <= set(tokens(tokenizer, text)) and tokenizer.user_words == {"杭研": 0}
    shared_jieba.finalseg.Force_Split_Words.clear()  # as in a new process
    tokenizer.save(tmp_path)
    assert load_tokenizer(tmp_path).encode(text) == tokenizer.encode(text)
    shared_jieba.add_word("杭研")
    assert WordTokenizer.train([text], language="zh").user_words["杭研"] > 0


def test_lines_of_a_user_dictionary_are_read_as_jieba_reads_them(tmp_path, shared_jieba):
    path = tmp_path / "user.txt"
    path.write_text("李 小福 2 nr\n杭研大厦 n\r\n云计算 -5\nPython3\n创新办  3\n好\u2028词 4\n", encoding="utf-8")
    found = WordTokenizer.train([CLOUD], language="zh", user_words=path).user_words
    assert list(found) == ["李 小福", "杭研大厦", "云计算 -5", "Python3", "创新办", "好\u2028词"]
    assert (found["李 小福"], found["创新办"], found["好\u2028词"]) == (2, 3, 4)


def test_a_file_of_an_older_version_follows_the_shared_jieba(tmp_path, shared_jieba):
    WordTokenizer.train([CLOUD], language="zh", user_words=["云计算"]).save(tmp_path)
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    del content["user_words"]
    file.write_text(json.dumps(content), encoding="utf-8")
    assert "云计算" not in tokens(load_tokenizer(tmp_path), CLOUD)
    shared_jieba.add_word("云计算")
    assert "云计算" in tokens(load_tokenizer(tmp_path), CLOUD)


@pytest.mark.parametrize(
    ("language", "user_words", "says"),
    [
        ("en", ["a"], "user_words are for language 'zh'"),
        ("zh", "no/such/file.txt", "cannot be read"),
        ("zh", 5, "or a file's path, got 5"),
        ("zh", {"好": -1}, "with frequency -1"),
        ("zh", {"好": 1.5}, "with frequency 1.5"),
        ("zh", [" "], "a word that is not empty"),
        ("zh", [b"a"], "a word that is not empty"),
    ],
)
def test_wrong_user_words(language, user_words, says):
    with pytest.raises(InputError, match=says):
        WordTokenizer.train(["好"], language=language, user_words=user_words)


@pytest.mark.parametrize("value", ['"/etc/passwd"', "[]", '{"a": "b"}', '{"a": 1e999}', '{"": 1}', "7"])
def test_damaged_user_words_of_a_file(tmp_path, value):
    start = (
        '{"kind": "word", "language": "zh", "lowercase": false, "tokens": ["<pad>", "<unk>", "<eos>"], "user_words": '
    )
    (tmp_path / "tokenizer.json").write_text(start + value + "}")
    with pytest.raises(InputError, match="user_words"):
        load_tokenizer(tmp_path)


def test_errors():
    with pytest.raises(InputError, match="'xx' is not known"):
        WordTokenizer.train(["a"], language="xx")
    with pytest.raises(InputError, match="use encode_batch"):
        WordTokenizer.train(["a"]).encode(["a", "b"])
    with pytest.raises(InputError, match="occurs 5 times"):
        WordTokenizer.train(["a b"], min_count=5)


@settings(max_examples=200)
@given(texts)
def test_decoded_text_is_read_the_same_where_only_spaces_matter(text):
    tokenizer = WordTokenizer.train([text, "."], language=None)
    assert tokenizer.encode(tokenizer.decode(tokenizer.encode(text))) == tokenizer.encode(text)
