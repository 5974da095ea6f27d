"""`lm-keras`: train · evaluate · score · generate · export · check · serve-config · query · data · vectors."""

import argparse
import importlib
import os
import sys
import warnings
from pathlib import Path

from lm_keras.cli.train import FAMILY_OPTIONS
from lm_keras.errors import InputError, WorkerLostError
from lm_keras.utils import quiet
from lm_keras.utils.quiet import complain, load_tensorflow, open_streams


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def format_help(self):
        for action in self._actions:
            if action.default is not None and action.default is not False and action.default != argparse.SUPPRESS:
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


def add_import(command: argparse.ArgumentParser) -> None:
    """Adds `--import MODULE` to a command that reads a model."""
    help = "import it first: a module that registers a builder or a tokenizer (may be repeated)"
    command.add_argument("--import", dest="modules", action="append", default=[], metavar="MODULE", help=help)


def parser() -> Parser:
    """The parser of the whole command line; each module of this package adds its commands."""
    from lm_keras.cli import data, run, serve, vectors
    from lm_keras.cli.train import train as train_function

    top = Parser(prog="lm-keras", description="Train, evaluate, use and export language models.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    train = commands.add_parser("train", help="train a model on text")
    train.set_defaults(call=train_function)
    _add_train(train)
    add_import(train)
    for module in (run, serve, data, vectors):
        module.add_commands(commands)
    return top


def _add_train(train):
    train.add_argument(
        "--model", required=True, choices=FAMILY_OPTIONS, metavar="FAMILY", help=", ".join(FAMILY_OPTIONS)
    )
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
    _add_model(train)
    _add_training(train)


def _add_model(train):
    model = train.add_argument_group("model", "defaults: the builder's; transformers: 4 layers, 4 heads, 128 wide")
    for name, least in {
        "embedding-dim": 1,
        "hidden-dim": 1,
        "num-layers": 1,
        "num-heads": 1,
        "num-kv-heads": 1,
    }.items():
        model.add_argument(f"--{name}", type=number(int, least), metavar="N")
    model.add_argument("--max-length", type=number(int, 1), metavar="N", help="attention span (default: --length)")
    model.add_argument("--context-length", type=number(int, 1), metavar="N", help="feedforward: words it sees")
    model.add_argument("--skip", type=number(int, 1), metavar="K", help="rnn: adds U h[t-K]")
    model.add_argument("--score", choices=("additive", "multiplicative"), help="attention_rnn")
    model.add_argument("--kernel-size", type=number(int, 1), metavar="N", help="cnn: words a convolution spans")
    model.add_argument("--dilation-growth", type=number(int, 1), metavar="N", help="cnn: spread of layer i: N^i")
    model.add_argument("--dropout", type=number(float, 0, 0.99), metavar="X")
    model.add_argument("--batch-norm", action="store_true", help="feedforward")
    model.add_argument("--tie-embeddings", action="store_true", help="score words with the embedding")
    model.add_argument("--init-scale", type=number(float, 1e-9), metavar="X", help="draw all weights from U(-X, X)")


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


def _import_modules(names):
    """Imports the modules that the user names, from the current folder too."""
    if names:
        load_tensorflow()
        sys.path.append(str(Path.cwd()))
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever the module raises
            raise InputError(f"--import {name}: {type(error).__name__}: {error}") from error


def main(arguments=None):
    """Runs one command; returns the exit code: 0, 2 for bad input (one line on stderr), 1 for a failed check."""
    open_streams()
    options = parser().parse_args(arguments)
    quiet.watch()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    try:
        _import_modules(getattr(options, "modules", ()))
        code = options.call(options) or 0
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
