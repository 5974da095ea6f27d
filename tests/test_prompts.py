"""LanguageModel.with_prompt: a prompt before every text, read once, in every family, when saved and when served."""

import math

import numpy as np
import pytest
import tensorflow as tf
from small_models import log_probs, tiny_lm

import lm_keras as lk
from lm_keras.generation.prompt_cache import num_common, num_settled
from lm_keras.models import BUILDERS

CLOSE = {"rel": 1e-5, "abs": 5e-5}
LETTERS = ["a", "b", "c", "d", "e"]
TOKENIZERS = {
    "word": lambda: lk.text.WordTokenizer.train(["a b c d e abc"]),
    "char": lambda: lk.text.CharTokenizer.train(["abcde \n"]),
    "bpe": lambda: lk.text.BPETokenizer.train(["a b c d e abc bcd cde\n\n a\n" * 3], vocab_size=275),
}
PROMPT = " ".join(np.random.default_rng(0).choice(LETTERS, 20))
TEXTS = [" a b", "", "\n\nc d", "bc e", " e d c b a b c d e"]


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def lm(request):
    return tiny_lm(request.param, TOKENIZERS["word"](), 0.5, max_length=64)


def ids_of(lm, text, begin=True):
    return [lm.tokenizer.bos_id] * begin + lm.tokenizer.encode(text)


def same_texts(made, expected):
    assert [one.token_ids for one in made] == [one.token_ids for one in expected]
    for one, other in zip(made, expected, strict=True):
        assert one.text == other.text
        assert one.log_probs == pytest.approx(other.log_probs, **CLOSE)


def same_answers(lm, prompt, texts, **options):
    """All that a language model does after a prompt, as it does it after prompt + text."""
    prompted, whole = lm.with_prompt(prompt), [prompt + text for text in texts]
    greedy = {"max_new_tokens": 6, "temperature": 0, **options}
    same_texts(prompted.generate(texts, **greedy), lm.generate(whole, **greedy))
    assert list(prompted.stream(texts[0], **greedy)) == list(lm.stream(whole[0], **greedy))
    for one, other in zip(
        prompted.choose(texts, ["a", " b c"], **options), lm.choose(whole, ["a", " b c"], **options), strict=True
    ):
        assert [choice.answer for choice in one] == [choice.answer for choice in other]
        assert [choice.log_prob for choice in one] == pytest.approx([choice.log_prob for choice in other], **CLOSE)
    for text, score in zip(texts, prompted.score(texts, **options), strict=True):
        ids, before = [*ids_of(lm, prompt + text, **options), lm.tokenizer.eos_id], ids_of(lm, prompt, **options)
        first = next((i for i, (a, b) in enumerate(zip(ids, before, strict=False)) if a != b), len(before))
        table = log_probs(lm.model, ids)
        log_prob = sum(table[i - 1, ids[i]] for i in range(max(first, 1), len(ids)))
        assert score.log_prob == pytest.approx(log_prob, abs=2e-4)
        assert score.num_tokens == len(ids) - max(first, 1)
        assert score.perplexity == pytest.approx(math.exp(-log_prob / score.num_tokens), rel=1e-3)
        if text and first:  # else a token of it has no probability
            bits = -log_prob / math.log(2) / len(text.encode())
            assert score.bits_per_byte == pytest.approx(bits, rel=1e-4, abs=1e-5)


# === The answers are those after prompt + text ===
def test_every_family(lm):
    same_answers(lm, PROMPT, TEXTS)


def test_the_other_ways_of_writing(lm):
    prompted, whole = lm.with_prompt(PROMPT), [PROMPT + text for text in TEXTS]
    for options in (
        {"num_beams": 3, "num_return_sequences": 2},
        {"penalty_alpha": 0.4, "top_k": 3, "top_logprobs": 2},
        {"repetition_penalty": 1.4, "seed": 2},
        {"num_return_sequences": 3},
        {"temperature": 0, "jit_compile": lm.model.name in ("gpt2", "lstm_lm")},
    ):
        same_texts(
            prompted.generate(TEXTS, max_new_tokens=5, **options), lm.generate(whole, max_new_tokens=5, **options)
        )


@pytest.mark.parametrize("begin", [True, False])
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_tokenizers(kind, begin):
    lm = tiny_lm("llama", TOKENIZERS[kind](), 0.5, max_length=128)
    for prompt in (PROMPT, PROMPT + "\n", PROMPT + " a", "a"):
        same_answers(lm, prompt, TEXTS, begin=begin)


