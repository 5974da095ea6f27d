"""A functional model that saves as the call that built it."""

import contextlib
import dataclasses
import re
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

import lm_keras.models
from lm_keras.errors import InputError, damaged
from lm_keras.losses import check_takes_logits, takes_no_negative_label
from lm_keras.models.keras_file import check_arguments, check_file, check_finite, draw_weights, weights_within
from lm_keras.models.quantization import all_layers, quantization_of, quantize_again, quietly
from lm_keras.models.renamed import current_arguments, current_path, with_current_layers
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.functions import traced_of
from lm_keras.utils.keras_internals import change_h5, flatten_layers, source_of
from lm_keras.utils.saved_kinds import kind_of, refusal

# === A Keras model that gives logits, and refuses what would train on something else without a word ===

NEGATIVE = (
    "a label is negative, which keras.losses.SparseCategoricalCrossentropy does not take; compile with "
    "lm_keras.losses.CrossEntropy(), which leaves out such labels"
)


@keras.saving.register_keras_serializable("lm_keras")
class LogitsModel(keras.Model):
    """A functional `keras.Model` whose outputs are logits, or numbers without bounds: no probabilities.

    `compile` takes what Keras' does and leaves the loss as it is, but refuses one that expects probabilities. `fit`,
    `evaluate` and `predict` see layers that change in place (`quantize`, `enable_lora`), for which the step views
    and encoders are such models too.
    """

    def compile(self, optimizer="rmsprop", loss=None, *arguments, metrics=None, weighted_metrics=None, **options):
        """Keras' `compile`.

        Raises:
            InputError: for a loss or a metric that expects probabilities, such as "sparse_categorical_crossentropy";
                the line names the right one.
        """
        check_takes_logits(self.name, loss, metrics, weighted_metrics, list(arguments[1:3]))
        options |= {} if metrics is None else {"metrics": metrics}
        options |= {} if weighted_metrics is None else {"weighted_metrics": weighted_metrics}
        super().compile(optimizer, loss, *arguments, **options)

    def compile_from_config(self, config):
        # Keras' own refuses a class that has a `compile`.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def load_own_variables(self, store):
        # The first that is called where Keras loads a model from a file: layers of it may have had other names.
        parts = [part for part in flatten_layers(self) if isinstance(part, BuiltModel) and part.recipe is not None]
        builders = {part.name: part.recipe.builder for part in parts}
        change_h5(store, lambda file: with_current_layers(file, builders))
        super().load_own_variables(store)

    def fit(self, x=None, y=None, *arguments, validation_data=None, **options):
        pair = validation_data if isinstance(validation_data, (tuple, list)) else (validation_data, None)
        with self._labels_checked(x, y) as x, self._labels_checked(*pair[:2]) as first:
            validation_data = first if pair[1] is None else validation_data
            return super().fit(x, y, *arguments, validation_data=validation_data, **options)

    def evaluate(self, x=None, y=None, *arguments, **options):
        with self._labels_checked(x, y) as x:
            return super().evaluate(x, y, *arguments, **options)

    def train_on_batch(self, x, y=None, *arguments, **options):
        with self._labels_checked(x, y):
            return super().train_on_batch(x, y, *arguments, **options)

    def test_on_batch(self, x, y=None, *arguments, **options):
        with self._labels_checked(x, y):
            return super().test_on_batch(x, y, *arguments, **options)

    @contextlib.contextmanager
    def _labels_checked(self, x, y):
        """Gives `x`; InputError for negative labels that the loss does not take, of a dataset when they are read."""
        loss = getattr(self, "loss", None)
        if not any(takes_no_negative_label(part) for part in keras.tree.flatten(loss)):
            yield x
            return
        for part in [] if y is None else map(np.asarray, _plain(loss, y)):
            if part.dtype.kind in "if" and part.min(initial=0) < 0:
                raise InputError(NEGATIVE)
        if isinstance(x, tf.data.Dataset):
            # Of the base class: the labels change nothing of what another dataset knows of its windows.
            x = tf.data.Dataset.map(x, lambda *batch: _checked(loss, batch))
        try:
            yield x
        except tf.errors.InvalidArgumentError as error:
            # Of a generator, which is not looked at, the operation itself says it where XLA does not compile it.
            if NEGATIVE not in str(error) and "Received a label value of -" not in str(error):
                raise
            raise InputError(NEGATIVE) from None

    # Keras keeps what `fit`, `evaluate` and `predict` traced when a layer's variables change in place.
    def make_train_function(self, force=False):
        return super().make_train_function(force or self._changed("train"))

    def make_test_function(self, force=False):
        return super().make_test_function(force or self._changed("test"))

    def make_predict_function(self, force=False):
        return super().make_predict_function(force or self._changed("predict"))

    def _changed(self, function):
        """True when the layers are others than at the last call for this function."""
        fresh = []
        traced_of(self).get(self, function, lambda: fresh.append(True))
        return bool(fresh)


