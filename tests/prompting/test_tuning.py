"""PromptTuning and PrefixTuning in every family: what a language model writes and scores after a learned prompt."""

import math

import numpy as np
import pytest
from learned import KINDS, changed, known, log_probs_after
from small_models import array, log_probs, tiny_lm

import lm_keras as lk
from lm_keras.models import BUILDERS

CLOSE = {"rel": 1e-5, "abs": 1e-4}
INIT = "c d e b"
TEXTS = [" a b", "", "e", "d c c a b a b c d e a b a a c d e a b c d"]
FAMILIES = [*sorted(BUILDERS), "rnn_skip"]


def language_model(family, **sizes):
    sizes = {"max_length": 48, **sizes, **({"skip": 2} if family == "rnn_skip" else {})}
    tokenizer = lk.text.WordTokenizer.train(["a b c d e abc"])
    return tiny_lm("rnn" if family == "rnn_skip" else family, tokenizer, 0.5, **sizes)


@pytest.fixture(scope="module", params=FAMILIES)
def lm(request):
    return language_model(request.param)


@pytest.fixture(scope="module", params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def tuned(lm):
    """Of numbers that no text gives."""
    return changed(lk.prompting.PrefixTuning(lm, 4, INIT))


@pytest.fixture(scope="module", params=["llama", "lstm", "cnn"])
def few(request):
    return changed(lk.prompting.PromptTuning(language_model(request.param), 4, INIT), 0.2)


def ids_of(lm, text, begin=True, end=False):
    tokenizer = lm.tokenizer
    return [*[tokenizer.bos_id] * begin, *tokenizer.encode(text), *[tokenizer.eos_id] * end]


GREEDY = {"temperature": 0}
WAYS = (
    {"seed": 3, "num_return_sequences": 2},
    {"num_beams": 3},
    {"temperature": 0, "top_logprobs": 2, "repetition_penalty": 1.3},
)


def same_answers(made, table_of, begin=True):
    """All that a language model does, by `table_of(ids)`: log p [T, V] of what follows each of ids."""
    same_texts(made, table_of, (GREEDY, *WAYS), begin)
    same_scores(made, table_of, begin)
    texts = [text for text in TEXTS if begin or text]
    (greedy,) = made.generate(texts[0], max_new_tokens=6, temperature=0, begin=begin)
    assert "".join(made.stream(texts[0], max_new_tokens=6, temperature=0, begin=begin)) == greedy.text
    for text, choices in zip(texts, made.choose(texts, ["a", " b c"], begin=begin), strict=True):
        ids = ids_of(made, text, begin)
        for choice in choices:
            answer = made.tokenizer.encode(choice.answer)
            table = table_of([*ids, *answer])
            expected = sum(table[len(ids) - 1 + i, token] for i, token in enumerate(answer))
            assert choice.log_prob == pytest.approx(expected, **CLOSE)


def same_texts(made, table_of, ways, begin=True):
    texts = [text for text in TEXTS if begin or text]
    for options in ways:
        found = made.generate(texts, max_new_tokens=6, begin=begin, **options)
        rows = [text for text in texts for _ in range(options.get("num_return_sequences", 1))]
        for text, one in zip(rows, found, strict=True):
            ids = ids_of(made, text, begin)
            table = table_of([*ids, *one.token_ids])[len(ids) - 1 :]
            expected = [table[i, token] for i, token in enumerate(one.token_ids)]
            assert one.log_probs == pytest.approx(expected, **CLOSE)
            if options == GREEDY:
                ordinary = np.delete(table, [made.tokenizer.pad_id, made.tokenizer.unk_id], 1)
                assert expected == pytest.approx(ordinary[: len(expected)].max(1).tolist(), **CLOSE)


def same_scores(made, table_of, begin=True):
    texts = [text for text in TEXTS if begin or text]
    for text, score in zip(texts, made.score(texts, begin=begin), strict=True):
        ids = ids_of(made, text, begin, end=True)
        table = table_of(ids)
        log_prob = sum(table[i, ids[i + 1]] for i in range(len(ids) - 1))
        assert (score.num_tokens, score.log_prob) == (len(ids) - 1, pytest.approx(log_prob, abs=3e-4))
        assert math.isfinite(score.bits_per_byte) == (begin and text != "")


# === The answers ===
def test_before_any_training_it_reads_its_text(lm, kind):
    """By one pass of the whole model over the text's ids, the begin mark and what follows."""
    before, tuned = lm.tokenizer.encode(INIT), kind(lm, 4, INIT)

    def table_of(ids):
        return log_probs(lm.model, [*before, *ids])[4:]

    same_texts(tuned, table_of, [GREEDY])
    same_scores(tuned, table_of)


def test_it_starts_in_the_state_that_was_learned(tuned):
    same_answers(tuned, lambda ids: log_probs_after(tuned.learned, tuned.model, ids))


@pytest.mark.parametrize("begin", [True, False])
def test_it_reads_the_vectors_that_were_learned(few, begin):
    same_answers(few, lambda ids: log_probs_after(few.learned, few.model, ids), begin)


def test_without_a_begin_mark_there_must_be_a_token(few):
    for ask in (lambda: few.generate("", begin=False), lambda: few.score("", begin=False)):
        with pytest.raises(lk.InputError, match="no token"):
            ask()


def test_rows_that_share_more_than_the_prompt(few):
    both = [" a b c d e" * 4 + end for end in (" a", " b c", " d d d")]
    alone = [few.score(text)[0].log_prob for text in both]
    assert [one.log_prob for one in few.score(both)] == pytest.approx(alone, **CLOSE)
    alone = [few.generate(text, max_new_tokens=4, temperature=0)[0] for text in both]
    together = few.generate(both, max_new_tokens=4, temperature=0)
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]


