"""Texts with spans, and sentences with a tag a word: their readers, and the way from tags to spans and back.

Whatever the scheme of the tags, a text with spans is what a tagger learns from. BIO, where B- begins every span, and
IOB1, where it stands between neighbors of one label alone (Ramshaw & Marcus 1995); BIOES and BILOU, where a span of
one word is S- or U- and the last word of others E- or L-: one rule reads them all (`tag_spans`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lm_keras.data.corpora.records import TaggedSentence
from lm_keras.data.labelled import json_objects, text_lines
from lm_keras.data.text_files import as_path, check_encoding, check_file, plain_name
from lm_keras.errors import InputError
from lm_keras.text.unicode import valid

STARTS, ENDS = "BSU", "ESLU"  # BIO: B- starts; BIOES and BILOU: S-, U- are a span alone, E-, L- end one
DOCUMENT = "-DOCSTART-"  # CoNLL-2003's mark between documents


class TaggedText(NamedTuple):
    """A text and its spans.

    Attributes:
        text: A str.
        spans: `(start, end, label)` of each, in characters: `text[start:end]` is of the kind `label`.
    """

    text: str
    spans: Sequence[tuple[int, int, str]]

    def texts(self) -> list[str]:
        """The text."""
        return [self.text]

    def marked(self) -> str:
        """Returns the text with its spans in brackets: `[PER Angela Merkel] spoke in [LOC Paris].`"""
        parts, at = [], 0
        for start, end, label in sorted(self.spans):
            parts += [self.text[at:start], f"[{label} {self.text[start:end]}]"]
            at = end
        return "".join([*parts, self.text[at:]])


# === Files ===


def read_conll(
    path: str | Path,
    *,
    word: int = 0,
    tag: int = -1,
    separator: str | None = None,
    comment: str | None = None,
    encoding: str = "utf-8",
) -> list[TaggedSentence]:
    """Reads sentences with a tag a word from a file of columns, plain or compressed (.gz, .bz2, .xz).

    A line is a word, an empty line ends a sentence. Lines that begin with -DOCSTART- are left out. The tags may be
    BIO, IOB1, BIOES or BILOU; they stay as the file has them.

    Args:
        path: The file.
        word: The column of the words, from 0 on; negative: from the last one back.
        tag: The column of the tags.
        separator: What stands between two columns, such as "\\t"; None: white space.
        comment: What a line begins with that is no word, such as "# " in CoNLL-U; it ends a sentence.
        encoding: Name of a Python text encoding, as in `read_texts`.

    Returns:
        A list of `TaggedSentence`.

    Raises:
        InputError: For a line with more or fewer columns than the first, an empty word, a tag without a label, a
            file without any word, and whatever `read_texts` refuses; with the number of the line.

    Example:

    ```python
    sentences = lk.data.read_conll("eng.train.gz")  # word, part of speech, chunk, entity
    sentences = lk.data.read_conll("train.tsv", word=1, tag=2, separator="\\t", comment="#")
    ```
    """
    path = as_path(path)
    check_encoding(encoding)
    check_file(path)
    if separator is not None and (not isinstance(separator, str) or not separator):
        raise InputError(f'separator is {separator!r}; give what stands between two columns, such as "\\t", or None')
    found, rows, width = [], [], None
    for number, line in enumerate(text_lines(path, encoding), 1):
        line = valid(line.rstrip("\n"))
        if not line.strip() or line.startswith(DOCUMENT) or (comment and line.startswith(comment)):
            if rows:
                found.append(TaggedSentence(*zip(*rows, strict=True)))
            rows = []
            continue
        fields = line.split(separator)
        width = width or len(fields)
        if len(fields) != width:
            raise InputError(f"{path}, line {number}: {len(fields)} columns, but the first line has {width}")
        rows.append(_word_and_tag(path, number, fields, word, tag))
    if rows:
        found.append(TaggedSentence(*zip(*rows, strict=True)))
    if not found:
        raise InputError(f"{path}: it holds no word; give a file with a word and its tag a line")
    return found


def _word_and_tag(path, number, fields, word, tag):
    for column in (word, tag):
        if not isinstance(column, int) or isinstance(column, bool) or not -len(fields) <= column < len(fields):
            raise InputError(f"{path}, line {number}: no column {column!r}; the line has {len(fields)}, from 0 on")
    form, name = fields[word].strip(), fields[tag].strip()
    if not form:
        raise InputError(f"{path}, line {number}: the word is empty; an empty line ends a sentence")
    if name in ("", *"BIESLU") or name[1:] == "-":
        raise InputError(f"{path}, line {number}: the tag {name!r} has no label; give O, or such as B-PER")
    return form, name


def read_spans(path: str | Path, *, encoding: str = "utf-8") -> list[TaggedText]:
    """Reads texts with spans from JSON lines (or a .json list of objects), plain or compressed.

    An object is {"text": ..., "spans": [{"start": 0, "end": 13, "label": "PER"}, ...]}; `start` and `end` count
    characters (code points), as Python does. What else it holds is left out.

    Args:
        path: The file.
        encoding: Name of a Python text encoding, as in `read_texts`.

    Returns:
        A list of `TaggedText`.

    Raises:
        InputError: For what is no such object, a span that is not within its text, and spans that overlap or lie
            within each other; with the number of the line.
    """
    path = as_path(path)
    check_encoding(encoding)
    check_file(path)
    suffix, found = ".json" if Path(plain_name(path)).suffix == ".json" else ".jsonl", []
    for place, text, given in json_objects(path, ("text", "spans"), encoding, suffix):
        if not isinstance(text, str):
            raise InputError(f"{path}, {place}: the text is {text!r:.60}, no string")
        keys = ("start", "end", "label")
        if not isinstance(given, list) or not all(
            isinstance(span, dict) and set(keys) <= set(span) for span in given
        ):
            raise InputError(f'{path}, {place}: spans is {given!r:.60}; give a list of {{"start", "end", "label"}}')
        spans = [tuple(span[key] for key in keys) for span in given]
        found.append(TaggedText(text, checked_spans(text, spans, f"{path}, {place}")))
    if not found:
        raise InputError(f"{path}: it holds no text; give a file with texts and spans")
    return found


def checked_spans(text: str, spans: Iterable[tuple[int, int, str]], place: str) -> list[tuple[int, int, str]]:
    """Returns the spans of a text in their order.

    Args:
        text: The text.
        spans: `(start, end, label)` of each.
        place: Where the text stands, for messages.

    Raises:
        InputError: For a span that is not within the text or has no label, and for two that share a character.
    """
    for span in spans:
        known = isinstance(span, (tuple, list)) and len(span) == 3 and isinstance(span[2], str) and span[2].strip()
        if not known or not all(isinstance(at, int) and not isinstance(at, bool) for at in span[:2]):
            raise InputError(f"{place}: the span is {span!r:.60}; give (start, end, label)")
        if not 0 <= span[0] < span[1] <= len(text):
            raise InputError(f"{place}: the span {span!r:.60} is not within the text of {len(text)} characters")
    spans = sorted((start, end, valid(label).strip()) for start, end, label in spans)
    for one, two in zip(spans, spans[1:], strict=False):
        if two[0] < one[1]:
            shown = " and ".join(
                f"{label} {text[start:end]!r:.40} ({start}-{end})" for start, end, label in (one, two)
            )
            raise InputError(
                f"{place}: {shown} share characters; a tagger finds spans that lie side by side: drop one"
            )
    return spans


# === Tags and spans ===


def parts(tag: str) -> tuple[str, str | None]:
    """(prefix, label) of a tag: ("B", "PER") of "B-PER", ("", "PER") of "PER", ("", None) of "O"."""
    if tag == "O":
        return "", None
    prefix, dash, label = tag.partition("-")
    return (prefix, label) if dash and label and prefix in set("BI" + STARTS + ENDS) else ("", tag)


def tag_spans(tags: Iterable[str]) -> list[tuple[int, int, str]]:
    """Returns the spans of a sentence's tags, `(first word, word after the last, label)`, of every scheme.

    A word goes on with the span of the word before it if both have the same label, unless its tag starts a span or
    the one before ends one. So an I- after O or another label starts a span too (as CoNLL's own evaluation reads it).
    """
    found, before = [], ("", None)
    for i, tag in enumerate(tags):
        prefix, label = parts(tag)
        if label is not None:
            if before[1] != label or prefix in tuple(STARTS) or before[0] in tuple(ENDS):
                found.append([i, i + 1, label])
            found[-1][1] = i + 1
        before = prefix, label
    return [tuple(span) for span in found]


def word_tags(
    places: Sequence[tuple[int, int]], spans: Iterable[tuple[int, int, str]], *, inside: bool = False
) -> list[str]:
    """Returns the BIO tag of each word.

    Args:
        places: `(start, end)` of each word, in their order.
        spans: `(start, end, label)` of each span, in their order; they do not overlap.
        inside: Whether a word is of the first span that begins within it, too, and not only of the one that its first
            character is in.
    """
    tags, spans, at, told = [], list(spans), 0, -1
    for start, end in places:
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        if at < len(spans) and spans[at][0] < (end if inside else start + 1):
            tags.append(f"{'I' if told == at else 'B'}-{spans[at][2]}")
            told = at
        else:
            tags.append("O")
    return tags


def word_places_of(sentence: TaggedSentence) -> list[tuple[int, int]]:
    """Returns `(start, end)` of each word of a sentence in its text, `sentence.texts()[0]`."""
    places, at, space = [], 0, len(sentence.space())
    for word in sentence.words:
        places.append((at, at + len(word)))
        at += len(word) + space
    return places


def as_tagged_text(record: TaggedText | TaggedSentence, place: str) -> TaggedText:
    """Returns a sentence, or a text with spans, as a text with checked spans.

    Args:
        record: Either.
        place: What it is called in messages, such as "sentence 3".

    Raises:
        InputError: For anything else, and for spans that overlap.
    """
    if isinstance(record, TaggedSentence):
        if len(record.words) != len(record.tags):
            raise InputError(
                f"{place} has {len(record.words)} words and {len(record.tags)} tags; give one tag a word"
            )
        places = word_places_of(record)
        spans = [(places[first][0], places[end - 1][1], label) for first, end, label in tag_spans(record.tags)]
        return TaggedText(record.texts()[0], spans)
    if not isinstance(record, tuple) or len(record) != 2 or not isinstance(record[0], str):
        kind = type(record).__name__
        raise InputError(f"{place} is a {kind}; give lk.data.TaggedText(text, spans), or what read_conll returns")
    return TaggedText(record[0], checked_spans(record[0], record[1], place))
