"""Card, bank account and telephone numbers: where they stand in a text of ASCII digits, spaces and hyphens."""

import re

GAP = "[ -]"
_DIGITS = re.compile(rf"(?=\d)(?<!\d)\d(?:{GAP}?\d){{12,}}", re.ASCII)  # groups of digits, 13 or more in all
_DECIMAL_POINT = re.compile(r"\d\.", re.ASCII)
_YEARS = re.compile(r"(?:19|20)\d\d(?:\D(?:19|20)\d\d)+")
_ISBN = re.compile("97[89][0-9]{10}")  # no bank's numbers begin so
_GROUP = re.compile(r"\d+", re.ASCII)
# Digits are looked at first, since most characters are none.
_IBAN_BEGIN = re.compile(r"(?=[0-9])(?<=[A-Za-z]{2})(?<![A-Za-z0-9]{3})[0-9]{2}(?=[ -]?[A-Za-z0-9])")
_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_IBAN_LENGTHS = range(34, 14, -1)  # what the standard allows, and Norway's
_CARD_DIGITS = range(13, 20)
_LEAST_GROUP = 3  # digits between two separators of a card number; rows of smaller numbers are something else
# Before a group of digits another one may stand only if it is a year, or the end of a date or a time.
AFTER_YEAR = r"(?:(?<!\d )|(?<=(?<!\d)(?:19|20)\d\d )|(?<=[:./-]\d\d ))"
ALONE = r"(?<!\d)(?<!\d[.-])"  # not within a longer number
# +44 20 7946 0958, +1 (212) 555-0100, 0049 30 901820 and digits that follow
_GAPS = "(?:[ -]|[ ]?[().][ ]?|[ ]?/[ ]?){0,2}"
_INTERNATIONAL = re.compile(
    rf"(?=[+0])(?:(?<!\+)\+(?=[1-9])|{ALONE}(?:00 ?(?=[2-9]\d)|{AFTER_YEAR}00(?=[17])))\d(?:{_GAPS}\d){{7,30}}",
    re.ASCII,
)
_ANOTHER = re.compile(rf"(?<=[ /])(?:\+|00 ?)(?=[1-9])\d(?:{_GAPS}\d){{7,30}}", re.ASCII)  # beside the one before
_INTERNATIONAL_DIGITS = range(9, 16)  # with the country's code
# In Germany and Austria numbers have no fixed length; from here on the next one begins.
_NEXT = re.compile(rf"{_GAPS}(?:0[0-9]|\(|1[3-9]\d{{9}})")


def find_ibans(text):
    """Yields the (start, end) of each IBAN: of its country's length and form, with the right check digits."""
    from stdnum import iban

    done = 0
    for begin in _IBAN_BEGIN.finditer(text):
        start = begin.start() - 2
        run = _IBAN.match(text, start) if start >= done else None
        places = [place for place in range(start, run.end()) if text[place] not in " -"] if run else []
        for end in [places[length - 1] + 1 for length in _IBAN_LENGTHS if length <= len(places)]:
            # A word in capital letters may follow after a space: only one length is right.
            alone = not (text[end : end + 1].isascii() and text[end : end + 1].isalnum())
            if alone and iban.is_valid(text[start:end], check_country=False):
                yield start, end
                done = end
                break


def find_cards(text):
    """Yields the (start, end) of each card number: 13 to 19 digits that pass the Luhn check.

    Spaces or hyphens may stand between groups of 3 digits or more (the last may have fewer); of a longer row of
    groups ("12 4111 1111 1111 1111 05") each part that is such a number counts. Years, ISBN and digits after a
    decimal point do not.
    """
    last = 0  # where the last one ended: the point after it is no decimal point
    for run in _DIGITS.finditer(text):
        if run.start() - 1 != last and _DECIMAL_POINT.match(text, max(run.start() - 2, 0)):
            continue
        groups = [group.span() for group in _GROUP.finditer(text, *run.span())]
        for first, (start, _) in enumerate(groups):
            if start >= last and (end := _card_end(text, groups[first : first + _CARD_DIGITS.stop])):
                yield start, end
                last = end


def _card_end(text, groups):
    """Where the longest card number ends that begins with the first group, or None."""
    from stdnum import luhn

    digits, longest, begin = "", None, groups[0][0]
    for start, end in groups:
        digits += text[start:end]
        if len(digits) >= _CARD_DIGITS.stop:
            break
        other = _ISBN.fullmatch(digits) or _YEARS.fullmatch(text, begin, end)
        if len(digits) in _CARD_DIGITS and luhn.is_valid(digits) and not other:
            longest = end
        if end - start < _LEAST_GROUP:
            break
    return longest


def find_international(text):
    """Yields the (start, end) of each telephone number with + or 00 and the country's code.

    Where it ends, Google's libphonenumber knows: the longest valid number. One after a "+" that is not valid
    ends at the last group before its 16th digit.
    """
    run = _INTERNATIONAL.search(text)
    while run:
        end = _international_end(text, run)
        if end:
            yield run.start(), end
        another = _ANOTHER.match(text, end + 1) if end else None
        run = another or _INTERNATIONAL.search(text, end or run.start() + 2)


def _international_end(text, run):
    digits, ends = "", []
    begin = run.start() + (1 if run[0][0] == "+" else 2)
    for group in _GROUP.finditer(text, begin, run.end()):
        digits += group[0]
        if len(digits) in _INTERNATIONAL_DIGITS:
            ends.append((group.end(), digits))
    valid = [end for end, number in reversed(ends) if _is_valid(number)]
    if valid:
        return next((end for end in valid if _NEXT.match(text, end)), valid[0])
    return ends[-1][0] if ends and (begin == run.start() + 1 or digits[0] not in "17") else None


def _is_valid(digits):
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse("+" + digits))
    except phonenumbers.NumberParseException:  # no such country
        return False
