"""Examples of each text's own: those most similar to it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_keras.errors import InputError
from lm_keras.prompting.demonstrations import Demonstration
from lm_keras.prompting.examples import ORDERS, NearestExamples, ordered
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.utils.checks import check_choice, check_seed


class NearestDemonstrations:
    """The k examples that are most similar to each text; see `NearestExamples`. Of several fields all count.

    Args:
        examples: The examples to choose from.
        k: How many stand before a text.
        embedder: A `TextEmbedder`, a function of texts, or None for TF-IDF.
        order: "nearest last" (None too), "given" or "random".
        seed: Of "random".

    Raises:
        InputError: For fewer examples than k, and as `NearestExamples`.
    """

    static = None

    def __init__(
        self,
        examples: Sequence[Demonstration],
        k: int,
        embedder: TextEmbedder | Callable | None = None,
        order: str | None = None,
        seed: int = 0,
    ):
        self.examples, self.k, self.embedder = list(examples), k, embedder
        self.order, self.seed = check_choice("order", order or "nearest last", ORDERS), check_seed(seed)
        if k > len(self.examples):
            raise InputError(f"k is {k} and there are {len(self.examples)} labelled texts; give more or a smaller k")
        self._nearest = NearestExamples([_text(example.fields) for example in self.examples], embedder)

    def of(self, rows: Sequence[Mapping[str, str]]) -> list[list[Demonstration]]:
        """Returns the examples of each row of fields, in the order in which they stand before it."""
        texts = [_text(row) for row in rows]
        chosen = ordered(self._nearest(texts, self.k), texts, self.order, self.seed)
        return [[self.examples[i] for i in row] for row in chosen.tolist()]

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` takes; a `TextEmbedder` is saved beside it."""
        return {
            "examples": [[example.fields, example.label] for example in self.examples],
            "k": self.k,
            "order": self.order,
            "seed": self.seed,
            "embedder": None if self.embedder is None else type(self.embedder).__name__,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], folder: Path) -> "NearestDemonstrations":
        """Returns the examples of a `get_config()`, whose embedder is in `folder` if there is one."""
        examples = [Demonstration(dict(fields), label) for fields, label in config["examples"]]
        embedder = None if config["embedder"] is None else TextEmbedder.load(folder)
        return cls(examples, config["k"], embedder, config["order"], config["seed"])


def _text(fields):
    return "\n".join(fields.values())
