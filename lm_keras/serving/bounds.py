"""Bounds on what one request to an export costs: long texts are cut, many rows are read in groups."""

from collections.abc import Callable

import tensorflow as tf

from lm_keras.utils.traced import function

ROWS = 256  # of a group at most
LEAST = 4  # bytes: one character of any kind


def bounded(answer: Callable, limit: int) -> Callable:
    """The tf.function `answer` of rows [B], whose texts have at most `limit` bytes and go through it in groups.

    Of a prompt the end is kept, which a completion follows, of every other text the beginning. A group of n rows,
    the longest of l bytes, has n l^2 <= limit^2: so many rows together take no more memory than the one longest text
    does where attention makes it grow by the square, and a batch of texts of a usual length stays one group.
    """
    traced = answer.get_concrete_function()
    inputs, outputs = traced.structured_input_signature[0], traced.structured_outputs

    def grouped(*tensors):
        tensors = [
            tf_cut(tensor, limit, keep_end=spec.name == "prompt") if spec.dtype == tf.string else tensor
            for tensor, spec in zip(tensors, inputs, strict=True)
        ]
        lengths = tf.add_n([tf.strings.length(tensor) for tensor in tensors if tensor.dtype == tf.string])
        arrays = [
            tf.TensorArray(spec.dtype, 0, dynamic_size=True, infer_shape=False, element_shape=spec.shape)
            for spec in outputs.values()
        ]

        def body(start, i, *arrays):
            stop = start + _group(lengths[start : start + ROWS], limit)
            made = answer(*(tensor[start:stop] for tensor in tensors))
            return stop, i + 1, *(array.write(i, made[name]) for array, name in zip(arrays, outputs, strict=True))

        # A request without any row still goes through once, so that its outputs have their shapes.
        size = tf.maximum(tf.size(lengths), 1)
        _, _, *arrays = tf.while_loop(lambda start, *_: start < size, body, [0, 0, *arrays], parallel_iterations=1)
        made = {name: array.concat() for array, name in zip(arrays, outputs, strict=True)}
        return {name: tf.ensure_shape(tensor, outputs[name].shape) for name, tensor in made.items()}

    return function(grouped, input_signature=list(inputs))


def _group(lengths, limit):
    """How many of the first rows go together, at least one."""
    place = tf.range(tf.size(lengths))
    before = tf.where(place[None] <= place[:, None], lengths[None], 0)  # (row, rows up to it)
    longest = tf.cast(tf.maximum(tf.reduce_max(before, 1), 1), tf.int64)
    cost = tf.cast(place + 1, tf.int64) * longest * longest  # never less than that of fewer rows
    return tf.maximum(tf.reduce_sum(tf.cast(cost <= limit * limit, tf.int32)), 1)


def tf_cut(texts: tf.Tensor, limit: int, *, keep_end: bool = False) -> tf.Tensor:
    """Strings [B] without what is beyond `limit` bytes, at their end or their beginning; no character is halved."""
    size = tf.strings.length(texts)
    long = size > limit
    # Up to four bytes around the border; of these the one nearest to it that starts a character.
    first = tf.where(long, size - limit if keep_end else limit - 3, 0)
    near = tf.strings.substr(texts, first, tf.where(long, 4, 0))
    starts = tf.bitwise.bitwise_and(tf.io.decode_raw(near, tf.uint8, fixed_length=4), 0xC0) != 0x80
    starts = tf.cast(starts, tf.int32)  # (B, 4); of bytes that are no UTF-8 there may be none
    if keep_end:
        skipped = tf.where(long, first + tf.argmax(starts, 1, tf.int32), 0)
        return tf.strings.substr(texts, skipped, size - skipped)
    kept = first + 3 - tf.argmax(starts[:, ::-1], 1, tf.int32)
    return tf.strings.substr(texts, tf.zeros_like(size), tf.where(long, kept, size))
