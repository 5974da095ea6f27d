"""A functional model that saves as the call that built it."""

import dataclasses
import importlib

import keras

import lm_keras.models
from lm_keras.errors import InputError
from lm_keras.models.quantized import quantization_of, quantize_again, quietly
from lm_keras.saved_kinds import kind_of, refusal


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The builder's name and its arguments (a plain object, so that Keras does not track it)."""

    builder: str
    arguments: dict


@keras.saving.register_keras_serializable("lm_keras")
class BuiltModel(keras.Model):
    """A functional `keras.Model` whose config is its builder's name and arguments, not a graph of layers.

    So a saved model stays readable, and `keras.models.load_model` calls the builder again and puts the
    weights in. Layers that were frozen come back frozen, the others not, and quantized ones quantized.
    """

    def __init__(self, inputs, outputs, *, builder, arguments, name=None):
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.recipe = Recipe(builder, arguments)
        self.policy = keras.config.dtype_policy().name  # what its layers were built to compute in
        self.num_parameters = self.count_params()  # quantized weights are packed, and have scales
        self.times_quantized = 0  # functions traced before are of weights that are no more

    def quantize(self, mode=None, config=None, filters=None, **options):
        """Keras' `quantize`, "int8" or "int4", in place: of both views, which share their layers.

        `lm_keras.quantize` gives another LanguageModel instead. A `tf.function` traced before keeps the old weights.
        """
        with quietly():
            super().quantize(mode, config=config, filters=filters, **options)
        self.times_quantized += 1

    def get_config(self):
        frozen = [layer.name for layer in self.layers if not layer.trainable]
        return {
            "builder": self.recipe.builder,
            "arguments": self.recipe.arguments,
            "frozen": frozen,
            "quantized": quantization_of(self),
            "dtype": self.policy,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if config["builder"] not in lm_keras.models.__all__ or not config["builder"].startswith("build_"):
            name = config["builder"]
            raise InputError(f"this lm_keras has no builder {name!r}; use the version that saved the model")
        builder = getattr(lm_keras.models, config["builder"])
        before = keras.config.dtype_policy()
        try:
            keras.config.set_dtype_policy(config.get("dtype", before))
            model = builder(**config["arguments"], name=config["name"])
        finally:
            keras.config.set_dtype_policy(before)
        for layer in model.layers if "frozen" in config else ():
            if layer.trainable == (layer.name in config["frozen"]):
                layer.trainable = not layer.trainable
        quantize_again(model, config.get("quantized", ()))
        return model


def load_model(path):
    """The model of a .keras file, whatever builder or head of this library made it; not compiled, as `fit` takes it.

    `keras.models.load_model` reads such files too, once the classes in them have been imported; this imports them.
    Raises InputError for what is no .keras file.
    """
    if (kind := kind_of(path)) != "keras":
        if kind not in ("missing", "nothing", "file"):
            raise refusal(path, kind, "load_model takes a .keras file")
        raise InputError(f"{path} is no .keras file, or a damaged one; give one that `model.save` wrote")
    for module in ("causal_lm", "seq2seq"):
        importlib.import_module(f"lm_keras.models.{module}")
    return keras.models.load_model(path, compile=False)
