import math
import random

import numpy as np
import pytest
from scipy.special import digamma, polygamma
from themes import THEMES, planted
from tqdm import tqdm

import lm_keras as lk
from lm_keras.analysis.terms import term_lists
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import write_tensors


@pytest.fixture(scope="module")
def texts(news):
    return term_lists(news)


@pytest.fixture(scope="module")
def model(texts):
    return lk.analysis.train_topics(texts, 4, min_count=3, passes=8, seed=1)


@pytest.fixture(scope="module")
def of_themes():
    return lk.analysis.train_topics(planted()[0], 3, min_count=1, passes=10, batch_size=20)


# === Training ===


def test_planted_themes_come_back(of_themes):
    themes = [frozenset(theme) for theme in THEMES]
    found = [frozenset(word for word, _ in topic) for topic in of_themes.topics(6)]
    assert sorted(found, key=themes.index) == themes
    texts, kinds = planted(30, seed=7)
    shares = of_themes.document_topics([" ".join(words) for words in texts])
    assert [themes.index(found[k]) for k in shares.argmax(1)] == kinds
    np.testing.assert_allclose(shares.max(1), (12 + 1 / 3) / (12 + 1), atol=0.01)  # all 12 words, and the prior


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_texts_sorted_by_class_give_all_their_themes(seed):
    texts, kinds = planted(600)
    texts = [texts[i] for i in np.argsort(kinds, kind="stable")]
    model = lk.analysis.train_topics(texts, 3, min_count=1, passes=1, batch_size=10, seed=seed)
    found = {frozenset(word for word, _ in topic) for topic in model.topics(6)}
    assert found == {frozenset(theme) for theme in THEMES}


def test_topics_are_distributions_over_content_words(model, texts):
    assert model.weights.shape == (4, len(model.words)) and model.num_topics == 4
    np.testing.assert_allclose(model.weights.sum(1), 1, rtol=1e-5)
    for topic, row in zip(model.topics(5), model.weights, strict=True):
        words, weights = zip(*topic, strict=True)
        assert list(weights) == sorted(row.tolist(), reverse=True)[:5]
        assert [row[model.words.index(word)] for word in words] == list(weights)
    assert not set(model.words) & lk.text.stop_words()
    assert all(word == word.lower() and any(map(str.isalpha, word)) for word in model.words)
    lists = [set(words) for words in texts]
    counts = [sum(word in some for some in lists) for word in model.words]
    assert counts == sorted(counts, reverse=True) and counts[-1] >= 3 and counts[0] <= 30


def test_the_seed_decides(texts, model):
    again = lk.analysis.train_topics(texts, 4, min_count=3, passes=8, seed=1)
    np.testing.assert_array_equal(again.weights, model.weights)
    other = lk.analysis.train_topics(texts, 4, min_count=3, passes=8, seed=2)
    assert np.abs(other.weights - model.weights).max() > 1e-3


def test_options_of_training(texts):
    small = lk.analysis.train_topics(texts, 2, vocab_size=20, passes=1, alpha="asymmetric")
    assert len(small.words) == 20 and small.alpha[0] > small.alpha[1]
    with np.errstate(all="raise", under="ignore"):
        assert (
            lk.analysis.train_topics(texts, 1, vocab_size=20, passes=1, alpha="auto").alpha == 1
        )  # nothing to learn
    number = lk.analysis.train_topics(texts, 2, vocab_size=20, passes=1, alpha=0.1)
    np.testing.assert_allclose(number.alpha, 0.1)


def test_each_text_counts_alike_whatever_is_left_for_the_last_batch():
    texts = [*planted(40)[0], ["zebra"] * 6 + ["zulu"] * 6]
    found = lk.analysis.train_topics(texts, 3, min_count=1, batch_size=40)
    assert found.statistics.sum(0)[found.words.index("zebra")] == pytest.approx(6, rel=0.1)


@pytest.mark.parametrize("seed", [0, 2])  # with 1, themes share a topic, and alpha says so
def test_alpha_is_learned_from_all_texts(seed):
    """Texts told with alpha 0.1 (1/3 is where it starts): within three standard errors, were the mixtures seen."""
    rng = np.random.default_rng(seed)
    mixtures = rng.dirichlet([0.1] * 3, 61)
    texts = [[THEMES[k][rng.integers(6)] for k in rng.choice(3, 60, p=each)] for each in mixtures]
    error = np.sqrt(np.linalg.inv(61 * (np.diag(polygamma(1, [0.1] * 3)) - polygamma(1, 0.3))).diagonal())
    found = lk.analysis.train_topics(texts, 3, min_count=1, max_share=1, batch_size=30, alpha="auto")
    assert (np.abs(found.alpha - 0.1) < 3 * error).all()


# === Texts ===


def test_document_topics_depend_on_the_text_alone(model, news):
    shares = model.document_topics(news[:6])
    assert shares.shape == (6, 4) and shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.document_topics(news[5:3:-1]), shares[5:3:-1])
    assert model.document_topics([]).shape == (0, 4)
    np.testing.assert_allclose(model.document_topics(["", "zzz"]), 0.25, rtol=1e-5)  # the prior


def test_document_topics_against_the_equations(model, news):
    """Blei, Ng & Jordan 2003, (6) and (7), with E[log β] for β as in Hoffman, Blei & Bach 2010, algorithm 1."""
    lambda_ = model.statistics.astype("float64") + 1 / 4
    log_beta = digamma(lambda_) - digamma(lambda_.sum(1, keepdims=True))
    for text in news[:3]:
        ids = [model.words.index(word) for word in term_lists([text])[0] if word in model.words]
        gamma = np.ones(4)
        for _ in range(500):
            phi = np.exp((digamma(gamma) - digamma(gamma.sum()))[:, None] + log_beta[:, ids])
            gamma = model.alpha + (phi / phi.sum(0)).sum(1)
        np.testing.assert_allclose(model.document_topics([text])[0], gamma / gamma.sum(), atol=2e-3)


