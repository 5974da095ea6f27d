"""What prompts and texts of a call begin with is read once: the answers are those of each alone."""

import numpy as np
import pytest
from small_models import known, log_probs, tiny_lm

import lm_keras as lk
from lm_keras.generation import sharing
from lm_keras.models import BUILDERS

CLOSE = {"rel": 1e-5, "abs": 2e-5}
LETTERS = ["a", "b", "c", "d", "e"]
TOKENIZERS = {
    "word": lambda: lk.text.WordTokenizer.train(["a b c d e"]),
    "char": lambda: lk.text.CharTokenizer.train(["abcde "]),
    "bpe": lambda: lk.text.BPETokenizer.train(["a b c d e abc bcd cde " * 3], vocab_size=270),
}
COMMON = " ".join(np.random.default_rng(0).choice(LETTERS, 40)) + " "
ENDS = ["a b", "", "c", "d e a b c d e a b", "a b", "e e e e", "a"]  # ragged, equal ones, none beyond what is common


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def lm(request):
    return tiny_lm(request.param, TOKENIZERS["word"](), 0.5, max_length=64)


@pytest.fixture
def reads(monkeypatch):
    """The lengths of the beginnings that were read once."""
    lengths, read_once = [], sharing.read_once

    def counted(writer, ids, begun):
        lengths.append(len(ids))
        return read_once(writer, ids, begun)

    monkeypatch.setattr(sharing, "read_once", counted)
    return lengths


def alone(call, texts, *arguments, **options):
    return [call(text, *arguments, **options)[0] for text in texts]


def same_texts(made, expected):
    assert [one.token_ids for one in made] == [one.token_ids for one in expected]
    for one, other in zip(made, expected, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, **CLOSE)
        assert one.score == pytest.approx(other.score, **CLOSE)


def same_scores(made, expected):
    assert [one.num_tokens for one in made] == [one.num_tokens for one in expected]
    for one, other in zip(made, expected, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, **CLOSE)
        assert one.bits_per_byte == pytest.approx(other.bits_per_byte, rel=1e-5, nan_ok=True)


def same_choices(made, expected):
    for one, other in zip(made, expected, strict=True):
        assert [choice.answer for choice in one] == [choice.answer for choice in other]
        for choice, wanted in zip(one, other, strict=True):
            assert choice.log_prob == pytest.approx(wanted.log_prob, **CLOSE)
            assert choice.probability == pytest.approx(wanted.probability, **CLOSE)


# === Every family ===
def test_generated_texts_are_those_of_each_prompt_alone(lm, reads):
    prompts = [COMMON + end for end in ENDS]
    for options in ({"temperature": 0}, {"seed": 3}, {"num_beams": 2}, {"repetition_penalty": 1.3, "seed": 1}):
        del reads[:]
        made = lm.generate(prompts[:4], max_new_tokens=5, top_logprobs=2, **options)
        assert reads == [40]  # the begin mark and 40 words but the last, after which one row ends
        same_texts(made, alone(lm.generate, prompts[:4], max_new_tokens=5, top_logprobs=2, **options))


def test_scores_are_those_of_each_text_alone(lm):
    texts = [COMMON + end for end in ENDS]
    for options in ({}, {"end": False}, {"begin": False}):
        same_scores(lm.score(texts, **options), alone(lm.score, texts, **options))


def test_choices_are_those_of_each_prompt_alone(lm, reads):
    prompts, answers = [COMMON + end for end in ENDS[:4]], ["a", "b c d", "e"]
    made = lm.choose(prompts, answers, end=True)
    assert reads == [40]
    same_choices(made, alone(lm.choose, prompts, answers, end=True))


