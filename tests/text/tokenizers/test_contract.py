"""The contract: what holds for every tokenizer, ours and that of a user. Three places, one result."""

import functools
import inspect
import json
import re
import sys
import types

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import LANGUAGES, paragraphs, texts

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.errors import InputError
from lm_keras.text import (
    BPETokenizer,
    CharTokenizer,
    Tokenizer,
    WordPieceTokenizer,
    WordTokenizer,
    load_tokenizer,
    register_tokenizer,
)
from lm_keras.text.tokenizers.base import tokenizer_kinds


@functools.cache
def user_module():
    """The example in the docstring of `Tokenizer`, as a module of a user."""
    example = re.search(r"```python\n(.*?)```", inspect.getdoc(Tokenizer), re.DOTALL)[1]
    module = sys.modules["space_tokenizer"] = types.ModuleType("space_tokenizer")
    exec(example, module.__dict__)
    return module


KINDS = {
    "bpe": (BPETokenizer, {"vocab_size": 800}),
    "bpe-lower": (BPETokenizer, {"vocab_size": 400, "lowercase": True}),
    "char": (CharTokenizer, {"vocab_size": 320}),
    "char-all": (CharTokenizer, {}),
    "char-lower": (CharTokenizer, {"vocab_size": 300, "lowercase": True}),
    "bytes": (CharTokenizer, {"vocab_size": 259}),
    "word": (WordTokenizer, {"vocab_size": 2000}),
    "word-all": (WordTokenizer, {}),
    "word-lower": (WordTokenizer, {"min_count": 2, "lowercase": True}),
    "word-none": (WordTokenizer, {"vocab_size": 2000, "language": None}),
    "wordpiece-lower": (WordPieceTokenizer, {"vocab_size": 3000, "lowercase": True}),
    "of-a-user": (None, {"vocab_size": 2000}),
    "of-a-user-lower": (None, {"lowercase": True}),
}


@pytest.fixture(params=KINDS, scope="module")
def tokenizer(request):
    cls, options = KINDS[request.param]
    return (cls or user_module().SpaceTokenizer).train([*paragraphs()[:400], *LANGUAGES, ". . . a b"], **options)


def decoded(tensor):
    return [text.decode() for text in tensor.numpy()]


def test_vocabulary(tokenizer):
    assert len(tokenizer.tokens) == tokenizer.vocab_size == len(set(tokenizer.tokens))
    reserved = type(tokenizer).reserved
    assert tuple(tokenizer.tokens[: len(reserved)]) == reserved
    assert tokenizer.end_ids == (() if tokenizer.eos_id is None else (tokenizer.eos_id,))
    special = tokenizer.special_tokens
    assert all(tokenizer.tokens[i] == token for token, i in special.items())
    assert set(tokenizer.marks.values()) <= tokenizer.special_ids == set(special.values())
    for mark in ("pad", "unk", "bos", "eos", "cls", "sep", "mask"):  # None: this kind lacks it
        assert tokenizer.marks.get(mark) == getattr(tokenizer, f"{mark}_id")
    assert len(tokenizer.token_words()) == tokenizer.vocab_size
    assert all(tokenizer.encode(token) != [i] for token, i in special.items() if i != tokenizer.unk_id)


@pytest.mark.parametrize(
    ("cls", "ids", "first"),
    [
        (BPETokenizer, (None, None, 0, 0), ["<|endoftext|>"]),
        (CharTokenizer, (0, 1, 2, 2), ["<pad>", "<unk>", "<eos>"]),
        (WordPieceTokenizer, (0, 1, 2, 3), ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]),
        (WordTokenizer, (0, 1, 2, 2), ["<pad>", "<unk>", "<eos>"]),
    ],
)
def test_our_marks_stand_where_they_stood(cls, ids, first):
    made = cls.train(["a b"])
    assert (made.pad_id, made.unk_id, made.bos_id, made.eos_id) == ids
    assert made.tokens[: len(first)] == first


def test_graph_equals_python_on_the_corpora_and_in_several_languages(tokenizer):
    for batch in (paragraphs()[300:900], LANGUAGES, ["The <pad> <eos> <unk> end.", "U.S. Qqq. .. a.b. x.."]):
        ids = tokenizer.encode_batch(batch)
        assert all(0 <= i < tokenizer.vocab_size for row in ids for i in row)
        ragged = tokenizer.tf_encode(batch)
        assert ragged.dtype == tf.int32 and ragged.to_list() == ids
        text = [tokenizer.decode(row) for row in ids]
        assert decoded(tokenizer.tf_decode(ragged)) == text == decoded(tokenizer.tf_decode(ragged.to_tensor(-1)))


