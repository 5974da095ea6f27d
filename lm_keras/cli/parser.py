"""`lm-keras`: train · evaluate · score · generate · export · check · serve-config · query · data · vectors."""

import argparse
import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from lm_keras.cli.family import builder_of, check_family, check_unknown, with_single_values
from lm_keras.errors import InputError, WorkerLostError
from lm_keras.utils import quiet
from lm_keras.utils.quiet import complain, load_tensorflow, open_streams


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


class Commands(Protocol):
    """What `ArgumentParser.add_subparsers` returns: the place where a module adds its commands."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser: ...


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


def parser(builder: Callable | None = None) -> Parser:
    """The parser of all commands; that of `train` has the options of a family, whose `builder` is given."""
    from lm_keras.cli import data, run, serve, train, vectors

    top = Parser(prog="lm-keras", description="Train, evaluate, use and export language models.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    train.add_commands(commands, builder)
    for module in (run, serve, data, vectors):
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
    first.add_argument("--import", dest="modules", action="append", default=[])
    chosen, rest = argparse.Namespace(model=None, modules=[]), []
    with contextlib.suppress(argparse.ArgumentError):  # `--model` without a name, of which the next parser tells
        chosen, rest = first.parse_known_args(arguments)
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
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever the module raises
            raise InputError(f"--import {name}: {type(error).__name__}: {error}") from error


def main(arguments=None):
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
