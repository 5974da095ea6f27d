"""lm_windows: which token is where, how often, in which order, and what it costs."""

import gc
import subprocess

import numpy as np
import pytest
from paths import ROOT, SUPPORT
from window_texts import NUMBERS, TEXTS, Bytes, Numbers, order

from lm_keras.data import windows
from lm_keras.data.windows import lm_windows, token_stream
from lm_keras.errors import InputError


def stream(texts):
    ids = [0]
    for text in texts:
        ids += [*(byte + 1 for byte in text.encode()), 0]
    return ids


def batches(dataset):
    return [(x.numpy(), y.numpy()) for x, y in dataset]


def test_token_stream_puts_eos_around_every_text():
    ids, num_bytes = token_stream(iter(TEXTS), Bytes())
    assert ids.tolist() == stream(TEXTS)
    assert ids.dtype == np.uint16
    assert num_bytes == sum(len(text.encode()) for text in TEXTS)


@pytest.mark.parametrize("in_memory", [0, 10, 1000])
@pytest.mark.parametrize("vocab_size, dtype", [(65536, np.uint16), (65537, np.int32)])
def test_stream_in_a_file_equals_stream_in_memory(monkeypatch, in_memory, vocab_size, dtype):
    monkeypatch.setattr(windows, "IN_MEMORY", in_memory)
    monkeypatch.setattr(windows, "ENCODED", 16)
    monkeypatch.setattr(Bytes, "vocab_size", vocab_size)
    ids, _ = token_stream(TEXTS, Bytes())
    assert isinstance(ids, windows.IdsInFile) == (in_memory < 1000)
    assert len(ids) == len(stream(TEXTS))
    assert ids[:].tolist() == stream(TEXTS)
    assert ids[:].dtype == dtype


@pytest.mark.parametrize("length, batch_size", [(1, 1), (5, 4), (7, 3), (16, 100), (500, 2)])
def test_in_order_gives_every_target_once_and_in_order(length, batch_size):
    expected = stream(TEXTS)
    dataset = lm_windows(TEXTS, Bytes(), length, batch_size, shuffle=False)
    got = batches(dataset)
    assert np.concatenate([y.ravel() for _, y in got]).tolist() == expected[1:]
    assert np.concatenate([x.ravel() for x, _ in got]).tolist() == expected[:-1]
    assert dataset.cardinality().numpy() == len(got)
    assert dataset.num_tokens == len(expected) - 1
    assert all(x.dtype == y.dtype == np.int32 and x.shape == y.shape for x, y in got)
    rest = (len(expected) - 1) % length
    assert got[-1][0].shape == ((1, rest) if rest else got[-1][0].shape)


