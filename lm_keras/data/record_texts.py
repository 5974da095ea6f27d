"""What the records of the named corpora hold of running text."""

from collections.abc import Iterable
from typing import NamedTuple

from lm_keras.data.records import QuestionAnswer


def record_texts(records: Iterable[NamedTuple]) -> list[str]:
    """Returns the texts of records, without blank ones. A context that questions in a row share comes once."""
    texts, context = [], None
    for record in records:
        found = record.texts()
        if isinstance(record, QuestionAnswer):
            found = found[1:] if record.context == context else found
            context = record.context
        texts += found
    return [text for text in texts if text.strip()]
