"""The memory network against its equations in NumPy: places of words, ages of sentences, hops."""

import keras
import numpy as np
import pytest

from lm_keras.errors import InputError
from lm_keras.models import build_memory_network

V, D, C, AGES = 9, 4, 3, 3
STORY = np.array(
    [
        [[3, 7, 0], [1, 4, 8], [2, 0, 0], [5, 5, 6]],  # four sentences, three ages
        [[3, 1, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]
)
QUESTION = np.array([[2, 6, 0], [5, 0, 0], [1, 2, 3]])


def encoded(table, ids):
    """Section 4.1: the sum of l_j * x_j over the words that are there."""
    ids, total = [i for i in ids if i], np.zeros(D)
    for j, word in enumerate(ids, 1):
        for k in range(1, D + 1):
            weight = (1 - j / len(ids)) - (k / D) * (1 - 2 * j / len(ids))
            total[k - 1] += weight * table[word, k - 1]
    return total


@pytest.mark.parametrize("hops", [1, 3])
def test_the_answer_by_its_equations(hops):
    model = build_memory_network(V, num_classes=C, embedding_dim=D, num_hops=hops, max_sentences=AGES, seed=0)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in model.get_weights()])
    w = {weight.path: weight.numpy().astype("float64") for weight in model.weights}
    looks = keras.Model(model.inputs, [model.get_layer(f"attention_{hop + 1}").output for hop in range(hops)])
    inputs = {"story": STORY, "question": QUESTION}
    found, weights = keras.ops.convert_to_numpy(model(inputs)), looks(inputs)
    for row, (story, question) in enumerate(zip(STORY, QUESTION, strict=True)):
        sentences = [sentence for sentence in story if sentence.any()]
        ages = [min(len(sentences) - 1 - i, AGES - 1) for i in range(len(sentences))]
        memories = [
            [
                encoded(w[f"words_{hop}/embeddings"], ids) + w[f"ages_{hop}/embeddings"][age]
                for ids, age in zip(sentences, ages, strict=True)
            ]
            for hop in range(hops + 1)
        ]
        u = encoded(w["words_0/embeddings"], question)
        for hop in range(hops):
            if sentences:
                scores = np.array(memories[hop]) @ u
                p = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
                seen = keras.ops.convert_to_numpy(weights[hop] if hops > 1 else weights)[row]
                np.testing.assert_allclose(seen[: len(p)], p, atol=1e-6)
                u = u + p @ np.array(memories[hop + 1])
        np.testing.assert_allclose(found[row], u @ w["logits/kernel"] + w["logits/bias"], rtol=1e-5, atol=1e-6)


def test_the_order_of_words_and_of_sentences_counts():
    model = build_memory_network(V, num_classes=C, embedding_dim=D, initializer_range=1.0, seed=0)
    inputs = {"story": STORY[:1], "question": QUESTION[:1]}
    found = keras.ops.convert_to_numpy(model(inputs))
    for changed in (STORY[:1, ::-1], STORY[:1, :, [1, 0, 2]]):
        assert np.abs(keras.ops.convert_to_numpy(model({**inputs, "story": changed})) - found).max() > 1e-3


@pytest.mark.parametrize("wrong", [{"num_classes": 1}, {"num_hops": 0}, {"max_sentences": 0}, {"dropout": 1.0}])
def test_impossible_sizes(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} is"):
        build_memory_network(V, **{"num_classes": C, **wrong})
