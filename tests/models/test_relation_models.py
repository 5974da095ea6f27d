"""The relation models against their equations in NumPy: distances, filters, lexical features, attention."""

import numpy as np
import pytest
from keras import ops
from small_models import build

from lm_keras.errors import InputError
from lm_keras.models import build_bert, build_relation_cnn, build_relation_rnn, relation_classifier

V, E, P, D, H, C = 9, 4, 2, 3, 5, 3
EQUAL = {"rtol": 1e-5, "atol": 1e-6}
SIZES = {"num_classes": C, "embedding_dim": E, "position_dim": P, "max_distance": D, "hidden_dim": H, "dropout": 0.0}
WORDS = [[3, 7, 1, 4, 8, 2], [5, 6, 0, 0, 0, 0]]
FIRST = [[4, 5, 6, 7, 7, 7], [4, 5, 0, 0, 0, 0]]  # the first word; of the second row too
SECOND = [[1, 2, 3, 4, 4, 5], [3, 4, 0, 0, 0, 0]]  # the words 3 and 4; the word 1
INPUTS = {"words": np.array(WORDS), "first": np.array(FIRST), "second": np.array(SECOND)}


def small(builder, **changes):
    model = builder(V, **{**SIZES, "seed": 0, **changes})
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in model.get_weights()])
    return model, {weight.path: weight.numpy().astype("float64") for weight in model.weights}


def vectors(w, row):
    """[words, E], [words, 2 P] of a row without its padding."""
    real = [i for i, word in enumerate(WORDS[row]) if word]
    x = w["embedding/embeddings"][[WORDS[row][i] for i in real]]
    places = [w[f"{name}_position/embeddings"][[side[row][i] for i in real]]
              for name, side in (("first", FIRST), ("second", SECOND))]  # fmt: skip
    return x, np.concatenate(places, 1)


def mean(rows):
    return rows.mean(0) if len(rows) else np.zeros(E)


