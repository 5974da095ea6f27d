"""evaluate: every token counts once, whatever the batches are."""

import gc
import math
import weakref

import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.errors import InputError

V = 17


@pytest.fixture(scope="module")
def model():
    model = lk.models.build_lstm_lm(V, embedding_dim=6, hidden_dim=8, num_layers=2, seed=0)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in model.get_weights()])
    return model


def nats_and_hits(model, x, y):
    """The nats of every target [B, T], and whether it is the likeliest word, in float64 NumPy."""
    logits = model(x).numpy().astype("float64")
    shifted = logits - logits.max(-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(log_probs, y[..., None], -1)[..., 0], logits.argmax(-1) == y


def as_dataset(batches):
    return tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=(tf.TensorSpec([None, None], tf.int32),) * 2
    )


def test_tokens_weigh_the_same_in_batches_of_different_sizes(model):
    rng = np.random.default_rng(1)
    shapes = [(4, 9), (1, 3), (2, 14)]
    batches = [tuple(rng.integers(0, V, shape).astype("int32") for _ in "xy") for shape in shapes]
    nats, hits = (np.concatenate(parts) for parts in zip(*(
        [part.ravel() for part in nats_and_hits(model, x, y)] for x, y in batches
    ), strict=True))  # fmt: skip
    result = lk.evaluate(model, as_dataset(batches))
    assert result["tokens"] == nats.size == 67
    assert isinstance(result["tokens"], int)
    assert result["loss"] == pytest.approx(nats.mean(), rel=1e-5)
    assert result["perplexity"] == pytest.approx(math.exp(nats.mean()), rel=1e-5)
    assert result["accuracy"] == pytest.approx(hits.mean(), rel=1e-6)
    assert "bits_per_byte" not in result  # nothing is known of a text


def text_windows(**options):
    texts = ["the cat sat on the mat", "一 the dog 🙂 sat", "on the cat"]
    tokenizer = lk.text.WordTokenizer.train(texts, language=None)
    num_bytes = sum(len(text.encode()) for text in texts)
    stream = [tokenizer.eos_id]
    for text in texts:
        stream += [*tokenizer.encode(text), tokenizer.eos_id]
    return lk.data.lm_windows(texts, tokenizer, **options), np.array([stream], "int32"), num_bytes


def test_bits_per_byte_is_over_the_bytes_of_the_texts(model):
    windows, stream, num_bytes = text_windows(length=4, batch_size=3, shuffle=False)
    # Windows start without a state: sum the nats of each window by itself.
    total = sum(
        nats_and_hits(model, stream[:, i : i + 4][:, : stream.shape[1] - 1 - i], stream[:, i + 1 : i + 5])[0].sum()
        for i in range(0, stream.shape[1] - 1, 4)
    )
    result = lk.evaluate(model, windows)
    assert result["tokens"] == stream.shape[1] - 1
    assert result["bits_per_byte"] == pytest.approx(total / math.log(2) / num_bytes, rel=1e-5)


@pytest.mark.parametrize("rows", [1, 3])
def test_contiguous_windows_equal_one_long_forward_pass(model, rows):
    windows, stream, _ = text_windows(length=2, batch_size=rows, contiguous=True)
    row = (stream.shape[1] - 1) // rows
    x = np.stack([stream[0, b * row : (b + 1) * row] for b in range(rows)])
    y = np.stack([stream[0, b * row + 1 : (b + 1) * row + 1] for b in range(rows)])
    nats, hits = nats_and_hits(model, x, y)
    for _ in range(2):  # the second time starts anew
        result = lk.evaluate(model, windows)
        assert result["loss"] == pytest.approx(nats.mean(), rel=1e-5)
        assert result["accuracy"] == pytest.approx(hits.mean(), rel=1e-6)
        assert result["tokens"] == rows * row


def test_evaluation_sees_new_weights(model):
    copy = lk.models.build_lstm_lm(V, embedding_dim=6, hidden_dim=8, num_layers=2)
    windows, _, _ = text_windows(length=4, batch_size=3, shuffle=False)
    before = lk.evaluate(copy, windows)["loss"]
    copy.set_weights(model.get_weights())
    after = lk.evaluate(copy, windows)["loss"]
    assert after == lk.evaluate(model, windows)["loss"] != before


def test_evaluation_after_mixed_training_is_in_float32():
    windows, _, _ = text_windows(length=4, batch_size=3, shuffle=False)
    trained = lk.models.build_lstm_lm(V, embedding_dim=6, hidden_dim=8, seed=0)
    fresh = lk.models.build_lstm_lm(V, embedding_dim=6, hidden_dim=8)
    config = lk.TrainingConfig(epochs=1, learning_rate=0.1, warmup_steps=0, dtype="mixed_bfloat16")
    lk.fit(trained, windows, windows, config)
    fresh.set_weights(trained.get_weights())
    assert {weight.dtype for weight in trained.weights} == {"float32"}
    assert lk.evaluate(trained, windows)["loss"] == lk.evaluate(fresh, windows)["loss"]


def test_a_dataset_without_batches_is_an_input_error(model):
    with pytest.raises(InputError, match="no batch"):
        lk.evaluate(model, as_dataset([]))


@pytest.mark.parametrize("contiguous", [False, True])
def test_an_evaluated_model_can_be_freed(contiguous):
    model = lk.models.build_lstm_lm(V, embedding_dim=6, hidden_dim=8)
    windows, _, _ = text_windows(length=4, batch_size=3, contiguous=contiguous)
    lk.evaluate(model, windows)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_spans_in_batches_of_different_widths():
    """The graph of one batch is not that of the next: its width is unknown from the second on."""
    model = lk.models.answer_span(
        lk.models.build_bert(30, max_length=16, hidden_dim=8, num_layers=1, num_heads=2, seed=0)
    )
    rng, batches, right = np.random.default_rng(0), [], []
    for width in (5, 9, 12, 9):
        ids = rng.integers(1, 30, (4, width)).astype("int32")
        x = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids * 0 + 1}
        logits = {name: np.asarray(part) for name, part in model(x).items()}
        y = {name: rng.integers(0, width, 4).astype("int32") for name in logits}
        y["start"][:2] = logits["start"][:2].argmax(-1)
        right += (logits["start"].argmax(-1) == y["start"]).tolist()
        batches.append((x, y))
    spec = (
        {name: tf.TensorSpec([None, None], tf.int32) for name in batches[0][0]},
        {name: tf.TensorSpec([None], tf.int32) for name in batches[0][1]},
    )
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)
    found = lk.evaluate(model, data.apply(tf.data.experimental.assert_cardinality(4)))
    assert found["start_accuracy"] == pytest.approx(np.mean(right)) and found["examples"] == 16
