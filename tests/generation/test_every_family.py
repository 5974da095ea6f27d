"""Searches over every family of language models, against plain Python over the whole model; five words."""

import functools
import itertools

import keras
import numpy as np
import pytest
from small_models import known, log_probs, log_softmax, tiny_lm

import lm_keras as lk
from lm_keras.models import BUILDERS

STEPS, PROMPTS = 3, ["a c", "b", "", "e e d c b a"]
BEAMS = sum(5**n for n in range(STEPS + 1))  # all texts of at most STEPS of the five words
EXACT = 1e-4


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.WordTokenizer.train(["a b c d e"])


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def lm(request, tokenizer):
    return tiny_lm(request.param, tokenizer)


def ids_of(lm, text):
    return [lm.tokenizer.bos_id, *lm.tokenizer.encode(text)]


# === Beam search ===
def all_texts(lm, prompt, length_penalty):
    """{token ids: (score, log-probabilities)} of every text that has STEPS words, or fewer and the end mark."""
    start, eos, texts = ids_of(lm, prompt), lm.tokenizer.eos_id, {}
    words = [i for i in range(lm.tokenizer.vocab_size) if i not in (lm.tokenizer.pad_id, lm.tokenizer.unk_id, eos)]
    assert len(words) == 5
    rows = list(itertools.product(words, repeat=STEPS))
    table = log_probs(lm.model, [[*start, *row] for row in rows])[:, len(start) - 1 :]
    for row, log_p in zip(rows, table, strict=True):
        for n in range(STEPS + 1):
            each = [log_p[t, word] for t, word in enumerate(row[:n])]
            total = sum(each) + (log_p[n, eos] if n < STEPS else 0)
            texts[row[:n]] = total / (n + (n < STEPS)) ** length_penalty, each
    return texts


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_beams_equal_brute_force_over_all_texts(lm, length_penalty):
    made = lm.generate(
        PROMPTS[:2], max_new_tokens=STEPS, num_beams=BEAMS, num_return_sequences=BEAMS, length_penalty=length_penalty
    )  # fmt: skip
    assert len(made) == 2 * BEAMS
    for prompt, found in zip(PROMPTS, (made[:BEAMS], made[BEAMS:]), strict=False):
        expected = all_texts(lm, prompt, length_penalty)
        assert {tuple(one.token_ids) for one in found} == set(expected)
        best_first = sorted((score for score, _ in expected.values()), reverse=True)
        assert [one.score for one in found] == pytest.approx(best_first, abs=EXACT)
        for one in found:
            score, each = expected[tuple(one.token_ids)]
            assert one.score == pytest.approx(score, abs=EXACT)
            assert one.log_probs == pytest.approx(each, abs=EXACT)


# === Contrastive search ===
@functools.cache  # traced once a model
def hidden_and_log_probs(model, width):
    """(rows of ids) -> what goes into the output layer of the whole model, of length 1; log-probabilities."""
    made = model.outputs[0]._keras_history
    hidden = made.operation._inbound_nodes[made.node_index].input_tensors[0]
    assert hidden.shape[-1] != model.vocab_size
    both = keras.Model(model.inputs, [hidden, model.outputs[0]])

    def run(rows):  # later tokens change nothing before them
        padded = np.array([[*row, *[0] * (width - len(row))] for row in rows], "int32")
        h, logits = (part[:, : len(rows[0])].astype("float64") for part in both.predict_on_batch(padded))
        return h / np.linalg.norm(h, axis=-1, keepdims=True), log_softmax(logits)

    return run


def contrastive(lm, prompt, count, top_k, alpha, window=None):
    """Su et al. 2022, eq. 5, with the whole model for every candidate; what is forgotten is no longer looked at."""
    run, ids, new, best = hidden_and_log_probs(lm.model, window or 16), ids_of(lm, prompt), [], 0
    cut = (lambda row: known(row, window)) if window else list
    history = [*run([cut(ids[:-1])])[0][0]] if len(ids) > 1 else []
    hidden, after = run([cut(ids)])
    for _ in range(count):
        history.append(hidden[best, -1])
        log_p = after[best, -1].copy()
        log_p[[lm.tokenizer.pad_id, lm.tokenizer.unk_id]] = -np.inf
        candidates = np.argsort(-log_p, kind="stable")[:top_k]
        hidden, after = run([cut([*ids, v]) for v in candidates])
        scores = [
            (1 - alpha) * np.exp(log_p[v]) - alpha * max(h[-1] @ before for before in history)
            for v, h in zip(candidates, hidden, strict=True)
        ]
        best = int(np.argmax(scores))
        if candidates[best] == lm.tokenizer.eos_id:
            break
        ids.append(int(candidates[best]))
        new.append((ids[-1], log_p[ids[-1]]))
    return new


