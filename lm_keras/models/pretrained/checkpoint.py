"""What every kind of checkpoint file looks like to the loader, and the config of Hugging Face that comes with it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lm_keras.errors import InputError

_NOT_GIVEN = object()


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Tensors by Hugging Face's names, read one at a time.

    `shapes` {name: shape} of all tensors of the file; `read(name)` gives one as float32; `config` is the content of
    config.json, or what would stand there.
    """

    path: Path
    config: dict
    shapes: dict
    read: Callable


def setting(config, key, default=_NOT_GIVEN):
    """The value of a key; InputError where it is missing or null and there is no default."""
    value = config.get(key)
    if value is not None:
        return value
    if default is _NOT_GIVEN:
        raise InputError(f"the configuration has no {key}; use a config.json as transformers writes it")
    return default


def only(config, key, *known):
    """Raises InputError unless the key is missing or has one of the `known` values, which are what is built here."""
    value = config.get(key, known[0])
    if value not in known:
        choices = " or ".join(map(repr, known))
        raise InputError(f"{key} {value!r} is not built here, only {choices}; this checkpoint cannot be loaded")
