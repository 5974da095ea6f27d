"""Functions that TensorFlow traced of a model: made again when the model is no longer the one that was traced.

A traced function reads the variables and follows the Python code of the moment at which it was traced. New values of
the same variables are seen; variables that are replaced, added or removed in place (`quantize`, `enable_lora`) and
layers that compute in another precision are not.

`function` and `one_pass` are how this library makes its TensorFlow functions.
"""

import functools
import weakref
from collections.abc import Callable, Hashable

import keras
import tensorflow as tf

from lm_keras.utils.keras_internals import flatten_layers

# `tf.function` for code that does not branch in Python on a tensor: to let AutoGraph rewrite each function that is
# called on the way doubles the time of a first call.
function = functools.partial(tf.function, autograph=False)


class TracedFunctions:
    """The traced functions of one model, each made at its first use for the variables and precisions of then."""

    def __init__(self):
        self._variables, self._made = [], {}

    def get(self, model: keras.Model, key: Hashable, make: Callable) -> object:
        """Returns the function `key` of `model`, that of the last call or a new one.

        Args:
            model: the model that the functions are of. It is not kept.
            key: which function, and what was decided in Python when it was traced.
            make: a function without arguments that gives it.

        Returns:
            What `make` gave: now, or before if nothing has changed since that a function does not see.
        """
        if self.outdated(model):
            self._made.clear()
            # Kept, so that no other variable can have the id of one of them.
            self._variables = model.variables
        key = (tuple(layer.dtype_policy.name for layer in flatten_layers(model)), key)
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def outdated(self, model: keras.Model) -> bool:
        """Returns True if `model` has other variables than at the last `get`."""
        variables = model.variables
        return len(variables) != len(self._variables) or any(
            old is not new for old, new in zip(self._variables, variables, strict=True)
        )


_OF_MODELS = weakref.WeakKeyDictionary()


def traced_of(model: keras.Model) -> TracedFunctions:
    """Returns the functions traced of any `keras.Model`, which go when the model goes.

    They are kept beside the model, of which nothing is known. So what is kept must not hold the model, which would
    keep it alive for ever: a function that calls it takes a `weakref.ref` of it.
    """
    return _OF_MODELS.setdefault(model, TracedFunctions())


# === Functions of many small operations, compiled by XLA into one pass over memory each way ===


@functools.cache
def one_pass(f, **options):
    """`f(x, **options)` of a tensor, elementwise: XLA compiles it and its gradient, which computes f(x) anew."""

    @tf.function(jit_compile=True, autograph=False)
    def forward(x):
        exact = tf.float64 if x.dtype == tf.float64 else tf.float32  # in mixed precision too
        return tf.cast(f(tf.cast(x, exact), **options), x.dtype)

    @tf.function(jit_compile=True, autograph=False)
    def backward(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = forward(x)
        return tape.gradient(y, x, upstream)

    @tf.custom_gradient
    def compiled(x):
        return forward(x), lambda upstream: backward(x, upstream)

    return compiled
