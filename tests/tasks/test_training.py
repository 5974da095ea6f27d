"""`TextClassifier.train`: labelled texts to a classifier, with every encoder, kind of label, and of text."""

import numpy as np
import pytest
import tensorflow as tf
from paths import ROOT

import lm_keras as lk
from lm_keras import tasks
from lm_keras.tasks.encoders import is_chinese, trained_tokenizer
from lm_keras.tasks.labels import class_weights, classes_of, places_of

TextClassifier = tasks.TextClassifier
WORDS = {"sport": "ball goal team match", "war": "army bomb soldier tank", "food": "bread soup cheese apple"}
SMALL = {"embedding_dim": 16, "kernel_sizes": (1, 2), "num_filters": 12, "dropout": 0.2}


def sentences(names, count, seed=0):
    """Texts of a few words of their topic among others, and the topic of each."""
    rng = np.random.default_rng(seed)
    labels = [names[i % len(names)] for i in range(count)]
    return [
        " ".join(rng.permutation([*rng.choice(WORDS[y].split(), 3), *["the", "of", "a"]])) for y in labels
    ], labels


@pytest.fixture(scope="module")
def trained():
    texts, labels = sentences(list(WORDS), 150)
    return TextClassifier.train(texts, labels, epochs=5, learning_rate=0.01, batch_size=16, seed=1, **SMALL)


# === What is trained ===
def test_it_learns_and_tells_names(trained):
    texts, labels = sentences(list(WORDS), 30, seed=5)
    assert trained.classes == ["food", "sport", "war"] and type(trained.tokenizer).__name__ == "WordTokenizer"
    assert [one.label for one in trained.classify(texts)] == labels
    assert set(trained.history) >= {"loss", "val_loss", "val_accuracy"} and trained.history["val_accuracy"][-1] == 1
    p = trained.probabilities(texts)
    assert p.dtype == "float32" and p.shape == (30, 3)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert trained.probabilities([]).shape == (0, 3)


def test_what_was_trained_is_saved_whole(trained, tmp_path):
    trained.save(tmp_path / "x")
    texts = sentences(list(WORDS), 5)[0]
    np.testing.assert_allclose(TextClassifier.load(tmp_path / "x").probabilities(texts), trained.probabilities(texts))


