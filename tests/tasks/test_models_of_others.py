"""Text models of plain Keras models: what masks padding works, what does not is refused before it answers wrongly."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_tasks import encoder, policy, text_to_text, word_pieces

import lm_keras as lk
from lm_keras import tasks
from lm_keras.tasks.inputs import by_pieces, windows


@pytest.fixture(scope="module")
def words(news):
    return lk.text.WordTokenizer.train(news, vocab_size=300)


def pooled(words, *, mask, last=None, length=None):
    """The commonest classifier: the mean of the vectors of its words."""
    embed = layers.Embedding(words.vocab_size, 8, keras.initializers.RandomNormal(stddev=1.0, seed=1), mask_zero=mask)
    dense = layers.Dense(2, last, kernel_initializer=keras.initializers.RandomNormal(stddev=3.0, seed=2))
    return keras.Sequential([keras.Input((length,), dtype="int32"), embed, layers.GlobalAveragePooling1D(), dense])


def test_a_sequential_model_that_masks_padding(words, passages):
    classifier = tasks.TextClassifier(pooled(words, mask=True), words, ["a", "b"])
    alone = [classifier.classify(text)[0].score for text in passages]
    np.testing.assert_allclose(alone, [one.score for one in classifier.classify(passages)], atol=1e-6)
    assert max(alone) - min(alone) > 0.1


def test_a_model_that_looks_at_padding_needs_a_length(words, passages):
    with pytest.raises(lk.InputError, match="it looks at padding; .* give max_length"):
        tasks.TextClassifier(pooled(words, mask=False), words, ["a", "b"])
    for classifier in (
        tasks.TextClassifier(pooled(words, mask=False), words, ["a", "b"], max_length=40),
        tasks.TextClassifier(pooled(words, mask=False, length=40), words, ["a", "b"]),
    ):
        alone = [classifier.classify(text)[0].score for text in passages]
        np.testing.assert_allclose(alone, [one.score for one in classifier.classify(passages)], atol=1e-6)


def test_padding_that_the_model_takes_for_a_word(news):
    pieces = word_pieces(news)
    ids = list(range(pieces.vocab_size))[1:] + [0]
    other = lk.text.WordPieceTokenizer([pieces.tokens[i] for i in ids])
    assert other.pad_id != 0
    sizes = {"num_classes": 2, "embedding_dim": 8, "kernel_sizes": (2, 3), "num_filters": 6, "seed": 0}
    model = lk.models.build_cnn_classifier(other.vocab_size, **sizes)
    model.get_layer("embedding").set_weights([np.random.default_rng(0).normal(size=(other.vocab_size, 8))])
    with pytest.raises(lk.InputError, match="looks at padding"):
        tasks.TextClassifier(model, other, ["a", "b"])


def test_an_encoder_without_its_own_layer_keeps_its_limit(news, passages):
    pieces = word_pieces(news)
    inner = encoder(pieces)
    model = keras.Model(inner.input, layers.Dense(3, name="head")(inner.output["pooled_output"]))
    classifier = tasks.TextClassifier(model, pieces, ["a", "b", "c"])
    assert len(pieces.encode(passages[-4])) > 32
    assert len(classifier.classify(passages)) == len(passages)


def test_what_is_no_text_model_is_one_line(words, news):
    pieces = word_pieces(news)
    two = [keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")]
    both = keras.Model(two, layers.GlobalAveragePooling1D()(layers.Embedding(300, 2)(two[0])))
    tagger = lk.models.token_classifier(encoder(pieces), 2)
    for make, said in [
        (lambda: tasks.TextClassifier(pooled(words, mask=True, last="softmax"), words, ["a", "b"]), "gives probabil"),
        (lambda: tasks.TextClassifier("runs/x", words, ["a", "b"]), "not of a str"),
        (lambda: tasks.TextClassifier(keras.Sequential([layers.Dense(2)]), words, ["a", "b"]), "not of a Sequential"),
        (lambda: tasks.TextClassifier(both, words, ["a", "b"]), "has 2 inputs"),
        (lambda: tasks.TextClassifier(pooled(words, mask=True), words, "ab"), "a list with a string"),
        (
            lambda: tasks.TextTagger(tagger, words, ["a", "b"]),
            "give a WordPieceTokenizer, or a WordTokenizer of language None, not",
        ),
        (lambda: tasks.TextEmbedder(pooled(words, mask=True), words), "no sequence_output"),
        (lambda: tasks.TextClassifier(pooled(words, mask=True), words, ["a", "b"]).classify(5), "texts is 5"),
        (lambda: tasks.TextClassifier(pooled(words, mask=True), words, ["a", "b"]).classify(b"x"), "texts is b'x'"),
    ]:
        with pytest.raises(lk.InputError, match=said):
            make()


def test_text_to_text_in_mixed_precision(words):
    with policy("mixed_bfloat16"):
        bundle = text_to_text(words)
    assert bundle.generate("The fire", max_new_tokens=4)[0].token_ids


def test_the_windows_of_a_long_text_go_through_a_model_a_few_at_a_time():
    found = windows(tf.constant([3, 5000, 0, 40]), tf.constant([10, 10, 10, 10]))

    def run(some):
        tf.debugging.assert_less_equal(tf.size(some.row), 64)
        return some.start, tf.stack([some.row, some.end], 1)

    kinds = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 2], tf.int32)]
    starts, others = tf.function(lambda: by_pieces(run, found, kinds))()
    assert len(found.row) > 900 and found.count.numpy().tolist() == [1, 999, 1, 7]
    np.testing.assert_array_equal(starts, found.start)
    np.testing.assert_array_equal(others, tf.stack([found.row, found.end], 1))
