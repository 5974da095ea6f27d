"""Llama, Mistral and Qwen2 as Hugging Face writes them: config.json and the names of the tensors."""

from lm_keras.errors import InputError
from lm_keras.models.pretrained.weights import Family, only, setting

_BLOCK = {
    "block_{}/attention_norm/scale": ("input_layernorm.weight",),
    "block_{}/attention/qkv/kernel": tuple(f"self_attn.{part}_proj.weight" for part in "qkv"),
    "block_{}/attention/out/kernel": ("self_attn.o_proj.weight",),
    "block_{}/feed_forward_norm/scale": ("post_attention_layernorm.weight",),
    "block_{}/gate/kernel": ("mlp.gate_proj.weight",),
    "block_{}/up/kernel": ("mlp.up_proj.weight",),
    "block_{}/down/kernel": ("mlp.down_proj.weight",),
}
_BIAS = {"block_{}/attention/qkv/bias": tuple(f"self_attn.{part}_proj.bias" for part in "qkv")}
_SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


def arguments(config, names):
    """Of `build_llama`; InputError for a setting that is not built.

    A sliding window shorter than the positions becomes the max_length: up to there nothing slides.
    """
    only(config, "hidden_act", "silu", "swish")  # two names of one function
    only(config, "attention_bias", False)  # it would put biases on the output too
    only(config, "mlp_bias", False)
    heads = setting(config, "num_attention_heads")
    length = setting(config, "max_position_embeddings")
    window = _window(config)
    base, scaling = rotary(config)
    return {
        "vocab_size": setting(config, "vocab_size"),
        "max_length": min(length, window or length),
        "hidden_dim": setting(config, "hidden_size"),
        "num_layers": setting(config, "num_hidden_layers"),
        "num_heads": heads,
        "num_kv_heads": setting(config, "num_key_value_heads", heads),
        "head_dim": config.get("head_dim"),
        "feed_forward_dim": setting(config, "intermediate_size"),
        "rope_base": base,
        "rope_scaling": scaling,
        "norm_epsilon": setting(config, "rms_norm_eps", 1e-6),
        "tie_embeddings": setting(config, "tie_word_embeddings", False),
        "qkv_bias": config.get("model_type") == "qwen2",
        "dropout": setting(config, "attention_dropout", 0.0),
    }


def _window(config):
    """How many tokens each looks back to, None for all: what all layers have, or some of Qwen2."""
    kinds = config.get("layer_types") or []
    for kind in kinds:
        only({"layer_types": kind}, "layer_types", "full_attention", "sliding_attention")
    if config.get("model_type") == "mistral":
        slides = not kinds or "sliding_attention" in kinds
    elif config.get("model_type") == "qwen2" and config.get("use_sliding_window"):
        first = config.get("max_window_layers", 28)  # the layers before it look at everything
        slides = "sliding_attention" in kinds if kinds else first < setting(config, "num_hidden_layers")
    else:
        slides = False
    return config.get("sliding_window", 4096) if slides else None


def rotary(config):
    """(base, scaling) from `rope_theta` and `rope_scaling`, or from the `rope_parameters` of newer files."""
    both = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    if any(isinstance(value, dict) for value in both.values()):
        raise InputError("rope_parameters differ from layer to layer, which is not built here")
    only({"partial_rotary_factor": config.get("partial_rotary_factor", 1.0), **both}, "partial_rotary_factor", 1.0)
    base = float(both.get("rope_theta", config.get("rope_theta") or 10000.0))
    kind = both.get("rope_type", both.get("type", "default"))
    if kind == "default":
        return base, None
    return base, {"rope_type": kind} | {key: both[key] for key in _SCALING if key in both}


def config(arguments):
    """Biases on queries, keys and values are what Qwen2 has; without them it is a Llama."""
    kind, name = ("qwen2", "Qwen2ForCausalLM") if arguments["qkv_bias"] else ("llama", "LlamaForCausalLM")
    heads, width = arguments["num_heads"], arguments["hidden_dim"]
    return {
        "model_type": kind,
        "architectures": [name],
        "vocab_size": arguments["vocab_size"],
        "max_position_embeddings": arguments["max_length"],
        "hidden_size": width,
        "num_hidden_layers": arguments["num_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": arguments["num_kv_heads"] or heads,
        "head_dim": arguments["head_dim"] or width // heads,
        "intermediate_size": arguments["feed_forward_dim"] or -(-8 * width // 96) * 32,
        "hidden_act": "silu",
        "rope_theta": arguments["rope_base"],
        "rope_scaling": arguments["rope_scaling"],
        "rms_norm_eps": arguments["norm_epsilon"],
        "tie_word_embeddings": arguments["tie_embeddings"],
        "attention_dropout": arguments["dropout"],
    }


def table(arguments):
    top = {"tokens/embeddings": "embed_tokens.weight", "norm/scale": "norm.weight"}
    if not arguments["tie_embeddings"]:
        top["tokens/reverse_embeddings"] = "lm_head.weight"
    block = _BLOCK | (_BIAS if arguments["qkv_bias"] else {})
    return top | {
        path.format(i): tuple(f"layers.{i}.{name}" for name in names)
        for i in range(arguments["num_layers"])
        for path, names in block.items()
    }


def sizes(arguments):
    width, heads, kept = arguments["hidden_dim"], *_heads(arguments)[:2]
    dim = arguments["head_dim"] or width // heads
    return {
        "embed_tokens.weight": (arguments["vocab_size"], width),
        "layers.0.mlp.up_proj.weight": (arguments["feed_forward_dim"], width),
        "layers.0.self_attn.q_proj.weight": (heads * dim, width),
        "layers.0.self_attn.k_proj.weight": (kept * dim, width),
    }


def _heads(arguments):
    kept = arguments["num_kv_heads"] or arguments["num_heads"]
    return arguments["num_heads"], kept, kept


def _ignored(arguments):
    """The rotary speeds, which follow from the base, and a second copy of tied embeddings."""
    speeds = r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
    return speeds + r"|lm_head\.weight" if arguments["tie_embeddings"] else speeds


LLAMA = Family(
    model_types=("llama", "mistral", "qwen2"),
    builder="build_llama",
    prefix="model.",
    arguments=arguments,
    config=config,
    table=table,
    sizes=sizes,
    heads=_heads,
    ignored=_ignored,
    embedding="embed_tokens.weight",
)
