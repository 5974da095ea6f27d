"""The tables of n-grams in a graph beside the same model in NumPy, which brute force proves; damaged tables."""

import keras
import numpy as np
import pytest

import lm_keras as lk
from lm_keras import tasks
from lm_keras.errors import InputError
from lm_keras.layers.ngrams import NGrams
from lm_keras.training.baselines import kneser_ney_probabilities

TRAIN = ["a b a c", "b a b", "c a b a", "", "a a a b c d"]
TEXTS = ["a b c d", "d d d d d", "", "c a b a x", "x"]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_log_probabilities_are_those_of_kneser_ney(order):
    lm = tasks.NGramLM.train(TRAIN, order=order)
    rows = [lm.tokenizer.encode_batch(texts) for texts in (TRAIN, TEXTS)]
    p = kneser_ney_probabilities(*rows, lm.tokenizer.vocab_size, order, eos_id=lm.tokenizer.eos_id)
    ends = np.cumsum([len(row) + 1 for row in rows[1]])
    expected = [np.log(part).sum() for part in np.split(p, ends[:-1])]
    found = lm.score(TEXTS)
    np.testing.assert_allclose([one.log_prob for one in found], expected, rtol=1e-5)
    assert [one.num_tokens for one in found] == [len(row) + 1 for row in rows[1]]
    assert found[0].bits_per_byte == pytest.approx(-expected[0] / np.log(2) / 7, rel=1e-5)
    assert np.isnan(found[2].bits_per_byte) and lm.order == order


def test_columns_below_0_count_nowhere():
    lm = tasks.NGramLM.train(TRAIN)
    ids = np.array([lm.tokenizer.encode("a b c")], "int32")
    wide = np.pad(ids, [[0, 0], [0, 3]], constant_values=-1)
    found = lm.model(wide).numpy()
    np.testing.assert_array_equal(found[:, :3], lm.model(ids))
    assert (found[:, 3:] == 0).all()


def test_what_is_refused():
    lm = tasks.NGramLM.train(TRAIN)
    other = lk.text.WordTokenizer.train(["quite other words"])
    for tokenizer, model, said in (
        (other, lm.model, "the tokenizer"),
        (lm.tokenizer, keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), "has no tables of n-grams"),
    ):
        with pytest.raises(InputError, match=said):
            tasks.NGramLM(model, tokenizer)
    for call, said in (
        (lambda: tasks.NGramLM.train([]), "no text to count"),
        (lambda: tasks.NGramLM.train(TRAIN, order=0), "order"),
        (lambda: NGrams(5, 0, [1], [3, 4]), "contexts of 1 orders"),
        (lambda: NGrams(5, 0, [1], [0]), "num_grams"),
    ):
        with pytest.raises(InputError, match=said):
            call()
    weights = lm.model.get_weights()
    lm.model.set_weights([weights[0], weights[1][::-1], *weights[2:]])
    with pytest.raises(InputError, match="tables of ngrams are damaged"):
        tasks.NGramLM(lm.model, lm.tokenizer)
