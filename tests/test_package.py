"""The public names: all of them there, none of them a module in a function's place."""

import ast
import collections
import importlib
import itertools
import subprocess
import sys
import types
from pathlib import Path

import pytest

import lm_keras as lk

ROOT = Path(lk.__file__).parent
STUBS = sorted(ROOT.rglob("*.pyi"))


def package_of(file):
    return ".".join(file.parent.relative_to(ROOT.parent).parts)


PACKAGES = [package_of(stub) for stub in STUBS]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_what_it_says(name):
    package = importlib.import_module(name)
    assert package.__all__ == dir(package)
    for public in package.__all__:
        value = getattr(package, public)
        is_module = name == "lm_keras" and f"lm_keras.{public}" in (*PACKAGES, "lm_keras.losses")
        assert isinstance(value, types.ModuleType) == is_module, public
        assert getattr(package, public) is value  # and the same at the second use


@pytest.mark.parametrize("stub", STUBS, ids=package_of)
def test_the_stub_declares_what_the_package_has(stub):
    """An editor takes a name of a stub as public only where it stands twice: `import name as name`."""
    package = importlib.import_module(package_of(stub))
    declared = []
    for statement in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.AnnAssign):
            assert statement.target.id in vars(package), statement.target.id
            continue
        assert isinstance(statement, ast.ImportFrom) and statement.level, ast.unparse(statement)
        assert [alias.asname for alias in statement.names] == [alias.name for alias in statement.names]
        declared += [alias.name for alias in statement.names]
    assert sorted(declared) == package.__all__  # so none twice


def test_a_package_with_public_names_has_a_stub():
    for file in ROOT.rglob("__init__.py"):
        assert ("attach(" in file.read_text(encoding="utf-8")) == file.with_suffix(".pyi").is_file(), file


def test_no_name_stands_for_two_things():
    """Of all public names, and of all classes: whoever reads `Answer` need not ask of which package."""
    found = collections.defaultdict(set)
    for package in map(importlib.import_module, PACKAGES):
        for name in package.__all__:
            found[name].add(id(getattr(package, name)))
    found.pop("load")  # `lk.data.load` of a name and `lk.tasks.load` of a folder: as `json.load`, with its package
    assert [name for name, values in found.items() if len(values) > 1] == []
    classes = collections.Counter(
        statement.name
        for file in ROOT.rglob("*.py")
        for statement in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.ClassDef) and not statement.name.startswith("_")
    )
    assert [name for name, times in classes.items() if times > 1] == []


def test_one_function_under_two_names():
    assert lk.export is lk.serving.export
    assert lk.check is lk.serving.check
    assert lk.fit is lk.training.fit


