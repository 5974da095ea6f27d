"""Personal data out of text: e-mail addresses, telephone, card and account numbers, network addresses."""

import functools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_text

MARKS = {"email": "<EMAIL>", "iban": "<IBAN>", "card": "<CARD>", "phone": "<PHONE>", "ip": "<IP>"}


class Scrubbed(NamedTuple):
    """The text with marks in place of what was found, and how much of each kind; never the values."""

    text: str
    found: dict


def scrub(text: str, kinds: Sequence[str] = tuple(MARKS)) -> Scrubbed:
    """Replaces personal data by marks.

    Digits of any script, no-break and thin spaces, and all hyphens count as those of ASCII. Left are names, postal
    addresses, numbers of identity cards, other telephone numbers, "name at example dot com". It lowers what a model
    can learn by heart; it does not make a text anonymous.

    Args:
        text: A text.
        kinds: What is replaced. "email", in Latin, Greek or Cyrillic letters -> <EMAIL>. "iban", by its country's
            length and form and its check digits (python-stdnum) -> <IBAN>. "card", 13 to 19 digits that pass the Luhn
            check (as one in ten of other numbers that long does) -> <CARD>. "phone" -> <PHONE>: with + or 00 and the
            country's code (where it ends, libphonenumber says), Chinese mobile (11 digits from 13... to 19...) and
            landline numbers, 9 to 11 digits that begin with one 0 (Europe, Japan), North American ones with hyphens,
            dots or brackets. "ip", IPv4 (version numbers of four parts too) -> <IP>.

    Returns:
        `Scrubbed(text, found)`, `found` such as {"email": 2, "phone": 1}.

    Raises:
        InputError: For other kinds.
    """
    check_text(text)
    unknown = [kind for kind in kinds if kind not in MARKS]
    if isinstance(kinds, str) or unknown:
        raise InputError(f"kinds are some of {', '.join(MARKS)}, got {unknown or kinds!r}")
    total, found = Counter(), True
    while found:  # what goes may have hidden something: in "+44 20 7946 0958.4111111111111111" the card is a fraction
        text, found = _once(text, kinds)
        total.update(found)
    return Scrubbed(text, {kind: total[kind] for kind in MARKS if total[kind]})


# === Card, bank account and telephone numbers, in a text of ASCII digits, spaces and hyphens ===

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


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
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


def find_cards(text: str) -> Iterator[tuple[int, int]]:
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


def find_international(text: str) -> Iterator[tuple[int, int]]:
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


# === Addresses, telephone numbers with a leading 0, and how what is found is replaced ===


