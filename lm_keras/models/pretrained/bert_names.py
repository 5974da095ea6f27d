"""BERT as Hugging Face writes it: config.json and the names of the tensors."""

from lm_keras.models.pretrained.weights import Family, only, setting

_TOP = {
    "tokens/embeddings": "embeddings.word_embeddings.weight",
    "positions/embeddings": "embeddings.position_embeddings.weight",
    "segments/embeddings": "embeddings.token_type_embeddings.weight",
    "embedding_norm/gamma": "embeddings.LayerNorm.weight",
    "embedding_norm/beta": "embeddings.LayerNorm.bias",
}
_POOLER = {"pooler/kernel": "pooler.dense.weight", "pooler/bias": "pooler.dense.bias"}
_BLOCK = {
    "block_{}/attention/qkv/kernel": tuple(f"attention.self.{part}.weight" for part in ("query", "key", "value")),
    "block_{}/attention/qkv/bias": tuple(f"attention.self.{part}.bias" for part in ("query", "key", "value")),
    "block_{}/attention/out/kernel": ("attention.output.dense.weight",),
    "block_{}/attention/out/bias": ("attention.output.dense.bias",),
    "block_{}/attention_norm/gamma": ("attention.output.LayerNorm.weight",),
    "block_{}/attention_norm/beta": ("attention.output.LayerNorm.bias",),
    "block_{}/expand/kernel": ("intermediate.dense.weight",),
    "block_{}/expand/bias": ("intermediate.dense.bias",),
    "block_{}/contract/kernel": ("output.dense.weight",),
    "block_{}/contract/bias": ("output.dense.bias",),
    "block_{}/feed_forward_norm/gamma": ("output.LayerNorm.weight",),
    "block_{}/feed_forward_norm/beta": ("output.LayerNorm.bias",),
}


def arguments(config, names):
    """Of `build_bert`; InputError for a setting that is not built. Without pooler where the file has none."""
    only(config, "hidden_act", "gelu")
    only(config, "position_embedding_type", "absolute")
    only(config, "is_decoder", False)
    only(config, "add_cross_attention", False)
    only(config, "embedding_size", None, config.get("hidden_size"))
    return {
        "vocab_size": setting(config, "vocab_size"),
        "max_length": setting(config, "max_position_embeddings"),
        "hidden_dim": setting(config, "hidden_size"),
        "num_layers": setting(config, "num_hidden_layers"),
        "num_heads": setting(config, "num_attention_heads"),
        "feed_forward_dim": setting(config, "intermediate_size"),
        "num_segments": setting(config, "type_vocab_size", 2),
        "dropout": setting(config, "hidden_dropout_prob", 0.1),
        "norm_epsilon": setting(config, "layer_norm_eps", 1e-12),
        "pooler": any(name.startswith("pooler.") for name in names),
    }


def config(arguments):
    rate = arguments["dropout"]
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": arguments["vocab_size"],
        "max_position_embeddings": arguments["max_length"],
        "hidden_size": arguments["hidden_dim"],
        "num_hidden_layers": arguments["num_layers"],
        "num_attention_heads": arguments["num_heads"],
        "intermediate_size": arguments["feed_forward_dim"] or 4 * arguments["hidden_dim"],
        "hidden_act": "gelu",
        "type_vocab_size": arguments["num_segments"],
        "hidden_dropout_prob": rate,
        "attention_probs_dropout_prob": rate,
        "layer_norm_eps": arguments["norm_epsilon"],
        "position_embedding_type": "absolute",
        "tie_word_embeddings": True,
    }


def table(arguments):
    blocks = range(arguments["num_layers"])
    return (
        _TOP
        | (_POOLER if arguments["pooler"] else {})
        | {
            path.format(i): tuple(f"encoder.layer.{i}.{name}" for name in names)
            for i in blocks
            for path, names in _BLOCK.items()
        }
    )


def sizes(arguments):
    width = arguments["hidden_dim"]
    embeddings = {"word": "vocab_size", "position": "max_length", "token_type": "num_segments"}
    shapes = {f"embeddings.{part}_embeddings.weight": (arguments[key], width) for part, key in embeddings.items()}
    return shapes | {"encoder.layer.0.intermediate.dense.weight": (arguments["feed_forward_dim"], width)}


BERT = Family(
    model_types=("bert",),
    builder="build_bert",
    prefix="bert.",
    arguments=arguments,
    config=config,
    table=table,
    sizes=sizes,
    heads=lambda arguments: (1, 1, 1),
    # Counters that old versions stored, and the heads of pre-training: what is built here is the encoder.
    bare=True,
    ignored=lambda arguments: r"embeddings\.(position_ids|token_type_ids)|cls\..*",
    renamed=((".gamma", ".weight"), (".beta", ".bias")),
)
