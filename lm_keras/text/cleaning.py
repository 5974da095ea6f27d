"""Raw text to plain text."""

import html
import re
import unicodedata

from lm_keras.text.checks import check_text

# Only known element names are tags: "a < b", "<unk>" and "<3" are text.
_ELEMENTS = """
a abbr acronym address applet area article aside audio b base basefont bdi bdo big blink blockquote body br button
canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset
figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins
kbd label legend li link main map mark marquee menu meta meter nav noframes noscript object ol optgroup option output
p param picture pre progress q rp rt ruby s samp script search section select slot small source span strike strong
style sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr
"""
# Elements that end a line. A cell of a table ends a word; all other tags vanish ("<b>bo</b>ld" is "bold").
_BLOCKS = """
address article aside blockquote body br caption center dd details div dl dt fieldset figcaption figure footer form
h1 h2 h3 h4 h5 h6 head header hr html li main nav ol option p pre section summary table tbody tfoot thead title tr ul
"""

_INSTEAD = dict.fromkeys(_BLOCKS.split(), "\n") | {"td": " ", "th": " "}

# What is not closed hides the rest, as in a browser; and so no pattern searches to the end more than once.
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|<!doctype[^<>]*>", re.IGNORECASE | re.DOTALL)
_HIDDEN = re.compile(r"<(script|style)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
# A quoted attribute may hold ">"; each part of the pattern begins differently, so that it cannot backtrack for long.
_TAG = re.compile(
    r"</?("
    + "|".join(sorted(_ELEMENTS.split(), key=len, reverse=True))
    + r")(?:\s(?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*)?/?>",
    re.IGNORECASE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# The control characters (Cc) but newline and tab, and the marks that show nothing: soft hyphen, zero-width space,
# word joiner, byte order mark. The zero-width joiners stay: emoji, Persian and Hindi need them.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u2060\ufeff]")
_NEWLINE = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile(r"[^\S\n]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def clean(text):
    """Returns `text` without HTML and control characters, in Unicode NFC, with tidy spaces.

    Script, style, comments and known tags go, entities become characters; a block element ends its line. Every
    run of spaces is one space, lines are stripped, there is at most one empty line in a row. Text that only looks
    like a tag (`a < b`, `<unk>`) stays. A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD.
    """
    check_text(text)
    if "<" in text:
        text = _HIDDEN.sub("", _COMMENT.sub("", text))
        text = _TAG.sub(lambda tag: _INSTEAD.get(tag[1].lower(), ""), text)
    if "&" in text:
        text = html.unescape(text)
    text = _SURROGATE.sub("\ufffd", text)
    text = _CONTROL.sub("", _NEWLINE.sub("\n", text))
    text = unicodedata.normalize("NFC", text)
    lines = (line.strip() for line in _SPACES.sub(" ", text).split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
