"""Libraries that only a part of this one needs, each in an extra of the package."""

import importlib
from types import ModuleType

from lm_keras.errors import InputError


def library(module: str, purpose: str, extra: str) -> ModuleType:
    """Returns a module of a library; InputError that says how to get it where it is missing.

    Args:
        module: Its name.
        purpose: What needs it.
        extra: The extra of this package that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        name = module.split(".")[0]
        raise InputError(f"{purpose} needs {name}: run pip install lm_keras[{extra}]") from missing
