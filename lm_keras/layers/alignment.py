"""Attention as it was first put beside recurrent networks: which states of a memory fit the present one."""

import keras
from keras import layers, ops

from lm_keras.errors import InputError
from lm_keras.layers.attention import UNSEEN
from lm_keras.layers.cache import cache_rows, write

SCORES = ("additive", "multiplicative")


def check_score(score):
    """Raises InputError for what is not the name of a score."""
    if score not in SCORES:
        raise InputError(f'the attention score is {score!r}; it must be "additive" or "multiplicative"')


def align(scores, values, visible):
    """α = softmax(scores), c = Σ_s α_s values_s (Bahdanau et al. 2015, equations 5 and 6).

    scores [B, t, S], values [B, S, H], visible bool, broadcast to [B, t, S]: what each query may look at.
    Returns the contexts c [B, t, H] and the weights α [B, t, S], whose rows sum to 1.
    """
    weights = ops.cast(shares(scores, visible), values.dtype)
    return ops.matmul(weights, values), weights


def shares(scores, visible):
    """softmax(scores) [..., S] over what is visible; float32 in mixed precision too."""
    exact = keras.backend.result_type(scores.dtype, "float32")
    return ops.softmax(ops.where(visible, ops.cast(scores, exact), UNSEEN))


@keras.saving.register_keras_serializable("lm_keras")
class Alignment(layers.Layer):
    """query h_t [B, t, Q], keys [B, S, A], values [B, S, H], visible -> contexts [B, t, H], weights [B, t, S].

    `score="additive"`: v · tanh(W h_t + key_s), with key_s = U h_s (Bahdanau et al. 2015, appendix A.1.2);
    "multiplicative": h_t · key_s, with key_s = W h_s (Luong et al. 2015, "general", equation 8). The keys come
    from a Dense layer without bias, so that each state of the memory is multiplied once, not at every step.
    Additive scores take [B, t, S, A] numbers; `sparing=True` takes one query after the other: [B, S, A].
    """

    def __init__(self, score, kernel_initializer="glorot_uniform", v_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        check_score(score)
        self.score, self.supports_masking = score, True
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.v_initializer = keras.initializers.get(v_initializer)

    def build(self, query_shape, keys_shape, *_):
        if self.score == "additive":
            width = keys_shape[-1]
            self.kernel = self.add_weight((query_shape[-1], width), self.kernel_initializer, name="kernel")
            self.v = self.add_weight((width, 1), self.v_initializer, name="v")

    def call(self, query, keys, values, visible, sparing=False):
        if self.score == "multiplicative":
            return align(ops.matmul(query, ops.transpose(keys, (0, 2, 1))), values, visible)
        query = ops.matmul(query, self.kernel)  # (B, t, A)
        if sparing:
            by_query = ops.map(lambda q: self._additive(q[:, None], keys), ops.transpose(query, (1, 0, 2)))
            return align(ops.transpose(by_query, (1, 0, 2)), values, visible)
        return align(self._additive(query[:, :, None], keys[:, None]), values, visible)

    def _additive(self, query, keys):
        return ops.matmul(ops.tanh(query + keys), self.v)[..., 0]

    def get_config(self):
        return {
            **super().get_config(),
            "score": self.score,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "v_initializer": keras.initializers.serialize(self.v_initializer),
        }


@keras.saving.register_keras_serializable("lm_keras")
class Append(layers.Layer):
    """The cache [B, 1, L + 1, H] with the vectors `new` [B, t, H] of tokens `ids` [B, t] in slots `place` [B, t]."""

    supports_masking = True

    def call(self, cache, new, place, ids):
        new = ops.where(ids[:, :, None] >= 0, new, 0)  # no token: zeros are written
        return write([cache], [new[:, None]], cache_rows(cache, place))[0]
