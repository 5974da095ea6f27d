"""`PromptClassifier.with_examples`: which examples stand before which text, and that answers follow them."""

import numpy as np
import pytest
from small_models import tiny_lm

import lm_keras as lk
from lm_keras import prompting
from lm_keras.prompting.nearest import NearestDemonstrations

POOL = ["a fine film", "a warm day", "the bank fell", "stocks of the bank", "a dull film", "rain on the bank"]
Y = [1, 1, 0, 0, 0, 1]
TEXTS = ["the fine film", "the bank", "a warm film"]
WORDS = {"neg": " bad", "pos": " good"}
TEMPLATE = "text: {text}\nlabel:"


@pytest.fixture(scope="module")
def lm():
    tokenizer = lk.text.CharTokenizer.train([*POOL, *TEXTS, TEMPLATE, " bad good"])
    return tiny_lm("llama", tokenizer, 0.4, max_length=400)


@pytest.fixture(scope="module")
def classifier(lm):
    return prompting.PromptClassifier(lm, TEMPLATE, WORDS)


@pytest.fixture(scope="module")
def embedder():
    tokenizer = lk.text.WordPieceTokenizer.train(POOL, vocab_size=120)
    sizes = {"max_length": 24, "hidden_dim": 8, "num_layers": 1, "num_heads": 2, "initializer_range": 0.5}
    return lk.tasks.TextEmbedder(lk.models.build_bert(tokenizer.vocab_size, **sizes, seed=0), tokenizer)


def by_hand(lm, text, chosen):
    """log p of the two words after examples and text, by `choose` on the whole prompt."""
    shown = "".join(f"text: {POOL[i]}\nlabel:{list(WORDS.values())[Y[i]]}\n\n" for i in chosen)
    found = {
        each.answer: each.log_prob for each in lm.choose([f"{shown}text: {text}\nlabel:"], list(WORDS.values()))[0]
    }
    return [found[word] for word in WORDS.values()]


@pytest.mark.parametrize("select", ["random", "balanced"])
def test_drawn_examples_are_those_of_select_examples(lm, classifier, select):
    shown = classifier.with_examples((POOL, Y), 4, select, seed=3)
    chosen = prompting.select_examples(Y, 4, select, seed=3)
    for text, row in zip(TEXTS, shown.log_scores(TEXTS), strict=True):
        np.testing.assert_allclose(row, by_hand(lm, text, chosen), rtol=1e-4, atol=1e-4)
    assert shown.demonstrations.static is not None
    other = classifier.with_examples((POOL, Y), 4, select, seed=4, order="given")
    assert [example.label for example in other.demonstrations.static] != [
        example.label for example in shown.demonstrations.static
    ] or [e.fields for e in other.demonstrations.static] != [e.fields for e in shown.demonstrations.static]


