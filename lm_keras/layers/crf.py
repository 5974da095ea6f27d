"""Linear-chain conditional random field: the best sequence of tags, not the best tag of each word.

A sequence of tags y has the score of its emissions and transitions, s(y) = sum over t of e[t, y_t] + A[y_(t-1), y_t],
and the probability exp(s(y)) / Z, where Z is the sum over all sequences (Lafferty et al. 2001; Huang et al. 2015,
equation 1). The layer puts both into one tensor of *potentials* [B, T, C, C]: the score of tag j at word t after tag
i at word t - 1. All that is asked of a chain is a function of them alone:

- `log_partition`: log Z, by the forward algorithm.
- `viterbi`: the sequence of the highest score.
- `marginals`: the probability of each tag at each word, by the forward-backward algorithm.

At padding the potentials are those of a copy: 0 from a tag to itself, `NEVER` to another. So no function needs a
mask, padding may stand anywhere, and there a chain goes on with the tag that it has. Before the first word it has
tag 0, and the first word's row of each tag is the same: what it costs to start with tag j.
"""

import keras
import tensorflow as tf
from keras import layers, ops

from lm_keras.layers.padding import tokens

NEVER = -1e4  # the score of what cannot be; a sum of them along a text is no infinity


@keras.saving.register_keras_serializable("lm_keras")
class CRF(layers.Layer):
    """Emissions [B, T, C], a score of each tag at each word -> potentials [B, T, C, C], float32.

    Weights: `transitions` [C, C], the score of tag j (column) after tag i (row), `start` [C] and `end` [C], of a tag
    at the first and at the last word; all begin at 0, so that a chain starts as C choices a word.

    Which columns are words says `valid` [B, T] (1: a word), else Keras' mask; without both every column is one.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, emissions_shape):
        size = emissions_shape[-1]
        options = {"initializer": "zeros", "dtype": "float32", "autocast": False}
        self.transitions = self.add_weight(shape=(size, size), name="transitions", **options)
        self.start = self.add_weight(shape=(size,), name="start", **options)
        self.end = self.add_weight(shape=(size,), name="end", **options)

    def call(self, emissions, valid=None, mask=None):
        emissions, size = ops.cast(emissions, "float32"), emissions.shape[-1]
        words = tokens(valid, mask)
        if words is None:
            words = ops.ones(ops.shape(emissions)[:2], "bool")
        number = ops.cumsum(ops.cast(words, "int32"), axis=1)  # of words up to this one
        first, last = words & (number == 1), words & (number == number[:, -1:])
        emissions += ops.where(last[..., None], self.end, 0.0)
        before = ops.where(first[..., None, None], self.start[None, :], self.transitions)
        copy = ops.where(ops.eye(size, dtype="bool"), 0.0, NEVER)
        return ops.where(words[..., None, None], before + emissions[:, :, None, :], copy)

    def compute_mask(self, emissions, previous_mask=None):
        return None

    def compute_output_spec(self, emissions, valid=None, mask=None):
        return keras.KerasTensor((*emissions.shape, emissions.shape[-1]), "float32")


def log_partition(potentials: tf.Tensor, allowed: tf.Tensor | None = None) -> tf.Tensor:
    """Returns log Z, the log of the sum of exp(score) over sequences of tags.

    Args:
        potentials: [B, T, C, C].
        allowed: bool [B, T, C], the tags that a sequence may have at each word; None: all. With one tag each it is
            the score of that sequence.

    Returns:
        float32 [B]; -inf never: what is not allowed has the score `NEVER`.
    """
    potentials = tf.cast(potentials, tf.float32)
    if allowed is not None:
        potentials = tf.where(allowed[:, :, None, :], potentials, NEVER)
    return tf.reduce_logsumexp(_forward(potentials, tf.reduce_logsumexp)[-1], -1)


def viterbi(potentials: tf.Tensor) -> tf.Tensor:
    """Returns the sequence of tags of the highest score, int32 [B, T], of potentials [B, T, C, C].

    At padding it is the tag before it.
    """
    potentials = tf.cast(potentials, tf.float32)
    best = _forward(potentials, tf.reduce_max)  # (T + 1, B, C)
    at_end = tf.argmax(best[-1], -1, tf.int32)

    def back(tag, step):
        before, scores = step  # (B, C) of the tags before, (B, C, C)
        into = tf.gather(scores, tag, axis=2, batch_dims=1)  # (B, C): of the step into `tag`
        return tf.argmax(before + into, -1, tf.int32)

    earlier = tf.scan(back, (best[:-1], tf.transpose(potentials, [1, 0, 2, 3])), at_end, reverse=True)
    return tf.transpose(tf.concat([earlier[1:], at_end[None]], 0))


def marginals(potentials: tf.Tensor) -> tf.Tensor:
    """Returns the probability of each tag at each word, float32 [B, T, C], of potentials [B, T, C, C].

    At padding it is that of the word before it.
    """
    potentials = tf.cast(potentials, tf.float32)
    forward = _forward(potentials, tf.reduce_logsumexp)[1:]  # (T, B, C)

    def back(after, scores):
        return tf.reduce_logsumexp(scores + after[:, None, :], -1)

    nothing = tf.zeros_like(forward[-1])
    backward = tf.scan(back, tf.transpose(potentials, [1, 0, 2, 3]), nothing, reverse=True)
    backward = tf.concat([backward[1:], nothing[None]], 0)
    return tf.transpose(tf.nn.softmax(forward + backward), [1, 0, 2])


def _forward(potentials, over):
    """[B, T, C, C] -> [T + 1, B, C]: over all ways to come to tag j at word t; row 0 is before the first word."""
    start = tf.one_hot(tf.zeros_like(potentials[:, 0, 0, 0], tf.int32), potentials.shape[-1], 0.0, NEVER)

    def step(before, scores):
        return over(before[:, :, None] + scores, 1)

    return tf.concat([start[None], tf.scan(step, tf.transpose(potentials, [1, 0, 2, 3]), start)], 0)
