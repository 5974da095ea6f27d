"""Plots of words in two dimensions."""

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.embeddings.evaluation.similarity import check_known
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_choice, check_seed

if TYPE_CHECKING:
    from gensim.models import KeyedVectors
    from matplotlib.figure import Figure


def plot_words(
    vectors: "KeyedVectors",
    words: Iterable[str] | Mapping[str, Iterable[str]],
    method: str = "pca",
    *,
    perplexity: float | None = None,
    seed: int = 0,
    title: str | None = None,
    figsize: tuple[float, float] = (8, 6),
) -> "Figure":
    """Draws words in two dimensions, each with its label.

    Args:
        vectors: gensim's `KeyedVectors`.
        words: A list of words, or a dict from the name of a group to its words: each group has a color of its own.
        method: "pca" or "tsne", see `project`.
        perplexity: Of t-SNE; None: 30, or a third of the vectors where they are few.
        seed: Of t-SNE.
        title: Of the figure; None: how many words, and the method.
        figsize: Width and height, in inches.

    Returns:
        A matplotlib `Figure`: `figure.savefig(path)`.

    Raises:
        InputError: For words without a vector; the message names words of about the same spelling.
    """
    from matplotlib.figure import Figure

    if isinstance(words, (str, bytes)):
        raise InputError("words takes a list of words, got one string: put it into a list")
    groups = words if isinstance(words, Mapping) else {None: words}
    for name, members in groups.items():
        if isinstance(members, (str, bytes)):
            raise InputError(f"the words of {name!r} are one string: put them into a list")
    groups = {name: list(dict.fromkeys(members)) for name, members in groups.items()}
    words = [word for members in groups.values() for word in members]
    check_known(vectors, words)
    points, shares = project([vectors.get_vector(word) for word in words], method, perplexity=perplexity, seed=seed)
    figure = Figure(figsize=figsize)
    axes = figure.add_axes((0.08, 0.08, 0.9, 0.84))
    colors = np.repeat(np.arange(len(groups)), [len(members) for members in groups.values()])
    for i, name in enumerate(groups):
        axes.scatter(*points[colors == i].T, s=14, color=f"C{i % 10}", label=name)
    axes.margins(0.12)
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # nothing that is drawn later moves the points
    if shares is None:
        axes.set(xticks=[], yticks=[])  # distances of t-SNE have no unit
    else:
        axes.set(**{f"{x}label": f"component {i + 1}: {shares[i]:.0%} of the variance" for i, x in enumerate("xy")})
    axes.set_title(title or f"{len(words)} words, {'PCA' if method == 'pca' else 't-SNE'}")
    _label(figure, axes, points, words, colors)
    if list(groups) != [None]:
        axes.legend(loc="best", fontsize=8)
    return figure


def _label(figure, axes, points, words, colors):
    """Writes the words beside their points so that no two lie on each other, with a line to those far off."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    style = {"fontsize": 9 if len(words) <= 60 else 7, "ha": "center", "va": "center", "parse_math": False}
    texts = [axes.annotate(word, (0, 0), **style, annotation_clip=False) for word in words]
    sizes = [text.get_window_extent(renderer).size for text in texts]
    pixels, corners = axes.transData.transform(points), axes.transAxes.transform([(0, 0), (1, 1)])
    places = label_places(pixels, np.array(sizes) + 2, corners.ravel())
    for text, point, place, pixel, size, color in zip(texts, points, places, pixels, sizes, colors, strict=True):
        text.set_position((place - pixel) * 72 / figure.dpi)
        text.set_anncoords("offset points")
        text.xy = tuple(point)
        text.set_color(f"C{color % 10}" if colors.any() else "black")
        if (np.abs(place - pixel) > size / 2 + 9).any():
            ends = np.transpose([point, axes.transData.inverted().transform(place)])
            axes.plot(*ends, color="0.8", linewidth=0.6, zorder=0)


# === Where labels go so that they do not lie on each other ===

_RADIUS = 4  # pixels around a point that no label covers
_DISTANCES = (5, 12, 22, 36, 54, 76)  # pixels between a point and its label
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 135, 315, 225, 22.5, 157.5, 337.5, 202.5])


def label_places(points: np.ndarray, sizes: np.ndarray, area: Sequence[float]) -> np.ndarray:
    """Centers float [N, 2] of labels of `sizes` [N, 2] for `points` [N, 2], all in pixels, inside of `area`.

    `area`: left, bottom, right, top. Each label takes the first place near its point that is free; if none is, the
    one that covers the least. Points in the thick of it come first: they have the fewest places.
    """
    points, sizes = np.asarray(points, float), np.asarray(sizes, float)
    marks = np.concatenate([points - _RADIUS, points + _RADIUS], axis=1)
    boxes, centers = np.empty((0, 4)), np.empty_like(points)
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    near = np.hypot(*(points[:, None] - points).transpose(2, 0, 1))
    for i in np.argsort(np.sort(near, axis=1)[:, :5].sum(axis=1), kind="stable"):
        offsets = [directions * distance + np.sign(directions.round(9)) * sizes[i] / 2 for distance in _DISTANCES]
        places = points[i] + np.concatenate(offsets)
        tried = np.concatenate([places - sizes[i] / 2, places + sizes[i] / 2], axis=1)
        outside = np.maximum(np.concatenate([area[:2] - tried[:, :2], tried[:, 2:] - area[2:]], axis=1), 0)
        covered = _overlap(tried, boxes) + _overlap(tried, marks) + sizes[i].sum() * outside.sum(axis=1)
        best = covered.argmin()  # the first of the smallest
        centers[i], boxes = places[best], np.concatenate([boxes, tried[best : best + 1]])
    return centers


def _overlap(boxes, others):
    """The area that each of `boxes` [M, 4] shares with `others` [N, 4]: [M]."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.maximum(high - low, 0).prod(axis=2).sum(axis=1)


