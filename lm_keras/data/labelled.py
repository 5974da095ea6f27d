"""Texts with labels to the (x, y) batches that a classifier or a regression trains on."""

import os
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.data.labelled_files import LabelledTexts
from lm_keras.data.order import shuffled_batches
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_sizes

if TYPE_CHECKING:
    from lm_keras.data.text_dataset import TextDataset


def labelled(
    texts: Iterable[str | tuple[str, str]] | LabelledTexts,
    labels: Iterable[float] | None = None,
    tokenizer: Tokenizer | None = None,
    batch_size: int = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
) -> "TextDataset":
    """Returns a `TextDataset` of `x, y`: token ids int32 [B, T] filled up with `tokenizer.pad_id`, and labels [B].

    T is the longest of the batch; with `max_length` every batch is that wide and longer texts are cut. Whole
    numbers are classes, int32; others are values for a regression, float32.
    A tokenizer for encoders (one that `encodes_pairs`: WordPiece) gives x as {"token_ids", "segment_ids",
    "padding_mask"}, int32 [B, T] each, with its marks; there a text may be a pair (first, second).

    Args:
        texts: Strings (or pairs), or what `read_labelled` returns, which has its labels with it:
            `labelled(train, tokenizer=tokenizer)`.
        labels: A number for each text.
        tokenizer: A tokenizer with a padding token.
        batch_size: Texts of a batch.
        max_length: Ids of a text.
        shuffle: A new order every iteration, which `seed` and the number of the iteration decide.
        seed: Of that order.

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
    inputs, fill = _inputs(texts, tokenizer, max_length)
    with tf.device("CPU"):
        inputs, labels = {name: _ragged(rows) for name, rows in inputs.items()}, tf.constant(labels)

    def batch(items):
        x = {name: _dense(tf.gather(rows, items), fill[name], max_length) for name, rows in inputs.items()}
        return x.get("ids", x), tf.gather(labels, items)

    if shuffle:
        order, stream = shuffled_batches(len(texts), int(batch_size), seed)
        batches = lambda step: stream(step).map(batch).prefetch(2)  # noqa: E731
    else:
        order, batches = tf.data.Dataset.range(len(texts)).batch(int(batch_size)), None
    return TextDataset(order.map(batch).prefetch(2), batch_size=int(batch_size), stream=batches)


def _labels(labels):
    labels = labels if isinstance(labels, np.ndarray) else list(labels)
    try:
        array = np.asarray(labels)
    except ValueError:  # rows of different lengths
        array = np.zeros((0, 0))
    if array.ndim != 1 or array.dtype.kind not in "iufb":
        example = next(iter(labels), None)
        raise InputError(
            f"labels must be one number a text, got {example!r}; give the place of each in a list of names"
        )
    wrong = ~np.isfinite(array) if array.dtype.kind == "f" else (array < 0) | (array >= 2**31)
    if wrong.any():
        raise InputError(
            f"labels are classes, whole numbers from 0 on, or finite floats for a regression, got {array[wrong][0]}"
        )
    return array.astype("float32" if array.dtype.kind == "f" else "int32")


def _inputs(texts, tokenizer, max_length):
    """The rows of ids by the name of the input, and what each input is filled up with."""
    pairs = tokenizer.encodes_pairs
    for text in texts:
        parts = text if pairs and isinstance(text, (tuple, list)) and len(text) == 2 else (text,)
        if not all(isinstance(part, str) for part in parts):
            wanted = "a str, or a pair of them" if pairs else "a str"
            raise InputError(f"every text must be {wanted}, got {type(text).__name__}: {str(text)[:40]!r}")
    if tokenizer.pad_id is None:
        raise InputError(
            f"this {type(tokenizer).__name__} has no padding token, which texts of different lengths need; "
            "give a WordPieceTokenizer, a WordTokenizer or a CharTokenizer"
        )
    if not pairs:
        return {"ids": [ids[:max_length] for ids in tokenizer.encode_batch(texts)]}, {"ids": tokenizer.pad_id}
    both = [(text,) if isinstance(text, str) else text for text in texts]
    ids, segments = zip(*(tokenizer.encode_pair(*parts, max_length=max_length) for parts in both), strict=True)
    inputs = {"token_ids": ids, "segment_ids": segments, "padding_mask": [[1] * len(row) for row in ids]}
    return inputs, {"token_ids": tokenizer.pad_id, "segment_ids": 0, "padding_mask": 0}


def _ragged(rows):
    import tensorflow as tf

    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    ids = np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum())
    return tf.RaggedTensor.from_row_lengths(ids, lengths)


def _dense(ragged, fill, width):
    """[B, (n)] -> [B, width], or as wide as the longest row; at least one column, also when all texts are empty."""
    import tensorflow as tf

    dense = ragged.to_tensor(fill, shape=(None, width))
    if width is None:
        dense = tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, tf.int32)]], constant_values=fill)
    return dense
