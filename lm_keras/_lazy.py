"""Names that are imported when they are first used (PEP 562)."""

import importlib
import importlib.util


def attach(package, submodules=(), names=None):
    """Returns `__getattr__, __dir__, __all__` for `package`.

    `submodules` are named and imported whole; `names` maps a public name to the module that defines it.
    """
    names = dict(names or {})

    def __getattr__(name):  # noqa: N807
        if name in names:
            value = getattr(importlib.import_module(names[name]), name)
            setattr(importlib.import_module(package), name, value)  # the next use finds it at once
            return value
        # Other modules of the package, too, so that `lm_keras.models.gpt2.SIZES` needs no import of its own.
        if name in submodules or not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}"):
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    public = sorted([*submodules, *names])
    return __getattr__, lambda: public, public
