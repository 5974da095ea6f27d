"""The libraries of the extra `analysis`, which only the quality of text needs."""

import importlib

from lm_keras.errors import InputError


def analysis(module, purpose):
    """The module of a library of the extra `analysis`; InputError that says how to get it where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        library = module.split(".")[0]
        raise InputError(f"{purpose} needs {library}: run pip install lm_keras[analysis]") from missing
