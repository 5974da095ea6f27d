"""The private names of Keras and TensorFlow that this library cannot do without, in one place."""

import keras


def flatten_layers(model: keras.Layer) -> list[keras.Layer]:
    """`model` and all layers in it, those within layers too; Keras' `model.layers` has the outermost alone."""
    return model._flatten_layers()


def source_of(output: keras.KerasTensor) -> keras.Operation:
    """The layer or operation that gives an output of a functional model."""
    return output._keras_history.operation


class OwnClipping:
    """Lets an optimizer clip the gradients of an update, accumulated ones too, with its method `clip`."""

    def _clip_gradients(self, grads):
        return self.clip(grads)
