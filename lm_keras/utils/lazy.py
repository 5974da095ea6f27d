"""Public names that are imported at first use (PEP 562), listed once: in the stub beside each `__init__.py`.

Editors and type checkers read `__init__.pyi`; `attach` reads the same file at run time. A package of the library is

    __init__.py     from lm_keras.utils.lazy import attach

                    attach(__name__, __file__)

    __init__.pyi    from . import losses as losses                   # a module or a sub-package
                    from .training.config import Config as Config    # a name of a module

A name that the stub only annotates (`__version__: str`) is defined in `__init__.py` itself.
"""

import ast
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


class _LazyPackage(ModuleType):
    """A package whose public names are imported at first use.

    When a module is imported, Python sets it as an attribute of its package: the function `training.fit` would become
    the module `training/fit.py` as soon as anything imports that module. Here the public name always wins; the module
    stays within reach of `from lm_keras.training.fit import ...`.
    """

    def __getattr__(self, name: str) -> object:
        if name in self._lazy_names:
            module, attribute = self._lazy_names[name]
            value = importlib.import_module(module)
            if attribute:
                value = getattr(value, attribute)
                self.__dict__[name] = value  # the next use finds it at once
            return value
        # Other modules of the package, too, so that `lm_keras.models.gpt2.SIZES` needs no import of its own.
        path = f"{self.__name__}.{name}"
        if not name.startswith("_") and importlib.util.find_spec(path):
            return importlib.import_module(path)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        _, attribute = self._lazy_names.get(name, (None, None))
        if attribute and value is sys.modules.get(f"{self.__name__}.{name}"):
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return self.__all__


def attach(package: str, file: str) -> None:
    """Makes the names of a package's stub its public names, each imported at first use.

    Args:
        package: The package's `__name__`.
        file: Its `__file__`, which the stub `__init__.pyi` stands beside.
    """
    module = sys.modules[package]
    module._lazy_names = _names(package, Path(file).with_suffix(".pyi"))
    module.__all__ = sorted(module._lazy_names)
    module.__class__ = _LazyPackage


def _names(package: str, stub: Path) -> dict[str, tuple[str, str | None]]:
    """Returns public name -> (module, name in that module, or None where the module itself is public)."""
    names = {}
    for statement in ast.parse(stub.read_text(encoding="utf-8"), stub).body:
        if not isinstance(statement, ast.ImportFrom):
            continue
        # One dot is this package, two the one that it is in.
        parents = package.split(".")[: len(package.split(".")) + 1 - statement.level] if statement.level else []
        source = ".".join([*parents, *filter(None, [statement.module])])
        for alias in statement.names:
            target = (source, alias.name) if statement.module else (f"{source}.{alias.name}", None)
            names[alias.asname or alias.name] = target
    return names
