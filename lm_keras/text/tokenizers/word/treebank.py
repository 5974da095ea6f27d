"""NLTK's word tokenizer: the same words many times faster, and the same words in a TensorFlow graph.

In Python, `Treebank`: NLTK runs some thirty regular expressions over the whole text. What they make of a stretch
between two spaces depends on nothing else but, by the rules `^"`, `[.]closers\\s*$` and `[:,]$`, on being at the
start or at the end of the text. A line break is a space to all rules except the two that ask for a literal " " beside
a quote. So a text is cut at its spaces, the pieces that are new go through NLTK in one call, and all pieces are
remembered.

In the graph, `tf_words`: the rules in the words of RE2, which looks neither ahead nor behind, and whose \\w, \\d and
\\s are ASCII. So each rule that looks around consumes its neighbours and is applied twice (the second time for the
match whose neighbour the first had taken), and the classes are spelled out, as the regular expression engine that
NLTK itself runs on defines them. NLTK's second rule for the final period is left out, for it can match nothing that
the first has not; and rules on different characters share a pass.
"""

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

_CLOSERS = "])}>\"'»”’"  # may stand between the final period and the end of the text
_SPACES = "".join(filter(str.isspace, map(chr, range(0x3001))))
# A plain word and what may follow it: most new pieces are that, and need no thirty regular expressions.
_PLAIN = re.compile(r"( {0,2})([A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)([.,:;?!)]|'s)? ?")
_CONTRACTED = re.compile("cannot|gimme|gonna|gotta|lemme|wanna", re.IGNORECASE)
_MAX_PIECES, _MAX_LENGTH = 200_000, 40  # bounds the memory to about 50 MB


class Treebank:
    """`Treebank()(text)` equals `NLTKWordTokenizer().tokenize(text)`, or the list of what `convert` makes of it.

    Args:
        convert: Maps the words of a piece to the list that is remembered in their place, for instance their ids.
    """

    def __init__(self, convert: Callable[[list[str]], list] = list) -> None:
        from nltk.tokenize.destructive import NLTKWordTokenizer

        self._tokenize = NLTKWordTokenizer().tokenize
        self._convert = convert
        self._known = {"": []}

    def __call__(self, text: str) -> list:
        pieces = _cut(text)
        known, words = self._known, []
        try:
            for piece in pieces:
                words += known[piece]
        except KeyError:
            known = self._learn(pieces)
            words = [word for piece in pieces for word in known[piece]]
        return words

    def _learn(self, pieces: list[str]) -> dict[str, list]:
        """Returns {piece: value} for all the pieces; remembers the new ones."""
        known = self._known  # another thread may put a new one in its place
        new = {piece: _plain(piece) for piece in pieces if piece not in known}
        hard = [piece for piece, words in new.items() if words is None]
        if pieces[0] in hard and len(pieces) == 1:
            new[pieces[0]] = self._tokenize(pieces[0][3:])
        elif hard:
            new |= self._by_nltk(hard, pieces[0], pieces[-1])
        new = {piece: self._convert(words) for piece, words in new.items()}
        all_known = {piece: known[piece] for piece in pieces if piece not in new} | new
        if len(known) > _MAX_PIECES:
            self._known = {"": []}
        self._known |= {piece: words for piece, words in new.items() if len(piece) <= _MAX_LENGTH}
        return all_known

    def _by_nltk(self, pieces: list[str], first: str, last: str) -> dict[str, list[str]]:
        """Returns {piece: words} by one call of NLTK on all the pieces."""
        mark = "x"  # stands between the pieces: a word that none of them holds
        while any(mark in piece for piece in pieces):
            mark += "x"
        middle = [piece for piece in pieces if piece not in (first, last)]
        # A piece that was cut at a line break brings its own spaces.
        spaced = [piece if "\n" in piece else f" {piece} " for piece in middle]
        first, last = (piece if piece in pieces else "" for piece in (first, last))
        groups = [[]]
        for word in self._tokenize(first + mark + "".join(piece + mark for piece in spaced) + last):
            if word == mark:
                groups.append([])
            else:
                groups[-1].append(word)
        return dict(zip((first, *middle, last), groups, strict=True))


def _plain(piece: str) -> list[str] | None:
    """Returns the words of a piece that is a plain word ("saw", "him,", the last piece "  go."), or None."""
    match = _PLAIN.fullmatch(piece)
    if not match or _CONTRACTED.search(piece):
        return None
    spaces, word, end = match.groups()
    if end == "." and not spaces:  # the period of a sentence inside the text stays, as that of "Mr."
        return [word + end]
    return [word, end] if end else [word]


def _cut(text: str) -> list[str]:
    """Returns the pieces of a text. The spaces of a piece say where it stands, for the same letters differ by that.

    "Ann ": the first; "saw": from the middle; "\nhim ": beside a line break; "  go.": the last, with all that the
    rules for the end may look at; "   Go.": the only one.
    """
    end = text.rstrip(_CLOSERS + _SPACES).rfind(" ")
    if end < 0:
        return ["   " + text]
    pieces = text[:end].split(" ")
    if "\n" in text:
        pieces = [pieces[0], *(part for piece in pieces[1:] for part in _lines(piece))]
    pieces[0] += " "
    pieces.append(" " + text[end:])
    return pieces


