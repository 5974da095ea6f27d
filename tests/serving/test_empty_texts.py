"""Empty texts: `padded` gives them a column, and `lk.check` asks every signature of text for them."""

import keras
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.serving import Served, padded, signature

pytestmark = pytest.mark.usefixtures("warm_check")


@pytest.mark.parametrize(
    "rows, dense", [([[3, 4], [], [5]], [[3, 4], [9, 9], [5, 9]]), ([[], []], [[9], [9]]), ([], [])]
)
def test_padded_rows_have_a_column_in_python_and_in_a_graph(rows, dense):
    ragged = tf.ragged.constant(rows, tf.int32, ragged_rank=1)
    graph = tf.function(lambda ids: padded(ids, 9), input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)])
    for made in (padded(rows, 9), padded(ragged, 9), graph(ragged)):
        assert made.dtype == tf.int32 and made.numpy().tolist() == dense and made.shape[1] >= 1


class Careless(lk.TextModel):
    """A number for each text, with what is made of its ids."""

    def __init__(self, layers, pad):
        self.tokenizer, self.pad = lk.text.WordTokenizer.train(["a b c"]), pad
        embed = keras.layers.Embedding(self.tokenizer.vocab_size, 4, mask_zero=True)
        model = keras.Sequential([keras.Input((None,), dtype="int32"), embed, *layers, keras.layers.Dense(1)])
        super().__init__(model, {"tokenizer": self.tokenizer})

    def signatures(self):
        def served(text):
            return {"number": self.model(self.pad(self.tokenizer.tf_encode(text), self.tokenizer.pad_id))[:, 0]}

        def answer(name, inputs):
            return {"number": served(tf.constant(inputs["text"]))["number"].numpy().tolist()}

        return Served({"number": signature(served, ("text", tf.string))}, {"number": {"text": ["a b", "c"]}}, answer)


def checked(folder, layers, pad):
    return lk.check(lk.export(Careless(layers, pad), folder / "x"))


def test_the_check_asks_for_an_empty_text_and_no_text(tmp_path):
    assert checked(tmp_path, [keras.layers.GRU(4)], padded) == []


def test_a_signature_that_fails_on_an_empty_text_is_a_problem(tmp_path):
    problems = checked(tmp_path, [keras.layers.GRU(4)], lambda ids, pad_id: ids.to_tensor(pad_id))
    assert [problem.partition(": ")[0] for problem in problems] == [
        "number fails on an empty text",
        "number fails on a request without any row",
    ]


def test_an_empty_text_without_a_number_is_a_problem(tmp_path):
    (problem,) = checked(tmp_path, [keras.layers.GlobalAveragePooling1D()], padded)
    assert problem == "number: number of an empty text is not a number"