def test_a_prompt_after_a_prompt():
    lm = tiny_lm("lstm", TOKENIZERS["bpe"](), 0.5)
    both, whole = lm.with_prompt(PROMPT).with_prompt(" a b\n"), lm.with_prompt(PROMPT + " a b\n")
    assert both.prompt == whole.prompt == PROMPT + " a b\n"
    for one, other in zip(both.prompt_cache.state, whole.prompt_cache.state, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    same_texts(both.generate(TEXTS, seed=4), whole.generate(TEXTS, seed=4))
    same_texts(lm.with_prompt("").generate(TEXTS, seed=4), lm.generate(TEXTS, seed=4))
    assert (lm.prompt, lm.with_prompt("").prompt) == ("", "")


def test_bits_per_byte_are_not_known_where_a_token_does_not_count():
    """Without begin mark the first token has no probability, if no token of the prompt stands before it."""
    lm = tiny_lm("gpt2", TOKENIZERS["word"](), 0.5)
    for prompt, known in (("a", True), (" ", False)):
        (score,) = lm.with_prompt(prompt).score(" b c", begin=False)
        assert (score.num_tokens, math.isfinite(score.bits_per_byte)) == (2 + known, known)


def test_a_prompt_that_is_no_utf_8(tmp_path):
    lm = tiny_lm("gpt2", TOKENIZERS["bpe"](), 0.5, max_length=64)
    prompted = lm.with_prompt("a \ud800 b")
    assert prompted.prompt == "a \ufffd b"
    same_answers(lm, "a \ud800 b", TEXTS)
    served = tf.saved_model.load(lk.export(prompted, tmp_path / "lm", max_new_tokens_limit=4))
    (log_prob,) = served.signatures["score"](text=tf.constant(["c"]))["log_prob"].numpy()
    assert log_prob == pytest.approx(prompted.score("c")[0].log_prob, **CLOSE)


# === What the cache holds ===
def test_the_state_is_that_after_the_ids(lm):
    # The last token is read with the text; so is a word that may not have ended.
    for prompt, num_read in ((PROMPT, 19), (PROMPT + " ", 20), ("a ", 1)):
        cache = lm.with_prompt(prompt).prompt_cache
        assert isinstance(cache, lk.generation.PromptCache)
        assert cache.ids.numpy().tolist() == ids_of(lm, prompt)
        assert int(cache.num_read) == num_read
        empty = lm.model.initial_state(1, num_read)
        _, state = lm.model.step(cache.ids[None, :num_read], empty)
        for part, expected in zip(cache.state, state, strict=True):
            # Room for more tokens is empty.
            part = part[:, :, : expected.shape[2]] if part.shape.rank == 4 else part
            np.testing.assert_allclose(part, expected, rtol=1e-4, atol=1e-5)


def test_the_prompt_is_cut_where_its_ids_may_change():
    tokenizer = TOKENIZERS["bpe"]()
    assert tokenizer.encode("a b\n\n")[:3] != tokenizer.encode("a b\n")[:3]  # two line ends are one token
    assert num_settled(tokenizer, "a b\n") == 2
    assert tokenizer.encode("a bcd")[:3] != tokenizer.encode("a bc")[:3]
    assert num_settled(tokenizer, "a bc") < len(tokenizer.encode("a bc"))
    assert num_settled(TOKENIZERS["char"](), "a b\n") == 4
    assert num_settled(tokenizer, "") == 0


def test_a_text_whose_ids_begin_otherwise_is_read_from_nothing():
    """No trial shows every merge: what was not tried must not change the answer."""
    lm = tiny_lm("gru", TOKENIZERS["bpe"](), 0.5)
    prompted = lm.with_prompt(PROMPT + " a b c")
    cache = prompted.prompt_cache
    wrong = cache._replace(
        state=[part + 1 for part in cache.state], ids=tf.concat([cache.ids[:5], cache.ids[4:-1]], 0)
    )
    prompted._writer._caches._made.update(dict.fromkeys(prompted._writer._caches._made, wrong))
    same_texts(
        prompted.generate(TEXTS, max_new_tokens=5, temperature=0),
        lm.generate([PROMPT + " a b c" + text for text in TEXTS], max_new_tokens=5, temperature=0),
    )
    expected = lm.with_prompt(PROMPT + " a b c").score(TEXTS)
    assert [one.log_prob for one in prompted.score(TEXTS)] == pytest.approx(
        [one.log_prob for one in expected], **CLOSE
    )


def test_common_ids():
    rows = tf.constant([[1, 2, 3, 4], [1, 2, 5, 4], [1, 2, 3, -1], [7, 2, 3, 4]])
    assert num_common(rows, tf.constant([1, 2, 3, 4, 5])).numpy().tolist() == [4, 2, 3, 0]
    assert num_common(rows, tf.constant([1, 2])).numpy().tolist() == [2, 2, 2, 0]
    assert num_common(rows, tf.zeros([0], tf.int32)).numpy().tolist() == [0] * 4


@pytest.mark.parametrize("change", ["all", "one", "int8"])
def test_a_prompt_is_read_again_when_the_weights_have_changed(change):
    lm = tiny_lm("gpt2", TOKENIZERS["bpe"](), 0.5, max_length=64)
    prompted, longer = lm.with_prompt(PROMPT), " c d e"
    before, cache = prompted.score(TEXTS), prompted.prompt_cache
    assert prompted.prompt_cache is cache  # while nothing has changed it is kept
    if change == "all":
        windows = lk.data.lm_windows(["a b c d e"] * 4, lm.tokenizer, 8, 2, seed=0)
        lk.fit(lm.model, windows, config=lk.TrainingConfig(epochs=2, learning_rate=0.01))
    elif change == "one":
        lm.model.weights[0].assign(lm.model.weights[0] * 1.5)
    else:
        lm.model.quantize("int8")
    chained = prompted.with_prompt(longer).score(TEXTS)
    after, expected = prompted.score(TEXTS), lk.LanguageModel(lm.model, lm.tokenizer)
    assert [one.log_prob for one in after] != [one.log_prob for one in before]
    for made, prompt in ((after, PROMPT), (chained, PROMPT + longer)):
        new = expected.with_prompt(prompt).score(TEXTS)
        assert [one.log_prob for one in made] == pytest.approx([one.log_prob for one in new], **CLOSE)


# === A full window ===
WINDOW = 31


def known(ids, kept):
    """What a model knows that forgets the older half of what comes after the first `kept` tokens."""
    first, later, room = ids[:kept], [], WINDOW - kept
    for token in ids[kept:]:
        if len(later) == room:
            later = later[-(-room // 2) :]
        later.append(token)
    return [*first, *later]


def log_probs_after(lm, ids, kept):
    return log_probs(lm.model, [known(ids, kept)])[0, -1]


@pytest.mark.parametrize("family", ["gpt2", "llama", "attention_rnn"])
def test_the_prompt_stays_when_the_window_is_full(family):
    lm = tiny_lm(family, TOKENIZERS["word"](), 0.5, max_length=WINDOW)
    prompted, kept = lm.with_prompt(PROMPT), 21
    texts = [" a b", "", " c d e a b c d e", " e d c b a" * 7]
    for options in (
        {"temperature": 0},
        {"num_beams": 2, "top_logprobs": 1},
        {"penalty_alpha": 0.3, "top_k": 2, "top_logprobs": 1},
    ):
        made = prompted.generate(texts, max_new_tokens=25, min_new_tokens=25, **options)
        for text, one in zip(texts, made, strict=True):
            ids = ids_of(lm, PROMPT + text)
            assert len(one.token_ids) == 25
            for token, log_prob in zip(one.token_ids, one.log_probs, strict=True):
                assert log_prob == pytest.approx(log_probs_after(lm, ids, kept)[token], abs=2e-4)
                ids.append(token)
    for text, score in zip(texts, prompted.score(texts), strict=True):
        ids = [*ids_of(lm, PROMPT + text), lm.tokenizer.eos_id]
        expected = [log_probs_after(lm, ids[:i], kept)[ids[i]] for i in range(kept, len(ids))]
        assert score.num_tokens == len(expected)
        assert score.log_prob == pytest.approx(sum(expected), rel=1e-4, abs=1e-4)
    # Two texts that share more than the prompt, and one that does not begin with it in the end.
    both = [" a b c d e" * 5 + end for end in (" a", " b c", " d" * 9)]
    for text, score, choices in zip(both, prompted.score(both), prompted.choose(both, ["a", "c"]), strict=True):
        assert score.log_prob == pytest.approx(prompted.score(text)[0].log_prob, rel=1e-5, abs=1e-4)
        table = log_probs_after(lm, ids_of(lm, PROMPT + text), kept)
        for choice in choices:
            (token,) = lm.tokenizer.encode(choice.answer)
            assert choice.log_prob == pytest.approx(table[token], abs=1e-4)


def test_a_prompt_that_fills_the_window_is_refused():
    lm = tiny_lm("gpt2", TOKENIZERS["word"](), max_length=21)
    with pytest.raises(lk.InputError, match=r"the prompt has 21 tokens and gpt2 sees 21"):
        lm.with_prompt(PROMPT)
    assert lm.with_prompt(PROMPT[2:]).generate("a", max_new_tokens=3)
    with pytest.raises(lk.InputError, match="int"):
        lm.with_prompt(3)


# === Other places that see a prompt ===
def test_it_is_saved_and_loaded(tmp_path):
    lm = tiny_lm("gpt2", TOKENIZERS["bpe"](), 0.5, max_length=64)
    prompted = lm.with_prompt(PROMPT)
    prompted.save(tmp_path / "lm")
    loaded = lk.LanguageModel.load(tmp_path / "lm")
    assert loaded.prompt == PROMPT
    same_texts(loaded.generate(TEXTS, seed=1), prompted.generate(TEXTS, seed=1))
    (tmp_path / "lm" / "prompt.json").write_text("[1]")
    with pytest.raises(lk.InputError, match=r"prompt\.json holds no prompt"):
        lk.LanguageModel.load(tmp_path / "lm")
    lm.save(tmp_path / "lm")
    assert lk.LanguageModel.load(tmp_path / "lm").prompt == ""
    assert lk.quantize(prompted, "int8").prompt == PROMPT


def test_nothing_is_traced_again_for_another_prompt():
    lm = tiny_lm("gpt2", TOKENIZERS["word"](), 0.5)
    for prompt in (PROMPT, "a b", PROMPT[:9]):
        prompted = lm.with_prompt(prompt)
        prompted.generate(TEXTS[:2], max_new_tokens=2)
        prompted.score(TEXTS)
    lm.generate(TEXTS, max_new_tokens=2)
    lm.score(TEXTS)
    traced = lm._writer._traced._made.items()
    counts = sorted((work.__name__, f.experimental_get_tracing_count()) for (_, (work, *_)), f in traced)
    # One set of functions for all prompts, and one for none.
    names = ("decode", "decode", "read_prompts", "read_prompts", "score_and_state", "score_ids")
    assert counts == [(name, 1) for name in names]


# === Served ===
@pytest.mark.parametrize("family", ["gpt2", "lstm"])
def test_an_export_answers_as_python_does(family, tmp_path, warm_check):
    lm = tiny_lm(family, TOKENIZERS["bpe"](), 0.5, max_length=60)
    prompted = lm.with_prompt(PROMPT)
    version = lk.export(prompted, tmp_path / "lm", max_new_tokens_limit=24)
    texts = [*TEXTS, " a b c d e" * 12]  # the last one fills the window
    made = prompted.generate(texts, max_new_tokens=24, temperature=0)
    scores = prompted.score(texts)
    requests = [
        {
            "signature": "generate",
            "inputs": {"prompt": texts, "max_new_tokens": [24] * len(texts)},
            "outputs": {
                "completion": [one.text for one in made],
                "log_prob": [sum(one.log_probs) for one in made],
            },
        },
        {
            "signature": "score",
            "inputs": {"text": texts},
            "outputs": {
                "log_prob": [one.log_prob for one in scores],
                "num_tokens": [one.num_tokens for one in scores],
                "perplexity": [one.perplexity for one in scores],
            },
        },
    ]
    assert lk.check(version, requests) == []


def test_the_state_is_a_constant_of_the_export(tmp_path):
    """A prompt adds its state to the graph, once for all signatures, and no variable."""
    lm = tiny_lm("gpt2", TOKENIZERS["char"](), 0.5, max_length=4000, hidden_dim=64)
    sizes = {}
    for name, one in (("plain", lm), ("prompted", lm.with_prompt("abcde" * 500))):
        version = lk.export(one, tmp_path / name, max_new_tokens_limit=4)
        folder = tf.io.gfile.join(version, "variables")
        variables = sum(tf.io.gfile.stat(f"{folder}/{file}").length for file in tf.io.gfile.listdir(folder))
        sizes[name] = tf.io.gfile.stat(f"{version}/saved_model.pb").length, variables
    state = 2 * 64 * 2501 * 4  # keys and values of one layer
    assert state < sizes["prompted"][0] - sizes["plain"][0] < 1.3 * state
    assert sizes["prompted"][1] == pytest.approx(sizes["plain"][1], rel=0.02)
