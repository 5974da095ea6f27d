"""Texts to windows of token ids: the (x, y) batches that a language model trains on."""

import itertools
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from lm_keras.data.text_files import read_texts
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_sizes, check_text

if TYPE_CHECKING:
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset

ENCODED = 1 << 18  # characters given to the tokenizer at a time
IN_MEMORY = 4_000_000  # ids; more of them go to a file


def lm_windows(
    texts: str | Path | Iterable[str],
    tokenizer: Tokenizer,
    length: int,
    batch_size: int,
    contiguous: bool = False,
    shuffle: bool = True,
    seed: int = 0,
) -> "TextDataset":
    """Returns the batches that a language model trains on: windows of the texts' tokens.

    The stream of the texts is `eos text eos ... eos` (`bos text eos bos ...` for a tokenizer with its own begin
    mark); the N tokens after the first are the targets.

    Args:
        texts: An iterable of str, read once, or a path for `read_texts`.
        tokenizer: A tokenizer with `bos_id` and `eos_id`.
        length: T, tokens of a window.
        batch_size: B, windows of a batch.
        contiguous: Row b of batch i+1 continues row b of batch i (`shuffle` is ignored). The last batch may be
            shorter; N % batch_size targets are unused.
        shuffle: The full windows, each once an epoch, in a new order every iteration, which `seed` and the number of
            the iteration decide. The last batch may have fewer rows; N % length targets are unused. False: in order,
            and the rest as a last batch [1, N % length], so that every target comes once.
        seed: Of the order.

    Returns:
        A `TextDataset` of `x, y`, int32 [B, T] each; y is x moved by one token. It knows `contiguous`, `batch_size`,
        `num_bytes` (UTF-8, of the text of the targets; its share where some are unused), `num_tokens` (targets an
        epoch) and `stream(step)` (all epochs without end, from that batch on).

    Raises:
        InputError: For sizes below 1, no text or too few tokens.
    """
    from lm_keras.data.text_dataset import TextDataset

    check_sizes(length=length, batch_size=batch_size)
    ids, num_bytes = token_stream(texts, tokenizer)
    num_targets, stream = len(ids) - 1, None
    if contiguous:
        dataset, num_tokens = _contiguous(ids, num_targets, length, batch_size)
    elif shuffle:
        dataset, num_tokens, stream = _shuffled(ids, num_targets, length, batch_size, seed)
    else:
        dataset, num_tokens = _in_order(ids, num_targets, length, batch_size)
    num_batches = int(dataset.cardinality())
    full_windows = num_targets // length * length if not contiguous and not shuffle else num_tokens

    def tokens_before(batch):
        return num_tokens if batch >= num_batches else min(batch * batch_size * length, full_windows)

    return TextDataset(
        dataset.prefetch(2),
        contiguous=contiguous,
        batch_size=int(batch_size),
        num_tokens=tokens_before,
        num_bytes=round(num_bytes * num_tokens / num_targets),
        stream=stream,
    )


def token_stream(texts: str | Path | Iterable[str], tokenizer: Tokenizer) -> tuple["np.ndarray | IdsInFile", int]:
    """Returns `bos text1 eos ... textN eos` as one uint16 or int32 array, and the bytes of the texts.

    A long stream lies in a file without a name (in $TMPDIR), not in memory; see `IdsInFile`.
    """
    if isinstance(texts, (str, os.PathLike)):
        texts = read_texts(texts)
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32
    bos, eos = tokenizer.bos_id, tokenizer.eos_id
    between = (eos,) if bos == eos else (eos, bos)  # where two marks differ, each text has both
    pieces, num_ids, num_bytes, file = [np.array([bos], dtype)], 1, 0, None
    for batch in _batches_of_texts(texts):
        num_bytes += sum(len(text.encode("utf-8", "surrogatepass")) for text in batch)
        ids = itertools.chain.from_iterable(itertools.chain(ids, between) for ids in tokenizer.encode_batch(batch))
        pieces.append(np.fromiter(ids, dtype))
        num_ids += len(pieces[-1])
        if num_ids > IN_MEMORY:
            file = file or tempfile.TemporaryFile()  # noqa: SIM115
            file.writelines(pieces)
            pieces = []
    if num_bytes == 0:
        raise InputError("there is no text to make windows of; give at least one text that is not empty")
    if file is None:
        return np.concatenate(pieces), num_bytes
    file.writelines(pieces)
    file.flush()
    return IdsInFile(file, dtype, num_ids), num_bytes


class IdsInFile:
    """Ids in a file that is freed with this object; TensorFlow keeps functions, and so this, until the process ends.

    It maps the file anew for every read: a map that stays counts all it has ever shown as memory in use.
    """

    def __init__(self, file: BinaryIO, dtype: type, num_ids: int) -> None:
        self.file, self.dtype, self.num_ids = file, dtype, num_ids

    def __len__(self) -> int:
        return self.num_ids

    def __getitem__(self, places):
        with mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            ids = np.frombuffer(data, self.dtype)
            chosen = ids[places].copy()
            del ids  # the map cannot be closed while an array looks at it
        return chosen


