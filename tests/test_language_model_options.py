"""The options of `generate` beyond plain sampling, against the whole model in plain Python."""

import itertools

import numpy as np
import pytest
from small_models import known, log_probs, tiny_lm

import lm_keras as lk
from lm_keras.errors import InputError

WORDS = "a b c d e f g h"
EXACT = 1e-4


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.WordTokenizer.train([WORDS])


@pytest.fixture(scope="module")
def lm(tokenizer):
    return tiny_lm("lstm", tokenizer)


@pytest.fixture(scope="module")
def eager_to_end(tokenizer):
    """A model for which the end mark is the likeliest word, always."""
    lm = tiny_lm("lstm", tokenizer, scale=0.5)
    *weights, bias = lm.model.get_weights()
    bias[tokenizer.eos_id] = 9.0
    lm.model.set_weights([*weights, bias])
    return lm


def ids_of(lm, text):
    return [lm.tokenizer.bos_id, *lm.tokenizer.encode(text)]


# === Length and ends ===
@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"seed": 3}, {"num_beams": 3}, {"penalty_alpha": 0.5, "top_k": 3}]
)
def test_no_text_is_shorter_than_its_minimum_or_longer_than_its_maximum(eager_to_end, options):
    assert all(one.token_ids == [] for one in eager_to_end.generate(["a", "b c"], max_new_tokens=6, **options))
    made = eager_to_end.generate(["a", "b c"], max_new_tokens=6, min_new_tokens=4, **options)
    for prompt, one in zip(["a", "b c"], made, strict=True):
        assert len(one.token_ids) == 4
        assert eager_to_end.tokenizer.eos_id not in one.token_ids
        table = log_probs(eager_to_end.model, ids_of(eager_to_end, prompt) + one.token_ids)[-5:]
        assert one.log_probs == pytest.approx([table[t, i] for t, i in enumerate(one.token_ids)], abs=EXACT)
    assert all(
        len(one.token_ids) == 6
        for one in eager_to_end.generate(["a", "b c"], max_new_tokens=6, min_new_tokens=6, **options)
    )


@pytest.mark.parametrize("options", [{"temperature": 0}, {"seed": 3}, {"penalty_alpha": 0.4, "top_k": 3}])
def test_a_stop_token_ends_a_text_like_the_end_mark(lm, options):
    (free,) = lm.generate("a", max_new_tokens=12, **options)
    assert len(set(free.token_ids)) > 2
    last = free.token_ids[3]
    first = free.token_ids.index(last)
    for token in (last, np.int64(last), lm.tokenizer.tokens[last]):
        (one,) = lm.generate("a", max_new_tokens=12, stop_tokens=[token], **options)
        assert one.token_ids == free.token_ids[:first]
        assert one.score == pytest.approx(sum(free.log_probs[:first]), abs=EXACT)
    if "penalty_alpha" not in options:
        pieces = "".join(lm.stream("a", max_new_tokens=12, stop_tokens=last, min_new_tokens=1, **options))
        assert pieces == lm.generate("a", max_new_tokens=12, stop_tokens=last, min_new_tokens=1, **options)[0].text
        assert pieces.startswith(one.text)
        assert pieces


def test_a_beam_ends_at_a_stop_token_and_counts_it(lm):
    stop = lm.tokenizer.encode("c")[0]
    ends = [lm.tokenizer.eos_id, stop]
    words = [i for i in lm.tokenizer.encode(WORDS) if i != stop]
    scores = {}
    for n in range(3):
        for row in itertools.product(words, repeat=n):
            table = log_probs(lm.model, [*ids_of(lm, "b"), *row])[-n - 1 :]
            total = sum(table[t, word] for t, word in enumerate(row))
            scores[row] = total if n == 2 else max(total + table[n, end] for end in ends)
    best = max(scores, key=scores.get)
    (one,) = lm.generate("b", max_new_tokens=2, num_beams=80, stop_tokens="c")
    assert tuple(one.token_ids) == best
    assert one.score == pytest.approx(scores[best], abs=EXACT)


def test_beams_without_a_text_are_empty_and_impossible(eager_to_end):
    made = eager_to_end.generate("a", max_new_tokens=1, num_beams=12, num_return_sequences=12)
    assert [len(one.token_ids) for one in made] == [0] + [1] * 8 + [0] * 3  # the end mark, 8 words, no more texts
    assert [np.isinf(one.score) for one in made] == [False] * 9 + [True] * 3


# === Several texts, their scores, and the words beside them ===
def test_several_samples_are_the_repeats_of_the_prompt(lm):
    together = lm.generate(["a b", "c"], max_new_tokens=6, num_return_sequences=3, seed=5)
    repeated = lm.generate(["a b"] * 3 + ["c"] * 3, max_new_tokens=6, seed=5)
    assert [one.token_ids for one in together] == [one.token_ids for one in repeated]
    assert [one.token_ids for one in together[:3]] == [
        lm.generate("a b", max_new_tokens=6, seed=s)[0].token_ids for s in (5, 6, 7)
    ]
    assert len({one.text for one in together}) > 3
    for one in together:
        assert one.score == pytest.approx(sum(one.log_probs))


