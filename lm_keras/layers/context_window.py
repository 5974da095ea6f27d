"""Each position with those before it, side by side: what a feed-forward or convolutional model looks at."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("lm_keras")
class ContextWindow(layers.Layer):
    """x [B, T, D] -> [B, T, length * D]: x[t - (length - 1) * dilation], ..., x[t - dilation], x[t], concatenated.

    A Dense layer behind it is a causal convolution. `past` [B, (length - 1) * dilation, D] comes before x;
    None: zeros.
    """

    def __init__(self, length, dilation=1, **kwargs):
        super().__init__(**kwargs)
        self.length, self.dilation = length, dilation
        self.reach = (length - 1) * dilation

    def call(self, x, past=None):
        steps = ops.shape(x)[1]
        if past is None:
            x = ops.pad(x, ((0, 0), (self.reach, 0), (0, 0)))
        else:
            x = ops.concatenate([past, x], axis=1)
        starts = range(0, self.reach + 1, self.dilation)
        return ops.concatenate([x[:, start : start + steps] for start in starts], axis=-1)

    def get_config(self):
        return {**super().get_config(), "length": self.length, "dilation": self.dilation}
