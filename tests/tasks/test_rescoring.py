"""Rescorers: the mixture by hand, Python and graph alike on any text, the search of weights, measures, refusals."""

import itertools
import math

import jiwer
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_tasks import rescorer

import lm_keras as lk
from lm_keras import tasks
from lm_keras.data import Hypotheses
from lm_keras.errors import InputError
from lm_keras.tasks.rescoring import OUTPUTS, parted
from lm_keras.tasks.rescoring_weights import GRID
from lm_keras.text.unicode import valid

SAID = ["list all flights", "show the flights to boston", "all flights to boston", "show fares"] * 3


@pytest.fixture(scope="module")
def ngrams():
    return tasks.NGramLM.train(SAID)


@pytest.fixture(scope="module")
def mixed(news):
    return rescorer(news)


@pytest.fixture(scope="module")
def lists(news):
    """200 lists of 0 to 5 parts of sentences, some without scores, some twice the same text."""
    rng = np.random.default_rng(0)
    words = " ".join(news).split()
    made = []
    for i in range(200):
        texts = [" ".join(words[at : at + rng.integers(0, 9)]) for at in rng.integers(0, len(words), i % 6)]
        texts += texts[:1] if i % 3 == 0 else []
        made.append((texts, np.sort(rng.normal(0, 3, len(texts)))[::-1].tolist() if i % 4 else []))
    return made


def test_the_mixture_by_hand(ngrams):
    made = tasks.Rescorer.of(ngrams, weight_recognizer=2, weights_lm=0.5, weight_length=0.25)
    texts = ["lists all flight", "list all flights", "list all flights"]
    log_p = [one.log_prob for one in ngrams.score(texts)]
    (best,) = made.rescore(texts, [-1, -1.5, -2])
    expected = [2 * s + 0.5 * p + 0.25 * 3 for s, p in zip([-1, -1.5, -2], log_p, strict=True)]
    assert best.scores == pytest.approx(expected) and best[:3] == (texts[1], pytest.approx(expected[1]), 1)
    (unscored,) = made.rescore(texts)
    expected = [-2 * math.log(1 + i) + 0.5 * p + 0.75 for i, p in enumerate(log_p)]
    assert unscored.scores == pytest.approx(expected)
    record = Hypotheses(None, tuple(texts), (-1, -1.5, -2))
    assert made.rescore([record]) == [best] == made.rescore([texts], [[-1, -1.5, -2]])
    np.testing.assert_allclose(
        made.features([record])[0], [[-1, log_p[0], 3], [-1.5, log_p[1], 3], [-2, log_p[2], 3]]
    )
    ties = made.with_weights(weight_recognizer=0, weight_length=0).rescore(texts)
    assert ties[0].place == 1  # of two that are as good, the first
    assert made.rescore([]) == [] and made.rescore([[], ["\x1e"]])[0][:1] == ("",)


@pytest.fixture(scope="module")
def graph(mixed):
    return mixed.signatures().signatures["rescore"]


def answers(graph, joined):
    found = graph(*(tf.constant([valid(text) for text in column]) for column in zip(*joined, strict=True)))
    return {name: found[name].numpy().tolist() for name in OUTPUTS}


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_graph_answers_200_lists_as_python_does(mixed, graph, lists, batch):
    expected = mixed.rescore(*zip(*lists, strict=True))
    assert len({one.place for one in expected}) > 3
    joined = [("\x1e".join(texts), "\x1e".join(map(str, scores))) for texts, scores in lists]
    for start in range(0, len(lists) if batch > 1 else 20, batch):
        found, rows = answers(graph, joined[start : start + batch]), expected[start : start + batch]
        assert found["place"] == [one.place for one in rows]
        assert [text.decode() for text in found["best"]] == [one.text for one in rows]
        np.testing.assert_allclose(found["score"], [one.score for one in rows], rtol=1e-5, atol=1e-4)


numbers = st.sampled_from(
    ["1", "-2.5e1", "+.5", "nan", "inf", "1e999", "-1e99", "", " 1", "0x1", "1_0", "٣", "1.e5", "5" * 50, "1e-99"]
)
texts = st.one_of(st.text(max_size=12), st.sampled_from(["a  b\tc", "\x1e", "天气 \U0001f600", " \x1c\x85\u2003"]))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.lists(texts, max_size=4).map("\x1e".join),
            st.lists(st.one_of(numbers, st.floats().map(repr)), max_size=4).map("\x1e".join),
        ),
        min_size=1,
        max_size=4,
    )
)
@example(rows=[("", ""), ("a\x1eb", "1\x1e2"), ("a\x1eb", "1\x1ex"), ("a", "1e99"), ("\ud800\x1e ", "-1\x1e-1")])
def test_any_strings_give_the_same_in_python_and_graph(mixed, graph, rows):
    found = answers(graph, rows)
    for i, row in enumerate(rows):
        texts, scores = parted(*map(valid, row))
        (expected,) = mixed.rescore([texts], [scores])
        alone = answers(graph, [row])
        for made in ({name: values[i] for name, values in found.items()}, {n: v[0] for n, v in alone.items()}):
            assert (made["best"].decode(), made["place"]) == (expected.text, expected.place)
            assert made["score"] == pytest.approx(expected.score, rel=1e-5, abs=1e-4)


def test_bytes_that_are_no_text_do_not_end_the_server(graph):
    found = answers_of_bytes(graph, [b"\xff\xfe\x1eab", b"\x1e", b"a"], [b"\xff", b"1\x1e\xc3", b"1"])
    assert found["best"][2] == b"a" and len(found["place"]) == 3


