"""What the characters of a text tell: its scripts, and what does not belong there."""

import re
import unicodedata
from collections import Counter

# The first word of a character's Unicode name is its script; these are the scripts of most of the world's text.
_SCRIPTS = {
    **{name: name.title() for name in ("LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "THAI", "HANGUL")},
    **{
        name: name.title()
        for name in ("HIRAGANA", "KATAKANA", "DEVANAGARI", "BENGALI", "TAMIL", "TELUGU", "GURMUKHI")
    },
    **{name: name.title() for name in ("GUJARATI", "KANNADA", "MALAYALAM", "SINHALA", "ARMENIAN", "GEORGIAN")},
    **{name: name.title() for name in ("ETHIOPIC", "KHMER", "LAO", "MYANMAR", "TIBETAN", "MONGOLIAN", "BOPOMOFO")},
    "CJK": "Han",
}
# Unicode categories that running text has no use for; tab and the line ends are controls that it has.
_ODD = {"Cc": "control", "Cf": "invisible", "Co": "private use", "Cn": "unassigned", "Cs": "surrogate"}
_WANTED = "\t\n\r\u200c\u200d"  # the joiners are needed by emoji, Persian and Hindi
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")
# UTF-8 that was read as Latin-1 or cp1252: "Ã©" for "é", "â€™" for an apostrophe.
_MOJIBAKE = re.compile("Ã[\x80-\xbf]|Â[\x80-\xbf]|â€|ï»¿")


def scripts(characters):
    """{script: share of the letters} from a Counter of characters, largest first; the rare ones are "other"."""
    found = Counter()
    for character, count in characters.items():
        if character.isalpha():
            first, _, rest = unicodedata.name(character, "").partition(" ")
            if first in ("FULLWIDTH", "HALFWIDTH"):
                first = rest.split(" ")[0]
            found[_SCRIPTS.get(first, "other")] += count
    total = found.total()
    return {script: count / total for script, count in found.most_common()}


def odd_characters(characters):
    """{what is wrong with them: number} from a Counter of characters; only what there is.

    "control" (but tab and line ends), "replacement" (U+FFFD, where a decoder gave up), "invisible" (zero-width
    space, byte order mark, soft hyphen, direction marks), "private use", "unassigned", "surrogate".
    """
    found = Counter()
    for character, count in characters.items():
        if character == "\ufffd":
            found["replacement"] += count
        elif character not in _WANTED and unicodedata.category(character) in _ODD:
            found[_ODD[unicodedata.category(character)]] += count
    return dict(found.most_common())


def is_damaged(text):
    """Whether a text holds control characters or U+FFFD."""
    return _CONTROL.search(text) is not None


def is_mojibake(text):
    """Whether a text looks like UTF-8 that was read in another encoding."""
    return not text.isascii() and _MOJIBAKE.search(text) is not None
