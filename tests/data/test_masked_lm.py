"""Which tokens are masked, how, and how often: on real text, and on any rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_rows import arrays, restored, special_ids

import lm_keras as lk
from lm_keras.data.masked_lm import Masking
from lm_keras.errors import InputError

LENGTH = 40


@pytest.fixture(scope="module")
def tokenizer(news):
    return lk.text.WordPieceTokenizer.train(news, vocab_size=400, lowercase=True)


@pytest.fixture(scope="module")
def stream(news, tokenizer):
    return [token for ids in tokenizer.encode_batch(news) for token in (*ids, tokenizer.sep_id)][:-1]


def test_rows_are_the_stream_between_their_marks(news, tokenizer, stream):
    x, y, w = arrays(lk.data.masked_lm(news, tokenizer, LENGTH, 16, shuffle=False))
    rows = restored(x, y, w)
    inside = [row[1 : mask.sum() - 1] for row, mask in zip(rows, x["padding_mask"], strict=True)]
    assert np.concatenate(inside).tolist() == stream
    assert (rows[:, 0] == tokenizer.cls_id).all()
    for row, mask in zip(rows, x["padding_mask"], strict=True):
        assert row[mask.sum() - 1] == tokenizer.sep_id and (row[mask.sum() :] == tokenizer.pad_id).all()
    assert (x["padding_mask"][:-1] == 1).all() and not x["segment_ids"].any()
    for part in (*x.values(), y["masked_lm"]):
        assert part.dtype == "int32"
    assert w["masked_lm"].dtype == "float32" and x["masked_positions"].shape[1] == round(0.15 * LENGTH)


def test_rates_on_real_text(news, tokenizer):
    x, y, w = arrays(lk.data.masked_lm(news, tokenizer, LENGTH, 16))
    rows, used = restored(x, y, w), w["masked_lm"] > 0
    maskable = (~np.isin(rows, special_ids(tokenizer))).sum(1)
    np.testing.assert_array_equal(used.sum(1), np.maximum(1, np.round(0.15 * maskable)))
    labels = y["masked_lm"][used]
    now = np.take_along_axis(x["token_ids"], x["masked_positions"], 1)[used]
    n = len(labels)
    assert n > 1500
    masked, kept = now == tokenizer.mask_id, now == labels
    for share, rate in ((masked, 0.8), (kept, 0.1), (~masked & ~kept, 0.1)):
        assert abs(share.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / n)  # one draw in 16,000 is further off
    drawn = now[~masked & ~kept]
    assert not np.isin(drawn, special_ids(tokenizer)).any()
    assert len(np.unique(drawn)) > 0.8 * 395 * (1 - np.exp(-len(drawn) / 395))  # from the whole vocabulary


@pytest.mark.parametrize("replace, masked, kept", [((1, 0), 1, 0), ((0, 0), 0, 1), ((0, 1), 0, 1 / 395)])
def test_all_chosen_tokens_can_fare_alike(news, tokenizer, replace, masked, kept):
    x, y, w = arrays(lk.data.masked_lm(news[:9], tokenizer, LENGTH, 16, replace=replace, shuffle=False))
    used = w["masked_lm"] > 0
    now = np.take_along_axis(x["token_ids"], x["masked_positions"], 1)[used]
    assert (now == tokenizer.mask_id).mean() == masked
    assert (now == y["masked_lm"][used]).mean() == pytest.approx(kept, abs=0.02 if replace == (0, 1) else 0)


def check_masking(masks, rows, rng, whole_word, tokenizer):
    changed, positions, labels, weights = masks(rows, rng)
    used = weights > 0
    for i, row in enumerate(rows):
        places = positions[i][used[i]]
        assert (np.diff(places) > 0).all() and not np.isin(row[places], special_ids(tokenizer)).any()
        np.testing.assert_array_equal(labels[i][used[i]], row[places])
        others = np.setdiff1d(np.arange(len(row)), places)
        np.testing.assert_array_equal(changed[i][others], row[others])
        maskable = np.flatnonzero(~np.isin(row, special_ids(tokenizer)))
        budget = min(masks.slots, max(1, round(masks.mask_rate * len(maskable)))) if len(maskable) else 0
        assert len(places) <= budget if whole_word else len(places) == budget
        if whole_word:
            for place in maskable[1:]:  # a piece goes with the piece before it
                if tokenizer.tokens[row[place]].startswith("##") and place - 1 in maskable:
                    assert (place in places) == (place - 1 in places)
    assert not labels[~used].any() and not positions[~used].any()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_rows(tokenizer, data):
    length, rate = data.draw(st.integers(3, 30)), data.draw(st.floats(0.01, 0.99))
    rows = data.draw(
        st.lists(st.lists(st.integers(0, 399), min_size=length, max_size=length), min_size=1, max_size=4)
    )
    whole_word = data.draw(st.booleans())
    masks = Masking(tokenizer, length, rate, whole_word)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    check_masking(masks, np.array(rows, "int32"), rng, whole_word, tokenizer)


def test_whole_words_on_real_text(news, tokenizer, stream):
    rows = np.array(stream[: len(stream) // LENGTH * LENGTH], "int32").reshape(-1, LENGTH)
    masks = Masking(tokenizer, LENGTH, whole_word=True)
    check_masking(masks, rows, np.random.default_rng(0), True, tokenizer)
    chosen = masks(rows, np.random.default_rng(0))[3].sum()
    assert 0.13 < chosen / (~np.isin(rows, special_ids(tokenizer))).sum() <= 0.151
    # Words of several pieces are among the chosen ones.
    _, positions, _, weights = masks(rows, np.random.default_rng(0))
    assert ((np.diff(positions) == 1) & (weights[:, 1:] > 0)).mean() > 0.1


def test_masks_are_new_each_time_and_decided_by_the_seed(news, tokenizer):
    first, same, other = (lk.data.masked_lm(news, tokenizer, LENGTH, 16, seed=seed) for seed in (3, 3, 4))
    epochs = [[arrays(data) for _ in range(2)] for data in (first, same, other)]
    for mine, theirs in zip(*epochs[:2], strict=True):
        for a, b in zip(mine, theirs, strict=True):
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
    for mine, theirs in ((epochs[0][0], epochs[0][1]), (epochs[0][0], epochs[2][0])):
        assert not np.array_equal(mine[0]["token_ids"], theirs[0]["token_ids"])
    # Each row at most once an epoch, only those that fill no batch are left out.
    rows = {tuple(row) for row in restored(*epochs[0][0])}
    in_order = {
        tuple(row) for row in restored(*arrays(lk.data.masked_lm(news, tokenizer, LENGTH, 16, shuffle=False)))
    }
    assert rows < in_order and len(rows) == len(first) * 16 > len(in_order) - 16


def test_a_stream_goes_on_from_any_batch(news, tokenizer):
    data = lk.data.masked_lm(news, tokenizer, LENGTH, 16, seed=3)
    expected = np.concatenate([arrays(data)[0]["token_ids"] for _ in range(2)])
    for step in (0, 3, len(data) + 2):
        some = arrays(data.stream(step).take(5))[0]["token_ids"]
        np.testing.assert_array_equal(some, expected[16 * step :][: 16 * 5])


def test_in_order_the_masks_stay(news, tokenizer):
    data = lk.data.masked_lm(news, tokenizer, LENGTH, 16, shuffle=False)
    for a, b in zip(arrays(data), arrays(data), strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_rows_of_ids_stay_rows(tokenizer):
    rows = [[tokenizer.cls_id, 10, 11, 12, tokenizer.sep_id], [tokenizer.cls_id, 13, tokenizer.sep_id]]
    x, y, w = arrays(lk.data.masked_lm(rows, tokenizer, 6, 2))
    assert (
        sorted(row[:n].tolist() for row, n in zip(restored(x, y, w), x["padding_mask"].sum(1), strict=True)) == rows
    )
    np.testing.assert_array_equal(w["masked_lm"], [[1], [1]])


def test_bad_input(news, tokenizer):
    words = lk.text.WordTokenizer.train(news, vocab_size=50)
    for arguments, message in (
        ((news, tokenizer, 2, 4), "length is 2; it must be a whole number of at least 3"),
        ((news, tokenizer, 20, 0), "batch_size is 0; it must be a whole number of at least 1"),
        ((news, tokenizer, 20, 4, 1.0), "mask_rate is 1.0; it must be a number above 0 and below 1"),
        ((news, tokenizer, 20, 4, "0.15"), "mask_rate is '0.15'; it must be a number above 0"),
        ((news, words, 20, 4), "WordTokenizer has no .MASK. token; use a WordPieceTokenizer"),
        (([], tokenizer, 20, 4), "there is no text to mask"),
        (([""], tokenizer, 20, 4), "there is no text to mask"),
        ((news[:1], tokenizer, 64, 500), "rows do not fill a batch of 500"),
        (([[2, 9, 9, 9, 3]], tokenizer, 4, 1), "a row holds 5 ids, more than length=4"),
    ):
        with pytest.raises(InputError, match=message):
            lk.data.masked_lm(*arguments)
    for replace in ((0.9, 0.2), (-0.1, 0.5), (1,), None):
        with pytest.raises(InputError, match="replace is two shares"):
            lk.data.masked_lm(news, tokenizer, 20, 4, replace=replace)
