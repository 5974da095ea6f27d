"""Jinja2's sandbox as chat templates need it, with bounds: a template comes with a file from elsewhere.

The sandbox of Jinja2 keeps a template from Python's internals, and from changing what it is given. It does not bound
time and memory: `'a' * 10 ** 10` would be made, and loops within loops go on for days. So whatever makes a value here
is counted (`budget`), and what makes much of little (`center`, `lipsum`, `translate`) is not there.
"""

import functools
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.chat.budget import charge, check_format, check_operation, limited, tick

LONGEST = 2**18  # characters of a template; those that are known have 10,000
MOST_OUTPUT = 2**22  # characters of a rendered chat
_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "forceescape"),
    *("indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject"),
    *("rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "sort", "string", "title", "trim"),
    *("unique", "upper"),
)
_METHODS = {
    str: (
        *("capitalize", "casefold", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isascii"),
        *("isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip"),
        *("partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit"),
        *("rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper"),
    ),
    dict: ("copy", "get", "items", "keys", "values"),
    list: ("copy", "count", "index"),
    tuple: ("count", "index"),
}
_OWN_TYPES = (str, bytes, int, float, complex, list, tuple, dict, set, frozenset, range, type)


def render(template: str, variables: Mapping[str, Any]) -> str:
    """Returns the text that a template makes of variables.

    Args:
        template: In the language of Jinja2.
        variables: By name; values that JSON can hold.

    Raises:
        InputError: For a template that is none, refuses the variables, or does what it may not.
    """
    try:
        with limited(len(template) + len(json.dumps(variables))):
            return _joined(_compiled(template).generate(**variables))
    except SecurityError as error:
        raise InputError(f"the chat template is stopped: {error}; use a template that you trust") from None
    except (MemoryError, InputError):
        raise
    except Exception as error:  # whatever the template runs into
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"the chat template does not take these messages ({told})") from None


def _joined(pieces):
    made, size = [], 0
    for piece in pieces:
        made.append(piece)
        size += len(piece)
        if size > MOST_OUTPUT:
            raise SecurityError(f"it writes more than {MOST_OUTPUT:,} characters")
    return "".join(made)


@functools.lru_cache(16)
def _compiled(template):
    if len(template) > LONGEST:
        raise SecurityError(f"it has {len(template):,} characters, not at most {LONGEST:,}")
    environment = _environment()
    tree = _Counting().visit(environment.parse(template)).set_environment(environment)
    code = environment.compile(tree)
    return environment.template_class.from_code(environment, code, environment.make_globals(None))


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox whose operators, calls and attributes are counted or refused."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "**", "%"))
    tick = staticmethod(tick)
    made = staticmethod(charge)  # of a list, tuple or dict that the template writes down

    @staticmethod
    def concatenated(*parts: Any) -> str:
        """Returns the text of `a ~ b`."""
        charge(parts, plain=True)
        return "".join(map(str, parts))

    def call_binop(self, context, operator, left, right):
        """Computes `left operator right`."""
        check_operation(operator, left, right)
        return charge(super().call_binop(context, operator, left, right))

    def is_safe_attribute(self, obj, attr, value):
        """Whether a template may have an attribute; of Python's own types only the methods of a list."""
        if isinstance(obj, _OWN_TYPES):
            return any(isinstance(obj, kind) and attr in names for kind, names in _METHODS.items())
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value):
        """Returns `str.format` of a sandbox, which bounds what comes of it too."""
        made = super().wrap_str_format(value)
        if made is None:
            return None

        def bounded(*arguments, **options):
            check_format(value.__self__, "{", (arguments, options))
            return made(*arguments, **options)

        return functools.update_wrapper(bounded, value)

    def call(__self, __context, __obj, *arguments, **options):  # noqa: N805  an argument may be called `self`
        """Calls a function or a method."""
        tick()
        text, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", None)
        if isinstance(text, str) and name == "replace":
            _check_replace(text, *arguments)
        if isinstance(text, str) and name == "join":
            arguments = (_checked_join(*arguments, text),)
        return charge(super().call(__context, __obj, *arguments, **options))