@pytest.fixture
def package(tmp_path):
    """A package whose public names are those of its modules: a function, one of another module, and of a folder."""
    files = {
        "__init__.py": "from lm_keras.utils.lazy import attach\n\nversion = 3\nattach(__name__, __file__)\n",
        "__init__.pyi": "from . import plain as plain\nfrom .export.writing import export as export\n"
        "from .fit import fit as fit\nfrom .other import evaluate as evaluate\nversion: int\n",
        "plain.py": "",
        "fit.py": "from shop.export import LIMIT\n\n\ndef fit():\n    return LIMIT\n\n\ndef helper():\n    pass\n",
        "evaluate.py": "from shop.fit import fit, helper\n",
        "other.py": "from shop.evaluate import fit\n\n\ndef evaluate():\n    return fit() + 1\n",
        "export/__init__.py": "LIMIT = 7\n",
        "export/writing.py": "def export():\n    pass\n",
        "hidden.py": "DEPTH = 2\n",
    }
    for name, text in files.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def fresh(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


USES = [
    "import shop.fit",
    "import shop.evaluate",
    "import shop.export.writing",
    "from shop import fit, evaluate, export",
    "from shop import *",
    "import shop; assert shop.evaluate() == 8",
]


@pytest.mark.parametrize("first, second", [*itertools.permutations(USES, 2)])
def test_a_public_name_wins_over_the_module_of_its_name(package, first, second):
    checks = (
        "import importlib, sys, shop",
        "assert type(shop).__name__ == '_LazyPackage' and shop.version == 3",
        "assert [shop.fit.__name__, shop.evaluate.__name__, shop.export.__name__] == ['fit', 'evaluate', 'export']",
        "assert callable(shop.fit) and shop.fit() == 7 and shop.evaluate() == 8 and shop.export() is None",
        "from shop.fit import helper; from shop.export import LIMIT; assert callable(helper) and LIMIT == 7",
        "assert callable(shop.fit) and callable(shop.export) and shop.plain is sys.modules['shop.plain']",
        "assert importlib.import_module('shop.fit').helper is helper and shop.hidden.DEPTH == 2",
        "importlib.reload(shop); assert callable(shop.fit)",
        "shop.fit = len; assert shop.fit is len",
    )
    fresh("\n".join([first, second, *checks]), package)


def test_a_name_that_a_stub_promises_in_vain_is_named(package):
    (package / "shop" / "other.py").write_text("")
    fresh(
        "import shop\ntry:\n    shop.evaluate\nexcept AttributeError as error:\n    assert 'evaluate' in str(error)\n"
        "else:\n    raise SystemExit('no error')",
        package,
    )


@pytest.mark.parametrize("name", PACKAGES)
def test_names_that_are_also_modules_win_in_the_library(name, warm_python):
    """Whichever module of the package is imported first."""
    package = importlib.import_module(name)
    modules = [n for n in package.__all__ if importlib.util.find_spec(f"{name}.{n}") and name != "lm_keras"]
    for module in modules:
        code = f"import {name}.{module}, {name} as p; assert callable(p.{module}), p.{module}"
        subprocess.run([warm_python, "-c", code], check=True)


def test_import_loads_no_heavy_library():
    heavy = {"tensorflow", "keras", "nltk", "gensim", "requests", "grpc", "tensorflow_serving", "matplotlib"}
    code = f"import sys, lm_keras.cli.parser, lm_keras.serving.client.client; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_unknown_name_is_an_attribute_error():
    for package in (lk, lk.models):
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
            _ = package.nothing
    with pytest.raises(ImportError, match="nothing"):
        exec("from lm_keras.models import nothing")


# Arrows point from right to left; what is in one tuple stands beside each other.
ORDER = [
    ("utils",),
    ("text",),
    ("data",),
    ("embeddings",),
    ("layers",),
    ("models",),
    ("training",),
    ("generation",),
    ("serving",),
    ("tasks", "analysis"),
    ("prompting", "contexts", "show"),
    ("cli",),
]
LEVELS = {package: level for level, packages in enumerate(ORDER) for package in packages}


def at_run_time(node):
    """The nodes of a module without those that only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from at_run_time(child)


def test_every_import_follows_the_arrow():
    for path in ROOT.rglob("*.py"):
        package = path.relative_to(ROOT).parts[0]
        for node in at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                other = (module.split(".") + [""])[1]
                if module.split(".")[0] == "lm_keras" and {package, other} <= set(LEVELS) and package != other:
                    assert LEVELS[other] < LEVELS[package], f"{path}: {module}"


# === Private names ===

INTERNALS = "utils/keras_internals.py"  # private names of Keras and TensorFlow, each with a test
PUBLIC = {
    "_replace": "of a named tuple, where an underscore is no more than a way not to clash with a field",
    "_asdict": "of a named tuple",
    "_fields": "of a named tuple",
    "_exit": "os._exit, documented by Python",
    "_getframe": "sys._getframe, documented by Python",
    "_SubParsersAction": "argparse, which has no public name for what add_subparsers gives; in annotations alone",
    "_ArgumentGroup": "argparse, which has no public name for what add_argument_group gives; in annotations alone",
    "_ZN10tensorflow21DisableXlaCompilationEv": "a function of TensorFlow's library in C++, as its symbol is called",
    "_lazy_names": "our own mark on a package that gives its names when they are asked for",
}


def own_names(tree):
    """The private names that a module defines: functions, classes, variables, attributes set on `self`."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and of_self(node):
            yield node.attr


def of_self(node):
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def private_uses(tree):
    """(line, what) of the private names of others that a module uses."""
    own = {name for name in own_names(tree) if name.startswith("_")} | set(PUBLIC)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            if not of_self(node) and node.attr not in own:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Import) and any(is_private(alias.name) for alias in node.names):
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if not alias.name.endswith("__")]
            if is_private(node.module or "") or any(name.startswith("_") for name in names):
                yield node.lineno, ast.unparse(node)


def is_private(module):
    return module.startswith(("tensorflow.python", "keras.src"))


def test_private_names_of_others_stand_in_one_file():
    root = Path(lk.__file__).parent
    paths = [path for path in root.rglob("*.py") if path.relative_to(root).as_posix() != INTERNALS]
    assert len(paths) > 100
    found = [
        f"{path.relative_to(root)}:{line}: {what}"
        for path in paths
        for line, what in private_uses(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "\n".join(["move these to lm_keras/utils/keras_internals.py, each with a test:", *found])


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("import keras\nkeras.Model()._layers", [2]),
        ("from keras.src import ops\nimport tensorflow.python.eager.context", [1, 2]),
        ("from lm_keras.utils.atomic_files import _claims", [1]),
        ("vars(model)['x']\nmodel._x = 1", [2]),
        ("class A:\n def f(self, other):\n  self._x = other._x", []),
        ("row._replace(a=1)\nself._flat\nx.__class__", []),
    ],
)
def test_private_names_are_seen(code, lines):
    assert [line for line, _ in private_uses(ast.parse(code))] == lines
