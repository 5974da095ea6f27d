import numpy as np
import pytest

import lm_keras as lk
from lm_keras.analysis.documents import unit_rows
from lm_keras.analysis.terms import term_lists
from lm_keras.embeddings.plots import project
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import write_tensors

SMALL = {"embedding_dim": 24, "epochs": 60, "min_count": 2, "seed": 3}


@pytest.fixture(scope="module", params=["dbow", "dm"])
def vectors(request, news):
    return lk.analysis.train_doc2vec(news, method=request.param, **SMALL)


@pytest.fixture(scope="module")
def texts(news):
    """40 news items and 40 encyclopedia paragraphs of about their length."""
    return news[:40] + [text for text in lk.data.load("wiki-excerpt") if len(text) > 600][::25][:40]


@pytest.fixture(scope="module")
def two_sources(texts):
    """The words of the texts, and which source they are from."""
    return term_lists(texts), [0] * 40 + [1] * 40


@pytest.fixture(scope="module")
def clusters(two_sources):
    return lk.analysis.cluster_documents(two_sources[0], 2)


def rand_index(labels, truth):
    from sklearn.metrics import adjusted_rand_score

    return adjusted_rand_score(truth, labels)


def chance(labels, truth):
    """The best of 100 random assignments of the same sizes."""
    draw = np.random.default_rng(0)
    return max(rand_index(draw.permutation(labels), truth) for _ in range(100))


# === doc2vec ===


def test_a_document_is_nearest_to_itself(vectors, news):
    assert vectors.vectors.shape == (len(news), 24) and vectors.vectors.dtype == np.float32
    nearest = [vectors.similar(text, 1)[0] for text in news[:30]]
    assert sum(found.index == i for i, found in enumerate(nearest)) > 15  # of most; by chance of one in 60


def test_inferred_vectors_depend_on_the_text_alone(vectors, news):
    rows = vectors.infer(news[:4])
    np.testing.assert_array_equal(vectors.infer(news[3:1:-1]), rows[3:1:-1])
    np.testing.assert_array_equal(vectors.infer([lk.text.words(news[0].lower())])[0], rows[0])
    assert vectors.infer([]).shape == (0, 24)
    assert np.abs(vectors.infer(["", "zzz"])).max() <= 0.5 / 24  # where every inference starts


def test_similar_documents_against_cosines(vectors, news):
    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    cosines = unit @ unit[7]
    found = vectors.similar(7, 5)
    assert [item.index for item in found] == [i for i in np.argsort(-cosines) if i != 7][:5]
    assert [item.cosine for item in found] == pytest.approx(cosines[[item.index for item in found]], abs=1e-6)
    assert len(vectors.similar(7, 1000)) == len(news) - 1


def test_the_seed_decides(news):
    def train(seed):
        return lk.analysis.train_doc2vec(news[:20], 8, epochs=3, seed=seed).vectors

    np.testing.assert_array_equal(train(1), train(1))
    assert not np.allclose(train(1), train(2))


def test_save_and_load(vectors, news, tmp_path):
    vectors.save(tmp_path / "vectors.safetensors")
    loaded = lk.analysis.load_doc2vec(tmp_path / "vectors.safetensors")
    np.testing.assert_array_equal(loaded.vectors, vectors.vectors)
    np.testing.assert_array_equal(loaded.infer(news[:3]), vectors.infer(news[:3]))
    assert loaded.similar(news[2], 3) == vectors.similar(news[2], 3)


def test_files_that_hold_no_vectors(tmp_path):
    path = tmp_path / "x.safetensors"
    settings = dict.fromkeys(["method", "epochs", "window", "negative", "language", "seed"], 1)
    wrong = {"kind": "doc2vec", "words": ["a"], "settings": settings}
    right = {**wrong, "words": ["a", "b"]}
    for facts in (None, {}, wrong, {**right, "settings": {}}, right):
        tensors = {"vectors": np.ones((3, 2), "float32"), "output": np.ones((2, 2), "float32"), "counts": np.ones(3)}
        write_tensors(path, tensors, facts)
        with pytest.raises(InputError, match="holds no document vectors"):
            lk.analysis.load_doc2vec(path)


def test_doc2vec_input_that_does_not_fit(vectors):
    train = lk.analysis.train_doc2vec
    for arguments, told in (
        ({"texts": "one text"}, r"give \[text\]"),
        ({"texts": []}, "in the 0 texts"),
        ({"texts": ["a b c"]}, "no word occurs 2 times"),
        ({"texts": ["a a"], "method": "pv"}, "must be one of dbow, dm"),
        ({"texts": ["a a"], "epochs": 0}, "epochs is 0"),
        ({"texts": ["a a"], "embedding_dim": 2.5}, "embedding_dim is 2.5"),
        ({"texts": ["a a"], "seed": None}, "seed is None"),
    ):
        with pytest.raises(InputError, match=told):
            train(**arguments)
    for asked, told in (
        (60, "places go from 0 to 59"),
        (-1, "document is -1"),
        (1.7, "document is 1.7"),
        (None, "document is None"),
        ("zzz", "no word of the document"),
        (["one text", "another text"], "no word of the document"),
    ):
        with pytest.raises(InputError, match=told):
            vectors.similar(asked)
    with pytest.raises(InputError, match="epochs is 0"):
        vectors.infer(["a text"], epochs=0)


# === Clusters ===


def test_two_sources_are_told_apart(clusters, two_sources, texts):
    truth = two_sources[1]
    assert rand_index(clusters.labels, truth) > chance(clusters.labels, truth)
    assert len(clusters.labels) == len(texts) == clusters.vectors.shape[0]
    again = lk.analysis.cluster_documents(iter(texts), 2)
    np.testing.assert_array_equal(again.labels, clusters.labels)


