"""`lm-keras train`: options and text to a run folder."""

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path

from lm_keras.cli.family import add_options, builder_arguments, builder_of, flag_of
from lm_keras.cli.options import Commands, add_import, number
from lm_keras.errors import InputError
from lm_keras.models import BUILDERS
from lm_keras.models.renamed import current_settings
from lm_keras.utils.atomic_files import claimed, path_of, read_json, write_json
from lm_keras.utils.quiet import load_tensorflow, tell
from lm_keras.utils.saved_kinds import CHECKPOINT, CONFIG, RESULT, RUN, TELLS, kind_of

VOCAB_SIZES = {"bpe": 10_000, "word": 10_000, "wordpiece": 10_000}  # other kinds: what they find good
UNITS = {"char": "chunk"}  # what one text is; for other kinds a line
STARTS = "train this one on, with its tokenizer: run, pretrained folder or name, .gguf file; no --model, --tokenizer"
TUNING_RATE = 5e-5
# What the model that a training starts from brings itself, and the values that say nothing.
BROUGHT = {"model": None, "tokenizer": None, "vocab_size": None, "user_dict": None, "lowercase": False}
BROUGHT |= {"language": "en", "min_count": 1}
FLAGS = {"start": "--from"}  # options that are called otherwise than their place in run.json
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


def add_commands(commands: Commands, builder: Callable | None = None, start: str | None = None) -> None:
    """Adds `train` to the commands of `lm-keras`.

    With the options of a family, whose `builder` is given, or with those of a training that goes on from `start`.
    """
    command = commands.add_parser("train", help="train a model on text")
    command.set_defaults(call=train)
    command.add_argument(
        "--data", required=True, metavar="PATH|NAME", help="text file (.gz, .bz2, .xz), folder or known set"
    )
    command.add_argument(
        "--valid",
        metavar="PATH",
        help="validation text (default: a tenth of --data)",
    )
    kinds = "char, word, bpe, wordpiece, or one that an --import registers"
    command.add_argument("--tokenizer", required=start is None, metavar="KIND", help=kinds)
    command.add_argument("--out", required=True, metavar="FOLDER", help="run folder to make")
    command.add_argument("--resume", action="store_true", help="go on with the run in --out")
    text = command.add_argument_group("text")
    text.add_argument("--language", default="en", metavar="L", help="en, zh, or none: words stand between spaces")
    text.add_argument("--user-dict", metavar="FILE", help="zh, word: words that jieba does not know, one a line")
    text.add_argument(
        "--vocab-size",
        type=number(int, 2),
        metavar="N",
        help="default: 10000; char: all characters; kinds of your own: what they choose",
    )
    text.add_argument("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, latin-1, gb18030")
    text.add_argument("--unit", choices=("line", "chunk"), help="what one text is (default: char chunk, else line)")
    text.add_argument("--min-count", type=number(int, 1), default=1, metavar="N")
    text.add_argument("--lowercase", action="store_true")
    text.add_argument("--length", type=number(int, 1), default=35, metavar="N", help="tokens a window")
    text.add_argument("--contiguous", action="store_true", help="carry the state from batch to batch")
    _add_model(command, builder, start)
    _add_training(command, start)
    add_import(command)


def _add_model(train, builder, start):
    sizes = "`lm-keras train --model FAMILY --help` lists the options of a family"
    model = train.add_argument_group("model", sizes if builder is None else f"the arguments of {builder.__name__}")
    model.add_argument("--model", required=start is None, metavar="FAMILY", help=", ".join(BUILDERS))
    model.add_argument("--from", dest="start", metavar="MODEL", help=STARTS)
    if builder is not None:
        add_options(model.add_argument, builder, number)