@pytest.mark.parametrize("by", ["tfidf", "embedder"])
@pytest.mark.parametrize("order", [None, "given"])
def test_the_nearest_are_chosen_for_each_text(lm, classifier, embedder, by, order):
    embedder = embedder if by == "embedder" else None
    shown = classifier.with_examples((POOL, Y), 2, "nearest", embedder=embedder, order=order)
    nearest = prompting.NearestExamples(POOL, embedder)(TEXTS, 2)
    rows = shown.log_scores(TEXTS)
    for text, row, chosen in zip(TEXTS, rows, nearest.tolist(), strict=True):
        chosen = sorted(chosen) if order else chosen[::-1]
        np.testing.assert_allclose(row, by_hand(lm, text, chosen), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(shown.log_scores(TEXTS[1]), rows[1:2], rtol=1e-4, atol=1e-4)  # by itself alone


def test_names_of_classes_and_none(classifier):
    named = classifier.with_examples((POOL, ["pos" if label else "neg" for label in Y]), 2, seed=1)
    placed = classifier.with_examples((POOL, Y), 2, seed=1)
    np.testing.assert_array_equal(named.probabilities(TEXTS), placed.probabilities(TEXTS))
    without = classifier.with_examples((POOL, Y), 0)
    np.testing.assert_array_equal(without.probabilities(TEXTS), classifier.probabilities(TEXTS))


@pytest.mark.parametrize("by", ["tfidf", "embedder"])
def test_saved_and_loaded(classifier, embedder, by, tmp_path):
    embedder = embedder if by == "embedder" else None
    shown = classifier.with_examples((POOL, Y), 2, "nearest", embedder=embedder, order="random", seed=5)
    shown.save(tmp_path / "clf")
    loaded = lk.TextModel.load(tmp_path / "clf")
    np.testing.assert_allclose(loaded.probabilities(TEXTS), shown.probabilities(TEXTS), rtol=1e-5)
    assert (tmp_path / "clf" / "embedder").exists() == (by == "embedder")
    classifier.with_examples((POOL, Y), 2).save(tmp_path / "clf")
    assert not (tmp_path / "clf" / "embedder").exists()


def test_a_save_that_fails_leaves_a_masked_classifier_as_it_was(tmp_path):
    pieces = lk.text.WordPieceTokenizer.train([*POOL, "bad good"], vocab_size=120)
    sizes = {"max_length": 48, "hidden_dim": 8, "num_layers": 1, "num_heads": 2, "initializer_range": 0.5}
    nets = [lk.models.build_bert(pieces.vocab_size, **sizes, seed=seed) for seed in range(2)]
    model = lk.models.bert_pretrainer(nets[0], next_sentence=False, seed=0)
    plain = prompting.PromptClassifier(model, "{text} {mask}", {"neg": "bad", "pos": "good"}, tokenizer=pieces)
    embedder = lk.tasks.TextEmbedder(nets[1], pieces)
    shown = plain.with_examples((POOL, Y), 2, "nearest", embedder=embedder)
    shown.save(tmp_path / "clf")
    before = lk.TextModel.load(tmp_path / "clf").probabilities(TEXTS)
    np.testing.assert_allclose(before, shown.probabilities(TEXTS), rtol=1e-5)
    other = plain.with_examples((POOL, Y), 1, "nearest", embedder=embedder)
    embedder.model.set_weights([np.full(w.shape, np.nan) for w in embedder.model.get_weights()])
    with pytest.raises(lk.InputError, match="holds NaN or infinity"):
        other.save(tmp_path / "clf")
    loaded = lk.TextModel.load(tmp_path / "clf")
    assert loaded.demonstrations.k == 2
    np.testing.assert_array_equal(loaded.probabilities(TEXTS), before)
    plain.save(tmp_path / "clf")  # and one without examples brings no embedder
    assert lk.TextModel.load(tmp_path / "clf").demonstrations is None
    assert sorted(path.name for path in (tmp_path / "clf").iterdir()) == ["model.keras", "task.json", "tokenizer"]


def test_without_any_example_it_is_the_plain_classifier(classifier):
    empty = classifier.with_examples(([], []))
    np.testing.assert_array_equal(empty.log_scores(TEXTS), classifier.log_scores(TEXTS))
    assert empty.render(TEXTS) == classifier.render(TEXTS)
    assert list(empty.signatures().signatures) == ["classify"]


def test_a_function_is_not_saved(classifier, tmp_path):
    shown = classifier.with_examples((POOL, Y), 2, "nearest", embedder=lambda texts: np.ones([len(texts), 2]))
    with pytest.raises(lk.InputError, match="found by a function, which no file holds"):
        shown.save(tmp_path / "clf")
    assert not (tmp_path / "clf").exists()


def test_several_fields():
    rows = [prompting.classifier.Demonstration({"a": text, "b": "x"}, "neg") for text in POOL]
    shown = NearestDemonstrations(rows, 1).of([{"a": POOL[3], "b": "x"}])
    assert shown == [[rows[3]]]


def test_another_model(lm, classifier):
    shown = classifier.with_examples((POOL, Y), 2, seed=1)
    adapted = prompting.lora(lm, rank=2)
    made = shown.with_model(adapted)
    assert made.language_model is adapted and made.demonstrations is shown.demonstrations
    np.testing.assert_allclose(made.probabilities(TEXTS), shown.probabilities(TEXTS), rtol=1e-4, atol=1e-5)
    for weight in adapted.model.trainable_weights:
        weight.assign(np.random.default_rng(0).normal(0, 1, weight.shape))
    assert np.abs(made.probabilities(TEXTS) - shown.probabilities(TEXTS)).max() > 1e-3
    batch = prompting.PromptClassifier(lm, TEMPLATE, WORDS, "batch").calibrate(POOL)
    np.testing.assert_array_equal(batch.with_model(lm.model).probabilities(TEXTS), batch.probabilities(TEXTS))


def test_an_adapted_classifier_is_exported_with_merged_weights(lm, classifier, tmp_path, warm_check):
    adapted = prompting.lora(lm, rank=2)
    for weight in adapted.model.trainable_weights:
        weight.assign(np.random.default_rng(0).normal(0, 0.3, weight.shape))
    made = classifier.with_model(adapted)
    version = lk.export(made, tmp_path / "clf")
    lk.check(version)
    import tensorflow as tf

    served = tf.saved_model.load(version).signatures["classify"](text=tf.constant(TEXTS))
    np.testing.assert_allclose(served["scores"], made.probabilities(TEXTS), rtol=1e-3, atol=1e-5)
    written = tf.train.list_variables(f"{version}/variables/variables")
    assert sum(np.prod(shape) for name, shape in written if "_CHECKPOINT" not in name) == lm.model.count_params()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"k": 7}, "k is 7 and there are 6 labelled texts"),
        ({"k": 7, "select": "nearest"}, "k is 7 and there are 6 labelled texts"),
        ({"k": 0, "select": "nearest"}, "k is 0"),
        ({"k": 2, "select": "best"}, "select is 'best'; it must be one of random, balanced, nearest"),
        ({"k": 2, "order": "nearest last"}, "order is 'nearest last'"),
        ({"k": 2, "select": "nearest", "order": "last"}, "order is 'last'"),
    ],
)
def test_what_cannot_be_is_named(classifier, options, says):
    with pytest.raises(lk.InputError, match=says):
        classifier.with_examples((POOL, Y), **options)
