"""Summaries of a document's own sentences: training, answers, Python and graph alike on any text, saving."""

import math
import re
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_tasks import encoder, summarizer, word_pieces

import lm_keras as lk
from lm_keras import tasks
from lm_keras.data import Summary, TextPair
from lm_keras.errors import InputError
from lm_keras.tasks.sentence_scorer import (
    SCALES,
    USUAL,
    build_sentence_scorer,
    documents,
    sentence_features,
    word_weights,
)
from lm_keras.text.unicode import valid

KINDS = ("summarizer", "embedding_summarizer")
TOPICS = ("apples", "trains", "rivers", "music", "stones", "games")


def articles(count=48, seed=0):
    """Three short sentences each, and a longer one of their words: the summary is in it, first or last."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        words = rng.choice(TOPICS, 3, replace=False)
        rest = [f"Some say {word}." for word in words]
        key = f"This report is on {' and '.join(words)} and why they matter."
        sentences = [key, *rest] if rng.random() < 0.5 else [*rest, key]
        made.append(Summary("", (f"{' and '.join(words)} and why they matter",), sentences=tuple(sentences)))
    return made


@pytest.fixture(scope="module")
def made(news):
    return {"summarizer": summarizer(news), "embedding_summarizer": summarizer(news, True)}


@pytest.fixture(scope="module")
def trained():
    return tasks.ExtractiveSummarizer.train(articles(), epochs=12, batch_size=8, learning_rate=0.02, hidden_dim=16)


# === Training and answers ===


def test_a_trained_one_finds_the_sentences(trained):
    others = articles(30, seed=1)
    found = trained.summarize(others)
    assert np.mean([one.text.startswith("This report") for one in found]) > 0.9
    assert all(one.text == row.sentences[one.places[0]] for one, row in zip(found, others, strict=True))
    report = trained.evaluate(others)
    first = tasks.summary_report([tasks.lead(row.sentences, 1) for row in others], [row.summaries for row in others])
    assert report.texts == 30 and report.rouge1 > 60 > first.rouge1
    (three,) = trained.summarize([others[0].sentences], num_sentences=3)
    assert three.places == sorted(three.places) and len(three.places) == 3
    assert three.text == " ".join(others[0].sentences[i] for i in three.places)


def test_scores_are_probabilities(trained):
    rows = [articles(1)[0].sentences, "One. Two.", "", "alone"]
    scores = trained.sentence_scores(rows)
    assert list(map(len, scores)) == [4, 2, 0, 1]
    assert [round(float(row.sum()), 5) for row in scores] == [1, 1, 0, 1]
    assert trained.summarize(rows, 9)[1:] == [("One. Two.", 1.0, [0, 1]), ("", 0.0, []), ("alone", 1.0, [0])]
    assert trained.summarize([]) == []


def test_given_labels_oracles_and_pairs_teach_too():
    rows = articles(12)
    last = [[len(row.sentences) - 1] for row in rows]
    options = {"epochs": 15, "learning_rate": 0.05, "batch_size": 6, "dropout": 0.0, "validation": (rows, None)}
    made = tasks.ExtractiveSummarizer.train(
        [row.sentences for row in rows], [row.summaries for row in rows], labels=last, **options
    )
    assert [one.places for one in made.summarize(rows)] == last and len(made.history["val_loss"]) == 15
    pairs = [TextPair("\n".join(row.sentences), row.summaries[0]) for row in rows]
    made = tasks.ExtractiveSummarizer.train(pairs, learn="oracle", num_sentences=2, **options | {"validation": pairs})
    found = made.summarize(pairs)
    assert all("This report" in one.text and len(one.places) == 2 for one in found)


def test_an_encoder_gives_vectors(news, tmp_path):
    pieces = word_pieces(news)
    embedder = tasks.TextEmbedder(encoder(pieces), pieces, max_length=24)
    embedder.save(tmp_path / "embedder")
    made = tasks.ExtractiveSummarizer.train(articles(8), encoder=str(tmp_path / "embedder"), epochs=1)
    rows = [row.sentences for row in articles(3, seed=2)]
    ids = documents(pieces, rows).ids
    flat = [sentence for row in rows for sentence in row]
    np.testing.assert_allclose(made.vectors(ids), embedder.embed(flat), atol=1e-6)
    assert made.options == {"num_sentences": 1, "max_sentences": 200, "max_length": 24}
    before, after = (one.get_weights() for one in (embedder.model, made.encoder))
    assert all((a == b).all() for a, b in zip(before, after, strict=True))  # it stays as it is


# === Features, by a plain computation ===


def test_features_are_what_they_say():
    rows = [["the cat sat", "a dog", "the cat and the dog . x"], ["one"], [], ["unseen words"]]
    tokenizer = lk.text.WordTokenizer.train([" ".join(row) for row in rows[:2]], lowercase=True)
    weights = word_weights(tokenizer, rows)
    known = {token: i for i, token in enumerate(tokenizer.tokens)}
    assert weights[known["."]] == weights[tokenizer.unk_id] == 0
    assert weights[known["the"]] == pytest.approx(math.log(5 / 2) + 1) and weights.dtype == np.float32
    found = sentence_features(documents(tokenizer, rows), tf.constant(weights)).numpy()
    expected = []
    for row in rows:
        cut = [[w for w in re.findall(r"\w+", s) if weights[known.get(w, tokenizer.unk_id)] > 0] for s in row]
        whole, mean = Counter(w for s in cut for w in s), np.mean([len(s) for s in cut]) if row else 0
        for i, words in enumerate(cut):
            own = Counter(words)
            dot = sum(weights[known[w]] ** 2 * n * whole[w] for w, n in own.items())
            norms = [math.sqrt(sum((weights[known[w]] * n) ** 2 for w, n in c.items())) for c in (own, whole)]
            cosine, back = dot / np.prod(norms) if dot else 0, len(row) - 1 - i
            expected.append(
                [i / max(len(row) - 1, 1), i == 0, i == 1, i == 2, back == 0, back == 1, math.log1p(len(row)),
                 math.log1p(len(words)), len(words) / mean if mean else 0, cosine]
            )  # fmt: skip
    np.testing.assert_allclose(found, (np.array(expected) - USUAL) * SCALES, rtol=1e-5, atol=1e-5)


# === Python and the graph ===

words = st.sampled_from(["the war", "A. The end", "\n", "\x1e", "said", "! Why", "天气。", "\x00", " ", "U.S."])
texts = st.lists(st.one_of(st.text(max_size=30), st.lists(words, max_size=25).map(" ".join)), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def graphs(made):
    return {name: one.signatures().signatures["summarize"] for name, one in made.items()}


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=40, deadline=None)
@given(rows=texts)
@example(["", " \n", "\ud800. It", "Same.\nSame.\nSame.", "One. " * 30])
def test_the_graph_answers_as_python_does(made, graphs, name, rows):
    expected = made[name].summarize(rows)
    found = graphs[name](tf.constant([valid(text) for text in rows]))
    assert [text.decode() for text in found["summary"].numpy()] == [one.text for one in expected]
    assert [[i for i in row if i >= 0] for row in found["places"].numpy().tolist()] == [
        one.places for one in expected
    ]
    np.testing.assert_allclose(found["score"], [one.score for one in expected], atol=1e-5)
    alone = [made[name].summarize(text)[0] for text in rows]
    assert [one.places for one in alone] == [one.places for one in expected]
    np.testing.assert_allclose([one.score for one in alone], [one.score for one in expected], atol=1e-5)


def test_only_the_first_sentences_of_a_long_document_are_read(made):
    long = [f"Number {i} is here." for i in range(40)]
    for one in made.values():
        assert one.summarize([long])[0] == one.summarize([long[:9]])[0] and one.max_sentences == 9


def test_a_saved_one_answers_alike(made, trained, tmp_path):
    rows = [row.sentences for row in articles(4, seed=3)] + [""]
    for name, one in {**made, "trained": trained}.items():
        one.save(tmp_path / name)
        loaded = tasks.load(tmp_path / name)
        assert loaded.summarize(rows) == one.summarize(rows) and loaded.options == one.options


# === What is refused ===


@pytest.mark.parametrize(
    "given, said",
    [
        ({"learn": "rogue"}, "learn"),
        ({"labels": [[0]]}, "4 documents and 1 labels"),
        ({"labels": [[9]] * 4}, "document 0 has 4 sentences"),
        ({"labels": ["0"] * 4}, "list of places"),
        ({"encoder": "no such"}, "neither a folder"),
        ({"encoder": 3}, "give a TextEmbedder"),
        ({"num_sentences": 0}, "num_sentences"),
        ({"hiden_dim": 3}, "no option hiden_dim"),
        ({"validation": 1.5}, "validation"),
        ({"summaries": ["x"] * 4}, "no document has two sentences"),
    ],
)
def test_trainings_that_cannot_be(given, said):
    with pytest.raises(InputError, match=said):
        tasks.ExtractiveSummarizer.train(articles(4), **given)


def test_parts_that_do_not_fit(made, news):
    one = made["summarizer"]
    with pytest.raises(InputError, match="no scorer of sentences"):
        tasks.ExtractiveSummarizer(build_sentence_scorer(), one.tokenizer)
    with pytest.raises(InputError, match="words and the tokenizer"):
        tasks.ExtractiveSummarizer(one.model, lk.text.WordTokenizer.train(news[:2]))
    with pytest.raises(InputError, match="for encoders"):
        tasks.ExtractiveSummarizer(one.model, one.tokenizer, max_length=9)
    with pytest.raises(InputError, match="one document"):
        tasks.ExtractiveSummarizer.train(articles(1))
