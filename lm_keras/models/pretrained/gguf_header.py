"""What a GGUF file says before its numbers: metadata, and where each tensor is (its specification, version 3)."""

import math
import mmap

import numpy as np

from lm_keras.errors import InputError

_NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_STRING, _ARRAY = 8, 9
_WIDEST, _MOST_DIMS, _DEEPEST = 1 << 20, 4, 4  # bytes of an alignment, axes of a tensor, arrays within each other


def read_header(path):
    """`(fields, tensors)`: metadata by name; {tensor name: (shape, number of its type, place of its first byte)}.

    Shapes are NumPy's, the slowest axis first. Raises InputError for another version, or a damaged file.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cursor = _Cursor(data, len(b"GGUF"))
        try:
            version = cursor.number("<u4")
            if version not in (2, 3):
                raise InputError(
                    f"{path} is GGUF of version {version}; little-endian files of version 2 and 3 are read"
                )
            num_tensors, num_fields = cursor.number("<u8"), cursor.number("<u8")
            cursor.check(num_tensors + num_fields, 12)
            fields = {cursor.string(): cursor.value(cursor.number("<u4")) for _ in range(num_fields)}
            tensors = {cursor.string(): cursor.tensor() for _ in range(num_tensors)}
            step = fields.get("general.alignment", 32)
            if type(step) is not int or not 0 < step <= _WIDEST or step % 8:
                raise ValueError(f"an alignment of {step!r} bytes")
            start = -(-cursor.place // step) * step
        except InputError:
            raise
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
            raise InputError(f"{path} is damaged or cut short ({error}); use another copy") from None
    return fields, {name: (shape, kind, start + place) for name, (shape, kind, place) in tensors.items()}


class _Cursor:
    """Reads one thing after the other, and nothing behind the end."""

    def __init__(self, data, place):
        self.data, self.place = data, place

    def check(self, count, size):
        if count * size > len(self.data) - self.place:
            raise ValueError(f"{count} values at byte {self.place} of {len(self.data)}")

    def numbers(self, kind, count):
        kind = np.dtype(kind)
        self.check(count, kind.itemsize)
        values = np.frombuffer(self.data, kind, count, self.place).tolist()
        self.place += count * kind.itemsize
        return values

    def number(self, kind):
        return self.numbers(kind, 1)[0]

    def string(self):
        length = self.number("<u8")
        self.check(length, 1)
        self.place += length
        return self.data[self.place - length : self.place].decode("utf-8", errors="replace")

    def value(self, kind, depth=0):
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.number(_NUMBERS[kind])
        inner, count = self.number("<u4"), self.number("<u8")
        if inner in _NUMBERS:
            return self.numbers(_NUMBERS[inner], count)
        self.check(count, 8)
        if depth == _DEEPEST:
            raise ValueError("arrays within arrays within arrays")
        return [self.value(inner, depth + 1) for _ in range(count)]

    def tensor(self):
        dims = self.number("<u4")
        if not 0 < dims <= _MOST_DIMS:
            raise ValueError(f"a tensor of {dims} dimensions")
        shape = tuple(self.numbers("<u8", dims)[::-1])
        if math.prod(shape) > 2**40:
            raise ValueError(f"a tensor of shape {shape}")
        return shape, self.number("<u4"), self.number("<u8")
