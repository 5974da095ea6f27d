"""A language model with contexts: scores, guidance, classes by Bayes' rule, and a context from a few texts."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import voices
from learned import known
from small_models import array, log_softmax

import lm_keras as lk

KINDS = [("lstm", "token"), ("lstm", "vector"), ("gpt2", "token"), ("gpt2", "vector")]
TEXTS = ["the cat", "woof and meow the", "a", ""]


def context_ids(conditional, context):
    place = -1 if context is None else conditional.contexts.index(context)
    return [conditional.model.mark(place), conditional.tokenizer.bos_id]


def log_probs(conditional, context, ids):
    """log p [T, V] of what follows each of ids after a context and the begin mark, by one pass of all of them."""
    rows = tf.constant([[*context_ids(conditional, context), *ids]], tf.int32)
    return log_softmax(array(conditional.model(rows))[0, 1:])


@pytest.mark.parametrize("family, by", KINDS)
def test_scores_are_those_of_the_model_with_marks(family, by):
    conditional = voices.shared(family, by)
    tokenizer = conditional.tokenizer
    places = ["cats", None, "birds", "dogs"]
    for text, context, found in zip(TEXTS, places, conditional.score(TEXTS, places), strict=True):
        ids = [*tokenizer.encode(text), tokenizer.eos_id]
        each = log_probs(conditional, context, ids[:-1])[np.arange(len(ids)), ids]
        assert found.log_prob == pytest.approx(each.sum(), abs=1e-4)
        assert found.num_tokens == len(ids)
    alone = [conditional.score(text, context)[0] for text, context in zip(TEXTS, places, strict=True)]
    together = conditional.score(TEXTS, places)
    assert [one.log_prob for one in alone] == pytest.approx([one.log_prob for one in together])


@pytest.mark.parametrize("by", ["token", "vector"])
def test_a_text_longer_than_the_memory_keeps_its_context(by):
    conditional = voices.shared("gpt2", by)
    tokenizer, window = conditional.tokenizer, conditional.model.context_length
    text = " ".join(np.random.default_rng(3).choice([*voices.SHARED, *voices.OWN["dogs"]], 30))
    ids = [*context_ids(conditional, "dogs"), *tokenizer.encode(text), tokenizer.eos_id]
    total = 0.0
    for n in range(2, len(ids)):
        seen = known(ids[:n], 2, window)  # the marks of the context and of the beginning stay
        assert seen[:2] == ids[:2]
        total += log_softmax(array(conditional.model(np.array([seen], "int32")))[0, -1])[ids[n]]
    assert conditional.score(text, "dogs")[0].log_prob == pytest.approx(total, abs=1e-3)
    options = {"temperature": 0, "max_new_tokens": 9, "min_new_tokens": 9, "guidance": 1.7}
    (long,) = conditional.generate(text, context="dogs", **options)
    seen, never = list(ids[:-1]), [tokenizer.pad_id, tokenizer.unk_id, tokenizer.eos_id]
    for token, log_prob in zip(long.token_ids, long.log_probs, strict=True):
        own = known(seen, 2, window)
        rows = np.array([own, [*context_ids(conditional, None), *own[2:]]], "int32")
        given, free = log_softmax(array(conditional.model(rows))[:, -1])
        guided = given + 1.7 * (given - free)
        guided[never] = -np.inf
        assert token == guided.argmax()
        assert log_prob == pytest.approx(given[token], abs=1e-3)
        seen.append(token)
    assert len(long.token_ids) == 9


@pytest.mark.parametrize("family, by", KINDS)
@pytest.mark.parametrize("g", [0.7, 3.0])
def test_guided_text_is_the_likeliest_by_the_equation(family, by, g):
    conditional = voices.shared(family, by)
    tokenizer = conditional.tokenizer
    (made,) = conditional.generate("the", context="dogs", guidance=g, temperature=0, max_new_tokens=6, top_logprobs=2)
    ids, unlike = tokenizer.encode("the"), 0
    for token, log_prob, top in zip(made.token_ids, made.log_probs, made.top_logprobs, strict=True):
        given, free = (log_probs(conditional, context, ids)[-1] for context in ("dogs", None))
        guided = given + g * (given - free)
        guided[[tokenizer.pad_id, tokenizer.unk_id]] = -np.inf
        assert token == guided.argmax()
        assert log_prob == pytest.approx(given[token], abs=1e-4)  # of the model itself
        assert top[0][1] == pytest.approx(given.max(), abs=1e-4)
        unlike += token != given.argmax()
        ids.append(token)
    assert made.token_ids
    streamed = conditional.stream("the", context="dogs", guidance=g, temperature=0, max_new_tokens=6)
    assert "".join(streamed) == made.text


def test_guided_samples_follow_the_guided_distribution():
    conditional, g = voices.shared("lstm", "vector"), 2.0
    made = conditional.generate(["the"] * 1500, context="cats", guidance=g, max_new_tokens=1, seed=3)
    ids = conditional.tokenizer.encode("the")
    given, free = (log_probs(conditional, context, ids)[-1] for context in ("cats", None))
    guided = given + g * (given - free)
    guided[[conditional.tokenizer.pad_id, conditional.tokenizer.unk_id]] = -np.inf
    p = np.exp(guided - np.logaddexp.reduce(guided))
    counts = np.zeros(len(p))
    for one in made:
        counts[one.token_ids[0] if one.token_ids else conditional.tokenizer.eos_id] += 1
    deviation = np.sqrt(p * (1 - p) / 1500)
    assert (np.abs(counts / 1500 - p) <= 4.5 * deviation + 1e-9).all()
    plain = np.exp(given)
    assert np.abs(p - plain).max() > 0.1  # else the two distributions could not be told apart


@pytest.mark.parametrize("family, by", KINDS)
def test_guidance_of_0_is_none_exactly(family, by):
    conditional, options = voices.shared(family, by), {"max_new_tokens": 12, "seed": 5}
    for extra in ({}, {"temperature": 0}, {"repetition_penalty": 1.3}):
        plain = conditional.generate(["the", "woof", ""], context="dogs", **options, **extra)
        assert conditional.generate(["the", "woof", ""], context="dogs", guidance=0.0, **options, **extra) == plain
    # Nothing leads away from a text without a context.
    free = conditional.generate(["the"], **options)
    assert conditional.generate(["the"], guidance=2.0, **options) == free


def test_a_context_for_each_prompt():
    conditional = voices.shared("gpt2", "token")
    prompts, places = ["the", "a", "the", "so"], ["dogs", None, "cats", "dogs"]
    options = {"max_new_tokens": 5, "temperature": 0, "guidance": 1.0}
    together = conditional.generate(prompts, context=places, **options)
    for prompt, context, made in zip(prompts, places, together, strict=True):
        assert conditional.generate(prompt, context=context, **options)[0].token_ids == made.token_ids
    options = {"num_return_sequences": 3, "max_new_tokens": 4, "seed": 2}
    several = conditional.generate(["the", "a"], context=["cats", None], **options)
    assert several[:3] == conditional.generate("the", context="cats", **options)
    assert conditional.generate([], context="cats") == [] and conditional.score([]) == []
    beams = conditional.generate("the", context="cats", num_beams=3, max_new_tokens=4, min_new_tokens=1)
    assert beams[0].log_probs[0] == pytest.approx(
        log_probs(conditional, "cats", conditional.tokenizer.encode("the"))[-1][beams[0].token_ids[0]], abs=1e-4
    )


# === Classes by Bayes' rule ===
def test_posteriors_are_those_of_bayes_rule_over_all_texts():
    """Over all texts of one or two words, and all contexts, p(c | x) = p(x, c) / p(x), counted out."""
    conditional = voices.untrained("lstm", "token", prior={"cats": 5, "dogs": 3, "birds": 2})
    words = ["the", "woof", "meow", "sky"]
    texts = [*words, *map(" ".join, itertools.product(words, words))]
    joint = np.array([
        [np.exp(conditional.score(text, name)[0].log_prob) * share for name, share in (("cats", 0.5), ("dogs", 0.3),
                                                                              ("birds", 0.2))] for text in texts
    ])  # fmt: skip
    posteriors = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(np.exp(conditional.log_posteriors(texts)), posteriors, rtol=1e-3)
    found = conditional.classify(texts)
    assert [one.label for one in found] == [conditional.contexts[i] for i in posteriors.argmax(1)]
    assert all(sum(one.scores.values()) == pytest.approx(1) for one in found)
    assert found[0].score == found[0].scores[found[0].label]
    uniform = joint / [0.5, 0.3, 0.2]
    uniform /= uniform.sum(1, keepdims=True)
    np.testing.assert_allclose(np.exp(conditional.log_posteriors(texts, "uniform")), uniform, rtol=1e-3)
    np.testing.assert_allclose(
        np.exp(conditional.log_posteriors(texts, {"cats": 0.5, "dogs": 0.3, "birds": 0.2})), posteriors, rtol=1e-3
    )
    assert conditional.classify([]) == []


def test_the_prior_is_that_of_the_training_texts():
    some = voices.texts(4, own=["cats", "dogs"]) | {"birds": ["sky"] * 12}
    lm = voices.shared("lstm", "vector").language_model
    assert lk.contexts.ConditionalLM(lm, some).prior == pytest.approx({"cats": 0.2, "dogs": 0.2, "birds": 0.6})
    counted = lk.contexts.ConditionalLM(lm, {"cats": 1, "dogs": 3})
    assert counted.prior == pytest.approx({"cats": 0.25, "dogs": 0.75})
    assert lk.contexts.ConditionalLM(lm, some, prior="uniform").prior["birds"] == pytest.approx(1 / 3)


# === Trained ===
@pytest.mark.parametrize("by", ["token", "vector"])
def test_a_trained_model_knows_its_contexts(by):
    conditional, held_out = voices.trained(by), voices.texts(30, seed=1)
    labels = [(text, name) for name, some in held_out.items() for text in some]
    found = conditional.classify([text for text, _ in labels])
    assert np.mean([one.label == name for one, (_, name) in zip(found, labels, strict=True)]) > 0.95
    table = conditional.perplexities(held_out)
    assert table.diagonal_wins and table.best == {name: name for name in voices.OWN}
    assert table.given == (*voices.OWN, None)
    assert not conditional.perplexities({"fish": ["the"]}).diagonal_wins  # there is none
    bits = table.mean_bits_per_byte()
    assert bits["right"] < bits["none"] < bits["wrong"]
    scores = conditional.score(held_out["dogs"], "cats")
    nats = -sum(one.log_prob for one in scores)
    assert table.perplexities[0, 1] == pytest.approx(np.exp(nats / sum(one.num_tokens for one in scores)))
    size = sum(len(text) for text in held_out["dogs"])
    assert table.bits_per_byte[0, 1] == pytest.approx(nats / np.log(2) / size)
    shown = str(table)
    assert "(none)" in shown and shown.count("*") == 1 + len(voices.OWN)
    assert table.plot().axes[0].get_xlabel() == "texts of"
    # Guidance leads to the words that only this context has.
    shares = []
    for g in (0.0, 3.0):
        words = [w for one in conditional.generate(["the"] * 40, context="dogs", guidance=g, max_new_tokens=8, seed=1)
                 for w in one.text.split()]  # fmt: skip
        shares.append(np.mean([w in voices.OWN["dogs"] for w in words]))
    assert shares[1] > shares[0] + 0.1


def test_windows_are_scored_as_texts_are():
    conditional, held_out = voices.trained("vector"), voices.texts(20, seed=1)
    windows = lk.data.context_windows(held_out, conditional.tokenizer, length=8, batch_size=7, whole_texts=True)
    found = lk.evaluate(conditional, windows)
    nats = -sum(one.log_prob for name, some in held_out.items() for one in conditional.score(some, name))
    assert found["loss"] == pytest.approx(nats / found["tokens"], abs=1e-5)
    size = sum(len(text) for some in held_out.values() for text in some)
    assert found["bits_per_byte"] == pytest.approx(nats / np.log(2) / size, abs=1e-5)


@pytest.mark.parametrize("by", ["token", "vector"])
def test_a_context_is_learned_from_five_texts_and_nothing_else_moves(by):
    conditional = voices.trained(by)
    before = [array(weight).copy() for weight in conditional.model.weights]
    puppies = [text.replace("woof", "bark") for text in voices.texts(5, seed=7)["dogs"]]
    more = conditional.learn_context("puppies", puppies, spread=10.0)
    for weight, old in zip(conditional.model.weights, before, strict=True):
        np.testing.assert_array_equal(array(weight), old)
    np.testing.assert_array_equal(array(more.model.table)[:-1], array(conditional.model.table))
    assert more.contexts == [*conditional.contexts, "puppies"] and sum(more.prior.values()) == pytest.approx(1)
    for name in conditional.contexts:
        assert more.score(puppies, name) == conditional.score(puppies, name)
    new = [text.replace("woof", "bark") for text in voices.texts(30, seed=8)["dogs"]]
    assert more.perplexities({"puppies": new}).best == {"puppies": "puppies"}
    assert {more.model.inner} == {conditional.model.inner}
    with pytest.raises(lk.InputError, match="two contexts 'puppies'"):
        more.learn_context("puppies", puppies)
    with pytest.raises(lk.InputError, match="no text to learn"):
        conditional.learn_context("nobody", [" "])


def test_the_vector_of_few_texts_is_the_likeliest_under_the_prior_of_the_known_ones():
    conditional = voices.trained("vector")
    texts = [text.replace("woof", "bark") for text in voices.texts(3, seed=7)["dogs"]]
    more = conditional.learn_context("new", texts, spread=2.0)
    known, found = array(conditional.model.table), array(more.model.table)[-1]
    variance = 4 * known.var(0, ddof=1).mean()

    def cost(vector):
        more.model.table.assign(np.concatenate([known, vector[None]]))
        nats = -sum(one.log_prob for one in more.score(texts, "new"))
        return nats + ((vector - known.mean(0)) ** 2).sum() / (2 * variance)

    lowest, rng = cost(found), np.random.default_rng(0)
    for size in (0.03, 0.3):
        for _ in range(8):
            away = rng.normal(size=found.shape)
            assert cost(found + size * away.astype("float32") / np.linalg.norm(away)) > lowest
    narrow, wide = (array(conditional.learn_context("new", texts, spread=s).model.table)[-1] for s in (0.1, 20.0))
    assert np.linalg.norm(narrow - known.mean(0)) < np.linalg.norm(found - known.mean(0)) < np.linalg.norm(wide)


def test_a_run_that_is_resumed_ends_with_the_same_weights(tmp_path):
    data = voices.texts(10)
    windows = lk.data.context_windows(data, voices.tokenizer(), length=8, batch_size=8)

    def run(epochs, folder, resume=False):
        conditional = voices.untrained("lstm", "vector", drop=0.5)
        config = lk.TrainingConfig(epochs=epochs, output_dir=folder, resume=resume, schedule="constant")
        lk.fit(conditional, windows, config=config)
        return [array(weight) for weight in conditional.model.weights]

    whole = run(2, tmp_path / "whole")
    run(1, tmp_path / "parts")
    for one, other in zip(run(2, tmp_path / "parts", resume=True), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_is_saved_with_its_contexts(tmp_path):
    conditional = voices.untrained("gpt2", "vector", prior={"cats": 5, "dogs": 3, "birds": 2})
    conditional.save(tmp_path / "voices")
    for loaded in (lk.contexts.ConditionalLM.load(tmp_path / "voices"), lk.TextModel.load(tmp_path / "voices")):
        assert loaded.options == conditional.options and loaded.contexts == conditional.contexts
        np.testing.assert_allclose(loaded.log_posteriors(TEXTS), conditional.log_posteriors(TEXTS))
    file = tmp_path / "voices" / "task.json"
    for old, new, said in [
        ('"birds"', '"birds", "fish"', "does not know these 4 contexts"),
        ('"vector"', '"token"', "does not know these 3 contexts"),
        ('"contexts"', '"context"', "no text model of this version"),
    ]:
        content = file.read_text()
        file.write_text(content.replace(old, new))
        with pytest.raises(lk.InputError, match=said):
            lk.contexts.ConditionalLM.load(tmp_path / "voices")
        file.write_text(content)


def test_without_contexts_it_is_the_language_model_it_was_made_of():
    conditional = voices.untrained("gpt2", "vector")
    conditional.model.table.assign(0 * conditional.model.table)
    lm = conditional.language_model
    assert conditional.language_model is lm  # with its traced functions
    found, wanted = ([one.log_prob for one in model.score(TEXTS)] for model in (conditional, lm))
    assert found == pytest.approx(wanted)


def test_what_is_refused_in_one_line():
    conditional = voices.shared("lstm", "vector")
    lm, plain = conditional.language_model, lk.data.lm_windows(["the cat"], conditional.tokenizer, 2, 1)
    make = lk.contexts.ConditionalLM
    for call, said in [
        (lambda: make(conditional, ["a"]), "on a LanguageModel, not a ConditionalLM"),
        (lambda: make(lm, "cats"), "give a list of names"),
        (lambda: make(lm, []), "there is no context"),
        (lambda: make(lm, ["a", "a"]), "two contexts 'a'"),
        (lambda: make(lm, ["a", 3]), "a context is called 3"),
        (lambda: make(lm, ["a", "\ud800"]), "a context is called '.ud800'"),
        (lambda: lk.export(conditional, "nowhere", num_beams=3), "has no use for num_beams; leave out num_beams"),
        (lambda: make(lm, ["a"], by="both"), "by is 'both'"),
        (lambda: make(lm, ["a"], drop=2), "drop is 2"),
        (lambda: make(lm, ["a", "b"], prior={"a": 1}), "differ in 'b'"),
        (lambda: make(lm, ["a", "b"], prior={"a": 1, "b": 0}), "the prior of 'b' is 0"),
        (lambda: make(lm.with_prompt("the"), ["a"]), "has a prompt"),
        (lambda: conditional.score("the", "cat"), "no context 'cat'; did you mean 'cats'"),
        (lambda: conditional.score("the", 3), "there is no context 3"),
        (lambda: make(lm, {"a": "text", "b": ["text"]}), "texts of 'a' are a str"),
        (lambda: make(lm, {"a": None, "b": ["text"]}), "texts of 'a' are a NoneType"),
        (lambda: make(lm, {"a": iter("ab")}), "texts of 'a' are a str_"),
        (lambda: make(lm, {"a": [], "b": ["text"]}), "the prior of 'a' is 0"),
        (lambda: conditional.classify("the", prior=np.ones(3)), "the prior is array"),
        (lambda: conditional.perplexities({"cats": ["the"]}, given=[]), "given is empty"),
        (lambda: conditional.generate(["the", "a"], context=["cats"]), "2 texts and 1 contexts"),
        (lambda: conditional.generate("the", context="cats", guidance=-1), "guidance is -1"),
        (lambda: conditional.generate("the", context="cats", guidance=1, num_beams=2), "not with a search"),
        (lambda: conditional.stream("the", context="fish"), "no context 'fish'"),
        (lambda: conditional.stream("the", num_beams=2), "takes no num_beams"),
        (lambda: conditional.classify("the", prior="even"), "the prior is 'even'"),
        (lambda: conditional.perplexities(["the"]), "takes {context: texts}"),
        (lambda: conditional.perplexities({"cats": []}), "'cats' has no text"),
        (lambda: lk.fit(conditional, plain), "x is no dict; give 'context'"),
    ]:
        with pytest.raises(lk.InputError, match=said):
            call()