def _lines(piece: str) -> list[str]:
    """Cuts a piece at its line breaks; each part keeps the space or line break on its either side."""
    if "\n" not in piece:
        return [piece]
    first, *rest, last = piece.split("\n")
    return [f" {first}\n", *(f"\n{line}\n" for line in rest), f"\n{last} "]


def tf_words(strings: "tf.Tensor") -> "tf.RaggedTensor":
    """Returns the words of strings, equal to `NLTKWordTokenizer().tokenize`.

    Args:
        strings: [B], valid UTF-8 (`unicode.tf_valid`).

    Returns:
        Strings, ragged [B, (n)].
    """
    import tensorflow as tf

    for pattern, rewrite in _rules():
        strings = tf.strings.regex_replace(strings, pattern, rewrite)
    return tf.strings.split(strings)


@functools.cache
def _rules() -> list[tuple[str, str]]:
    """The list of (pattern, rewrite), in NLTK's order."""
    try:
        from nltk.redos import regex as engine  # NLTK 3.10 and later
    except ImportError:
        engine = re
    space, digit, word = (_members(engine, pattern) for pattern in (r"\s", r"\d", r"\w"))

    def letters(text):  # what the engine takes for these letters when it ignores case, for instance ſ for s
        return _members(engine, f"(?i)[{text}]")

    # An apostrophe before a word that is not re, ve, ll, m, t, s, d or n: (?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)
    e, ll, rv, mtsdn, w = map(_class, (letters("e"), letters("l"), letters("rv"), letters("mtsdn"), word))
    other = _class(word - letters("rvlmtsdn"))
    opening = f"(^|{_not(w)})'({other}|{rv}(?:{_not(e)}|$)|{ll}(?:{_not(ll)}|$)|(?:{mtsdn}|{rv}{e}|{ll}{ll}){w})"

    # The contractions run on Python's own engine in all versions of NLTK. \1 and \8 are the neighbours. (?i) is
    # for the words alone: RE2 would widen the classes of the neighbours.
    edge = "(" + _not(_class(_members(re, r"\w"))) + ")"
    i = _class(_members(re, "(?i)i"))
    gim = f"(g{i}m|lem)"
    contractions_1 = f"{edge}(?i:(can)(not)|(d)('ye)|{gim}(me)){edge}"
    contractions_2 = f"{edge}(?i:(gon)(na)|(got)(ta)|(more)('n)){edge}"
    wanna = rf"{edge}(?i:(wan)(na))([ \x1c-\x1f])"
    halves = r"\1 \2\4\6 \3\5\7 \8"
    return [
        # Starting quotes.
        ('^"', " `` "),
        ("``|`|[«“‘„]", r" \0 "),
        (r"""([ \(\[{<])("|'{2})""", r"\1 `` "),
        (opening, r"\1' \2"),
        (opening, r"\1' \2"),
        # Punctuation.
        (rf"""([^.])(\.)([\])}}>"'»”’ ]*){_class(space)}*$""", r"\1 \2 \3 "),
        (rf"([:,])({_not(_class(digit))}|$)", r" \1 \2"),
        (r"\.{2,}|[;@#$%&?!\x{2012}-\x{2015}]", r" \0 "),
        ("([^'])' ", r"\1 ' "),
        (r"[*\]\[(){}<>»”’]|--|''", r" \0 "),
        # Ending quotes; NLTK pads the text here, so that all rules below find a space at both ends.
        ('"', " '' "),
        ("^|$", " "),
        (_class(space - {" "}), " "),
        ("([^' ])('[sSmMdD]|') ", r"\1 \2 "),  # one class: RE2 takes [sS] alone for ſ as well
        ("([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", r"\1 \2 "),
        # can not, gim me, ...
        (contractions_1, halves),
        (contractions_1, halves),
        (contractions_2, halves),
        (contractions_2, halves),
        (wanna, r"\1 \2 \3 \4"),
        (wanna, r"\1 \2 \3 \4"),
        (f" (?i:('t)({i}s)){edge}", r" \1 \2 \3"),
        (f" (?i:('t)(was)){edge}", r" \1 \2 \3"),
        # str.split() cuts at these too, tf.strings.split does not.
        (r"[\x1c-\x1f]", " "),
    ]


def _members(engine: Any, pattern: str) -> set[str]:
    """The set of characters that match a pattern."""
    return set(engine.findall(pattern, _characters()))


@functools.cache
def _characters() -> str:
    return "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))


def _class(characters: set[str]) -> str:
    """A character class of RE2 for a set of characters, as ranges."""
    ranges = []
    for code in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(_escape(first) + "-" + _escape(last) for first, last in ranges) + "]"


def _not(character_class: str) -> str:
    return "[^" + character_class[1:]


def _escape(code: int) -> str:
    return chr(code) if code > 0xA0 or chr(code).isalnum() else rf"\x{{{code:x}}}"
