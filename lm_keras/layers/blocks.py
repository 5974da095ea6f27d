"""What every block of a transformer shares: dropout and recomputation of one kind, and seeds."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterable, Iterator

import keras
import tensorflow as tf
from keras import layers

from lm_keras.utils.keras_internals import flatten_layers

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
def recompute_set(blocks: Iterable[TransformerBlock], recompute: bool) -> Iterator[None]:
    """While it lasts, `recompute` of these blocks."""
    before = [(block, block.recompute) for block in blocks]
    for block, _ in before:
        block.recompute = recompute
    try:
        yield
    finally:
        for block, own in before:
            block.recompute = own


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
