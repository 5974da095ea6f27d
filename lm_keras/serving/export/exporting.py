"""A text model as one SavedModel, text in, text out, with a card of what is known about it."""

import contextlib
import dataclasses
import inspect
import json
import math
import os
import threading
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import lm_keras
from lm_keras.errors import InputError, naming
from lm_keras.models import BUILDERS
from lm_keras.models.base import BuiltModel
from lm_keras.models.quantization import quantization_of, without_lora
from lm_keras.serving.export.signatures import LEAST, Served, answer_of, bounded
from lm_keras.serving.export.unused import remove_unused
from lm_keras.serving.export.versions import place_of, write_version
from lm_keras.serving.export.warmup import FILE as WARMUP
from lm_keras.serving.export.warmup import write_warmup
from lm_keras.text_model import TextModel
from lm_keras.utils.atomic_files import write_json
from lm_keras.utils.checks import check_choice, check_whole
from lm_keras.utils.keras_internals import write_fingerprint

TOLD = ("training_data", "metrics", "licence")  # what only those who trained the model know
_WITHOUT_GRADIENTS = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # a server trains nothing
_ONE_AT_A_TIME = threading.Lock()  # tracing a model, and the level of TensorFlow's logger, are not for two threads


def export(
    model: TextModel,
    target: str | os.PathLike,
    *,
    max_new_tokens_limit: int | None = None,
    num_beams: int | None = None,
    chat: bool | None = None,
    max_text_bytes: int | None = None,
    model_card: dict | None = None,
) -> str:
    """Writes a text model as a SavedModel, with tokenizer and detokenizer inside, to a new version folder.

    Signatures, their inputs and outputs are in docs/serving.md. The version appears under its name only when it is
    whole; exports at the same time take different versions. `assets.extra/` gets warm-up requests, the answers
    expected for them, and the model card. LoRA adapters of a model of `lm_keras.models.build_*` are merged.

    Args:
        model: A LanguageModel, a text model of `lm_keras.tasks`, or one of your own, a subclass of `lk.TextModel`.
        target: Folder of the model, such as "saved_models/name", for its next free version; or a version itself,
            "saved_models/name/7".
        max_new_tokens_limit: The most new tokens of a text; None: 256.
        num_beams: Width of the signature `beam`; None: 4.
        chat: Whether a LanguageModel gets the signature `chat`; None: where its chat template allows it, see
            `LanguageModel.signatures`.
        max_text_bytes: The most bytes of a text in a request, so that no request takes more time and memory than a
            server has. What is beyond is cut at a character: the beginning of a prompt, the end of every other text;
            longer messages of a chat have no reply. The model in Python cuts nothing. None: 131,072, or 4,096 for a
            text-to-text transformer, whose memory grows by the square.
        model_card: What the model does not show itself: a dict of "training_data", "metrics", "licence" and what
            else JSON can hold.

    Returns:
        The version folder.

    Raises:
        InputError: The model is no text model, or has no tokenizer; the target is no place for an export, or the
            version exists; the place cannot be written to; a tokenizer cannot run in a graph; `signatures()` is not
            as `lm_keras.serving.Served` says.
    """
    sizes = _sizes(max_new_tokens_limit=(max_new_tokens_limit, 1, 2**31 - 1), num_beams=(num_beams, 2, 1000))
    if chat is not None:
        sizes["chat"] = check_choice("chat", chat, (True, False))
    limit = _sizes(max_text_bytes=(max_text_bytes, LEAST, 2**30))
    told = checked_told(model_card)
    _check_takes(model, sizes)
    place, number = place_of(target)
    model = _merged(model)
    served = model.signatures(**sizes)
    if not isinstance(served, Served):
        kind = type(model).__name__
        raise InputError(f"{kind}.signatures() returns a {type(served).__name__}; return lk.serving.Served(...)")
    served = dataclasses.replace(served, **limit)
    for tokenizer in model.tokenizers.values():  # its InputError would be lost while a graph is traced
        tokenizer.tf_encode(tf.constant([""]))
    name = Path(os.path.abspath(place)).name  # noqa: PTH100  links stay
    return str(write_version(place, number, lambda folder: _write(folder, name, model, served, told)))


def _merged(model):
    """The text model with its LoRA adapters merged, where its model is one of a builder; others serve as they are."""
    plain = without_lora(model.model) if isinstance(model.model, BuiltModel) else model.model
    return model if plain is model.model else model.with_model(plain)


def _write(folder, name, model, served, told):
    """The files of a version of the model called `name`."""
    module = tf.Module()
    # The raw variables: tracking the Keras model itself would write every weight twice.
    module.weights = [weight.value for weight in model.model.weights]
    module.tables = [tokenizer.tf_resources() for tokenizer in model.tokenizers.values()]
    with _ONE_AT_A_TIME, _quiet():
        signatures = {}
        for key, answer in served.signatures.items():
            with naming(f"{type(model).__name__}, signature {key}"):
                # Traced here: while a module is saved, TensorFlow would trace it and all that it calls once more.
                signatures[key] = bounded(answer, served.max_text_bytes).get_concrete_function()
        default = next(iter(signatures))
        signatures = {"serving_default": signatures[default], **signatures}
        tf.saved_model.save(module, str(folder), signatures, _WITHOUT_GRADIENTS)
        _tidy(default, folder)
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    expected = []
    for key, inputs in served.examples.items():
        with naming(f"{type(model).__name__}, signature {key}"):
            expected.append({"signature": key, "inputs": inputs, "outputs": answer_of(served, key, inputs)})
    expected.append(_first_row({**expected[0], "signature": "serving_default"}))
    write_warmup(folder / WARMUP, name, expected)
    write_json(extra / "expected.json", expected)
    write_json(extra / "model_card.json", card_of(model, served, told))


def _tidy(default, folder):
    """Lets `serving_default` name the nodes of that signature, and takes out what no answer needs.

    So a server optimizes the graph of `default` once, not twice, and smaller ones in far fewer rounds.
    """
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    remove_unused(saved)
    signatures = saved.meta_graphs[0].signature_def
    signatures["serving_default"].CopyFrom(signatures[default])
    path.write_bytes(saved.SerializeToString(deterministic=True))
    write_fingerprint(folder)


def _sizes(**given):
    """{name: size} of those that are given; InputError outside of the least and the most."""
    return {name: check_whole(name, *limits) for name, limits in given.items() if limits[0] is not None}


def _check_takes(model, sizes):
    """Raises InputError for what is no text model, and for sizes that mean nothing to its class."""
    if not isinstance(model, TextModel):
        raise InputError(
            f"a {type(model).__name__} is no text model and cannot be exported; give a LanguageModel(model, "
            "tokenizer) or one of lm_keras.tasks, such as TextClassifier(model, tokenizer, classes)"
        )
    known = inspect.signature(model.signatures).parameters
    if foreign := [name for name in sizes if name not in known]:
        what = f"has no use for {foreign[0]}" if "max_new_tokens_limit" in known else "writes no text"
        raise InputError(f"a {type(model).__name__} {what}; leave out {', '.join(foreign)}")


def _first_row(call):
    def first(values):
        return {name: rows[:1] for name, rows in values.items()}

    return {**call, "inputs": first(call["inputs"]), "outputs": first(call["outputs"])}


@contextlib.contextmanager
def _quiet():
    """Without TensorFlow's line on the temporary folder."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


# === The model card, for those who find only the export ===


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
