"""A functional model that saves as the call that built it."""

import dataclasses
import re
from collections.abc import Callable

import keras
import numpy as np

import lm_keras.models
from lm_keras.errors import InputError, damaged
from lm_keras.files import path_of
from lm_keras.models.keras_file import WEIGHTS, check_file
from lm_keras.models.limits import check_arguments, check_finite, weights_within
from lm_keras.models.logits_model import LogitsModel
from lm_keras.models.quantized import all_layers, quantization_of, quantize_again, quietly
from lm_keras.models.renamed import current_arguments, current_file, current_path
from lm_keras.saved_kinds import kind_of, refusal

_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.>-]*")  # what a scope of a TensorFlow graph may be called
_POLICIES = ("float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16", "float64")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The builder's name and its arguments (a plain object, so that Keras does not track it)."""

    builder: str
    arguments: dict


@dataclasses.dataclass(frozen=True)
class Registered:
    """A builder, its family on the command line if it has one, and the sizes with which that one begins."""

    function: Callable
    family: str | None
    small: dict


REGISTERED: dict[str, Registered] = {}  # by the builder's name; this package's own when their module is imported


def add_builder(entry: Registered) -> None:
    """Makes a builder known, and its family in `lm_keras.models.BUILDERS`; InputError for names that are taken."""
    name, family = entry.function.__name__, entry.family
    if not _is_own(entry.function):
        other = find_builder(name)
        if other is not None and _place(other.function) != _place(entry.function):
            raise InputError(f"{other.function.__module__} has a builder {name!r} already; give yours another name")
        if family is not None:
            if not isinstance(family, str) or not family.isidentifier():
                raise InputError(f"family is {family!r:.40}; give a name of letters, digits and _")
            taken = lm_keras.models.BUILDERS.setdefault(family, name)
            if taken != name:
                raise InputError(f"{taken} has the family {family!r} already; give another name")
    REGISTERED[name] = entry


def find_builder(name: str) -> Registered | None:
    """The builder of that name, this package's own or one that was registered; None for an unknown one."""
    if name not in REGISTERED and name.startswith("build_") and name in lm_keras.models.__all__:
        getattr(lm_keras.models, name)  # imports its module, which registers it
    return REGISTERED.get(name)


def _is_own(function):
    return function.__module__.startswith("lm_keras.models.")


def _place(function):
    return function.__module__, function.__qualname__


def _builder_of(config):
    """The function that a config names; InputError where nothing has registered it."""
    name, module = config["builder"], config.get("module")
    entry = find_builder(str(name))
    if entry is not None:
        return entry.function
    if module is None:
        raise InputError(f"this lm_keras has no builder {name!r}; use the version that saved the model")
    if module == "__main__":
        raise InputError(
            f"builder {name!r} is not known: the script or notebook that saved the model defined it; register it "
            "with lm_keras.models.register_builder before you load the file, best in a module of its own"
        )
    raise InputError(
        f"builder {name!r} is not known: import {module!s:.80} first (--import on the command line), which registers "
        "it with lm_keras.models.register_builder; no module is imported because a file names it"
    )