def _add_training(train, start):
    run = train.add_argument_group("training")
    rate = 2e-3 if start is None else TUNING_RATE  # what is trained already is not to be forgotten
    run.add_argument("--epochs", type=number(int, 1), default=3, metavar="N")
    run.add_argument(
        "--max-steps", type=number(int, 1), metavar="N", help="batches of the whole run; epochs no matter"
    )
    run.add_argument("--batch-size", type=number(int, 1), default=32, metavar="N")
    run.add_argument("--learning-rate", type=number(float, 1e-12), default=rate, metavar="X")
    run.add_argument("--optimizer", choices=("adamw", "adam", "sgd"), default="adamw")
    run.add_argument("--momentum", type=number(float, 0, 1), default=0.0, metavar="X")
    run.add_argument("--weight-decay", type=number(float, 0), default=0.01, metavar="X")
    run.add_argument("--warmup-steps", type=number(int, 0), default=100, metavar="N")
    run.add_argument("--schedule", choices=("cosine", "linear", "step", "constant"), default="cosine")
    run.add_argument("--decay-rate", type=number(float, 0, 1), default=0.5, metavar="X")
    run.add_argument("--decay-from-epoch", type=number(int, 1), default=1, metavar="N")
    run.add_argument("--clip-norm", type=number(float, 0), default=1.0, metavar="X", help="0: none")
    run.add_argument("--early-stopping-patience", type=number(int, 0), metavar="N")
    run.add_argument("--dtype", choices=("float32", "mixed_bfloat16"), default="float32")
    run.add_argument("--strategy", choices=("multi_worker",), help="train on the processes that TF_CONFIG names")
    run.add_argument("--jit-compile", action="store_true", help="compile the training step with XLA")
    run.add_argument("--accumulate-steps", type=number(int, 1), default=1, metavar="N", help="batches an update")
    run.add_argument("--recompute", action="store_true", help="transformers: less memory, more time")
    run.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N")
    run.add_argument("--logging-steps", type=number(int, 1), default=10, metavar="N")
    run.add_argument("--checkpoint-steps", type=number(int, 1), default=500, metavar="N")


def train(options):
    if options.start is not None:
        given = [name for name, none in BROUGHT.items() if getattr(options, name) != none]
        if given:
            raise InputError(f"--from brings its model and tokenizer; leave out {flag_of(given[0])}")
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
    started = folder and (folder / RUN).exists() and (folder / CONFIG).exists()  # others get the chief's weights
    model, tokenizer, texts, valid = (_started_from if options.start else _new)(options, folder, started)
    from lm_keras import LanguageModel, TrainingConfig, data, evaluate, fit
    from lm_keras.models import folder as model_folder
    from lm_keras.training.train_steps import blocks_to_recompute

    if options.recompute:
        blocks_to_recompute(model)
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


def _new(options, folder, started):
    """A model of a family, its tokenizer, and the texts; those of the run where it has begun."""
    arguments = builder_arguments(options)
    tokenizer_class = _tokenizer_class(options)
    texts, valid = _training_texts(options, options.tokenizer)
    load_tensorflow()
    import keras

    from lm_keras.models import folder as model_folder

    if started:
        return *model_folder.build(folder), texts, valid
    tokenizer = _train_tokenizer(tokenizer_class, options, _shown(texts, "vocabulary"))
    keras.utils.set_random_seed(options.seed)
    model = builder_of(options.model).function(tokenizer.vocab_size, **arguments)
    return model, tokenizer, texts, valid


def _started_from(options, folder, started):
    """The model and tokenizer that `--from` names, and the texts; those of the run where it has a checkpoint."""
    load_tensorflow()
    import keras

    from lm_keras.cli.run import load_model
    from lm_keras.models import folder as model_folder
    from lm_keras.models.quantization import quantization_of

    if started and (folder / CHECKPOINT).exists():
        model, tokenizer = model_folder.build(folder)
    else:
        begun = load_model(options.start)
        model, tokenizer = begun.model, begun.tokenizer
        if quantization_of(model):
            raise InputError(f"--from {options.start} is quantized, so it cannot be trained; give the float model")
        if begun.writer.prompted:
            raise InputError(f"--from {options.start} has a prompt, which a training does not read; save it without")
    longest = model.context_length
    if longest is not None and options.length > longest:
        raise InputError(f"--length {options.length} is more than the {longest} tokens of {options.start}; give less")
    keras.utils.set_random_seed(options.seed)
    return model, tokenizer, *_training_texts(options, tokenizer.kind)


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
    before = ADDED | current_settings(read_run(folder / RUN))
    for name, value in vars(options).items():
        old = before.get(name)
        if name not in MAY_CHANGE and old != value and not (old is False and value is None):  # as older runs have it
            flag = FLAGS.get(name, flag_of(name))
            raise InputError(f"the run in {folder} was started with {flag} {old}, not {value}; give the same")


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
        if settings.get("start"):
            told["training_data"]["from"] = _as_text(settings["start"])
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


def _training_texts(options, kind):
    from lm_keras import data

    unit = options.unit or default_unit(kind)
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
        vocab_size=options.vocab_size or VOCAB_SIZES.get(options.tokenizer),
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
