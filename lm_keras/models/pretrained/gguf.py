"""The metadata of a GGUF file as the config.json of Hugging Face that it came from."""

import numpy as np

from lm_keras.errors import InputError
from lm_keras.layers.rotary import rotary_angles

ARCHITECTURES = ("llama", "qwen2")
# What other architectures have; with another value the numbers would be others.
_FOREIGN = {
    **dict.fromkeys(("logit_scale", "residual_scale", "embedding_scale", "rope.scaling.attn_factor"), (0, 1)),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping", "attention.scale"), (0,)),
    **dict.fromkeys(("attention.clamp_kqv", "attention.max_alibi_bias"), (0,)),
}
_LENGTHS = (8192, 16384, 32768, 4096, 2048)  # at which a Llama may have been trained before it was stretched


def config_of(path, fields, shapes, speeds):
    """`fields`: the metadata; `shapes` of the tensors; `speeds`: the divisors of the rotary speeds, or None."""
    kind = fields.get("general.architecture")
    if kind not in ARCHITECTURES:
        raise InputError(f"{path} has the architecture {kind!r}; known are {', '.join(ARCHITECTURES)}")

    def field(name, default=None):
        value = fields.get(f"{kind}.{name}", default)
        if value is None:
            raise InputError(f"{path} has no {kind}.{name} in its metadata; use another copy")
        return value

    heads = field("attention.head_count")
    width = field("embedding_length")
    config = {
        "model_type": kind,
        "vocab_size": shapes.get("token_embd.weight", [0])[0],
        "max_position_embeddings": field("context_length"),
        "hidden_size": width,
        "num_hidden_layers": field("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": field("attention.head_count_kv", heads),
        "intermediate_size": field("feed_forward_length"),
        "rms_norm_eps": field("attention.layer_norm_rms_epsilon"),
        "rope_theta": field("rope.freq_base", 10000.0),
        "tie_word_embeddings": "output.weight" not in shapes,
    }
    for name, value in config.items():
        if isinstance(value, list):
            raise InputError(f"{path} has another {name} in each layer, which is not built here")
        if name not in ("model_type", "tie_word_embeddings") and (isinstance(value, str) or not value > 0):
            raise InputError(f"{path} has {name} {value!r} in its metadata; use another copy")
    head_dim = config["head_dim"] = field("attention.key_length", width // heads)
    _same(path, "rope.dimension_count", field("rope.dimension_count", head_dim), head_dim)
    _same(path, "attention.value_length", field("attention.value_length", head_dim), head_dim)
    _same(path, "expert_count", field("expert_count", 0), 0)
    for name, neutral in _FOREIGN.items():
        if field(name, 0) not in neutral:
            raise InputError(f"{path} has {name} {field(name)}, which is not built here")
    window = field("attention.sliding_window", 0) or field("context_length")
    if not isinstance(window, int):
        raise InputError(f"{path} has attention.sliding_window {window!r} in its metadata; use another copy")
    config["max_position_embeddings"] = min(field("context_length"), window)  # up to there nothing slides
    config["rope_scaling"] = _scaling(path, field, config, speeds)
    return config


def _same(path, name, value, wanted):
    if value != wanted:
        raise InputError(f"{path} has {name} {value}, which is not built here, only {wanted}")


def _scaling(path, field, config, speeds):
    # Older files name no type, and the factor by its first name.
    factor = field("rope.scaling.factor", field("rope.scale_linear", 0)) or 1.0
    kind = field("rope.scaling.type", "none" if factor == 1 else "linear")
    if kind not in ("none", "linear") or kind == "linear" and speeds is not None:
        raise InputError(f"{path} has rope.scaling.type {kind!r}; linear and Llama 3.1's are built here")
    if speeds is not None:
        return _llama3(path, config, speeds)
    if kind == "none" or factor == 1:
        return None
    return {"rope_type": "linear", "factor": factor}


def _llama3(path, config, divisors):
    """The file holds what Llama 3.1's rule gives, not its four numbers: those that give it again."""

    def speeds(scaling):
        angles = rotary_angles([[1]], config["head_dim"], config["rope_theta"], scaling)  # at position 1
        return np.asarray(angles).ravel()

    for length in _LENGTHS:
        scaling = {
            "rope_type": "llama3",
            "factor": float(divisors.max()),
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": length,
        }
        plain, slow = speeds(None), speeds(scaling)
        if plain.shape == divisors.shape and np.allclose(plain / slow, divisors, rtol=1e-4):
            return scaling
    raise InputError(f"{path} has rope_freqs.weight of a rule that is not known here, only Llama 3.1's")