@pytest.mark.parametrize("lexical, piecewise", [(True, False), (False, True)])
def test_the_cnn_by_its_equations(lexical, piecewise):
    sizes = {"kernel_sizes": (2, 3), "num_filters": 4, "lexical": lexical, "piecewise": piecewise}
    model, w = small(build_relation_cnn, **sizes)
    found = ops.convert_to_numpy(model(INPUTS))
    for row in (0, 1):
        x, places = vectors(w, row)
        both, best = np.concatenate([x, places], 1), []
        steps = np.array([side[row][: len(x)] for side in (FIRST, SECOND)]) - D - 1
        parts = [(steps < 0).all(0), (steps > 0).all(0)]
        parts = [parts[0], ~parts[0] & ~parts[1], parts[1]] if piecewise else [np.full(len(x), True)]
        for i, size in enumerate((2, 3)):
            padded = np.pad(both, ((size // 2, size - 1 - size // 2), (0, 0)))
            windows = np.stack([padded[at : at + size] for at in range(len(x))])
            answers = np.einsum("nse,sef->nf", windows, w[f"conv_{i}/kernel"]) + w[f"conv_{i}/bias"]
            best += [answers[part].max(0) if part.any() else np.zeros(4) for part in parts]
        features = [np.tanh(np.concatenate(best) @ w["sentence/kernel"] + w["sentence/bias"])]
        if lexical:
            features += [mean(x[at == step]) for at in steps for step in (-1, 0, 1)]
        expected = np.concatenate(features) @ w["logits/kernel"] + w["logits/bias"]
        np.testing.assert_allclose(found[row], expected, **EQUAL)


def lstm(x, w, u, b):
    h, c, states = np.zeros(H), np.zeros(H), []
    for step in x:
        i, f, g, o = np.split(step @ w + h @ u + b, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        states.append(h)
    return np.array(states)


@pytest.mark.parametrize("entity_states", [True, False])
def test_the_rnn_by_its_equations(entity_states):
    model, w = small(build_relation_rnn, entity_states=entity_states)
    found = ops.convert_to_numpy(model(INPUTS))
    for row in (0, 1):
        x = np.concatenate(vectors(w, row), 1)
        ways = [[w[path] for path in w if path.startswith(way)] for way in ("forward", "backward")]
        states = lstm(x, *ways[0]) + lstm(x[::-1], *ways[1])[::-1]
        scores = np.exp(np.tanh(states) @ w["attention/kernel"][:, 0])
        features = [np.tanh(scores / scores.sum() @ states)]
        if entity_states:
            features += [states[INPUTS[key][row][: len(states)] == D + 1].mean(0) for key in ("first", "second")]
        vector = np.concatenate(features)
        np.testing.assert_allclose(found[row], vector @ w["logits/kernel"] + w["logits/bias"], **EQUAL)


@pytest.mark.parametrize("family", ["relation_cnn", "relation_rnn"])
def test_a_text_without_words_has_an_answer(family):
    empty = {name: np.zeros([2, 3], "int32") for name in ("words", "first", "second")}
    assert np.isfinite(ops.convert_to_numpy(build(family)(empty))).all()


def test_a_frozen_matrix_with_a_trained_part():
    matrix = np.random.default_rng(0).normal(size=(V, E)).astype("float32")
    model = build_relation_cnn(V, **SIZES, embedding_matrix=matrix, train_embeddings=False, trained_words=5, seed=0)
    shift = model.get_layer("trained_part")
    before = ops.convert_to_numpy(model(INPUTS))
    np.testing.assert_allclose(ops.convert_to_numpy(model.get_layer("embedding").embeddings), matrix)
    assert shift.embeddings.shape == (5, E) and shift.trainable and not model.get_layer("embedding").trainable
    shift.set_weights([np.ones((5, E), "float32")])  # words of the second row have no shift
    after = ops.convert_to_numpy(model(INPUTS))
    np.testing.assert_allclose(after[1], before[1], **EQUAL)
    assert np.abs(after[0] - before[0]).max() > 1e-3


def test_a_head_on_spans_reads_their_tokens():
    encoder = build_bert(V, max_length=8, hidden_dim=8, num_layers=1, num_heads=2, initializer_range=0.5, seed=0)
    model = relation_classifier(encoder, C, seed=0)
    rng = np.random.default_rng(0)
    for name in ("text", "span", "logits"):
        layer = model.get_layer(name)
        layer.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in layer.get_weights()])
    ids = np.array([[1, 5, 3, 2, 0], [1, 4, 7, 6, 2]], "int32")
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": (ids > 0).astype("int32")}
    spans = {
        "first": np.array([[0, 1, 0, 0, 0], [0, 1, 1, 0, 0]]),
        "second": np.array([[0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]),
    }
    found = ops.convert_to_numpy(model({**inputs, **spans}))
    states = ops.convert_to_numpy(encoder(inputs)["sequence_output"]).astype("float64")
    w = {
        name: [part.astype("float64") for part in model.get_layer(name).get_weights()]
        for name in ("text", "span", "logits")
    }

    def tanh(x, name):
        return np.tanh(x @ w[name][0] + w[name][1])

    for row, real in ((0, 4), (1, 5)):
        parts = [tanh(states[row, :real].mean(0), "text")]
        for mask in (spans["first"][row], spans["second"][row]):
            parts.append(tanh(states[row][mask > 0].mean(0) if mask.any() else np.zeros(8), "span"))
        np.testing.assert_allclose(
            found[row], np.concatenate(parts) @ w["logits"][0] + w["logits"][1], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kernel_sizes": ()}, "kernel_sizes is"),
        ({"max_distance": 0}, "max_distance is 0"),
        ({"max_distance": 1}, "max_distance is 1"),
        ({"position_dim": 0}, "position_dim is 0"),
        ({"trained_words": 3}, "trained_words is of a frozen embedding"),
        ({"num_classes": 1}, "num_classes is 1"),
        ({"lexical": 2}, "lexical is 2"),
        ({"piecewise": 2}, "piecewise is 2"),
    ],
)
def test_bad_sizes(changes, message):
    with pytest.raises(InputError, match=message):
        build_relation_cnn(V, **{**SIZES, **changes})
