"""`lm-keras train`: options and text to a run folder."""

import itertools
import math
import re
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import claimed, path_of, read_json, write_json
from lm_keras.utils.quiet import load_tensorflow, tell
from lm_keras.utils.saved_kinds import CONFIG, RESULT, RUN, TELLS, kind_of

VOCAB_SIZES = {"char": None}  # None: all characters; other kinds have 10,000 tokens
UNITS = {"char": "chunk"}  # what one text is; for other kinds a line
NOT_KEPT = ("command", "call", "resume", "out", "strategy", "modules")
# What is read from run.json again, and how it looks.
SETTINGS = {
    "length": lambda value: type(value) is int and value > 0,
    "batch_size": lambda value: type(value) is int and value > 0,
    "contiguous": lambda value: isinstance(value, bool),
    "unit": lambda value: value in (None, "line", "chunk"),
}
FEW_CHUNKS = 40  # of about 64 KB
MAY_CHANGE = (
    "command",
    "call",
    "resume",
    "out",
    "epochs",
    "max_steps",
    "logging_steps",
    "checkpoint_steps",
    "strategy",
    "recompute",
    "modules",
)


def train(options):
    workers = None
    if options.strategy:  # before TensorFlow computes anything
        if options.contiguous:
            raise InputError("--strategy multi_worker cannot carry state along; leave out --contiguous")
        from lm_keras.training.distributed.workers import multi_worker

        workers = multi_worker()
    if workers is not None and not workers.is_chief:
        _train(options, None)
        return
    folder = path_of(options.out)
    with claimed(folder):  # from the first look to the last file: another run may end here while this one reads
        _check_out(folder, options)
        _train(options, folder)


def _train(options, folder):
    """Trains, and writes the run to `folder`; None for a worker that is not the chief, which writes nothing."""
    arguments = builder_arguments(options)
    tokenizer_class = _tokenizer_class(options)
    texts, valid = _training_texts(options)
    load_tensorflow()
    import keras

    from lm_keras import LanguageModel, TrainingConfig, data, evaluate, fit, models
    from lm_keras.models import folder as model_folder

    started = folder and (folder / RUN).exists() and (folder / CONFIG).exists()  # others get the chief's weights
    if started:
        model, tokenizer = model_folder.build(folder)
    else:
        tokenizer = _train_tokenizer(tokenizer_class, options, _shown(texts, "vocabulary"))
        keras.utils.set_random_seed(options.seed)
        builder = getattr(models, models.BUILDERS[options.model])
        model = builder(tokenizer.vocab_size, **arguments)
    windows = data.lm_windows(
        _shown(texts, "encoding"),
        tokenizer,
        options.length,
        options.batch_size,
        contiguous=options.contiguous,
        seed=options.seed,
    )
    held_out = evaluation_windows(valid, tokenizer, options, rows=options.batch_size)
    settings = vars(options)
    if folder and not started:  # all input has been read: from here on the run exists
        write_json(folder / RUN, {k: v for k, v in settings.items() if k not in NOT_KEPT})
        model_folder.save_config(model, tokenizer, folder)
    names = TrainingConfig.__dataclass_fields__.keys() & settings.keys()
    config = TrainingConfig(**{name: settings[name] for name in names}, output_dir=folder or options.out)
    fit(model, windows, held_out, config, strategy=options.strategy)
    if not folder:
        return
    result = evaluate(model, held_out)
    finite = {name: value if math.isfinite(value) else None for name, value in result.items()}  # JSON has no other
    LanguageModel(model, tokenizer).save(folder)
    write_json(folder / RESULT, {"validation": finite})
    tell(f"{folder}: validation perplexity {result['perplexity']:.2f} over {result['tokens']:,} tokens")


ADDED = {"accumulate_steps": 1, "encoding": "utf-8"}  # what older runs, which do not name it, were started with


def _check_out(folder, options):
    """Raises InputError unless the run can begin in `folder`, which is claimed, or go on there."""
    begun = (RUN, CONFIG, "tokenizer.json")  # what a kill before the first step leaves: with --resume it starts anew
    if not options.resume:
        if any(folder.iterdir()):
            there = (folder / RUN).exists()
            how = "give a new folder, or --resume to go on with its run" if there else "give a new folder"
            raise InputError(f"--out {folder} is not empty; {how}")
        return
    if not (folder / RUN).exists():
        if any(p.name not in begun and p.name[0] != "." for p in folder.iterdir()):
            kind = kind_of(folder)
            told = "" if kind == "nothing" else f" (it {TELLS[kind]})"
            raise InputError(f"--out {folder} holds no run to resume{told}; give the folder of a run, or a new one")
        return
    before = ADDED | read_run(folder / RUN)
    for name, value in vars(options).items():
        if name not in MAY_CHANGE and before.get(name) != value:
            flag = "--" + name.replace("_", "-")
            raise InputError(
                f"the run in {folder} was started with {flag} {before.get(name)}, not {value}; give the same"
            )


