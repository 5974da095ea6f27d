"""`lm-keras`: train · evaluate · score · generate · export · check · serve-config · query · data · vectors."""

import argparse
import contextlib
import dataclasses
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from lm_keras.cli.data import add_report
from lm_keras.cli.family import add_options, builder_of, check_family, check_unknown, with_single_values
from lm_keras.cli.vectors import add_arguments as add_vectors
from lm_keras.errors import InputError, WorkerLostError
from lm_keras.generation.config import GenerationConfig
from lm_keras.models import BUILDERS
from lm_keras.utils import quiet
from lm_keras.utils.quiet import complain, open_streams


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def format_help(self):
        for action in self._actions:
            if action.default not in (None, False, [], argparse.SUPPRESS):
                action.help = ", ".join(part for part in (action.help, "default %(default)s") if part)
        return super().format_help()

    def error(self, message):
        complain(f"{self.prog}: {message} (see {self.prog} --help)")
        raise SystemExit(2)


def number(kind, least=None, most=None, above=None):
    """An argparse type: a number of at least `least`, or above `above`, and at most `most` or what its type holds."""
    top = most if most is not None else 2**31 - 1 if kind is int else sys.float_info.max

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not (value >= least if above is None else value > above) or value > top:
            what = "a whole number" if kind is int else "a number"
            bottom = f"of at least {least}" if above is None else f"above {above}"
            limit = f" and at most {top}" if most is not None or (value is not None and value > top) else ""
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} {bottom}{limit}")
        return value

    return parse


