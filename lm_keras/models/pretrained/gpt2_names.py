"""GPT-2 as Hugging Face writes it: config.json and the names of the tensors."""

from lm_keras.models.pretrained.weights import Family, only, setting

_TOP = {
    "tokens/embeddings": "wte.weight",
    "positions/embeddings": "wpe.weight",
    "norm/gamma": "ln_f.weight",
    "norm/beta": "ln_f.bias",
}
_BLOCK = {
    "block_{}/attention_norm/gamma": "ln_1.weight",
    "block_{}/attention_norm/beta": "ln_1.bias",
    "block_{}/attention/qkv/kernel": "attn.c_attn.weight",
    "block_{}/attention/qkv/bias": "attn.c_attn.bias",
    "block_{}/attention/out/kernel": "attn.c_proj.weight",
    "block_{}/attention/out/bias": "attn.c_proj.bias",
    "block_{}/feed_forward_norm/gamma": "ln_2.weight",
    "block_{}/feed_forward_norm/beta": "ln_2.bias",
    "block_{}/expand/kernel": "mlp.c_fc.weight",
    "block_{}/expand/bias": "mlp.c_fc.bias",
    "block_{}/contract/kernel": "mlp.c_proj.weight",
    "block_{}/contract/bias": "mlp.c_proj.bias",
}


def arguments(config, names):
    """Of `build_gpt2`; InputError for a setting that is not built."""
    width = setting(config, "n_embd")
    only(config, "activation_function", "gelu_new", "gelu_pytorch_tanh", "gelu_fast")  # three names of one function
    only(config, "n_inner", None, 4 * width)
    only(config, "layer_norm_epsilon", 1e-5)
    only(config, "scale_attn_weights", True)
    only(config, "scale_attn_by_inverse_layer_idx", False)
    only(config, "add_cross_attention", False)
    only(config, "tie_word_embeddings", True)
    return {
        "vocab_size": setting(config, "vocab_size"),
        "max_length": setting({"n_positions": config.get("n_ctx"), **config}, "n_positions"),
        "hidden_dim": width,
        "num_layers": setting(config, "n_layer"),
        "num_heads": setting(config, "n_head"),
        "dropout": setting(config, "resid_pdrop", 0.1),
    }


def config(arguments):
    rate = arguments["dropout"]
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": arguments["vocab_size"],
        "n_positions": arguments["max_length"],
        "n_ctx": arguments["max_length"],
        "n_embd": arguments["hidden_dim"],
        "n_layer": arguments["num_layers"],
        "n_head": arguments["num_heads"],
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "resid_pdrop": rate,
        "embd_pdrop": rate,
        "attn_pdrop": rate,
        "tie_word_embeddings": True,
    }


def table(arguments):
    blocks = range(arguments["num_layers"])
    return _TOP | {path.format(i): f"h.{i}.{name}" for i in blocks for path, name in _BLOCK.items()}


def sizes(arguments):
    return {
        "wte.weight": (arguments["vocab_size"], arguments["hidden_dim"]),
        "wpe.weight": (arguments["max_length"], arguments["hidden_dim"]),
    }


GPT2 = Family(
    model_types=("gpt2",),
    builder="build_gpt2",
    prefix="transformer.",
    arguments=arguments,
    config=config,
    table=table,
    sizes=sizes,
    heads=lambda arguments: (1, 1, 1),
    # The causal mask that old versions stored, and the output layer, which is the embedding.
    ignored=lambda arguments: r"h\.\d+\.attn\.(bias|masked_bias)|lm_head\.weight",
    embedding="wte.weight",
    linear=False,  # its kernels are [in, out], queries, keys and values side by side
)