def same(lm, prompts, made, **options):
    for prompt, one in zip(prompts, made, strict=True):
        expected = contrastive(lm, prompt, 5, 4, 0.6, **options)
        assert one.token_ids == [token for token, _ in expected]
        assert one.log_probs == pytest.approx([log_p for _, log_p in expected], abs=EXACT)


def test_contrastive_search_equals_its_equation(lm):
    same(lm, PROMPTS, lm.generate(PROMPTS, max_new_tokens=5, top_k=4, penalty_alpha=0.6))


def test_contrastive_search_beyond_the_window(tokenizer):
    lm, prompts = tiny_lm("gpt2", tokenizer, max_length=6), [*PROMPTS, "a b c d e", "a b d e " * 4]
    same(lm, prompts, lm.generate(prompts, max_new_tokens=5, top_k=4, penalty_alpha=0.6), window=6)


# === Choice ===
@pytest.mark.parametrize("end", [False, True])
def test_choices_have_the_probabilities_of_the_model(lm, end):
    answers = ["a", "b d", "c c c"]
    for normalize in (None, "tokens"):
        for prompt, choices in zip(PROMPTS, lm.choose(PROMPTS, answers, end=end, normalize=normalize), strict=True):
            sums, values = {}, {}
            for answer in answers:
                ids = [*lm.tokenizer.encode(answer), *[lm.tokenizer.eos_id] * end]
                table = log_probs(lm.model, ids_of(lm, prompt) + ids)[-len(ids) - 1 :]
                sums[answer] = sum(table[t, i] for t, i in enumerate(ids))
                values[answer] = sums[answer] / (len(ids) if normalize else 1)
            total = sum(np.exp(value) for value in values.values())
            assert [choice.answer for choice in choices] == sorted(answers, key=lambda a: -values[a])
            for choice in choices:
                assert choice.log_prob == pytest.approx(sums[choice.answer], abs=EXACT)
                assert choice.probability == pytest.approx(np.exp(values[choice.answer]) / total, abs=EXACT)


# === Compiled once ===
def test_nothing_is_traced_again_for_another_length(lm):
    for prompts, count in ((["a"], 2), (PROMPTS, 3), (["a b c d e " * 9], 3)):
        every = {"min_new_tokens": count - 1, "stop_tokens": ["d"][: len(prompts) - 1]}
        lm.generate(prompts, max_new_tokens=count, min_p=0.1 * count, top_logprobs=count, **every)
        lm.generate(
            prompts, max_new_tokens=count, num_beams=BEAMS, num_return_sequences=count, length_penalty=count, **every
        )
        lm.generate(prompts, max_new_tokens=count, penalty_alpha=0.1 * count, top_k=count, top_logprobs=2, **every)
        lm.choose(prompts, ["a b", "c"] * count)
    traced = lm._writer._traced._made.items()
    counts = sorted((work.__name__, f.experimental_get_tracing_count()) for (_, (work, *_)), f in traced)
    works = ["beam_search", "contrastive_search", "decode", "follow", "read_prompts", "score_answers"]
    assert counts == [(name, 1) for name in works]


# === Greedy decoding by XLA ===
@pytest.mark.parametrize("family", ["gpt2", "llama", "lstm", "gru", "cnn"])
def test_compiled_greedy_text_is_the_plain_one(family, tokenizer):
    lm = tiny_lm(family, tokenizer, 0.3)  # a GRU of larger weights is chaotic: the last bit decides after ten steps
    plain = lm.generate(PROMPTS, max_new_tokens=17, temperature=0)  # more than one call of the compiled loop
    compiled = lm.generate(PROMPTS, max_new_tokens=17, temperature=0, jit_compile=True)
    assert [one.token_ids for one in compiled] == [one.token_ids for one in plain]
    for one, expected in zip(compiled, plain, strict=True):
        assert one.text == expected.text
        assert one.log_probs == pytest.approx(expected.log_probs, abs=EXACT)


def test_compiled_greedy_text_ends_and_outgrows_the_memory_as_the_plain_one(tokenizer):
    lm = tiny_lm("gpt2", tokenizer)
    for options in (
        {"max_new_tokens": 30},
        {"max_new_tokens": 3, "min_new_tokens": 2, "stop_tokens": ["a", "b", "c", "d"]},
    ):
        plain, compiled = (lm.generate(PROMPTS, temperature=0, jit_compile=xla, **options) for xla in (False, True))
        assert [one.token_ids for one in compiled] == [one.token_ids for one in plain]
        assert lm.generate([], temperature=0, jit_compile=True) == []


@pytest.mark.parametrize("other", [{"temperature": 0.5}, {"num_beams": 2}, {"top_logprobs": 1}])
def test_what_is_not_greedy_is_not_compiled(tokenizer, other):
    lm = tiny_lm("lstm", tokenizer)
    with pytest.raises(lk.InputError, match="jit_compile compiles greedy decoding alone"):
        lm.generate(PROMPTS, **{"temperature": 0, "jit_compile": True, **other})
