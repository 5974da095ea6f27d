"""What Keras' `quantize` has made of a model's layers: told as JSON, and done again to a new model.

Keras 3.15 quantizes the weights of Dense, EinsumDense, Embedding and ReversibleEmbedding; those of recurrent cells,
convolutions, additive attention and norms stay as they are.
"""

import contextlib
import gc
import json
import warnings

import keras
import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.keras_internals import flatten_layers

MODES = ("int8", "int4")
_CONFIGS = ("Int8QuantizationConfig", "Int4QuantizationConfig")
_ROUNDING = ("AbsMaxQuantizer",)  # what a configuration may hold
_MOST_BLOCK = 4096  # inputs of one scale


def quantization_of(model):
    """`[{"config": Keras' quantization config, "layers": their paths}]`, [] of a float model.

    InputError for what a file could not hold: another mode, or a LoRA adapter on quantized weights, which Keras would
    round anew into other numbers.
    """
    groups = {}
    for layer in all_layers(model):
        if layer.quantization_mode is None:
            continue
        if layer.quantization_mode not in MODES:
            raise InputError(f"{layer.path} is quantized to {layer.quantization_mode}; only {MODES} can be saved")
        if getattr(layer, "lora_enabled", False):
            raise InputError(
                f"{layer.path} is quantized and has a LoRA adapter, which cannot be merged into it and saved; enable "
                "LoRA on the float model, save that, and quantize it then"
            )
        config = keras.saving.serialize_keras_object(layer.quantization_config)
        groups.setdefault(json.dumps(config, sort_keys=True), []).append(layer.path)
    return [{"config": json.loads(config), "layers": paths} for config, paths in groups.items()]


def quantize_again(model, config, paths):
    """Quantizes the layers of these paths in a model with float weights; `config` is Keras' own, as a dict."""
    layers, config = {layer.path: layer for layer in all_layers(model)}, _config(config)
    with quietly():
        for path in paths:
            _check_block(config, layers[path])
            layers[path].quantize(config.mode, config=config)


def _check_block(config, layer):
    """InputError for int4 blocks that no weight fills, to whose size Keras would fill it up."""
    size = getattr(config, "block_size", None)
    if size is not None and size > max(_MOST_BLOCK, min(layer.weights[0].shape)):
        raise InputError(f"{layer.path} is quantized in blocks of {size}, more than it has; use another copy")


def _config(content):
    """Keras' quantization config of what `quantization_of` told; InputError for the name of any other class."""
    inner = content.get("config") if isinstance(content, dict) else None
    parts = [part for part in inner.values() if isinstance(part, dict)] if isinstance(inner, dict) else []
    for part, known in ((content, _CONFIGS), *((part, _ROUNDING) for part in parts)):
        name = part.get("class_name") if isinstance(part, dict) else part
        ours = isinstance(part, dict) and part.get("module") == "keras.quantizers" and not part.get("registered_name")
        if name not in known or not ours:
            raise InputError(f"the configuration names the quantization {name!r}; known are {', '.join(_CONFIGS)}")
    return keras.saving.deserialize_keras_object(content)


def weight_only(mode):
    """A config for Keras' `quantize`: whole numbers for weights, float for what flows through the layers.

    "int8": a scale for each output, or each word of an embedding. "int4": a scale and a zero point for every 128
    inputs of each output. Keras' own "int8" rounds activations too, and then the last bit of a sum, which can depend
    on the other rows of a batch, may decide how a number is rounded.
    """
    if mode not in MODES:
        raise InputError(f"mode is {mode!r}; it must be one of {', '.join(MODES)}")
    kinds = keras.quantizers
    if not hasattr(kinds, "Int8QuantizationConfig"):
        raise InputError(f"quantization needs Keras 3.15, which needs Python 3.11; this is Keras {keras.__version__}")
    if mode == "int8":
        return kinds.Int8QuantizationConfig(activation_quantizer=None)
    return kinds.Int4QuantizationConfig(block_size=128)


@contextlib.contextmanager
def quietly():
    """Without Keras' lines on layers that cannot be quantized, and without its long collections of garbage."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Layer .* does not have a `quantize` method")
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept", DeprecationWarning)
        gc.freeze()  # Keras collects after every layer: for a model of 30 blocks a minute or two
        try:
            yield
        finally:
            gc.unfreeze()


def all_layers(model):
    """The layers of a model, those inside of others too."""
    return flatten_layers(model)[1:]  # all but itself


# === LoRA (Hu et al. 2021): the adapters of Keras' `layer.enable_lora(rank)`, merged before a model is written ===


def without_lora(model):
    """The model as it is, or, where layers have LoRA adapters, a copy with W + alpha / rank A B in the place of W.

    Args:
        model: a `BuiltModel`; it is not changed.

    Returns:
        A model of the same builder that gives the same numbers, without adapters.

    Raises:
        InputError: for adapters on quantized weights, into which they cannot be merged without other numbers.
    """
    merged, adapters = {}, set()
    for layer in all_layers(model):
        if getattr(layer, "lora_enabled", False):
            kind = "embeddings" if hasattr(layer, "lora_embeddings_a") else "kernel"
            weight = next(w for w in layer.weights if w.name == kind)
            left, right = (getattr(layer, f"lora_{kind}_{side}") for side in "ab")
            change = np.matmul(np.asarray(left), np.asarray(right)) * (layer.lora_alpha / layer.lora_rank)
            merged[id(weight)] = weight, change
            adapters |= {id(left), id(right)}
    if not merged:
        return model
    copy = type(model).from_config(model.get_config())
    values = {weight.path: weight for weight in model.weights if id(weight) not in adapters}
    values |= {weight.path: np.asarray(weight) + change for weight, change in merged.values()}
    for weight in copy.weights:
        weight.assign(values[weight.path])
    return copy
