"""LanguageModel: text in, text out."""

import math

import numpy as np
import pytest
from small_models import train_lm

import lm_keras as lk
from lm_keras.generation.generate import banned_marks

PROMPTS = ["The government", "", "He said that the people of Australia have been", "zzxxqq", "in", "The", "a b c"]
WIDE = "今天天气很好。🙂🎉 你好，世界！我们去看电影吧👩‍👩‍👧。"


@pytest.fixture(params=["word", "char"])
def lm(request):
    return request.getfixturevalue(f"{request.param}_lm")


@pytest.fixture(scope="module")
def wide_lm():
    """A character model in which most characters are several byte tokens."""
    tokenizer = lk.text.CharTokenizer.train([WIDE], vocab_size=262)
    return train_lm(tokenizer, [WIDE] * 60, 100, embedding_dim=16, hidden_dim=48)


def log_softmax(lm, ids, banned=False):
    """Log-probabilities [T, V] by one pass of the whole model, in float64."""
    logits = lm.model.predict_on_batch(np.array([ids], "int32"))[0].astype("float64")
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)) + (banned_marks(lm.tokenizer) if banned else 0)


def same_generation(a, b):
    assert a.text == b.text
    assert a.token_ids == b.token_ids
    np.testing.assert_allclose(a.log_probs, b.log_probs, rtol=1e-4, atol=1e-5)


# === Scores ===
def test_scores_by_hand_for_texts_of_many_lengths(lm, news):
    texts = ["", "a", "The cat.", "naïve 你好 🙂\n", news[0][:300], "x" * 400, " "]
    scores = lm.score(texts)
    assert len(scores) == len(texts)
    for text, score in zip(texts, scores, strict=True):
        ids = [lm.tokenizer.bos_id, *lm.tokenizer.encode(text), lm.tokenizer.eos_id]
        table = log_softmax(lm, ids)
        log_prob = sum(table[t, ids[t + 1]] for t in range(len(ids) - 1))
        assert score.log_prob == pytest.approx(log_prob, rel=1e-4)
        assert score.num_tokens == len(ids) - 1
        assert score.perplexity == pytest.approx(math.exp(-log_prob / (len(ids) - 1)), rel=1e-3)
        if text:
            assert score.bits_per_byte == pytest.approx(-log_prob / math.log(2) / len(text.encode()), rel=1e-4)
        else:
            assert score.num_tokens == 1
            assert math.isnan(score.bits_per_byte)


def test_scores_keep_the_order_over_several_batches(lm, news):
    words = " ".join(news[:3]).split()
    texts = [" ".join(words[i : i + 1 + i * 7 % 23]) for i in range(150)]
    scores = lm.score(texts)
    for i in (0, 17, 63, 64, 99, 149):
        (alone,) = lm.score([texts[i]])
        assert scores[i].num_tokens == alone.num_tokens
        assert scores[i].log_prob == pytest.approx(alone.log_prob, rel=1e-5)


def test_training_text_is_more_probable_than_by_chance(word_lm, news):
    text = " ".join(news[0].split()[:60])
    (score,) = word_lm.score([text])
    assert score.perplexity < word_lm.tokenizer.vocab_size / 3
    assert word_lm.score([]) == []
    assert word_lm.score(text) == [score]  # one string is a list of one


# === Generation ===
@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"temperature": 1.0, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.2}]
)
def test_a_batch_equals_one_at_a_time_in_any_order(lm, options):
    together = lm.generate(PROMPTS, max_new_tokens=12, seed=5, **options)
    for prompt, row in zip(PROMPTS, together, strict=True):
        same_generation(row, lm.generate(prompt, max_new_tokens=12, seed=5, **options)[0])
    backwards = lm.generate(PROMPTS[::-1], max_new_tokens=12, seed=5, **options)
    for a, b in zip(together, backwards[::-1], strict=True):
        same_generation(a, b)