def test_contrastive_search_is_unlike_the_texts_own_tokens(few):
    """At alpha 0 it takes the likeliest word; above, a prompt of vectors has no words that could be repeated."""
    tuned, lm = few, few
    greedy = tuned.generate(TEXTS, max_new_tokens=5, temperature=0)
    made = tuned.generate(TEXTS, max_new_tokens=5, penalty_alpha=1e-6, top_k=3)
    assert [one.token_ids for one in made] == [one.token_ids for one in greedy]
    for text, one in zip(TEXTS, tuned.generate(TEXTS, max_new_tokens=5, penalty_alpha=0.6, top_k=3), strict=True):
        ids = ids_of(lm, text)
        table = log_probs_after(tuned.learned, lm.model, [*ids, *one.token_ids])[len(ids) - 1 :]
        expected = [table[i, token] for i, token in enumerate(one.token_ids)]
        assert one.log_probs == pytest.approx(expected, **CLOSE)


def test_a_text_after_a_learned_prompt(few):
    both, plain = few.with_prompt("b c d e a a b c"), few
    texts = [" a b", " e"]
    assert both.prompt == "b c d e a a b c"
    assert type(both) is lk.LanguageModel
    made = both.generate(texts, max_new_tokens=5, temperature=0)
    expected = plain.generate([both.prompt + text for text in texts], max_new_tokens=5, temperature=0)
    assert [one.token_ids for one in made] == [one.token_ids for one in expected]
    for text, score in zip(texts, both.score(texts), strict=True):
        ids = ids_of(few, both.prompt + text, end=True)
        first = len(ids_of(few, both.prompt))
        table = log_probs_after(few.learned, few.model, ids)
        log_prob = sum(table[i - 1, ids[i]] for i in range(first, len(ids)))
        assert (score.num_tokens, score.log_prob) == (len(ids) - first, pytest.approx(log_prob, abs=3e-4))


def test_the_cache_begins_with_ids_that_no_text_has(tuned):
    words, mark = tuned.model.vocab_size, tuned.tokenizer.bos_id
    cache = tuned.prompt_cache
    assert cache.ids.numpy().tolist() == [words, words + 1, words + 2, words + 3, mark]
    assert int(cache.num_read) == 4
    assert tuned.ids_before(begin=False) == [words, words + 1, words + 2, words + 3]
    for part, expected in zip(cache.state, tuned.learned.first_state(tuned.model), strict=True):
        np.testing.assert_allclose(array(part), array(expected), rtol=1e-6, atol=1e-6)


