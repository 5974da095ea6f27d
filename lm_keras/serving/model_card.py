"""What is known about an exported model, for those who find only the export."""

import json
import math

import lm_keras
from lm_keras.errors import InputError
from lm_keras.models import BUILDERS
from lm_keras.models.built import BuiltModel
from lm_keras.models.quantized import quantization_of
from lm_keras.serving.served import Served
from lm_keras.text_model import TextModel

TOLD = ("training_data", "metrics", "licence")  # what only those who trained the model know


def card_of(text_model: TextModel, served: Served, told: dict) -> dict:
    """A dict for assets.extra/model_card.json: family, sizes, tokenizers, training data, metrics, licence, limits.

    `told` has what cannot be read off the model, `TOLD` and whatever else JSON can hold; what is not told is null.
    Builder and sizes of a head on an encoder are the encoder's.
    """
    model = text_model.model
    recipe = _recipe(model)
    builder, sizes = (recipe.builder, recipe.arguments) if recipe else (None, {})
    families = {name: family for family, name in BUILDERS.items()}
    shown = {
        "lm_keras": lm_keras.__version__,
        "model": model.name,
        "family": families.get(builder, (builder or model.name).removeprefix("build_")),
        "builder": builder,
        "sizes": sizes,
        "parameters": _num_parameters(model),
        "parameter_bytes": sum(math.prod(w.shape) * w.value.dtype.size for w in model.weights),
        "quantization": sorted({group["config"]["class_name"] for group in quantization_of(model)}),
        **{name: _tokenizer(tokenizer) for name, tokenizer in text_model.tokenizers.items()},
        "signatures": list(served.signatures),
        "max_text_bytes": served.max_text_bytes,
        **served.facts,
    }
    if known := sorted(shown.keys() & told.keys()):
        raise InputError(f"model_card tells {known[0]!r}, which the model shows itself; leave it out")
    return {**dict.fromkeys(TOLD), **told, **shown}


def checked_told(told: dict | None) -> dict:
    """`told` as a dict; InputError unless JSON can hold it."""
    try:
        json.dumps(told, allow_nan=False)
        return dict(told or {})
    except (TypeError, ValueError):
        raise InputError(f"model_card is {told!r}; give a dict for JSON, such as {{'licence': ...}}") from None


def _recipe(model):
    """How the model was built, or the encoder in it."""
    parts = (model, *model.layers)
    return next((part.recipe for part in parts if isinstance(part, BuiltModel)), None)


def _num_parameters(model):
    """Of a quantized model those of the float model: several of its weights are packed into one number."""
    return model.num_parameters if isinstance(model, BuiltModel) else sum(math.prod(w.shape) for w in model.weights)


def _tokenizer(tokenizer):
    return {
        "kind": type(tokenizer).__name__,
        "vocab_size": tokenizer.vocab_size,
        "language": tokenizer.language,
        "lowercase": tokenizer.lowercase,
    }
