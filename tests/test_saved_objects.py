"""Every object that is saved: `.save(path)` and `Class.load(path)` give an equal one, another kind is refused."""

import json

import numpy as np
import pytest
from small_tasks import MAKE

import lm_keras as lk
from lm_keras import analysis, tasks
from lm_keras.data import ContentFilter

TEXTS = ["the fire in the north", "rain has fallen in the north", "the rain and the fire", "a fire"]

# name: (what makes one, what it says of the texts)
SAVED = {
    "language model": (lambda news, lm: lm, lambda lm: [score.log_prob for score in lm.score(TEXTS)]),
    "classifier": (lambda news, lm: MAKE["cnn_classifier"](news), lambda model: model.classify(TEXTS)),
    "embedder": (lambda news, lm: MAKE["embedder"](news), lambda model: model.embed(TEXTS).tolist()),
    "topics": (
        lambda news, lm: analysis.train_topics(news, 2, passes=1, progress=False),
        lambda model: model.document_topics(TEXTS).tolist(),
    ),
    "document vectors": (
        lambda news, lm: analysis.train_doc2vec(news, 8, epochs=2, progress=False),
        lambda model: model.infer(TEXTS).tolist(),
    ),
    "content filter": (
        lambda news, lm: ContentFilter({"weather": ["rain"]}),
        lambda model: [model.reason(text) for text in TEXTS],
    ),
    **{
        kind: (
            lambda news, lm, kind=kind: getattr(lk.text, kind).train(news, vocab_size=300),
            lambda tokenizer: tokenizer.encode_batch(TEXTS),
        )
        for kind in ("BPETokenizer", "CharTokenizer", "WordPieceTokenizer", "WordTokenizer")
    },
}


@pytest.fixture(scope="module")
def objects(news, word_lm):
    return {name: make(news, word_lm) for name, (make, _) in SAVED.items()}


@pytest.fixture(scope="module")
def paths(objects, tmp_path_factory):
    """{name: where it was saved}"""
    place, found = tmp_path_factory.mktemp("saved"), {}
    for name, thing in objects.items():
        in_a_file = isinstance(thing, (analysis.TopicModel, analysis.DocumentVectors, ContentFilter))
        found[name] = place / f"{name}{'.safetensors' if in_a_file else ''}"
        thing.save(found[name])
    return found


@pytest.mark.parametrize("name", SAVED)
def test_what_was_saved_answers_the_same(name, objects, paths):
    loaded = type(objects[name]).load(paths[name])
    assert type(loaded) is type(objects[name])
    before, after = (json.loads(json.dumps(SAVED[name][1](thing))) for thing in (objects[name], loaded))
    assert before == after
    assert len(set(map(str, before))) > 1  # else equality would say little
    loaded.save(paths[name])  # over itself
    assert json.loads(json.dumps(SAVED[name][1](type(loaded).load(paths[name])))) == before


@pytest.mark.parametrize("name", SAVED)
def test_another_kind_is_refused_in_a_line_that_says_what_it_is(name, objects, paths, tmp_path):
    load = type(objects[name]).load
    says = {
        "language model": "is a saved language model; lk.LanguageModel.load reads it",
        "classifier": "is a saved (text model|TextClassifier)",
        "embedder": "is a saved (text model|TextEmbedder)",
        "topics": "is a saved topic model; TopicModel.load reads it",
        "document vectors": "is a file of document vectors; DocumentVectors.load reads it",
        "content filter": "is a saved content filter; ContentFilter.load reads it",
    }
    if isinstance(objects[name], lk.text.Tokenizer):
        says = {}
    for other, path in paths.items():
        of_the_model = isinstance(objects[name], lk.text.WordTokenizer) and other == "language model"  # in its folder
        if of_the_model or type(objects[other]).load == load:
            continue
        with pytest.raises(lk.InputError, match=says.get(other, ".")) as told:
            load(path)
        assert str(path) in str(told.value)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing", tmp_path / "missing.safetensors"):
        with pytest.raises(lk.InputError):
            load(path)


def test_the_short_forms(objects, paths):
    assert type(tasks.load(paths["classifier"])) is tasks.TextClassifier
    assert isinstance(lk.TextModel.load(paths["language model"]), lk.LanguageModel)
    np.testing.assert_array_equal(analysis.load_topics(paths["topics"]).weights, objects["topics"].weights)
    np.testing.assert_array_equal(
        analysis.load_doc2vec(paths["document vectors"]).vectors, objects["document vectors"].vectors
    )
