"""An LSTM over a sequence in TensorFlow, with back-propagation through time written by hand."""

import keras
import tensorflow as tf
from keras import layers, ops

from lm_keras.layers.dense import Dense


def lstm(x, h, c, kernel, recurrent, bias, mask=None, compiled=False):
    """x [B, T, E], first h and c [B, H], W [E, 4 H], U [H, 4 H], b [4 H] -> all h_t [B, T, H], and the last h and c.

    z_t = x_t W + h_{t-1} U + b, [i f g o] = z_t; c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g);
    h_t = sigmoid(o) tanh(c_t). Where mask [B, T] is False the state stays; before the first True, h_t is given as 0.
    `compiled` lets XLA compile the loop for this shape. In mixed precision the loop itself computes in float32.
    """
    dtype, x = x.dtype, tf.transpose(tf.cast(x, kernel.dtype), [1, 0, 2])
    size = tf.shape(x)
    gates = tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel) + bias  # (T B, 4 H)
    gates = tf.reshape(gates, [size[0], size[1], kernel.shape[1]])
    gates.set_shape([x.shape[0], x.shape[1], kernel.shape[1]])
    mask = None if mask is None else tf.transpose(mask)
    exact = tf.float64 if dtype == tf.float64 else tf.float32
    outputs, h, c = _loop(*(tf.cast(part, exact) for part in (gates, h, c, recurrent)), mask, compiled)
    if mask is not None:  # before the first real step the state is the initial one, and Keras' output 0
        begun = tf.cumsum(tf.cast(mask, tf.int32)) > 0
        outputs = tf.where(begun[..., None], outputs, 0)
    outputs, h, c = (tf.cast(part, dtype) for part in (outputs, h, c))
    return tf.transpose(outputs, [1, 0, 2]), h, c


def _loop(gates, h, c, recurrent, mask, compiled):
    """gates [T, B, 4 H] = x_t W + b -> all h_t [T, B, H], the last h and c [B, H]."""
    forward, backward = (_compiled_forward, _compiled_backward) if compiled else (_forward, _backward)

    @tf.custom_gradient
    def loop(gates, h, c, recurrent):
        all_h, all_c, activated = forward(gates, h, c, recurrent, mask)
        before_h, before_c = tf.concat([h[None], all_h], 0), tf.concat([c[None], all_c], 0)

        def gradient(d_all_h, d_h, d_c):
            d_gates, d_first_h, d_first_c = backward(
                d_all_h, d_h, d_c, recurrent, before_c[:-1], all_c, activated, mask
            )
            flat_h, flat_gates = (tf.reshape(part, [-1, part.shape[-1]]) for part in (before_h[:-1], d_gates))
            return d_gates, d_first_h, d_first_c, tf.matmul(flat_h, flat_gates, transpose_a=True)

        return (all_h, before_h[-1], before_c[-1]), gradient

    return loop(gates, h, c, recurrent)


def _forward(gates, h, c, recurrent, mask):
    """All h_t and c_t [T, B, H], and the activated gates sigmoid(i), sigmoid(f), tanh(g), sigmoid(o) [T, B, 4 H]."""
    if gates.shape[0] == 1:  # a word of a text that is written: the loop would take longer than the step
        return [part[None] for part in _step(gates[0], h, c, recurrent, None if mask is None else mask[0])]
    size = tf.shape(gates)[0] if gates.shape[0] is None else gates.shape[0]
    gates_of = tf.TensorArray(gates.dtype, size).unstack(gates)
    mask_of = None if mask is None else tf.TensorArray(tf.bool, size).unstack(mask)
    kept = [tf.TensorArray(gates.dtype, size, element_shape=s) for s in (h.shape, c.shape, gates.shape[1:])]

    def body(t, h, c, *kept):
        new = _step(gates_of.read(t), h, c, recurrent, None if mask is None else mask_of.read(t))
        return t + 1, *new[:2], *(array.write(t, part) for array, part in zip(kept, new, strict=True))

    _, _, _, *kept = tf.while_loop(lambda t, *_: t < size, body, [0, h, c, *kept])
    return [array.stack() for array in kept]


