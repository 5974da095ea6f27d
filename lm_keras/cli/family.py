"""The options of `lm-keras train` that belong to a family: the arguments of its builder, read off its signature."""

import argparse
import inspect
import re
import types
import typing
from collections.abc import Callable, Sequence

from lm_keras.errors import InputError
from lm_keras.models import BUILDERS
from lm_keras.models.renamed import ARGUMENTS
from lm_keras.utils.quiet import load_tensorflow

if typing.TYPE_CHECKING:
    from lm_keras.models.base import Registered

# What the command itself gives a builder, or what makes something else of a language model.
NOT_OPTIONS = ("vocab_size", "seed", "name", "embedding_matrix", "train_embeddings", "return_sequences")


def check_family(family: str) -> None:
    """Raises InputError for a family that nobody has registered."""
    if family not in BUILDERS:
        raise InputError(
            f"--model {family} is no family; known: {', '.join(BUILDERS)}; --import MODULE for one of your own"
        )


def builder_of(family: str) -> "Registered":
    """The registered builder of a family; InputError for an unknown one."""
    check_family(family)
    load_tensorflow(compute=False)
    from lm_keras.models.base import find_builder

    return find_builder(BUILDERS[family])


def add_options(add: Callable, builder: Callable, number: Callable) -> None:
    """Adds an option for each argument of a builder that is a number, a text, a bool or a list of those.

    Args:
        add: `add_argument` of the parser, or of the group in it, that gets them.
        builder: The function; its annotations and the `Args` of its docstring say what there is.
        number: An argparse type of a number from a bound on, `number(kind, least)`.

    Raises:
        InputError: For an argument that has the name of another option of the command.
    """
    helps = argument_help(builder)
    for name, (kind, several) in options_of(builder).items():
        default = inspect.signature(builder).parameters[name].default
        text = helps.get(name, "")
        if default not in (None, False, inspect.Parameter.empty):
            text = ", ".join(filter(None, (text, f"default {default}")))
        settings = {"default": None, "help": text.replace("%", "%%")}
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        elif isinstance(kind, tuple):
            settings["choices"] = kind
        else:
            settings["metavar"] = "N" if kind is int else "X"
            settings["type"] = kind if kind is str else number(kind, least_of(kind, default))
            settings |= {"nargs": "+"} if several else {}
        try:
            add(flag_of(name), **settings)
        except argparse.ArgumentError:
            raise InputError(
                f"{builder.__name__} has an argument {name}, and {flag_of(name)} is another option; rename it"
            ) from None


def options_of(builder: Callable) -> dict[str, tuple[object, bool]]:
    """{argument: (kind, several)}: int, float, str, bool or a tuple of choices, and whether it may be a list."""
    try:
        hints = typing.get_type_hints(inspect.unwrap(builder))
    except NameError:  # an annotation that is there for editors alone
        hints = {}
    found = {}
    for name, parameter in inspect.signature(builder).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        kind, several = _kind_of(hints.get(name, type(parameter.default)))
        if named and kind is not None and name not in NOT_OPTIONS:
            found[name] = kind, several
    return found


def _kind_of(hint):
    if hint in (int, float, str, bool):
        return hint, False
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return inner, False
    if origin in (typing.Union, types.UnionType):
        kinds = [_kind_of(part) for part in inner if part is not type(None)]
        kinds = [kind for kind in kinds if kind[0] is not None]
        return (kinds[0][0], any(several for _, several in kinds)) if kinds else (None, False)
    if isinstance(origin, type) and issubclass(origin, Sequence) and inner:
        return _kind_of(inner[0])[0], True
    return None, False


def least_of(kind, default):
    """The least number of an option: sizes begin with 1, unless the default is less."""
    least = 1 if kind is int else 0
    return min(least, default) if isinstance(default, (int, float)) else least


def argument_help(builder: Callable) -> dict[str, str]:
    """{argument: the first sentence of what the docstring's `Args` say of it}."""
    lines = (inspect.getdoc(builder) or "").partition("Args:\n")[2].splitlines()
    found, name = {}, None
    for line in lines:
        if line and not line.startswith(" "):
            break
        if match := re.match(r"    (\w+): (.*)", line):
            name = match[1]
            found[name] = match[2]
        elif name:
            found[name] += f" {line.strip()}"
    return {name: re.split(r"\.$|\. +(?=[A-Z])", text.replace("`", ""))[0] for name, text in found.items()}


def builder_arguments(options: argparse.Namespace) -> dict:
    """The builder's arguments for the parsed options.

    What was not given is the builder's default, or the `small` that it was registered with, but for `max_length`,
    which is the length of the training windows.

    Raises:
        InputError: For options that do not go together.
    """
    entry = builder_of(options.model)
    known = options_of(entry.function)
    given = {name: getattr(options, name) for name in known if getattr(options, name) is not None}
    defaults = dict(entry.small)
    if "max_length" in known:
        if options.contiguous:
            raise InputError(f"--contiguous carries a state of fixed size, unlike {options.model}'s; leave it out")
        defaults["max_length"] = options.length
        if given.get("max_length", options.length) < options.length:
            raise InputError(f"--max-length {options.max_length} is less than --length {options.length}; give more")
    seed = {"seed": options.seed} if "seed" in inspect.signature(entry.function).parameters else {}
    return {**defaults, **given, **seed}


def with_single_values(options: argparse.Namespace, builder: Callable) -> argparse.Namespace:
    """The options, where a list of one value is that value: an argument that may be a list may be a number too."""
    for name, (_, several) in options_of(builder).items():
        value = getattr(options, name)
        if several and value is not None and len(value) == 1:
            setattr(options, name, value[0])
    return options


def check_unknown(unknown: Sequence[str], family: str) -> None:
    """Raises InputError for an option of other families, or of older releases, among arguments that nobody knows."""
    renamed = ARGUMENTS.get(BUILDERS[family], {})
    for flag in unknown:
        name = flag.partition("=")[0].removeprefix("--").removeprefix("no-").replace("-", "_")
        if name in renamed:
            raise InputError(f"{flag_of(name)} is {flag_of(renamed[name])} today; give that")
        others = [other for other in BUILDERS if name in options_of(builder_of(other).function)]
        if flag.startswith("--") and others:
            raise InputError(f"{flag} does not belong to --model {family}, only to {', '.join(others)}; leave it out")


def flag_of(name: str) -> str:
    """The option of an argument: --hidden-dim for hidden_dim."""
    return "--" + name.replace("_", "-")
