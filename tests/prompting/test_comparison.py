"""`compare_prompts`: accuracies by hand, intervals by formula, draws, the best, and what the plot shows."""

import numpy as np
import pytest
from small_models import tiny_lm

import lm_keras as lk
from lm_keras import prompting
from lm_keras.prompting import PromptResult, compare_prompts, select_examples, wilson

TEXTS = [f"{word} {noun}" for word in ("fine", "dull", "warm", "grey") for noun in ("film", "day", "tale", "joke")]
Y = [1] * 4 + [0] * 4 + [1] * 4 + [0] * 4
POOL = (["good film", "bad film", "good day", "bad day", "good joke", "bad joke"], [1, 0, 1, 0, 1, 0])
WORDS = {"neg": " bad", "pos": " good"}
TEMPLATES = {"label": "text: {text}\nlabel:", "so": "{text} so it is"}


@pytest.fixture(scope="module")
def lm():
    tokenizer = lk.text.CharTokenizer.train([*TEXTS, *POOL[0], *TEMPLATES.values(), " bad good"])
    return tiny_lm("llama", tokenizer, 0.4, max_length=300)


@pytest.fixture(scope="module")
def found(lm):
    return compare_prompts(TEMPLATES, (TEXTS, Y), lm=lm, verbalizer=WORDS, examples=POOL, k=(0, 2), draws=3, seed=4)


def accuracy(classifier):
    answers = [list(WORDS).index(each.label) for each in classifier.classify(TEXTS)]
    return np.mean(np.array(answers) == Y)


def test_the_accuracies_are_those_of_the_classifiers(lm, found):
    rows = {(row.name, row.k, row.draw): row for row in found.results}
    assert list(rows) == [
        (name, k, draw) for name in TEMPLATES for k, draws in ((0, [None]), (2, [4, 5, 6])) for draw in draws
    ]
    for (name, k, draw), row in rows.items():
        classifier = prompting.PromptClassifier(lm, TEMPLATES[name], WORDS)
        if k:
            chosen = select_examples(POOL[1], k, seed=draw)
            classifier = classifier.with_examples([[part[i] for i in chosen] for part in POOL])
        assert row.accuracy == pytest.approx(accuracy(classifier))
        assert (row.low, row.high) == wilson(round(16 * row.accuracy), 16)
        assert row.seconds > 0


def test_summaries_and_the_best(found):
    assert [(row.name, row.k, row.draws) for row in found.summaries] == [
        (name, k, draws) for name in TEMPLATES for k, draws in ((0, 1), (2, 3))
    ]
    for row in found.summaries:
        own = [each.accuracy for each in found.results if (each.name, each.k) == (row.name, row.k)]
        assert row.mean == pytest.approx(np.mean(own)) and (row.worst, row.best) == (min(own), max(own))
        assert (row.low, row.high) == wilson(round(16 * np.mean(own)), 16)
        assert row.deviation == pytest.approx(np.std(own, ddof=1) if len(own) > 1 else 0)
    assert found.best.mean == max(row.mean for row in found.summaries)


def result(name, k, accuracy, draw=None):
    return PromptResult(name, k, draw, accuracy, accuracy - 0.1, accuracy + 0.1, 1.0)


def test_of_equal_ones_the_best_has_fewer_examples_and_is_the_first():
    rows = [result("a", 4, 0.7, 0), result("b", 0, 0.7), result("c", 0, 0.7), result("d", 0, 0.2)]
    assert prompting.PromptComparison(rows, 10, 0.95).best[:2] == ("b", 0)


def test_the_table_says_all():
    rows = [result("a {text}\nis", 4, 0.5, 0), result("a {text}\nis", 4, 0.7, 1), result("b", 0, 0.25)]
    lines = str(prompting.PromptComparison(rows, 200, 0.9)).split("\n")
    assert lines[0] == "200 texts" and lines[1].endswith("90% interval")
    assert " ".join(lines[2].split()) == r"a {text}\nis 4 2 60.0 ± 14.1 50.0 70.0 54.2 to 65.5"
    assert " ".join(lines[3].split()) == "b 0 1 25.0 25.0 25.0 20.3 to 30.3"


