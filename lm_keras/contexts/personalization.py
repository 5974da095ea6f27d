"""One more context from a few texts: its vector is learned, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.losses import CrossEntropy
from lm_keras.models.conditional import ConditionalModel
from lm_keras.utils.checks import check_positive, check_sizes
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.contexts.conditional import ConditionalLM

LONGEST = 128  # tokens of a row; a longer text is read in several


def with_context(
    conditional: ConditionalLM, texts: Sequence[str], steps: int = 100, learning_rate: float = 0.05
) -> ConditionalModel:
    """A model of one context more, the last; see `ConditionalLM.learn_context`.

    Args:
        conditional: The model whose layers and contexts it shares.
        texts: Texts of the new context.
        steps: Steps of Adam, each over all texts.
        learning_rate: Its learning rate.

    Returns:
        The `ConditionalModel`.

    Raises:
        InputError: There is no text.
    """
    check_sizes(steps=steps)
    check_positive(learning_rate=learning_rate)
    if not any(text.strip() for text in texts):
        raise InputError("there is no text to learn a context from; give at least one")
    model = conditional.model
    made = ConditionalModel(model.inner, model.num_contexts + 1, model.by)
    known = (None, *conditional.contexts)
    likeliest = [sum(one.log_prob for one in conditional.score(texts, context)) for context in known]
    table = keras.ops.convert_to_numpy(model.table)
    made.table.assign(np.concatenate([table, table[[int(np.argmax(likeliest))]]]))
    x, y = rows_of(conditional, texts)
    _learn(made, x, y, steps, learning_rate)
    return made


def rows_of(conditional: ConditionalLM, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as rows of words and of next words, int32 [N, T], -1 behind their end."""
    tokenizer, window = conditional.tokenizer, conditional.model.context_length
    length = LONGEST if window is None else min(LONGEST, window - (conditional.model.by == "token"))
    rows = [[tokenizer.bos_id, *ids, tokenizer.eos_id] for ids in tokenizer.encode_batch(list(texts))]
    pieces = [row[at : at + length + 1] for row in rows for at in range(0, len(row) - 1, length)]
    ids = np.full((len(pieces), max(map(len, pieces))), -1, np.int32)
    for row, piece in zip(ids, pieces, strict=True):
        row[: len(piece)] = piece
    x, y = ids[:, :-1].copy(), ids[:, 1:]
    x[y < 0] = -1  # the end mark itself is only predicted
    return x, y


def _learn(model, x, y, steps, learning_rate):
    """Adam on the last row of the table; the other rows have no gradient, and do not move."""
    table, loss = model.table, CrossEntropy()
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build([table])
    own = np.zeros([table.shape[0], 1], np.float32)
    own[-1] = 1

    @function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    def step(x, y):
        rows = tf.fill([tf.shape(x)[0]], table.shape[0] - 1)
        with tf.GradientTape() as tape:
            nats = loss(y, model.after_contexts(x, rows))
        gradient = tape.gradient(nats, table.value)
        optimizer.apply([tf.convert_to_tensor(gradient) * own], [table])

    for _ in range(steps):
        step(tf.constant(x), tf.constant(y))
