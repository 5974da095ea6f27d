"""From log-probabilities of label words to probabilities of classes, and what corrects a prompt's own preference.

The score of a class is the log of the sum of the probabilities of its label words, `logsumexp` over their
log-probabilities: PET's verbalizers of several words (Schick & Schuetze 2021; Ding et al. 2022, OpenPrompt, average
them instead, which makes the score of a class depend on its rare words).
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lm_keras.prompting.verbalizer import LabelWords

CALIBRATIONS = (None, "contextual", "batch")
NORMALIZATIONS = (None, "tokens", "unconditional")
CONTENT_FREE = ("N/A", "", "[MASK]")  # Zhao et al. 2021, section 5


def class_scores(
    log_probs: tf.Tensor, words: LabelWords, normalize: str | None, unconditional: np.ndarray | None
) -> tf.Tensor:
    """Log-scores of classes, in a graph too.

    Args:
        log_probs: float32 [B, A], of the label words.
        words: The label words.
        normalize: None: sums over the tokens of a word. "tokens": their means. "unconditional": less the word's
            log-probability in the template with empty fields, which says how much likelier the text makes it (Brown
            et al. 2020, section 2.4; Holtzman et al. 2021).
        unconditional: float32 [A], for "unconditional".

    Returns:
        float32 [B, C].
    """
    if normalize == "tokens":
        log_probs /= words.lengths.astype("float32")
    elif normalize == "unconditional":
        log_probs -= unconditional
    groups = [np.flatnonzero(words.classes == place) for place in range(int(words.classes.max()) + 1)]
    return tf.stack([tf.reduce_logsumexp(tf.gather(log_probs, group, axis=1), 1) for group in groups], 1)


def calibrated(scores: tf.Tensor, log_prior: np.ndarray | None) -> tf.Tensor:
    """Probabilities [B, C] of log-scores [B, C], each class divided by its prior [C] or [B, C]."""
    return tf.nn.softmax(scores if log_prior is None else scores - log_prior)


def log_prior(scores: np.ndarray) -> np.ndarray:
    """The log of the mean probabilities of classes, of log-scores [N, C]: float32 [C].

    Of content-free texts it is the prior of contextual calibration, q = softmax(p / p_cf) with W = diag(p_cf)^-1 and
    b = 0 (Zhao et al. 2021, section 5); of unlabelled texts that of batch calibration (Zhou et al. 2023, section 3).
    """
    log_p = tf.nn.log_softmax(tf.cast(scores, tf.float64))
    return (tf.reduce_logsumexp(log_p, 0) - np.log(len(scores))).numpy().astype("float32")


def content_free_prior(scores_of: Callable, fields: tuple[str, ...]) -> np.ndarray:
    """The prior of contextual calibration: `scores_of(rows)` gives log-scores [N, C] of rows of fields."""
    return log_prior(scores_of([dict.fromkeys(fields, text) for text in CONTENT_FREE]))