def test_prompts_are_compared_text_by_text(lm, found):
    own = {name: prompting.PromptClassifier(lm, TEMPLATES[name], WORDS).probabilities(TEXTS) for name in TEMPLATES}
    right = [own[name].argmax(1) == Y for name in TEMPLATES]
    test = found.paired_test(("label", 0), ("so", 0))
    assert test == lk.tasks.paired_test(*right) and test.method == "McNemar"
    drawn = prompting.PromptComparison(
        [result("a", 2, 0.5, 0), result("a", 2, 0.75, 1), result("b", 0, 0.25)],
        4,
        0.95,
        np.array([[1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 1, 0]], bool),
    )
    assert drawn.paired_test("a", "b") == lk.tasks.paired_test([1, 0.5, 1, 0], [0, 0, 1, 0])
    assert drawn.paired_test("a", "b").method == "approximate randomization"
    with pytest.raises(lk.InputError, match=r"'so' is several of the prompts; give one of \('label', 0\)"):
        found.paired_test(("label", 0), "so")
    with pytest.raises(lk.InputError, match=r"'other' is none of the prompts"):
        found.paired_test("other", ("so", 0))
    with pytest.raises(lk.InputError, match="not known which texts"):
        prompting.PromptComparison(found.results, 16, 0.95).paired_test(("label", 0), ("so", 0))


def test_the_nearest_and_none_are_drawn_once(lm):
    options = {"lm": lm, "verbalizer": WORDS, "examples": POOL, "k": (0, 2), "select": "nearest"}
    found = compare_prompts([TEMPLATES["label"]], (TEXTS, Y), **options)
    assert [row.draw for row in found.results] == [None, None]
    shown = prompting.PromptClassifier(lm, TEMPLATES["label"], WORDS).with_examples(POOL, 2, "nearest")
    assert found.results[1].accuracy == pytest.approx(accuracy(shown))


def test_classifiers_beside_templates_and_batch_calibration(lm):
    own = prompting.PromptClassifier(lm, TEMPLATES["so"], WORDS, "batch")
    found = compare_prompts({"own": own, "plain": TEMPLATES["so"]}, (TEXTS, Y), lm=lm, verbalizer=WORDS)
    assert found.results[0].accuracy == pytest.approx(accuracy(own.calibrate(TEXTS)))
    assert found.results[1].accuracy == pytest.approx(
        accuracy(prompting.PromptClassifier(lm, TEMPLATES["so"], WORDS))
    )


def test_a_prior_that_a_classifier_has_is_measured_and_stays(lm):
    own = prompting.PromptClassifier(lm, TEMPLATES["so"], WORDS, "batch").calibrate(TEXTS[:1])
    before, expected = own.probabilities(TEXTS), accuracy(own)
    found = compare_prompts([own], (TEXTS, Y), examples=POOL, k=(0, 2), draws=1)
    assert found.results[0].accuracy == pytest.approx(expected)
    np.testing.assert_array_equal(own.probabilities(TEXTS), before)
    new = prompting.PromptClassifier(lm, TEMPLATES["so"], WORDS, "batch")
    compare_prompts([new], (TEXTS, Y), k=np.int64(0))
    assert not new.has_prior


def test_prompts_of_one_text_need_names(lm):
    both = [prompting.PromptClassifier(lm, TEMPLATES["so"], WORDS, kind) for kind in (None, "contextual")]
    with pytest.raises(lk.InputError, match="two prompts have the text .*give them under names"):
        compare_prompts(both, (TEXTS, Y))


def test_the_plot_has_a_point_and_an_interval_for_each_draw(found, tmp_path):
    figure = found.plot()
    (axes,) = figure.axes
    points = {round(float(line.get_xdata()[0]), 6) for box in axes.containers for line in [box.lines[0]]}
    assert points == {round(row.accuracy, 6) for row in found.results}
    assert len(axes.containers) == len(found.results)
    ends = sorted(tuple(np.round(box.lines[2][0].get_segments()[0][:, 0], 6)) for box in axes.containers)
    assert ends == sorted(tuple(np.round([row.low, row.high], 6)) for row in found.results)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(TEMPLATES)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0 examples", "2 examples"]
    figure.savefig(tmp_path / "prompts.png")
    assert (tmp_path / "prompts.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prompts": []}, "there are no prompts to compare"),
        ({"prompts": [3]}, "a prompt is a int"),
        ({"lm": None}, "a template needs a model and label words"),
        ({"dev": ([], [])}, "dev has 0 texts and 0 classes"),
        ({"dev": (["a"], [])}, "dev has 1 texts and 0 classes"),
        ({"dev": 3}, "dev is a int"),
        ({"k": 2}, "k is 2 and there are no examples"),
        ({"k": (0, -1)}, r"k\[1\] is -1"),
        ({"select": "best"}, "select is 'best'"),
        ({"draws": 0}, "draws is 0"),
        ({"level": 1}, "level is 1"),
    ],
)
def test_what_cannot_be_is_named(lm, change, says):
    given = {"prompts": TEMPLATES, "dev": (TEXTS, Y), "lm": lm, "verbalizer": WORDS} | change
    with pytest.raises(lk.InputError, match=says):
        compare_prompts(**given)
