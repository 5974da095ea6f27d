"""An LSTM over a sequence in TensorFlow, with back-propagation through time written by hand."""

import tensorflow as tf


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