def answers_of_bytes(graph, hypotheses, scores):
    return {
        name: value.numpy().tolist() for name, value in graph(tf.constant(hypotheses), tf.constant(scores)).items()
    }


def test_a_saved_one_answers_alike(mixed, lists, tmp_path):
    mixed.save(tmp_path / "x")
    loaded = tasks.Rescorer.load(tmp_path / "x")
    assert loaded.rescore(*zip(*lists[:9], strict=True)) == mixed.rescore(*zip(*lists[:9], strict=True))
    assert loaded.weights == mixed.weights and loaded.language_models[1].prompt == "So: "


def test_language_models_of_one_name(news, char_lm):
    both = tasks.Rescorer.of([char_lm, char_lm.with_model(char_lm.model)], weights_lm=[0.25, 0.5])
    one = tasks.Rescorer.of(char_lm, weights_lm=0.75)
    texts = ["The fire", "Teh fire"]
    assert both.rescore(texts)[0].scores == pytest.approx(one.rescore(texts)[0].scores, rel=1e-5)


# === Weights and measures ===

DEV = [
    Hypotheses("list all flights", ("lists all flight", "list all flights"), (-1.0, -1.1)),
    Hypotheses("show fares", ("show fare", "show fares", "so fares"), (-1.0, -1.3, -1.4)),
    Hypotheses("all flights to austin", ("all flights to austin", "all flights to boston"), (-0.5, -3.0)),
    Hypotheses("", ("uh",), (-2.0,)),
]


def test_the_search_finds_what_brute_force_does(ngrams):
    made = tasks.Rescorer.of(ngrams)
    found = made.fit_weights(DEV)
    grid = [0.0, *GRID]
    features = made.features(DEV)

    def wrong(lm, length):
        taken = [
            one.hypotheses[int(np.argmax(row @ [1, lm, length]))] for one, row in zip(DEV, features, strict=True)
        ]
        return jiwer.wer([one.reference for one in DEV], taken)

    least = min(wrong(*both) for both in itertools.product(grid[::4], [*(-value for value in GRID[::4]), *grid[::4]]))
    best = made.with_weights(**found.weights)
    report = best.evaluate(DEV)
    assert found.wer == least == report.wer == report.oracle.wer == 1 / 9 and report.first.wer == 4 / 9
    assert report.recovered == 1 and report.changed == 2 and report.difference.difference == pytest.approx(-3 / 9)
    curve = [one for one in found.path if one.weights["weight_length"] == 0][: len(grid)]
    assert [one.weights["weights_lm"] for one in curve] == [[value] for value in grid] and curve[0].wer == 4 / 9
    assert tasks.Rescorer.train(DEV, ngrams).weights == found.weights == made.fit_weights(DEV).weights
    one_round = made.fit_weights(DEV, rounds=1)
    assert one_round.wer <= curve[0].wer and len(one_round.path) < len(found.path)


def test_what_no_weight_helps_stays_the_recognizers(ngrams):
    right = [Hypotheses("zzz yyy", ("zzz yyy", "show fares"), (-1.0, -1.1))]
    found = tasks.Rescorer.of([ngrams, tasks.NGramLM.train(SAID, order=1)]).fit_weights(right)
    assert found.weights == {"weight_recognizer": 1.0, "weights_lm": [0.0, 0.0], "weight_length": 0.0}
    assert found.wer == 0


def test_the_report_shows_and_holds_its_numbers(ngrams):
    report = tasks.Rescorer.of(ngrams, weights_lm=0.1).evaluate(DEV)
    told = report.as_dict()
    assert told["wer"] == told["rescored"]["wer"] == report.wer and told["utterances"] == 4
    assert "oracle      11.11" in str(report) and "p = " in str(report)
    nothing = tasks.rescoring_report(DEV[2:3], [0])
    assert math.isnan(nothing.recovered) and nothing.difference.p_value == 1


def test_what_is_refused(ngrams, char_lm, mixed):
    of = tasks.Rescorer.of
    untold = Hypotheses(None, ("a",))
    for call, said in (
        (lambda: of([]), "no language model"),
        (lambda: of("lm"), "is a str; give a LanguageModel"),
        (lambda: of(lk.LanguageModel(char_lm.model, None)), "has no tokenizer"),
        (lambda: of(ngrams, weights_lm=[1, 2]), "1 language models and 2 weights"),
        (lambda: of(ngrams, weight_length=math.nan), "weight_length"),
        (lambda: of(ngrams, weights_lm=[1e7]), r"weights_lm\[0\]"),
        (lambda: mixed.with_weights(weight=1), "no weight 'weight'; give weight_recognizer"),
        (lambda: tasks.Rescorer(ngrams.model, ngrams.tokenizer, weights_lm=[1]), "does not hold 1 language models"),
        (lambda: mixed.rescore("text"), "hypotheses is 'text'"),
        (lambda: mixed.rescore([["a", 3]]), "of an utterance are"),
        (lambda: mixed.rescore([["a"]], [[math.inf]]), "finite numbers"),
        (lambda: mixed.rescore([untold], [[1]]), "leave scores out"),
        (lambda: mixed.evaluate([untold]), "list 0 does not say what was said"),
        (lambda: mixed.evaluate([]), "no list"),
        (lambda: mixed.fit_weights([["a"]]), "list 0 is a list; give lk.data.Hypotheses"),
        (lambda: mixed.fit_weights([untold._replace(reference="")]), "no word"),
        (lambda: mixed.fit_weights(DEV, rounds=0), "rounds"),
        (lambda: tasks.rescoring_report(DEV, [0]), "4 lists and 1 places"),
        (lambda: tasks.rescoring_report(DEV[:1], [2]), "place 2 of list 0"),
    ):
        with pytest.raises(InputError, match=said):
            call()