class _Counting(NodeTransformer):
    """Puts a count into each loop, macro and call block, and around what makes a value without a call."""

    def get_visitor(self, node):
        """Returns what changes a node; None for one that stays."""
        if isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
            return self._counted
        if isinstance(node, nodes.Concat):
            return self._concatenated
        stored = isinstance(node, nodes.Tuple) and node.ctx != "load"
        return self._made if isinstance(node, (nodes.List, nodes.Tuple, nodes.Dict)) and not stored else None

    def _counted(self, node):
        size = sum(len(text.data) for part in node.body for text in _all(part, nodes.TemplateData))
        self.generic_visit(node)
        count = nodes.ExprStmt(_call("tick", [nodes.Const(size)]))
        node.body.insert(0, count.set_lineno(node.lineno))
        return node

    def _concatenated(self, node):
        self.generic_visit(node)
        return _call("concatenated", node.nodes).set_lineno(node.lineno)

    def _made(self, node):
        self.generic_visit(node)
        return _call("made", [node]).set_lineno(node.lineno)


def _all(node, kind):
    return [*([node] if isinstance(node, kind) else []), *node.find_all(kind)]


def _call(name, arguments):
    return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)


class _Generation(Extension):
    """The tag `{% generation %}`, which says what an assistant has written: here it is its content."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


@functools.cache
def _environment():
    """The environment of transformers: its options, functions and filters."""
    made = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, jinja2.ext.loopcontrols],
        optimized=False,  # nothing is computed before the budget counts
        finalize=_written,
    )
    made.filters = {name: _bounded(name, made.filters[name]) for name in _FILTERS} | {"tojson": _to_json}
    functions = {"raise_exception": _raise, "strftime_now": _now, "dict": _Dict(), "namespace": _Namespace}
    made.globals = {"range": made.globals["range"], "cycler": made.globals["cycler"]} | functions
    made.globals["joiner"] = jinja2.utils.Joiner
    return made


@jinja2.pass_context  # of the kind that is not computed before the template runs
def _written(context, value):
    return charge(value, plain=True)


def _bounded(name, function):
    """A filter that counts what it makes; those that make much of little are looked at before."""
    place = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def call(*arguments, **options):
        tick()
        value, given = arguments[place], (*arguments[place + 1 :], *options.values())
        if name == "replace":
            _check_replace(str(charge(value, plain=True)), *given)
        elif name == "join":
            value = _checked_join(value, given[0] if given else "")
        elif name == "indent":
            width = given[0] if given else 4
            lines = str(charge(value, plain=True)).count("\n") + 1
            charge(width if isinstance(width, str) else "", lines)
            charge("", lines * abs(int(width)) if not isinstance(width, str) else 0)
        elif name == "round" and any(isinstance(number, int) and abs(number) > 100 for number in given):
            raise SecurityError("it rounds to too many places")
        elif name == "string":
            charge(value, plain=True)
        return charge(function(*arguments[:place], value, *arguments[place + 1 :], **options))

    return call


def _check_replace(text, old="", new="", *_):
    charge(str(charge(new, plain=True)), text.count(str(charge(old, plain=True))))


def _checked_join(values, between=""):
    values = list(values)
    charge(values, plain=True)
    charge(str(between), len(values))
    return values


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    tick()
    charge(value, plain=True)
    if len(indent) > 8 if isinstance(indent, str) else (indent or 0) > 8:
        raise SecurityError("it indents too far")
    if separators is not None and max(map(len, separators)) > 8:
        raise SecurityError("it separates by too much")
    made = json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=bool(sort_keys)
    )
    return charge(made)


def _raise(message):
    raise TemplateError(message)


def _now(form):
    if len(form) > 200 or re.search(r"%\W*\d", form):
        raise SecurityError("it formats the time in another way than templates do")
    return datetime.now().strftime(form)


class _Dict:
    """`dict` without the attributes of the class."""

    def __call__(self, *arguments, **options):
        return dict(*arguments, **options)

    def fromkeys(self, *arguments):
        return dict.fromkeys(*arguments)


class _Namespace(jinja2.utils.Namespace):
    """`namespace` without attributes that Python itself looks at."""

    def __init__(*arguments: Any, **options: Any) -> None:  # a variable may be called `self`
        self, arguments = arguments[0], arguments[1:]
        for name in dict(*arguments, **options):
            _check_name(name)
        jinja2.utils.Namespace.__init__(self, *arguments, **options)

    def __setitem__(self, name, value):
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name):
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"it names a variable {name!r:.40}")
