"""Both views of a causal transformer from one forward pass."""

import keras
from keras import ops

from lm_keras.layers.cache import slots
from lm_keras.layers.packing import packed_text
from lm_keras.layers.positions import Positions, Within
from lm_keras.models.causal_lm import CausalLM, Views
from lm_keras.models.logits_model import LogitsModel


def decoder(forward, *, num_layers, num_kv_heads, head_dim, max_length, name):
    """The `CausalLM` of `forward(ids, positions, visible, memories, arrange) -> (logits, hidden, kept)`.

    `kept` is [(weights, keys, values), ...]; `arrange` acts on what enters the output layer,
    `hidden`.

    Its state is `filled` int32 [B], the tokens seen, then keys and values [B, K, L + 1, D] for each layer.
    """
    # === Functional model ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    positions, within = Positions(max_length, name="places")(ids), Within(max_length, name="within")
    tokens, arrange = packed_text(ids)
    visible = positions[:, None] <= positions[:, :, None]  # (1, T, T)
    logits, hidden, kept = forward(tokens, positions, visible, [None] * num_layers, lambda x: within(arrange(x)))

    # === Step view: the same layers, with the keys and values of what came before ===
    step_ids = keras.Input((None,), dtype="int32", name="step_ids")
    filled = keras.Input((), dtype="int32", name="filled")
    shape = (num_kv_heads, None, head_dim)
    caches = [keras.Input(shape, name=f"{part}_{i}") for i in range(num_layers) for part in ("keys", "values")]
    place, after = slots(step_ids, filled)  # (B, t), (B,)
    visible = counted(ops.cast(caches[0][:1, 0, :, 0], "int32"))[:, None] <= place[:, :, None]  # (B, t, L + 1)
    memories = [(*caches[2 * i : 2 * i + 2], place, step_ids) for i in range(num_layers)]
    positions = ops.minimum(place, max_length - 1)  # a column without token may stand behind the last one
    step_logits, step_hidden, kept_after = forward(
        ops.maximum(step_ids, 0), positions, visible, memories, lambda x: x
    )
    new_caches = [cache for _, *both in kept_after for cache in both]
    step = LogitsModel([step_ids, filled, *caches], [step_logits, after, *new_caches], name=f"{name}_step")

    def initial_state(batch_size, length=None):
        room = max_length if length is None else ops.minimum(length, max_length)
        empty = [ops.zeros((batch_size, num_kv_heads, room + 1, head_dim)) for _ in caches]
        return [ops.zeros((batch_size,), "int32"), *empty]

    attention = keras.Model(ids, [weights for weights, *_ in kept], name=f"{name}_attention")
    views = Views(
        step,
        initial_state,
        context_length=max_length,
        attention_model=attention,
        hidden=hidden,
        step_hidden=step_hidden,
    )
    return CausalLM(ids, logits, views=views, name=name)


def counted(x):
    """0, 1, 2 ... along the second axis of x int [B, T]."""
    return ops.cumsum(ops.ones_like(x), axis=1) - 1
