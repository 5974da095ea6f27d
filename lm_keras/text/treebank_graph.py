"""NLTK's word tokenizer inside a TensorFlow graph: the same rules, in the words of RE2.

RE2 looks neither ahead nor behind, and its \\w, \\d and \\s are ASCII. So each rule that looks around consumes its
neighbours and is applied twice (the second time for the match whose neighbour the first had taken), and the classes
are spelled out, as the regular expression engine that NLTK itself runs on defines them. NLTK's second rule for the
final period is left out, for it can match nothing that the first has not; and rules on different characters share a
pass.
"""

import functools
import re


def tf_words(strings):
    """Returns the words of each string [B], as a RaggedTensor of strings, equal to NLTKWordTokenizer().tokenize.

    `strings` must be valid UTF-8 (`codepoints.tf_valid`).
    """
    import tensorflow as tf

    for pattern, rewrite in _rules():
        strings = tf.strings.regex_replace(strings, pattern, rewrite)
    return tf.strings.split(strings)


@functools.cache
def _rules():
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


def _members(engine, pattern):
    """The set of characters that match a pattern."""
    return set(engine.findall(pattern, _characters()))


@functools.cache
def _characters():
    return "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))


def _class(characters):
    """A character class of RE2 for a set of characters, as ranges."""
    ranges = []
    for code in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(_escape(first) + "-" + _escape(last) for first, last in ranges) + "]"


def _not(character_class):
    return "[^" + character_class[1:]


def _escape(code):
    return chr(code) if code > 0xA0 or chr(code).isalnum() else rf"\x{{{code:x}}}"
