"""Contexts × contexts: how well a model that is given one context predicts the texts of another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.errors import InputError
from lm_keras.generation.scoring import Score
from lm_keras.utils.checks import check_texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NONE = "(none)"


@dataclasses.dataclass(frozen=True, eq=False)
class ContextTable:
    """The perplexity of the texts of each context (a column) when the model is given a context (a row).

    Attributes:
        given: What the model was given; None stands for no context.
        contexts: Whose texts were measured.
        perplexities: float64 [R, C], e^(nats a token).
        bits_per_byte: float64 [R, C], of the UTF-8 of the texts.
        num_tokens: Tokens of the texts of each context, [C].
        num_texts: Their number, [C].
    """

    given: tuple[str | None, ...]
    contexts: tuple[str, ...]
    perplexities: np.ndarray
    bits_per_byte: np.ndarray
    num_tokens: tuple[int, ...]
    num_texts: tuple[int, ...]

    @property
    def best(self) -> dict[str, str | None]:
        """For the texts of each context, the context in which they are likeliest."""
        places = self.perplexities.argmin(0)
        return {name: self.given[place] for name, place in zip(self.contexts, places, strict=True)}

    @property
    def diagonal_wins(self) -> bool:
        """Whether the texts of each context that is in `given` are likeliest in their own; False if none is."""
        wins = [best == name for name, best in self.best.items() if name in self.given]
        return bool(wins) and all(wins)

    def mean_bits_per_byte(self) -> dict[str, float]:
        """Bits a byte of all texts: in their own context ("right"), in another ("wrong": the mean), in none ("none").

        The contexts weigh the same. Only those that the model was given count.
        """
        found = {"right": [], "wrong": [], "none": []}
        for column, name in enumerate(self.contexts):
            if name in self.given:
                for row, context in enumerate(self.given):
                    kind = "none" if context is None else "right" if context == name else "wrong"
                    found[kind].append(self.bits_per_byte[row, column])
        return {kind: float(np.mean(values)) for kind, values in found.items() if values}

    def __str__(self) -> str:
        head = ["given \\ texts of", *self.contexts]
        lines = [[context or NONE, *(f"{value:.2f}" for value in row)] for context, row in
                 zip(self.given, self.perplexities, strict=True)]  # fmt: skip
        for row, context in zip(lines, self.given, strict=True):
            for column, name in enumerate(self.contexts):
                if self.best[name] == context:
                    row[column + 1] += "*"
        rows = [head, *lines, ["tokens", *(f"{count:,}" for count in self.num_tokens)]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        shown = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(["perplexity a token; * the lowest of a column", *(line.rstrip() for line in shown)])

    def __repr__(self) -> str:
        wins = "the diagonal wins" if self.diagonal_wins else f"best {self.best}"
        return f"<ContextTable of {len(self.given)} x {len(self.contexts)}, {wins}>"

    def plot(self) -> Figure:
        """Draws the table: of each column, how much higher a perplexity is than the lowest.

        Returns:
            A matplotlib `Figure`.
        """
        from matplotlib.figure import Figure

        rows, columns = self.perplexities.shape
        ratio = self.perplexities / self.perplexities.min(0)
        figure = Figure(figsize=(2.2 + 0.9 * columns, 1.4 + 0.45 * rows), layout="constrained")
        axes = figure.add_subplot()
        shown = axes.imshow(np.log(ratio), cmap="Blues", aspect="auto")
        middle = np.log(ratio).max() / 2
        for (row, column), value in np.ndenumerate(self.perplexities):
            dark = math.log(ratio[row, column]) > middle > 0
            weight = "bold" if ratio[row, column] == 1 else "normal"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontweight=weight,
                      fontsize="small", color="white" if dark else "black")  # fmt: skip
        axes.set_xticks(range(columns), self.contexts, rotation=30, ha="right", parse_math=False)
        axes.set_yticks(range(rows), [context or NONE for context in self.given], parse_math=False)
        axes.set(xlabel="texts of", ylabel="the model is given", title="perplexity a token")
        figure.colorbar(shown, label="log of the ratio to the column's lowest")
        return figure


def context_table(
    score: Callable[[Sequence[str], str | None], list[Score]],
    texts_by_context: Mapping[str, Sequence[str]],
    given: Sequence[str | None],
) -> ContextTable:
    """The `ContextTable` of a function `score(texts, context)`.

    Raises:
        InputError: For what is no mapping of names to texts, a name without a text, or nothing in `given`.
    """
    if not isinstance(texts_by_context, Mapping) or not texts_by_context:
        raise InputError("perplexities takes {context: texts}, such as lk.data.texts_by_context gives")
    if not given:
        raise InputError("given is empty; give the names of contexts, or None for no context")
    names, nats, sizes = tuple(texts_by_context), [], []
    for name in names:
        texts = check_texts(texts_by_context[name])
        if not any(texts):
            raise InputError(f"the context {name!r:.40} has no text to measure; give at least one")
        scores = [score(texts, context) for context in given]
        nats.append([-math.fsum(one.log_prob for one in row) for row in scores])
        num_bytes = sum(len(text.encode("utf-8", "replace")) for text in texts)
        sizes.append((sum(one.num_tokens for one in scores[0]), num_bytes, len(texts)))
    nats, (tokens, num_bytes, counts) = np.array(nats).T, zip(*sizes, strict=True)
    perplexities = np.exp(np.minimum(nats / tokens, 700))
    return ContextTable(tuple(given), names, perplexities, nats / np.log(2) / num_bytes, tokens, counts)
