"""Several training sets as one, whose batches are drawn by weight: prompts with labels beside ordinary text."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.data.windows import shuffled_batches
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_number, check_seed, check_sizes

if TYPE_CHECKING:
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset


def mix(
    *sets: "tf.data.Dataset | tuple",
    weights: Sequence[float] | None = None,
    num_batches: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> "TextDataset":
    """Returns the batches of several training sets in one, as for joint training on labelled prompts and other text.

    Each batch is of one set, so that the sets may have batches of any sizes and widths. Of the `num_batches` of an
    epoch each set gives the share that its weight says, rounded, in an order that `seed` and the number of the epoch
    decide. A set goes on in the next epoch where it was left, and begins again when it is used up.

    Args:
        *sets: Each a `tf.data.Dataset` of `(x, y)` or `(x, y, weights)` batches, of known cardinality, such as
            `lm_windows(..., contiguous=False)` or `labelled`; or a tuple of arrays, as
            `PromptClassifier.training_data` gives. All of one kind: the same arrays, of the same types.
        weights: A number above 0 for each set; None: its number of batches, so that an epoch has each batch once.
        num_batches: Batches of an epoch; None: as many as all sets have together.
        batch_size: Rows of a batch, for sets that are arrays.
        seed: Of the order.

    Returns:
        A `TextDataset` of known cardinality; `model.fit` and `lk.fit` take it.

    Raises:
        InputError: For sets whose batches do not go together, contiguous windows, and weights that are none.

    Example:

    ```python
    prompted = classifier.training_data(texts, y)
    ordinary = lk.data.lm_windows(corpus, lm.tokenizer, length=128, batch_size=8)
    lk.fit(lm, lk.data.mix(prompted, ordinary, weights=[1, 3]))
    ```
    """
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset

    check_sizes(batch_size=batch_size)
    seed = check_seed(seed)
    sets = [_as_dataset(given, place, batch_size, seed) for place, given in enumerate(sets)]
    _check_kinds(sets)
    sizes = [_size(data, place) for place, data in enumerate(sets)]
    weights = sizes if weights is None else _checked_weights(weights, len(sets))
    num_batches = sum(sizes) if num_batches is None else num_batches
    check_sizes(num_batches=num_batches)
    counts = shares(weights, num_batches)

    def stream(step):
        return _stream(sets, counts, seed, int(step))

    epochs = itertools.count()

    def next_epoch():
        return iter(stream(next(epochs) * num_batches).take(num_batches))

    spec = stream(0).element_spec
    data = tf.data.Dataset.from_generator(next_epoch, output_signature=spec)
    data = data.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(2)
    rows = {data.batch_size if isinstance(data, TextDataset) else None for data in sets}
    return TextDataset(data, batch_size=rows.pop() if len(rows) == 1 else None, stream=stream)


def shares(weights: Sequence[float], total: int) -> list[int]:
    """Whole numbers in the proportions of `weights` that add up to `total`: the largest remainders are rounded up."""
    exact = [total * weight / math.fsum(weights) for weight in weights]
    counts = [math.floor(part) for part in exact]
    by_rest = sorted(range(len(counts)), key=lambda i: (counts[i] - exact[i], i))
    for place in by_rest[: total - sum(counts)]:
        counts[place] += 1
    return counts


def order_of_epoch(counts: Sequence[int], seed: int, epoch: int) -> np.ndarray:
    """Which set each batch of an epoch is of: set i stands there `counts[i]` times."""
    return np.random.default_rng([seed, epoch]).permutation(np.repeat(np.arange(len(counts)), counts))


def _stream(sets, counts, seed, step):
    """All epochs without end, from batch `step` on."""
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset

    epoch, within = divmod(step, sum(counts))
    first = order_of_epoch(counts, seed, epoch)
    done = epoch * np.array(counts) + np.bincount(first[:within], minlength=len(counts))
    streams = [
        data.stream(start) if isinstance(data, TextDataset) else data.repeat().skip(start)
        for data, start in zip(sets, done.tolist(), strict=True)
    ]

    def choices():
        yield from first[within:]
        for later in itertools.count(epoch + 1):
            yield from order_of_epoch(counts, seed, later)

    chosen = tf.data.Dataset.from_generator(choices, output_signature=tf.TensorSpec([], tf.int64))
    return tf.data.Dataset.choose_from_datasets(streams, chosen, stop_on_empty_dataset=True).prefetch(2)


# === What is mixed ===


def _as_dataset(data, place, batch_size, seed):
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset

    if isinstance(data, tf.data.Dataset):
        if isinstance(data, TextDataset) and data.contiguous:
            raise InputError(
                f"set {place} has contiguous windows, whose state nothing may come between; make them with "
                "contiguous=False"
            )
        return data
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        raise InputError(
            f"set {place} is a {type(data).__name__}; give a tf.data.Dataset, or a tuple (x, y) or (x, y, weights)"
        )
    with tf.device("CPU"):
        arrays = tf.nest.map_structure(tf.constant, data)
    rows = {array.shape[0] if array.shape.rank else None for array in tf.nest.flatten(arrays)}
    if len(rows) != 1 or not rows <= {size for size in rows if size}:
        raise InputError(f"the arrays of set {place} have {sorted(map(str, rows))} rows; give as many of each")
    order, stream = shuffled_batches(rows.pop(), batch_size, seed)

    def batch(items):
        return tf.nest.map_structure(lambda array: tf.gather(array, items), arrays)

    return TextDataset(order.map(batch), batch_size=batch_size, stream=lambda step: stream(step).map(batch))


def _check_kinds(sets):
    """InputError unless all batches hold the same arrays, of the same types and numbers of axes."""
    import tensorflow as tf

    if len(sets) < 2:
        raise InputError(f"mix takes two sets or more, got {len(sets)}; one alone needs no mixing")
    for place, data in enumerate(sets[1:], 1):
        try:
            tf.nest.assert_same_structure(sets[0].element_spec, data.element_spec)
            same = all(
                a.dtype == b.dtype and a.shape.rank == b.shape.rank
                for a, b in zip(*(tf.nest.flatten(each.element_spec) for each in (sets[0], data)), strict=True)
            )
        except (TypeError, ValueError):
            same = False
        if not same:
            raise InputError(
                f"the batches of set 0 are {_told(sets[0])}, those of set {place} {_told(data)}; give sets of the "
                "same arrays"
            )


def _told(data):
    import tensorflow as tf

    return str(tf.nest.map_structure(lambda spec: f"{spec.dtype.name}{spec.shape}", data.element_spec))


def _size(data, place):
    size = int(data.cardinality())
    if size < 1:
        raise InputError(
            f"set {place} has {'no' if size == 0 else 'an unknown number of'} batches; give a finite dataset and say "
            "its size with dataset.apply(tf.data.experimental.assert_cardinality(n))"
        )
    return size


def _checked_weights(weights, count):
    weights = list(weights) if isinstance(weights, (list, tuple, np.ndarray)) else weights
    if not isinstance(weights, list) or len(weights) != count:
        raise InputError(f"weights is {weights!r:.60}; give a number above 0 for each of the {count} sets")
    return [check_number(f"weights[{i}]", weight, above=0) for i, weight in enumerate(weights)]
