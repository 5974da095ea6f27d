"""The private names of Keras and TensorFlow that have no public way around them: all stand here."""

import keras
import tensorflow as tf


def flatten_layers(model: keras.Layer) -> list[keras.Layer]:
    """`model` and all layers in it, those within layers too; Keras' `model.layers` has the outermost alone."""
    return model._flatten_layers()


def source_of(output: keras.KerasTensor) -> keras.Operation:
    """The layer or operation that gives an output of a functional model."""
    return output._keras_history.operation


def input_of(output: keras.KerasTensor) -> keras.KerasTensor:
    """The first input of the layer or operation that gives an output of a functional model."""
    made = output._keras_history
    return made.operation._inbound_nodes[made.node_index].input_tensors[0]


def mask_of(x: object) -> object:
    """The mask [B, T] that Keras hands on beside a tensor from layer to layer and to the loss; None without one."""
    return getattr(x, "_keras_mask", None)


def with_mask(x: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """`x`, which from here on has this mask for Keras."""
    x._keras_mask = mask
    return x


class OwnClipping:
    """Lets an optimizer clip the gradients of an update, accumulated ones too, with its method `clip`."""

    def _clip_gradients(self, grads):
        return self.clip(grads)


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
