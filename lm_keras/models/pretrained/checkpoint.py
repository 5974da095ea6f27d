"""What every kind of checkpoint file looks like to the loader, and the config of Hugging Face that comes with it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lm_keras.errors import InputError

_NOT_GIVEN = object()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Tensors by Hugging Face's names, read one at a time.

    `shapes` {name: shape} of all tensors of the file; `read(name)` gives one as float32; `config` is the content of
    config.json, or what would stand there.
    """

    path: Path
    config: dict
    shapes: dict
    read: Callable


def setting(config, key, default=_NOT_GIVEN):
    """The value of a key; InputError where it is missing or null and there is no default."""
    value = config.get(key)
    if value is not None:
        return value
    if default is _NOT_GIVEN:
        raise InputError(f"the configuration has no {key}; use a config.json as transformers writes it")
    return default


# What other models of these families' kind have; with another value the numbers would be others.
_FOREIGN = {
    **dict.fromkeys(("logit_scale", "logits_scaling", "residual_multiplier", "embedding_multiplier"), (None, 1)),
    **dict.fromkeys(("scale_emb", "rotary_pct", "rope_ratio"), (None, 1)),
    **dict.fromkeys(("attention_multiplier", "query_pre_attn_scalar", "scale_depth", "clip_qkv"), (None,)),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping", "attention_chunk_size"), (None,)),
    **dict.fromkeys(("quantization_config", "mup_scale_factor", "logits_soft_cap"), (None,)),
    **dict.fromkeys(("use_qk_norm", "qk_norm", "qk_layernorm", "alibi", "use_alibi"), (None, False)),
    **dict.fromkeys(("parallel_attn", "use_parallel_residual", "rope_interleaved", "lm_head_bias"), (None, False)),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), (None, 0, 1)),
    **dict.fromkeys(("no_rope_layers", "no_rope_layer_interval"), (None, 0, [])),
}


def no_foreign(config):
    """Raises InputError, with its name, for a setting that changes the numbers of a model in a way not built here."""
    for key, neutral in _FOREIGN.items():
        value = config.get(key)
        if value not in neutral:
            raise InputError(f"{key} {value!r} is not built here; this checkpoint cannot be loaded")


def only(config, key, *known):
    """Raises InputError unless the key is missing or has one of the `known` values, which are what is built here."""
    value = config.get(key, known[0])
    if value not in known:
        choices = " or ".join(map(repr, known))
        raise InputError(f"{key} {value!r} is not built here, only {choices}; this checkpoint cannot be loaded")
