"""Questions on a text with their answers in it: a reader of SQuAD's JSON and of JSON lines, and their checks."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from lm_keras.data.corpora.records import QuestionAnswer, ReferenceAnswer
from lm_keras.data.labelled import json_objects
from lm_keras.data.text_files import as_path, check_encoding, check_file, decoded_blocks, plain_name
from lm_keras.errors import InputError
from lm_keras.text.unicode import valid
from lm_keras.text.word_offsets import word_places


def read_questions(path: str | Path, *, encoding: str = "utf-8") -> list[QuestionAnswer]:
    """Reads questions on texts, with the answers that stand in these, from a file, plain or compressed.

    JSON lines hold an object for each question, {"question": ..., "context": ..., "answers": [{"text": ...,
    "start": ...}, ...]}; `start` counts characters (code points) of the context, as Python does. No answers, [], say
    that the context does not answer the question. A `.json` file is a list of such objects, or one of SQuAD's form,
    1.1 or 2.0.

    Args:
        path: The file.
        encoding: Name of a Python text encoding, as in `read_texts`.

    Returns:
        A list of `QuestionAnswer`.

    Raises:
        InputError: For what is no such file, and for an answer that does not stand where it says; with its place.

    Example:

    ```python
    questions = lk.data.read_questions("questions.jsonl")
    answerer = lk.tasks.QuestionAnswerer.train(questions, encoder="all-minilm-l6-v2")
    ```
    """
    path = as_path(path)
    check_encoding(encoding)
    check_file(path)
    suffix = ".json" if Path(plain_name(path)).suffix == ".json" else ".jsonl"
    found = [
        checked_question(record, f"{path}, {place}")
        for place, record in (_squad(path, encoding) if suffix == ".json" else None)
        or _objects(path, encoding, suffix)
    ]
    if not found:
        raise InputError(f"{path}: it holds no question; give a file with questions, contexts and answers")
    return found


def _objects(path, encoding, suffix) -> Iterator[tuple]:
    for place, question, context, answers in json_objects(path, ("question", "context", "answers"), encoding, suffix):
        if not isinstance(answers, list) or not all(
            isinstance(row, dict) and {"text", "start"} <= {*row} for row in answers
        ):
            raise InputError(
                f'{path}, {place}: answers is {answers!r:.60}; give a list of {{"text": ..., "start": ...}}'
            )
        given = tuple(ReferenceAnswer(row["text"], row["start"]) for row in answers)
        yield place, QuestionAnswer(context, question, given, is_impossible=not given)


def _squad(path, encoding):
    """The records of a file of SQuAD's form with their places; None where it is a list."""
    try:
        content = json.loads("".join(decoded_blocks(path, encoding)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        return None
    return list(_of_articles(path, content))


def _of_articles(path, content):
    number = 0
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    number += 1
                    answers = tuple(ReferenceAnswer(row["text"], row["answer_start"]) for row in asked["answers"])
                    yield (
                        f"question {number}",
                        QuestionAnswer(
                            context=paragraph["context"],
                            question=asked["question"],
                            answers=answers,
                            is_impossible=not answers,
                            title=str(article.get("title", "")).replace("_", " "),
                            id=str(asked.get("id", "")),
                        ),
                    )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: no file of SQuAD's form, at question {number} ({error!r:.60}); it has data, paragraphs, qas"
        ) from None


def checked_question(record: QuestionAnswer, place: str) -> QuestionAnswer:
    """Returns a question with valid text.

    Args:
        record: The question.
        place: What it is called in messages, such as "question 3".

    Raises:
        InputError: For what is none, an empty question or context, and an answer that does not stand in the context
            where it says.
    """
    if not isinstance(record, QuestionAnswer):
        kind = type(record).__name__
        raise InputError(f"{place} is a {kind}; give lk.data.QuestionAnswer(context, question, answers)")
    for name in ("context", "question"):
        text = getattr(record, name)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{place}: the {name} is {text!r:.60}; give a text")
    context, answers = valid(record.context), []
    for answer in record.answers:
        text, start = answer
        if not isinstance(text, str) or not word_places(valid(text)):
            raise InputError(f"{place}: the answer is {text!r:.60}; give words of the context, or no answer")
        if (
            not isinstance(start, int)
            or isinstance(start, bool)
            or context[max(start, 0) :][: len(text)] != valid(text)
        ):
            raise InputError(
                f"{place}: the answer {text!r:.60} does not start at character {start!r:.20} of the context"
            )
        if start < 0:
            raise InputError(f"{place}: the answer {text!r:.60} starts at {start}; give a place from 0 on")
        answers.append(ReferenceAnswer(valid(text), start))
    impossible = not answers
    return record._replace(
        context=context, question=valid(record.question), answers=tuple(answers), is_impossible=impossible
    )


def checked_questions(records: Iterable[QuestionAnswer], name: str = "question") -> list[QuestionAnswer]:
    """Returns the records of an iterable, each checked; InputError for a string and for none.

    Args:
        records: The questions.
        name: What one is called in messages.
    """
    if isinstance(records, (str, bytes)):
        raise InputError("questions is one string; of a file read them by lk.data.read_questions(path)")
    found = [checked_question(record, f"{name} {i}") for i, record in enumerate(records)]
    if not found:
        raise InputError(f"there is no {name}; give at least one")
    return found