def _step(gates, h, c, recurrent, real):
    """gates [B, 4 H], state [B, H], real bool [B] or None -> the next h and c, and the activated gates."""
    z = gates + tf.matmul(h, recurrent)
    i, f, g, o = tf.split(z, 4, axis=-1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    new_c = f * c + i * g
    new_h = o * tf.tanh(new_c)
    if real is not None:
        new_h, new_c = tf.where(real[:, None], new_h, h), tf.where(real[:, None], new_c, c)
    return new_h, new_c, tf.concat([i, f, g, o], -1)


def _backward(d_all_h, d_h, d_c, recurrent, before_c, all_c, activated, mask):
    """Gradients of the gates [T, B, 4 H] and of the first h and c [B, H]."""
    # What does not depend on the step after can be computed for all steps at once.
    i, f, g, o = tf.split(activated, 4, axis=-1)
    tanh_c = tf.tanh(all_c)
    through_o = tanh_c * o * (1 - o)  # d z_o = d h * this
    through_c = o * (1 - tanh_c * tanh_c)  # d c += d h * this
    through = tf.concat([g * i * (1 - i), before_c * f * (1 - f), i * (1 - g * g)], -1)  # d z_ifg = d c * this
    size = tf.shape(activated)[0] if activated.shape[0] is None else activated.shape[0]
    arrays = [d_all_h, through_o, through_c, through, f] + ([] if mask is None else [mask])
    arrays = [tf.TensorArray(x.dtype, size).unstack(x) for x in arrays]

    def body(t, d_h, d_c, d_gates):
        d_all_h, to_o, to_c, to_gates, f, *real = (array.read(t) for array in arrays)
        d_h += d_all_h
        new_c = d_c + d_h * to_c
        d_z = tf.concat([tf.tile(new_c, [1, 3]) * to_gates, d_h * to_o], -1)
        if real:
            real = real[0][:, None]
            d_z = tf.where(real, d_z, 0)
            d_h = tf.where(real, tf.matmul(d_z, recurrent, transpose_b=True), d_h)
            return t - 1, d_h, tf.where(real, new_c * f, d_c), d_gates.write(t, d_z)
        return t - 1, tf.matmul(d_z, recurrent, transpose_b=True), new_c * f, d_gates.write(t, d_z)

    d_gates = tf.TensorArray(activated.dtype, size, element_shape=activated.shape[1:])
    _, d_h, d_c, d_gates = tf.while_loop(lambda t, *_: t >= 0, body, [size - 1, d_h, d_c, d_gates])
    return d_gates.stack(), d_h, d_c


_compiled_forward = tf.function(_forward, jit_compile=True, autograph=False)
_compiled_backward = tf.function(_backward, jit_compile=True, autograph=False)


# === The LSTM layer of Keras with a loop of less work: one product for all inputs, and a gradient written by hand ===

WORTH_COMPILING = 4096  # time steps x units: below, XLA takes longer to compile the loop than it saves


@keras.saving.register_keras_serializable("lm_keras")
class LSTM(keras.layers.LSTM):
    """`keras.layers.LSTM`: the same weights, arguments and results, in less time on a CPU.

    The inputs are multiplied with their kernel before the loop, all time steps at once. Back-propagation through time
    keeps only the gradients of the gates in its loop; those of both kernels are one product each after it.
    (Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000.) In training XLA compiles the loop where
    the number of steps is fixed and the work is worth it. With dropout inside the cell, other activations, the input
    read backwards, outputs that a mask makes zeros or another engine than TensorFlow, Keras' own loop runs.
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        cell = self.cell
        usual = cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid
        if not usual or not cell.use_bias or self.go_backwards or cell.dropout or cell.recurrent_dropout:
            return super().inner_loop(sequences, initial_state, mask, training)
        if keras.backend.backend() != "tensorflow" or (mask is not None and self.zero_output_for_mask):
            return super().inner_loop(sequences, initial_state, mask, training)

        mask = keras.ops.cast(keras.tree.flatten(mask)[0], "bool") if mask is not None else None
        steps = sequences.shape[1]
        compiled = bool(training) and steps is not None and steps * self.units >= WORTH_COMPILING
        weights = cell.kernel, cell.recurrent_kernel, cell.bias
        weights = (keras.ops.cast(weight, cell.compute_dtype) for weight in weights)
        outputs, h, c = lstm(sequences, *initial_state, *weights, mask=mask, compiled=compiled)
        last = h if mask is None else outputs[:, -1]  # the state of a text without a real step is the initial one
        return last, outputs if self.return_sequences else last[:, None], [h, c]


# === A recurrent layer that also sees its own state of k steps ago (document 004, section 4.2) ===


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
        self.input_dense = Dense(units, kernel_initializer=kernel_initializer,
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