# === A full window ===
@pytest.mark.parametrize("family, name", [("gpt2", "vectors"), ("llama", "state"), ("attention_rnn", "state")])
def test_a_learned_prompt_stays_when_the_window_is_full(family, name):
    window, num_tokens = 19, 6
    tuned = changed(KINDS[name](language_model(family, max_length=window), num_tokens, INIT))
    texts = ["", " e d c b a" * 4]

    def table_of(ids):
        return log_probs_after(tuned.learned, tuned.model, known(ids, 1, window - num_tokens))[-1]

    for options in ({"temperature": 0}, {"num_beams": 2}, {"penalty_alpha": 0.3, "top_k": 2}):
        for text, one in zip(
            texts, tuned.generate(texts, max_new_tokens=16, min_new_tokens=16, **options), strict=True
        ):
            ids = ids_of(tuned, text)
            assert len(one.token_ids) == 16
            for token, log_prob in zip(one.token_ids, one.log_probs, strict=True):
                assert log_prob == pytest.approx(table_of(ids)[token], abs=3e-4)
                ids.append(token)
    for text, score in zip(texts, tuned.score(texts), strict=True):
        ids = ids_of(tuned, text, end=True)
        expected = [table_of(ids[:i])[ids[i]] for i in range(1, len(ids))]
        assert (score.num_tokens, score.log_prob) == (len(expected), pytest.approx(sum(expected), abs=1e-3))


def test_a_window_that_is_too_short_is_refused(kind):
    lm = language_model("gpt2", max_length=8)
    with pytest.raises(lk.InputError, match=r"num_tokens is 7 and gpt2 sees 8 tokens"):
        kind(lm, 7)
    assert kind(lm, 6).generate("a", max_new_tokens=3)
    learned = kind(language_model("gpt2", max_length=8), 6).learned
    with pytest.raises(lk.InputError, match=r"the prompt has 8 tokens and gpt2 sees 8"):
        lm.with_prompt(learned).with_prompt("a")


# === Which vectors and states it starts from ===
def test_a_text_is_repeated_or_cut(lm):
    table = array(lm.model.word_vectors_model(np.arange(lm.model.vocab_size)[None]))[0]
    for num_tokens, text in ((7, "c d e b c d e"), (2, "c d")):
        vectors = lk.prompting.PromptTuning(lm, num_tokens, INIT).learned.vectors
        np.testing.assert_array_equal(vectors, table[lm.tokenizer.encode(text)])
        found = lk.prompting.PrefixTuning(lm, num_tokens, INIT).learned.state
        expected = lk.prompting.PrefixTuning(lm, num_tokens, text).learned.state
        for part, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(part, other)


def test_without_a_text():
    lm = language_model("lstm")
    words = [i for i, token in enumerate(lm.tokenizer.tokens) if not token.startswith("<")]
    table = array(lm.model.word_vectors_model(np.arange(lm.model.vocab_size)[None]))[0]
    one, other, third = (lk.prompting.PromptTuning(lm, 5, seed=seed).learned.vectors for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, third)
    for vector in one:
        assert np.abs(table[words] - vector).sum(1).min() == 0
    first = lm.tokenizer.decode(words[:3])
    for part, expected in zip(
        lk.prompting.PrefixTuning(lm, 3).learned.state,
        lk.prompting.PrefixTuning(lm, 3, first).learned.state,
        strict=True,
    ):
        np.testing.assert_array_equal(part, expected)


def test_the_prefix_of_an_lstm_is_its_first_h_and_c():
    lm = language_model("lstm")
    h, c = lk.prompting.PrefixTuning(lm, 20, INIT).learned.state
    assert (h.shape, c.shape) == ((12,), (12,))


def test_what_cannot_be_learned_on_is_refused(kind):
    lm = language_model("lstm")
    for arguments, message in (
        ((lm.model,), "a prompt is learned on a LanguageModel, not a CausalLM"),
        ((lk.LanguageModel(lm.model, None),), "no tokenizer"),
        ((lm, 0), "num_tokens is 0"),
        ((lm, 3, " "), "init_text is ' ', which has no token"),
        ((lm, 3, 7), "int"),
        ((lm.with_prompt("a"), 3), "a learned prompt stands before all text"),
        ((kind(lm, 3), 3), "a learned prompt stands before all text"),
    ):
        with pytest.raises(lk.InputError, match=message):
            kind(*arguments)
    with pytest.raises(lk.InputError, match="reparameterization is 'cnn'"):
        lk.prompting.PromptTuning(lm, 3, reparameterization="cnn")