def is_graph(model: keras.Model) -> bool:
    """Whether the model is a graph of layers (functional, or a `Sequential` that is built)."""
    if not isinstance(model, keras.Sequential):
        return isinstance(model, keras.Function)
    try:
        return bool(model.outputs)
    except AttributeError:  # what Keras raises for one without a known input
        return False


def check_loss(model: keras.Model, loss: object) -> None:
    """Raises InputError for a loss of probabilities where `model` is known to give logits."""
    outputs = getattr(model, "outputs", None) or []
    last = source_of(outputs[0]) if len(outputs) == 1 else None
    if isinstance(model, LogitsModel) or getattr(last, "activation", None) is keras.activations.linear:
        check_takes_logits(model.name, loss)


def _plain(loss, y):
    """The labels of those outputs whose loss takes no negative ones."""
    if isinstance(loss, dict) and isinstance(y, dict):
        return [y[name] for name, part in loss.items() if name in y and takes_no_negative_label(part)]
    if isinstance(loss, (list, tuple)) and isinstance(y, (list, tuple)) and len(loss) == len(y):
        return [part for own, part in zip(loss, y, strict=True) if takes_no_negative_label(own)]
    return keras.tree.flatten(y) if takes_no_negative_label(loss) else []


def _checked(loss, batch):
    """A batch (x, y, ...) of a dataset, whose labels are looked at when it is read: XLA would leave that out."""
    labels = _plain(loss, batch[1]) if len(batch) > 1 else []
    checks = [tf.debugging.assert_non_negative(part, NEGATIVE) for part in labels]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.nest.map_structure(tf.identity, batch)


# === A functional model that saves as the call that built it ===

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
    text_length: int | None = None  # the same: the number of tokens at which it is meant to cut a text

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
        if config.get("quantized"):
            draw_weights()
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
    view = LogitsModel(inputs, outputs, name=f"{model.name}_hidden")
    view.dtype_policy = model.dtype_policy  # in which it was built, not what is set now
    return view


def output_model(view: keras.Model, hidden: keras.KerasTensor | None) -> keras.Model | None:
    """The model `hidden` -> the first output of `view`, the logits, of the same layers.

    None where no vectors are named, and where the logits are not made of these alone, as with direct connections.
    """
    if hidden is None:
        return None
    try:
        output = keras.Model(hidden, view.outputs[0], name=f"{view.name}_output")
    except ValueError:  # what Keras raises for outputs that need other inputs
        return None
    output.dtype_policy = view.dtype_policy  # as in the whole, not what is set now
    return output


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
        with weights_within(4 * numbers + 1000, 3 * weights + 10, drawn=False) as limit:
            model = keras.models.load_model(path, compile=False, safe_mode=True)
            limit.draw_others(model.weights)
    for weight in model.weights:
        advice = "the training has diverged, train again with a lower learning rate (Keras' own load_model reads it)"
        check_finite(f"{weight.path} in {path}", np.asarray(weight), advice)
    return model
