"""The CRF layer against all sequences of tags, one by one."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.layers.crf import CRF, log_partition, marginals, viterbi

C = 4


def layer_and_emissions(seed, batch, length):
    rng = np.random.default_rng(seed)
    layer, emissions = CRF(), rng.normal(0, 2, (batch, length, C)).astype("float32")
    layer(emissions)
    layer.set_weights([rng.normal(0, 1.5, weight.shape) for weight in layer.get_weights()])
    return layer, emissions


def sequences(layer, emissions):
    """All sequences of the words of one text and their scores, by the definition."""
    transitions, start, end = (weight.astype("float64") for weight in layer.get_weights())
    found = list(itertools.product(range(C), repeat=len(emissions)))
    scores = []
    for tags in found:
        score = start[tags[0]] + end[tags[-1]] + sum(emissions[t, tag] for t, tag in enumerate(tags))
        scores.append(score + sum(transitions[i, j] for i, j in itertools.pairwise(tags)))
    return np.array(found), np.array(scores)


@pytest.mark.parametrize("length", range(1, 7))
def test_all_sequences_of_up_to_six_words(length):
    layer, emissions = layer_and_emissions(length, 3, length)
    potentials = layer(emissions)
    for row in range(3):
        tags, scores = sequences(layer, emissions[row].astype("float64"))
        p = np.exp(scores - scores.max())
        np.testing.assert_allclose(
            log_partition(potentials)[row], scores.max() + np.log(p.sum()), rtol=1e-5, atol=1e-5
        )
        np.testing.assert_array_equal(viterbi(potentials)[row], tags[scores.argmax()])
        expected = [[p[tags[:, t] == tag].sum() / p.sum() for tag in range(C)] for t in range(length)]
        np.testing.assert_allclose(marginals(potentials)[row], expected, atol=1e-5)
        chosen = tags[7 % len(tags)]
        one = lk.losses.CRFLoss(reduction="none")(chosen[None], potentials[row : row + 1])
        np.testing.assert_allclose(one[0], -np.log(p[7 % len(tags)] / p.sum()), rtol=1e-4, atol=1e-4)


def test_a_tag_that_is_not_known_may_be_any():
    layer, emissions = layer_and_emissions(0, 1, 5)
    tags, scores = sequences(layer, emissions[0].astype("float64"))
    fits = (tags[:, 0] == 2) & (tags[:, 3] == 1)
    expected = np.log(np.exp(scores).sum()) - np.log(np.exp(scores[fits]).sum())
    y = np.array([[2, -1, -1, 1, -1]])
    np.testing.assert_allclose(lk.losses.CRFLoss(reduction="none")(y, layer(emissions))[0], expected, rtol=1e-5)
    np.testing.assert_allclose(lk.losses.CRFLoss()(y, layer(emissions)), expected / 2, rtol=1e-5)


@pytest.mark.parametrize("places", [(0, 1, 2), (0, 2, 5), (3, 4, 5), (2,)])
def test_padding_changes_nothing_wherever_it_is(places):
    layer, emissions = layer_and_emissions(3, 2, 6)
    valid = np.isin(np.arange(6), places)[None].repeat(2, 0).astype("int32")
    few, many = layer(emissions[:, list(places)]), layer(emissions, valid=valid)
    np.testing.assert_allclose(log_partition(many), log_partition(few), rtol=1e-6)
    np.testing.assert_array_equal(viterbi(many).numpy()[:, list(places)], viterbi(few))
    np.testing.assert_allclose(marginals(many).numpy()[:, list(places)], marginals(few), atol=1e-6)
    y = np.full((2, 6), -1)
    y[:, list(places)] = 1
    np.testing.assert_allclose(lk.losses.CRFLoss()(y, many), lk.losses.CRFLoss()(y[:, list(places)], few), rtol=1e-5)


def test_the_mask_of_keras_is_padding_too():
    ids = np.array([[1, 2, 0, 0], [3, 1, 2, 1]])
    embed, layer = keras.layers.Embedding(4, C, mask_zero=True), CRF()
    np.testing.assert_array_equal(layer(embed(ids)), layer(embed(ids), valid=(ids > 0).astype("int32")))


def test_gradients_are_those_of_finite_differences():
    layer, emissions = layer_and_emissions(5, 2, 4)
    valid, y = np.array([[1, 1, 1, 0], [1, 1, 1, 1]]), np.array([[3, 0, 1, -1], [2, 2, -1, 0]])
    weights = layer.get_weights()

    def loss(emissions, weights):
        layer.set_weights(weights)
        return lk.losses.CRFLoss()(y, layer(emissions, valid=valid))

    with tf.GradientTape() as tape:
        given = tf.constant(emissions)
        tape.watch(given)
        value = loss(given, weights)
    found = [part.numpy() for part in tape.gradient(value, [given, *layer.trainable_weights])]
    for place, array in enumerate([emissions, *weights]):
        for index in itertools.islice(np.ndindex(array.shape), 0, None, 5):
            sides = []
            for step in (0.05, -0.05):
                moved = [part.copy() for part in (emissions, *weights)]
                moved[place][index] += step
                sides.append(float(loss(moved[0], moved[1:])))
            np.testing.assert_allclose(found[place][index], (sides[0] - sides[1]) / 0.1, rtol=0.02, atol=1e-3)


def chain(classes=3, words=12):
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(words, 16)(ids)
    return keras.Model(ids, CRF(name="crf")(keras.layers.Dense(classes)(x), valid=ids != 0), name="chain")


def test_fit_learns_tags_that_only_the_tag_before_tells():
    # Words 1 and 2 begin a name of either kind, word 3 goes on with it, word 4 is outside.
    rng = np.random.default_rng(0)
    ids, tags = np.full((256, 9), 4), np.zeros((256, 9), int)
    for t in range(9):
        inside = tags[:, t - 1] > 0 if t else np.zeros(256, bool)
        ids[:, t] = np.where(inside & (rng.random(256) < 0.6), 3, rng.choice([1, 2, 4], 256))
        same = np.where(tags[:, t - 1] % 2 == 1, 3, 4)  # of tags 1 and 3, or 2 and 4
        tags[:, t] = np.where(ids[:, t] == 3, same, ids[:, t] % 4)
    ids[:, -2:], tags[:, -2:] = 0, -1
    keras.utils.set_random_seed(0)
    model = chain(5)
    config = lk.TrainingConfig(epochs=10, batch_size=32, learning_rate=0.1, warmup_steps=0)
    history = lk.fit(model, (ids, tags), (ids, tags), config)
    assert history.history["val_accuracy"][-1] == 1
    report = lk.evaluate(model, (ids, tags))
    potentials, known = model(ids), tags >= 0
    np.testing.assert_allclose(report["accuracy"], (viterbi(potentials).numpy() == tags)[known].mean(), rtol=1e-6)
    np.testing.assert_allclose(report["loss"], lk.losses.CRFLoss()(tags, potentials), rtol=1e-5)


def test_a_saved_model_has_its_crf(tmp_path):
    model, ids = chain(), np.array([[1, 2, 3, 0]])
    model.get_layer("crf").set_weights([np.arange(9.0).reshape(3, 3), np.arange(3.0), -np.arange(3.0)])
    model.compile(loss=lk.losses.CRFLoss())
    model.save(tmp_path / "chain.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "chain.keras")(ids), model(ids))


def test_potentials_in_a_graph_of_unknown_sizes():
    layer, emissions = layer_and_emissions(1, 2, 5)
    potentials = layer(emissions)
    for does in (viterbi, marginals, log_partition):
        graph = tf.function(does, input_signature=[tf.TensorSpec([None, None, C, C])])
        np.testing.assert_allclose(graph(potentials), does(potentials), rtol=1e-5)


def test_wrong_shapes_are_refused():
    layer, emissions = layer_and_emissions(1, 2, 5)
    with pytest.raises(InputError, match=r"give the number of a tag for each word"):
        lk.losses.CRFLoss()(np.zeros((2, 5, C)), layer(emissions))
    with pytest.raises(InputError, match=r"a CRF layer gives potentials \[B, T, C, C\]"):
        lk.losses.CRFLoss()(np.zeros((2, 5), int), emissions)
    with pytest.raises(InputError, match="classes 0 to 2"):
        lk.fit(chain(), (np.ones((4, 3), int), np.full((4, 3), 3)), config=lk.TrainingConfig(epochs=1))
