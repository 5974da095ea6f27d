"""Training the classifier of a content filter."""

import numpy as np

from lm_keras.data.content_classifier import ContentClassifier, features
from lm_keras.data.content_filter import ContentFilter
from lm_keras.data.near_duplicates import duplicates
from lm_keras.data.split import split_texts
from lm_keras.data.units import check_text_stream
from lm_keras.errors import InputError
from lm_keras.extra import analysis
from lm_keras.utils.checks import check_number

WEAK_PENALTY = 30.0  # C of scikit-learn; vectors of length 1 need large weights


def train_content_filter(texts, labels, *, words=None, precision=0.95, validation=0.2, max_features=50_000, seed=0):
    """Returns a `ContentFilter` with a classifier that learned from `labels`: 1 or True for an unwanted text.

    TF-IDF of words and pairs of words that come in two texts or more, the `max_features` most frequent, and logistic
    regression by scikit-learn, on all but a share `validation` of the texts, drawn by `seed`. The threshold is the
    one of highest recall on that share for which at least `precision` of what it drops is unwanted; what it reaches
    there is in `filter.measured`, a little better than on new text, as the threshold was chosen by it. Texts of that
    share that repeat another one (`duplicates`) are left out: the classifier would know them by heart.
    `words`: as for `ContentFilter`.
    Raises InputError for labels that do not fit, a class that is missing on a side, and a precision that no threshold
    reaches.
    """
    check_text_stream(texts)
    texts, labels = list(texts), _labels(labels)
    if len(texts) != len(labels) or not len(texts):
        raise InputError(f"got {len(texts)} texts and {len(labels)} labels; give one label for each, at least one")
    check_number("precision", precision, above=0, most=1)
    train, valid = split_texts(list(range(len(texts))), validation, seed)
    repeated = {pair.index - len(train) for pair in duplicates([texts[place] for place in train + valid])}
    valid = [place for index, place in enumerate(valid) if index not in repeated]
    for name, side in {"training": train, "validation": valid}.items():
        if len(set(labels[side])) < 2:
            raise InputError(
                f"the {name} part has not texts of both classes; give more, that do not repeat each other"
            )
    classifier = _fit([texts[place] for place in train], labels[train], max_features)
    scores = np.array([classifier.score(texts[place]) for place in valid])
    threshold, measured = _threshold(scores, labels[valid], precision)
    return ContentFilter(words, classifier, threshold, measured)


def _labels(labels):
    labels = np.asarray(list(labels))
    if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
        raise InputError("labels are 1 (or True) for an unwanted text and 0 (or False) for the others")
    return labels.astype(bool)


def _fit(texts, labels, max_features):
    purpose = "training a content filter"
    vectorizer = analysis("sklearn.feature_extraction.text", purpose).TfidfVectorizer
    regression = analysis("sklearn.linear_model", purpose).LogisticRegression
    vectorizer = vectorizer(analyzer=features, sublinear_tf=True, min_df=2, max_features=max_features)
    try:
        vectors = vectorizer.fit_transform(texts)
    except ValueError as error:  # no feature is left
        raise InputError("no word comes in two of the texts; give more texts") from error
    fitted = regression(C=WEAK_PENALTY, max_iter=1000).fit(vectors, labels)
    return ContentClassifier(
        vectorizer.get_feature_names_out().tolist(), vectorizer.idf_, fitted.coef_[0], fitted.intercept_[0]
    )


def _threshold(scores, unwanted, precision):
    """The lowest score from which on at least `precision` of the texts are unwanted, and what that gives."""
    order = np.argsort(-scores, kind="stable")
    scores, unwanted = scores[order], unwanted[order]
    hits = np.cumsum(unwanted)
    reached = hits / np.arange(1, len(hits) + 1)
    last_of_its_score = np.append(scores[1:] != scores[:-1], True)
    good = np.flatnonzero(last_of_its_score & (reached >= precision))
    if not len(good):
        best = reached[last_of_its_score].max()
        raise InputError(
            f"no threshold drops texts of which {precision:.0%} are unwanted, the best is {best:.1%}; ask for a lower"
            " precision, or give more texts"
        )
    place = good[-1]
    measured = {
        "precision": float(reached[place]),
        "recall": float(hits[place] / hits[-1]),
        "num_texts": len(scores),
        "num_unwanted": int(hits[-1]),
    }
    return float(scores[place]), measured
