"""Mixed training sets: each batch is one of its set, by weight, seeded, and a run goes on where it stopped."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf
from window_texts import TEXTS, Bytes

import lm_keras as lk
from lm_keras.data.mixing import order_of_epoch, shares


def arrays(rows, width, first):
    """x of different numbers, so that each row tells which it is, and y."""
    x = first + np.arange(rows * width, dtype="int32").reshape(rows, width)
    return x, x + 1


def taken(data, count=None):
    return [(x.numpy(), y.numpy()) for x, y in (data if count is None else data.take(count))]


def test_an_epoch_has_every_batch_once_without_weights():
    one, other = arrays(6, 3, 0), arrays(10, 5, 1000)
    data = lk.data.mix(one, other, batch_size=2, seed=3)
    assert int(data.cardinality()) == 8
    batches = taken(data)
    assert len(batches) == 8
    rows = collections.defaultdict(list)
    for x, y in batches:
        rows[x.shape[1]] += x.tolist()
        np.testing.assert_array_equal(y, x + 1)
    assert sorted(rows[3]) == one[0].tolist() and sorted(rows[5]) == other[0].tolist()


def test_weights_are_the_shares_of_the_batches_of_each_epoch():
    data = lk.data.mix(arrays(6, 3, 0), arrays(10, 5, 1000), weights=[1, 3], num_batches=20, batch_size=2, seed=1)
    orders = []
    for _ in range(3):
        widths = [x.shape[1] for x, _ in taken(data)]
        assert collections.Counter(widths) == {3: 5, 5: 15}
        orders.append(widths)
    assert orders[0] != orders[1] != orders[2]


def test_a_set_goes_on_in_the_next_epoch_where_it_was_left():
    data = lk.data.mix(arrays(8, 3, 0), arrays(9, 5, 1000), weights=[1, 1], num_batches=4, batch_size=1)
    seen = [x.tolist() for _ in range(4) for x, _ in taken(data) if x.shape[1] == 3]
    assert sorted(row for [row] in seen) == arrays(8, 3, 0)[0].tolist()  # 2 of 8 in each of 4 epochs


@pytest.mark.parametrize("step", [0, 1, 5, 8, 19])
def test_the_stream_from_any_step_is_that_of_all_epochs(step):
    def made(seed=5):
        windows = lk.data.lm_windows(TEXTS, Bytes(), 3, 4, seed=2)
        return lk.data.mix(arrays(6, 3, 0), windows, weights=[2, 1], num_batches=8, batch_size=2, seed=seed)

    data = made()
    epochs = [batch for _ in range(4) for batch in taken(data)]
    for (x, y), (wanted_x, wanted_y) in zip(taken(made().stream(step), 10), epochs[step:], strict=False):
        np.testing.assert_array_equal(x, wanted_x)
        np.testing.assert_array_equal(y, wanted_y)
    others = taken(made(6).stream(step), 10)
    pairs = zip(others, epochs[step:], strict=False)
    assert any(x.shape != wanted.shape or (x != wanted).any() for (x, _), (wanted, _) in pairs)


def test_plain_datasets_and_weights_of_rows():
    plain = tf.data.Dataset.from_tensor_slices((*arrays(4, 3, 0), np.ones([4, 3], "float32"))).batch(2)
    data = lk.data.mix(plain, (*arrays(2, 4, 50), np.zeros([2, 4], "float32")), batch_size=2)
    assert int(data.cardinality()) == 3 and data.batch_size is None
    assert sum(float(tf.reduce_sum(w)) for _, _, w in data) == 12


@pytest.mark.parametrize(
    ("weights", "total", "wanted"),
    [
        ([1, 1], 4, [2, 2]),
        ([1, 3], 20, [5, 15]),
        ([1, 1, 1], 10, [4, 3, 3]),
        ([0.5, 99.5], 10, [0, 10]),
        ([2], 3, [3]),
    ],
)
def test_shares_add_up(weights, total, wanted):
    assert shares(weights, total) == wanted


def test_the_order_has_each_set_as_often_as_it_counts():
    order = order_of_epoch([3, 0, 5], seed=1, epoch=4)
    assert np.bincount(order).tolist() == [3, 0, 5]
    np.testing.assert_array_equal(order, order_of_epoch([3, 0, 5], seed=1, epoch=4))


def small_model(tokenizer):
    return lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=8, hidden_dim=8, num_layers=1, seed=0)


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.CharTokenizer.train(["abcdef "])


def joint(tokenizer, texts=("abc " * 40,)):
    rows = np.array([tokenizer.encode("abcdef")] * 6, "int32")
    labels = np.where(np.arange(6) == 5, rows, -1)  # the last column counts
    windows = lk.data.lm_windows(list(texts), tokenizer, length=8, batch_size=4, seed=0)
    return lk.data.mix((rows, labels), windows, weights=[1, 2], num_batches=9, batch_size=3, seed=0)


def test_both_fits_take_it(tokenizer):
    model = small_model(tokenizer)
    model.compile(keras.optimizers.Adam(0.01), lk.losses.CrossEntropy())
    history = model.fit(joint(tokenizer), epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    losses = lk.fit(small_model(tokenizer), joint(tokenizer), config=lk.TrainingConfig(epochs=3, seed=0)).history
    assert losses["loss"][-1] < losses["loss"][0]


def test_a_run_that_stopped_goes_on_to_the_same_weights(tokenizer, tmp_path):
    config = {"output_dir": tmp_path, "checkpoint_steps": 1, "seed": 0, "schedule": "constant", "warmup_steps": 0}
    whole, parts = small_model(tokenizer), small_model(tokenizer)
    lk.fit(
        whole, joint(tokenizer), config=lk.TrainingConfig(max_steps=21, schedule="constant", warmup_steps=0, seed=0)
    )
    lk.fit(parts, joint(tokenizer), config=lk.TrainingConfig(max_steps=13, **config))
    resumed = small_model(tokenizer)
    lk.fit(resumed, joint(tokenizer), config=lk.TrainingConfig(max_steps=21, resume=True, **config))
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("sets", "options", "says"),
    [
        ([arrays(2, 2, 0)], {}, "mix takes two sets or more, got 1"),
        ([arrays(2, 2, 0), arrays(2, 2, 0)], {"weights": [1]}, "a number above 0 for each of the 2 sets"),
        ([arrays(2, 2, 0), arrays(2, 2, 0)], {"weights": [1, 0]}, r"weights\[1\] is 0"),
        ([arrays(2, 2, 0), arrays(2, 2, 0)], {"num_batches": 0}, "num_batches is 0"),
        ([arrays(2, 2, 0), (*arrays(2, 2, 0), np.ones(2))], {}, "give sets of the same arrays"),
        ([arrays(2, 2, 0), (np.ones([2, 2]), np.ones([2, 2]))], {}, "float64"),
        ([arrays(2, 2, 0), (np.ones([2, 2]), np.ones([3, 2]))], {}, "give as many of each"),
        ([arrays(2, 2, 0), "texts"], {}, "set 1 is a str"),
    ],
)
def test_what_does_not_go_together_is_named(sets, options, says):
    with pytest.raises(lk.InputError, match=says):
        lk.data.mix(*sets, **options)


def test_contiguous_windows_and_unknown_sizes_are_refused():
    windows = lk.data.lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True)
    with pytest.raises(lk.InputError, match="set 1 has contiguous windows"):
        lk.data.mix(arrays(2, 3, 0), windows)
    endless = lk.data.lm_windows(TEXTS, Bytes(), 3, 4).repeat()
    with pytest.raises(lk.InputError, match="set 1 has an unknown number of batches"):
        lk.data.mix(arrays(2, 3, 0), endless)
