"""Files that are either whole or not there."""

import contextlib
import json
import os
from pathlib import Path

from lm_keras.errors import InputError


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary sibling of `path` to write to; it takes the place of `path` when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # some writers make files that only the owner may read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder, message):
    """Keeps `folder` to this process; InputError(message) when another holds it. A kill lets go of it."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(message) from None
        yield
    finally:
        os.close(handle)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def write_tensors(path, tensors, metadata=None):
    """NumPy arrays by name, with a JSON `metadata` value, as one safetensors file."""
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file(tensors, temporary, {"json": json.dumps(metadata)})


def read_json(path):
    """The JSON value of a file; InputError when it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); the file is damaged") from None


def read_tensors(path):
    """`(tensors, metadata)` of a file by `write_tensors`; InputError when it is missing or cut short."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise InputError(f"{path} does not exist")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("json", "null"))
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}); use another copy") from None
