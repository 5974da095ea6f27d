"""Personal data out of text: e-mail addresses, telephone, card and account numbers, network addresses."""

import re
from collections import Counter
from typing import NamedTuple

from lm_keras.data.personal_numbers import SEPARATOR, replace_cards, replace_ibans
from lm_keras.errors import InputError
from lm_keras.text.checks import check_text

MARKS = {"email": "<EMAIL>", "iban": "<IBAN>", "card": "<CARD>", "phone": "<PHONE>", "ip": "<IP>"}

_LETTERS = "A-Za-z\u00c0-\u024f\u0386\u0388-\u03ff\u0400-\u0481\u048a-\u052f"  # Latin, Greek, Cyrillic
_LOCAL = f"[0-9{_LETTERS}.!#$%&'*+/=?^_`{{|}}~-]"
# It begins where the run of such characters begins, so that a long run without "@" is looked at once.
_DOMAIN = rf"(?:[0-9{_LETTERS}-]+\.)+[{_LETTERS}][0-9{_LETTERS}-]*[0-9{_LETTERS}]"
_EMAIL = re.compile(rf"(?<!{_LOCAL}){_LOCAL}+[@\uff20]{_DOMAIN}")
_ALONE = r"(?<!\d)(?<!\d[.-])"  # not within a longer number
_GAP = f"(?:{SEPARATOR}|[ ]?[().][ ]?|[ ]?/[ ]?)"
# +44 20 7946 0958, +1 (212) 555-0100: at most 15 digits
_INTERNATIONAL = re.compile(rf"(?<!\+)\+[1-9](?:{_GAP}{{0,2}}\d){{8,14}}(?!\d)")
_PHONE = re.compile(
    "(?=[0-9(])(?:"  # looked at first, since most characters are no digits; so in the other patterns
    + "|".join(
        (
            rf"{_ALONE}00 ?[2-9]\d(?:{_GAP}{{0,2}}\d){{8,13}}(?!\d)",  # 0044 20 7946 0958
            rf"(?<!\d ){_ALONE}00[17](?:{SEPARATOR}?\d){{10}}(?![ -]?\d)",  # 001 202 555 0173
            # Chinese mobiles: 138-1234-5678, 8613812345678
            rf"(?<!\d)(?<!\d\.)(?:86{SEPARATOR}?)?1[3-9]\d{SEPARATOR}?\d{{4}}{SEPARATOR}?\d{{4}}(?!\.?\d)",
            rf"{_ALONE}0[1-9]\d{{1,2}}-\d{{7,8}}(?!-?\d)",  # Chinese landlines: 010-62345678
            # With a trunk 0, which other numbers do not begin with
            rf"{_ALONE}0[1-9]\d{{8,9}}(?!-?\d)",  # 02079460958
            rf"(?<!\d ){_ALONE}0[1-9](?:(?: \d\d){{4}}|(?:-\d\d){{4}}|(?:\.\d\d){{4}})(?![ .-]?\d)",  # 01 23 45 67 89
            rf"(?<!\d ){_ALONE}0[1-9]\d{{1,3}}[ /-]\d{{3,4}}[ -]?\d{{3,4}}(?![ -]?\d)",  # 020 7946 0958, 030/901820
            rf"(?<!\d ){_ALONE}0[1-9][ -]\d{{4}}[ -]\d{{4}}(?![ -]?\d)",  # 03-1234-5678
            rf"{_ALONE}(?:1[ .-])?\([2-9]\d{{2}}\) ?\d{{3}}[ .-]\d{{4}}(?!\d)",  # North America: (212) 555-0100
            rf"{_ALONE}(?:1[.-])?[2-9]\d{{2}}([.-])\d{{3}}\1\d{{4}}(?![.-]?\d)",  # 212-555-0100, 1.212.555.0100
        )
    )
    + ")"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_DIGIT = re.compile(r"\d")
_IP = re.compile(rf"(?=[0-9])(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\d)")


class Scrubbed(NamedTuple):
    """The text with marks in place of what was found, and how much of each kind; never the values."""

    text: str
    found: dict


def scrub(text, kinds=tuple(MARKS)):
    """Replaces personal data by marks: returns `Scrubbed(text, found)`, `found` such as {"email": 2, "phone": 1}.

    email, in Latin, Greek or Cyrillic letters -> <EMAIL>; iban, by its check sum -> <IBAN>; card, 13 to 19 digits
    that pass the Luhn check (as one in ten of other numbers that long does) -> <CARD>; phone -> <PHONE>: with + or 00
    and the country's code, Chinese mobile (11 digits from 13... to 19...) and landline numbers, 9 to 11 digits that
    begin with one 0 (Europe, Japan), North American ones with hyphens, dots or brackets; ip, IPv4 (version numbers of
    four parts too) -> <IP>. Left: names, postal addresses, numbers of identity cards, other telephone numbers, "name
    at example dot com". It lowers what a model can learn by heart; it does not make a text anonymous.
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
    for kind, replace in _STEPS:
        if kind in kinds and (digits or kind == "email"):
            text, count = replace(text, MARKS[kind])
            found[kind] += count
    return text, +found


def _by_pattern(pattern):
    return lambda text, mark: pattern.subn(mark, text)


def _emails(text, mark):
    return _EMAIL.subn(mark, text) if "@" in text or "\uff20" in text else (text, 0)


# In this order: an address may hold a number, an account number a card's, and what follows a "+" is a phone's.
_STEPS = (
    ("email", _emails),
    ("iban", replace_ibans),
    ("phone", _by_pattern(_INTERNATIONAL)),
    ("card", replace_cards),
    ("phone", _by_pattern(_PHONE)),
    ("ip", _by_pattern(_IP)),
)
