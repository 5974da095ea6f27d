"""Names of Keras and TensorFlow that are not public and have no public way around them: all stand here."""

import keras
import tensorflow as tf


class WrappedDataset(tf.data.Dataset):
    """A `tf.data.Dataset` with the elements of another one, for subclasses that know more than it does.

    `tf.data.Dataset` asks its subclasses for `_inputs`.

    Args:
        dataset: The `tf.data.Dataset` whose elements it has.
    """

    def __init__(self, dataset: tf.data.Dataset):
        self._wrapped = dataset  # before Dataset's own: it asks for the inputs
        super().__init__(tf.data.experimental.to_variant(dataset))

    def _inputs(self):
        return [self._wrapped]

    @property
    def element_spec(self):
        return self._wrapped.element_spec


def flat_layers(model: keras.Layer) -> list[keras.Layer]:
    """The layer itself and all layers within it: `model.layers` leaves out those within a layer that is no model."""
    return list(model._flatten_layers())
