"""A recurrent layer that also sees its own state of k steps ago (document 004, section 4.2)."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("lm_keras")
class SkipRNN(layers.Layer):
    """h_t = σ(W_x x_t + W h_{t-1} + U h_{t-k} + b), k = `skip`; x [B, T, D] -> (h [B, T, units], state).

    Document 004 leaves W_x x_t out; without an input the state could not depend on the text. The state
    [B, k, units] holds h_{t-1}, ..., h_{t-k}, newest first; None: zeros, as h before the beginning is. A False in
    `mask` [B, T] leaves the state of that row as it was.
    """

    def __init__(self, units, skip, activation="tanh", kernel_initializer="glorot_uniform",
                 recurrent_initializer="orthogonal", skip_initializer="orthogonal", bias_initializer="zeros",
                 **kwargs):  # fmt: skip
        super().__init__(**kwargs)
        self.units, self.skip, self.activation = units, skip, keras.activations.get(activation)
        self.supports_masking = True
        # The inputs of all steps in one product, before the loop.
        self.input_dense = layers.Dense(units, kernel_initializer=kernel_initializer,
                                        bias_initializer=bias_initializer, name="input")  # fmt: skip
        cell = SkipCell(units, skip, self.activation, recurrent_initializer, skip_initializer, name="cell")
        self.rnn = layers.RNN(cell, return_sequences=True, return_state=True, name="rnn")

    def build(self, shape):
        self.input_dense.build(shape)
        self.rnn.build((*shape[:-1], self.units))

    def call(self, x, initial_state=None, mask=None):
        before = None if initial_state is None else ops.unstack(initial_state, self.skip, axis=1)
        h, *state = self.rnn(self.input_dense(x), initial_state=before, mask=mask)
        return h, ops.stack(state, axis=1)

    def get_config(self):
        dense, cell = self.input_dense, self.rnn.cell
        initializers = {
            "kernel_initializer": dense.kernel_initializer,
            "recurrent_initializer": cell.recurrent_initializer,
            "skip_initializer": cell.skip_initializer,
            "bias_initializer": dense.bias_initializer,
        }
        return {
            **super().get_config(),
            "units": self.units,
            "skip": self.skip,
            "activation": keras.activations.serialize(self.activation),
            **{name: keras.initializers.serialize(value) for name, value in initializers.items()},
        }


class SkipCell(layers.Layer):
    """One step: z_t = W_x x_t + b [B, units] and [h_{t-1}, ..., h_{t-k}] -> h_t and [h_t, ..., h_{t-k+1}]."""

    def __init__(self, units, skip, activation, recurrent_initializer, skip_initializer, **kwargs):
        super().__init__(**kwargs)
        self.units, self.skip, self.activation = units, skip, activation
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.skip_initializer = keras.initializers.get(skip_initializer)
        self.state_size, self.output_size = [units] * skip, units

    def build(self, shape):
        square = (self.units, self.units)
        self.recurrent_kernel = self.add_weight(square, self.recurrent_initializer, name="recurrent_kernel")
        self.skip_kernel = self.add_weight(square, self.skip_initializer, name="skip_kernel")

    def call(self, z, states):
        z = z + ops.matmul(states[0], self.recurrent_kernel) + ops.matmul(states[-1], self.skip_kernel)
        h = self.activation(z)
        return h, [h, *states[:-1]]