def test_greedy_takes_the_likeliest_word_and_tells_its_probability(lm):
    generation = lm.generate("The people", max_new_tokens=10, temperature=0)[0]
    ids = [lm.tokenizer.bos_id, *lm.tokenizer.encode("The people")]
    for token, log_prob in zip(generation.token_ids, generation.log_probs, strict=True):
        table = log_softmax(lm, ids)[-1]
        assert token == log_softmax(lm, ids, banned=True)[-1].argmax()
        assert log_prob == pytest.approx(table[token], abs=1e-4)
        ids.append(token)
    assert generation.text == lm.tokenizer.decode(generation.token_ids, lm.tokenizer.encode("The people")[-1])


def test_the_seed_decides_and_repeats_of_a_prompt_differ(lm):
    texts = [g.text for g in lm.generate(["The"] * 5 + ["in"], max_new_tokens=20, seed=3)]
    assert len(set(texts)) == 6
    assert texts == [g.text for g in lm.generate(["The"] * 5 + ["in"], max_new_tokens=20, seed=3)]
    # The k-th repeat has seed + k, whatever stands between.
    assert texts[2] == lm.generate("The", max_new_tokens=20, seed=5)[0].text
    assert lm.generate(["in", "The", "in", "The"], max_new_tokens=20, seed=3)[3].text == texts[1]
    assert lm.generate("The", max_new_tokens=20, seed=-(2**62))[0].text != texts[0]


def test_more_prompts_than_a_batch(word_lm):
    rows = word_lm.generate(["The"] * 130, max_new_tokens=4, seed=0)
    for k in (0, 63, 64, 129):
        same_generation(rows[k], word_lm.generate("The", max_new_tokens=4, seed=k)[0])


def test_no_new_tokens(lm):
    assert lm.generate("The", max_new_tokens=0)[0][:3] == ("", [], [])
    assert lm.generate([], max_new_tokens=5) == []
    assert list(lm.stream("The", max_new_tokens=0)) == []


def test_marks_are_never_generated(lm):
    for generation in lm.generate(["The"] * 40, max_new_tokens=30, temperature=50.0):
        assert not set(generation.token_ids) & {lm.tokenizer.pad_id, lm.tokenizer.unk_id, lm.tokenizer.eos_id}


@pytest.mark.parametrize("options", [
    {"temperature": 1e-45}, {"temperature": 1e300}, {"temperature": float("inf")}, {"top_k": 10**12},
    {"top_p": 1e-45}, {"repetition_penalty": 1e-30}, {"repetition_penalty": 1e30}, {"seed": 2**63 - 1},
    {"seed": 10**40},
])  # fmt: skip
def test_extreme_options_generate_text(word_lm, options):
    generation = word_lm.generate("The", max_new_tokens=5, **options)[0]
    assert len(generation.token_ids) <= 5
    assert not {word_lm.tokenizer.pad_id, word_lm.tokenizer.unk_id} & set(generation.token_ids)


# === Stop strings ===
def check_stop(lm, prompt, free, stop, **options):
    """The text before the stop string that is complete first; the tokens up to the one that completes it."""
    generation = lm.generate(prompt, stop=stop, **options)[0]
    stops = [stop] if isinstance(stop, str) else stop
    previous = lm.tokenizer.encode(prompt)[-1]
    for n in range(1, len(free.token_ids) + 1):
        text = lm.tokenizer.decode(free.token_ids[:n], previous)
        if any(s in text for s in stops):
            break
    expected = text[: min(text.find(s) for s in stops if s in text)]
    assert generation.text == expected
    assert not any(s in generation.text for s in stops)
    assert generation.token_ids == free.token_ids[:n]
    np.testing.assert_allclose(generation.log_probs, free.log_probs[:n], rtol=1e-4, atol=1e-5)
    assert "".join(lm.stream(prompt, stop=stop, **options)) == expected


def test_text_ends_before_the_stop_string_that_is_complete_first(lm):
    options = {"max_new_tokens": 40, "seed": 1}
    free = lm.generate("The people", **options)[0]
    text = free.text
    assert len(text) > 12
    middle = len(text) // 2
    # One character, one across tokens, several, at the very start and end, one whose beginning comes often.
    for stop in (
        text[5],
        text[3:9],
        [text[9:12], text[4:6]],
        text[:2],
        text[-2:],
        [text[middle : middle + 7], "qqq"],
    ):
        check_stop(lm, "The people", free, stop, **options)
    # A long one that starts earlier and a short one inside that is complete earlier.
    check_stop(lm, "The people", free, [text[2:], text[middle]], **options)


