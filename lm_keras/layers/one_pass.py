"""Functions of many small operations, compiled by XLA into one pass over memory each way."""

import functools

import tensorflow as tf


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