def test_the_seed_decides_everything():
    texts, labels = sentences(["war", "food"], 24)
    config = lk.TrainingConfig(epochs=1, batch_size=8)
    one, two, other = (
        TextClassifier.train(texts, labels, config=config, seed=seed, **SMALL).probabilities(texts)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-4


def test_all_settings_of_the_training_are_arguments():
    """What `TrainingConfig` has, in place of the encoder's settings or of a config's; the rest is the builder's."""
    texts, labels = sentences(["war", "food"], 24)
    settings = {"epochs": 1, "batch_size": 6, "learning_rate": 0.05, "optimizer": "sgd", "momentum": 0.5}
    settings |= {"weight_decay": 0.3, "warmup_steps": 0, "schedule": "constant", "accumulate_steps": 2}
    by_config, by_name, one_less = (
        TextClassifier.train(texts, labels, config=config, **given, **SMALL).probabilities(texts)
        for config, given in (
            (lk.TrainingConfig(**settings), {}),
            (lk.TrainingConfig(epochs=5, early_stopping_patience=1), settings),
            (lk.TrainingConfig(**settings), {"weight_decay": 0.0}),
        )
    )
    np.testing.assert_array_equal(by_config, by_name)
    assert np.abs(by_config - one_less).max() > 1e-5


def test_half_precision_of_the_training_leaves_a_classifier_of_single_precision():
    texts, labels = sentences(["war", "food"], 24)
    made = TextClassifier.train(texts, labels, encoder="gru", dtype="mixed_bfloat16", max_steps=2, **OPTIONS["gru"])
    assert {layer.compute_dtype for layer in made.model.layers} == {"float32"} and len(made.history["loss"]) == 1
    ((x, _),) = lk.data.labelled(texts, [0] * 24, made.tokenizer, 24, shuffle=False)
    np.testing.assert_allclose(made.probabilities(texts), tf.nn.softmax(made.model(x)), atol=1e-6)


OPTIONS = {
    "cnn": SMALL,
    "bilstm": {"embedding_dim": 6, "hidden_dim": 4},
    "gru": {"embedding_dim": 6, "hidden_dim": 4, "pooling": "last"},
    "bert": {"hidden_dim": 8, "num_heads": 1, "num_layers": 1, "initializer_range": 0.5},
}


@pytest.mark.parametrize("encoder, pairs", [("cnn", True), ("bilstm", False), ("gru", True), ("bert", True)])
def test_what_is_classified_is_what_was_trained_on(encoder, pairs):
    """The batches of the training and the answers go through one way of making inputs, long texts too."""
    texts, labels = sentences(["war", "food"], 12)
    texts += ["the army " * 9, "", "bread"]
    labels += ["war", "food", "food"]
    rows = list(zip(texts, texts[::-1], strict=True)) if pairs else texts
    made = TextClassifier.train(
        rows, labels, encoder=encoder, epochs=1, batch_size=8, max_length=12, validation=0.2, **OPTIONS[encoder]
    )
    assert made.pairs == pairs and made.tokenizer.encodes_pairs == (encoder == "bert")
    ((x, _),) = lk.data.labelled(rows, [0] * 15, made.tokenizer, 15, 12, shuffle=False)
    np.testing.assert_allclose(made.probabilities(rows), tf.nn.softmax(made.model(x)), atol=1e-5)
    alone = np.concatenate([made.probabilities([row]) for row in rows])
    np.testing.assert_allclose(made.probabilities(rows), alone, atol=1e-5)
    if pairs:
        assert np.abs(made.probabilities([row[::-1] for row in rows]) - made.probabilities(rows)).max() > 1e-5
        assert made.classify(rows[0])[0] == made.classify(rows[:1])[0]


@pytest.mark.parametrize("pairs", [False, True])
def test_word_pieces_for_a_model_of_ids(pairs):
    """A tokenizer for encoders gives three inputs; a CNN reads ids, of two texts with its [SEP] between them."""
    texts, labels = sentences(["war", "food"], 12)
    rows = list(zip(texts, texts[::-1], strict=True)) if pairs else texts
    pieces = lk.text.WordPieceTokenizer.train(texts, vocab_size=60, lowercase=False)
    made = TextClassifier.train(rows, labels, tokenizer=pieces, epochs=1, max_length=9, validation=0.2, **SMALL)
    ((x, _),) = lk.data.labelled(rows, [0] * 12, pieces, 12, 9, shuffle=False, segments=False)
    np.testing.assert_allclose(made.probabilities(rows), tf.nn.softmax(made.model(x)), atol=1e-5)
    assert not np.any(x == pieces.cls_id) and np.any(x == pieces.sep_id) == pairs


def test_a_pretrained_encoder_is_trained_on_with_its_tokenizer(tmp_path, task):
    embedder = task("embedder")
    embedder.save(tmp_path / "embedder")
    texts, labels = sentences(["war", "food"], 20)
    before = [w.numpy().copy() for w in embedder.model.trainable_weights]
    made = TextClassifier.train(texts, labels, encoder=str(tmp_path / "embedder"), epochs=1, max_length=16)
    assert made.tokenizer.tokens == embedder.tokenizer.tokens and made.options["max_length"] == 16
    inner = made.model.get_layer(embedder.model.name)
    assert any(np.abs(w.numpy() - old).max() > 0 for w, old in zip(inner.trainable_weights, before, strict=True))


# === Several classes, weights ===
def test_several_classes_a_text():
    texts, labels = sentences(list(WORDS), 120)
    both = [(f"{a} {b}", sorted({x, y})) for a, b, x, y in zip(texts, texts[1:], labels, labels[1:], strict=False)]
    both += [("the of a", [])] * 12 + [(a, [x]) for a, x in zip(texts, labels, strict=True)]
    rng = np.random.default_rng(0)
    rows, y = zip(*(both[i] for i in rng.permutation(len(both))), strict=True)
    options = {"epochs": 6, "learning_rate": 0.01, "batch_size": 16, **SMALL}
    made = TextClassifier.train(rows, y, multi_label=True, **options)
    found = made.classify(["ball goal match army bomb tank", "the of", "bread soup"])
    assert [one.labels for one in found] == [["sport", "war"], [], ["food"]]
    assert found[2].label == "food" and list(found[0].scores) == ["food", "sport", "war"]
    assert {"val_f1", "val_exact_match"} <= set(made.history)


def test_weights_of_classes_change_what_is_learnt():
    texts = ["the of a"] * 60  # nothing tells the classes apart: what is learnt is how much each weighs
    labels = ["rare" if i % 6 == 0 else "often" for i in range(60)]
    options = {"epochs": 8, "learning_rate": 0.03, "batch_size": 60, "validation": (texts[:2], labels[:2]), **SMALL}
    config = lk.TrainingConfig()
    plain, balanced = (
        TextClassifier.train(texts, labels, class_weight=weight, config=config, **options).probabilities("the of a")[
            0, 1
        ]
        for weight in (None, "balanced")
    )
    assert abs(plain - 1 / 6) < 0.08 and abs(balanced - 1 / 2) < 0.08


def test_class_weights_by_hand():
    y, names = np.array([0, 0, 0, 1, 2, 2]), ["a", "b", "c"]
    np.testing.assert_allclose(class_weights("balanced", y, names, False), [6 / 9, 2, 1])
    rows = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(class_weights("balanced", rows, names, True), [1 / 3, 3, 1])
    assert class_weights({"c": 5}, y, names, False).tolist() == [1, 1, 5]
    assert class_weights(None, y, names, False) is None
    assert class_weights({2: 5}, y, names, False).tolist() == [1, 1, 5]  # as Keras has it, and as labels may be
    assert class_weights({2: 5}, y, ["1", "2", "3"], False).tolist() == [1, 5, 1]


# === Labels ===
def test_labels_by_name_and_by_number():
    assert classes_of(["b", "a", "b"], False, None, None) == ["a", "b"]
    assert classes_of([10, 2, 1], False, None, None) == ["1", "2", "10"]
    assert places_of([10, 2, 1], ["1", "2", "10"], False).tolist() == [2, 1, 0]
    assert places_of([1, 0], ["no", "yes"], False).tolist() == [1, 0]
    # Of LabelledTexts the numbers are places in its own names, whatever the order of the classifier's.
    assert places_of([1, 0], ["yes", "no"], False, named=("no", "yes")).tolist() == [0, 1]
    assert places_of([["a"], [], ["b", "a"]], ["a", "b"], True).tolist() == [[1, 0], [0, 0], [1, 1]]
    assert places_of(np.array([[0, 1]]), ["yes", "no"], True, named=("no", "yes")).tolist() == [[1, 0]]


def test_rows_of_zeros_and_ones_are_those_of_an_array():
    """Lists, too: [0, 1] is the second class, and not the first and the second."""
    rows = [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    for given in (rows, np.array(rows), [np.array(row, bool) for row in rows], tuple(map(tuple, rows))):
        assert places_of(given, ["a", "b", "c"], True).tolist() == rows
    assert places_of([[0, 1]], ["a", "b"], True).tolist() == [[0, 1]]
    with pytest.raises(lk.InputError, match="give classes="):
        classes_of(rows, True, None, None)
    assert places_of([[2], [0, 2]], ["a", "b", "c"], True).tolist() == [[0, 0, 1], [1, 0, 1]]  # places, not flags
    with pytest.raises(lk.InputError, match=r"labels are \[3, 3\]"):
        places_of(rows, ["a", "b"], True)


def test_a_number_that_may_be_a_name_or_a_place_is_refused():
    """The labels 1 and 2 of a file that has no "other", beside classes of which one is called so."""
    with pytest.raises(lk.InputError, match="a label is the number 1, and some classes are called by numbers"):
        places_of(np.array([1, 2]), ["1", "2", "other"], False)
    assert places_of([1, 0], ["1", "2", "other"], False, named=("1", "other")).tolist() == [2, 0]


def test_stars_are_names_everywhere(tmp_path):
    """Classes 1, 2, 3: a label 2 is the class "2" in the training, the report and the page of mistakes."""
    texts, names = sentences(list(WORDS), 45)
    stars = [1 + ["food", "sport", "war"].index(name) for name in names]
    made = TextClassifier.train(texts, stars, epochs=4, learning_rate=0.02, batch_size=8, **SMALL)
    some = [i for i, star in enumerate(stars) if star < 3]  # places from 0 to 2, as well
    report = made.evaluate([texts[i] for i in some], [stars[i] for i in some])
    assert report.accuracy > 0.9 and [each.support for each in report.per_class] == [15, 15, 0]
    page = tmp_path / "page.html"
    found = tasks.mistakes_page(made, [texts[i] for i in some], [stars[i] for i in some], page)
    assert len(found) == 30 - round(30 * report.accuracy)


def test_names_of_numpy_are_strings():
    found = classes_of(np.array(["b", "a"]), False, None, None)
    assert found == ["a", "b"] and {type(name) for name in found} == {str}


def test_tokenizers_by_the_language():
    assert is_chinese(["房间很大，服务也好。"]) and not is_chinese(["a room 房"])
    assert type(trained_tokenizer(["房间很大", "服务也好 OK"])).__name__ == "CharTokenizer"
    assert type(trained_tokenizer(["A room"], pieces=True)).__name__ == "WordPieceTokenizer"
    words = trained_tokenizer(["A room"])
    assert words.encode("a ROOM") == words.encode("A room") and words.unk_id not in words.encode("a room")
    rare = trained_tokenizer(["A room"] * 1000 + ["once"])
    assert rare.encode("once") == [rare.unk_id]


TEXTS, LABELS = ["a b", "b c", "c d", "d"], ["x", "y", "x", "y"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((TEXTS, LABELS[:2]), "4 texts and 2 labels"),
        ((TEXTS, None), "labels is None"),
        (("a b", LABELS), "texts is 'a b'"),
        ((TEXTS, ["x"] * 4), "all labels are 'x'"),
        ((TEXTS, [0.5, 1, 2, 3]), "a label is 0.5"),
        (([*TEXTS[:3], ("a", "b")], LABELS), "text 3 is"),
        (([("a", "b"), *TEXTS[1:]], LABELS), "text 1 is 'b c'; give pairs"),
        (
            (TEXTS, LABELS, {"classes": ["x", "z"]}),
            "the label of text 2 is 'y', which is none of the classes 'x', 'z'; leave",
        ),
        ((TEXTS, LABELS, {"multi_label": True}), "a list of names, got 'x'"),
        ((TEXTS, np.eye(4), {"multi_label": True}), "give classes="),
        ((TEXTS, LABELS, {"classes": "xy"}), "classes is 'xy'; give a list"),
        ((TEXTS, [0, 1, 0, 1], {"classes": [0, 1]}), "give a list with a string for each class"),
        ((TEXTS, np.float32([1.5, 2, 1.5, 2])), "a label is 1.5; give the name"),
        ((TEXTS, np.eye(4)[..., None]), "a label is array"),
        ((TEXTS, LABELS, {"config": {"epochs": 1}}), "config is {'epochs': 1}; give a TrainingConfig"),
        ((list(zip(TEXTS, TEXTS, strict=True)), LABELS, {"max_length": 2}), "max_length is 2; .* at least 3"),
        ((TEXTS, LABELS, {"encoder": "bert", "max_length": 4}), "max_length is 4; .* at least 8"),
        ((TEXTS, LABELS, {"encoder": ""}), "encoder is ''"),
        ((TEXTS, LABELS, {"encoder": "resnet"}), "encoder is 'resnet', neither a folder nor one of cnn, lstm"),
        (
            (TEXTS, LABELS, {"num_filter": 3}),
            "build_cnn_classifier has no option num_filter; it has .*num_filters.*TrainingConfig",
        ),
        ((TEXTS, LABELS, {"warmup_steps": -1}), "warmup_steps is -1"),
        ((TEXTS, LABELS, {"class_weight": {"z": 1}}), "'z', which is none of the classes"),
        ((TEXTS, LABELS, {"class_weight": "even"}), 'give "balanced"'),
        ((TEXTS, LABELS, {"validation": TEXTS}), "validation is"),
        ((TEXTS, LABELS, {"validation": 1.5}), "validation is 1.5"),
        ((TEXTS, LABELS, {"validation": ([("a", "b")], ["x"])}), "pairs and those of validation are not|the other"),
        ((["", " ", "", ""], LABELS), "no word at all"),
    ],
)
def test_mistakes_are_one_line(arguments, said):
    *given, options = arguments if isinstance(arguments[-1], dict) else (*arguments, {})
    with pytest.raises(lk.InputError, match=said) as error:
        TextClassifier.train(*given, **options)
    assert "\n" not in str(error.value)


def test_a_language_model_is_no_encoder(tmp_path):
    with pytest.raises(lk.InputError, match="no encoder; lk.prompting.PromptClassifier"):
        TextClassifier.train(TEXTS, LABELS, encoder=str(ROOT / "tests" / "golden" / "gpt2"))
