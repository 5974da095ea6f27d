"""Decimal numbers of a text, thousands at a time: one core does what strtod does, several times as fast.

Eight digits are one machine word: three multiplications join neighbours, then pairs, then fours. A number of up to
15 digits or so is then (digits before and after the point) / 10^f, two exact numbers and one correctly rounded
division, so the result is that of strtod (Clinger 1990, "How to read floating point numbers accurately").
"""

import re

import numpy as np

NUMBER = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
NUMERIC = re.compile(rb"%s|[+-]?(?i:nan|inf|infinity)" % NUMBER.pattern)  # also those that no vector may hold
COUNT = re.compile(rb"\d{1,18}")  # a whole number that 64 bits hold
_SPACE, _POINT, _MINUS, _DIGIT, _OTHER = range(5)
_KINDS = bytearray([_OTHER] * 256)
_KINDS[ord(" ")], _KINDS[ord(".")], _KINDS[ord("-")] = _SPACE, _POINT, _MINUS
_KINDS[ord("0") : ord("9") + 1] = bytes([_DIGIT] * 10)
_KINDS = bytes(_KINDS)
_LONGEST = 16  # digits after the point that the fast way takes
_EXACT = float(2**53)
_POWERS = 10.0 ** np.arange(_LONGEST + 1)


class NotANumberError(ValueError):
    """`index` of the field and `field`, its bytes."""

    def __init__(self, index, field):
        super().__init__(index, field)
        self.index, self.field = index, field


def parse(text):
    """Returns the numbers float64 [N] of the N - 1 single spaces in `text` (bytes), and where they end, int64 [N].

    A number is what NUMBER matches, so neither nan nor inf. Raises NotANumberError for the first field that is none.
    """
    kinds = np.frombuffer(bytearray(text.translate(_KINDS)) + bytes([_SPACE]), np.uint8)
    hidden = _hide_others(text, kinds)
    marks = np.flatnonzero(kinds < _MINUS)  # a point, the end of the number, a point, ...
    odd = ()
    if not _plain(kinds, marks):
        odd, marks = _odd_fields(kinds)
    points, ends = marks[::2], marks[1::2]
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    negative = kinds[starts] == _MINUS
    values, slow = _values(text, points - starts - negative, points, ends)
    values *= 1.0 - 2.0 * negative
    for i in sorted({*odd, *slow, *np.searchsorted(ends, hidden).tolist()}):  # "6.2e-05", "7": one at a time
        field = text[starts[i] : ends[i]]
        if not NUMBER.fullmatch(field):
            raise NotANumberError(i, field)
        values[i] = float(field)
    return values, ends


def _hide_others(text, kinds):
    """Makes fields that hold other characters look plain in `kinds`; returns a place in each of them."""
    places = np.flatnonzero(kinds == _OTHER).tolist()
    for place in places:
        start, end = text.rfind(b" ", 0, place) + 1, text.find(b" ", place)
        end = end if end >= 0 else len(text)
        kinds[start:end] = _DIGIT
        kinds[(start + end) // 2] = _POINT
    return places


def _plain(kinds, marks):
    """Whether all fields are digits around one point, with or without a minus before them."""
    alternate = len(marks) % 2 == 0 and (kinds[marks[::2]] == _POINT).all() and (kinds[marks[1::2]] == _SPACE).all()
    if not alternate:
        return False
    first = np.count_nonzero(kinds[marks[1:-1:2] + 1] == _MINUS) + int(kinds[0] == _MINUS)
    return np.count_nonzero(kinds == _MINUS) == first


def _odd_fields(kinds):
    """The indices of the fields that are not plain, and marks as if each of them began with its point."""
    ends = np.flatnonzero(kinds == _SPACE)
    points, minus = np.flatnonzero(kinds == _POINT), np.flatnonzero(kinds == _MINUS)
    inside = minus[(minus > 0) & (kinds[minus - 1] != _SPACE)]
    odd = np.zeros(len(ends), bool)
    odd[np.searchsorted(ends, inside)] = True
    fields = np.searchsorted(ends, points)
    odd |= np.bincount(fields, minlength=len(ends)) != 1
    marks = np.empty(2 * len(ends), np.int64)
    marks[0], marks[2::2], marks[1::2] = 0, ends[:-1] + 1, ends
    marks[2 * fields[~odd[fields]]] = points[~odd[fields]]
    return np.flatnonzero(odd).tolist(), marks


def _values(text, before, points, ends):
    """Numbers without their signs, of `before` digits before the point, and the indices of those to be done again."""
    after = ends - points - 1  # how many digits
    # Word i is the eight bytes that end before byte i of the text.
    words = np.ndarray(len(text) + 1, "<u8", b"0" * 8 + text, strides=(1,))
    values = _digits(words[ends], after).astype(np.float64)
    longest = after.max()
    if longest > 8:
        values += _digits(words[np.maximum(ends - 8, 0)], np.clip(after - 8, 0, 8)) * 1e8
        power = _POWERS[np.minimum(after, _LONGEST)]
    else:
        power = _POWERS[after]
    values += _digits(words[points], before) * power
    slow = ()
    if longest > _LONGEST or before.max() > 8 or before.min() < 1 or values.max() >= _EXACT:
        slow = np.flatnonzero((values >= _EXACT) | (before > 8) | (after > _LONGEST) | (before + after < 1)).tolist()
    values /= power
    return values, slow


def _digits(words, count):
    """The number that the last `count` of the eight digits in each word make (more than eight: all eight)."""
    unused = (np.maximum(8 - count, 0) << 3).view(np.uint64)
    words = ((words >> unused) << unused) & np.uint64(0x0F0F0F0F0F0F0F0F)  # a shift by all 64 bits gives 0
    words = ((words * np.uint64(10 << 8 | 1)) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    words = ((words * np.uint64(100 << 16 | 1)) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return (words * np.uint64(10_000 << 32 | 1)) >> np.uint64(32)
