"""Pictures of a classifier's right and wrong answers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure


def confusion_figure(confusion: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draws a confusion matrix [C, C] with the names of the classes; a cell's color is its share of the row."""
    count = len(classes)
    side = min(2.5 + 0.55 * count, 14)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    picture = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(picture, ax=axes, label="share of the texts of the row", shrink=0.8)
    size = max(2, min(10, round(420 / count / 2)))
    names = [short_name(name, 24) for name in classes]
    axes.set_xticks(range(count), names, rotation=90 if count > 6 else 45, ha="right" if count <= 6 else "center")
    axes.set_yticks(range(count), names)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontsize(size)
        label.set_parse_math(False)
    axes.set(xlabel="answer", ylabel="label")
    if count <= 20:
        for row, column in np.argwhere(confusion > 0):
            color = "white" if shares[row, column] > 0.6 else "black"
            number = f"{confusion[row, column]:,}"
            axes.text(column, row, number, ha="center", va="center", color=color, fontsize=size)
    return figure


def decisions_figure(confusion: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draws [C, 2, 2], a row a label and a column an answer (no, yes), as bars: found, missed, wrongly found."""
    figure = Figure(figsize=(8, 1.5 + 0.3 * min(len(classes), 60)), layout="constrained")
    axes, start = figure.add_subplot(), np.zeros(len(classes))
    parts = {"found": (1, 1, "#2869be"), "missed": (1, 0, "#b8cbe6"), "wrongly found": (0, 1, "#d63c2d")}
    for name, (label, answer, color) in parts.items():
        counts = confusion[:, label, answer]
        axes.barh(range(len(classes)), counts, left=start, color=color, label=name)
        start += counts
    axes.set_yticks(range(len(classes)), [short_name(name, 24) for name in classes], parse_math=False)
    axes.set(ylim=(len(classes) - 0.5, -0.5), xlabel="texts")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def short_name(name: str, most: int = 40) -> str:
    """The name of a class in one line of at most `most` characters."""
    name = name.replace("\n", " ")
    return name if len(name) <= most else f"{name[: most - 3]}..."
