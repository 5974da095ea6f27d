"""Plots of topics and clusters, as Matplotlib figures: `figure.savefig("topics.png")`."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lm_keras.analysis.clusters import reduced
from lm_keras.embeddings.plots import project
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_sizes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lm_keras.analysis.clusters import Clusters
    from lm_keras.analysis.topics import TopicModel

# Matplotlib's own font holds no Chinese; the first of these that is installed helps it out.
_CHINESE = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Microsoft YaHei",
            "SimHei", "PingFang SC", "Hiragino Sans GB", "Arial Unicode MS")  # fmt: skip


def plot_topics(model: "TopicModel", num_words: int = 10, columns: int = 5) -> "Figure":
    """Draws the first words of each topic, bars as long as their probability.

    Args:
        model: A `TopicModel`.
        num_words: Words of each topic.
        columns: Topics side by side.

    Returns:
        A matplotlib `Figure`.
    """
    from matplotlib.figure import Figure

    check_sizes(columns=columns)
    topics, fonts = model.topics(num_words), _fonts()
    columns = min(columns, len(topics))
    rows = math.ceil(len(topics) / columns)
    figure = Figure(figsize=(2.6 * columns, 0.5 + (0.6 + 0.2 * num_words) * rows), layout="constrained")
    shown = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for k, (axes, topic) in enumerate(zip(shown, topics, strict=False)):
        words, weights = zip(*topic, strict=True)
        places = range(len(words))
        axes.barh(places, weights, color=f"C{k % 10}", height=0.7)
        axes.set_yticks(places, words, parse_math=False)
        axes.tick_params(axis="y", length=0, labelfontfamily=fonts)
        axes.invert_yaxis()  # the most probable word is the uppermost
        axes.set_title(f"topic {k}", fontsize="medium")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="x", labelbottom=k + columns >= len(topics), labelsize="small")
    for axes in shown[len(topics) :]:
        axes.set_axis_off()
    figure.supxlabel("probability of the word in the topic", fontsize="medium")
    return figure


def plot_coherence(curve: Mapping[int, float], measure: str = "c_npmi") -> "Figure":
    """Draws the mean coherence against the number of topics; the best one is marked.

    Args:
        curve: What `coherence_curve` returned.
        measure: Its name, for the axis.

    Returns:
        A matplotlib `Figure`.
    """
    from matplotlib.figure import Figure

    if not curve:
        raise InputError("the curve is empty; give what coherence_curve returned")
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    numbers = sorted(curve)
    axes.plot(numbers, [curve[number] for number in numbers], marker="o", markersize=4)
    best = max(numbers, key=curve.get)
    axes.plot(best, curve[best], "o", color="C1", label=f"{best} topics: {curve[best]:.3f}")
    axes.set(xlabel="number of topics", ylabel=f"mean coherence ({measure})", xticks=numbers)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def plot_clusters(clusters: "Clusters", method: str = "pca", seed: int = 0) -> "Figure":
    """Draws documents in two dimensions, a color for each cluster, with its first words.

    Args:
        clusters: What `cluster_documents` returned. Vectors of more than 100 numbers lose the last directions.
        method: "pca" or "tsne".
        seed: Of t-SNE.

    Returns:
        A matplotlib `Figure`.
    """
    from matplotlib.figure import Figure

    points, _ = project(reduced(clusters.vectors, 100, seed), method, seed=seed)
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    axes = figure.add_subplot()
    for k in range(clusters.labels.max() + 1):
        own = points[clusters.labels == k]
        label = f"{k}: " + ", ".join(clusters.top_words[k][:4]) if clusters.top_words else f"cluster {k}"
        color = {"color": f"C{k % 10}", "marker": "os^Dv<>P"[k // 10 % 8]}
        axes.scatter(*own.T, s=14, alpha=0.7, linewidths=0, label=f"{label} ({len(own)})", **color)
    axes.set(xticks=[], yticks=[], title=f"{len(points)} documents, silhouette {clusters.silhouette:.2f} ({method})")
    legend = figure.legend(loc="outside lower center", ncols=2, prop={"family": _fonts(), "size": "small"})
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _fonts():
    import matplotlib
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return [*matplotlib.rcParams["font.family"], *[font for font in _CHINESE if font in installed][:1]]