def version_of(text):
    """An argparse type: NAME=VERSION as (name, version)."""
    name, _, version = text.rpartition("=")
    if not name or not (version.isascii() and version.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VERSION, such as lm=2")
    return name, int(version)


def input_of(text):
    """An argparse type: NAME=VALUE as (name, value)."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as prompt='The fire'")
    return name, value


def parser(builder: Callable | None = None) -> Parser:
    """The parser of all commands; that of `train` has the options of a family whose `builder` is given."""
    top = Parser(prog="lm-keras", description="Train, evaluate, use and export language models.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    train = commands.add_parser("train", help="train a model on text")
    _add_train(train, builder)

    evaluate = commands.add_parser("evaluate", help="loss, perplexity and bits per byte of a run on text")
    evaluate.add_argument("run", help="run folder")
    evaluate.add_argument(
        "--data", required=True, metavar="PATH|NAME", help="text file (.gz, .bz2, .xz), folder or known set"
    )
    evaluate.add_argument("--split", help="part of a known set (default: test, else validation)")
    evaluate.add_argument(
        "--encoding", default="utf-8", metavar="E", help="of the file, e.g. utf-16, latin-1, gb18030"
    )

    score = commands.add_parser("score", help="log-probability of one text")
    score.add_argument("run", help="run folder")
    score.add_argument("--text", required=True)
    add_generation_options(score, ["begin"])
    for command in (evaluate, score):
        command.add_argument("--json", action="store_true", help="print one JSON object")

    generate = commands.add_parser("generate", help="continue a prompt")
    _add_generate(generate)

    export = commands.add_parser("export", help="write a SavedModel for TF Serving; prints the version folder")
    export.add_argument("run", help="run folder, or one of lm_keras.tasks.save")
    export.add_argument("target", help="e.g. saved_models/name; the next free version is made below it")
    export.add_argument(
        "--max-new-tokens-limit", type=number(int, 1), metavar="N", help="cap of a text (default: 256)"
    )
    export.add_argument("--num-beams", type=number(int, 2, 1000), metavar="N", help="width of `beam` (default: 4)")
    text = "cut of a text in a request (default: 131072; 4096 for a text-to-text transformer)"
    export.add_argument("--max-text-bytes", type=number(int, 4, 2**30), metavar="N", help=text)
    export.add_argument("--quantize", choices=("int8", "int4"), help="weights of 8 or 4 bits")
    export.add_argument("--licence", metavar="NAME", help="for the model card, e.g. Apache-2.0")
    for command in (train, evaluate, score, generate, export):
        help = "import it first: a module that registers a builder or a tokenizer (may be repeated)"
        command.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help=help)
    check = commands.add_parser("check", help="prove that an export serves; exit 0, or a list of what is wrong")
    check.add_argument("version", help="version folder, e.g. saved_models/name/1")

    config = commands.add_parser("serve-config", help="write what TF Serving is started with for a folder of exports")
    config.add_argument("folder", help="saved_models/, or another folder of exports")
    for label, help in {
        "stable": "default: the newest but one, or the only one",
        "canary": "default: the newest",
    }.items():
        config.add_argument(f"--{label}", action="append", default=[], type=version_of, metavar="NAME=N", help=help)
    config.add_argument("--image", default="tensorflow/serving:latest", help="Docker image")
    config.add_argument("--max-batch-size", type=number(int, 1), default=64, metavar="N")

    _add_query(commands.add_parser("query", help="ask a model that TF Serving serves"))
    data = commands.add_parser("data", help="known data sets").add_subparsers(dest="action", required=True)
    data.add_parser("list", help="names, licences and where they are")
    data.add_parser("fetch", help="download a set").add_argument("name")
    add_report(data)
    add_vectors(commands.add_parser("vectors", help="word similarity and analogies of a file of word vectors"))
    return top


def _add_generate(generate):
    generate.add_argument("run", help="run folder")
    generate.add_argument("--prompt", required=True)
    add_generation_options(generate)
    generate.add_argument(
        "--choices", nargs="+", metavar="TEXT", help="no new text: which of these follows, with its probability"
    )
    generate.add_argument("--stream", action="store_true", help="print the text while it is made")


def add_generation_options(parser, names=None):
    """A flag for each option of `GenerationConfig` that has one, or for those of the names."""
    for field in dataclasses.fields(GenerationConfig):
        option = field.metadata["option"]
        if option.flag == "" or (names is not None and field.name not in names):
            continue
        flag = option.flag or f"--{field.name.replace('_', '-')}"
        settings = {"dest": field.name, "default": field.default, "help": option.meaning.replace("%", "%%")}
        if isinstance(field.default, bool):
            settings["action"] = "store_false" if field.default else "store_true"
        elif isinstance(field.default, tuple):
            settings |= {"default": None, "action": "append", "metavar": option.metavar}
        else:
            settings |= {
                "metavar": "X" if isinstance(field.default, float) else "N",
                "type": _type_of(field.default, option),
            }
        parser.add_argument(flag, **settings)


def _type_of(default, option):
    """The argparse type of an option of generation."""
    if isinstance(default, float):
        bounds = (option.least, option.above, option.most)
        return float if bounds == (None, None, None) else number(float, option.least, option.most, above=option.above)
    if option.least is None:  # a seed
        return number(int, -(2**63), 2**63 - 1)
    return number(int, option.least)


def _add_query(query):
    query.add_argument("url", help="the server, e.g. http://localhost:8501 (REST) or grpc://localhost:8500")
    query.add_argument("name", help="the model's name there")
    add = query.add_argument
    add("--signature", default="serving_default", metavar="NAME", help="what to ask for, e.g. generate")
    text = "repeat a name for more rows; without any: show versions and signatures"
    add("--input", action="append", type=input_of, metavar="NAME=VALUE", help=text)
    which = query.add_mutually_exclusive_group()
    which.add_argument("--version", type=number(int, 0, 2**63 - 1), metavar="N", help="default: the newest")
    which.add_argument("--label", metavar="L", help="version label, e.g. stable")
    add("--timeout", type=number(float, 1e-3, 1e5), default=60.0, metavar="X", help="seconds a request may take")
    add("--retries", type=number(int, 0), default=3, metavar="N", help="tries more while the server is unavailable")
    add("--json", action="store_true", help="print one JSON object")


def _add_train(train, builder):
    train.add_argument(
        "--data", required=True, metavar="PATH|NAME", help="text file (.gz, .bz2, .xz), folder or known set"
    )
    train.add_argument(
        "--valid",
        metavar="PATH",
        help="validation text (default: a tenth of --data)",
    )
    kinds = "char, word, bpe, wordpiece, or one that an --import registers"
    train.add_argument("--tokenizer", required=True, metavar="KIND", help=kinds)
    train.add_argument("--out", required=True, metavar="FOLDER", help="run folder to make")
    train.add_argument("--resume", action="store_true", help="go on with the run in --out")
    text = train.add_argument_group("text")
    text.add_argument("--language", default="en", metavar="L", help="en, zh, or none: words stand between spaces")
    text.add_argument("--user-dict", metavar="FILE", help="zh, word: words that jieba does not know, one a line")
    text.add_argument("--vocab-size", type=number(int, 2), metavar="N", help="default: 10000, all characters")
    text.add_argument("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, latin-1, gb18030")
    text.add_argument("--unit", choices=("line", "chunk"), help="what one text is (default: char chunk, else line)")
    text.add_argument("--min-count", type=number(int, 1), default=1, metavar="N")
    text.add_argument("--lowercase", action="store_true")
    text.add_argument("--length", type=number(int, 1), default=35, metavar="N", help="tokens a window")
    text.add_argument("--contiguous", action="store_true", help="carry the state from batch to batch")
    _add_model(train, builder)
    _add_training(train)


def _add_model(train, builder):
    sizes = "`lm-keras train --model FAMILY --help` lists the options of a family"
    model = train.add_argument_group("model", sizes if builder is None else f"the arguments of {builder.__name__}")
    model.add_argument("--model", required=True, metavar="FAMILY", help=", ".join(BUILDERS))
    if builder is not None:
        add_options(model.add_argument, builder, number)


def _add_training(train):
    run = train.add_argument_group("training")
    run.add_argument("--epochs", type=number(int, 1), default=3, metavar="N")
    run.add_argument(
        "--max-steps", type=number(int, 1), metavar="N", help="batches of the whole run; epochs no matter"
    )
    run.add_argument("--batch-size", type=number(int, 1), default=32, metavar="N")
    run.add_argument("--learning-rate", type=number(float, 1e-12), default=2e-3, metavar="X")
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


# The modules of this package that hold commands; all others are in `run`.
MODULES = {"train": "train", "query": "serve", "vectors": "vectors"}


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line.

    Those of `train` are parsed twice: without TensorFlow first, which finds most of what is wrong, and then with the
    options of the family, which are the arguments of its builder.
    """
    top = parser()
    if arguments[:1] != ["train"]:
        return top.parse_args(arguments)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--model")
    first.add_argument("--import", dest="modules", action="append", default=[])
    chosen, rest = argparse.Namespace(model=None, modules=[]), []
    with contextlib.suppress(argparse.ArgumentError):  # `--model` without a name, of which the next parser tells
        chosen, rest = first.parse_known_args(arguments)
    if chosen.model is None or not {"-h", "--help"} & set(rest):
        top.parse_known_args(arguments)  # ends here where something is wrong, or help is wanted
    if not chosen.modules:
        check_family(chosen.model)
    _import_modules(chosen.modules)
    builder = builder_of(chosen.model).function
    options, unknown = parser(builder).parse_known_args(arguments)
    if unknown:
        check_unknown(unknown, chosen.model)
        top.error(f"unrecognized arguments: {' '.join(unknown)}")
    return with_single_values(options, builder)


def _import_modules(names):
    from lm_keras.cli.run import import_modules  # after --help and wrong usage have been answered

    import_modules(names)


def main(arguments=None):
    """Runs one command; returns the exit code: 0, 2 for bad input (one line on stderr), 1 for a failed check."""
    open_streams()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    try:
        options = parsed(sys.argv[1:] if arguments is None else list(arguments))
        quiet.watch()
        _import_modules(getattr(options, "modules", ()))
        # The module of a command is imported for it alone: the others' libraries take time.
        commands = importlib.import_module(f"lm_keras.cli.{MODULES.get(options.command, 'run')}")
        code = getattr(commands, options.command.replace("-", "_"))(options) or 0
        sys.stdout.flush()  # a closed pipe is noticed here, not while Python ends
        return code
    except InputError as error:
        complain(f"lm-keras: {' '.join(str(error).split())}")
        return 2
    except WorkerLostError as error:
        complain(f"lm-keras: {error}")
        return 1
    except KeyboardInterrupt:
        complain("lm-keras: interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # no right to write, no space left
        complain(f"lm-keras: {error.filename or 'system'}: {error.strerror or error}")
        return 2
    except Exception as error:
        if type(error).__name__ not in ("ResourceExhaustedError", "MemoryError"):  # TensorFlow's and Python's
            raise
        complain("lm-keras: there is not enough memory for these sizes; give smaller ones")
        return 2
