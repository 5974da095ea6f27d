"""The BiLSTM tagger against its equations in NumPy: words, characters, both directions, and the chain's scores."""

import numpy as np
import pytest
from keras import ops

from lm_keras.errors import InputError
from lm_keras.models import build_bilstm_tagger

V, C, H, L = 9, 3, 3, 6
EQUAL = {"rtol": 1e-5, "atol": 1e-5}
WORDS = [[3, 7, 1, 4], [5]]
SPELLED = [[[2, 3, 4], [4], [2, 2, 3, 5], [5, 4, 3, 2, 2, 3]], [[3, 3]]]


def small(**changes):
    sizes = {"embedding_dim": 4, "hidden_dim": H, "num_characters": 6, "character_dim": 3, "character_filters": 2}
    model = build_bilstm_tagger(V, **{"num_classes": C, "word_length": L, "seed": 0, **sizes, **changes})
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in model.get_weights()])
    return model


def inputs():
    """Both texts with a column of padding more than the longest needs."""
    words, characters = np.zeros((2, 5), "int32"), np.zeros((2, 5, L), "int32")
    for b, (text, spelled) in enumerate(zip(WORDS, SPELLED, strict=True)):
        words[b, : len(text)] = text
        for t, word in enumerate(spelled):
            characters[b, t, : len(word)] = word
    return {"words": words, "characters": characters}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, w, u, b):
    h, c, states = np.zeros(H), np.zeros(H), []
    for step in x:
        i, f, g, o = np.split(step @ w + h @ u + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def emissions(model, text, spelled, name):
    w = {weight.path: weight.numpy().astype("float64") for weight in model.weights}
    layer = {path.split("/")[0]: [w[p] for p in w if p.split("/")[0] == path.split("/")[0]] for path in w}
    x = w["embedding/embeddings"][text]
    if "trained_part/embeddings" in w:
        x = x + [w["trained_part/embeddings"][i] if i < 5 else np.zeros(4) for i in text]
    best = []
    for word in spelled:  # the largest answer of each filter to three neighbors
        around = np.concatenate([np.zeros((1, 3)), w["character_embedding/embeddings"][word], np.zeros((1, 3))])
        windows = np.stack([around[i : i + 3].reshape(-1) for i in range(len(word))])
        best.append((windows @ w["character_filters/kernel"] + w["character_filters/bias"]).max(0))
    x = np.concatenate([x, best], 1)
    both = np.concatenate([lstm(x, *layer["forward"]), lstm(x[::-1], *layer["backward"])[::-1]], 1)
    return both @ w[f"{name}/kernel"] + w[f"{name}/bias"], layer.get("crf")


@pytest.mark.parametrize("options", [{}, {"train_embeddings": False, "trained_words": 5}])
def test_logits_follow_the_equations_of_each_text_alone(options):
    model = small(crf=False, **options)
    found = ops.convert_to_numpy(model(inputs()))
    for row, text, spelled in zip(found, WORDS, SPELLED, strict=True):
        np.testing.assert_allclose(row[: len(text)], emissions(model, text, spelled, "logits")[0], **EQUAL)


def test_potentials_are_those_of_the_emissions():
    model = small()
    found = ops.convert_to_numpy(model(inputs()))
    for row, text, spelled in zip(found, WORDS, SPELLED, strict=True):
        scores, (transitions, start, end) = emissions(model, text, spelled, "emissions")
        assert transitions.shape == (C, C)
        scores[-1] += end
        np.testing.assert_allclose(row[0], start + scores[:1].repeat(C, 0), **EQUAL)
        for t in range(1, len(text)):
            np.testing.assert_allclose(row[t], transitions + scores[t], **EQUAL)


def test_words_alone():
    model = small(num_characters=None, crf=False)
    assert set(model.input) == {"words"} and model.output_shape == (None, None, C)
    assert ops.convert_to_numpy(model({"words": inputs()["words"]})).shape == (2, 5, C)


def test_what_is_frozen_does_not_train():
    matrix = np.arange(4 * V, dtype="float32").reshape(V, 4) / 50
    model = build_bilstm_tagger(
        V, num_classes=C, embedding_matrix=matrix, train_embeddings=False, trained_words=5, hidden_dim=H
    )
    trained = {weight.path: weight.shape for weight in model.trainable_weights}
    assert trained["trained_part/embeddings"] == (5, 4) and "embedding/embeddings" not in trained
    np.testing.assert_array_equal(model.get_layer("embedding").get_weights()[0], matrix)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"num_classes": 1}, "num_classes"),
        ({"num_characters": 1}, "num_characters"),
        ({"word_length": 0}, "word_length"),
        ({"trained_words": 3}, "trained_words is of a frozen embedding"),
        ({"trained_words": V + 1, "train_embeddings": False}, "trained_words"),
        ({"crf": 1.5}, "crf is 1.5"),
    ],
)
def test_impossible_options(changes, said):
    with pytest.raises(InputError, match=said):
        build_bilstm_tagger(V, **{"num_classes": C, **changes})
