"""Texts with two entities and their relation, and texts with all of theirs: readers, checks, marks in the text."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lm_keras.data.corpora.records import RelatedText, Relation
from lm_keras.data.labelled import json_objects
from lm_keras.data.tagged import checked_spans
from lm_keras.data.text_files import as_path, check_encoding, check_file, plain_name
from lm_keras.errors import InputError
from lm_keras.text.unicode import valid
from lm_keras.text.word_offsets import word_places

_MARKS = re.compile("<(/?)(e[12])>")
_ENTITIES = {"e1": "first", "e2": "second"}


def read_relations(path: str | Path, *, encoding: str = "utf-8", labels: bool = True) -> list[Relation]:
    """Reads texts with two entities from JSON lines (or a .json list of objects), plain or compressed.

    An object is {"text": ..., "first": [start, end], "second": [start, end], "label": ...}; the places count
    characters (code points), as Python does. What else it holds is left out.

    Args:
        path: The file.
        encoding: Name of a Python text encoding, as in `read_texts`.
        labels: Whether an object has a label; False: it is not looked at.

    Returns:
        A list of `Relation`, whose `label` is the name of the relation, or None without labels.

    Raises:
        InputError: For what is no such object, and for an entity that is not within its text; with the number of
            the line.

    Example:

    ```python
    relations = lk.data.read_relations("relations.jsonl")
    extractor = lk.tasks.RelationExtractor.train(relations)
    ```
    """
    found, columns = [], ("text", "first", "second", "label")[: 4 if labels else 3]
    for place, text, first, second, *label in _objects(path, columns, encoding):
        if labels and (not isinstance(label[0], str) or not label[0].strip()):
            raise InputError(f"{place}: the label is {label[0]!r:.60}; give the name of the relation")
        found.append(checked_relation(Relation(text, first, second, *(name.strip() for name in label)), place))
    if not found:
        raise InputError(f"{path}: it holds no text; give a file with texts and two entities each")
    return found


def read_related(path: str | Path, *, encoding: str = "utf-8") -> list[RelatedText]:
    """Reads texts with entities and relations from JSON lines (or a .json list), plain or compressed.

    An object is that of `read_spans` with "relations": {"text": ..., "spans": [{"start", "end", "label"}, ...],
    "relations": [{"first": 0, "second": 2, "label": "Live_In"}, ...]}; "first" and "second" are places in "spans".

    Args:
        path: The file.
        encoding: Name of a Python text encoding, as in `read_texts`.

    Returns:
        A list of `RelatedText`.

    Raises:
        InputError: For what is no such object, spans that overlap or are not within the text, and relations of
            spans that are not there; with the number of the line.
    """
    found = []
    for place, text, spans, relations in _objects(path, ("text", "spans", "relations"), encoding):
        spans = [tuple(row) for row in _rows(place, "spans", spans, ("start", "end", "label"))]
        relations = [tuple(row) for row in _rows(place, "relations", relations, ("first", "second", "label"))]
        found.append(checked_related(RelatedText(text, tuple(spans), tuple(relations)), place))
    if not found:
        raise InputError(f"{path}: it holds no text; give a file with texts, spans and relations")
    return found


def holds_related(path: str | Path, *, encoding: str = "utf-8") -> bool:
    """Returns whether a file is one of `read_related`, by its first object: it has no "first" entity.

    Args:
        path: The file.
        encoding: Name of a Python text encoding.

    Raises:
        InputError: For what is no file of JSON objects.
    """
    try:
        next(_objects(path, ("text", "first"), encoding), None)
    except InputError:
        next(_objects(path, ("text", "relations"), encoding), None)
        return True
    return False


def _objects(path, columns, encoding) -> Iterator[tuple]:
    """Where each object of a file stands, and its values, the first of which is a text."""
    path = as_path(path)
    check_encoding(encoding)
    check_file(path)
    suffix = ".json" if Path(plain_name(path)).suffix == ".json" else ".jsonl"
    for place, text, *values in json_objects(path, columns, encoding, suffix):
        if not isinstance(text, str):
            raise InputError(f"{path}, {place}: the text is {text!r:.60}, no string")
        yield f"{path}, {place}", text, *values


def _rows(place, name, given, keys):
    rows = given if isinstance(given, list) else [None]
    if not all(isinstance(row, dict) and set(keys) <= set(row) for row in rows):
        raise InputError(f"{place}: {name} is {given!r:.60}; give a list of objects with {', '.join(keys)}")
    return [[row[key] for key in keys] for row in rows]


def checked_relation(record: Relation, place: str) -> Relation:
    """Returns a relation with valid text.

    Args:
        record: The relation, or a tuple of text, first, second and perhaps label.
        place: What it is called in messages, such as "record 3".

    Raises:
        InputError: For what is none, and for an entity that is not within its text, or holds white space alone.
    """
    if not isinstance(record, tuple) or len(record) not in (3, 4) or not isinstance(record[0], str):
        kind = type(record).__name__
        raise InputError(f"{place} is a {kind}; give lk.data.Relation(text, (start, end), (start, end), label)")
    text, *entities = valid(record[0]), *record[1:3]
    for name, entity in zip(_ENTITIES.values(), entities, strict=True):
        pair = isinstance(entity, (tuple, list)) and len(entity) == 2
        if not pair or not all(isinstance(at, int) and not isinstance(at, bool) for at in entity):
            raise InputError(f"{place}: {name} is {entity!r:.60}; give (start, end) in characters")
        if not 0 <= entity[0] < entity[1] <= len(text):
            raise InputError(f"{place}: {name}, {tuple(entity)}, is not within the text of {len(text)} characters")
        if not word_places(text[slice(*entity)]):
            raise InputError(f"{place}: {name}, {tuple(entity)}, is white space; give the place of words")
    return Relation(text, tuple(entities[0]), tuple(entities[1]), *record[3:])


def checked_related(record: RelatedText, place: str) -> RelatedText:
    """Returns a text with checked entities, in their order, and relations.

    Args:
        record: The text.
        place: What it is called in messages, such as "text 3".

    Raises:
        InputError: For what is none, entities that overlap, and relations of entities that are not there.
    """
    if not isinstance(record, tuple) or len(record) != 3 or not isinstance(record[0], str):
        kind = type(record).__name__
        raise InputError(f"{place} is a {kind}; give lk.data.RelatedText(text, spans, relations)")
    for name, rows in zip(("spans", "relations"), record[1:], strict=True):
        if not isinstance(rows, (tuple, list)):
            raise InputError(f"{place}: {name} is {rows!r:.60}; give a list")
    text, given, relations = valid(record[0]), *record[1:]
    spans = checked_spans(text, given, place)
    if blank := next((span for span in spans if not word_places(text[slice(*span[:2])])), None):
        raise InputError(f"{place}: the entity {blank!r:.60} is white space; give the place of words")
    at, known = {(start, end): i for i, (start, end, _) in enumerate(spans)}, {}
    for row in relations:
        if not isinstance(row, (tuple, list)) or len(row) != 3 or not isinstance(row[2], str) or not row[2].strip():
            raise InputError(f"{place}: the relation is {row!r:.60}; give (first, second, label)")
        pair = row[:2]
        if not all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i < len(given) for i in pair):
            raise InputError(f"{place}: the relation {row!r:.60} is not between two of {len(given)} entities")
        pair, label = tuple(at[tuple(given[i][:2])] for i in pair), valid(row[2]).strip()
        if pair[0] == pair[1] or known.get(pair, label) != label:
            what = (
                "of an entity with itself" if pair[0] == pair[1] else f"beside {known[pair]!r:.40} of the same pair"
            )
            raise InputError(f"{place}: the relation {row!r:.60} is {what}; a pair of two entities has one relation")
        known[pair] = label
    return RelatedText(text, tuple(spans), tuple((*pair, label) for pair, label in known.items()))


def relation_of_marks(text: str) -> Relation:
    """Returns the relation of a text with marks: `The <e1>author</e1> uses a <e2>disassembler</e2>.`

    Args:
        text: With each of the marks <e1>, </e1>, <e2> and </e2> once.

    Raises:
        InputError: For a mark that is missing, or there twice, and for an entity without a word.
    """
    plain, before, places = "", 0, {}
    for mark in _MARKS.finditer(text):
        plain, before = plain + text[before : mark.start()], mark.end()
        if mark[0] in places:
            raise InputError(f"{text!r:.80} has {mark[0]} twice; give each mark once")
        places[mark[0]] = len(plain)
    missing = [mark for name in _ENTITIES for mark in (f"<{name}>", f"</{name}>") if mark not in places]
    if missing:
        raise InputError(
            f"{text!r:.80} lacks {missing[0]}; mark both entities: A <e1>ridge</e1> rises from a <e2>surge</e2>."
        )
    entities = [(places[f"<{name}>"], places[f"</{name}>"]) for name in _ENTITIES]
    return checked_relation(Relation(plain + text[before:], *entities), f"{text!r:.60}")


def pairs_of(count: int, neighbors: int) -> list[tuple[int, int]]:
    """Returns the ordered pairs of entities that are looked at.

    Args:
        count: The number of entities of a text, in their order.
        neighbors: How many entities after it an entity is paired with, in both directions.

    Returns:
        `(i, j)` and `(j, i)` for all i < j <= i + neighbors, by i and j.
    """
    return [
        pair
        for i in range(count)
        for j in range(i + 1, min(i + neighbors, count - 1) + 1)
        for pair in ((i, j), (j, i))
    ]


def related_pairs(texts: Iterable[RelatedText], none: str, neighbors: int) -> list[Relation]:
    """Returns a `Relation` for each pair of entities of texts, which an extractor learns from.

    Args:
        texts: Texts with entities and relations.
        none: The label of a pair without a relation.
        neighbors: As in `pairs_of`; the relations of other pairs are left out.
    """
    found = []
    for i, record in enumerate(texts):
        text, spans, relations = checked_related(record, f"text {i}")
        labels = {(first, second): label for first, second, label in relations}
        for first, second in pairs_of(len(spans), neighbors):
            label = labels.get((first, second), none)
            found.append(Relation(text, spans[first][:2], spans[second][:2], label))
    return found
