"""Pairs of passages: what follows what, segments, marks and labels."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from masked_rows import arrays, restored, special_ids

import lm_keras as lk
from lm_keras.data.sentence_pairs import _cut
from lm_keras.errors import InputError

LENGTH = 40


@pytest.fixture(scope="module")
def tokenizer(news):
    return lk.text.WordPieceTokenizer.train(news, vocab_size=400, lowercase=True)


@pytest.fixture(scope="module")
def pairs(news, tokenizer):
    return lk.data.sentence_pairs(news, tokenizer, LENGTH, 16)


@pytest.fixture(scope="module")
def epoch(pairs):
    return arrays(pairs)


def parts(rows, segments, padding_mask, tokenizer):
    """(A, B) of each row, without marks."""
    for row, segment, mask in zip(rows, segments, padding_mask, strict=True):
        size = mask.sum()
        assert row[0] == tokenizer.cls_id and row[size - 1] == tokenizer.sep_id and not mask[size:].any()
        assert (row[size:] == tokenizer.pad_id).all() and not segment[size:].any()
        (first, last) = np.flatnonzero(row == tokenizer.sep_id)
        np.testing.assert_array_equal(segment[:size], (np.arange(size) > first).astype(int))
        yield tuple(row[1:first]), tuple(row[first + 1 : last])


def test_half_of_the_pairs_follow_each_other_in_their_document(news, tokenizer, epoch):
    x, y, w = epoch
    starts = {}  # what follows each beginning of sentences, in whole documents
    documents = [[tuple(tokenizer.encode(s)) for s in lk.text.sentences(text)] for text in news]
    for i, document in enumerate(documents):
        for start, middle in itertools.combinations(range(len(document)), 2):
            a = sum(document[start:middle], ())
            starts.setdefault(a[:8], []).append((i, a, sum(document[middle:], ())))
    wholes = [sum(document, ()) for document in documents]
    labels = y["next_sentence"]
    rows = parts(restored(x, y, w), x["segment_ids"], x["padding_mask"], tokenizer)
    for (a, b), label in zip(rows, labels, strict=True):
        assert len(a) >= 1 and len(b) >= 1 and len(a) + len(b) <= LENGTH - 3
        origins = [(i, whole, rest) for i, whole, rest in starts[a[:8]] if whole[: len(a)] == a]
        follows = [i for i, _, rest in origins if rest[: len(b)] == b]
        if label == 0:
            assert follows
        else:
            assert any(" ".join(map(str, b)) in " ".join(map(str, whole)) for whole in wholes)
            assert len({i for i, *_ in origins}) > 1 or not follows
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(labels))
    assert set(w) == {"masked_lm", "next_sentence"} and (w["next_sentence"] == 1).all()


def test_other_passages_are_from_other_documents(tokenizer):
    # A document is one word again and again, so that each token tells its document.
    words = [i for i, token in enumerate(tokenizer.tokens) if token.isalpha() and len(token) > 2][:12]
    documents = [[tokenizer.tokens[word]] * 9 for word in words]
    data = lk.data.sentence_pairs(documents, tokenizer, 10, 4, shuffle=False)
    x, y, w = arrays(data)
    found = list(parts(restored(x, y, w), x["segment_ids"], x["padding_mask"], tokenizer))
    for (a, b), label in zip(found, y["next_sentence"], strict=True):
        assert len(set(a)) == len(set(b)) == 1
        assert (set(a) == set(b)) == (label == 0)
    assert 0 < y["next_sentence"].mean() < 1
    assert {a[0] for a, _ in found} == set(words)


def test_length_and_ending_tell_little(epoch):
    x, y, _ = epoch
    sizes, labels = x["padding_mask"].sum(1), y["next_sentence"]
    true, other = sizes[labels == 0], sizes[labels == 1]
    assert abs(true.mean() - other.mean()) < 1


def test_special_tokens_are_never_guessed(tokenizer, epoch):
    x, y, w = epoch
    used = w["masked_lm"] > 0
    assert not np.isin(y["masked_lm"][used], special_ids(tokenizer)).any()
    assert used.sum(1).min() >= 1


def test_each_time_another_cut_decided_by_the_seed(news, tokenizer, pairs, epoch):
    again, same = arrays(pairs), arrays(lk.data.sentence_pairs(news, tokenizer, LENGTH, 16))
    for name in epoch[0]:
        np.testing.assert_array_equal(epoch[0][name], same[0][name])
    np.testing.assert_array_equal(epoch[1]["next_sentence"], same[1]["next_sentence"])
    assert not np.array_equal(epoch[1]["next_sentence"], again[1]["next_sentence"])
    assert not np.array_equal(epoch[0]["segment_ids"], again[0]["segment_ids"])


@given(st.integers(1, 30), st.integers(1, 30), st.integers(2, 40))
def test_a_pair_that_is_too_long_loses_the_end_of_its_longer_part(size_a, size_b, room):
    a, b = list(range(size_a)), list(range(100, 100 + size_b))
    expected = list(a), list(b)
    while sum(map(len, expected)) > room:
        (expected[0] if len(expected[0]) > len(expected[1]) else expected[1]).pop()
    assert _cut(a, b, room) == expected


def test_bad_input(tokenizer):
    for arguments, message in (
        (("a b", tokenizer, 20, 4), "got one string"),
        ((["One. Two."], tokenizer, 20, 4), "need two documents"),
        ((["One.", "Two."], tokenizer, 20, 4), "one of at least two sentences"),
        ((["One. Two.", "Three."], tokenizer, 4, 1), "length must be at least 5"),
        ((["One. Two.", "Three."], tokenizer, 20, 0), "batch_size is 0; it must be a whole number"),
    ):
        with pytest.raises(InputError, match=message):
            lk.data.sentence_pairs(*arguments)
