"""The LSTM layer of Keras with a loop of less work: one product for all inputs, and a gradient written by hand."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("lm_keras")
class LSTM(keras.layers.LSTM):
    """`keras.layers.LSTM`: the same weights, arguments and results, in less time on a CPU.

    The inputs are multiplied with their kernel before the loop, all time steps at once. Back-propagation through time
    keeps only the gradients of the gates in its loop; those of both kernels are one product each after it.
    (Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000.) With dropout inside the cell, other
    activations or the input read backwards, Keras' own loop runs.
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        cell = self.cell
        usual = cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid
        if not usual or not cell.use_bias or self.go_backwards or cell.dropout or cell.recurrent_dropout:
            return super().inner_loop(sequences, initial_state, mask, training)
        mask = keras.tree.flatten(mask)[0] if mask is not None else None
        kernels = (cell.kernel, cell.recurrent_kernel, cell.bias)
        x, h, c, kernel, recurrent, bias = (
            tf.cast(tf.convert_to_tensor(part), self.compute_dtype) for part in (sequences, *initial_state, *kernels)
        )
        size = tf.shape(x)
        gates = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), kernel) + bias  # (B T, 4 H)
        gates = tf.transpose(tf.reshape(gates, [size[0], size[1], recurrent.shape[1]]), [1, 0, 2])
        mask = None if mask is None else tf.transpose(mask)
        outputs, h, c = lstm_loop(gates, h, c, recurrent, mask)
        if mask is not None:  # before the first real step the state is the initial one, and Keras' output 0
            begun = tf.cumsum(tf.cast(mask, tf.int32)) > 0
            outputs = tf.where(begun[..., None], outputs, 0)
        return h, tf.transpose(outputs, [1, 0, 2]) if self.return_sequences else h[:, None], [h, c]


def lstm_loop(gates, h, c, recurrent, mask=None):
    """Time steps z_t = gates_t + h_{t-1} U, [i f g o] = z_t; c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g);
    h_t = sigmoid(o) tanh(c_t). gates [T, B, 4 H], h and c [B, H], recurrent U [H, 4 H], mask bool [T, B]: where it is
    False the state stays. Returns all h_t [T, B, H], and the last h and c.
    """

    @tf.custom_gradient
    def loop(gates, h, c, recurrent):
        all_h, all_c, activated = _forward(gates, h, c, recurrent, mask)
        before_h, before_c = tf.concat([h[None], all_h], 0), tf.concat([c[None], all_c], 0)

        def gradient(d_all_h, d_h, d_c):
            d_gates, d_first_h, d_first_c = _backward(
                d_all_h, d_h, d_c, recurrent, before_c[:-1], all_c, activated, mask
            )
            d_recurrent = tf.matmul(_flat(before_h[:-1]), _flat(d_gates), transpose_a=True)
            return d_gates, d_first_h, d_first_c, d_recurrent

        return (all_h, before_h[-1], before_c[-1]), gradient

    return loop(gates, h, c, recurrent)


def _flat(x):
    """[T, B, N] -> [T B, N]."""
    return tf.reshape(x, [-1, x.shape[-1]])


def _forward(gates, h, c, recurrent, mask):
    """All h_t and c_t [T, B, H], and the activated gates sigmoid(i), sigmoid(f), tanh(g), sigmoid(o) [T, B, 4 H]."""

    def step(t, h, c):
        z = gates_of.read(t) + tf.matmul(h, recurrent)
        i, f, g, o = tf.split(z, 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        new_c = f * c + i * g
        new_h = o * tf.tanh(new_c)
        if mask is not None:
            real = mask_of.read(t)[:, None]
            new_h, new_c = tf.where(real, new_h, h), tf.where(real, new_c, c)
        return new_h, new_c, tf.concat([i, f, g, o], -1)

    size = tf.shape(gates)[0]
    gates_of = tf.TensorArray(gates.dtype, size).unstack(gates)
    mask_of = None if mask is None else tf.TensorArray(tf.bool, size).unstack(mask)
    kept = [tf.TensorArray(gates.dtype, size, element_shape=s) for s in (h.shape, c.shape, gates.shape[1:])]

    def body(t, h, c, *kept):
        new = step(t, h, c)
        return t + 1, *new[:2], *(array.write(t, part) for array, part in zip(kept, new, strict=True))

    _, _, _, *kept = tf.while_loop(lambda t, *_: t < size, body, [0, h, c, *kept])
    return [array.stack() for array in kept]


def _backward(d_all_h, d_h, d_c, recurrent, before_c, all_c, activated, mask):
    """Gradients of the gates [T, B, 4 H] and of the first h and c [B, H]."""
    # What does not depend on the step after can be computed for all steps at once.
    i, f, g, o = tf.split(activated, 4, axis=-1)
    tanh_c = tf.tanh(all_c)
    through_o = tanh_c * o * (1 - o)  # d z_o = d h * this
    through_c = o * (1 - tanh_c * tanh_c)  # d c += d h * this
    through = tf.concat([g * i * (1 - i), before_c * f * (1 - f), i * (1 - g * g)], -1)  # d z_ifg = d c * this
    size = tf.shape(activated)[0]
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
