"""[CLS] first [SEP] second [SEP]: the input of BERT for one text or two.

What is too long is cut by Hugging Face's rule "longest first": the shorter of two texts keeps up to half of the
room, the longer one all the rest. (Google's own code differs by one token where both are cut, the room is odd and
the first text is not the longer one: there the first keeps the odd token.)
"""

from typing import TYPE_CHECKING

from lm_keras.utils.checks import check_whole

if TYPE_CHECKING:
    import tensorflow as tf

    from lm_keras.text.tokenizers.base import Tokenizer


def encode_pair(
    tokenizer: "Tokenizer", first: str, second: str | None = None, max_length: int | None = None
) -> tuple[list[int], list[int]]:
    """`Tokenizer.encode_pair`."""
    a, b = tokenizer.encode(first), None if second is None else tokenizer.encode(second)
    if max_length is not None:
        room = _room(max_length, second is not None, "max_length")
        a, b = (a[:room], None) if b is None else cut_pair(a, b, room)
    ids, segments = [tokenizer.cls_id, *a, tokenizer.sep_id], [0] * (len(a) + 2)
    if b is None:
        return ids, segments
    return [*ids, *b, tokenizer.sep_id], segments + [1] * (len(b) + 1)


def cut_pair(first: list[int], second: list[int], room: int) -> tuple[list[int], list[int]]:
    """Returns the ids of two texts, "longest first" cut to `room` ids together."""
    half = room // 2
    if len(first) <= len(second):
        first = first[:half]
        return first, second[: room - len(first)]
    second = second[:half]
    return first[: room - len(second)], second


def tf_cut_pair(
    first: "tf.RaggedTensor", second: "tf.RaggedTensor", room: int
) -> "tuple[tf.RaggedTensor, tf.RaggedTensor]":
    """`cut_pair` of ragged int32 [B, (n)]."""
    import tensorflow as tf

    a, b = (tf.cast(ids.row_lengths(), tf.int32) for ids in (first, second))
    half_a, half_b = tf.minimum(a, room // 2), tf.minimum(b, room // 2)
    kept_a = tf.where(a <= b, half_a, tf.minimum(a, room - half_b))
    kept_b = tf.where(a <= b, tf.minimum(b, room - half_a), half_b)

    def cut(ids, lengths):
        place = tf.range(tf.size(ids.flat_values)) - tf.gather(
            tf.cast(ids.row_starts(), tf.int32), ids.value_rowids()
        )
        return tf.ragged.boolean_mask(ids, ids.with_flat_values(place < tf.gather(lengths, ids.value_rowids())))

    return cut(first, kept_a), cut(second, kept_b)


def joined(first: list[int], second: list[int], mark: int, max_length: int | None = None) -> list[int]:
    """Returns `first mark second`, the input of a model without segments, cut as `encode_pair` cuts."""
    if max_length is not None:
        first, second = cut_pair(first, second, check_whole("max_length (with a mark)", max_length, 1) - 1)
    return [*first, mark, *second]


def tf_encode_pair(
    tokenizer: "Tokenizer", firsts: "tf.Tensor", seconds: "tf.Tensor | None", length: int
) -> "dict[str, tf.Tensor]":
    """`Tokenizer.tf_encode_pair`: the mask is 1 where there is a token, 0 at [PAD]; [PAD] has segment 0."""
    import tensorflow as tf

    room = _room(length, seconds is not None, "length")
    firsts = tf.convert_to_tensor(firsts)
    ids = tokenizer.tf_encode(firsts if seconds is None else tf.concat([firsts, seconds], 0))
    size, starts = tf.size(firsts), tf.cast(ids.row_splits, tf.int32)
    # All below is [B, 1], and with `place` [B, length]: what stands at each place of a row.
    starts, lengths = starts[:-1, None], (starts[1:] - starts[:-1])[:, None]
    place = tf.range(length)[None]
    if seconds is None:
        a = tf.minimum(lengths, room)
        end = total = a + 2
        index = place - 1 + starts
    else:
        a, b = lengths[:size], lengths[size:]
        half_a, half_b = tf.minimum(a, room // 2), tf.minimum(b, room // 2)
        a, b = (
            tf.where(a <= b, half_a, tf.minimum(a, room - half_b)),
            tf.where(a <= b, tf.minimum(b, room - half_a), half_b),
        )
        end, total = a + 2, a + b + 3
        index = tf.where(place < end, place - 1 + starts[:size], place - end + starts[size:])
    mark = (place == end - 1) | (place == total - 1)
    text = (place > 0) & (place < total) & ~mark
    flat = tf.concat([ids.flat_values, [0]], 0)  # never empty
    token_ids = tf.where(text, tf.gather(flat, tf.where(text, index, 0)), tokenizer.pad_id)
    token_ids = tf.where(place == 0, tokenizer.cls_id, tf.where(mark, tokenizer.sep_id, token_ids))
    return {
        "token_ids": token_ids,
        "segment_ids": tf.cast((place >= end) & (place < total), tf.int32),
        "padding_mask": tf.cast(place < total, tf.int32),
    }


def _room(length, is_pair, name):
    marks = 3 if is_pair else 2
    return check_whole(f"{name} (with {marks} marks)", length, marks) - marks
