"""The private names of Keras and TensorFlow that this library cannot do without, in one place."""

import keras


def flatten_layers(model: keras.Layer) -> list[keras.Layer]:
    """`model` and all layers in it, those within layers too; Keras' `model.layers` has the outermost alone."""
    return model._flatten_layers()
