"""What an export of a `PromptClassifier` takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.prompt_cache import facts_of_prompt
from lm_keras.prompting.calibration import calibrated
from lm_keras.prompting.class_scorer import ClassScorer
from lm_keras.serving.export.signatures import Served, example_texts, signature

if TYPE_CHECKING:
    from lm_keras.prompting.classifier import PromptClassifier


def served(classifier: PromptClassifier, scorer: ClassScorer, log_prior: Callable[[], np.ndarray | None]) -> Served:
    """Returns the signatures of a classifier; see `PromptClassifier.signatures`.

    Args:
        classifier: The classifier, which answers in Python.
        scorer: Its scorer, whose encoder and scores stand in the graph.
        log_prior: A function that gives the prior of its classes, or None without calibration.
    """
    encoder = scorer.encoders.shared
    if encoder is None:
        raise InputError(
            "the examples are chosen for each text, which a graph cannot do; export a classifier whose examples "
            'are the same for all, as select="random" and "balanced" give'
        )
    fields = scorer.fields
    names = ("text",) if len(fields) == 1 else fields
    scores_of, log_priors = scorer.tf_scores(), log_prior()

    def classify(*texts):
        ids = encoder.tf_encode(**dict(zip(fields, texts, strict=True)))
        scores = calibrated(scores_of(ids), log_priors)
        classes = tf.constant(classifier.classes)
        return {
            "label": tf.gather(classes, tf.argmax(scores, -1)),
            "score": tf.reduce_max(scores, -1),
            "scores": scores,
            "classes": tf.tile(classes[None], [tf.shape(scores)[0], 1]),
        }

    def answer(name, inputs):
        rows = [dict(zip(fields, row, strict=True)) for row in zip(*(inputs[n] for n in names), strict=True)]
        found = classifier.classify(rows)
        outputs = {"label": [c.label for c in found], "score": [c.score for c in found]}
        outputs["scores"] = [list(c.scores.values()) for c in found]
        return {**outputs, "classes": [classifier.classes] * len(found)}

    return Served(
        signatures={"classify": signature(classify, *((name, tf.string) for name in names))},
        examples={"classify": dict.fromkeys(names, example_texts(classifier.tokenizer))},
        answer=answer,
        facts=_facts(classifier, scorer.encoders.cache()),
    )


def _facts(classifier, cache):
    """What the model card says of it."""
    facts = {name: value for name, value in classifier.options.items() if name != "begin"}
    if classifier.language_model is not None and classifier.language_model.prompt:
        facts["prompt"] = classifier.language_model.prompt
    if cache is not None:  # a constant of the graph and no parameter
        facts |= facts_of_prompt(cache)
    return {"classes": classifier.classes, **facts}
