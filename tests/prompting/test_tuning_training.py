"""Learning a prompt on a frozen model: by `lk.fit` and by Keras, in every family, and what is kept of it."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from learned import KINDS, changed, log_probs_after
from small_models import KINDS_OF_STATE, array, log_softmax, tiny_lm

import lm_keras as lk

TEXT = "a b c d e abc " * 6
INIT = "c d e b"
PLAIN = {"weight_decay": 0.0, "warmup_steps": 0, "schedule": "constant"}
FAMILIES = [*KINDS_OF_STATE, "rnn_skip"]


def language_model(family, **sizes):
    sizes = {"max_length": 48, "dropout": 0.5, **sizes, **({"skip": 2} if family == "rnn_skip" else {})}
    tokenizer = lk.text.WordTokenizer.train(["a b c d e abc"])
    return tiny_lm("rnn" if family == "rnn_skip" else family, tokenizer, 0.5, **sizes)


@pytest.fixture(scope="module", params=FAMILIES)
def lm(request):
    return language_model(request.param)


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


def windows_of(lm, length=8, batch_size=2):
    return lk.data.lm_windows([TEXT] * 2, lm.tokenizer, length=length, batch_size=batch_size, seed=0)


def config(**options):
    return lk.TrainingConfig(**{**PLAIN, "epochs": 2, "learning_rate": 0.03, **options})


def table_of(model, ids):
    return log_softmax(array(model(np.array(ids, "int32"))))


# === Every family ===
def test_a_prefix_is_learned_and_the_model_stays(lm):
    prefix = lk.prompting.PrefixTuning(lm, 4, INIT)
    before, start = [w.copy() for w in lm.model.get_weights()], prefix.learned
    flags = [layer.trainable for layer in lm.model.layers]
    score, numbers = prefix.score("a b")[0].log_prob, lm.model.count_params()
    history = lk.fit(prefix, windows_of(lm), config=config()).history
    assert history["loss"][-1] < history["loss"][0]
    ids = [lm.tokenizer.bos_id, *lm.tokenizer.encode("a b"), lm.tokenizer.eos_id]
    table = log_probs_after(prefix.learned, lm.model, ids)
    expected = sum(table[i, ids[i + 1]] for i in range(len(ids) - 1))
    assert prefix.score("a b")[0].log_prob == pytest.approx(expected, abs=1e-4)  # what was learned is what answers
    assert expected != pytest.approx(score, abs=1e-3)
    for weight, own in zip(lm.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, own)
    assert [layer.trainable for layer in lm.model.layers] == flags
    assert len(lm.model.trainable_weights) > 0
    assert lm.model.count_params() == numbers
    # Every part of the first state has been learned: where the family has a memory, all of it.
    for part, own in zip(prefix.learned.state, start.state, strict=True):
        assert part.dtype.kind == "i" or not np.allclose(part, own, atol=1e-4)


def test_the_model_that_is_trained_is_the_one_that_answers(lm):
    """Rows of different lengths, with columns that hold no token, against one step a token."""
    prefix = changed(lk.prompting.PrefixTuning(lm, 4, INIT))
    rows = np.array([[1, 5, 4, 6, 7, 8], [-1, 1, 7, -1, 6, 5], [1, 4, -1, -1, -1, -1]], "int32")
    table = table_of(prefix.training_model, rows)
    for row, found in zip(rows, table, strict=True):
        ids = row[row >= 0].tolist()
        np.testing.assert_allclose(found[row >= 0], log_probs_after(prefix.learned, lm.model, ids), atol=2e-5)
        state = [tf.pad(p, [[0, 0], [0, 0], [0, 9], [0, 0]]) if p.shape.rank == 4 else p
                 for p in prefix.learned.first_state(lm.model)]  # fmt: skip
        for token, expected in zip(ids, found[row >= 0], strict=True):
            logits, state = lm.model.step(np.array([[token]]), state)
            np.testing.assert_allclose(log_softmax(array(logits)[0, 0]), expected, atol=2e-5)


def test_the_gradient_of_a_state_is_that_of_small_differences(lm):
    same_slopes(changed(lk.prompting.PrefixTuning(lm, 3, INIT), 0.1), [2, 4])


@pytest.mark.parametrize("family", ["llama", "lstm", "cnn"])
def test_the_gradient_of_vectors_is_that_of_small_differences(family):
    tuned = lk.prompting.PromptTuning(language_model(family), 3, INIT)
    same_slopes(changed(tuned, 0.1), [None, None])


def same_slopes(tuned, shape):
    """The gradient along a random way, of ids whose shape is known to the graph or not."""
    model, ids = tuned.training_model, np.array([[1, 5, 4, 6], [1, 7, 8, -1]], "int32")

    def loss_of(ids):
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(ids, 0), tf.cast(model(ids), tf.float64))
        return tf.reduce_sum(tf.where(ids >= 0, nats, 0.0))

    spec = tf.TensorSpec(shape, tf.int32)

    @tf.function(input_signature=[spec], autograph=False)
    def gradients(ids):
        with tf.GradientTape() as tape:
            loss = loss_of(ids)
        return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    rng, loss = np.random.default_rng(0), tf.function(loss_of, input_signature=[spec], autograph=False)
    for weight, gradient in zip(model.trainable_weights, gradients(ids), strict=True):
        own, way = array(weight), rng.normal(size=weight.shape).astype("float32")
        values = []
        for sign in (1, -1):
            weight.assign(own + sign * 3e-3 * way)
            values.append(float(loss(ids)))
        weight.assign(own)
        assert float(np.sum(array(gradient) * way)) == pytest.approx(
            (values[0] - values[1]) / 6e-3, rel=0.02, abs=0.01
        )


# === The ways of training ===
def test_keras_own_fit_trains_it(kind):
    lm = language_model("llama")
    tuned = kind(lm, 4, INIT)
    model, windows = tuned.training_model, windows_of(lm)
    assert isinstance(model, keras.Model)
    assert tuned.training_model is model
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == tuned.learned.num_parameters
    model.compile(keras.optimizers.Adam(0.03), lk.losses.CrossEntropy())
    before = tuned.learned
    losses = model.fit(windows, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    assert model.evaluate(windows, verbose=0) < losses[0]
    other = tuned.learned
    for part, own in zip(other.state or [other.vectors], before.state or [before.vectors], strict=True):
        assert part.ndim == 0 or not np.array_equal(part, own)
    with pytest.raises(lk.InputError, match=r"save the prompt: tuned\.save"):
        model.save("x.keras")


@functools.cache
def course(**options):
    """The losses of three epochs in which vectors are learned on a model that stays as it is."""
    lm = language_model("llama", num_layers=3)
    before, tuned = lm.model.get_weights(), lk.prompting.PromptTuning(lm, 4, INIT)
    losses = lk.fit(tuned, windows_of(lm), config=config(epochs=3, **options)).history["loss"]
    for weight, own in zip(lm.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, own)
    assert {layer.dtype_policy.name for layer in lm.model.layers} == {"float32"}
    return losses


@pytest.mark.parametrize("setting", ["dtype", "jit_compile", "recompute"])
def test_the_settings_of_a_run(setting):
    """The same course as without the setting, as far as its numbers are exact."""
    losses = course(**{setting: "mixed_bfloat16" if setting == "dtype" else True})
    assert losses[-1] < losses[0]
    assert losses == pytest.approx(course(), rel=2e-2 if setting == "dtype" else 1e-3)


def test_accumulated_batches():
    losses = course(accumulate_steps=2)
    assert losses[-1] < losses[0]
    assert losses != course()


@pytest.mark.parametrize("policy", ["bfloat16", "mixed_bfloat16"])
def test_a_model_that_computes_in_bfloat16(policy, kind):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        families = [
            "llama",
            "cnn",
            *(["lstm"] if policy.startswith("mixed") else []),
        ]  # Keras draws no LSTM in bfloat16
        lms = [language_model(family) for family in families]
    finally:
        keras.config.set_dtype_policy(before)
    for lm in lms:
        tuned = kind(lm, 4, INIT)
        assert all(weight.dtype == "float32" for weight in tuned.training_model.weights)
        losses = lk.fit(tuned, windows_of(lm), config=config()).history["loss"]
        assert losses[1] < losses[0]
        ids = [lm.tokenizer.bos_id, *lm.tokenizer.encode("a b c"), lm.tokenizer.eos_id]
        table = log_probs_after(tuned.learned, lm.model, ids)
        expected = sum(table[i, ids[i + 1]] for i in range(len(ids) - 1))
        assert tuned.score("a b c")[0].log_prob == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantized_model(mode, kind):
    lm = language_model("llama")
    tuned = kind(lk.quantize(lm, mode), 4, INIT)
    losses = lk.fit(tuned, windows_of(lm), config=config()).history["loss"]
    assert losses[1] < losses[0]
    ids = [lm.tokenizer.bos_id, *lm.tokenizer.encode("a b c"), lm.tokenizer.eos_id]
    table = log_probs_after(tuned.learned, tuned.model, ids)
    expected = sum(table[i, ids[i + 1]] for i in range(len(ids) - 1))
    assert tuned.score("a b c")[0].log_prob == pytest.approx(expected, abs=1e-4)
    # One that was learned on the float model stands before the quantized one too, after a text as before.
    prompted = lm.with_prompt(changed(kind(lm, 4, INIT)).learned).with_prompt("a b")
    assert lk.quantize(prompted, mode).learned is prompted.learned
    assert lk.quantize(prompted, mode).prompt == "a b"


def test_a_model_that_is_quantized_in_place_is_trained_as_it_is_now():
    lm = language_model("llama")
    tuned = lk.prompting.PromptTuning(lm, 4, INIT)
    before = table_of(tuned.training_model, [[1, 5, 4]])
    lm.model.quantize("int8")
    ids = [1, 5, 4]
    after = table_of(tuned.training_model, [ids])
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after[0], log_probs_after(tuned.learned, lm.model, ids), atol=1e-4)


def test_evaluate_measures_after_the_prompt_that_is_learned(kind):
    lm = language_model("lstm")
    tuned = changed(kind(lm, 4, INIT))
    ids = np.array([[lm.tokenizer.bos_id, *lm.tokenizer.encode("a b c d")]], "int32")
    y = np.append(ids[:, 1:], [[lm.tokenizer.eos_id]], 1)
    result = lk.evaluate(tuned, (ids, y))
    (score,) = tuned.score("a b c d")
    assert result["loss"] == pytest.approx(-score.log_prob / score.num_tokens, rel=1e-5)
    assert result["tokens"] == score.num_tokens
    plain = lk.evaluate(lm, (ids, y))
    assert plain["loss"] == pytest.approx(lk.evaluate(lm.model, (ids, y))["loss"])
    assert plain["loss"] != pytest.approx(result["loss"])
    for prompted in (lm.with_prompt(tuned.learned), lm.with_prompt("a"), tuned.with_prompt("a")):
        for refused in (lk.evaluate, lk.fit):
            with pytest.raises(lk.InputError, match=r"has a prompt, which is not read before windows"):
                refused(prompted, (ids, y))


def test_a_run_keeps_the_prompt_alone_and_goes_on(tmp_path):
    lm, kind = language_model("llama", hidden_dim=48), lk.prompting.PrefixTuning
    whole, half = kind(lm, 4, INIT), kind(lm, 4, INIT)
    lk.fit(whole, windows_of(lm), windows_of(lm), config(epochs=4, output_dir=tmp_path / "whole"))
    lk.fit(half, windows_of(lm), windows_of(lm), config(epochs=2, output_dir=tmp_path / "half"))
    again = kind(lm, 4, INIT)
    lk.fit(again, windows_of(lm), windows_of(lm), config(epochs=4, output_dir=tmp_path / "half", resume=True))
    for part, other in zip(again.training_model.weights, whole.training_model.weights, strict=True):
        np.testing.assert_array_equal(array(part), array(other))
    size = (tmp_path / "whole" / "checkpoint.safetensors").stat().st_size
    assert size < 4 * 4 * whole.learned.num_parameters + 6000  # two moments of Adam beside the numbers
    assert size < 4 * lm.model.count_params()
    loaded = kind.load(tmp_path / "half", lm)
    assert loaded.score(TEXT) == whole.score(TEXT)
    assert not (tmp_path / "whole" / "model.safetensors").exists()


def test_the_best_epoch_is_kept():
    """What is learned makes another word likelier than the one that is validated."""
    lm = language_model("lstm")
    tuned, ids = lk.prompting.PrefixTuning(lm, 4, INIT), np.full((4, 3), 5, "int32")
    validation = ids, np.full_like(ids, 7)
    history = lk.fit(tuned, (ids, ids), validation, config(epochs=6, early_stopping_patience=2)).history["val_loss"]
    assert len(history) == 3
    assert history == sorted(history)
    assert lk.evaluate(tuned, validation)["loss"] == pytest.approx(history[0], rel=1e-6)


def test_what_cannot_be_trained_is_refused(kind):
    lm = language_model("llama", max_length=16)
    tuned = kind(lm, 4, INIT)
    with pytest.raises(lk.InputError, match=r"rows of 13 tokens and llama_prompted reads at most max_length=12"):
        lk.fit(tuned, windows_of(lm, length=13))
    with pytest.raises(lk.InputError, match=r"a text has 13 tokens, and after the prompt of 4 .* room for 12"):
        tuned.training_model(np.zeros((1, 13), "int32"))
    free = tf.function(tuned.training_model, input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    assert np.isfinite(free(np.zeros((1, 12), "int32"))).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match="a text has more tokens, and after the prompt of 4"):
        free(np.zeros((1, 13), "int32"))
    recurrent = kind(language_model("lstm"), 4, INIT)
    contiguous = lk.data.lm_windows([TEXT] * 2, lm.tokenizer, length=8, batch_size=2, contiguous=True)
    with pytest.raises(lk.InputError, match="a learned prompt stands before each window"):
        lk.fit(recurrent, contiguous)


# === P-tuning: what makes the vectors is learned too, and folded away ===
@pytest.mark.parametrize("reparameterization", ["mlp", "lstm"])
def test_a_reparameterization_starts_at_the_text_and_is_folded_away(reparameterization, tmp_path):
    lm = language_model("llama", hidden_dim=15, head_dim=6)  # an odd width
    plain = lk.prompting.PromptTuning(lm, 4, INIT)
    tuned = lk.prompting.PromptTuning(lm, 4, INIT, reparameterization=reparameterization, seed=1)
    same = lk.prompting.PromptTuning(lm, 4, INIT, reparameterization=reparameterization, seed=1)
    np.testing.assert_array_equal(tuned.learned.vectors, plain.learned.vectors)
    before = [array(weight) for weight in tuned.training_model.weights]
    for weight, own in zip(same.training_model.weights, before, strict=True):
        np.testing.assert_array_equal(array(weight), own)
    losses = lk.fit(tuned, windows_of(lm), config=config(learning_rate=0.01)).history["loss"]
    assert losses[1] < losses[0]
    for weight, own in zip(tuned.training_model.weights, before, strict=True):
        assert not np.array_equal(array(weight), own)
    np.testing.assert_allclose(tuned.learned.vectors, vectors_by_hand(tuned, reparameterization), atol=1e-5)
    tuned.save(tmp_path / "p.safetensors")
    loaded = lk.prompting.PromptTuning.load(tmp_path / "p.safetensors", lm)
    assert [weight.shape for weight in loaded.training_model.weights] == [(4, 15)]
    assert loaded.score(TEXT)[0].log_prob == pytest.approx(tuned.score(TEXT)[0].log_prob, rel=1e-6)


def vectors_by_hand(tuned, reparameterization):
    """e + W_2 relu(W_1 x + b_1) + b_2, x = e or the states of an LSTM read forwards and backwards, in NumPy."""
    weights = {weight.path.split("prompt/")[-1]: array(weight) for weight in tuned.training_model.weights}
    e = x = weights["vectors"]
    if reparameterization == "lstm":
        x = np.concatenate([states(weights, "forward", e), states(weights, "backward", e[::-1])[::-1]], 1)
    hidden = np.maximum(x @ weights["widen/kernel"] + weights["widen/bias"], 0)
    return e + hidden @ weights["back/kernel"] + weights["back/bias"]


def states(weights, direction, x):
    kernel, recurrent, bias = (
        next(value for path, value in weights.items() if direction in path and path.endswith(end))
        for end in ("lstm_cell/kernel", "recurrent_kernel", "bias")
    )
    h = c = np.zeros(recurrent.shape[0])
    made = []
    for vector in x:
        i, f, g, o = np.split(vector @ kernel + h @ recurrent + bias, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        made.append(h)
    return np.array(made)
