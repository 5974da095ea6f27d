"""What one request may cost: texts are cut at a character, rows are read in groups, and answers stay the same."""

import json
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from small_tasks import MAKE

import lm_keras as lk
from lm_keras.cli import parser
from lm_keras.serving.export.signatures import ROWS, bounded, tf_cut

LIMIT = 48


def cut(text, limit, keep_end):
    """The longest part of at most `limit` bytes, in whole characters."""
    parts = range(len(text) + 1)
    found = (text[i:] if keep_end else text[: len(text) - i] for i in parts)
    return next(part for part in found if len(part.encode()) <= limit)


@given(st.lists(st.text("aä今😀\x00\n\ufffd", max_size=20), max_size=6), st.integers(4, 40), st.booleans())
def test_texts_are_cut_at_a_character(texts, limit, keep_end):
    made = tf_cut(tf.constant(texts, tf.string, [len(texts)]), limit, keep_end=keep_end).numpy().tolist()
    assert made == [cut(text, limit, keep_end).encode() for text in texts]


@given(st.lists(st.binary(max_size=20), min_size=1), st.integers(4, 12), st.booleans())
def test_bytes_that_are_no_text_are_cut_too(texts, limit, keep_end):
    made = tf_cut(tf.constant(texts), limit, keep_end=keep_end).numpy().tolist()
    for part, text in zip(made, texts, strict=True):
        assert text.endswith(part) if keep_end else text.startswith(part)
        assert part == text if len(text) <= limit else limit - 3 <= len(part) <= limit


GROUPS = []


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None], tf.int32, "n")])
def told(text, n):
    tf.py_function(lambda sizes: GROUPS.append(sizes.numpy().tolist()), [tf.strings.length(text)], [])
    return {"n": n, "pair": tf.stack([text, text], 1)}


in_groups = bounded(told, LIMIT)


@given(st.lists(st.integers(0, LIMIT + 9), max_size=2 * ROWS))
def test_groups_are_bounded_and_lose_no_row(lengths):
    GROUPS.clear()
    texts = [b"x" * length for length in lengths]
    made = in_groups(tf.constant(texts, tf.string, [len(texts)]), tf.range(len(texts)))
    assert made["n"].numpy().tolist() == list(range(len(texts)))
    assert made["pair"].numpy().tolist() == [[text[:LIMIT]] * 2 for text in texts]
    assert sum(GROUPS, []) == [min(length, LIMIT) for length in lengths]
    assert all(len(group) <= ROWS and len(group) * max(group, default=0) ** 2 <= LIMIT**2 for group in GROUPS)


def test_texts_of_a_usual_length_are_one_group():
    GROUPS.clear()
    in_groups(tf.constant(["x" * (LIMIT // 8)] * 64), tf.range(64))
    assert len(GROUPS) == 1


def test_of_a_prompt_the_end_is_kept_and_of_other_texts_the_beginning():
    texts = ["Ä" + "b" * 2 * LIMIT + "Ö", "short", "", "今天" * 20]
    for name in ("text", "prompt", "source", "question", "context"):
        spec = tf.TensorSpec([None], tf.string, name)
        same = tf.function(lambda text: {"text": tf.identity(text)}, input_signature=[spec])
        made = bounded(same, LIMIT)(tf.constant(texts))["text"].numpy()
        assert [text.decode() for text in made] == [cut(text, LIMIT, name == "prompt") for text in texts]


def test_the_limit_holds_in_an_export_and_is_told(news, tmp_path, warm_check, capsys):
    model = MAKE["cnn_classifier"](news[:20])
    version = lk.export(model, tmp_path / "limited", max_text_bytes=LIMIT)
    texts = [text[:200] for text in news[:6]]
    expected = model.classify([cut(text, LIMIT, False) for text in texts])
    assert [one.score for one in expected] != pytest.approx([one.score for one in model.classify(texts)], rel=1e-3)
    outputs = {"score": [one.score for one in expected], "label": [one.label for one in expected]}
    assert lk.check(version, [{"signature": "classify", "inputs": {"text": texts}, "outputs": outputs}]) == []
    assert json.loads(Path(version, "assets.extra", "model_card.json").read_text())["max_text_bytes"] == LIMIT
    for wrong in (3, 2**31, "9", True):
        with pytest.raises(lk.InputError, match="max_text_bytes is .*; it must be a whole number of at least 4"):
            lk.export(model, tmp_path / "x", max_text_bytes=wrong)
    with pytest.raises(SystemExit):
        parser.main(["export", "run", "x", "--max-text-bytes", "3"])
    assert "--max-text-bytes: '3' is not a whole number of at least 4" in capsys.readouterr().err


def test_a_transformer_that_reads_all_of_its_source_has_a_smaller_limit(news):
    for name, limit in (("seq2seq_transformer", 4096), ("seq2seq_lstm", 131072), ("cnn_classifier", 131072)):
        assert MAKE[name](news[:5]).signatures().max_text_bytes == limit
