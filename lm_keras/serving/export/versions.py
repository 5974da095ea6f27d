"""The version folders of a model: which are there, which is free, and one that appears only when it is whole."""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import FULL, cannot_write

LARGEST = 2**63 - 1  # TF Serving's versions are int64
MODELS = "saved_models"  # by convention a folder of models, never a model
_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)  # what TF Serving's parser reads as a number
_TEMPORARY = re.compile(r"\.export-[0-9a-f]{8}\.tmp")
_TRIES = 50  # to make a folder that another export, which failed, removes at the same time
_SYSTEM = (*FULL, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOENT)


def as_path(path: str | os.PathLike, name: str) -> Path:
    """The path with `~` expanded; InputError for what is no path, or is one that TensorFlow cannot open."""
    try:
        text = os.fsdecode(os.fspath(path))
    except TypeError:
        raise InputError(f"{name} is {path!r}; give a path, such as saved_models/name") from None
    if not text or "\0" in text:
        raise InputError(f"{name} is {text!r}; give a path, such as saved_models/name")
    try:
        os.path.abspath(text).encode()  # noqa: PTH100
    except UnicodeEncodeError:
        raise InputError(f"{name} is {ascii(text)}, which is not UTF-8; give a path that is") from None
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError(f"{name} is {text!r}, and there is no such user; give a path from / on") from None


def version_of(name: str) -> int | None:
    """The version that a server reads from the name of a folder, or None for another name."""
    number = int(name) if _NUMBER.fullmatch(name) else -1
    return number if 0 <= number <= LARGEST else None


def holds_models(folder: Path) -> bool:
    """Is it a folder of models, not a model?"""
    if Path(os.path.abspath(folder)).name == MODELS:  # noqa: PTH100
        return True
    return any(version_of(path.parts[-3]) is None for path in folder.glob("*/[0-9]*/saved_model.pb"))


def place_of(target: str | os.PathLike) -> tuple[Path, int | None]:
    """(the model's folder, the version or None for the next free one) of a target; InputError where none can be."""
    target = as_path(target, "target")
    with writing(target):
        whole = Path(os.path.abspath(target))  # noqa: PTH100  links stay: a model may be one
        for folder in (whole, *whole.parents):
            if (folder / "saved_model.pb").exists():
                told = "exists already" if folder == whole else f"is inside of the export {folder}"
                raise InputError(
                    f"{target} {told}; give a model's folder, such as saved_models/name, for its next version"
                )
            if folder.exists() and not folder.is_dir():
                raise InputError(f"{folder} is a file; give a folder such as saved_models/name")
        if not _NUMBER.fullmatch(whole.name):
            if not whole.name or holds_models(whole):
                raise InputError(
                    f"{target} is a folder of models; give {target / 'NAME'} for the next version of NAME"
                )
            return target, None
        number, parent = version_of(whole.name), target.parent
        if not number or whole.name != str(number):
            told = f"a version is a whole number from 1 to {LARGEST}, without leading zeros"
            raise InputError(f"{target}: {told}; give {parent} for the next free one")
        if holds_models(whole.parent) or not whole.parent.name:
            told = f"would be version {number} of a model named {whole.parent.name!r}, which is a folder of models"
            named = parent / "NAME"
            raise InputError(f"{target} {told}; give {named} for the next version of NAME, or {named / str(number)}")
        return parent, number


def write_version(model: Path, number: int | None, write: Callable[[Path], None]) -> Path:
    """Calls `write(folder)` with a temporary folder and renames it to the version; returns that.

    Args:
        model: Path of the model's folder, which is made where it is missing.
        number: the version, or None for the next free one. Exports that end at the same time take different ones.
        write: writes the files into a folder.

    Raises:
        InputError: The version exists, or the system refuses to write (disk full, no permission, ...). Then nothing
            is left of the version, and the other versions are as they were.
    """
    with writing(model):
        made = [parent for parent in (model, *model.parents) if not parent.exists()]
        _free(model, number)
        folder, lock = _temporary(model)
        try:
            write(folder)
            _flush(folder)
            return _published(folder, model, number)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            for parent in made:
                with contextlib.suppress(OSError):  # not there, or another export's by now
                    parent.rmdir()
            raise
        finally:
            if lock is not None:
                os.close(lock)


def _free(model, number):
    """The path of the version, or of the next free one; InputError where it is taken."""
    taken = {}
    for path in model.iterdir() if model.is_dir() else ():
        if (known := version_of(path.name)) is not None:
            taken[known] = path
    if number is None:
        number = max(taken, default=0) + 1
        if number > LARGEST:
            raise InputError(f"{model} has version {LARGEST}, the last one; give a version: {model / 'N'}")
    elif number in taken:
        raise InputError(f"{taken[number]} exists already; give {model} for the next free version")
    return model / str(number)


def _temporary(model):
    """A new folder beside the versions, and the handle of its lock; what killed exports left there is removed.

    TF Serving polls for folders with a number as their name: a version that is not whole must not have one.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):
            return _made(model)
    return _made(model)


def _made(model):
    model.mkdir(parents=True, exist_ok=True)
    # Without this lock a new folder could be taken for a leftover before it has its own.
    lock = _locked(model, wait=True)
    try:
        _remove_leftovers(model)
        folder = model / f".export-{secrets.token_hex(4)}.tmp"
        folder.mkdir()
        return folder, _locked(folder, wait=False)
    finally:
        if lock is not None:
            os.close(lock)


def _remove_leftovers(model):
    """Temporary folders whose lock nobody holds: their process is dead."""
    for path in model.iterdir():
        if _TEMPORARY.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # gone by now
                if (lock := _locked(path, wait=False)) is not None:
                    shutil.rmtree(path, ignore_errors=True)
                    os.close(lock)


def _locked(folder, *, wait):
    """The open handle of a folder with its lock; None where another holds it, or where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return handle
    except OSError:
        os.close(handle)
        return None


def _flush(folder):
    """Waits until all is on the disk: some file systems say only here that they are full."""
    for path in (*folder.rglob("*"), folder):
        if os.name == "posix" or path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _published(folder, model, number):
    while True:
        version = _free(model, number)
        try:
            return folder.rename(version)
        except OSError:
            if not os.path.lexists(version):  # not taken by another export in between
                raise


@contextlib.contextmanager
def writing(place: Path):
    """Turns what the system says of a place that cannot be written to into one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if (reason := system_reason(error)) is None:
            raise
        raise cannot_write(place, reason) from error


def system_reason(error: Exception) -> str | None:
    """What the operating system said, also where TensorFlow tells of it; None for another kind of error."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if not type(error).__module__.startswith("tensorflow"):
        return None
    return next((text for text in map(os.strerror, _SYSTEM) if text in str(error)), None)