def test_a_stop_string_that_never_comes_changes_nothing(lm):
    free = lm.generate(PROMPTS, max_new_tokens=20, seed=2)
    for a, b in zip(lm.generate(PROMPTS, max_new_tokens=20, seed=2, stop=["\x00never"]), free, strict=True):
        same_generation(a, b)


def test_each_row_stops_by_itself(char_lm):
    free = char_lm.generate(["The people", "in the"], max_new_tokens=40, seed=2)
    stop = free[0].text[20:23]
    rows = char_lm.generate(["The people", "in the"], max_new_tokens=40, seed=2, stop=stop)
    for row, whole in zip(rows, free, strict=True):
        assert row.text == whole.text.split(stop)[0]


# === Streaming ===
@pytest.mark.parametrize("options", [{"temperature": 0}, {"seed": 4}, {"seed": 5, "repetition_penalty": 1.5}])
def test_stream_is_the_generated_text_in_pieces(lm, options):
    pieces = list(lm.stream("The people", max_new_tokens=30, **options))
    assert "".join(pieces) == lm.generate("The people", max_new_tokens=30, **options)[0].text
    assert len(pieces) > 5
    assert all(pieces)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 20.0])  # at 20 most bytes are no UTF-8
def test_stream_never_splits_a_character(wide_lm, temperature):
    split = 0
    for seed in range(4):
        options = {"max_new_tokens": 60, "temperature": temperature, "seed": seed}
        whole = wide_lm.generate("今天", **options)[0].text
        pieces = list(wide_lm.stream("今天", **options))
        assert "".join(pieces) == whole
        split += sum(len(piece.encode()) > 1 for piece in pieces)
        if "\ufffd" not in whole:
            assert not any("\ufffd" in piece for piece in pieces)
    assert split  # there were characters of several bytes to be split
    if temperature == 0.3:
        assert any(char in whole for char in WIDE if char > "\u3000")


def test_stop_string_of_several_bytes(wide_lm):
    options = {"max_new_tokens": 60, "temperature": 0.3, "seed": 0}
    free = wide_lm.generate("今天", **options)[0]
    stop = next(char for char in free.text[2:] if char > "\u3000")
    check_stop(wide_lm, "今天", free, stop, **options)


# === Save and load ===
def test_a_saved_model_gives_the_same_texts_and_scores(lm, tmp_path):
    lm.save(tmp_path / "lm")
    loaded = lk.LanguageModel.load(tmp_path / "lm")
    assert loaded.score(PROMPTS[:1] + PROMPTS[2:]) == lm.score(PROMPTS[:1] + PROMPTS[2:])
    assert loaded.generate(PROMPTS, max_new_tokens=8) == lm.generate(PROMPTS, max_new_tokens=8)
    assert {p.name for p in (tmp_path / "lm").iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}


@pytest.mark.parametrize("name", ["word_lm", "char_lm"])
def test_beams_find_a_text_at_least_as_likely_as_greedy(name, request):
    lm = request.getfixturevalue(name)
    greedy = lm.generate(PROMPTS, max_new_tokens=8, temperature=0)
    searched = lm.generate(PROMPTS, max_new_tokens=8, num_beams=5)
    for a, b in zip(greedy, searched, strict=True):
        if len(a.token_ids) == len(b.token_ids) == 8:  # no end mark in either, so the sums compare
            assert sum(b.log_probs) >= sum(a.log_probs) - 1e-4
    for prompt, row in zip(PROMPTS, searched, strict=True):
        same_generation(row, lm.generate(prompt, max_new_tokens=8, num_beams=5)[0])
    assert lm.generate("The", max_new_tokens=8, num_beams=5, stop="e")[0].text.count("e") == 0
