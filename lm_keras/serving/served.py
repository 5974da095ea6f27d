"""What an export is made of, whatever it does: signatures, examples of their use, and the answers of Python."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from lm_keras.utils.traced import function


@dataclasses.dataclass(frozen=True)
class Served:
    """The parts of a text model that `export` puts into a SavedModel.

    `signatures`: {name: tf.function of rows [B]}, the first of them is also `serving_default`. `tokenizers`, whose
    tables are needed: {name for the model card: tokenizer}. `examples`: {signature: {input: list}}, requests for the
    warm-up and the check. `answer(signature, inputs)`: what the model answers in Python to the inputs of a request,
    {output: list}. `facts`: for the model card. `max_text_bytes`: where `export` cuts texts if it is not told.
    """

    signatures: dict
    tokenizers: dict
    examples: dict
    answer: Callable
    facts: dict = dataclasses.field(default_factory=dict)
    max_text_bytes: int = 2**17


def signature(make, *inputs):
    """A tf.function for a SavedModel: `make(*tensors [B])` -> {output: tensor [B, ...]}, of inputs (name, dtype).

    A request without any row gets outputs without any: `make` sees at least one row.
    """

    def answer(*tensors):
        size = tf.size(tensors[0])
        one = tf.cast(size == 0, tf.int32)[None]
        made = make(*(tf.concat([tensor, tf.fill(one, EMPTY[tensor.dtype])], 0) for tensor in tensors))
        return {name: tensor[:size] for name, tensor in made.items()}

    return function(answer, input_signature=[tf.TensorSpec([None], dtype, name) for name, dtype in inputs])


EMPTY = {tf.string: "", tf.int32: 0, tf.float32: 0.0}


def utf8(text):
    """Text that is valid UTF-8 whatever bytes the tokens gave."""
    return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")


def example_texts(tokenizer, lengths=(3, 12, 1, 0)):
    """Texts of so many of the tokenizer's own words."""
    common = [i for i, token in enumerate(tokenizer.tokens) if not token.startswith(("<", "["))]
    return [tokenizer.decode((common * 12)[:n]) for n in lengths]


def align_right(ragged):
    """Ragged ids [B, (n)] -> int32 [B, T] whose rows end in the last column, -1 before them."""
    dense = ragged.to_tensor(-1)
    dense = tf.pad(dense, [[0, 0], [0, tf.maximum(1 - tf.shape(dense)[1], 0)]])  # no row at all still has a column
    width = tf.shape(dense)[1]
    column = tf.range(width)[None] - (width - tf.cast(ragged.row_lengths(), tf.int32))[:, None]
    return tf.where(column >= 0, tf.gather(dense, tf.maximum(column, 0), batch_dims=1), -1)
