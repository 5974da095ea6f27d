"""What an export takes and gives, whatever it does: signatures, examples of their use, the answers of Python.

`Served` and `signature` are what a text model writes its `signatures()` with. `bounded` limits what one request to a
signature costs.
"""

import dataclasses
import json
import keyword
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.text.tokenizers.base import Tokenizer

EMPTY = {tf.string: "", tf.int32: 0, tf.float32: 0.0}  # the value of an input in a row that is not there
ROWS = 256  # of a group at most
LEAST = 4  # bytes: one character of any kind
_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Served:
    """What an export of a text model takes and gives: what `TextModel.signatures` returns.

    Args:
        signatures: `{name: tf.function}` of rows [B], each made by `signature`; the first of them is also
            `serving_default`. Row i of an output depends on row i of the inputs alone.
        examples: `{signature: {input: list}}`, for each signature a request of a few rows: the warm-up of a server
            and `lk.check` use them.
        answer: `answer(signature, inputs) -> {output: list}`, what the model answers in Python to the inputs of such
            a request; an export must answer the same.
        facts: What the model card shows beside the model's own facts.
        max_text_bytes: The most bytes of a text in a request, where `lk.export` is given no other limit.

    Raises:
        InputError: There is no signature, or one without an example.
    """

    signatures: dict[str, Callable]
    examples: dict[str, dict[str, list]]
    answer: Callable[[str, dict[str, list]], dict[str, list]]
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    max_text_bytes: int = 2**17

    def __post_init__(self):
        if not self.signatures or self.signatures.keys() != self.examples.keys():
            told = (
                f"{', '.join(self.signatures) or 'no signature'} and examples of {', '.join(self.examples) or 'none'}"
            )
            raise InputError(f"Served has {told}; give at least one signature, and an example of each")


def signature(make: Callable[..., dict[str, tf.Tensor]], *inputs: tuple[str, tf.DType]) -> Callable:
    """Makes a signature of a SavedModel.

    A request without any row gets outputs without any: `make` sees at least one row.

    Args:
        make: A function of tensors [B], in the order of `inputs`, that returns `{output: tensor [B, ...]}`. It is
            traced once, and may use core TensorFlow operations alone.
        inputs: `(name, dtype)` of each input; dtype is `tf.string`, `tf.int32` or `tf.float32`.

    Returns:
        A `tf.function` of these inputs.

    Raises:
        InputError: For names that a SavedModel does not keep as they are.
    """
    _check_names([name for name, _ in inputs])

    def answer(*tensors):
        size = tf.size(tensors[0])
        one = tf.cast(size == 0, tf.int32)[None]
        made = make(*(tf.concat([tensor, tf.fill(one, EMPTY[tensor.dtype])], 0) for tensor in tensors))
        _check_outputs(made)
        return {name: tensor[:size] for name, tensor in made.items()}

    return function(answer, input_signature=[tf.TensorSpec([None], dtype, name) for name, dtype in inputs])


def _check_names(names):
    for name in names:
        if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name == "self":
            raise InputError(
                f"the input {name!r} cannot be one of a SavedModel; give a name of ASCII letters, digits and _ that "
                "begins with a letter and is no word of Python's"
            )
    if len({name.lower() for name in names}) < len(names):
        raise InputError(f"two of the inputs {', '.join(names)} are one name; give others")


def _check_outputs(made):
    """Raises InputError where a signature's function returns no {output: tensor [B, ...]}."""
    if not isinstance(made, dict) or not made:
        raise InputError(f"it returns {_kind(made)}; return a dict {{output: tensor [B, ...]}}")
    for name, tensor in made.items():
        if not isinstance(tensor, tf.Tensor):
            raise InputError(f"output {name} is {_kind(tensor)}; return a dense tensor [B, ...]")
        if tensor.shape.rank == 0:
            raise InputError(f"output {name} is a scalar; return a tensor [B, ...], a row for each row of the inputs")


def _kind(value):
    return "None" if value is None else f"a {type(value).__name__}"