@pytest.mark.parametrize("form", [{}, {"shuffle": False}, {"contiguous": True}])
def test_batches_from_a_file_equal_batches_from_memory(monkeypatch, form):
    from_memory = batches(lm_windows(TEXTS, Bytes(), 5, 4, **form))
    monkeypatch.setattr(windows, "IN_MEMORY", 0)
    from_file = batches(lm_windows(TEXTS, Bytes(), 5, 4, **form))
    for one, other in zip(from_memory, from_file, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("length, batch_size", [(1, 1), (5, 4), (7, 3), (8, 2)])
def test_shuffled_gives_every_full_window_once(length, batch_size):
    expected = stream(TEXTS)
    num_full = (len(expected) - 1) // length
    dataset = lm_windows(TEXTS, Bytes(), length, batch_size, seed=3)
    got = batches(dataset)
    rows = sorted(np.concatenate([np.c_[x, y[:, -1:]] for x, y in got]).tolist())
    assert rows == sorted(expected[i * length : (i + 1) * length + 1] for i in range(num_full))
    assert dataset.cardinality().numpy() == len(got) == -(-num_full // batch_size)
    assert dataset.num_tokens == num_full * length
    assert all((x[:, 1:] == y[:, :-1]).all() for x, y in got)


def test_the_order_is_new_every_iteration_and_follows_from_the_seed():
    import tensorflow as tf

    def epochs(seed):
        dataset = lm_windows(NUMBERS, Numbers(), 4, 8, seed=seed)
        return [order(dataset) for _ in range(3)]

    first = epochs(1)
    tf.random.set_seed(99)
    second, other = epochs(1), epochs(-2)
    assert first == second, "the same seed gives the same order, whatever the global seed"
    in_order = list(range(0, 400, 4))
    assert len({tuple(o) for o in [in_order, *first, *other]}) == 7
    assert all(sorted(o) == in_order for o in first + other)
    # A permutation that is worth its name: neighbours are neighbours no more.
    assert np.mean(np.diff(first[0]) == 4) < 0.1
    assert abs(np.corrcoef(first[0], in_order)[0, 1]) < 0.35


RESUME = """
import sys
sys.path.insert(0, {support!r})
from window_texts import NUMBERS, Numbers, order
from lm_keras.data.windows import lm_windows
print(order(lm_windows(NUMBERS, Numbers(), 4, 8, seed=5).repeat().skip(17).take(20)))
"""


def test_skip_in_a_fresh_process_continues_the_order(warm_python):
    repeated = lm_windows(NUMBERS, Numbers(), 4, 8, seed=5).repeat()
    expected = order(repeated.take(37))
    code = RESUME.format(support=str(SUPPORT))
    run = subprocess.run([warm_python, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    # 100 windows in batches of 8: an epoch is 12 full batches and one of 4 rows, so 17 batches are 132 rows.
    assert expected[132:] == eval(run.stdout)


@pytest.mark.parametrize("length, batch_size", [(5, 4), (7, 1), (1, 3), (500, 2), (8, 81)])
def test_contiguous_rows_continue_from_batch_to_batch(length, batch_size):
    expected = stream(TEXTS)
    row = (len(expected) - 1) // batch_size
    dataset = lm_windows(TEXTS, Bytes(), length, batch_size, contiguous=True)
    got = batches(dataset)
    x, y = (np.concatenate(parts, axis=1) for parts in zip(*got, strict=True))
    assert x.tolist() == [expected[b * row : (b + 1) * row] for b in range(batch_size)]
    assert y.tolist() == [expected[b * row + 1 : (b + 1) * row + 1] for b in range(batch_size)]
    assert [x.shape[1] for x, _ in got[:-1]] == [length] * (len(got) - 1)
    assert dataset.cardinality().numpy() == len(got)
    assert dataset.num_tokens == row * batch_size
    assert (dataset.contiguous, dataset.batch_size) == (True, batch_size)


def test_attributes_and_static_shapes():
    dataset = lm_windows(TEXTS, Bytes(), 5, 4)
    whole = lm_windows(TEXTS, Bytes(), 5, 4, shuffle=False)
    assert whole.num_bytes == sum(len(text.encode()) for text in TEXTS)
    assert dataset.num_bytes == round(whole.num_bytes * dataset.num_tokens / whole.num_tokens)
    assert (dataset.contiguous, dataset.batch_size) == (False, 4)
    assert [tuple(spec.shape) for spec in dataset.element_spec] == [(None, 5)] * 2
    rows_of_8 = lm_windows(["x" * 16], Bytes(), 4, 2, contiguous=True)
    assert [tuple(spec.shape) for spec in rows_of_8.element_spec] == [(2, 4)] * 2


def test_a_path_is_read_line_by_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("To be\n\nor not\n")
    got = batches(lm_windows(path, Bytes(), 100, 1, shuffle=False))
    assert got[0][1].ravel().tolist() == stream(["To be", "or not"])[1:]


@pytest.mark.parametrize("in_memory", [0, 1000])
def test_the_ids_live_as_long_as_anything_made_of_the_dataset(monkeypatch, in_memory):
    monkeypatch.setattr(windows, "IN_MEMORY", in_memory)
    derived = lm_windows(TEXTS, Bytes(), 5, 4, shuffle=False).map(lambda x, y: y).repeat(2)
    gc.collect()
    got = np.concatenate([y.numpy().ravel() for y in derived])
    assert got.tolist() == stream(TEXTS)[1:] * 2


@pytest.mark.parametrize(
    "change, says",
    [
        ({"length": 0}, "length is 0; it must be"),
        ({"length": 2.5}, "length is 2.5; it must be"),
        ({"batch_size": -1}, "batch_size is -1; it must be"),
        ({"texts": []}, "no text"),
        ({"texts": ["", ""]}, "no text"),
        ({"texts": ["abc", 5]}, "str, got int"),
        ({"texts": ["abc"], "length": 5}, "4 tokens are fewer than one window of length=5"),
        ({"texts": ["abc"], "batch_size": 5, "contiguous": True}, "4 tokens cannot fill batch_size=5 rows"),
        ({"texts": "no/such/file.txt"}, "no such file"),
    ],
)
def test_input_errors_say_what_and_are_one_line(change, says):
    arguments = {"texts": TEXTS, "tokenizer": Bytes(), "length": 4, "batch_size": 2, **change}
    with pytest.raises(InputError, match=says) as error:
        lm_windows(**arguments)
    assert "\n" not in str(error.value)


def test_fit_takes_the_dataset():
    import keras

    model = keras.Sequential([keras.layers.Embedding(257, 8), keras.layers.Dense(257)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(lm_windows(TEXTS * 5, Bytes(), 5, 4), epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]


def test_with_the_character_tokenizer_of_the_package():
    import lm_keras as lk

    tokenizer = lk.text.CharTokenizer.train(TEXTS)
    ids = np.concatenate([y.numpy().ravel() for _, y in lm_windows(TEXTS, tokenizer, 7, 3, shuffle=False)])
    texts = np.split(ids, np.flatnonzero(ids == tokenizer.eos_id) + 1)
    assert [tokenizer.decode(text[:-1].tolist()) for text in texts[:-1]] == TEXTS
    assert len(texts[-1]) == 0, "the stream ends in eos"


def test_a_stream_is_the_same_however_often_the_dataset_is_read():
    dataset = lm_windows(TEXTS, Bytes(), 5, 2, seed=3)
    steps = int(dataset.cardinality())
    first = [x.numpy().tolist() for x, _ in dataset.stream(0).take(3 * steps)]
    next(iter(dataset))
    assert [x.numpy().tolist() for x, _ in dataset.stream(2).take(3 * steps - 2)] == first[2:]
    epochs = [first[i * steps : (i + 1) * steps] for i in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    rows = [sorted(row for batch in epoch for row in batch) for epoch in epochs]
    assert rows[0] == rows[1] == rows[2]


def test_where_two_marks_differ_each_text_has_both():
    tokenizer = Bytes()
    tokenizer.bos_id = 256
    x, y = next(iter(lm_windows(["a", "bc"], tokenizer, 7, 1, shuffle=False)))
    a, b, c = (byte + 1 for byte in b"abc")
    assert x.numpy()[0].tolist() == [256, a, 0, 256, b, c, 0]
    assert y.numpy()[0].tolist() == [a, 0, 256, b, c, 0, 256]
