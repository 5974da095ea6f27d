"""A dense layer over the tokens of many texts as one product of two matrices."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("lm_keras")
class Dense(layers.Dense):
    """`keras.layers.Dense`, x [..., D] -> [..., units], in half the operations where x has more than two axes.

    All tokens are rows of one matrix for the product; Keras' `tensordot` finds out in the graph which axes it has.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if inputs.shape.rank is None or inputs.shape.rank < 3:
            return super().call(inputs, training=training)
        rows = super().call(tf.reshape(inputs, [-1, inputs.shape[-1]]), training=training)
        return tokens_of(rows, inputs)

    def quantize(self, mode=None, type_check=True, config=None):
        return super().quantize(mode, type_check=False, config=config)


def tokens_of(rows: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Rows [N, F] as [..., F], where x is [..., D] of N vectors."""
    width = rows.shape[-1]
    if x.shape[:-1].is_fully_defined():
        return tf.reshape(rows, [*x.shape[:-1], width])
    y = tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [width]], 0))
    y.set_shape([*x.shape[:-1], width])
    return y
