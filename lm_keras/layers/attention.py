"""Attention, and what the transformer families build on it.

In the order of this file: scaled dot-product attention (`attend`) and the layer of a text that looks at itself
(`SelfAttention`), attention to a source (`MemoryHeads`, `CrossAttention`), what every block shares
(`TransformerBlock`, `Dropout`, `recomputable`, `Seeds`), and the cache of keys and values for decoding (`slots`,
`CacheRows`, `write`).
"""

import contextlib
import contextvars
import functools
import warnings
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf
from keras import layers, ops

from lm_keras.layers.positions import rotate
from lm_keras.utils.keras_internals import flatten_layers

# The first token of a text sees itself alone: there a softmax over one score is right.
warnings.filterwarnings("ignore", "You are using a softmax over axis -1 of a tensor of shape")
UNSEEN = -1e9  # in place of a score: its weight is 0, and a row that sees nothing gets no NaN


def attend(query, key, value, visible, dropout=None):
    """softmax(Q K^T / sqrt(d_k)) V, document 001, section 4 (Vaswani et al. 2017, equation 1).

    query [B, H, t, D], key and value [B, K, L, D], H a multiple of K: query heads share them in groups (Ainslie
    et al. 2023). visible bool, broadcast to [B, t, L]: what each query may look at.
    Returns the mixed values [B, H, t, D] and the weights [B, H, t, L], whose rows sum to 1.
    """
    batch, heads, steps, dim = ops.shape(query)
    kept = key.shape[1]
    grouped = ops.reshape(query / dim**0.5, (batch, kept, heads // kept * steps, dim))  # D numbers each, not L
    scores = ops.matmul(grouped, ops.transpose(key, (0, 1, 3, 2)))
    scores = ops.reshape(scores, (batch, heads, steps, ops.shape(key)[2]))
    exact = keras.backend.result_type(scores.dtype, "float32")  # in mixed precision too
    scores = ops.where(visible[:, None], ops.cast(scores, exact), UNSEEN)
    weights = ops.cast(ops.softmax(scores), query.dtype)
    mixing = weights if dropout is None else dropout(weights)
    mixing = ops.reshape(mixing, (batch, kept, heads // kept * steps, ops.shape(key)[2]))
    return ops.reshape(ops.matmul(mixing, value), (batch, heads, steps, dim)), weights


@keras.saving.register_keras_serializable("lm_keras")
class SelfAttention(layers.Layer):
    """Each token looks at those tokens of its own text that `visible`, bool [B, t, L], shows.

    x [B, t, E] -> (x [B, t, E], weights [B, H, t, L], keys, values [B, K, L, D]).

    `num_kv_heads` < `num_heads`: grouped queries. `turns`, (cosines, sines) of `Rotary`: queries and keys turn with
    their positions.
    To go on with a text, `memory` is (keys, values, rows, ids): caches [B, K, L + 1, D], the `CacheRows` [B K t] of
    the tokens that are written to them, and their ids [B, t].
    """

    def __init__(
        self,
        num_heads,
        head_dim,
        *,
        num_kv_heads=None,
        qkv_bias=True,
        output_bias=True,
        dropout=0.0,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads, self.head_dim, self.num_kv_heads = num_heads, head_dim, num_kv_heads or num_heads
        self.qkv_bias, self.output_bias = qkv_bias, output_bias
        self.rate, self.seed = dropout, seed
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        # One product for queries, keys and values: three small ones take longer.
        heads = self.num_heads + 2 * self.num_kv_heads
        self.qkv = layers.Dense(
            heads * head_dim, use_bias=qkv_bias, kernel_initializer=self.kernel_initializer, name="qkv"
        )
        self.dropout = Dropout(dropout, seed=seed) if dropout else None

    def build(self, x_shape):
        self.qkv.build(x_shape)
        self.out = layers.Dense(
            x_shape[-1], use_bias=self.output_bias, kernel_initializer=self.output_initializer, name="out"
        )
        self.out.build((*x_shape[:-1], self.num_heads * self.head_dim))

    def call(self, x, visible, turns=None, memory=None, training=None):
        query, key, value = self._project(x)  # (B, H, t, D), (B, K, t, D) twice
        if turns is not None:
            query, key = rotate(query, *turns), rotate(key, *turns)
        if memory is not None:
            keys, values, rows, ids = memory
            key, value = write(keys, key, rows, ids), write(values, value, rows, ids)
        drop = None if self.dropout is None else functools.partial(self.dropout, training=training)
        mixed, weights = attend(query, key, value, visible, drop)  # (B, H, t, D), (B, H, t, L)
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        mixed = ops.reshape(mixed, (*ops.shape(mixed)[:2], self.num_heads * self.head_dim))
        return self.out(mixed), weights, key, value

    def compute_output_spec(self, x, visible, turns=None, memory=None, training=None):
        # Without it Keras traces `call` at every use, which takes most of the time to build a deep model.
        batch, steps, _ = x.shape
        length = steps if memory is None else memory[0].shape[2]
        shapes = [x.shape, (batch, self.num_heads, steps, length)]
        shapes += [(batch, self.num_kv_heads, length, self.head_dim)] * 2
        return tuple(keras.KerasTensor(shape, self.compute_dtype) for shape in shapes)

    def _project(self, x):
        queries, kept = self.num_heads, self.num_kv_heads
        heads = ops.reshape(self.qkv(x), (*ops.shape(x)[:2], queries + 2 * kept, self.head_dim))
        heads = ops.transpose(heads, (0, 2, 1, 3))  # (B, H + 2 K, t, D)
        # Not slices: their gradients are three arrays of zeros to fill and add.
        return ops.split(heads, (queries, queries + kept), axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "num_kv_heads": self.num_kv_heads,
            "qkv_bias": self.qkv_bias,
            "output_bias": self.output_bias,
            "dropout": self.rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
            "seed": self.seed,
        }


# === Attention from one text to another: the decoder of a transformer looks at what the encoder has read ===


@keras.saving.register_keras_serializable("lm_keras")
class MemoryHeads(layers.Layer):
    """memory [B, S, E], valid bool [B, S] -> keys, values [B, H, S, D] of all heads, computed once for a source.

    Values are zero where there is no token, so that a source without any token gives nothing, not an average.
    """

    def __init__(self, num_heads, head_dim, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.head_dim = num_heads, head_dim
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.dense = layers.Dense(
            2 * num_heads * head_dim, use_bias=False, kernel_initializer=self.kernel_initializer, name="keys_values"
        )

    def build(self, memory_shape, *_):
        self.dense.build(memory_shape)

    def call(self, memory, valid):
        heads = _heads(self.dense(memory), 2 * self.num_heads, self.head_dim)
        keys, values = heads[:, : self.num_heads], heads[:, self.num_heads :]
        return keys, ops.where(valid[:, None, :, None], values, 0)

    def get_config(self):
        return {**super().get_config(), **_config(self)}


@keras.saving.register_keras_serializable("lm_keras")
class CrossAttention(layers.Layer):
    """x [B, t, E] looks at keys, values [B, H, S, D] where valid [B, S]: (x [B, t, E], weights [B, H, t, S])."""

    def __init__(
        self,
        num_heads,
        head_dim,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads, self.head_dim = num_heads, head_dim
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        options = {"use_bias": False, "kernel_initializer": self.kernel_initializer}
        self.query = layers.Dense(num_heads * head_dim, **options, name="query")

    def build(self, x_shape, *_):
        self.query.build(x_shape)
        options = {"use_bias": False, "kernel_initializer": self.output_initializer}
        self.out = layers.Dense(x_shape[-1], **options, name="out")
        self.out.build((*x_shape[:-1], self.num_heads * self.head_dim))

    def call(self, x, keys, values, valid):
        query = _heads(self.query(x), self.num_heads, self.head_dim)
        mixed, weights = attend(query, keys, values, valid[:, None])  # (B, H, t, D), (B, H, t, S)
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        return self.out(ops.reshape(mixed, (*ops.shape(mixed)[:2], self.num_heads * self.head_dim))), weights

    def get_config(self):
        output_initializer = keras.initializers.serialize(self.output_initializer)
        return {**super().get_config(), **_config(self), "output_initializer": output_initializer}


def _heads(x, heads, dim):
    """[B, t, heads * dim] -> [B, heads, t, dim]."""
    return ops.transpose(ops.reshape(x, (*ops.shape(x)[:2], heads, dim)), (0, 2, 1, 3))


def _config(layer):
    initializer = keras.initializers.serialize(layer.kernel_initializer)
    return {"num_heads": layer.num_heads, "head_dim": layer.head_dim, "kernel_initializer": initializer}


# === What every transformer block shares: it can be computed again in the backward pass instead of kept in memory ===

_HELD = contextvars.ContextVar("held", default=None)  # the seeds of the pass that is computed, by dropout layer


class TransformerBlock(layers.Layer):
    """Base class of the blocks of a transformer: one layer of the model, with the sublayers inside.

    A subclass implements `call(x, ..., training=None)` with `@recomputable` above it and returns x [B, T, D] alone or
    x first. It passes `training` on to the sublayers that ask for it, and its dropout layers are `Dropout` of this
    module. `num_seeds` says how many seeds it takes: seed, seed + 1, ...

    Attributes:
        recompute: True: in a graph, training keeps no more of the block than what enters it and computes the rest
            again for the gradient (Chen et al. 2016). `TrainingConfig(recompute=True)` sets it for a run. Only the
            gradient of x passes the block then, not that of what it returns beside.
    """

    num_seeds = 0

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.recompute = False


@keras.saving.register_keras_serializable("lm_keras")
class Dropout(layers.Dropout):
    """`keras.layers.Dropout` that drops the same numbers again where a block is computed a second time."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        held = _HELD.get() or {}
        if training and self in held:
            return keras.random.dropout(inputs, self.rate, seed=_Drawn(held[self]))
        return super().call(inputs, training=training)


class _Drawn(keras.random.SeedGenerator):
    """Gives a seed that another generator has drawn."""

    def __init__(self, seed: tf.Tensor):
        self.seed = seed  # and no state of its own

    def next(self, ordered: bool = True) -> tf.Tensor:
        return self.seed


def recomputable(call: Callable) -> Callable:
    """Lets a block's `call` be computed again in the backward pass where its `recompute` is set; a decorator."""

    @functools.wraps(call)
    def compute(block, *args, training=None, **kwargs):
        if not (block.recompute and tf.inside_function()):
            return call(block, *args, training=training, **kwargs)
        dropouts = [layer for layer in flatten_layers(block) if isinstance(layer, Dropout) and layer.rate > 0]
        seeds = {layer: layer.seed_generator.next() for layer in dropouts} if training else {}
        given, beside = keras.tree.flatten((args, kwargs)), []
        # Gradients pass through the arguments of the function alone; masks and positions have none.
        floats = [i for i, x in enumerate(given) if tf.is_tensor(x) and x.dtype.is_floating]

        def forward(*values):
            filled = list(given)
            for i, value in zip(floats, values, strict=True):
                filled[i] = value
            again, named = keras.tree.pack_sequence_as((args, kwargs), filled)
            with _holding(seeds):
                outputs = call(block, *again, training=training, **named)
            x, *rest = outputs if isinstance(outputs, tuple) else (outputs,)
            beside.append((isinstance(outputs, tuple), rest))
            return x

        x = tf.recompute_grad(forward)(*[given[i] for i in floats])
        several, rest = beside[0]  # of the first pass: without a gradient, so that nothing is kept for one
        return (x, *map(tf.stop_gradient, rest)) if several else x

    return compute


@contextlib.contextmanager
def _holding(seeds: dict[layers.Layer, tf.Tensor]) -> Iterator[None]:
    token = _HELD.set(seeds)
    try:
        yield
    finally:
        _HELD.reset(token)


class Seeds:
    """The numbers `seed`, `seed` + 1, ... for what is drawn at random in a model, or None each time.

    Args:
        seed: the first of them; None: no fixed numbers.
    """

    def __init__(self, seed: int | None):
        self.seed = seed

    def next(self, count: int = 1) -> int | None:
        """Returns the next number, the first of `count` that are now taken."""
        first = self.seed
        self.seed = None if first is None else first + count
        return first


# === The growing memory of an attention model: what was seen of each row, packed from the left ===
# A cache is [B, K, L + 1, D]: K heads, room for L tokens. Rows fill at their own pace, so the n-th token of a row
# stands in slot n, whatever padding its batch has, and a slot is also the token's position. Slots that are not
# filled are zero; the last one stays so, it takes the writes of columns that hold no token.

_IN_PLACE = contextvars.ContextVar("in_place", default=False)


@contextlib.contextmanager
def written_in_place():
    """While a TensorFlow loop is traced that alone holds its caches: `write` changes them where they stand.

    TensorFlow's scatter copies the whole cache for each token: with many long texts that is more than all weights.
    """
    token = _IN_PLACE.set(True)
    try:
        yield
    finally:
        _IN_PLACE.reset(token)


def slots(ids, filled):
    """Where tokens `ids` [B, t] (negative: no token) of rows with `filled` [B] tokens go: ([B, t], filled after)."""
    valid = ops.cast(ids >= 0, "int32")
    place = filled[:, None] + ops.cumsum(valid, axis=1) - 1
    after = filled + ops.sum(valid, axis=1)
    return ops.where(ids >= 0, place, after[:, None]), after


@keras.saving.register_keras_serializable("lm_keras")
class CacheRows(layers.Layer):
    """cache [B, K, L + 1, D], slots `place` [B, t] -> `cache_rows`, which all caches of a model share."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)  # in mixed precision too: the cache is asked for its shape alone

    def call(self, cache, place):
        return cache_rows(cache, place)

    def compute_output_spec(self, cache, place):
        return keras.KerasTensor((None,), "int32")


def cache_rows(cache, place):
    """Where `write` puts vectors of the slots `place` [B, t]: rows int32 [B K t] of the table [B K (L + 1), D]."""
    batch, heads, room = ops.shape(cache)[:3]
    texts = ops.arange(batch * heads, dtype="int32") * room
    return ops.reshape(ops.reshape(texts, (batch, heads, 1)) + place[:, None], (-1,))


def write(cache, new, rows, ids):
    """The cache with `new` [B, K, t, D] in its `rows` [B K t]; columns of ids [B, t] without token write zeros."""
    new = ops.where(ids[:, None, :, None] >= 0, ops.cast(new, cache.dtype), 0)
    dim = new.shape[-1]
    table, new = ops.reshape(cache, (-1, dim)), ops.reshape(new, (-1, dim))
    if _IN_PLACE.get():
        table = tf.raw_ops.InplaceUpdate(x=table, i=rows, v=new)
    else:
        table = ops.scatter_update(table, rows[:, None], new)
    return ops.reshape(table, ops.shape(cache))
