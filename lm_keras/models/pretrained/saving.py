"""Writing a checkpoint that transformers reads."""

from lm_keras.errors import InputError
from lm_keras.files import claimed, path_of, read_json, write_json
from lm_keras.models.built import BuiltModel
from lm_keras.models.limits import check_savable
from lm_keras.models.lora import without_lora
from lm_keras.models.pretrained import tensors
from lm_keras.models.pretrained.loading import CONFIG, FAMILIES
from lm_keras.models.pretrained.tokenizer_files import GENERATION
from lm_keras.models.pretrained.tokenizer_writing import save_tokenizer
from lm_keras.models.pretrained.weights import saved_tensors
from lm_keras.models.quantized import quantization_of
from lm_keras.saved_kinds import check_place


def save_pretrained(model, folder):
    """Writes config.json and model.safetensors, float32, under Hugging Face's names, and the tokenizer's files.

    `model`: a LanguageModel, or a model of `build_gpt2`, `build_llama` or `build_bert`; its tokenizer is
    `model.tokenizer`, if it has one. Llamas with qkv_bias are written as Qwen2, LoRA adapters are merged.
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
            config |= {f"{mark}_token_id": getattr(tokenizer, f"{mark}_id") for mark in marks}
            if len(getattr(tokenizer, "end_ids", ())) > 1:
                config["eos_token_id"] = list(tokenizer.end_ids)
            _renew_ends(folder / GENERATION, config)
        tensors.write_tensors(folder / tensors.SINGLE, *saved_tensors(model, family))
        write_json(folder / CONFIG, config)


def _renew_ends(path, config):
    """A generation_config.json that is there names ends of a text too, those of the checkpoint before."""
    if path.exists() and "eos_token_id" in config:
        there = read_json(path)
        write_json(path, (there if isinstance(there, dict) else {}) | {"eos_token_id": config["eos_token_id"]})
