"""Which of the command line's model options belong to which family."""

from lm_keras.errors import InputError

WORDS = ("embedding_dim", "tie_embeddings", "init_scale")
STACK = ("hidden_dim", "num_layers", "dropout")
ATTENTION = (*STACK, "num_heads", "max_length")
# Family -> what its builder takes beside vocab_size and seed.
FAMILY_OPTIONS = {
    "feedforward": (*WORDS, *STACK, "context_length", "batch_norm"),
    "rnn": (*WORDS, *STACK, "skip"),
    "gru": (*WORDS, *STACK),
    "lstm": (*WORDS, *STACK),
    "attention_rnn": (*WORDS, *STACK, "score", "max_length"),
    "cnn": (*WORDS, *STACK, "kernel_size", "dilation_growth"),
    "gpt2": ATTENTION,
    "llama": (*ATTENTION, "num_kv_heads", "tie_embeddings"),
}
MODEL_OPTIONS = sorted({name for names in FAMILY_OPTIONS.values() for name in names})
# The released sizes are the builders' defaults; a CPU trains these in minutes.
SMALL_TRANSFORMER = {"hidden_dim": 128, "num_layers": 4, "num_heads": 4}


def builder_arguments(options):
    """The builder's arguments for the parsed options; InputError for an option that the family does not have.

    What was not given is the builder's default, but for transformers, which start small, and `max_length`, which
    is the length of the training windows.
    """
    known = FAMILY_OPTIONS[options.model]
    given = {name: getattr(options, name) for name in MODEL_OPTIONS if getattr(options, name) not in (None, False)}
    for name in given:
        if name not in known:
            flag, others = _flag(name), ", ".join(family for family, has in FAMILY_OPTIONS.items() if name in has)
            raise InputError(f"{flag} does not belong to --model {options.model}, only to {others}; leave it out")
    defaults = dict(SMALL_TRANSFORMER) if "num_heads" in known else {}
    if "max_length" in known:
        if options.contiguous:
            raise InputError(f"--contiguous carries a state of fixed size, unlike {options.model}'s; leave it out")
        defaults["max_length"] = options.length
        if given.get("max_length", options.length) < options.length:
            raise InputError(f"--max-length {options.max_length} is less than --length {options.length}; give more")
    return {**defaults, **given, "seed": options.seed}


def _flag(name):
    return "--" + name.replace("_", "-")
