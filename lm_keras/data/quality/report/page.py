"""The parts of a report's page (one file, no scripts, nothing from elsewhere, every text escaped) and its figures."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.data.quality.personal_data import scrub

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 240  # characters of an example
SCRUBBED = 100_000  # characters of it that are looked at: far more, so that no number is cut in two

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; color: #222 }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; margin: .6em 2em .6em 0; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .15em 1em .15em 0; border-bottom: 1px solid #eee; vertical-align: top }
td.number, th.number { text-align: right; white-space: nowrap }
.row { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1em }
img { max-width: 100% } p.note { color: #666; font-size: .9em } ul.findings li { margin: .3em 0 }
td.text { overflow-wrap: anywhere; white-space: pre-wrap }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, *parts: str) -> str:
    """A whole HTML document; `title` is plain text, the parts are HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_visible(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_visible(title)}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A heading and what stands under it."""
    return f"<h2>{_visible(heading)}</h2>\n" + "\n".join(parts)


def side_by_side(*parts: str) -> str:
    """Parts in a row, as many as the width holds."""
    return '<div class="row">' + "\n".join(f"<div>{part}</div>" for part in parts) + "</div>"


def paragraph(text: str, note: bool = False) -> str:
    """A paragraph of plain text; a note is smaller."""
    kind = ' class="note"' if note else ""
    return f"<p{kind}>{_visible(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """A list of lines of plain text."""
    return '<ul class="findings">' + "".join(f"<li>{_visible(line)}</li>" for line in lines) + "</ul>"


def table(rows: Sequence[Sequence], head: Sequence[str] = ()) -> str:
    """Rows of str (escaped), int, float (both set to the right) and what `example` made."""
    lines = []
    if head:
        right = [isinstance(cell, (int, float)) for cell in rows[0]] if rows else [False] * len(head)
        kinds = [' class="number"' if number else "" for number in right]
        lines.append("".join(f"<th{kind}>{_visible(cell)}</th>" for kind, cell in zip(kinds, head, strict=True)))
    lines += ["".join(map(_cell, row)) for row in rows]
    return "<table>" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def image(figure: "Figure", alt: str) -> str:
    """A matplotlib Figure as a PNG within the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'


class Example(str):
    """A text of the data, to be shown in full width."""


def example(text: str) -> Example:
    """A text of the data as it may be shown: without personal data, cut, and with what is invisible made visible."""
    text = scrub(text[:SCRUBBED]).text
    return Example(text if len(text) <= LONGEST else text[:LONGEST] + " ...")


def _cell(value):
    if isinstance(value, Example):
        return f'<td class="text">{_visible(value)}</td>'
    if isinstance(value, str):
        return f"<td>{_visible(value)}</td>"
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f'<td class="number">{number}</td>'


def _visible(text):
    """Escaped, and control, zero-width and direction characters as their codes: a page may not hold the first."""
    shown = (
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )
    return html.escape("".join(shown))


# === Figures ===

BAR = "#4477aa"
LINE = "#cc6677"


def length_histogram(lengths: np.ndarray, unit: str) -> "Figure":
    """How many texts are how long; `lengths` int [num_texts], empty texts are left out. Both axes are logarithmic."""
    lengths = lengths[lengths > 0]
    figure, axes = _figure(xlabel=f"{unit} in a text", ylabel="texts")
    if len(lengths):
        top = np.log10(float(lengths.max()) + 1)
        edges = np.unique(np.round(np.logspace(0, top, 40)))  # a bin of whole numbers, even where they are few
        axes.hist(lengths, bins=edges if len(edges) > 1 else 1, color=BAR)
        median = float(np.median(lengths))
        axes.axvline(median, color=LINE, linestyle="--", label=f"median {median:g}")
        axes.set(xscale="log", yscale="log", ylim=(0.5, None))  # so that a single text is seen
        axes.legend()
    return figure


def rank_frequency(counts: np.ndarray) -> "Figure":
    """The frequency of the words by their rank, and Zipf's law beside it; `counts` int, largest first."""
    figure, axes = _figure(xlabel="rank of a word", ylabel="times it comes")
    if len(counts):
        # A million points make no other picture than a few hundred that lie evenly on the logarithmic axis.
        places = np.unique(np.logspace(0, np.log10(len(counts)), 400).astype(int)) - 1
        axes.plot(places + 1, counts[places], color=BAR, marker=".", markersize=3, label="this text")
        axes.plot(places + 1, counts[0] / (places + 1), color=LINE, linestyle="--", label="Zipf: 1 / rank")
        axes.set(xscale="log", yscale="log", ylim=(0.7, counts[0] * 1.5))
        axes.legend()
    return figure


def vocabulary_growth(growth: Sequence[tuple[int, int]]) -> "Figure":
    """How many different words there are after so many words; `growth`: (words, different words)."""
    figure, axes = _figure(xlabel="words read", ylabel="different words")
    axes.plot(*np.array(growth).T, color=BAR, marker=".", markersize=4)
    axes.set(xlim=(0, None), ylim=(0, None))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(_few_ticks())
    return figure


def shares(named: Mapping[str, float], most: int = 10) -> "Figure":
    """Bars of {name: share}, the largest `most`; the others together are "the rest"."""
    items = list(named.items())
    if len(items) > most:
        items = [*items[: most - 1], ("the rest", sum(share for _, share in items[most - 1 :]))]
    figure, axes = _figure(xlabel="share", height=0.8 + 0.28 * max(len(items), 1))
    names, values = [name for name, _ in items], [share for _, share in items]
    bars = axes.barh(names, values, color=BAR)
    axes.bar_label(
        bars, labels=[f"{value:.1%}" if value >= 0.0005 else "< 0.1%" for value in values], padding=3, fontsize=8
    )
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.12 * max(values, default=1)))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    axes.grid(visible=False, axis="y")
    return figure


def _figure(*, xlabel, ylabel="", height=3.0):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _few_ticks():
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)
