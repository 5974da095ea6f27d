"""ContentFilter: a classifier that is scikit-learn's, without scikit-learn; files; errors."""

import json
import sys

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.data.quality.content_filter import (
    WEAK_PENALTY,
    ContentClassifier,
    ContentFilter,
    _threshold,
    features,
    train_content_filter,
)
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import read_tensors, write_tensors

WORDS = {"rude": ["darn", "ass", "cunt", "shit"], "threat": ["eat my hat"], "中文": ["坏蛋"]}


COMMON = "you can get the new one today at our place and bring a friend with your phone 2024 1500"
KINDS = ("meet late home dinner sorry train tomorrow", "win prize claim cash offer reply now")


@pytest.fixture(scope="module")
def offers():
    """Short messages of two kinds that share most words, 10 % of them labelled wrong."""
    rng = np.random.default_rng(0)
    common, kinds = COMMON.split(), [words.split() for words in KINDS]
    texts, labels = [], []
    for _ in range(400):
        label = int(rng.random() < 0.3)
        chosen = [*rng.choice(common, 8), *rng.choice(kinds[label], rng.integers(0, 4))]
        texts.append(" ".join(rng.permutation(chosen)))
        labels.append(label ^ int(rng.random() < 0.1))
    return texts, labels


@pytest.fixture(scope="module")
def trained(offers):
    return train_content_filter(*offers, words=WORDS, precision=0.8, validation=0.4)


def test_scores_are_those_of_scikit_learn(offers, trained):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = offers
    places = lk.data.split_texts(list(range(len(texts))), 0.4, 0)[0]
    pipeline = make_pipeline(
        TfidfVectorizer(analyzer=features, sublinear_tf=True, min_df=2),
        LogisticRegression(C=WEAK_PENALTY, max_iter=1000),
    )
    pipeline.fit([texts[place] for place in places], np.array(labels)[places])
    new = [*texts, "", "unknown words", "win win win prize, 77777", "赢 win"]
    expected = pipeline.predict_proba(new)[:, 1]
    np.testing.assert_allclose([trained.classifier.score(text) for text in new], expected, atol=1e-12)


def test_the_threshold_reaches_the_precision_on_validation(offers, trained):
    texts, labels = offers
    places = lk.data.split_texts(list(range(len(texts))), 0.4, 0)[1]
    dropped = [place for place in places if trained.reason(texts[place])]
    hits = sum(labels[place] for place in dropped)
    assert trained.measured["precision"] == hits / len(dropped) >= 0.8
    assert trained.measured["recall"] == hits / sum(labels[place] for place in places) > 0.4
    assert (trained.measured["num_texts"], trained.measured["num_unwanted"]) == (
        len(places),
        sum(labels[place] for place in places),
    )
    assert trained.reason("win a prize claim cash now").startswith("classifier: ")
    assert trained.reason("win a darn prize") == "word list: rude"


def test_the_threshold_is_not_chosen_by_copies(offers):
    texts, labels = offers
    copies = [f"offer {i % 3} of the day, call us now and win one of five prizes" for i in range(200)]
    found = train_content_filter([*texts, *copies], [*labels, *[1] * 200], words=(), precision=0.7, validation=0.4)
    valid = lk.data.split_texts(list(range(len(texts) + 200)), 0.4, 0)[1]
    assert found.measured["num_texts"] <= sum(place < len(texts) for place in valid)


@pytest.mark.parametrize("precision", [0.5, 0.75, 0.9])
def test_of_all_thresholds_the_one_with_the_highest_recall_is_chosen(precision):
    rng = np.random.default_rng(1)
    for _ in range(50):
        scores = rng.integers(1, 12, 30) / 12  # many are equal
        unwanted = rng.random(30) < scores
        recalls = [
            unwanted[scores >= threshold].sum() / unwanted.sum()
            for threshold in scores
            if unwanted[scores >= threshold].mean() >= precision
        ]
        if not recalls:
            with pytest.raises(InputError, match="no threshold"):
                _threshold(scores, unwanted, precision)
            continue
        chosen, measured = _threshold(scores, unwanted, precision)
        dropped = unwanted[scores >= chosen]
        assert measured["recall"] == dropped.sum() / unwanted.sum() == max(recalls)
        assert measured["precision"] == dropped.mean() >= precision


def test_a_filter_that_was_saved_is_the_same(tmp_path, offers, trained, monkeypatch):
    trained.save(tmp_path / "filter.safetensors")
    for module in ("sklearn.feature_extraction.text", "sklearn.linear_model"):
        monkeypatch.setitem(sys.modules, module, None)  # it is not needed to use a filter
    again = ContentFilter.load(tmp_path / "filter.safetensors")
    assert [again.reason(text) for text in offers[0]] == [trained.reason(text) for text in offers[0]]
    assert (again.threshold, again.measured) == (trained.threshold, trained.measured)
    assert again.words.categories == WORDS

    ContentFilter(WORDS).save(tmp_path / "words.safetensors")
    assert ContentFilter.load(tmp_path / "words.safetensors").reason("darn") == "word list: rude"


def test_damaged_files_are_one_clear_line(tmp_path, trained):
    path = tmp_path / "filter"
    with pytest.raises(InputError, match="does not exist"):
        ContentFilter.load(path)
    path.write_text(json.dumps({"format": "other"}))
    with pytest.raises(InputError, match="damaged or cut short"):
        ContentFilter.load(path)
    trained.save(path)
    tensors, told = read_tensors(path)
    for changes, message in [
        ({"format": "other"}, "no content filter"),
        ({"words": None}, "a part is missing or wrong"),
        ({"words": {"a": [3]}}, "3, which is no word"),
        ({"threshold": 2}, "threshold is 2; it must be a number above 0 and at most 1"),
        ({"classifier": {"vocabulary": ["a"], "bias": 0.0}}, "1 features needs as many"),
        ({"classifier": {"vocabulary": told["classifier"]["vocabulary"]}}, "a part is missing"),
    ]:
        write_tensors(path, tensors, told | changes)
        with pytest.raises(InputError, match=message):
            ContentFilter.load(path)


@pytest.mark.parametrize(
    ("texts", "labels", "options", "message"),
    [
        ("one text", [0] * 8, {}, "got one string"),
        (["a b"] * 9, [0] * 8, {}, "got 9 texts and 8 labels"),
        ([], [], {}, "got 0 texts"),
        (["a b"] * 30, [0] * 30, {}, "has not texts of both classes"),
        (["a b"] * 30, [0, 2] * 15, {}, "labels are 1"),
        (["a b"] * 30, [0, 1] * 15, {"precision": 0}, "precision is 0; it must be a number above 0 and at most 1"),
        ([f"a b {i} c {i}" for i in range(60)], [0, 1] * 30, {"precision": 1.0}, "no threshold drops texts"),
        ([f"w{i}" for i in range(60)], [0, 1] * 30, {}, "no word comes in two"),
    ],
)
def test_bad_input_is_one_clear_line(texts, labels, options, message):
    with pytest.raises(InputError, match=message):
        lk.data.train_content_filter(texts, labels, **options)


def test_an_extreme_score_is_a_probability():
    classifier = ContentClassifier(["a"], [1.0], [-1e6], 0.0)
    assert classifier.score("a") == 0.0 and classifier.score("b") == 0.5
    assert ContentClassifier(["a"], [1.0], [1e6], 0.0).score("a") == 1.0
    with pytest.raises(InputError, match="every text must be a str, got NoneType"):
        ContentFilter(()).reason(None)
    with pytest.raises(InputError, match="got one string"):
        list(ContentFilter().filter("one text"))