def padded(ids: tf.RaggedTensor | Sequence[Sequence[int]], pad_id: int) -> tf.Tensor:
    """Returns ids as a tensor that a model reads, the same in Python and in a graph: empty texts have a column too.

    Args:
        ids: Ragged int32 [B, (n)], as `tokenizer.tf_encode` gives; or lists of ids, as `tokenizer.encode_batch` does.
        pad_id: What short rows are filled up with.

    Returns:
        int32 [B, T], T the length of the longest row, at least 1.
    """
    if not isinstance(ids, tf.RaggedTensor):
        ids = tf.RaggedTensor.from_row_lengths(
            tf.constant([i for row in ids for i in row], tf.int32),
            tf.constant([len(row) for row in ids], tf.int64),
        )
    return one_column(ids.to_tensor(pad_id), pad_id)


def one_column(dense: tf.Tensor, pad_id: int) -> tf.Tensor:
    """Returns [B, T] with at least one column, also when all texts are empty."""
    return tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, tf.int32)]], constant_values=pad_id)


def answer_of(served: Served, name: str, inputs: dict[str, list]) -> dict[str, list]:
    """Returns `served.answer(name, inputs)`.

    Raises:
        InputError: It has other outputs than the graph, or one that is no list for JSON.
    """
    outputs = served.answer(name, inputs)
    if not isinstance(outputs, dict):
        raise InputError(f"`answer` gives {_kind(outputs)}; give a dict {{output: list}}")
    expected = served.signatures[name].get_concrete_function().structured_outputs
    if outputs.keys() != expected.keys():
        told = f"{', '.join(map(str, outputs)) or 'nothing'}, and the graph {', '.join(expected)}"
        raise InputError(f"`answer` gives {told}; give the same outputs in both")
    for output, values in outputs.items():
        if not isinstance(values, (list, tuple)):
            raise InputError(f"output {output} of `answer` is {_kind(values)}; give a list, such as .tolist() gives")
        try:
            json.dumps(values)
        except (TypeError, ValueError):
            raise InputError(
                f"output {output} of `answer` holds {_strange(values)}; give str, int, float, bool and lists of them"
            ) from None
    return outputs


def _strange(value):
    """What JSON cannot hold in a value."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_strange, value)), None)
    return None if value is None or isinstance(value, (str, int, float)) else _kind(value)


def utf8(text: tf.Tensor) -> tf.Tensor:
    """Returns strings [B] as valid UTF-8; each byte that is none is U+FFFD."""
    return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")


def example_texts(tokenizer: "Tokenizer", lengths: Sequence[int] = (3, 12, 1, 0)) -> list[str]:
    """Returns texts of the tokenizer's own tokens, for the examples of a `Served`.

    Args:
        tokenizer: The tokenizer.
        lengths: The number of tokens of each text.
    """
    common = [i for i, token in enumerate(tokenizer.tokens) if not token.startswith(("<", "["))]
    return [tokenizer.decode((common * 12)[:n]) for n in lengths]


def align_right(ragged: tf.RaggedTensor) -> tf.Tensor:
    """Ragged ids [B, (n)] -> int32 [B, T] whose rows end in the last column, -1 before them."""
    dense = ragged.to_tensor(-1)
    dense = tf.pad(dense, [[0, 0], [0, tf.maximum(1 - tf.shape(dense)[1], 0)]])  # no row at all still has a column
    width = tf.shape(dense)[1]
    column = tf.range(width)[None] - (width - tf.cast(ragged.row_lengths(), tf.int32))[:, None]
    return tf.where(column >= 0, tf.gather(dense, tf.maximum(column, 0), batch_dims=1), -1)


# === What one request may cost: long texts are cut, many rows are read in groups ===


def bounded(answer: Callable, limit: int) -> Callable:
    """Limits what a request to a signature costs.

    Of a prompt the end is kept, which a completion follows, of every other text the beginning; of messages, which
    have no meaning in part, nothing. A group of n rows, the longest of l bytes, has n l^2 <= limit^2: so many rows
    together take no more memory than the one longest text does where attention makes it grow by the square, and a
    batch of texts of a usual length stays one group.

    Args:
        answer: A `tf.function` of rows [B], at least one input of which is text.
        limit: The most bytes of a text.

    Returns:
        A `tf.function` that cuts the texts and calls `answer` with one group of rows after the other.
    """
    traced = answer.get_concrete_function()
    inputs, outputs = traced.structured_input_signature[0], traced.structured_outputs

    def grouped(*tensors):
        tensors = [
            _limited(tensor, limit, spec.name) if spec.dtype == tf.string else tensor
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


def _limited(texts, limit, name):
    if name == "messages":
        return tf.where(tf.strings.length(texts) > limit, "", texts)
    return tf_cut(texts, limit, keep_end=name == "prompt")


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