def test_topics_of_the_news_are_more_coherent_than_random_words(model, texts):
    draw = random.Random(0)
    for words in (model.words, model.words[:60]):  # any, and as frequent as those of topics
        chance = lk.analysis.topic_coherence([draw.sample(words, 10) for _ in range(40)], texts).topics
        assert model.coherence(texts).mean > np.reshape(chance, (10, 4)).mean(1).max()


@pytest.mark.parametrize("progress", [True, False])
def test_progress(progress, monkeypatch, capfd):
    ends, close = set(), tqdm.close

    def watched(bar):
        if not bar.disable:
            ends.add((bar.desc, bar.n, bar.total))
        close(bar)

    monkeypatch.setattr(tqdm, "close", watched)
    texts, few = planted(30)[0], {"min_count": 1, "progress": progress}
    lk.analysis.coherence_curve(texts, (2, 3), passes=4, batch_size=20, **few)
    lk.analysis.cluster_documents(texts, 2, features="doc2vec", **few)
    bars = {("2 topics", 120, 120), ("3 topics", 120, 120), ("doc2vec", 40, 40)}  # 4 passes over 30 texts; epochs
    assert ends == (bars if progress else set()) and bool(capfd.readouterr().err) == progress


# === Files and pictures ===


def test_save_and_load(model, news, tmp_path):
    model.save(tmp_path / "topics.safetensors")
    loaded = lk.analysis.load_topics(tmp_path / "topics.safetensors")
    assert loaded.topics() == model.topics() and loaded.language == "en"
    np.testing.assert_array_equal(loaded.document_topics(news[:4]), model.document_topics(news[:4]))


def test_files_that_are_no_topic_model(model, tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(InputError, match="does not exist"):
        lk.analysis.load_topics(path)
    model.save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="damaged"):
        lk.analysis.load_topics(path)
    wrong = {"kind": "topic model", "words": ["a"], "language": "en", "seed": 0}
    for facts in (None, {}, wrong):
        write_tensors(path, {"statistics": np.ones((2, 3), "float32"), "alpha": np.ones(2, "float32")}, facts)
        with pytest.raises(InputError, match="is no topic model"):
            lk.analysis.load_topics(path)


def test_plot_topics(model):
    figure = lk.analysis.plot_topics(model, num_words=6, columns=3)
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == [f"topic {k}" for k in range(4)]
    for axes, topic in zip(shown, model.topics(6), strict=True):
        assert [label.get_text() for label in axes.get_yticklabels()] == [word for word, _ in topic]
        assert [bar.get_width() for bar in axes.patches] == pytest.approx([weight for _, weight in topic])
        assert axes.yaxis_inverted()


# === What does not fit ===


def test_records_are_no_lists_of_words():
    records = [lk.data.Labelled("the cat sat", 0)]
    for use in (
        lk.analysis.train_topics,
        lk.analysis.train_doc2vec,
        lambda texts: lk.analysis.cluster_documents(texts, 2),
    ):
        with pytest.raises(InputError, match="text 0 is a Labelled; give its text, one of text, label"):
            use(records)


def test_input_that_does_not_fit(model, texts):
    train = lk.analysis.train_topics
    for arguments, told in (
        ({"texts": "one text"}, r"give \[text\]"),
        ({"texts": []}, "no word is in 5 or more of the 0 texts"),
        ({"texts": None}, "not None"),
        ({"texts": ["a text", b"bytes"]}, "text 1 is b'bytes'"),
        ({"texts": [["a", "b"], [0.5, 1.0]]}, r"text 1 is \[0.5, 1.0\]"),
        ({"texts": ["a short text"]}, r"at most 50% of them \(max_share\); give more texts, or a smaller"),
        ({"texts": texts, "num_topics": 0}, "num_topics is 0"),
        ({"texts": texts, "num_topics": 2.5}, "num_topics is 2.5"),
        ({"texts": texts, "passes": 0}, "passes is 0"),
        ({"texts": texts, "seed": -1}, "seed is -1"),
        ({"texts": texts, "vocab_size": 0}, "vocab_size is 0"),
        ({"texts": texts, "max_share": 50}, "max_share is 50"),
        ({"texts": texts, "alpha": "flat"}, "give symmetric"),
        ({"texts": texts, "alpha": -1}, "alpha is -1"),
        ({"texts": texts, "alpha": math.nan}, "alpha is nan"),
        ({"texts": ["ein Text"], "language": "de"}, "nltk.download"),
    ):
        with pytest.raises(InputError, match=told):
            train(**arguments)
    with pytest.raises(InputError, match="must be one of c_npmi, c_v, u_mass"):
        model.coherence(texts, "c_x")
    with pytest.raises(InputError, match="fewer than two words"):
        model.coherence([["other", "words"]])
    for options in ({"num_words": 0}, {"columns": 0}):
        with pytest.raises(InputError, match="is 0"):
            lk.analysis.plot_topics(model, **options)


def test_chinese_topics():
    pytest.importorskip("jieba")
    texts = ["我们在音乐会上听钢琴和小提琴的演奏。", "森林和河流在山谷里。"] * 10
    found = lk.analysis.train_topics(texts, 2, language="zh", min_count=1, passes=5, batch_size=5)
    assert {"钢琴", "小提琴", "森林", "河流"} <= set(found.words) and not set(found.words) & {"我们", "和", "。"}
    first, second = found.document_topics(texts[:2])
    assert first.argmax() != second.argmax()
