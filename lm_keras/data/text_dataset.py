"""A tf.data.Dataset that knows what it holds: contiguous windows or not, tokens, bytes, and where it goes on."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.utils.keras_internals import WrappedDataset, no_shuffle_warning

# What puts other batches, or the same in another order, in place of the windows.
BREAKS_THE_ORDER = (
    *("batch", "bucket_by_sequence_length", "concatenate", "enumerate", "filter", "flat_map", "group_by_window"),
    *(
        "ignore_errors",
        "interleave",
        "padded_batch",
        "ragged_batch",
        "rebatch",
        "rejection_resample",
        "scan",
        "shard",
    ),
    *("sparse_batch", "take_while", "unbatch", "unique", "window"),
)


class TextDataset(WrappedDataset):
    """A `tf.data.Dataset` of batches that knows its windows, its tokens and bytes, and how it goes on after a step.

    `lm_windows`, `labelled`, `masked_lm` and `sentence_pairs` return one. `model.fit`, `tf.distribute` and
    `isinstance(dataset, tf.data.Dataset)` take it for what it is, a `tf.data.Dataset`.

    Whoever makes one states the facts `contiguous`, `batch_size`, `num_tokens`, `num_bytes` and `stream`; each method
    leaves of them what stays true:

    - `prefetch`, `cache`, `with_options`, `snapshot`, `repeat(1)`, and `take` or `skip` of all or nothing: all.
    - `take`, `skip`: all, the tokens counted again; but the bytes of a part are not known.
    - `repeat`: all, tokens and bytes times as many.
    - `shuffle`: `batch_size`, tokens and bytes. `map`: the stream alone, since the function may drop targets.
    - `apply`: what its function keeps.
    - All others (`batch`, `filter`, `shard`, ...) give a plain `tf.data.Dataset`, which knows nothing.

    Contiguous windows are read with the state carried from batch to batch, so nothing may come between them. Of them
    `shuffle`, `map`, `repeat`, `batch` and all others that give other batches or another order raise `InputError`, as
    do `apply` of such a function and options without a fixed order. Static functions such as `tf.data.Dataset.zip` do
    not ask the dataset: what they make of contiguous windows is a plain dataset, which trains without carried state.

    `lk.fit` and `lk.evaluate` read the facts by these names, after `isinstance(dataset, TextDataset)`; nothing is
    hung on another `tf.data.Dataset`.

    Args:
        dataset: The `tf.data.Dataset` of `(x, y)` batches.
        contiguous: Whether row b of each batch continues row b of the one before.
        batch_size: The rows of a batch; contiguous windows all have as many.
        num_tokens: The targets in all batches, or a function of n that gives those in the first n batches, with
            which `take` and `skip` count.
        num_bytes: The UTF-8 bytes of the text that the targets are of.
        stream: A function of a step (a whole number) that returns a `tf.data.Dataset` of all epochs without end
            from that batch on, the same however often it is read. `None`: the dataset itself, again and again.

    Raises:
        InputError: For contiguous windows without a batch size.
    """

    def __init__(
        self,
        dataset: tf.data.Dataset,
        *,
        contiguous: bool = False,
        batch_size: int | None = None,
        num_tokens: int | Callable[[int], int] | None = None,
        num_bytes: int | None = None,
        stream: Callable[[int], tf.data.Dataset] | None = None,
    ):
        if not isinstance(dataset, tf.data.Dataset):
            raise InputError(f"a TextDataset is made of a tf.data.Dataset, got {type(dataset).__name__}")
        if contiguous and batch_size is None:
            raise InputError("contiguous windows have a fixed number of rows; give batch_size")
        super().__init__(dataset)
        self._contiguous, self._batch_size = bool(contiguous), batch_size
        self._tokens, self._num_bytes, self._stream = num_tokens, num_bytes, stream
        no_shuffle_warning(TextDataset)

    @property
    def contiguous(self) -> bool:
        """Whether row b of each batch continues row b of the one before."""
        return self._contiguous

    @property
    def batch_size(self) -> int | None:
        """The rows of a batch, where it is known; a last batch that is not contiguous may have fewer."""
        return self._batch_size

    @property
    def num_tokens(self) -> int | None:
        """The targets in all batches, where it is known."""
        if not callable(self._tokens):
            return self._tokens
        size = self._size()
        return self._tokens(size) if size >= 0 else None

    @property
    def num_bytes(self) -> int | None:
        """The UTF-8 bytes of the text that the targets are of, where it is known."""
        return self._num_bytes

    def stream(self, step: int) -> tf.data.Dataset:
        """All epochs without end, from a batch on.

        Args:
            step: The number of batches before it, those of earlier epochs included.

        Returns:
            A `tf.data.Dataset` that is the same however often it is read.
        """
        return self._stream(step) if self._stream else self._wrapped.repeat().skip(step)

    def __repr__(self) -> str:
        known = ("contiguous", "batch_size", "num_tokens", "num_bytes")
        facts = ", ".join(f"{name}={getattr(self, name)}" for name in known)
        return f"<TextDataset {facts}, element_spec={self.element_spec}>"

    # === Methods that keep what is known, or part of it ===

    def prefetch(self, buffer_size: int, name: str | None = None) -> TextDataset:
        return self._with(self._wrapped.prefetch(buffer_size, name), lambda data: data.prefetch(buffer_size, name))

    def with_options(self, options: tf.data.Options, name: str | None = None) -> TextDataset:
        if self._contiguous and options.deterministic is False:
            raise InputError("contiguous windows need their order; leave options.deterministic True or unset")
        return self._with(self._wrapped.with_options(options, name), lambda data: data.with_options(options, name))

    def cache(self, filename: str = "", name: str | None = None) -> TextDataset:
        size, data = self._size(), self._wrapped
        if self._stream is not None and size >= 0:
            data = self.stream(0).take(size)  # the order of the first epoch, whatever has been read before
        return self._with(data.cache(filename, name), stream=None)

    def snapshot(
        self,
        path: str,
        compression: str | None = "AUTO",
        reader_func: Callable | None = None,
        shard_func: Callable | None = None,
        name: str | None = None,
    ) -> tf.data.Dataset:
        if reader_func or shard_func:
            self._refuse("snapshot with a reader_func or shard_func")
        plain = self._wrapped.snapshot(path, compression, reader_func, shard_func, name)
        return plain if reader_func or shard_func else self._with(plain, stream=None)

    def take(self, count: int, name: str | None = None) -> TextDataset:
        size, count = self._size(), int(count)
        plain = self._wrapped.take(count, name)
        if count < 0 or 0 <= size <= count:
            return self._with(plain)
        return self._part(plain, 0, count)

    def skip(self, count: int, name: str | None = None) -> TextDataset:
        size, count = self._size(), int(count)
        plain = self._wrapped.skip(count, name)
        if count == 0:
            return self._with(plain)
        return self._part(plain, count if count > 0 else max(size, 0), None)

    def repeat(self, count: int | None = None, name: str | None = None) -> TextDataset:
        times = -1 if count is None else int(count)
        if times != 1:
            self._refuse("repeat", "; say how often with epochs= of fit")
        size, once, known, num_bytes = self._size(), self._tokens, self.num_tokens, self._num_bytes
        tokens = None if times < 0 or known is None else known * times
        if size > 0 and callable(once):
            tokens = lambda n: n // size * known + once(n % size)  # noqa: E731
        num_bytes = None if times < 0 or num_bytes is None else num_bytes * times
        return self._with(self._wrapped.repeat(count, name), num_tokens=tokens, num_bytes=num_bytes)

    def shuffle(self, *arguments: object, **options: object) -> TextDataset:
        self._refuse("shuffle", "; lm_windows(..., contiguous=False) shuffles by itself")
        return self._with(self._wrapped.shuffle(*arguments, **options), num_tokens=self.num_tokens, stream=None)

    def map(self, *arguments: object, **options: object) -> TextDataset:
        self._refuse("map")
        plain, stream = self._wrapped.map(*arguments, **options), self._stream
        mapped = stream and (lambda step: stream(step).map(*arguments, **options))
        return TextDataset(plain, stream=mapped)

    def apply(self, transformation_func: Callable[[tf.data.Dataset], tf.data.Dataset]) -> tf.data.Dataset:
        result = super().apply(transformation_func)
        if not isinstance(result, TextDataset) or not result.contiguous:
            self._refuse("apply")
        return result

    # === What the methods share ===

    def _size(self):
        """The number of batches; negative where it is infinite or unknown."""
        return int(self.cardinality())

    def _with(self, dataset, change=None, **facts):
        """A TextDataset with what is known of this one; `change` is what was done to it, for its stream."""
        stream = self._stream
        if change is not None and stream is not None:
            facts["stream"] = lambda step: change(stream(step))
        known = {
            "contiguous": self._contiguous,
            "batch_size": self._batch_size,
            "num_tokens": self._tokens,
            "num_bytes": self._num_bytes,
            "stream": stream,
        }
        return TextDataset(dataset, **{**known, **facts})

    def _part(self, dataset, first, count):
        """`dataset`, the batches [first, first + count) of this one; None: all from the first on."""
        size, tokens, stream = self._size(), self._tokens, self._stream
        last = size if count is None else first + count
        if size >= 0:
            first, last = min(first, size), min(last, size)

        def before(n):
            return tokens(first + n) - tokens(first)

        if stream is not None and size >= 0:
            stream = functools.partial(_stream_of_parts, self, size, first, last)
        elif stream is not None and first:
            stream = lambda step: self.stream(first + step)  # noqa: E731
        return self._with(dataset, num_tokens=before if callable(tokens) else None, num_bytes=None, stream=stream)

    def _refuse(self, method, advice="; make the windows with contiguous=False first"):
        if self._contiguous:
            raise InputError(f"{method} would break the order in which contiguous windows carry their state{advice}")


def _stream_of_parts(dataset, size, first, last, step):
    """The batches [first, last) of each epoch of `dataset`, without end, from the `step`-th of them on."""
    epoch, within = divmod(int(step), max(last - first, 1))

    def batches():
        for number in itertools.count(epoch):
            skipped = first + (within if number == epoch else 0)
            yield from dataset.stream(number * size + skipped).take(last - skipped)

    return tf.data.Dataset.from_generator(batches, output_signature=dataset.element_spec)


def _unless_contiguous(name):
    plain = getattr(tf.data.Dataset, name)

    @functools.wraps(plain)
    def method(self, *arguments, **options):
        self._refuse(name)
        return plain(self, *arguments, **options)

    return method


for _name in BREAKS_THE_ORDER:
    setattr(TextDataset, _name, _unless_contiguous(_name))