# === Tokenizers ===
@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("begin", [True, False])
def test_tokenizers(kind, begin):
    lm = tiny_lm("gpt2", TOKENIZERS[kind](), 0.5, max_length=128)
    # "abc" and "ab" part within a word: the ids of a text's beginning are not the beginning of its ids.
    texts = [COMMON + end for end in ("abc", "ab", "a", "bcde", "", "c")]
    same_scores(lm.score(texts, begin=begin), alone(lm.score, texts, begin=begin))
    options = {"max_new_tokens": 4, "temperature": 0, "begin": begin}
    same_texts(lm.generate(texts, **options), alone(lm.generate, texts, **options))


# === What is worth it ===
def test_equal_rows_one_row_and_short_beginnings_are_not_read_twice(reads):
    lm = tiny_lm("lstm", TOKENIZERS["word"](), 0.5)
    for prompts in ([COMMON] * 3, [COMMON], [], ["a b c d", "a b c e"]):
        lm.generate(prompts, max_new_tokens=2)
        lm.choose(prompts, ["a", "b"])
    assert reads == []
    same_scores(lm.score([COMMON] * 3), lm.score(COMMON) * 3)


def test_a_batch_that_has_more_in_common_than_the_call(reads, monkeypatch):
    monkeypatch.setattr(sharing, "BATCH", 2)
    lm = tiny_lm("gru", TOKENIZERS["word"](), 0.5)
    prompts = [COMMON + more + end for more in ("a " * 20, "b " * 30) for end in ("c", "d e")]
    made = lm.generate(prompts, max_new_tokens=3, temperature=0)
    assert reads == [41, 61, 71]
    same_texts(made, alone(lm.generate, prompts, max_new_tokens=3, temperature=0))
    same_scores(lm.score(prompts), alone(lm.score, prompts))


def test_copies_of_a_long_state_are_bounded_in_bytes(monkeypatch):
    """64 rows of 1,000 tokens of a model of 30 layers would be 3 GB."""
    lm = tiny_lm("gpt2", TOKENIZERS["word"](), 0.5, max_length=64)
    writer, rows = lm._writer, [[1] * 40 + [2], [1] * 40 + [3, 4]] * 40
    assert sharing.batch_size(writer.starting([]), rows[:2], 8) == 64  # nothing is copied
    token = 2 * 12 * 4 + 1  # keys and values, float32, of one layer
    monkeypatch.setattr(sharing, "STATE_BYTES", 10 * 50 * token)
    assert sharing.batch_size(writer.starting(rows), rows, 8) == 10
    prompts = [COMMON + end for end in ENDS * 4]
    monkeypatch.setattr(sharing, "STATE_BYTES", 1)
    same_texts(lm.generate(prompts, max_new_tokens=2, seed=1)[:7], lm.generate(prompts[:7], max_new_tokens=2, seed=1))
    same_scores(lm.score(prompts), alone(lm.score, prompts))


# === Texts that are longer than the model's memory ===
@pytest.mark.parametrize("family", ["gpt2", "llama", "attention_rnn"])
def test_beyond_the_window(family):
    """Some rows fit, some forget what is common, some begin with more than fits."""
    lm = tiny_lm(family, TOKENIZERS["word"](), 0.5, max_length=48)
    for common in (COMMON, COMMON + COMMON):
        texts = [common + end for end in (*ENDS, "a b c " * 9, "e d " * 40)]
        same_scores(lm.score(texts), alone(lm.score, texts))
        options = {"max_new_tokens": 30, "temperature": 0, "min_new_tokens": 30}
        made = lm.generate(texts, **options)
        same_texts(made, alone(lm.generate, texts, **options))
        ids = [lm.tokenizer.bos_id, *lm.tokenizer.encode(texts[2])]
        for token, log_prob in zip(made[2].token_ids, made[2].log_probs, strict=True):
            table = log_probs(lm.model, [known(ids, 48)])[0, -1]
            assert log_prob == pytest.approx(table[token], abs=1e-4)
            ids.append(token)
        same_choices(lm.choose(texts, ["a b", "c"]), alone(lm.choose, texts, ["a b", "c"]))