@settings(max_examples=25)
@given(st.lists(texts, max_size=20))
def test_graph_equals_python_on_any_text(tokenizer, batch):
    assert tokenizer.tf_encode(tf.constant(batch, tf.string)).to_list() == tokenizer.encode_batch(batch)


_bad_bytes = st.lists(
    st.sampled_from([b"\xff", b"\xe0\x80", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc3", b"a", b"'", b" ", b"\0"])
)


@settings(max_examples=25)
@given(st.lists(st.one_of(st.binary(), _bad_bytes.map(b"".join)), max_size=20))
def test_invalid_utf8_is_read_as_python_reads_it(tokenizer, batch):
    expected = [tokenizer.encode(text.decode("utf-8", errors="replace")) for text in batch]
    assert tokenizer.tf_encode(tf.constant(batch, tf.string)).to_list() == expected == tokenizer.encode_batch(batch)


@settings(max_examples=15)
@given(st.data())
def test_any_ids_decode_alike(tokenizer, data):
    row = st.lists(st.one_of(st.integers(-3, tokenizer.vocab_size + 3), st.integers(0, 258)), max_size=12)
    rows = data.draw(st.lists(row, max_size=8))
    previous = data.draw(st.lists(st.integers(-2, tokenizer.vocab_size + 1), min_size=len(rows), max_size=len(rows)))
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.constant(sum(rows, []), tf.int32), tf.constant([len(row) for row in rows], tf.int64)
    )
    expected = [tokenizer.decode(*pair) for pair in zip(rows, previous, strict=True)]
    before = tf.constant(previous, tf.int32)
    assert decoded(tokenizer.tf_decode(ragged, before)) == expected
    assert decoded(tokenizer.tf_decode(ragged.to_tensor(-1), before)) == expected
    assert decoded(tokenizer.tf_decode(ragged, 5)) == [tokenizer.decode(row, 5) for row in rows]
    assert decoded(tokenizer.tf_decode(ragged)) == [tokenizer.decode(row) for row in rows]


def test_edges(tokenizer):
    assert tokenizer.encode("") == [] and tokenizer.decode([]) == ""
    empty = tf.constant([], tf.string)
    assert tokenizer.tf_encode(empty).shape.as_list() == [0, None]
    assert tokenizer.tf_decode(tokenizer.tf_encode(empty)).shape == [0]
    assert decoded(tokenizer.tf_decode(tf.zeros([2, 0], tf.int32))) == ["", ""]
    nothing = [i for mark, i in tokenizer.marks.items() if mark != "unk"]
    assert tokenizer.decode([*nothing, -1, tokenizer.vocab_size]) == ""
    for text in ("aé. 'x, \0" * 12_500, "." * 100_000, "a" * 100_000, "' " * 50_000, "e.\n" * 33_000):
        assert tokenizer.tf_encode([text]).to_list() == [tokenizer.encode(text)]


def test_lone_surrogates_are_read_as_replacement_characters(tokenizer):
    assert tokenizer.encode("a\ud800 b") == tokenizer.encode("a\ufffd b")


def test_in_tf_data_traced_first(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    fresh = load_tokenizer(tmp_path)  # its table is made while a function is being traced
    batches = tf.data.Dataset.from_tensor_slices(LANGUAGES).batch(5).map(fresh.tf_encode)
    batches = [ids for batch in batches for ids in batch.to_list()]
    assert batches == tokenizer.encode_batch(LANGUAGES)
    assert fresh.tf_encode(LANGUAGES).to_list() == batches  # and serves eager calls after that


def test_in_an_exported_model_run_by_a_session(tokenizer, tmp_path):
    module = tf.Module()
    module.tables = tokenizer.tf_resources()

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None], tf.int32, "previous")]
    )
    def serve(text, previous):
        ids = tokenizer.tf_encode(text)
        return {"ids": ids.to_tensor(-1), "text": tokenizer.tf_decode(ids, previous)}

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path), signatures=serve)
    batch, previous = [*LANGUAGES, *paragraphs()[500:520]], [3 + i for i in range(len(LANGUAGES) + 20)]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        signature = meta.signature_def["serving_default"]
        fetch = {name: info.name for name, info in signature.outputs.items()}
        feed = {signature.inputs["text"].name: [text.encode() for text in batch]}
        result = session.run(fetch, feed | {signature.inputs["previous"].name: previous})
        ops = {node.op for node in meta.graph_def.node} | {
            node.op for function in meta.graph_def.library.function for node in function.node_def
        }
    expected = tokenizer.encode_batch(batch)
    assert [[i for i in row if i >= 0] for row in result["ids"].tolist()] == expected
    assert [text.decode() for text in result["text"]] == [
        tokenizer.decode(*pair) for pair in zip(expected, previous, strict=True)
    ]
    assert not [op for op in ops if "PyFunc" in op or op.startswith("Mutable")]


