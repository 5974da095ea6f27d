"""The step of a model as one TensorFlow function that all loops call."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from arrays import CLOSE, array
from small_models import tiny_lm
from small_tasks import policy

import lm_keras as lk
from lm_keras.generation import beam_search, decode, prefill
from lm_keras.generation import step as steps
from lm_keras.generation.context import read
from lm_keras.generation.step import hidden_of, owned, state_spec, step, step_hidden
from lm_keras.models import BUILDERS
from lm_keras.utils.functions import function, traced_of
from lm_keras.utils.keras_internals import without_grappler


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.WordTokenizer.train(["a b c d e"])


@pytest.fixture
def traces(monkeypatch):
    """How often the step of each model is traced."""
    made, make = [], steps._traced_step

    def counted(model):
        run = make(model)
        made.append(run)
        return run

    monkeypatch.setattr(steps, "_traced_step", counted)
    return lambda: [run.experimental_get_tracing_count() for run in made]


@pytest.mark.parametrize("family", ["gpt2", "lstm"])
def test_a_model_is_traced_once_whatever_is_asked_of_it(family, tokenizer, traces, tmp_path):
    lm = tiny_lm(family, tokenizer)
    lm.score("a b c")
    lm.score(["a b", "a b c d e a b c d e a b c d e a b c d e"])  # longer than the window
    lm.generate("a", max_new_tokens=3)
    lm.generate(["a b c d e a b c d e a b c", "b"], max_new_tokens=20, temperature=0)
    lm.generate("a b", max_new_tokens=3, num_beams=3)
    lm.generate("a b", max_new_tokens=3, temperature=0, top_k=3, penalty_alpha=0.5)
    lm.choose("a", ["b", "c d"])
    assert "".join(lm.stream("c", max_new_tokens=3)) is not None
    assert traces() == [1]
    lk.export(lm, tmp_path / "lm", max_new_tokens_limit=4)
    assert traces() == [1]


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_the_traced_step_is_the_step(family, tokenizer):
    """Ragged columns, tokens that are none, a call in a graph with another number of columns."""
    model = tiny_lm(family, tokenizer).model
    rng = np.random.default_rng(0)
    columns = [rng.integers(-1, model.vocab_size, (3, n)).astype("int32") for n in (4, 1, 2)]

    def run(one):
        state, logits = owned(model.initial_state(3, 8)), []
        for ids in columns:
            made, state = one(tf.constant(ids), state)
            logits.append(tf.where((ids >= 0)[:, :, None], made, 0.0))  # of no token they mean nothing
        return logits, state

    expected = run(model.step)
    in_graph = function(lambda: run(lambda ids, state: step(model, ids, state)))()
    for found in (run(lambda ids, state: step(model, ids, state)), in_graph):
        for ours, theirs in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
            np.testing.assert_allclose(array(ours), array(theirs), **CLOSE)


@pytest.mark.parametrize("kind", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
@pytest.mark.parametrize("family", ["gpt2", "lstm"])
def test_the_traced_step_is_as_exact_as_the_step(family, kind, tokenizer):
    """It is traced later, when models are built in another precision again."""
    with policy(kind):
        model = tiny_lm(family, tokenizer).model
    ids = tf.constant([[1, 2, 3], [-1, 4, 5]])
    expected, *_ = model.step(ids, model.initial_state(2, 4))
    with without_grappler():  # which rounds otherwise, as it joins operations
        found, _ = step(model, ids, owned(model.initial_state(2, 4)))
    views, *_ = model.step_hidden_model([ids, *model.initial_state(2, 4)])
    for logits in (found, views):
        assert logits.dtype == expected.dtype
        np.testing.assert_allclose(tf.cast(logits, "float64"), tf.cast(expected, "float64"), **CLOSE)


@pytest.mark.parametrize("windows", [1, 3])
def test_logits_may_need_more_than_the_hidden_vectors(windows, tokenizer):
    """Direct connections (Bengio et al. 2003) go around them."""
    options = {"context_length": windows, "embedding_dim": 4, "hidden_dim": 5}
    plain, direct = (
        lk.models.build_feedforward_lm(tokenizer.vocab_size, direct_connections=on, seed=0, **options)
        for on in (False, True)
    )
    for model in (plain, direct):
        lm = lk.LanguageModel(model, tokenizer)
        ids, state = tf.constant([[1, 2, 3], [4, -1, 5]]), model.initial_state(2)
        np.testing.assert_allclose(array(step(model, ids, state)[0]), array(model.step(ids, state)[0]), **CLOSE)
        _, hidden, *_ = model.step_hidden_model([ids, *state])
        found, _ = step_hidden(model, ids, state)
        np.testing.assert_allclose(array(hidden_of(model, found)), array(hidden), **CLOSE)
        row = [tokenizer.bos_id, *tokenizer.encode("a b c"), tokenizer.eos_id]
        log_p = tf.nn.log_softmax(model(tf.constant([row]))[0]).numpy()
        expected = sum(log_p[i, row[i + 1]] for i in range(len(row) - 1))
        np.testing.assert_allclose(lm.score("a b c")[0].log_prob, expected, **CLOSE)
        greedy = lm.generate("a b", max_new_tokens=5, temperature=0)[0].token_ids
        contrasted = lm.generate("a b", max_new_tokens=5, temperature=0, top_k=1, penalty_alpha=0.5)[0].token_ids
        assert contrasted == greedy
        assert lm.generate("a b", max_new_tokens=5, num_beams=1, temperature=0)[0].token_ids == greedy


def test_the_callers_state_stays_and_equal_caches_are_not_one(tokenizer):
    """TensorFlow keeps equal tensors of a graph once: zeros of all caches would be one piece of memory."""
    model = tiny_lm("gpt2", tokenizer).model
    before = model.initial_state(2, 6)
    ids = tf.constant([[1, 2], [3, 4]])
    first = function(lambda: step_hidden(model, ids, owned(model.initial_state(2, 6))))
    for _ in range(2):
        _, state = first()
        assert not np.array_equal(array(state[1]), array(state[2]))
    step_hidden(model, ids, owned(before))
    assert all(not array(part).any() for part in before)


@pytest.mark.parametrize("family", ["gpt2", "llama", "attention_rnn"])
def test_no_cache_is_copied_for_a_token(family, tokenizer):
    """A copy of all caches takes longer than all else where many rows are long."""
    model = tiny_lm(family, tokenizer).model
    step(model, tf.constant([[1]]), owned(model.initial_state(1, 4)))
    traced = traced_of(model.step_model).get(model.step_model, steps._traced_step, pytest.fail)
    kinds = [operation.type for operation in traced.get_concrete_function().graph.get_operations()]
    assert kinds.count("InplaceUpdate") == sum(len(part.shape) == 4 for part in state_spec(model))
    assert "TensorScatterUpdate" not in kinds


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_every_loop_leaves_the_state_that_it_is_given(family, tokenizer):
    """Windows that are forgotten on the way included."""
    model = tiny_lm(family, tokenizer).model
    ids = tf.constant([[1, 2, 3, 4, 5], [-1, -1, 1, 2, 3]])
    state, token = prefill(model, ids, 20), ids[:, -1]
    before, ends = [array(part).copy() for part in state], {"banned": tf.zeros([model.vocab_size]), "eos_id": -1}
    loops = {
        "decode": lambda state: decode(model, token, state, tf.fill([2], 20), 20, **ends)[:2],
        "beam": lambda state: beam_search(model, token, state, 20, 3, **ends),
        "one beam": lambda state: beam_search(model, token, state, 20, 1, **ends),
        "read": lambda state: read(model, ids, state[-len(state_spec(model)) :]),
    }
    for name, loop in loops.items():
        run = function(loop)
        first, again = run(state), run(state)
        for one, other in zip(tf.nest.flatten(first), tf.nest.flatten(again), strict=True):
            np.testing.assert_array_equal(array(one), array(other), err_msg=name)
        for part, kept in zip(state, before, strict=True):
            np.testing.assert_array_equal(array(part), kept, err_msg=name)


def test_a_model_without_named_hidden_vectors_steps_too(tokenizer):
    model = tiny_lm("lstm", tokenizer).model
    views = lk.models.Views(model.step_model, model.initial_state)
    plain = lk.models.CausalLM(model.inputs[0], model.outputs[0], views=views, name="plain")
    ids, state = tf.constant([[1, 2]]), model.initial_state(1)
    np.testing.assert_allclose(array(step(plain, ids, state)[0]), array(step(model, ids, state)[0]), **CLOSE)


def test_the_functions_go_with_the_model(tokenizer):
    model = tiny_lm("llama", tokenizer).model
    step(model, tf.constant([[1]]), owned(model.initial_state(1, 4)))
    assert traced_of(model.step_model).get(model.step_model, steps._output_of, pytest.fail) is not None
    assert len(state_spec(model)) == len(model.step_model.inputs) - 1
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
