"""The LSTM layer of Keras with a loop of less work: one product for all inputs, and a gradient written by hand."""

import keras

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
        from lm_keras.layers.lstm_loop import lstm

        mask = keras.ops.cast(keras.tree.flatten(mask)[0], "bool") if mask is not None else None
        steps = sequences.shape[1]
        compiled = bool(training) and steps is not None and steps * self.units >= WORTH_COMPILING
        weights = cell.kernel, cell.recurrent_kernel, cell.bias
        weights = (keras.ops.cast(weight, cell.compute_dtype) for weight in weights)
        outputs, h, c = lstm(sequences, *initial_state, *weights, mask=mask, compiled=compiled)
        last = h if mask is None else outputs[:, -1]  # the state of a text without a real step is the initial one
        return last, outputs if self.return_sequences else last[:, None], [h, c]
