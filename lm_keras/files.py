"""Files that are either whole or not there."""

import contextlib
import json
import os
from pathlib import Path

from lm_keras.errors import InputError

MOST_JSON = 128 << 20  # bytes; the largest vocabularies have 35 MB
DEEPEST = 100  # lists and objects within each other


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
    """The JSON value of a file; InputError when it is missing, not JSON, very large or very deep."""
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"{path} {'is no file' if path.exists() else 'does not exist'}; use another copy")
        if path.stat().st_size > MOST_JSON:
            raise ValueError(f"it has more than {MOST_JSON >> 20} MB")
        return parsed(path.read_bytes())
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); the file is damaged") from None


def parsed(text):
    """The value of a JSON text, str or UTF-8 bytes; ValueError when it is none, or deeper than anything needs."""
    try:
        value = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"lists within lists, more than {DEEPEST}") from None
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _within(outer) if isinstance(inner, (dict, list))]
        if not level:
            return value
    raise ValueError(f"lists within lists, more than {DEEPEST}")


def _within(value):
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


@contextlib.contextmanager
def opened_tensors(path):
    """Yields the `safetensors.safe_open` of a file; InputError when it is missing, cut short or no such file.

    The library compares all sizes in the header with the file before it reads a tensor.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise InputError(f"{path} does not exist")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}); use another copy") from None


def tensor_shapes(path):
    """{name: shape} of a file by `write_tensors`, without reading the tensors; InputError as `opened_tensors`."""
    with opened_tensors(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def read_tensors(path):
    """`(tensors, metadata)` of a file by `write_tensors`; InputError when it is missing or cut short."""
    with opened_tensors(path) as file:
        metadata = parsed((file.metadata() or {}).get("json", "null"))
        return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
