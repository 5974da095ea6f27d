"""Pictures of a training run."""

import math
from pathlib import Path

from lm_keras.files import replacing


def plot_learning_curve(rows, path, baselines=None, measure="perplexity"):
    """Draws perplexity, or the loss itself with `measure="loss"`, against steps as a PNG and returns its path.

    `rows` are dicts with "step", "loss" and, at the end of an epoch, "val_loss" (`run_log.read_rows`);
    `baselines` maps a label to a value drawn as a horizontal line.
    """
    from matplotlib.figure import Figure

    shown = (lambda loss: math.exp(min(loss, 300))) if measure == "perplexity" else float
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for key, label, style in (
        ("loss", "training", {"color": "tab:blue", "alpha": 0.6, "linewidth": 1}),
        ("val_loss", "validation", {"color": "tab:orange", "marker": "o", "markersize": 4}),
    ):
        points = [(row["step"], shown(row[key])) for row in rows if row.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)
    for (label, value), line in zip((baselines or {}).items(), ("--", ":", "-."), strict=False):
        axes.axhline(value, linestyle=line, color="gray", linewidth=1, label=f"{label}: {value:.1f}")
    axes.set(xlabel="step", ylabel=measure)
    if measure == "perplexity":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(lambda x, _: f"{x:g}" if str(x)[0] in "25" else "")
    axes.grid(alpha=0.3, which="both")
    if axes.get_legend_handles_labels()[0]:  # a short run may have nothing to show yet
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return Path(path)
