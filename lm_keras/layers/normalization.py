"""Layer normalization (Ba et al. 2016) in half the operations of Keras' own."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("lm_keras")
class LayerNormalization(layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis: gamma (x - mean) / sqrt(variance + epsilon) + beta.

    Args:
        epsilon: What is added to the variance.
        name: The layer's name.
        dtype: Its type or policy.
        trainable: Whether gamma and beta are trained.
    """

    def __init__(self, epsilon: float = 1e-5, *, name: str | None = None, dtype=None, trainable: bool = True):
        super().__init__(epsilon=epsilon, name=name, dtype=dtype, trainable=trainable)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        exact = tf.float64 if inputs.dtype == tf.float64 else tf.float32  # in mixed precision too
        x, last = tf.cast(inputs, exact), tf.constant([-1])
        centered = x - tf.reduce_mean(x, last, keepdims=True)
        variance = tf.reduce_mean(tf.square(centered), last, keepdims=True)
        gamma, beta = (tf.cast(weight, exact) for weight in (self.gamma, self.beta))
        y = centered * tf.math.rsqrt(variance + self.epsilon) * gamma + beta
        return tf.cast(y, self.compute_dtype)

    def get_config(self) -> dict:
        config = super().get_config()
        return {name: config[name] for name in ("name", "trainable", "dtype", "epsilon")}
