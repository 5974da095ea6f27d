"""Files that are either whole or not there."""

import contextlib
import errno
import json
import os
import re
import threading
from pathlib import Path

from lm_keras.errors import InputError, WriteError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL)  # of file systems that know none
_claims = threading.local()  # .places: the folders that this thread has claimed

MOST_JSON = 128 << 20  # bytes; the largest vocabularies have 35 MB
DEEPEST = 100  # lists and objects within each other


def path_of(path) -> Path:
    """The path with `~` expanded; InputError for what is no path."""
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise InputError(f"{path!r:.80} is no path; give one, such as 'runs/name'") from None
    if "\0" in text:
        raise InputError(f"{text!r} is no path, as it has a NUL character; give another")
    return Path(os.path.expanduser(text))  # noqa: PTH111  Path raises where there is no such user


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary sibling of `path` to write to; it takes the place of `path` when the block ends well.

    Raises WriteError where the disk is full or the folder cannot be written to.
    """
    path, temporary = Path(path), temporary_of(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())  # some writers make files that only the owner may read
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path):
    """What goes wrong at or below `path`, or with a full disk, as a WriteError that names it; other errors stay."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        here = {Path(path), temporary_of(path), *Path(path).parents}
        named = {Path(name) for name in (error.filename, error.filename2) if isinstance(name, (str, os.PathLike))}
        below = any(Path(path) in name.parents for name in named)
        if error.errno not in FULL and not here & named and not below:
            raise
        raise cannot_write(path, error.strerror) from error


def cannot_write(path, reason):
    """The WriteError of a place that the system refuses to write to."""
    return WriteError(f"{path} cannot be written ({reason}); make room or give another place, then try again")


def temporary_of(path):
    return Path(path).with_name(f".{Path(path).name}.{os.getpid()}.tmp")


@contextlib.contextmanager
def locked(folder, message):
    """Keeps `folder` to this holder; InputError(message) when another has it. A kill lets go of it."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock
        yield
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # whoever made it has removed it again
        raise InputError(message) from None
    except OSError as error:
        raise WriteError(f"{folder} cannot be opened ({error.strerror}); check its permissions") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(handle), Path(folder).stat()):  # removed and made anew in between
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            raise InputError(message) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        try:
            yield
        finally:  # a child process that a fork made has the handle too
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


@contextlib.contextmanager
def claimed(folder):
    """Keeps `folder`, made where it is missing, to this thread; one that was made and stays empty is removed again.

    To be held from the first look into the folder to the last file written there. The thread that holds it may claim
    it again, so that a callback of a training may save into the folder of the run.
    Raises InputError where another process or thread holds it, and WriteError where it cannot be made.
    """
    folder = Path(folder)
    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; give a folder")
    busy = f"{folder} is in use: another process trains or saves there; wait for it or give another folder"
    with writing(folder), _made(folder) as remove:
        found = folder.stat()
    place, held = (found.st_dev, found.st_ino), vars(_claims).setdefault("places", set())
    if place in held:
        yield
        return
    with locked(folder, busy):
        held.add(place)
        try:
            yield
        finally:
            held.remove(place)
            remove()


@contextlib.contextmanager
def _made(folder):
    """Makes a folder and those above it; yields what removes those that it made, as far as they are empty."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]

    def remove():
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()

    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield remove
    except OSError:
        remove()
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    text = json.dumps(value, ensure_ascii=False, indent=1)
    try:
        text.encode()
    except UnicodeEncodeError:  # in the name of a file that is no UTF-8
        text = json.dumps(value, indent=1)
    write_text(path, text + "\n")


def write_tensors(path, tensors, metadata=None):
    """NumPy arrays by name, with a JSON `metadata` value, as one safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, {"json": json.dumps(metadata)})
        except SafetensorError as error:
            number = re.search(r"\(os error (\d+)\)", str(error))
            if not number:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), os.fspath(temporary)) from error


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
