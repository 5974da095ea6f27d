"""The public names: all of them there, none of them a module in a function's place."""

import ast
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


def test_one_function_under_two_names():
    assert lk.export is lk.serving.export
    assert lk.check is lk.serving.check
    assert lk.fit is lk.training.fit


@pytest.fixture
def package(tmp_path):
    """A package whose public names are those of its modules: a function, one of another module, and of a folder."""
    files = {
        "__init__.py": "from lm_keras._lazy import attach\n\nversion = 3\nattach(__name__, __file__)\n",
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
    code = f"import sys, lm_keras, lm_keras.cli, lm_keras.serving.client; print({heavy} & set(sys.modules))"
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
    ("tasks", "analysis", "prompting", "contexts", "show"),
    ("cli",),
]
LEVELS = {package: level for level, packages in enumerate(ORDER) for package in packages}


def test_every_import_follows_the_arrow():
    for path in ROOT.rglob("*.py"):
        package = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                other = (module.split(".") + [""])[1]
                if module.split(".")[0] == "lm_keras" and {package, other} <= set(LEVELS) and package != other:
                    assert LEVELS[other] < LEVELS[package], f"{path}: {module}"
