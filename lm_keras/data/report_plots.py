"""The pictures of a data report; each function returns a matplotlib Figure."""

import numpy as np

BAR = "#4477aa"
LINE = "#cc6677"


def length_histogram(lengths, unit):
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


def rank_frequency(counts):
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


def vocabulary_growth(growth):
    """How many different words there are after so many words; `growth`: (words, different words)."""
    figure, axes = _figure(xlabel="words read", ylabel="different words")
    axes.plot(*np.array(growth).T, color=BAR, marker=".", markersize=4)
    axes.set(xlim=(0, None), ylim=(0, None))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(_few_ticks())
    return figure


def shares(named, most=10):
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