def test_save_and_load(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "new" / "folder")
    loaded = load_tokenizer(tmp_path / "new" / "folder")
    assert type(loaded) is type(tokenizer) and loaded.tokens == tokenizer.tokens
    for again in (Tokenizer.load(tmp_path / "new/folder"), type(tokenizer).load(tmp_path / "new/folder")):
        assert type(again) is type(tokenizer) and again.get_config() == tokenizer.get_config()
    assert (loaded.language, loaded.lowercase) == (tokenizer.language, tokenizer.lowercase)
    assert loaded.encode_batch(LANGUAGES) == tokenizer.encode_batch(LANGUAGES)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["tokenizer.json"]


def test_pairs(tokenizer):
    if not tokenizer.encodes_pairs:
        for call in (lambda: tokenizer.encode_pair("a", "b"), lambda: tokenizer.tf_encode_pair(["a"], length=8)):
            with pytest.raises(InputError, match="has no .CLS. and .SEP., so it encodes no pairs"):
                call()
        return
    firsts, seconds = LANGUAGES, LANGUAGES[::-1]
    for more in (None, seconds):
        graph = tokenizer.tf_encode_pair(firsts, more, length=24)
        for i, parts in enumerate(zip(firsts, *([] if more is None else [more]), strict=True)):
            ids, segments = tokenizer.encode_pair(*parts, max_length=24)
            rest = 24 - len(ids)
            assert graph["token_ids"][i].numpy().tolist() == ids + [tokenizer.pad_id] * rest
            assert graph["segment_ids"][i].numpy().tolist() == segments + [0] * rest
            assert graph["padding_mask"][i].numpy().tolist() == [1] * len(ids) + [0] * rest


def test_words_of_a_text_encoded_alone_are_the_text(tokenizer):
    from lm_keras.text.word_offsets import word_places

    if tokenizer.cuts_at_words:
        for text in (*LANGUAGES, *paragraphs()[300:400]):
            words = [text[start:end] for start, end in word_places(text)]
            assert sum(tokenizer.encode_batch(words), []) == tokenizer.encode(text)


def test_no_chat_template(tokenizer):
    assert tokenizer.chat_template is None
    with pytest.raises(InputError, match="this tokenizer has no chat template"):
        tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}])


def test_each_kind_is_registered_once():
    kinds = tokenizer_kinds()
    ours = {"bpe": BPETokenizer, "char": CharTokenizer, "word": WordTokenizer, "wordpiece": WordPieceTokenizer}
    space = user_module().SpaceTokenizer
    assert tokenizer_kinds() == kinds | ours | {"space": space}
    assert register_tokenizer(CharTokenizer) is CharTokenizer and tokenizer_kinds()["char"] is CharTokenizer


def test_load_of_another_kind_names_it(tmp_path):
    CharTokenizer.train(["a"]).save(tmp_path)
    with pytest.raises(InputError, match="holds a CharTokenizer, no WordTokenizer; read it with lk.text.load_tok"):
        WordTokenizer.load(tmp_path)


@pytest.mark.parametrize("cls", [CharTokenizer, WordPieceTokenizer, WordTokenizer])
def test_training_streams_and_is_deterministic(cls):
    def stream():
        yield from ("b a", "a c", "c b b")

    assert [t for t in cls.train(stream()).tokens if len(t) == 1 and t != " "] == ["b", "a", "c"]
    assert cls.train(stream(), min_count=3).tokens[-1] == "b"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": []}, "no tokens at all"),
        ({"texts": ["", ""]}, "no tokens at all"),
        ({"texts": "one text"}, "put it into a list"),
        ({"texts": [1]}, "got a int"),
        ({"texts": ["a"], "vocab_size": 1}, "vocab_size .*included. is 1;"),
        ({"texts": ["a"], "vocab_size": 3}, "vocab_size .*included. is 3;"),
        ({"texts": ["a"], "vocab_size": 1e3}, "vocab_size .*included. is 1000.0;"),
        ({"texts": ["a"], "min_count": 0}, "min_count is 0;"),
    ],
)
@pytest.mark.parametrize("cls", [BPETokenizer, CharTokenizer, WordPieceTokenizer, WordTokenizer])
def test_training_errors(cls, arguments, message):
    with pytest.raises(InputError, match=message):
        cls.train(**arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no readable"),
        ("{", "is damaged"),
        ("[]", "kind None"),
        ('{"kind": "magic"}', "kind 'magic'; known are .*bpe, .*char, .*word, .*wordpiece"),
        ('{"kind": "word"}', "is damaged"),
        ('{"kind": "word", "tokens": [], "language": [], "lowercase": false}', "is damaged"),
        ('{"kind": "word", "tokens": [], "language": "en", "lowercase": false}', "must begin with"),
        ('{"kind": "word", "tokens": [1], "language": "en", "lowercase": false}', "must be strings"),
        (
            '{"kind": "word", "tokens": ["<pad>", "<unk>", "<eos>", "a", "a"], "language": "en", "lowercase": false}',
            "once",
        ),
        (
            '{"kind": "char", "tokens": ["<pad>", "<unk>", "<eos>", "a"], "language": "en", "lowercase": false}',
            "begin",
        ),
        ('{"kind": "wordpiece", "tokens": ["a"], "language": "en", "lowercase": false}', "must hold .PAD., .UNK., "),
    ],
)
def test_load_errors(tmp_path, content, message):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    CharTokenizer.train(["a"]).save(tmp_path)
    before = (tmp_path / "tokenizer.json").read_text()
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CharTokenizer.train(["b"]).save(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text()) == json.loads(before)