def _batches_of_texts(texts):
    batch, size = [], 0
    for text in texts:
        check_text(text)
        batch.append(text)
        size += len(text) + 1
        if size >= ENCODED:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _contiguous(ids, num_targets, length, batch_size):
    import tensorflow as tf

    row = num_targets // batch_size  # targets a row
    if row == 0:
        raise InputError(
            f"{num_targets} tokens cannot fill batch_size={batch_size} rows; give more text or a smaller batch_size"
        )
    num_full, rest = divmod(row, length)
    firsts = tf.range(batch_size, dtype=tf.int64) * row
    full = _gather(ids, tf.data.Dataset.range(num_full).map(lambda i: firsts + i * length), length, batch_size)
    last = _gather(ids, tf.data.Dataset.from_tensors(firsts + num_full * length), rest, batch_size)
    return _join(full, num_full, last, rest), row * batch_size


def _in_order(ids, num_targets, length, batch_size):
    import tensorflow as tf

    num_full, rest = divmod(num_targets, length)
    starts = tf.data.Dataset.range(num_full).map(lambda i: i * length).batch(min(batch_size, max(num_full, 1)))
    last = tf.data.Dataset.from_tensors(tf.constant([num_full * length], tf.int64))
    num_batches = -(-num_full // batch_size)
    return _join(_gather(ids, starts, length), num_batches, _gather(ids, last, rest, 1), rest), num_targets


def _shuffled(ids, num_targets, length, batch_size, seed):
    import tensorflow as tf

    num_full = num_targets // length
    if num_full == 0:
        raise InputError(
            f"{num_targets} tokens are fewer than one window of length={length}; give more text or a smaller length"
        )
    batches, stream = shuffled_batches(num_full, batch_size, seed)

    def windows(dataset):
        return _gather(ids, dataset.map(lambda items: items * length), length)

    dataset = windows(batches).apply(tf.data.experimental.assert_cardinality(-(-num_full // batch_size)))
    return dataset, num_full * length, lambda step: windows(stream(step)).prefetch(2)


def _gather(ids, starts, width, batch_size=None):
    """A dataset of start positions [B] becomes one of `x, y` [B, width]."""
    import tensorflow as tf

    if isinstance(ids, IdsInFile):

        def read(places):
            return tf.numpy_function(lambda p: ids[p].astype(np.int32), [places], tf.int32)

    else:
        with tf.device("CPU"):
            tokens = tf.constant(ids)

        def read(places):
            return tf.cast(tf.gather(tokens, places), tf.int32)

    def x_and_y(first):
        both = read(first[:, None] + tf.range(width + 1, dtype=tf.int64))  # (B, width + 1)
        both.set_shape([batch_size, width + 1])
        return both[:, :-1], both[:, 1:]

    return starts.map(x_and_y)


def _join(full, num_full, last, rest):
    """The full batches, then the one of the remaining `rest` targets a row, where there are any."""
    import tensorflow as tf

    parts = ([full] if num_full else []) + ([last] if rest else [])
    dataset = parts[0] if len(parts) == 1 else parts[0].concatenate(parts[1])
    return dataset.apply(tf.data.experimental.assert_cardinality(num_full + bool(rest)))


# === The order of an epoch, which a seed and the epoch's number decide ===


def shuffled_batches(
    num_items: int, batch_size: int, seed: int
) -> tuple["tf.data.Dataset", Callable[[int], "tf.data.Dataset"]]:
    """Returns `(dataset, stream)` of int64 [b], the items of each batch; every item once an epoch.

    Each iteration of `dataset` is an epoch in another order. `stream(step)`: all epochs without end, from that
    batch on, the same however often it is read, so that a run which stopped can go on.
    """
    import tensorflow as tf

    num_batches = -(-num_items // batch_size)
    epochs = itertools.count()

    def items(epoch, batch):
        # index_shuffle is a permutation that needs no memory; seeds of Dataset.shuffle mix in tf.random.set_seed.
        first = batch * batch_size
        places = tf.range(first, tf.minimum(first + batch_size, num_items))
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        return tf.random.experimental.index_shuffle(places, key, tf.constant(num_items - 1, tf.int64))

    def next_epoch(_):
        epoch = tf.reshape(tf.numpy_function(lambda: np.int64(next(epochs)), [], tf.int64), [])
        return tf.data.Dataset.range(num_batches).map(lambda batch: items(epoch, batch))

    def stream(step):
        steps = tf.data.Dataset.range(step, np.iinfo(np.int64).max)
        return steps.map(lambda i: items(i // num_batches, i % num_batches))

    dataset = tf.data.Dataset.range(1).flat_map(next_epoch)
    return dataset.apply(tf.data.experimental.assert_cardinality(num_batches)), stream
