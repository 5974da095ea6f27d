"""Card and bank account numbers: runs of digits that carry a check sum."""

import re

SEPARATOR = "[ \u00a0\u2009\u202f\u2010\u2011\u2013-]"  # spaces and hyphens, one between two groups
_DIGITS = re.compile(rf"(?=\d)(?<!\d)\d(?:{SEPARATOR}?\d){{12,}}")  # groups of digits, 13 or more in all
_DECIMAL_POINT = re.compile(r"\d\.")
_YEARS = re.compile(r"(?:19|20)\d\d(?:\D(?:19|20)\d\d)+")
_ISBN = re.compile("97[89][0-9]{10}")  # no bank's numbers begin so
_GROUP = re.compile(r"\d+")
_IBAN_BEGIN = re.compile(r"(?=[A-Z])(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}")
_IBAN = re.compile("[A-Z]{2}[0-9]{2}(?:[ \u00a0]?[A-Z0-9]){11,30}")
CARD_DIGITS = range(13, 20)
LEAST_GROUP = 3  # digits between two separators of a card number; rows of smaller numbers are something else
LEAST_IBAN, MOST_IBAN = 15, 34  # Norway's, and what the standard allows


def luhn(digits):
    """Whether a str of digits ends in its Luhn check digit (ISO/IEC 7812-1, annex B)."""
    numbers = [int(digit) for digit in reversed(digits)]
    doubled = (2 * number - 9 * (number > 4) for number in numbers[1::2])
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0


def iban(compact):
    """Whether a str of letters and digits without spaces is an IBAN by its check sum (ISO 13616: mod 97 is 1)."""
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def replace_cards(text, mark):
    """`(text, count)` with each card number replaced by `mark`: 13 to 19 digits that pass the Luhn check.

    Spaces or hyphens may stand between groups of 3 digits or more (the last may have fewer); of a longer row of
    groups ("12 4111 1111 1111 1111 05") each part that is such a number goes. Years, ISBN and digits after a decimal
    point stay.
    """
    count = last = 0  # where the last one ended: the point after it is no decimal point

    def replaced(run):
        nonlocal count, last
        if run.start() - 1 != last and _DECIMAL_POINT.match(text, max(run.start() - 2, 0)):
            return run[0]
        parts, done = [], 0
        groups = [group.span() for group in _GROUP.finditer(run[0])]
        for first, (start, _) in enumerate(groups):
            if start >= done and (end := _card_end(run[0], groups[first : first + CARD_DIGITS.stop])):
                parts += [run[0][done:start], mark]
                count, done, last = count + 1, end, run.start() + end
        return "".join(parts) + run[0][done:]

    return _DIGITS.sub(replaced, text), count


def _card_end(run, groups):
    """Where the longest card number ends that begins with the first group, or None."""
    digits, longest, begin = "", None, groups[0][0]
    for start, end in groups:
        digits += run[start:end]
        if len(digits) >= CARD_DIGITS.stop:
            break
        other = _ISBN.fullmatch(digits) or _YEARS.fullmatch(run, begin, end)
        if len(digits) in CARD_DIGITS and luhn(digits) and not other:
            longest = end
        if end - start < LEAST_GROUP:
            break
    return longest


def replace_ibans(text, mark):
    """`(text, count)` with each IBAN in capital letters replaced by `mark`; the words after it are left alone."""
    parts, done, count = [], 0, 0
    for begin in _IBAN_BEGIN.finditer(text):
        start = begin.start()
        if start >= done and (end := _iban_end(text, start)):
            parts += [text[done:start], mark]
            done, count = end, count + 1
    return "".join(parts) + text[done:], count


def _iban_end(text, start):
    """Where the longest IBAN ends that begins at `start`, or None."""
    run = _IBAN.match(text, start)
    places = [place for place in range(start, run.end()) if not text[place].isspace()] if run else []
    for length in range(min(len(places), MOST_IBAN), LEAST_IBAN - 1, -1):
        end = places[length - 1] + 1
        if not text[end : end + 1].isalnum() and iban("".join(text[start:end].split())):
            return end
    return None
