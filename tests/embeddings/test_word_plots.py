"""Pictures of words: what is drawn where, and that the labels can be read."""

import numpy as np
import pytest
from gensim.test.utils import datapath
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from word_tests import made

import lm_keras as lk
from lm_keras import InputError
from lm_keras.embeddings.plots import label_places, project


@pytest.fixture(scope="module")
def vectors():
    return lk.embeddings.load_fasttext(datapath("lee_fasttext.vec"))


def drawn(figure):
    """{word: (its place, where its label is in pixels)}."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    return {text.get_text(): (text.xy, text.get_window_extent(renderer)) for text in figure.axes[0].texts}


def test_pca_is_that_of_scikit_learn():
    from sklearn.decomposition import PCA

    matrix = np.random.default_rng(0).normal(size=(30, 8)) * np.arange(1, 9)
    points, shares = project(matrix)
    oracle = PCA(2).fit(matrix)
    np.testing.assert_allclose(shares, oracle.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(np.abs(points), np.abs(oracle.transform(matrix)), atol=1e-9)
    np.testing.assert_allclose(project(-matrix)[0], -points, atol=1e-9)  # a sign that does not hang on chance


def test_pca_of_few_vectors_and_numbers():
    points, shares = project([[1.0], [2.0], [4.0]])
    np.testing.assert_allclose(points[:, 0], np.array([-4, -1, 5]) / 3, atol=1e-12)
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)
    assert not points[:, 1].any()
    assert not project([[1.0, 2.0], [1.0, 2.0]])[0].any()


def test_words_are_drawn_at_their_places_and_can_be_read(vectors):
    words = [word for word in vectors.index_to_key if word.isalpha()][:40]
    figure = lk.embeddings.plot_words(vectors, words)
    places = drawn(figure)
    points, shares = project([vectors[word] for word in words])
    assert list(places) == words
    np.testing.assert_allclose([place for place, _ in places.values()], points)
    axes = figure.axes[0]
    assert axes.get_xlabel() == f"component 1: {shares[0]:.0%} of the variance"
    boxes = [box for _, box in places.values()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    area = axes.get_window_extent()
    assert all(area.x0 <= box.x0 and box.x1 <= area.x1 and area.y0 <= box.y0 and box.y1 <= area.y1 for box in boxes)


def test_groups_have_colours(vectors):
    figure = lk.embeddings.plot_words(vectors, {"people": ["man", "people"], "places": ["Australia", "Israel"]})
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["people", "places"]
    assert [to_hex(text.get_color()) for text in axes.texts] == [to_hex(f"C{i}") for i in (0, 0, 1, 1)]


def test_tsne_keeps_neighbours_together(vectors):
    rng = np.random.default_rng(0)
    centres = 5 * np.eye(3, 10)
    words = [f"{group}{i}" for group in "abc" for i in range(8)]
    table = np.repeat(centres, 8, axis=0) + rng.normal(0, 0.3, (24, 10))
    figures = [lk.embeddings.plot_words(made(words, table), words, "tsne", perplexity=5) for _ in range(2)]
    first, second = (np.array([text.xy for text in figure.axes[0].texts]) for figure in figures)
    np.testing.assert_array_equal(first, second)
    near = np.hypot(*(first[:, None] - first).transpose(2, 0, 1)) + np.diag([np.inf] * 24)
    assert (near.argmin(axis=1) // 8 == np.arange(24) // 8).all()


def test_labels_keep_apart_in_a_crowd():
    points = np.random.default_rng(0).normal(300, 80, (50, 2))
    sizes = np.array([[45.0, 12.0]] * 50)
    centres = label_places(points, sizes, np.array([0, 0, 600, 600]))
    apart = (np.abs(centres[:, None] - centres) >= sizes - 1e-9).any(axis=2)
    assert (apart | np.eye(50, dtype=bool)).all()
    assert not (np.abs(centres[:, None] - points) < sizes / 2).all(axis=2).any()  # no label lies on a point


def test_bad_input(vectors, monkeypatch):
    plot = lk.embeddings.plot_words
    with pytest.raises(InputError, match="'austrlia' has no vector .* did you mean 'Australia'"):
        plot(vectors, ["man", "austrlia"])
    with pytest.raises(InputError, match="got one string"):
        plot(vectors, "man")
    with pytest.raises(InputError, match="method is 'umap'; it must be one of pca, tsne"):
        plot(vectors, ["man", "people"], "umap")
    with pytest.raises(InputError, match="by pca needs at least 2 vectors, got 1"):
        plot(vectors, ["man", "man"])
    with pytest.raises(InputError, match="the words of 'people' are one string: put them into a list"):
        plot(vectors, {"people": "man"})
    for perplexity in (9, 0, "x"):
        with pytest.raises(InputError, match=f"perplexity is {perplexity!r}; give 1 to 3"):
            plot(vectors, ["man", "people", "one", "two"], "tsne", perplexity=perplexity)
    with pytest.raises(InputError, match="seed is -1"):
        plot(vectors, ["man", "people", "one", "two"], "tsne", seed=-1)
    with pytest.raises(InputError, match="the vectors hold nan or infinity"):
        project([[1.0, 2.0], [np.nan, 1.0]])
    with pytest.raises(InputError, match="by tsne needs vectors of at least 2 numbers, got 1"):
        project([[1.0], [2.0], [3.0], [4.0]], "tsne")
    with pytest.raises(InputError, match="all 5 vectors are the same"):  # scikit-learn's would end the process
        project(np.ones((5, 3)), "tsne")
