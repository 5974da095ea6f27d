"""Texts and labels to batches: nothing lost, nothing mixed up, the same order for the same seed."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.data import labelled
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.pairs import cut_pair, tf_cut_pair

TEXTS = ["the cat sat", "a dog", "", "the dog sat on the cat", "a cat on a mat on a dog", "mat"]
LABELS = [0, 1, 2, 3, 4, 5]  # one a text, so that a pair that is torn apart shows


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.WordTokenizer.train(TEXTS, language=None)


@pytest.fixture(scope="module")
def pieces():
    return lk.text.WordPieceTokenizer.train(TEXTS, vocab_size=60)


def batches(dataset):
    return [tf.nest.map_structure(lambda tensor: tensor.numpy(), batch) for batch in dataset]


def unpadded(x, y, tokenizer):
    """{label: ids without the padding at the end} of a batch."""
    return {int(label): [int(i) for i in row if i != tokenizer.pad_id] for row, label in zip(x, y, strict=True)}


def test_in_order_batches_are_as_wide_as_their_longest_text(tokenizer):
    found = batches(labelled(TEXTS, LABELS, tokenizer, 2, shuffle=False))
    assert [x.shape for x, _ in found] == [(2, 3), (2, 6), (2, 8)]
    assert [y.tolist() for _, y in found] == [[0, 1], [2, 3], [4, 5]]
    assert {(x.dtype, y.dtype) for x, y in found} == {(np.dtype("int32"), np.dtype("int32"))}
    assert found[0][0].tolist() == [tokenizer.encode("the cat sat"), [*tokenizer.encode("a dog"), tokenizer.pad_id]]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 8), st.sampled_from([None, 1, 3, 20]), st.booleans(), st.integers(0, 2**40))
def test_every_text_once_an_epoch_with_its_label(tokenizer, batch_size, max_length, shuffle, seed):
    dataset = labelled(TEXTS, LABELS, tokenizer, batch_size, max_length, shuffle, seed)
    found = batches(dataset)
    assert len(found) == int(dataset.cardinality()) == -(-len(TEXTS) // batch_size)
    rows = {}
    for x, y in found:
        assert x.shape[1] == (max_length or max(1, *(len(tokenizer.encode(TEXTS[i])) for i in y)))
        rows.update(unpadded(x, y, tokenizer))
    assert rows == {i: tokenizer.encode(text)[:max_length] for i, text in enumerate(TEXTS)}
    assert sum(len(y) for _, y in found) == len(TEXTS)


def test_shuffling_changes_with_the_epoch_and_the_seed_alone(tokenizer):
    texts, labels = ["a cat"] * 40, range(40)

    def orders(seed):
        dataset = labelled(texts, labels, tokenizer, 8, seed=seed)
        return [[int(label) for _, y in batches(dataset) for label in y] for _ in range(3)]

    tf.random.set_seed(1)
    one = orders(3)
    tf.random.set_seed(2)
    assert orders(3) == one
    assert len({tuple(order) for order in [*one, *orders(4), list(labels)]}) == 7


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_stream_goes_on_from_any_batch(tokenizer, shuffle):
    dataset = labelled(TEXTS, LABELS, tokenizer, 4, shuffle=shuffle)
    epochs = [y.tolist() for _ in range(3) for _, y in batches(dataset)]
    for step in (0, 1, 3):
        stream = [y.numpy().tolist() for _, y in itertools.islice(dataset.stream(step), 6 - step)]
        assert stream == epochs[step:]


def test_other_labels_are_values_for_a_regression(tokenizer):
    (_, y), *_ = labelled(TEXTS, [0.5, 1, 2, 3, 4, 5], tokenizer, 6, shuffle=False)
    assert y.dtype == tf.float32
    assert y.numpy().tolist() == [0.5, 1, 2, 3, 4, 5]
    for labels in (np.array([True, False] * 3), (i % 2 for i in range(6))):
        assert next(iter(labelled(TEXTS, labels, tokenizer, 6)))[1].dtype == tf.int32


# === Encoders ===
def test_encoders_get_their_three_inputs(pieces):
    for max_length in (None, 6):
        for x, y in batches(labelled(TEXTS, LABELS, pieces, 4, max_length)):
            rows = [pieces.encode_pair(TEXTS[i], max_length=max_length) for i in y]
            width = max_length or max(len(ids) for ids, _ in rows)
            assert {name: array.shape for name, array in x.items()} == dict.fromkeys(
                ("token_ids", "segment_ids", "padding_mask"), (len(y), width)
            )
            for i, (ids, segments) in enumerate(rows):
                n, rest = len(ids), width - len(ids)
                assert x["token_ids"][i].tolist() == ids + [pieces.pad_id] * rest
                assert x["segment_ids"][i].tolist() == segments + [0] * rest
                assert x["padding_mask"][i].tolist() == [1] * n + [0] * rest


def test_pairs_of_texts_equal_the_graph_of_the_tokenizer(pieces):
    firsts, seconds = TEXTS, TEXTS[::-1]
    ((x, _),) = labelled(zip(firsts, seconds, strict=True), LABELS, pieces, 6, max_length=9, shuffle=False)
    for name, expected in pieces.tf_encode_pair(firsts, seconds, length=9).items():
        np.testing.assert_array_equal(x[name], expected)
    assert x["segment_ids"].numpy().max() == 1


# === Refused ===
@pytest.mark.parametrize(
    "texts, labels, size, says",
    [
        ([], [], 2, "0 texts"),
        (["a"], [0, 1], 2, "1 texts and 2 labels"),
        (["a", "b"], ["ham", "spam"], 2, "'ham'"),
        (["a", "b"], [[0], [1, 2]], 2, r"\[0\]"),
        (["a", "b"], [None, 1], 2, "None"),
        (["a", "b"], iter(["ham", "spam"]), 2, "'ham'"),
        (["a", "b"], [0, -1], 2, "whole numbers from 0 on, .* got -1"),
        (["a"], [2**32], 2, "got 4294967296"),
        (["a", "b"], [0.5, float("nan")], 2, "finite floats .* got nan"),
        (["a", 3], [0, 1], 2, "int: '3'"),
        ([("a", "b", "c"), ("c", "d")], [0, 1], 2, "must be a str, or a pair of them, got tuple"),
        (["a"], [0], 0, "batch_size"),
        (["a"], [0], True, "batch_size"),
    ],
)
def test_bad_input_is_an_input_error(tokenizer, texts, labels, size, says):
    with pytest.raises(InputError, match=says) as error:
        labelled(texts, labels, tokenizer, size)
    assert "\n" not in str(error.value)


def test_texts_that_have_their_labels_with_them(tokenizer):
    texts = lk.data.LabelledTexts(TEXTS, np.array(LABELS, "int32"), ())
    given, beside = (
        labelled(texts, tokenizer=tokenizer, shuffle=False),
        labelled(TEXTS, LABELS, tokenizer, 32, None, False),
    )
    for a, b in zip(batches(given), batches(beside), strict=True):
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    with pytest.raises(InputError, match="have labels already"):
        labelled(texts, tokenizer, 2)
    for one in ("abc", "train.csv", Path("train.csv")):
        with pytest.raises(InputError, match=r"a list of strings, got one; .* lk.data.read_labelled\(path\)"):
            labelled(one, [0] * len(str(one)), tokenizer, 2)
    with pytest.raises(InputError, match="needs a tokenizer"):
        labelled(texts)
    with pytest.raises(InputError, match="needs labels"):
        labelled(TEXTS, tokenizer=tokenizer)


def test_a_tokenizer_without_padding_is_an_input_error():
    tokenizer = lk.text.BPETokenizer.train(TEXTS, vocab_size=260)
    with pytest.raises(InputError, match="BPETokenizer has no padding token"):
        labelled(TEXTS, LABELS, tokenizer, 2)


def test_a_max_length_without_room_is_an_input_error(tokenizer, pieces):
    with pytest.raises(InputError, match="max_length"):
        labelled(TEXTS, LABELS, tokenizer, 2, max_length=0)
    with pytest.raises(InputError, match="max_length"):
        labelled(TEXTS, LABELS, pieces, 2, max_length=1)
    with pytest.raises(InputError, match="pair of them"):
        labelled([("a", "b", "c")], [0], pieces, 2)


# === Pairs, several classes, batches of like length ===
def test_a_pair_without_segments_has_the_end_mark_between_its_texts(tokenizer):
    both = [("the cat sat", "a dog"), ("a", "the dog sat on the cat"), ("", "")]
    parts = [tuple(map(tokenizer.encode, pair)) for pair in both]
    (x, _), *_ = batches(labelled(both, [0, 1, 2], tokenizer, 3, shuffle=False))
    assert unpadded(x, [0, 1, 2], tokenizer) == {i: [*a, tokenizer.eos_id, *b] for i, (a, b) in enumerate(parts)}
    (x, _), *_ = batches(labelled(both, [0, 1, 2], tokenizer, 3, max_length=5, shuffle=False))
    # Of four ids the shorter text keeps up to two.
    cut = [[*parts[0][0][:2], tokenizer.eos_id, *parts[0][1]], [*parts[1][0], tokenizer.eos_id, *parts[1][1][:3]]]
    assert unpadded(x[:2], [0, 1], tokenizer) == dict(enumerate(cut))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=4), st.integers(0, 13))
def test_pairs_are_cut_alike_in_the_graph(lengths, room):
    first, second = ([list(range(1, 1 + both[side])) for both in lengths] for side in (0, 1))
    found = tf_cut_pair(*(tf.ragged.constant(rows, tf.int32, ragged_rank=1) for rows in (first, second)), room)
    expected = [cut_pair(a, b, room) for a, b in zip(first, second, strict=True)]
    assert list(zip(*(part.to_list() for part in found), strict=True)) == expected


def test_rows_of_0_and_1_are_several_classes(tokenizer):
    rows = [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    ((_, y),) = batches(labelled(TEXTS[:3], rows, tokenizer, 3, shuffle=False))
    assert y.dtype == "float32" and y.tolist() == rows
    with pytest.raises(InputError, match="a row of 0 and 1"):
        labelled(TEXTS[:2], [[0, 2], [1, 0]], tokenizer)


@pytest.mark.parametrize("shuffle", [False, True])
def test_by_length_texts_of_like_length_are_together(tokenizer, shuffle):
    texts = ["cat " * (1 + 7 * i % 60) for i in range(60)]
    dataset = labelled(texts, range(60), tokenizer, 8, max_length=37, shuffle=shuffle, by_length=True)
    epochs = [batches(dataset) for _ in range(2)]
    for found in epochs:
        assert sorted(int(i) for _, y in found for i in y) == list(range(60))
        assert len(found) == int(dataset.cardinality()) == 8
        for x, y in found:
            assert unpadded(x, y, tokenizer) == {int(i): tokenizer.encode(texts[i])[:37] for i in y}
            longest = max(1 + 7 * int(i) % 60 for i in y)
            assert x.shape[1] == min(37, -(-longest // 8) * 8)
            assert np.ptp([min(37, 1 + 7 * int(i) % 60) for i in y]) <= 8  # sorted, 60 lengths in 8 batches
    order = [[y.tolist() for _, y in found] for found in epochs]
    assert (order[0] == order[1]) != shuffle
    if shuffle:
        fresh = labelled(texts, range(60), tokenizer, 8, max_length=37, by_length=True)
        stream = [y.numpy().tolist() for _, y in itertools.islice(fresh.stream(3), 13)]
        assert stream == (order[0] + order[1])[3:]
