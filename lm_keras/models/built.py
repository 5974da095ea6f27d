"""A functional model that saves as the call that built it."""

import dataclasses
import importlib

import keras

import lm_keras.models


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The builder's name and its arguments (a plain object, so that Keras does not track it)."""

    builder: str
    arguments: dict


@keras.saving.register_keras_serializable("lm_keras")
class BuiltModel(keras.Model):
    """A functional `keras.Model` whose config is its builder's name and arguments, not a graph of layers.

    So a saved model stays readable, and `keras.models.load_model` calls the builder again and puts the
    weights in.
    """

    def __init__(self, inputs, outputs, *, builder, arguments, name=None):
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.recipe = Recipe(builder, arguments)

    def get_config(self):
        return {"builder": self.recipe.builder, "arguments": self.recipe.arguments, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if config["builder"] not in lm_keras.models.__all__ or not config["builder"].startswith("build_"):
            raise KeyError(config["builder"])
        builder = getattr(lm_keras.models, config["builder"])
        return builder(**config["arguments"], name=config["name"])


def load_model(path):
    """The model of a .keras file, whatever builder or head of this library made it; not compiled, as `fit` takes it.

    `keras.models.load_model` reads such files too, once the classes in them have been imported; this imports them.
    """
    for module in ("causal_lm", "seq2seq"):
        importlib.import_module(f"lm_keras.models.{module}")
    return keras.models.load_model(path, compile=False)