@pytest.mark.parametrize(
    "options", [{"seed": 1}, {"temperature": 0}, {"num_beams": 3}, {"penalty_alpha": 0.5, "top_k": 3}]
)
def test_the_likeliest_words_at_each_place(lm, options):
    prompts, names = ["a b", "", "c d e f"], lm.tokenizer.tokens
    assert lm.generate("a", max_new_tokens=3, **options)[0].top_logprobs == []
    for prompt, one in zip(prompts, lm.generate(prompts, max_new_tokens=7, top_logprobs=4, **options), strict=True):
        assert len(one.top_logprobs) == len(one.token_ids)
        table = log_probs(lm.model, ids_of(lm, prompt) + one.token_ids)[-len(one.token_ids) - 1 :]
        for row, best in zip(table, one.top_logprobs, strict=False):
            order = np.argsort(-row)[:4]
            assert [token for token, _ in best] == [names[i] for i in order]
            assert [log_p for _, log_p in best] == pytest.approx(row[order].tolist(), abs=EXACT)
    everything = lm.generate("a", max_new_tokens=2, top_logprobs=100, min_new_tokens=1, **options)[0].top_logprobs[0]
    assert {token for token, _ in everything} == set(names)
    assert sum(np.exp(log_p) for _, log_p in everything) == pytest.approx(1, abs=EXACT)


def test_a_stop_string_cuts_the_words_beside_too(lm):
    (free,) = lm.generate("a", max_new_tokens=8, top_logprobs=2, min_new_tokens=8)
    (one,) = lm.generate("a", max_new_tokens=8, top_logprobs=2, min_new_tokens=8, stop=free.text.split()[2])
    assert len(one.top_logprobs) == len(one.token_ids) == len(one.log_probs) < 8
    assert one.score == pytest.approx(sum(one.log_probs))


def test_min_p_of_one_is_greedy(lm):
    greedy, certain = (
        lm.generate(["a", "b c"], max_new_tokens=8, **kind)
        for kind in ({"temperature": 0}, {"min_p": 1.0, "seed": 4})
    )
    assert [one.token_ids for one in greedy] == [one.token_ids for one in certain]
    assert "".join(lm.stream("a", max_new_tokens=8, min_p=1.0, seed=4)) == greedy[0].text


# === Prompts longer than the model's memory ===
@pytest.mark.parametrize("family", ["gpt2", "attention_rnn"])
def test_prompts_longer_than_the_window(tokenizer, family):
    lm, window = tiny_lm(family, tokenizer, max_length=6), 6

    def table(ids):
        return log_probs(lm.model, known(ids, window))[-1]

    prompts = ["a", "a b c d e", "h g f e d c b a h g f", "a b c d e f g h " * 3]
    made = lm.generate(prompts, max_new_tokens=8, temperature=0, top_logprobs=1)
    for prompt, one in zip(prompts, made, strict=True):
        ids = ids_of(lm, prompt)
        for token, log_p, best in zip(one.token_ids, one.log_probs, one.top_logprobs, strict=True):
            assert log_p == pytest.approx(table(ids)[token], abs=EXACT)
            assert best[0][1] == pytest.approx(table(ids).max(), abs=EXACT)
            ids.append(token)
        assert "".join(lm.stream(prompt, max_new_tokens=8, temperature=0)) == one.text
        for choice in lm.choose(prompt, ["h", "a b c d e f g"])[0]:
            ids, total = ids_of(lm, prompt), 0.0
            for token in lm.tokenizer.encode(choice.answer):
                total, ids = total + table(ids)[token], [*ids, token]
            assert choice.log_prob == pytest.approx(total, abs=EXACT)


# === Mistakes ===
@pytest.mark.parametrize(
    "message, options",
    {
        "min_p is": {"min_p": 1.5},
        "min_p is nan": {"min_p": float("nan")},
        "min_new_tokens is -1": {"min_new_tokens": -1},
        "above max_new_tokens=50": {"min_new_tokens": 51},
        "stop token is 'zebra'": {"stop_tokens": ["zebra"]},
        "stop token is 11": {"stop_tokens": 11},
        "stop token is -1": {"stop_tokens": [-1]},
        "num_return_sequences is 0": {"num_return_sequences": 0},
        "above num_beams=2": {"num_beams": 2, "num_return_sequences": 3},
        "temperature=0 has one": {"temperature": 0, "num_return_sequences": 2},
        "length_penalty is": {"num_beams": 2, "length_penalty": float("inf")},
        "penalty_alpha is": {"penalty_alpha": -0.1, "top_k": 4},
        "give top_k": {"penalty_alpha": 0.6},
        "go with num_beams": {"penalty_alpha": 0.6, "top_k": 4, "num_beams": 2},
        "repetition_penalty does": {"penalty_alpha": 0.6, "top_k": 4, "repetition_penalty": 1.2},
        "penalty_alpha > 0 has one": {"penalty_alpha": 0.6, "top_k": 4, "num_return_sequences": 2},
        "top_logprobs is": {"top_logprobs": 1.5},
    }.items(),
)
def test_options_that_cannot_be(lm, message, options):
    with pytest.raises(InputError, match=message):
        lm.generate("a", **options)


def test_mistakes_show_before_the_first_piece_and_before_the_first_choice(lm):
    with pytest.raises(InputError, match="stop token"):
        lm.stream("a", stop_tokens="zebra")
    with pytest.raises(InputError, match="no answers"):
        lm.choose("a", [])
    with pytest.raises(InputError, match="has no token"):
        lm.choose("a", ["b", ""])
    with pytest.raises(InputError, match="normalize"):
        lm.choose("a", ["b"], normalize="words")
    assert [choice.answer for choice in lm.choose("a", ["", "b"], end=True)[0]]
    assert lm.choose([], ["a"]) == []
    ((one,),) = lm.choose("a", "b")
    assert one.probability == 1


def test_more_prompts_and_answers_than_a_batch(lm):
    prompts, answers = [" ".join(row) for row in itertools.permutations("abcd", 3)], ["a", "b c", "d d d"] * 3
    for prompt, choices in zip(prompts, lm.choose(prompts, answers), strict=True):
        (alone,) = lm.choose(prompt, answers)
        assert [choice.answer for choice in choices] == [choice.answer for choice in alone]
        np.testing.assert_allclose([c.log_prob for c in choices], [c.log_prob for c in alone], atol=1e-5)
