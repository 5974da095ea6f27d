"""TextDataset: what each method of tf.data.Dataset leaves of the facts, and what contiguous windows refuse."""

import itertools
import math
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from window_texts import TEXTS, Bytes

import lm_keras as lk
from lm_keras.data import TextDataset, lm_windows
from lm_keras.data.text_dataset import BREAKS_THE_ORDER
from lm_keras.errors import InputError

FORMS = {"contiguous": {"contiguous": True}, "shuffled": {"seed": 3}, "in order": {"shuffle": False}}
KEEPS = ("apply", "cache", "map", "prefetch", "repeat", "shuffle", "skip", "snapshot", "take", "with_options")
READS = ("as_numpy_iterator", "cardinality", "fingerprint", "get_single_element", "options", "reduce", "save")
MAKES = (  # static methods, which do not ask the dataset
    *(
        "choose_from_datasets",
        "counter",
        "from_generator",
        "from_tensor_slices",
        "from_tensors",
        "list_files",
        "load",
    ),
    *("random", "range", "sample_from_datasets", "zip"),
)
OTHER = ("element_spec",)


@pytest.fixture(params=FORMS)
def windows(request):
    return lm_windows(TEXTS, Bytes(), 3, 4, **FORMS[request.param])


def counted(dataset):
    return sum(y.numpy().size for _, y in dataset)


def facts(dataset):
    return dataset.contiguous, dataset.batch_size, dataset.num_tokens, dataset.num_bytes


def xs(dataset):
    return [x.numpy().tolist() for x, _ in dataset]


def test_each_public_method_is_decided_on():
    methods = {name for name in dir(tf.data.Dataset) if not name.startswith("_")}
    assert methods - {*KEEPS, *READS, *MAKES, *OTHER, *BREAKS_THE_ORDER} == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.prefetch(3),
        lambda data: data.cache(),
        lambda data: data.with_options(tf.data.Options()),
        lambda data: data.take(-1),
        lambda data: data.take(1000),
        lambda data: data.skip(0),
        lambda data: data.prefetch(1).cache().prefetch(tf.data.AUTOTUNE),
        lambda data: data.apply(lambda inner: inner.prefetch(1)),
        lambda data: data.repeat(1),
    ],
)
def test_what_changes_no_batch_keeps_all_facts(windows, change):
    changed = change(windows)
    assert isinstance(changed, tf.data.Dataset)
    assert facts(changed) == facts(windows)
    assert counted(changed) == windows.num_tokens
    assert (
        xs(changed.stream(2).take(9))[: len(xs(windows)) - 2] == xs(windows.stream(2).take(9))[: len(xs(windows)) - 2]
    )


def test_a_snapshot_keeps_all_facts(tmp_path):
    windows = lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True)
    kept = windows.snapshot(str(tmp_path / "snapshot"))
    assert facts(kept) == facts(windows)
    assert xs(kept) == xs(kept) == xs(windows)
    windows.save(str(tmp_path / "saved"))
    assert xs(tf.data.Dataset.load(str(tmp_path / "saved"))) == xs(windows)
    assert facts(TextDataset(windows, contiguous=True, batch_size=4)) == (True, 4, None, None)
    with pytest.raises(InputError, match="repeat"):
        TextDataset(windows, contiguous=True, batch_size=4).repeat()


def test_a_part_counts_its_tokens_and_knows_no_bytes(windows):
    size = int(windows.cardinality())
    for part in (
        windows.take(3), windows.skip(3), windows.skip(size - 1), windows.take(size - 1), windows.skip(1).take(2),
        windows.take(4).skip(1), windows.take(3).prefetch(2).take(2), windows.skip(-1), windows.take(0),
    ):  # fmt: skip
        assert part.num_tokens == counted(part)
        assert part.num_bytes is None
        assert part.contiguous == windows.contiguous
        assert part.batch_size == windows.batch_size


