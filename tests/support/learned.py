"""Language models after a learned prompt, against the step of the whole model from the prompt's first state."""

import numpy as np
import tensorflow as tf
from small_models import array, log_softmax

import lm_keras as lk

KINDS = {"vectors": lk.prompting.PromptTuning, "state": lk.prompting.PrefixTuning}


def changed(tuned, scale=0.3, seed=0):
    """The tuning after a change of its numbers that no text gives, as a training makes one."""
    rng = np.random.default_rng(seed)
    for weight in tuned.training_model.weights:
        weight.assign(weight + rng.normal(0, scale, weight.shape).astype("float32"))
    return tuned


def log_probs_after(learned, model, ids):
    """log p [T, V] of what follows each of `ids` after a learned prompt, by one pass of the step from its state."""
    state = [array(part) for part in learned.first_state(model)]
    if model.context_length is not None:
        slots = [(0, 0), (0, 0), (0, len(ids)), (0, 0)]
        state = [np.pad(part, slots) if part.ndim == 4 else part for part in state]
    logits, _ = model.step(tf.constant([ids], tf.int32), [tf.constant(part) for part in state])
    return log_softmax(array(logits)[0])


def known(ids, kept, window):
    """What is known of ids after a prompt when the first `kept` of them stay and `window` slots are free for all."""
    first, later, room = ids[:kept], [], window - kept
    for token in ids[kept:]:
        if len(later) == room:
            later = later[-(-room // 2) :]
        later.append(token)
    return [*first, *later]
