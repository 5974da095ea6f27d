"""What the modules of the command line share: the parser of a command, types of options, and options of several."""

import argparse
import sys
from collections.abc import Callable
from typing import Protocol

from lm_keras.errors import InputError
from lm_keras.utils.quiet import complain


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


def number(
    kind: type, least: float | None = None, most: float | None = None, above: float | None = None
) -> Callable[[str], float]:
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


def flag_of(name: str) -> str:
    """The flag of an option's name."""
    return "--no-quotes" if name == "quotes" else f"--{name.replace('_', '-')}"


def refuse_flags(options, names, kind) -> None:
    """InputError where one of these options is given, which are for a run of another kind."""
    if given := [name for name in names if getattr(options, name) is not None]:
        raise InputError(f"{flag_of(given[0])} is for a {kind}, and {options.run} is none; leave it out")