# === Vectors to two dimensions ===

METHODS = ("pca", "tsne")


def project(
    matrix: Sequence, method: str = "pca", *, perplexity: float | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Projects vectors to two dimensions.

    Args:
        matrix: float [N, E]; at least 2 vectors, for t-SNE 4.
        method: "pca": the two directions of the largest variance; a direction's sign is that of its largest
            coordinate. "tsne": van der Maaten and Hinton 2008, by scikit-learn, with cosine distances.
        perplexity: Of t-SNE; None: 30, or a third of the vectors where they are few.
        seed: Of t-SNE.

    Returns:
        The points, float64 [N, 2], and the share of all variance that each direction has [2], None for t-SNE.

    Raises:
        InputError: For too few vectors, and vectors that are not finite.
    """
    check_choice("method", method, METHODS)
    least = {"pca": 2, "tsne": 4}[method]
    if len(matrix) < least:
        raise InputError(f"a picture by {method} needs at least {least} vectors, got {len(matrix)}")
    if not np.isfinite(matrix).all():
        raise InputError("the vectors hold nan or infinity; leave those words out")
    if method == "pca":
        return _pca(np.asarray(matrix, np.float64))
    return _tsne(np.asarray(matrix, np.float32), perplexity, seed), None


def _pca(matrix):
    matrix = matrix - matrix.mean(axis=0)
    _, lengths, directions = np.linalg.svd(matrix, full_matrices=False)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    directions = directions * np.where(largest < 0, -1, 1)
    points, shares = np.zeros((len(matrix), 2)), np.zeros(2)
    found = min(2, len(directions))  # vectors of one number have one direction
    points[:, :found] = matrix @ directions[:found].T
    shares[:found] = lengths[:found] ** 2 / max((lengths**2).sum(), np.finfo(float).tiny)
    return points, shares


def _tsne(matrix, perplexity, seed):
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # which scikit-learn needs itself

    perplexity = min(30, len(matrix) / 3) if perplexity is None else perplexity
    if not isinstance(perplexity, numbers.Real) or not 1 <= perplexity < len(matrix):
        raise InputError(f"perplexity is {perplexity!r}; give 1 to {len(matrix) - 1}: less than there are vectors")
    check_seed(seed)
    if matrix.shape[1] < 2:
        raise InputError("a picture by tsne needs vectors of at least 2 numbers, got 1: take pca")
    if (matrix == matrix[0]).all():  # their spread, by which scikit-learn divides, is 0: its C code then crashes
        raise InputError(f"all {len(matrix)} vectors are the same; there is nothing to see")
    tsne = TSNE(2, perplexity=perplexity, metric="cosine", init="pca", random_state=seed)
    # Its thousand small steps wait for each other's threads: on a busy machine one second became forty.
    with threadpool_limits(1):
        return tsne.fit_transform(matrix)