@keras.saving.register_keras_serializable("lm_keras")
class BuiltModel(LogitsModel):
    """A functional `keras.Model` whose config is its builder's name and arguments, not a graph of layers.

    So a saved model stays readable, and `keras.models.load_model` calls the builder again and puts the
    weights in. Layers that were frozen come back frozen, the others not, and quantized ones quantized.
    """

    recipe: Recipe | None = None  # `register_builder` sets it on what a builder returns
    tokenizer = None  # of an encoder: the one that came with its checkpoint (`load_pretrained`)

    def __init__(self, inputs, outputs, *, name=None):
        if name and not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise InputError(f"name is {name!r:.40}; a name has letters, digits, _ . - and begins with none of _ -")
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.policy = keras.config.dtype_policy().name  # what its layers were built to compute in
        self.num_parameters = self.count_params()  # quantized weights are packed, and have scales

    def quantize(self, mode=None, config=None, filters=None, **options):
        """Keras' `quantize`, "int8" or "int4", in place: of both views, which share their layers.

        `lm_keras.quantize` gives another LanguageModel instead. A `tf.function` of your own that was traced before
        keeps the old weights.
        """
        with quietly():
            super().quantize(mode, config=config, filters=filters, **options)
        for view in self.other_views():
            view.predict_function = None  # of the old weights

    def other_views(self) -> list[keras.Model]:
        """The models beside this one that share its layers, such as the step of a `CausalLM`."""
        return []

    def save(self, filepath, *arguments, **options):
        """Keras' `save`; what cannot be loaded again is refused before a file that is there is opened."""
        self.get_config()
        super().save(filepath, *arguments, **options)

    def get_config(self):
        entry = self.recipe and find_builder(self.recipe.builder)
        if entry is None:
            raise InputError(
                f"the function that built {self.name} is no builder that a file could name; put "
                "@lm_keras.models.register_builder above it"
            )
        outside = {} if _is_own(entry.function) else {"module": entry.function.__module__}
        return {
            "builder": self.recipe.builder,
            **outside,
            "arguments": self.recipe.arguments,
            "frozen": _frozen_layers(self),
            "quantized": quantization_of(self),
            "dtype": self.policy,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Calls the builder again; InputError, whatever the values are, for those that `get_config` did not give."""
        with damaged("the configuration of the model"):
            return cls._from_config(config)

    @classmethod
    def _from_config(cls, config):
        builder = _builder_of(config)
        arguments = current_arguments(config["builder"], config["arguments"])
        check_arguments(arguments)
        before = keras.config.dtype_policy()
        try:
            keras.config.set_dtype_policy(_policy(config.get("dtype", before.name)))
            model = builder(**arguments, name=config["name"])
        finally:
            keras.config.set_dtype_policy(before)
        if "frozen" in config:
            _freeze_again(model, {current_path(config["builder"], path) for path in config["frozen"]})
        for group in config.get("quantized", ()):
            quantize_again(model, group["config"], [current_path(config["builder"], p) for p in group["layers"]])
        return model


def hidden_view(model, inputs, hidden, others):
    """A functional model of `inputs` that gives the vectors `hidden`: alone, or second among `others`.

    Raises:
        InputError: If the builder of `model` does not say which they are.
    """
    if hidden is None:
        raise InputError(
            f"{model.name} does not say which vectors its output layer reads; its builder gives them to its views as "
            "hidden and step_hidden"
        )
    outputs = [others[0], hidden, *others[1:]] if others else hidden
    return LogitsModel(inputs, outputs, name=f"{model.name}_hidden")


def _frozen_layers(model):
    """The names of the frozen layers of a model, and the paths of frozen sublayers of those that are not."""
    frozen = [layer.name for layer in model.layers if not layer.trainable]
    for layer in model.layers:
        inner = all_layers(layer) if layer.trainable else ()
        within = [sublayer.path for sublayer in inner if sublayer.weights and not sublayer.trainable]
        frozen += [path for path in within if not any(path.startswith(f"{outer}/") for outer in within)]
    return frozen


def _freeze_again(model, frozen):
    """Freezes the layers that `_frozen_layers` of another model gave, and none of the outermost beside them."""
    for layer in model.layers:
        if layer.trainable == (layer.name in frozen):
            layer.trainable = not layer.trainable
        for sublayer in all_layers(layer):
            if sublayer.path in frozen:
                sublayer.trainable = False


def _policy(name):
    """InputError for what no model computes in, as numbers of that type could not be."""
    if name not in _POLICIES:
        raise InputError(f"dtype is {name!r}; it must be one of {', '.join(_POLICIES)}")
    return name


def load_model(path):
    """The model of a .keras file, whatever builder or head of this library made it; not compiled, as `fit` takes it.

    After `import lm_keras`, `keras.models.load_model` reads such files too, with what they were compiled with. This
    compares the sizes in the file with each other before anything is made of them. Of classes, a file may name
    those of Keras that compute and those registered with Keras; Python code in a file is never run.
    Raises InputError for what is no .keras file, or is damaged, and for weights that are not finite.
    """
    path = path_of(path)
    if (kind := kind_of(path)) != "keras":
        if kind not in ("missing", "nothing", "file"):
            raise refusal(path, kind, "load_model takes a .keras file")
        raise InputError(f"{path} is no .keras file, or a damaged one; give one that `model.save` wrote")
    with damaged(path):
        numbers, weights = check_file(path)
        # Quantized weights are made as floats first, and int4 holds two numbers in a byte.
        with weights_within(4 * numbers + 1000, 3 * weights + 10), current_file(path, WEIGHTS) as file:
            model = keras.models.load_model(file, compile=False, safe_mode=True)
    for weight in model.weights:
        advice = "the training has diverged, train again with a lower learning rate (Keras' own load_model reads it)"
        check_finite(f"{weight.path} in {path}", np.asarray(weight), advice)
    return model
