"""Answers after prompts, against one pass of the whole model over each prompt and answer alone."""

import numpy as np
import pytest
import tensorflow as tf
from small_models import known, log_probs, tiny_lm

import lm_keras as lk
from lm_keras.generation import answers as module
from lm_keras.generation.answers import score_answers
from lm_keras.generation.context import cache_spec
from lm_keras.generation.loop import pad_left
from lm_keras.generation.prompt_cache import PromptCache
from lm_keras.generation.sharing import read_once
from lm_keras.generation.step import state_spec
from lm_keras.models import BUILDERS

PROMPTS = [[2, 5, 3, 7], [2], [2, 4, 4, 3, 6, 5, 7, 7, 3], [5, 3]]
ANSWERS = [[3], [4, 5, 6], [7, 7], [], [5], [4, 5, 6, 6]]
CLOSE = {"rel": 1e-5, "abs": 2e-5}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def lm(request):
    return tiny_lm(request.param, lk.text.WordTokenizer.train(["a b c d e"]), 0.5)


def padded(answers):
    longest = max(map(len, answers))
    return np.array([[*row, *[-1] * (longest - len(row))] for row in answers], "int32")


def expected(model, prompts, answers, window=None):
    """One token at a time by the whole model, which knows what `known` says."""
    made = np.zeros([len(prompts), *padded(answers).shape])
    for b, prompt in enumerate(prompts):
        for a, answer in enumerate(answers):
            for place, token in enumerate(answer):
                before = [*prompt, *answer[:place]]
                before = before if window is None else known(before, window)
                made[b, a, place] = log_probs(model, [before])[0, -1, token]
    return made


def traced(model, begun=None):
    spec = [tf.TensorSpec([None, None], tf.int32)] * 2
    memory = [] if begun is None else [cache_spec(state_spec(model))]
    return tf.function(lambda *arguments: score_answers(model, *arguments), input_signature=spec + memory)


def test_each_token_of_each_answer(lm):
    wanted = expected(lm.model, PROMPTS, ANSWERS)
    ids, answers = pad_left(PROMPTS), tf.constant(padded(ANSWERS))
    assert score_answers(lm.model, ids, answers).numpy() == pytest.approx(wanted, **CLOSE)
    run = traced(lm.model)
    assert run(ids, answers).numpy() == pytest.approx(wanted, **CLOSE)
    single = run(ids, tf.constant([[3], [6]])).numpy()
    assert single == pytest.approx(expected(lm.model, PROMPTS, [[3], [6]]), **CLOSE)
    assert run(ids[:0], answers).shape == (0, 6, 4)


def test_long_prompts_and_small_pieces(lm, monkeypatch):
    """Prompts of several pieces, one answer at a time, few logits at once."""
    monkeypatch.setattr(module, "PIECE", 3)
    monkeypatch.setattr(module, "COPIES", 1)
    monkeypatch.setattr(module, "LOGITS", 20)
    made = traced(lm.model)(pad_left(PROMPTS), tf.constant(padded(ANSWERS))).numpy()
    assert made == pytest.approx(expected(lm.model, PROMPTS, ANSWERS), **CLOSE)


def test_prompts_that_begin_with_what_was_read(lm):
    beginning = [2, 4, 4, 3]
    prompts = [[*beginning, 5, 6], [*beginning, 3], beginning, [2, 5], [2, 4, 4, 6, 6, 6, 6]]
    cache = read_once(lm._writer, beginning, lm._writer.cache())
    shorter = read_once(lm._writer, beginning[:3], lm._writer.cache())
    wanted = expected(lm.model, prompts, ANSWERS)
    run = traced(lm.model, cache)
    for begun in (cache, shorter):
        made = run(pad_left(prompts), tf.constant(padded(ANSWERS)), begun).numpy()
        assert made == pytest.approx(wanted, **CLOSE)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_beyond_the_window(family):
    lm = tiny_lm(family, lk.text.WordTokenizer.train(["a b c d e"]), 0.5, max_length=8)
    run = traced(lm.model)
    for prompts in ([[2, 5, 3, 7, 4]], [[2, 5, 3, 7, 4, 3]], [[2, 5, 3, 7, 4] * 3, [2]]):
        made = run(pad_left(prompts), tf.constant(padded(ANSWERS))).numpy()
        assert made == pytest.approx(expected(lm.model, prompts, ANSWERS, 8), **CLOSE)


def test_the_state_of_the_caller_stays(lm):
    cache = read_once(lm._writer, [2, 4, 4], lm._writer.cache())
    before = [part.numpy() for part in cache.state]
    score_answers(lm.model, pad_left([[2, 4, 4, 5]]), tf.constant([[3, 4]]), PromptCache(*cache))
    for part, old in zip(cache.state, before, strict=True):
        assert np.array_equal(part, old)