@pytest.mark.parametrize("form", FORMS)
def test_a_part_goes_on_where_it_stopped(form):
    def part():
        return lm_windows(TEXTS, Bytes(), 3, 4, **FORMS[form]).skip(1).take(3)

    read = part()
    expected = [batch for _ in range(3) for batch in xs(read)]  # three epochs
    next(iter(part()))
    for step in (0, 2, 7):
        assert xs(part().stream(step).take(9 - step)) == expected[step:]


@pytest.mark.parametrize("form", ["shuffled", "in order"])
def test_repeated_windows_count_each_time(form):
    windows = lm_windows(TEXTS, Bytes(), 3, 4, **FORMS[form])
    twice = windows.repeat(2)
    assert twice.num_tokens == counted(twice) == 2 * windows.num_tokens
    assert twice.num_bytes == 2 * windows.num_bytes
    size = int(windows.cardinality())
    for count in (size - 1, size, size + 2):
        part = windows.repeat().take(count)
        assert part.num_tokens == counted(part)
        assert part.num_bytes is None
    assert windows.repeat().num_tokens is windows.repeat().num_bytes is None
    assert xs(windows.repeat(2).stream(3).take(5)) == xs(windows.stream(3).take(5))


def test_windows_that_are_not_contiguous_may_be_changed():
    windows = lm_windows(TEXTS, Bytes(), 3, 4, seed=3)
    mapped = windows.map(lambda x, y: (x, tf.where(y > 5, y, -1)))
    assert facts(mapped) == (False, None, None, None)  # the function may drop targets
    assert xs(mapped.stream(2).take(4)) == xs(windows.stream(2).take(4))
    shuffled = windows.shuffle(9, seed=0)
    assert facts(shuffled) == facts(windows)
    for name, arguments in {"batch": (2, True), "unbatch": (), "enumerate": (), "shard": (2, 0)}.items():
        assert not isinstance(getattr(windows, name)(*arguments), TextDataset)
    assert not isinstance(windows.apply(lambda data: data.unbatch()), TextDataset)


@pytest.mark.parametrize(
    "change",
    [
        *(lambda data, name=name: getattr(data, name)(2) for name in BREAKS_THE_ORDER),
        lambda data: data.shuffle(10),
        lambda data: data.map(lambda x, y: (x, y)),
        lambda data: data.repeat(),
        lambda data: data.repeat(2),
        lambda data: data.apply(tf.data.experimental.assert_cardinality(3)),
        lambda data: data.take(3).shuffle(10),
        lambda data: data.prefetch(1).cache().map(lambda x, y: (x, y)),
        lambda data: data.snapshot("unused", reader_func=lambda datasets: datasets.interleave(lambda data: data)),
    ],
)
def test_what_breaks_the_order_of_contiguous_windows_is_refused(change):
    with pytest.raises(InputError, match=r"would break the order .* contiguous") as error:
        change(lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True))
    assert "\n" not in str(error.value)


def test_options_that_give_up_the_order_are_refused():
    options = tf.data.Options()
    options.deterministic = False
    lm_windows(TEXTS, Bytes(), 3, 4).with_options(options)
    with pytest.raises(InputError, match="deterministic"):
        lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True).with_options(options)


def test_a_cache_of_shuffled_windows_is_the_first_epoch_whatever_was_read_before():
    windows = lm_windows(TEXTS, Bytes(), 3, 4, seed=3)
    next(iter(windows))
    cached = windows.cache()
    first = xs(windows.stream(0).take(int(windows.cardinality())))
    assert xs(cached) == xs(cached) == first
    assert xs(cached.stream(2).take(len(first))) == [*first[2:], *first[:2]]


def test_what_it_is_made_of_is_checked():
    with pytest.raises(InputError, match="list"):
        TextDataset([1, 2])
    with pytest.raises(InputError, match="batch_size"):
        TextDataset(tf.data.Dataset.range(3), contiguous=True)
    assert "contiguous=True, batch_size=4" in repr(lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True))


# === In training ===
@pytest.fixture(scope="module")
def model():
    model = lk.models.build_lstm_lm(257, embedding_dim=4, hidden_dim=8, seed=0)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.9, w.shape).astype("float32") for w in model.get_weights()])
    return model