class Taken(CharTokenizer):
    """Not registered, and of another's kind."""


def test_what_cannot_be_registered(tmp_path):
    for cls, message in (
        (dict, "put it above a class that subclasses lk.text.Tokenizer"),
        (CharTokenizer.train(["a"]), "put it above a class"),
        (Taken, "the kind 'char' is that of CharTokenizer; give Taken another"),
        (type("NoName", (CharTokenizer,), {"kind": ""}), "NoName.kind is ''; give a name of its own"),
        (type("Half", (Tokenizer,), {"kind": "half"}), "Half lacks decode, encode, tf_decode, tf_encode"),
    ):
        with pytest.raises(InputError, match=message):
            register_tokenizer(cls)
    with pytest.raises(InputError, match="Taken is not registered, so a saved one could not be loaded"):
        Taken.train(["a"]).save(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="is not trained; build it from its tokens"):
        Tokenizer.train(["a"])


def test_a_class_that_is_defined_again_takes_its_place(tmp_path):
    """As in a notebook, where a cell is run twice."""
    old = user_module().SpaceTokenizer
    tokenizer = old.train(["a b"])
    user_module.cache_clear()
    new = user_module().SpaceTokenizer
    assert new is not old and tokenizer_kinds()["space"] is new
    config = tokenizer.get_config()
    assert new.from_config(config).encode("a b") == tokenizer.encode("a b")
    tokenizer.save(tmp_path)
    assert type(old.load(tmp_path)) is type(new.load(tmp_path)) is new


def test_a_tokenizer_of_a_user_from_the_command_line_to_the_server(tmp_path, monkeypatch, capsys, warm_check):
    user_module()
    monkeypatch.chdir(tmp_path)
    text = "\n".join(lk.data.load("lee-news")[:12])
    (tmp_path / "news.txt").write_text(text, encoding="utf-8")
    train = ["train", "--model", "lstm", "--data", "news.txt", "--epochs", "1", "--hidden-dim", "8"]
    train += ["--embedding-dim", "8", "--length", "10", "--vocab-size", "300", "--import", "space_tokenizer"]
    assert main([*train, "--tokenizer", "spaces", "--out", "none"]) == 2
    assert (
        f"--tokenizer spaces is not known; give one of {', '.join(sorted(tokenizer_kinds()))},"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "none").exists()
    assert main([*train, "--tokenizer", "space", "--out", "run"]) == 0
    lm = lk.LanguageModel.load("run")
    assert type(lm.tokenizer) is user_module().SpaceTokenizer and lm.tokenizer.vocab_size == 300
    assert main(["export", "run", "saved", "--import", "space_tokenizer"]) == 0
    assert lk.check(tmp_path / "saved" / "1") == []  # in a fresh process, where nothing of ours can be imported


def test_a_kind_of_a_user_chooses_its_size(tmp_path, monkeypatch):
    """The command line passes None, and a run goes on with the tokenizer that it began with."""

    @register_tokenizer
    class Few(user_module().SpaceTokenizer):
        kind = "few"

        @classmethod
        def train(cls, texts, vocab_size=None, *arguments, **options):
            return super().train(texts, vocab_size or 50, *arguments, **options)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "news.txt").write_text("\n".join(lk.data.load("lee-news")[:12]), encoding="utf-8")
    train = ["train", "--model", "lstm", "--data", "news.txt", "--hidden-dim", "8", "--embedding-dim", "8"]
    train += ["--length", "10", "--tokenizer", Few.kind, "--out", "run"]
    assert main([*train, "--epochs", "1"]) == 0
    assert main([*train, "--epochs", "2", "--resume"]) == 0
    assert lk.LanguageModel.load("run").tokenizer.vocab_size == 50
    assert main([*train[:-1], "large", "--epochs", "1", "--vocab-size", "70"]) == 0
    assert lk.LanguageModel.load("large").tokenizer.vocab_size == 70