# No-break, figure, thin and other spaces of one line; hyphens, en dash, minus sign.
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_HYPHENS = "\u2010\u2011\u2012\u2013\u2212\ufe58\ufe63\uff0d"
_LETTERS = "A-Za-z\u00c0-\u024f\u0386\u0388-\u03ff\u0400-\u0481\u048a-\u052f"  # Latin, Greek, Cyrillic
_LOCAL = f"[0-9{_LETTERS}.!#$%&'*+/=?^_`{{|}}~-]"
# It begins where the run of such characters begins, so that a long run without "@" is looked at once.
_DOMAIN = rf"(?:[0-9{_LETTERS}-]+\.)+[{_LETTERS}][0-9{_LETTERS}-]*[0-9{_LETTERS}]"
_EMAIL = re.compile(rf"(?<!{_LOCAL}){_LOCAL}+@{_DOMAIN}")
# After groups of digits another one may stand only if it is a year or a time.
_BEFORE_YEAR = r"(?= (?:(?:19|20)\d\d|\d\d?:\d\d)(?!\d))"
# With a trunk 0, which other numbers do not begin with
_MOBILE = rf"(?:86{GAP}?)?1[3-9]\d{GAP}?\d{{4}}{GAP}?\d{{4}}"  # Chinese: 138-1234-5678, 8613812345678
_SOLID = r"0[1-9]\d{8,9}"  # 02079460958
_PAIRS = r"0[1-9](?:(?: \d\d){4}|(?:-\d\d){4}|(?:\.\d\d){4})"  # 01 23 45 67 89
_THREES = r"0[1-9]\d[ /-]\d{3}[ -]?\d{3}"  # 030/901 820; with spaces it may be the end of 5 030 901 820
_FOURS = (  # 020 7946 0958, 0161 496 0000, 03-1234-5678
    r"(?:0[1-9]\d{1,3}[ /-](?:\d{4}[ -]?\d{3,4}|\d{3}[ -]?\d{4})|0[1-9]\d{2}[ /-]\d{3}[ -]?\d{3}"
    r"|0[1-9][ -]\d{4}[ -]\d{4})"
)
_ANY = f"(?:{_SOLID}(?!\\d)|{_PAIRS}(?!\\d)|{_FOURS}(?!\\d)|{_THREES}(?!\\d)|{_MOBILE}(?!\\d))"
_BESIDE = f"(?: (?:/ )?{_ANY})*"
_ONE = re.compile(_ANY, re.ASCII)
_PHONE = re.compile(
    "(?=[0-9(])(?:"  # looked at first, since most characters are no digits; so in the other patterns
    + "|".join(
        (
            rf"(?<!\d)(?<!\d\.){_MOBILE}(?!\.?\d)",
            rf"{ALONE}0[1-9]\d{{1,2}}-\d{{7,8}}(?!-?\d)",  # Chinese landlines: 010-62345678
            rf"{ALONE}{_SOLID}(?!-?\d)",
            # In groups, and others beside it
            rf"(?P<row>{ALONE}(?:{AFTER_YEAR}(?:{_PAIRS}|{_THREES}){_BESIDE}(?:(?![ .-]?\d)|{_BEFORE_YEAR})"
            rf"|(?:{AFTER_YEAR}|(?<!\d\d\d )){_FOURS}{_BESIDE}"
            rf"(?:(?![.-]?\d| \d{{3,4}}(?!\d))|{_BEFORE_YEAR})))",
            rf"{ALONE}(?:1[ .-])?\([2-9]\d{{2}}\) ?\d{{3}}[ .-]\d{{4}}(?!\d)",  # North America: (212) 555-0100
            rf"{ALONE}(?:1[.-])?[2-9]\d{{2}}([.-])\d{{3}}\2\d{{4}}(?![.-]?\d)",  # 212-555-0100, 1.212.555.0100
        )
    )
    + ")",
    re.ASCII,
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_DIGIT = re.compile(r"\d")
_IP = re.compile(rf"(?=[0-9])(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\d)", re.ASCII)


def _once(text, kinds):
    found, digits = Counter(), _DIGIT.search(text)
    plain = _plain(text) if digits or "\uff20" in text else text
    for kind, find in _STEPS:
        if kind in kinds and (digits or kind == "email"):
            spans = list(find(plain))
            if spans:
                text, plain = _marked(text, spans, MARKS[kind]), _marked(plain, spans, MARKS[kind])
                found[kind] += len(spans)
    return text, found


def _marked(text, spans, mark):
    """The text with `mark` in place of each span."""
    starts, ends = [start for start, _ in spans], [0, *(end for _, end in spans)]
    return mark.join(text[end:start] for end, start in zip(ends, [*starts, len(text)], strict=True))


def _plain(text):
    """The same number of characters, where digits, spaces, hyphens and full-width forms are those of ASCII."""
    if text.isascii():
        return text
    forms, some = _ascii_forms()
    return some.sub(lambda form: forms[form[0]], text)


@functools.cache
def _ascii_forms():
    forms = {
        chr(code): str(int(chr(code)))
        for code in (*range(0x80, 0x10000), *range(0x1D7CE, 0x1D800))
        if chr(code).isdecimal()
    }
    forms |= {
        chr(code + 0xFEE0): chr(code) for code in range(0x21, 0x7F) if chr(code).isalnum() or chr(code) in "+-.()/@_"
    }
    forms |= dict.fromkeys(_SPACES, " ") | dict.fromkeys(_HYPHENS, "-")
    return forms, re.compile(f"[{''.join(forms)}]")


def _by_pattern(pattern):
    return lambda plain: (match.span() for match in pattern.finditer(plain))


def _phones(plain):
    for match in _PHONE.finditer(plain):
        yield from (one.span() for one in _ONE.finditer(plain, *match.span())) if match["row"] else [match.span()]


def _emails(plain):
    return (match.span() for match in _EMAIL.finditer(plain)) if "@" in plain else ()


# In this order: an address may hold a number, and one in ten of two phones side by side passes a card's check.
_STEPS = (
    ("email", _emails),
    ("iban", find_ibans),
    ("phone", find_international),
    ("phone", _phones),
    ("card", find_cards),
    ("ip", _by_pattern(_IP)),
)
