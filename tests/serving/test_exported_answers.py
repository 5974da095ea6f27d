"""What a server answers equals what the LanguageModel answers."""

import random
from pathlib import Path

import pytest
import tensorflow as tf
from served_requests import sample_inputs
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

import lm_keras as lk
from lm_keras.serving import query

NEW_TOKENS = 24
SAMPLED = 48  # prompts that are sampled from
ALONE = 40  # prompts that are also asked one at a time


def batches(rows, size=64):
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def call(signature, rows, *names):
    """The rows, tuples of one value an input, as one request."""
    return {"signature": signature, "inputs": dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))}


def joined(answers, name):
    return [value for answer in answers for value in answer[name]]


@pytest.fixture(scope="module")
def prompts(sentences):
    """200 beginnings of sentences: of a word, of several, in the middle of a word."""
    return [" ".join(s.split()[: 1 + i % 9])[: 200 - i] for i, s in enumerate(sentences[:200])]


@pytest.fixture(scope="module")
def served(word_model, word_version, sentences, prompts, warm_check):
    """All answers of one fresh process: (language model, {kind of request: answers})."""
    language_model, version = word_model, word_version
    options = sample_options(prompts)
    order = random.Random(0).sample(range(len(options)), len(options))
    names = ("prompt", "max_new_tokens", "temperature", "top_k", "top_p", "seed")

    def sample(rows):
        inputs = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        return {"signature": "sample", "inputs": sample_inputs(**inputs)}

    generate = ("generate", "prompt", "max_new_tokens")
    groups = {
        "score": [call("score", [(s,) for s in rows], "text") for rows in batches(sentences)],
        "default": [call("serving_default", [(s,) for s in sentences[:5]], "text")],
        "generate": [call(generate[0], [(p, NEW_TOKENS) for p in rows], *generate[1:]) for rows in batches(prompts)],
        "generate alone": [call(generate[0], [(p, NEW_TOKENS)], *generate[1:]) for p in prompts[:ALONE]],
        "sample": [sample(options)],
        "sample again": [sample(options)],
        "sample shuffled": [sample([options[i] for i in order])],
        "score shuffled": [call("score", [(sentences[i],) for i in order], "text")],
    }
    calls = [request for requests in groups.values() for request in requests]
    results = iter(query(version, calls)["results"])
    answers = {name: [next(results) for _ in requests] for name, requests in groups.items()}
    assert not [a for group in answers.values() for a in group if "error" in a]
    return language_model, answers, order


def sample_options(prompts):
    """(prompt, max_new_tokens, temperature, top_k, top_p, seed) a row, each row its own."""
    rng = random.Random(5)
    temperatures, top_ks, top_ps = [0.0, 0.5, 1.0, 2.0], [0, 0, 1, 5, 100], [1.0, 0.9, 0.5, 0.1]
    return [
        (p, rng.randrange(16), rng.choice(temperatures), rng.choice(top_ks), rng.choice(top_ps), rng.randrange(2**31))
        for p in prompts[:SAMPLED]
    ]


def test_score_is_the_language_models_score(served, sentences):
    language_model, answers, _ = served
    expected = language_model.score(sentences)
    for name in ("log_prob", "num_tokens", "perplexity"):
        assert joined(answers["score"], name) == pytest.approx([getattr(s, name) for s in expected], rel=1e-4)
    assert answers["default"][0]["log_prob"] == pytest.approx([s.log_prob for s in expected[:5]], rel=1e-4)


def test_generate_is_the_language_models_greedy_text(served, prompts):
    language_model, answers, _ = served
    expected = language_model.generate(prompts, max_new_tokens=NEW_TOKENS, temperature=0)
    texts = [made.text for made in expected]
    assert len(set(texts)) > 40  # else equality would say little
    assert joined(answers["generate"], "completion") == texts
    assert joined(answers["generate alone"], "completion") == texts[:ALONE]
    assert joined(answers["generate"], "num_new_tokens") == [len(made.token_ids) for made in expected]
    assert min(len(made.token_ids) for made in expected) < NEW_TOKENS  # some end by themselves
    assert joined(answers["generate"], "log_prob") == pytest.approx(
        [sum(made.log_probs) for made in expected], rel=1e-4, abs=1e-5
    )


def test_sample_is_the_language_models_text_with_the_same_options(served, prompts):
    language_model, answers, _ = served
    texts = []
    for prompt, count, temperature, top_k, top_p, seed in sample_options(prompts):
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        (made,) = language_model.generate(prompt, max_new_tokens=count, **options)
        texts.append(made.text)
    assert len(set(texts)) > 20
    assert joined(answers["sample"], "completion") == texts


def test_a_row_does_not_depend_on_its_batch(served):
    _, answers, order = served
    assert answers["sample again"] == answers["sample"]
    first, shuffled = answers["sample"][0], answers["sample shuffled"][0]
    for name in ("completion", "num_new_tokens"):
        assert shuffled[name] == [first[name][i] for i in order]
    assert shuffled["log_prob"] == pytest.approx([first["log_prob"][i] for i in order], rel=1e-4, abs=1e-5)
    scores = joined(answers["score"], "log_prob")
    assert answers["score shuffled"][0]["log_prob"] == pytest.approx([scores[i] for i in order], rel=1e-5)


def test_the_default_is_the_first_signature_to_the_node(word_version):
    """A server optimises the graph of each signature by itself: one for both."""
    content = Path(word_version, "saved_model.pb").read_bytes()
    signatures = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].signature_def
    assert signatures["serving_default"] == signatures["score"] != signatures["generate"]
    whole = fingerprinting_utils.singleprint_from_saved_model_proto(word_version)
    assert fingerprinting_utils.singleprint_from_fingerprint_proto(word_version) == whole
    loaded = tf.saved_model.load(word_version).signatures
    assert loaded["serving_default"].structured_outputs.keys() == loaded["score"].structured_outputs.keys()


def test_the_check_finds_nothing(word_version):
    assert lk.check(word_version) == []  # other tokenizers: tests/cli/test_families.py
