"""Texts with labels as the batches (x, y) that a classifier trains on."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.data.labelled import LabelledTexts
from lm_keras.data.windows import shuffled_batches
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.tokenizers.pairs import joined
from lm_keras.utils.checks import check_sizes

if TYPE_CHECKING:
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset

POOL = 50  # batches whose texts are put in the order of their lengths
WIDTHS = (
    8  # of which a width is a multiple then: a model is prepared anew for each width, which takes time and memory
)


def labelled(
    texts: Iterable[str | tuple[str, str]] | LabelledTexts,
    labels: Iterable[float] | None = None,
    tokenizer: Tokenizer | None = None,
    batch_size: int = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    by_length: bool = False,
    segments: bool = True,
) -> "TextDataset":
    """Returns a `TextDataset` of `x, y`: token ids int32 [B, T] filled up with `tokenizer.pad_id`, and labels [B].

    T is the longest of the batch; with `max_length` every batch is that wide and longer texts are cut. Whole
    numbers are classes, int32; others are values for a regression, float32; rows [C] of 0 and 1 are texts with
    several classes, float32 [B, C].
    A tokenizer for encoders (one that `encodes_pairs`: WordPiece) gives x as {"token_ids", "segment_ids",
    "padding_mask"}, int32 [B, T] each, with its marks. A text may be a pair (first, second): such a tokenizer gives
    it two segments, another one puts its end mark between both, `first <eos> second`.

    Args:
        texts: Strings (or pairs), or what `read_labelled` returns, which has its labels with it:
            `labelled(train, tokenizer=tokenizer)`.
        labels: A number for each text, or a row of 0 and 1.
        tokenizer: A tokenizer with a padding token.
        batch_size: Texts of a batch.
        max_length: Ids of a text.
        shuffle: A new order every iteration, which `seed` and the number of the iteration decide.
        seed: Of that order.
        by_length: Texts of like length stand in a batch together. It is as wide as its longest text, up to the next
            multiple of 8, also with `max_length`: less padding, so less time, for a model that masks it.
        segments: Whether a tokenizer for encoders gives three inputs; False: ids alone without marks at the ends, as
            the others, for a model of ids.

    Raises:
        InputError: For no text, labels of another number, or sizes below 1.
    """
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset

    if isinstance(texts, LabelledTexts):
        if labels is not None:
            raise InputError("these texts have labels already; give labelled(texts, tokenizer=..., batch_size=...)")
        texts, labels = texts.texts, texts.labels
    if isinstance(texts, (str, bytes, os.PathLike)):  # whose characters would be taken for texts
        raise InputError("texts are a list of strings, got one; of a file read them by lk.data.read_labelled(path)")
    if labels is None or tokenizer is None:
        raise InputError(f"labelled needs {'labels' if labels is None else 'a tokenizer'}; give one for the texts")
    check_sizes(batch_size=batch_size, max_length=1 if max_length is None else max_length)
    texts, labels = list(texts), _labels(labels)
    if not texts or len(texts) != len(labels):
        raise InputError(
            f"got {len(texts)} texts and {len(labels)} labels; give one label for each, and at least one"
        )
    inputs, fill = _inputs(texts, tokenizer, max_length, segments)
    lengths, width = [len(row) for row in next(iter(inputs.values()))], None if by_length else max_length
    with tf.device("CPU"):
        inputs, labels = {name: ragged_rows(rows) for name, rows in inputs.items()}, tf.constant(labels)

    def batch(items):
        x = {name: _dense(tf.gather(rows, items), fill[name], width) for name, rows in inputs.items()}
        if by_length:
            x = {name: _widened(rows, fill[name], max_length) for name, rows in x.items()}
        return x.get("ids", x), tf.gather(labels, items)

    if shuffle:
        order, stream = (
            batches_by_length(lengths, int(batch_size), seed)
            if by_length
            else shuffled_batches(len(texts), int(batch_size), seed)
        )
        batches = lambda step: stream(step).map(batch).prefetch(2)  # noqa: E731
    else:
        items = np.argsort(lengths, kind="stable") if by_length else np.arange(len(texts))
        order, batches = tf.data.Dataset.from_tensor_slices(items).batch(int(batch_size)), None
    return TextDataset(order.map(batch).prefetch(2), batch_size=int(batch_size), stream=batches)


def batches_by_length(
    lengths: Sequence[int], batch_size: int, seed: int
) -> tuple["tf.data.Dataset", Callable[[int], "tf.data.Dataset"]]:
    """As `windows.shuffled_batches`, with items of like length in a batch.

    An epoch puts all items in a new order, sorts each 50 batches of them by length, and puts the batches in a new
    order again.
    """
    import tensorflow as tf

    lengths, spec = np.asarray(lengths), tf.TensorSpec([None], tf.int64)
    num_batches, started = -(-len(lengths) // batch_size), iter(range(2**62))

    def epoch_of(number: int) -> list[np.ndarray]:
        rng = np.random.default_rng([seed, number])
        order, batches = rng.permutation(len(lengths)), []
        for start in range(0, len(order), POOL * batch_size):
            pool = order[start : start + POOL * batch_size]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
        return [batches[i] for i in rng.permutation(num_batches)]

    def from_step(step: int) -> Iterator[np.ndarray]:
        epoch, within = divmod(step, num_batches)
        while True:
            yield from epoch_of(epoch)[within:]
            epoch, within = epoch + 1, 0

    dataset = tf.data.Dataset.from_generator(lambda: iter(epoch_of(next(started))), output_signature=spec)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches))
    return dataset, lambda step: tf.data.Dataset.from_generator(lambda: from_step(step), output_signature=spec)


def dataset_by_length(
    lengths: Sequence[int], batch: Callable, batch_size: int, shuffle: bool, seed: int
) -> "TextDataset":
    """Returns a `TextDataset` whose batches hold items of like length.

    Args:
        lengths: Of each item.
        batch: A function of some items, int64 [B], in the graph: the batch (x, y).
        batch_size: Items of a batch.
        shuffle: A new order every epoch (`batches_by_length`); else from the shortest to the longest.
        seed: Of that order.
    """
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset

    size, batches = int(batch_size), None
    if shuffle:
        order, stream = batches_by_length(lengths, size, seed)
        batches = lambda step: stream(step).map(batch).prefetch(2)  # noqa: E731
    else:
        order = tf.data.Dataset.from_tensor_slices(np.argsort(lengths, kind="stable")).batch(size)
    return TextDataset(order.map(batch).prefetch(2), batch_size=size, stream=batches)


def _labels(labels):
    labels = labels if isinstance(labels, np.ndarray) else list(labels)
    try:
        array = np.asarray(labels)
    except ValueError:  # rows of different lengths
        array = np.zeros(0)
    if array.ndim == 2 and array.size and array.dtype.kind in "iufb" and np.isin(array, (0, 1)).all():
        return array.astype("float32")
    if array.ndim != 1 or array.dtype.kind not in "iufb" or len(array) != len(labels):
        example = next(iter(labels), None)
        raise InputError(
            f"labels must be one number a text, or a row of 0 and 1, got {example!r}; give the place of each in a "
            "list of names"
        )
    wrong = ~np.isfinite(array) if array.dtype.kind == "f" else (array < 0) | (array >= 2**31)
    if wrong.any():
        raise InputError(
            f"labels are classes, whole numbers from 0 on, or finite floats for a regression, got {array[wrong][0]}"
        )
    return array.astype("float32" if array.dtype.kind == "f" else "int32")


def _inputs(texts, tokenizer, max_length, segments):
    """The rows of ids by the name of the input, and what each input is filled up with."""
    both = [text if isinstance(text, (tuple, list)) and len(text) == 2 else (text,) for text in texts]
    for text, parts in zip(texts, both, strict=True):
        if not all(isinstance(part, str) for part in parts):
            got = f"{type(text).__name__}: {str(text)[:40]!r}"
            raise InputError(f"every text must be a str, or a pair of them, got {got}")
    if tokenizer.pad_id is None:
        raise InputError(
            f"this {type(tokenizer).__name__} has no padding token, which texts of different lengths need; "
            "give a WordPieceTokenizer, a WordTokenizer or a CharTokenizer"
        )
    if not (tokenizer.encodes_pairs and segments):
        return {"ids": _joined(both, tokenizer, max_length)}, {"ids": tokenizer.pad_id}
    ids, segments = zip(*(tokenizer.encode_pair(*parts, max_length=max_length) for parts in both), strict=True)
    inputs = {"token_ids": ids, "segment_ids": segments, "padding_mask": [[1] * len(row) for row in ids]}
    return inputs, {"token_ids": tokenizer.pad_id, "segment_ids": 0, "padding_mask": 0}


def _joined(both, tokenizer, max_length):
    """The ids of texts, and of pairs with the end mark between their parts."""
    firsts = tokenizer.encode_batch([parts[0] for parts in both])
    seconds = iter(tokenizer.encode_batch([parts[1] for parts in both if len(parts) == 2]))
    mark = pair_mark(tokenizer) if any(len(parts) == 2 for parts in both) else None
    return [
        ids[:max_length] if len(parts) == 1 else joined(ids, next(seconds), mark, max_length)
        for parts, ids in zip(both, firsts, strict=True)
    ]


def pair_mark(tokenizer: Tokenizer) -> int:
    """Returns the id that stands between two texts for a model without segments; InputError without such a mark."""
    if tokenizer.encodes_pairs:
        return tokenizer.sep_id
    if tokenizer.eos_id is None:
        raise InputError(
            f"this {type(tokenizer).__name__} has neither [CLS] and [SEP] nor an end mark, so it reads no pairs; "
            "give a WordPieceTokenizer or a WordTokenizer"
        )
    return tokenizer.eos_id


def ragged_rows(rows: Sequence[Sequence[int]]) -> "tf.RaggedTensor":
    """Returns rows of ids as int32 [B, (n)]."""
    import tensorflow as tf

    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    ids = np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum())
    return tf.RaggedTensor.from_row_lengths(ids, lengths)


def _widened(dense, fill, most):
    """Filled up to a multiple of `WIDTHS` columns, or to `most`."""
    import tensorflow as tf

    size = tf.shape(dense)[1]
    wide = -(-size // WIDTHS) * WIDTHS
    wide = wide if most is None else tf.minimum(wide, most)
    return tf.pad(dense, [[0, 0], [0, tf.maximum(wide - size, 0)]], constant_values=fill)


def _dense(ragged, fill, width):
    """[B, (n)] -> [B, width], or as wide as the longest row; at least one column, also when all texts are empty."""
    import tensorflow as tf

    dense = ragged.to_tensor(fill, shape=(None, width))
    if width is None:
        dense = tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, tf.int32)]], constant_values=fill)
    return dense
