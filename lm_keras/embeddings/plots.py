"""Pictures of words in two dimensions."""

from collections.abc import Mapping

import numpy as np

from lm_keras.embeddings.label_places import label_places
from lm_keras.embeddings.projections import project
from lm_keras.embeddings.word_lookup import check_known
from lm_keras.errors import InputError


def plot_words(vectors, words, method="pca", *, perplexity=None, seed=0, title=None, figsize=(8, 6)):
    """Draws `words` in two dimensions, each with its label -> a matplotlib Figure (`.savefig(path)`).

    `words`: a list, or {group: list}, each group in a colour of its own. `method`, `perplexity`, `seed`: see
    `projections.project`. Raises InputError for words without a vector, with others of about their spelling.
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
    colours = np.repeat(np.arange(len(groups)), [len(members) for members in groups.values()])
    for i, name in enumerate(groups):
        axes.scatter(*points[colours == i].T, s=14, color=f"C{i % 10}", label=name)
    axes.margins(0.12)
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # nothing that is drawn later moves the points
    if shares is None:
        axes.set(xticks=[], yticks=[])  # distances of t-SNE have no unit
    else:
        axes.set(**{f"{x}label": f"component {i + 1}: {shares[i]:.0%} of the variance" for i, x in enumerate("xy")})
    axes.set_title(title or f"{len(words)} words, {'PCA' if method == 'pca' else 't-SNE'}")
    _label(figure, axes, points, words, colours)
    if list(groups) != [None]:
        axes.legend(loc="best", fontsize=8)
    return figure


def _label(figure, axes, points, words, colours):
    """Writes the words beside their points so that no two lie on each other, with a line to those far off."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    style = {"fontsize": 9 if len(words) <= 60 else 7, "ha": "center", "va": "center", "parse_math": False}
    texts = [axes.annotate(word, (0, 0), **style, annotation_clip=False) for word in words]
    sizes = [text.get_window_extent(renderer).size for text in texts]
    pixels, corners = axes.transData.transform(points), axes.transAxes.transform([(0, 0), (1, 1)])
    places = label_places(pixels, np.array(sizes) + 2, corners.ravel())
    for text, point, place, pixel, size, colour in zip(texts, points, places, pixels, sizes, colours, strict=True):
        text.set_position((place - pixel) * 72 / figure.dpi)
        text.set_anncoords("offset points")
        text.xy = tuple(point)
        text.set_color(f"C{colour % 10}" if colours.any() else "black")
        if (np.abs(place - pixel) > size / 2 + 9).any():
            ends = np.transpose([point, axes.transData.inverted().transform(place)])
            axes.plot(*ends, color="0.8", linewidth=0.6, zorder=0)
