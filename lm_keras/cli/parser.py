"""The commands of `lm-keras`: each one's options, and what is called."""

import argparse
import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from lm_keras.cli import chat, data, models, run, serve, tasks, train, vectors
from lm_keras.cli.family import builder_of, check_family, check_unknown, with_single_values
from lm_keras.cli.options import Parser
from lm_keras.errors import InputError, WorkerLostError
from lm_keras.utils import quiet
from lm_keras.utils.quiet import complain, load_tensorflow, open_streams


def parser(builder: Callable | None = None, start: str | None = None) -> Parser:
    """The parser of all commands.

    That of `train` has the options of a family, whose `builder` is given, or those of a training that goes on from
    the model `start`.
    """
    top = Parser(prog="lm-keras", description="Train, evaluate, use and export language models.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    train.add_commands(commands, builder, start)
    for module in (tasks, run, chat, serve, data, models, vectors):
        module.add_commands(commands)
    return top


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
    first.add_argument("--from", dest="start")
    first.add_argument("--import", dest="modules", action="append", default=[])
    chosen, rest = argparse.Namespace(model=None, start=None, modules=[]), []
    with contextlib.suppress(argparse.ArgumentError):  # `--model` without a name, of which the next parser tells
        chosen, rest = first.parse_known_args(arguments)
    if chosen.start is not None:
        return parser(start=chosen.start).parse_args(arguments)
    if chosen.model is None or not {"-h", "--help"} & set(rest):
        # Ends here where something is wrong, or help is wanted. This parser knows abbreviations too.
        chosen, _ = top.parse_known_args(arguments)
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
    """Imports the modules that the user names, from the current folder too."""
    if names:
        load_tensorflow(compute=False)  # which a strategy of several workers must come before
        sys.path.append(str(Path.cwd()))
    for name in names:
        if name.endswith(".py") or "/" in name or os.sep in name:
            module = name.replace(os.sep, "/").rsplit("/", 1)[-1].removesuffix(".py")
            raise InputError(
                f"--import {name}: give the module's name ({module}), without folder and .py; it must be importable "
                "from the current folder or PYTHONPATH"
            )
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever the module raises
            raise InputError(f"--import {name}: {type(error).__name__}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 2 for bad input (one line on stderr), 1 for a failed check."""
    open_streams()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    try:
        options = parsed(sys.argv[1:] if arguments is None else list(arguments))
        quiet.watch()
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