@pytest.mark.parametrize(("method", "features"), [("kmeans", "tfidf"), ("agglomerative", "doc2vec")])
def test_other_ways_do_better_than_chance(two_sources, method, features):
    texts, truth = two_sources
    labels = lk.analysis.cluster_documents(texts, 2, method, features).labels
    assert rand_index(labels, truth) > chance(labels, truth)


def test_top_words_mark_their_cluster(clusters, two_sources):
    texts = [set(words) for words in two_sources[0]]
    for k, words in enumerate(clusters.top_words):
        own = [some for some, label in zip(texts, clusters.labels, strict=True) if label == k]
        rest = [some for some, label in zip(texts, clusters.labels, strict=True) if label != k]
        for word in words:
            assert sum(word in some for some in own) / len(own) > sum(word in some for some in rest) / len(rest)


def test_vectors_of_your_own(two_sources):
    rng = np.random.default_rng(0)
    centres = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9]])
    points = np.repeat(centres, 10, axis=0) + rng.normal(size=(30, 3))
    truth = np.repeat(range(3), 10)
    found = lk.analysis.cluster_documents(points, 3)
    assert rand_index(found.labels, truth) == 1 and found.top_words == []
    # the silhouette by its definition, on rows of length 1
    unit = unit_rows(points)
    apart = np.linalg.norm(unit[:, None] - unit, axis=-1)
    scores = []
    for i, row in enumerate(apart):
        means = [row[truth == k].sum() / ((truth == k).sum() - (truth[i] == k)) for k in range(3)]
        inside, outside = means[truth[i]], min(m for k, m in enumerate(means) if k != truth[i])
        scores.append((outside - inside) / max(inside, outside))
    assert found.silhouette == pytest.approx(np.mean(scores), abs=1e-5)
    texts = two_sources[0][:30]
    named = lk.analysis.cluster_documents(texts, 3, features=points)
    np.testing.assert_array_equal(named.labels, found.labels)
    assert [len(words) for words in named.top_words] == [8, 8, 8]
    kept = lk.analysis.DocumentVectors(points, [], [], None, settings={})
    np.testing.assert_array_equal(lk.analysis.cluster_documents(texts, 3, features=kept).labels, found.labels)


def test_silhouette_of_many_documents_counts_every_cluster(monkeypatch):
    near = np.random.default_rng(0).normal([9, 0], 0.1, (49, 2))
    monkeypatch.setattr("lm_keras.analysis.clusters._MOST_PAIRS", 10)
    found = lk.analysis.cluster_documents(np.vstack([near, [[-9, 0]]]), 2)
    assert sorted(np.bincount(found.labels)) == [1, 49] and 0.5 < found.silhouette < 1


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_plot_clusters(clusters, method, tmp_path):
    figure = lk.analysis.plot_clusters(clusters, method)
    groups = figure.axes[0].collections
    assert [len(group.get_offsets()) for group in groups] == np.bincount(clusters.labels).tolist()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[1].startswith(f"1: {clusters.top_words[1][0]}, ")
    points = np.concatenate([group.get_offsets() for group in groups])
    assert np.isfinite(points).all() and points.std(0).min() > 0
    figure.savefig(tmp_path / "clusters.png")


def test_clusters_are_drawn_where_project_puts_them(clusters):
    points, _ = project(clusters.vectors, "pca")
    groups = lk.analysis.plot_clusters(clusters).axes[0].collections
    for k, group in enumerate(groups):
        np.testing.assert_allclose(group.get_offsets(), points[clusters.labels == k], atol=1e-6)


def test_pictures_of_words_that_look_like_formulas(tmp_path):
    texts = [["$\\no$", "$_^"]] * 3 + [["b$", "$c"]] * 3
    lk.analysis.plot_clusters(lk.analysis.cluster_documents(texts, 2)).savefig(tmp_path / "clusters.png")
    model = lk.analysis.train_topics(texts, 2, min_count=1, passes=1)
    lk.analysis.plot_topics(model).savefig(tmp_path / "topics.png")


def test_plot_of_vectors_of_one_number():
    found = lk.analysis.cluster_documents(np.array([[1.0], [2.0], [-3.0], [-1.0]]), 2)
    assert len(lk.analysis.plot_clusters(found).axes[0].collections) == 2
    with pytest.raises(InputError, match="must be one of pca, tsne"):
        lk.analysis.plot_clusters(found, "umap")


def test_cluster_input_that_does_not_fit(two_sources, monkeypatch):
    cluster, news = lk.analysis.cluster_documents, two_sources[0][:60]
    for arguments, told in (
        ((news, 1), "num_clusters is 1"),
        ((news, 2.5), "num_clusters is 2.5"),
        ((["the same words here"] * 9, 2), "only 1 of the documents differ"),
        ((np.eye(5).tolist(), 2), "text 0 is .*list of words"),
        ((np.full((5, 2), np.nan), 2), "finite numbers"),
        ((np.array([["a", "b"]] * 5), 2), "finite numbers"),
        ((news[:3], 3, "kmeans", "tfidf"), "3 clusters of 3 documents"),
        ((news, 2, "dbscan"), "give kmeans or agglomerative"),
        ((news, 2, "kmeans", "bert"), "lsa, tfidf, doc2vec"),
        ((news, 2, "kmeans", np.ones((3, 2))), r"shape \(3, 2\) for 60 texts"),
        ((["the", "of"], 2), "no word is in 2 or more of the 2 texts"),
        (("one text", 2), r"give \[text\]"),
    ):
        with pytest.raises(InputError, match=told):
            cluster(*arguments)
    with pytest.raises(InputError, match="seed is -1"):
        cluster(news, 2, seed=-1)