def test_the_state_is_carried_through_what_keeps_the_facts(model):
    windows = lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True)
    expected = lk.evaluate(model, windows)
    plain = lk.evaluate(model, tf.data.Dataset.zip(windows, windows).map(lambda pair, _: pair))  # no fact is left
    assert abs(expected["loss"] - plain["loss"]) > 0.01, "the carried state matters here"
    for changed in (windows.prefetch(3), windows.cache(), windows.with_options(tf.data.Options()), windows.take(99)):
        assert lk.evaluate(model, changed) == expected


def test_a_part_of_contiguous_windows_carries_its_state(model):
    windows = lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True)
    x, y = (np.concatenate(parts, axis=1) for parts in zip(*list(windows.take(3).as_numpy_iterator()), strict=True))
    logits = model(x).numpy().astype("float64")
    nats = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, y[..., None], -1)[..., 0]
    result = lk.evaluate(model, windows.take(3))
    assert result["loss"] == pytest.approx(nats.mean(), rel=1e-5)
    assert result["tokens"] == nats.size == windows.take(3).num_tokens
    assert "bits_per_byte" not in result
    whole = lk.evaluate(model, windows.take(1000))
    assert whole["bits_per_byte"] == pytest.approx(
        whole["loss"] * whole["tokens"] / math.log(2) / windows.num_bytes, rel=1e-9
    )


def test_fit_carries_the_state_through_take():
    def trained(change):
        model = lk.models.build_lstm_lm(257, embedding_dim=4, hidden_dim=8, seed=0)
        windows = change(lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True))
        lk.fit(model, windows, config=lk.TrainingConfig(epochs=2, learning_rate=0.1, warmup_steps=0, seed=1))
        return model.get_weights()

    plain, *changed = map(trained, [lambda data: data, lambda data: data.take(99).prefetch(1)])
    for weights in changed:
        for one, other in zip(weights, plain, strict=True):
            np.testing.assert_array_equal(one, other)
    batches = list(itertools.islice(lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True), 3))
    again = tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=(tf.TensorSpec([4, 3], tf.int32),) * 2
    ).apply(tf.data.experimental.assert_cardinality(3))
    own = trained(lambda data: TextDataset(again, contiguous=True, batch_size=4))
    for one, other in zip(trained(lambda data: data.take(3)), own, strict=True):
        np.testing.assert_array_equal(one, other)


def test_plain_fit_takes_it_and_does_not_warn_of_shuffling():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        windows = lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True)
        model = keras.Sequential([keras.layers.Embedding(300, 4), keras.layers.Dense(300)])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(windows, epochs=1, verbose=0)
        pairs = lk.data.labelled(["a", "b"], [0, 1], lk.text.CharTokenizer.train(["ab"]), 2)
        model.fit(pairs.map(lambda x, y: (x, x)), epochs=1, verbose=0)
        assert not [str(warning.message) for warning in caught if "shuffle" in str(warning.message)]
        model.fit(tf.data.Dataset.zip((windows,)).map(lambda batch: batch), epochs=1, verbose=0)
    assert len([str(warning.message) for warning in caught if "shuffle" in str(warning.message)]) == 1


def test_tf_distribute_takes_it():
    strategy, windows = tf.distribute.MirroredStrategy(["/cpu:0"]), lm_windows(TEXTS, Bytes(), 3, 4, contiguous=True)
    distributed = [x.numpy().tolist() for x, _ in strategy.experimental_distribute_dataset(windows)]
    assert distributed == xs(windows)


def test_texts_cannot_be_sliced_and_say_what_can(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    texts = lk.data.read_texts(tmp_path / "a.txt")
    for places, shown in ((slice(None, 20), ":20"), (0, "0"), (slice(5, 9, 2), "5:9:2")):
        with pytest.raises(InputError, match=rf"list\(texts\)\[{shown}\], or itertools.islice"):
            texts[places]
    assert list(texts) == ["one", "two"]
    assert "one" in texts
