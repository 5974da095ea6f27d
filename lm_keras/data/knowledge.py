"""Questions with their answers: what a knowledge base is made of, and what a retriever is measured by."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lm_keras.data.labelled import rows_of
from lm_keras.data.text_files import as_path
from lm_keras.errors import InputError
from lm_keras.text.unicode import valid


class KnowledgeEntry(NamedTuple):
    """A question and its answer; None: no answer, of a question that the knowledge base says nothing of."""

    question: str
    answer: str | None


def read_knowledge(
    path: str | Path,
    question: str | int = "question",
    answer: str | int = "answer",
    *,
    separator: str | None = None,
    unanswered: bool = False,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    quotes: bool = True,
) -> list[KnowledgeEntry]:
    """Reads questions and answers from a .csv, .tsv, .jsonl or .json file, plain or compressed (.gz, .bz2, .xz).

    A row is a question and its answer, which may come again with other words for the same question. In JSON a
    question may be a list of several, each of which has the answer.

    Args:
        path: The file.
        question: Name of the column (or key) with the questions. A whole number, for a file without a line of names:
            the place of the column, from 0 on.
        answer: The same for the answers.
        separator: What stands between several questions of a row, such as "|", where it may have several.
        unanswered: Whether a row may have no answer (an empty field, null in JSON): a question that is out of scope,
            whose `answer` is None. For files that a threshold is chosen or a retriever is measured by.
        encoding: Name of a Python text encoding, as in `read_texts`.
        delimiter: One character between two columns, for another suffix or a CSV with ";".
        quotes: False: a double quote is a character like any other (many TSV files).

    Returns:
        A list of `KnowledgeEntry`, in the order of the file; spaces at the ends of an answer are no part of it.

    Raises:
        InputError: For a column that is not there, an empty question or answer, and whatever `read_labelled`
            refuses; with the number of the line.

    Example:

    ```python
    entries = lk.data.read_knowledge("kb.csv")
    retriever = lk.tasks.Retriever.of(entries, method="bm25")
    ```
    """
    path, found = as_path(path), []
    if separator is not None and (not isinstance(separator, str) or not separator.strip()):
        raise InputError(f'separator is {separator!r}; give what stands between two questions of a row, such as "|"')
    if question == answer or type(question) is not type(answer) or not isinstance(question, (str, int)):
        raise InputError(
            f"question and answer are names of two columns, or places from 0 on, got {question!r} and {answer!r}"
        )
    for place, asked, told in rows_of(path, (question, answer), encoding, delimiter, quotes):
        place = f"{path}, {place}"
        several = asked.split(separator) if separator and isinstance(asked, str) else asked
        several = several if isinstance(several, list) else [several]
        told = None if unanswered and (told is None or (isinstance(told, str) and not told.strip())) else told
        if not several:
            raise InputError(f"{place}: the question is an empty list; give at least one")
        found += [checked_entry((one, told), place, unanswered=unanswered) for one in several]
    if not found:
        raise InputError(f"{path}: it holds no rows; give a file with questions and answers")
    return found


def checked_entry(entry: object, place: str, *, unanswered: bool = False) -> KnowledgeEntry:
    """Returns a question and its answer as valid text.

    Args:
        entry: A `KnowledgeEntry`, or a pair.
        place: What it is called in messages, such as "entry 3".
        unanswered: Whether the answer may be None.

    Raises:
        InputError: For what is none, and for an empty question or answer.
    """
    if not isinstance(entry, (tuple, list)) or len(entry) != 2:
        raise InputError(f"{place} is {entry!r:.60}; give lk.data.KnowledgeEntry(question, answer)")
    parts = []
    for name, text in zip(KnowledgeEntry._fields, entry, strict=True):
        if text is None and name == "answer" and unanswered:
            parts.append(None)
            continue
        if not isinstance(text, str):
            raise InputError(f"{place}: the {name} is {text!r:.60}, no string")
        if not text.strip():
            raise InputError(f"{place}: the {name} is empty; give every question an answer, or leave the row out")
        parts.append(valid(text).strip())
    return KnowledgeEntry(*parts)


def checked_entries(entries: Iterable[object], name: str, *, unanswered: bool = False) -> list[KnowledgeEntry]:
    """Returns several, checked.

    Args:
        entries: As of `checked_entry`.
        name: What they are called in messages, such as "entries".
        unanswered: Whether answers may be None.

    Raises:
        InputError: For what is no such list, and one without any.
    """
    if isinstance(entries, (str, bytes)) or not isinstance(entries, Iterable):
        raise InputError(f"{name} is a {type(entries).__name__}; give a list of lk.data.KnowledgeEntry")
    found = [checked_entry(entry, f"{name}, {i}", unanswered=unanswered) for i, entry in enumerate(entries)]
    if not found:
        raise InputError(f"{name} has no question; give at least one with its answer")
    return found