def read_run(path):
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise InputError(f"{path} holds no settings of a run; the file is damaged")
    for name, fits in SETTINGS.items():
        if name in settings and not fits(settings[name]):
            raise InputError(f"{path} has {settings[name]!r:.40} as {name}; the file is damaged")
    return settings


def _as_text(name):
    """The name of a file, for readers elsewhere: the bytes of it that are no UTF-8 are marked."""
    return re.sub("[\ud800-\udfff]", "\ufffd", name) if isinstance(name, str) else name


def told_by(folder):
    """What a run knows for a model card: the data it was trained on, and its result; {} where it is no run."""
    folder, told = path_of(folder), {}
    if (folder / RUN).exists():
        settings = read_run(folder / RUN)
        told["training_data"] = {name: _as_text(settings.get(name)) for name in ("data", "valid")}
    if (folder / RESULT).exists():
        told["metrics"] = read_json(folder / RESULT)
    return told


def load_texts(source, unit, split, splits, records=False, encoding="utf-8"):
    """The texts, or `records` too, of a path or of a known set: the wanted split, or the first of `splits` it has."""
    from lm_keras import data

    if not source:
        raise InputError("--data is empty; give a text file, a folder or a known set")
    if not Path(source).exists() and source in data.available():
        known = data.splits(source)
        texts = data.load(source, split or next((name for name in splits if name in known), known[0]))
        if not records and not isinstance(texts[0], str):
            raise InputError(f"{source} holds {type(texts[0]).__name__} records, no running text; give other data")
        return texts
    if not Path(source).exists() and "/" not in source and "." not in source:
        raise InputError(f"{source!r} is neither a file nor a known set; known: {', '.join(data.available())}")
    if split:
        raise InputError(f"--split {split} is for known sets, and {source} is none; leave it out")
    return data.read_texts(source, unit=unit, encoding=encoding)


def _training_texts(options):
    from lm_keras import data

    unit = options.unit or default_unit(options.tokenizer)
    texts = load_texts(options.data, unit, None, ("train",), encoding=options.encoding)
    if options.valid:
        return texts, load_texts(options.valid, unit, None, ("validation",), encoding=options.encoding)
    if not Path(options.data).exists() and "validation" in data.splits(options.data):
        return texts, data.load(options.data, "validation")
    if unit == "chunk":  # a small file is a few chunks: a tenth of them may be nothing, or a third
        chunks = list(itertools.islice(texts, FEW_CHUNKS + 1))
        if len(chunks) <= FEW_CHUNKS:
            texts = ["".join(chunks)]
    return data.split_texts(texts, validation=0.1, seed=options.seed)


def _shown(texts, what):
    """The same texts, with a progress bar on a terminal."""
    from tqdm import tqdm

    return tqdm(texts, desc=what, unit=" texts", disable=None, leave=False)


def default_unit(kind: str) -> str:
    """What `read_texts` takes for one text, "line" or "chunk", for a kind of tokenizer."""
    return UNITS.get(kind, "line")


def _tokenizer_class(options):
    from lm_keras.text.tokenizers.base import tokenizer_kinds

    kinds = tokenizer_kinds()
    if options.tokenizer not in kinds:
        raise InputError(
            f"--tokenizer {options.tokenizer} is not known; give one of {', '.join(sorted(kinds))}, or --import the "
            "module that registers it"
        )
    if options.user_dict and options.tokenizer != "word":
        raise InputError("--user-dict is for --tokenizer word --language zh; leave it out")
    return kinds[options.tokenizer]


def _train_tokenizer(tokenizer_class, options, texts):
    language = None if options.language == "none" else options.language
    more = {"user_words": options.user_dict} if options.user_dict else {}
    return tokenizer_class.train(
        texts,
        vocab_size=options.vocab_size or VOCAB_SIZES.get(options.tokenizer, 10_000),
        min_count=options.min_count,
        language=language,
        lowercase=options.lowercase,
        **more,
    )


def evaluation_windows(texts, tokenizer, options, rows=1):
    """Every token once: `rows` streams with the state carried along them, or windows as in training."""
    from lm_keras import data

    if options.contiguous:
        return data.lm_windows(texts, tokenizer, options.length, rows, contiguous=True)
    return data.lm_windows(texts, tokenizer, options.length, options.batch_size, shuffle=False)


# === Which of the command line's model options belong to which family ===

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
