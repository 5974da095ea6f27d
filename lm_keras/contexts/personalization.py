"""One more context from a few texts: its vector is learned, and nothing else.

Few texts say little of a vector of hundreds of numbers: what fits them best is far from what fits the next text. So
the vector is the likeliest under a normal prior (maximum a posteriori) with the mean and the variance of the vectors
of the known contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from lm_keras.errors import InputError
from lm_keras.losses import CrossEntropy
from lm_keras.models.conditional import ConditionalModel
from lm_keras.utils.checks import check_positive
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.contexts.conditional import ConditionalLM

LONGEST = 128  # tokens of a row; a longer text is read in several
MOST_ROUNDS = 60  # of L-BFGS


def with_context(conditional: ConditionalLM, texts: Sequence[str], spread: float = 1.0) -> ConditionalModel:
    """A model of one context more, the last; see `ConditionalLM.learn_context`.

    Args:
        conditional: The model whose layers and contexts it shares.
        texts: Texts of the new context.
        spread: The prior's standard deviation, in that of the known vectors.

    Returns:
        The `ConditionalModel`.

    Raises:
        InputError: There is no text.
    """
    check_positive(spread=spread)
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise InputError("there is no text to learn a context from; give at least one")
    model = conditional.model
    made = ConditionalModel(model.inner, model.num_contexts + 1, model.by)
    known = keras.ops.convert_to_numpy(model.table).astype("float64")
    made.table.assign(np.concatenate([known, known[:1]]))
    nats, mean = _nats_of(made, *rows_of(conditional, texts)), known.mean(0)
    variance = max(known.var(0, ddof=1).mean(), 1e-6) * spread**2

    def cost(vector):
        """-log p(texts, vector), but for a constant, and its gradient."""
        value, gradient = nats(vector)
        away = vector - mean
        return value + (away**2).sum() / (2 * variance), gradient + away / variance

    contexts = (None, *conditional.contexts)
    log_probs = [sum(one.log_prob for one in conditional.score(texts, context)) for context in contexts]
    start = known[int(np.argmax(log_probs))]
    found = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": MOST_ROUNDS})
    made.table.assign(np.concatenate([known, found.x[None]]))
    return made


def _nats_of(model: ConditionalModel, x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], tuple]:
    """A function of the last vector of the table: the nats of all words of y, and their gradient."""
    loss, table, count = CrossEntropy(), model.table, int((y >= 0).sum())
    known = keras.ops.convert_to_numpy(table)[:-1]

    @function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    def run(x, y):
        rows = tf.fill([tf.shape(x)[0]], table.shape[0] - 1)
        with tf.GradientTape() as tape:
            nats = count * loss(y, model.after_contexts(x, rows))
        return nats, tf.convert_to_tensor(tape.gradient(nats, table.value))[-1]

    def nats_of(vector):
        table.assign(np.concatenate([known, vector[None].astype("float32")]))
        nats, gradient = run(tf.constant(x), tf.constant(y))
        return float(nats), gradient.numpy().astype("float64")

    return nats_of


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
