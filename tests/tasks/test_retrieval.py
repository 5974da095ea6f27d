"""Retrievers: answers and refusals, Python and graph alike on any text, training, saving, refusals of input."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_tasks import encoder, retriever, word_pieces

import lm_keras as lk
from lm_keras import tasks
from lm_keras.data import KnowledgeEntry
from lm_keras.errors import InputError
from lm_keras.tasks.retrieval import ANSWERS
from lm_keras.text.unicode import valid

ENTRIES = [
    ("Where is the office?", "Room 5."),
    ("When is lunch served?", "At noon."),
    ("What time is lunch?", "At noon."),
    ("How do I reset my password?", "Click here."),
]
ASKED = [("where is your office", "Room 5."), ("lunch time?", "At noon."), ("reset password", "Click here."),
         ("who won the cup", None), ("how tall is the moon", None)]  # fmt: skip


@pytest.fixture(scope="module")
def by_words():
    return tasks.Retriever.of(ENTRIES, method="bm25", threshold=0.3, unknown="?")


@pytest.fixture(scope="module")
def made(news, by_words):
    return {
        "bm25": by_words,
        "tfidf": tasks.Retriever.of(ENTRIES, threshold=0.4),
        "embedder": retriever(news, "embedder"),
    }


def test_answers_and_refusals(by_words):
    office, moon, empty = by_words.retrieve(["WHERE is our office", "the moon", " ?! "], k=3)
    assert office[0] == "Room 5." and office.answered and office.matched == "Where is the office?"
    assert [one.score for one in office.candidates] == sorted((c.score for c in office.candidates), reverse=True)
    assert office.candidates[0] == (office.matched, office.answer, office.score) and len(office.candidates) == 3
    assert moon[:1] + moon[2:4] == ("?", False, "Where is the office?") and 0 < moon.score < 0.3
    assert empty[:4] == ("?", 0.0, False, "")
    assert by_words.retrieve([]) == [] and len(by_words.retrieve("lunch", k=99)[0].candidates) == 4
    everything = by_words.with_threshold(0.0).retrieve(["the moon", ""])
    assert [one.answered for one in everything] == [True, False]  # a score of 0 is none


@pytest.mark.parametrize("method", ["tfidf", "bm25"])
def test_known_questions_are_found_and_equal_ones_in_their_order(method):
    made = tasks.Retriever.of([*ENTRIES, ("Where is the office", "twice")], method=method, threshold=1 - 1e-6)
    assert [one.answer for one in made.retrieve([question for question, _ in ENTRIES])] == [a for _, a in ENTRIES]
    (found,) = made.retrieve("where is the office", k=2)
    assert [one.answer for one in found.candidates] == ["Room 5.", "twice"]


odd = st.sampled_from(["where's the office...", "LUNCH. time", "天气\x00 \U0001f600"])
texts = st.lists(st.one_of(st.text(max_size=30), odd), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def graphs(made):
    return {name: one.signatures().signatures["retrieve"] for name, one in made.items()}


@pytest.mark.parametrize("name", ["tfidf", "bm25", "embedder"])
@settings(max_examples=40, deadline=None)
@given(questions=texts)
@example(["", " \n", "\ud800 office", "Office office OFFICE", "is the " * 99])
def test_the_graph_answers_as_python_does(made, graphs, name, questions):
    expected = made[name].retrieve(questions)
    found = graphs[name](tf.constant([valid(text) for text in questions]))
    for output in ANSWERS:
        given = [getattr(one, output) for one in expected]
        if output == "score":
            np.testing.assert_allclose(found[output], given, atol=1e-5)
        else:
            values = found[output].numpy().tolist()
            assert [each.decode() if isinstance(each, bytes) else each for each in values] == given
    alone = [made[name].retrieve(text)[0] for text in questions]
    assert [one[:1] + one[2:4] for one in alone] == [one[:1] + one[2:4] for one in expected]
    np.testing.assert_allclose([one.score for one in alone], [one.score for one in expected], atol=1e-5)


def test_a_saved_one_answers_alike(made, tmp_path):
    for name, one in made.items():
        one.save(tmp_path / name)
        loaded = tasks.Retriever.load(tmp_path / name)
        assert (loaded.method, loaded.threshold, loaded.unknown) == (name, one.threshold, one.unknown)
        asked = [question for question, _ in ENTRIES]
        assert loaded.retrieve(asked) == one.retrieve(asked)


def test_its_export_is_small(tmp_path):
    """A word of an entry takes 8 bytes; questions and different answers are there once a signature."""
    words = [f"word{i}" for i in range(700)]
    entries = [(" ".join(words[(7 * i + j * j) % 700] for j in range(8)), f"answer {i % 30}") for i in range(4_000)]
    made = tasks.Retriever.of(entries, method="bm25")
    version = Path(lk.export(made, tmp_path / "x"))
    assert sum(file.stat().st_size for file in version.rglob("*") if file.is_file()) < 2.5e6
    asked = [entries[7][0], "word1 word2 word3"]
    (found,) = lk.serving.query(str(version), [{"signature": "retrieve", "inputs": {"question": asked}}])["results"]
    expected = made.retrieve(asked)
    assert [found["answer"], found["matched"]] == [
        [one.answer for one in expected],
        [one.matched for one in expected],
    ]


# === Training and measures ===


def test_training_chooses_the_threshold():
    asked = [KnowledgeEntry(*row) for row in ASKED]
    made = tasks.Retriever.train(ENTRIES, validation=asked, method="tfidf")
    report = made.evaluate(asked)
    assert report.balanced == 1 and report.counts["refused_rightly"] == 2 and report.recall_at[1] == 1
    assert made.threshold == made.choose_threshold(asked).threshold
    known, out = (
        [one.score for one in made.retrieve([q for q, a in ASKED if (a is None) == no])] for no in (False, True)
    )
    assert max(out) < made.threshold < min(known)
    assert tasks.Retriever.train(ENTRIES).threshold == tasks.Retriever.of(ENTRIES).threshold
    nothing = made.with_threshold(2).evaluate(asked)
    assert nothing.counts["refused_wrongly"] == 3 and nothing.shares["answered_rightly"] == 0
    assert nothing.mean_reciprocal_rank == report.mean_reciprocal_rank == 1
    strange = made.evaluate([("when is lunch", "another answer")])
    assert strange.mean_reciprocal_rank == 0 and strange.counts["answered_rightly"] == 0


def test_an_embedder_of_a_folder_and_by_itself(news, tmp_path):
    pieces = word_pieces(news)
    embedder = tasks.TextEmbedder(encoder(pieces), pieces, max_length=24)
    embedder.save(tmp_path / "embedder")
    entries = [(text[:80], "x") for text in news[:6]]
    one = tasks.Retriever.of(entries, method="embedder", embedder=embedder)
    other = tasks.Retriever.of(entries, method="embedder", embedder=tmp_path / "embedder")
    asked = [text[40:120] for text in news[:6]]
    vectors, known = embedder.embed(asked), embedder.embed([question for question, _ in entries])
    scores = np.concatenate(list(one.score_blocks(asked)))
    np.testing.assert_allclose(scores, vectors @ known.T, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(list(other.score_blocks(asked))), scores, atol=1e-6)
    assert one.options["max_length"] == 24


@pytest.mark.parametrize(
    "change, message",
    [
        ({"entries": []}, "entries has no question"),
        ({"entries": "a text"}, "entries is a str"),
        ({"entries": [("a", None)]}, "entries, 0: the answer is None"),
        ({"entries": [("a", "b"), (" ", "c")]}, "entries, 1: the question is empty"),
        ({"entries": [("a", "b", "c")]}, "entries, 0 is"),
        ({"method": "tf-idf"}, "method is 'tf-idf'"),
        ({"method": "embedder"}, "embedder is None; give a TextEmbedder"),
        ({"method": "embedder", "embedder": "no-such-name"}, "neither a folder nor one of"),
        ({"embedder": "x"}, "embedder is for method='embedder'"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"unknown": 3}, "unknown is 3"),
    ],
)
def test_refused_arguments(change, message):
    with pytest.raises(InputError, match=message):
        tasks.Retriever.of(**{"entries": ENTRIES, **change})


def test_refused_validation(by_words):
    for rows, message in (
        ([("a", "b")], "no question out of scope"),
        ([("a", None)], "no question with an answer"),
        ([("", None)], "entries, 0: the question is empty"),
    ):
        with pytest.raises(InputError, match=message):
            tasks.Retriever.train(ENTRIES, validation=rows)
    with pytest.raises(InputError, match="threshold is given and validation"):
        tasks.Retriever.train(ENTRIES, validation=ASKED, threshold=0.5)
    with pytest.raises(InputError, match="k is 0"):
        by_words.retrieve("a", k=0)


def test_parts_that_do_not_fit(by_words, news):
    good = by_words.options
    for change, message in (
        ({"answers": good["answers"][:2]}, "has 4 entries, and there are 4 questions and 2 answers"),
        ({"max_length": 4}, "max_length is 4, which is for encoders"),
    ):
        with pytest.raises(InputError, match=message):
            tasks.Retriever(by_words.model, by_words.tokenizer, **good | change)
    with pytest.raises(InputError, match="give the index's tokenizer"):
        tasks.Retriever(by_words.model, lk.text.WordTokenizer.train(["a b"]), **good)
    weights = by_words.model.get_weights()
    for damaged in (weights[0] * 2, weights[0][::-1]):
        other = tasks.Retriever.of(ENTRIES, method="bm25").model
        other.set_weights([damaged, *weights[1:]])
        with pytest.raises(InputError, match="the index of bm25 is damaged"):
            tasks.Retriever(other, by_words.tokenizer, **good)
    other.set_weights([weights[0], weights[1] + 3, *weights[2:]])
    with pytest.raises(InputError, match="the index of bm25 is damaged"):
        tasks.Retriever(other, by_words.tokenizer, **good)
    with pytest.raises(InputError, match="has no index of entries"):
        tasks.Retriever(encoder(word_pieces(news)), by_words.tokenizer, **good)
