"""Exposure of secrets, against models whose probabilities are known and against `score` of each text alone."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import tiny_lm

import lm_keras as lk
from lm_keras.tasks import canaries, exposure

TEMPLATE = "the code is ###"


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.CharTokenizer.train(["the code is 0123456789", "a rose is a rose"])


@pytest.fixture(scope="module")
def unigram(tokenizer):
    """An LSTM that knows how likely each digit is, whatever stands before it: 9 the likeliest."""
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=4, hidden_dim=4)
    weights = [np.zeros_like(part) for part in model.get_weights()]
    (bias,) = [part for part in weights if part.shape == (tokenizer.vocab_size,)]
    for digit in range(10):
        bias[tokenizer.encode(str(digit))] = np.log(1 + digit)
    model.set_weights(weights)
    return lk.LanguageModel(model, tokenizer)


def test_rank_of_a_model_whose_probabilities_are_known(unigram):
    texts = canaries(TEMPLATE)
    known = {text: math.prod(1 + int(digit) for digit in text[-3:]) for text in texts}
    for text, found in zip(texts[::37], exposure(unigram, texts[::37], texts), strict=True):
        rank = sum(each >= known[text] for each in known.values())  # the digits in another order are as likely
        assert found.rank == rank and found.candidates == 1000
        assert found.exposure == pytest.approx(math.log2(1000 / rank))
    (best, worst) = exposure(unigram, ["the code is 999", "the code is 000"], texts)
    assert best.rank == 1 and best.exposure == pytest.approx(math.log2(1000))
    assert worst.rank == 1000 and worst.exposure == 0


def test_a_model_that_tells_nothing_apart_exposes_nothing(unigram):
    flat = unigram.with_model(type(unigram.model).from_config(unigram.model.get_config()))
    flat.model.set_weights([np.zeros_like(part) for part in flat.model.get_weights()])
    for found in exposure(flat, canaries(TEMPLATE, 5, seed=1), canaries(TEMPLATE)):
        assert (found.rank, found.exposure) == (1000, 0)


@pytest.mark.parametrize("family", ["lstm", "gpt2"])
@pytest.mark.parametrize("begin", [True, False])
def test_ranks_are_those_of_score(tokenizer, family, begin):
    lm = tiny_lm(family, tokenizer, 0.3)
    texts = canaries("a #s##", 60, seed=2)
    prompted = lm.with_prompt("is ")
    for model in (lm, prompted):
        scores = dict(zip(texts, [s.log_prob for s in model.score(texts, begin=begin, end=False)], strict=True))
        secrets = texts[:12]
        for secret, found in zip(secrets, exposure(model, secrets, texts, begin=begin), strict=True):
            near = [abs(scores[secret] - each) for text, each in scores.items() if text != secret]
            assert min(near) > 2e-4  # no rank is a matter of rounding
            assert found.rank == sum(each >= scores[secret] for each in scores.values())
    assert exposure(lm, secrets, texts) != exposure(prompted, secrets, texts)


def test_the_canary_counts_once_whether_it_is_among_the_candidates_or_not(unigram):
    texts = canaries(TEMPLATE, 50, seed=3)
    secret, others = texts[0], texts[1:]
    whole = exposure(unigram, secret, [*others, secret])
    assert exposure(unigram, secret, others) == whole == exposure(unigram, [secret], [*texts, *texts])
    assert whole[0].candidates == 50
    # Another canary is no candidate unless it is named as one.
    assert exposure(unigram, ["the code is 999", secret], others)[1] == whole[0]


def test_a_repeated_secret_is_exposed_and_one_that_never_stood_there_is_not(tokenizer):
    secret, other = canaries(TEMPLATE, 2, seed=4)
    model = lk.models.build_rnn_lm(tokenizer.vocab_size, embedding_dim=None, hidden_dim=64, seed=0)
    lm = lk.LanguageModel(model, tokenizer)
    windows = lk.data.lm_windows([secret, "a rose is a rose"] * 40, tokenizer, length=20, batch_size=16)
    lk.fit(lm, windows, config=lk.TrainingConfig(epochs=12, learning_rate=1e-2, warmup_steps=0))
    found, unknown = exposure(lm, [secret, other], canaries(TEMPLATE))
    assert found.rank == 1 and unknown.exposure < found.exposure
    assert found.log_prob > -math.log(1000) > unknown.log_prob  # what chance gives


@given(st.text(max_size=12).filter(lambda text: "#" not in text), st.integers(1, 40), st.integers(0, 99))
def test_canaries_are_different_texts_of_the_template(text, count, seed):
    template = f"#{text}#"
    made = canaries(template, count, seed)
    assert len(set(made)) == count and made == canaries(template, count, seed)
    assert all(one[0].isdigit() and one[-1].isdigit() and one[1:-1] == text for one in made)
    assert set(made) <= set(canaries(template))


def test_all_texts_of_a_template_come_in_order():
    assert canaries("x##y") == [f"x{a}{b}y" for a, b in itertools.product("0123456789", repeat=2)]
    assert len(set(canaries("#" * 18, 1000, 1))) == 1000


def test_telephone_numbers_of_a_template_are_what_scrub_takes_out():
    for text in canaries("my number is (212) 555-####", 200, seed=5):
        assert lk.data.scrub(text).text == "my number is <PHONE>"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no digit",), "has 0"),
        (("#" * 19, 3), "has 19"),
        (("#" * 7,), "give count"),
        (("##", 101), "count is 101"),
        (("##", 0), "count is 0"),
        ((3,), "must be a str"),
    ],
)
def test_templates_that_cannot_be(arguments, words):
    with pytest.raises(lk.InputError, match=words):
        canaries(*arguments)


def test_what_cannot_be_ranked(tokenizer, unigram):
    with pytest.raises(lk.InputError, match="nothing to rank"):
        exposure(unigram, "the code is 1", ["the code is 1"])
    with pytest.raises(lk.InputError, match="candidates is 7"):
        exposure(unigram, "a", 7)
    with pytest.raises(lk.InputError, match="no token to score"):
        exposure(unigram, "", ["1"])
    with pytest.raises(lk.InputError, match="longer than the"):
        exposure(tiny_lm("gpt2", tokenizer), "1" * 200, ["2" * 200])
