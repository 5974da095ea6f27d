"""Moderators: what is refused and why, by classes, by lists, by both; what they are made of; their measures."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras import tasks
from lm_keras.errors import InputError
from lm_keras.tasks import Moderator


def test_the_refused_classes_together_decide(task, passages):
    """Of a text that is of two refused classes by half each, none is likely by itself."""
    classifier = task("cnn_classifier")
    p = classifier.probabilities(passages)
    for refused in (["war"], ["wealth", "war"], ["war", "sport", "wealth"]):
        places = [classifier.classes.index(name) for name in refused]
        score = p[:, places].sum(1)
        threshold = float(score.mean())
        found = Moderator.of(classifier, refused=refused, threshold=threshold).moderate(passages)
        np.testing.assert_allclose([one.score for one in found], score, rtol=1e-6)
        assert [one.allowed for one in found] == (score < threshold).tolist()
        assert 0 < sum(one.allowed for one in found) < len(found), "else equality would say little"
        for one, row in zip(found, p[:, places], strict=True):
            likely = [name for name, each in zip(refused, row, strict=True) if each >= threshold]
            assert one.reasons == ([] if one.allowed else likely or [refused[int(row.argmax())]])
            assert one.spans == []


def test_of_several_classes_the_likeliest_decides(task, passages):
    classifier = task("labels_classifier")
    refused = ["天气", "sport"]
    p = classifier.probabilities(passages)[:, [classifier.classes.index(name) for name in refused]]
    found = Moderator.of(classifier, refused=refused).moderate(passages)
    np.testing.assert_allclose([one.score for one in found], p.max(1), rtol=1e-6)
    assert [one.reasons for one in found] == [
        [name for name, each in zip(refused, row, strict=True) if each >= 0.5] for row in p
    ]


def test_lists_and_classes_together(task):
    lists = {"scams": ["free money"], "names": ["Café"]}
    moderator = Moderator.of(task("cnn_classifier"), lists, refused=["war"], threshold=1.0)
    text = "FREE  money at the cafe\u0301, \ud83d now"
    (found,) = moderator.moderate(text)
    assert found.reasons == ["word list: scams", "word list: names"] and not found.allowed and found.score == 1
    assert [(span.label, span.text) for span in found.spans] == [("scams", "FREE  money"), ("names", "cafe\u0301")]
    assert moderator.moderate([]) == []
    (one,) = Moderator.of(words=["free money"]).moderate("free money")
    assert (one.allowed, one.reasons, one.score) == (False, ["word list: words"], 1.0)
    assert Moderator.of(words=["free money"]).moderate("") == [(True, [], [], 0.0)]


def test_any_text_is_answered_as_by_itself(task):
    moderator = task("moderator_cnn")

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.text(st.characters(), max_size=30), max_size=5))
    def alone(texts):
        for text, found in zip(texts, moderator.moderate(texts), strict=True):
            (one,) = moderator.moderate(text)
            assert (one.allowed, one.reasons, one.spans) == (found.allowed, found.reasons, found.spans)
            assert abs(one.score - found.score) < 1e-5

    alone()


def test_training_and_measures():
    good, bad = ["a lovely day", "some warm soup", "the calm sea"], ["a vile day", "some foul soup", "the vile sea"]
    texts, labels = (good + bad) * 4, (["fine"] * 3 + ["rude"] * 3) * 4
    told = {"epochs": 12, "batch_size": 8, "learning_rate": 0.02, "validation": (texts, labels)}
    moderator = Moderator.train(texts, labels, words=["kind word"], refused=["rude"], **told)
    assert len(moderator.classifier.history["loss"]) <= 12
    report = moderator.evaluate([*good, *bad, "a kind word"], ["fine"] * 3 + ["rude"] * 3 + ["fine"])
    assert (report.refused_right, report.harmless_right, report.accuracy) == (1, 3 / 4, 6 / 7)
    assert [(one.name, one.share, one.count) for one in report.by_class] == [("fine", 0.25, 4), ("rude", 1, 3)]
    words = Moderator.of(words=["vile"], refused=["rude"]).evaluate(good + bad, ["fine"] * 3 + ["rude"] * 3)
    assert (words.refused_right, words.harmless_right) == (2 / 3, 1)


def test_what_a_moderator_cannot_be_made_of(task):
    classifier = task("cnn_classifier")
    cases = [
        ({}, "needs a classifier, lists of words, or both"),
        ({"classifier": classifier}, "'hate' is to be refused, and is none of the classes sport, war"),
        ({"classifier": classifier, "refused": "war"}, "refused is 'war'; give the names"),
        ({"classifier": classifier, "refused": ["war", "war"]}, "each once"),
        ({"classifier": classifier, "refused": ["war"], "threshold": 0}, "threshold is 0"),
        ({"classifier": classifier, "refused": ["war"], "words": []}, "hold no word"),
        ({"classifier": task("pair_classifier"), "refused": ["a"]}, "got one of pairs"),
        ({"classifier": task("tagger")}, "got a TextTagger"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError, match=message):
            Moderator.of(**arguments)
    with pytest.raises(InputError, match="there is no tokenizer"):
        Moderator(classifier.model, classes=classifier.classes)
    with pytest.raises(InputError, match="list 'words' has"):
        Moderator.train(["a", "b"], ["x", "y"], words=[" "])
    with pytest.raises(InputError, match="none of the classes"):
        tasks.Moderator.of(classifier, refused=["war"]).evaluate(lk.data.LabelledTexts(["a"], np.array([0]), ("x",)))
