"""Personal data out of text: e-mail addresses, telephone, card and account numbers, network addresses."""

import functools
import re
from collections import Counter
from typing import NamedTuple

from lm_keras.data.personal_numbers import AFTER_YEAR, ALONE, GAP, find_cards, find_ibans, find_international
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_text

MARKS = {"email": "<EMAIL>", "iban": "<IBAN>", "card": "<CARD>", "phone": "<PHONE>", "ip": "<IP>"}

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


class Scrubbed(NamedTuple):
    """The text with marks in place of what was found, and how much of each kind; never the values."""

    text: str
    found: dict


def scrub(text, kinds=tuple(MARKS)):
    """Replaces personal data by marks: returns `Scrubbed(text, found)`, `found` such as {"email": 2, "phone": 1}.

    email, in Latin, Greek or Cyrillic letters -> <EMAIL>; iban, by its country's length and form and its check
    digits (python-stdnum) -> <IBAN>; card, 13 to 19 digits that pass the Luhn check (as one in ten of other numbers
    that long does) -> <CARD>; phone -> <PHONE>: with + or 00 and the country's code (where it ends, libphonenumber
    says), Chinese mobile (11 digits from 13... to 19...) and landline numbers, 9 to 11 digits that begin with one 0
    (Europe, Japan), North American ones with hyphens, dots or brackets; ip, IPv4 (version numbers of four parts too)
    -> <IP>. Digits of any script, no-break and thin spaces, and all hyphens count as those of ASCII. Left: names,
    postal addresses, numbers of identity cards, other telephone numbers, "name at example dot com". It lowers what a
    model can learn by heart; it does not make a text anonymous.
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
