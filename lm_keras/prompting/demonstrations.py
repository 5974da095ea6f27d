"""Examples in a prompt: texts with their classes, which stand before a text (Brown et al. 2020)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from lm_keras.errors import InputError
from lm_keras.prompting.verbalizer import Verbalizer


class Demonstration(NamedTuple):
    """A text of each field, and the name of their class."""

    fields: dict[str, str]
    label: str


class Demonstrations(Protocol):
    """Which examples stand before a text; `PromptClassifier` takes whatever has these.

    Attributes:
        static: The examples where they are the same for all texts, in their order; None where each text has its own.
    """

    static: list[Demonstration] | None

    def of(self, rows: Sequence[Mapping[str, str]]) -> list[list[Demonstration]]:
        """Returns the examples of each row of fields, in the order in which they stand before it."""

    def get_config(self) -> dict[str, Any]:
        """Returns what a saved folder keeps, as JSON has it."""


class FixedDemonstrations:
    """The same examples before every text."""

    def __init__(self, examples: Sequence[Demonstration]):
        self.static: list[Demonstration] | None = list(examples)

    def of(self, rows: Sequence[Mapping[str, str]]) -> list[list[Demonstration]]:
        """Returns the examples of each row of fields."""
        return [self.static or []] * len(rows)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` takes."""
        return {"examples": [[example.fields, example.label] for example in self.static or []]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "FixedDemonstrations":
        """Returns the examples of a `get_config()`."""
        return cls([Demonstration(dict(fields), label) for fields, label in config["examples"]])


def check_example(example: Demonstration, fields: Sequence[str], classes: Sequence[str]) -> None:
    """Raises InputError unless an example has a text in each field and a class that there is."""
    if set(example.fields) != set(fields) or not all(isinstance(text, str) for text in example.fields.values()):
        raise InputError(
            f"an example has the fields {example.fields!r:.60}; give a text for each of {', '.join(fields)}"
        )
    if example.label not in classes:
        raise InputError(f"an example has the class {example.label!r:.40}; it must be one of {', '.join(classes)}")


def rows_of(fields: Sequence[str], texts: object) -> list[dict[str, str]]:
    """Texts as rows of fields.

    Args:
        fields: The names of the template's fields.
        texts: A string or several for one field; for several fields a dict of their texts, or several dicts.

    Raises:
        InputError: For anything else.
    """
    texts = [texts] if isinstance(texts, (str, Mapping)) else texts
    if isinstance(texts, bytes) or not isinstance(texts, Sequence) and not hasattr(texts, "__iter__"):
        raise InputError(f"texts is {texts!r:.40}; give a string or a list of strings")
    rows = []
    for text in texts:
        row = {fields[0]: text} if isinstance(text, str) and len(fields) == 1 else text
        if not isinstance(row, Mapping):
            if len(fields) == 1:
                raise InputError(f"a text is a {type(text).__name__}; give strings")
            raise InputError(
                f"the template has the fields {', '.join(fields)}; give a dict of them a text, not {text!r:.40}"
            )
        if set(row) != set(fields) or not all(isinstance(value, str) for value in row.values()):
            raise InputError(f"a row has {', '.join(map(str, row))}; give a string for each of {', '.join(fields)}")
        rows.append({name: row[name] for name in fields})
    return rows


def examples_of(fields: Sequence[str], verbalizer: Verbalizer, examples: object) -> list[Demonstration]:
    """Texts with their classes, `(texts, y)`, as Demonstrations.

    Raises:
        InputError: For anything else.
    """
    try:
        texts, y = examples
    except (TypeError, ValueError):
        raise InputError(f"examples are {type(examples).__name__}; give two lists, (texts, classes)") from None
    rows = rows_of(fields, texts)
    labels = verbalizer.places(y, len(rows))
    return [Demonstration(row, verbalizer.classes[label]) for row, label in zip(rows, labels, strict=True)]
