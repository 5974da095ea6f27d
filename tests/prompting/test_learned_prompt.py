"""`LearnedPrompt`: its small file, the language model after it, and what an export of that is."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from learned import KINDS, changed
from small_models import tiny_lm

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.utils.atomic_files import write_tensors
from lm_keras.utils.saved_kinds import LEARNED_PROMPT, kind_of

INIT = "c d e b"
TEXTS = [" a b", "", "e", " d c"]


def language_model(family, **sizes):
    tokenizer = lk.text.WordTokenizer.train(["a b c d e abc"])
    return tiny_lm(family, tokenizer, 0.5, **{"max_length": 24, **sizes})


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


def same(made, expected):
    for one, other in zip(made.score(TEXTS), expected.score(TEXTS), strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, rel=1e-6)


# === Its file ===
@pytest.mark.parametrize("family", ["llama", "lstm", "cnn", "feedforward"])
def test_it_is_a_small_file(family, kind, tmp_path):
    lm, path = language_model(family), tmp_path / "prompt.safetensors"
    tuned = changed(kind(lm, 4, INIT))
    tuned.save(path)
    assert kind_of(path) == "learned prompt"
    assert path.stat().st_size < 4 * tuned.learned.num_parameters + 2000
    learned = lk.prompting.LearnedPrompt.load(path)
    assert (learned.num_tokens, learned.num_parameters) == (4, tuned.learned.num_parameters)
    assert learned.model["name"] == lm.model.name
    assert learned.model["sizes"]["vocab_size"] == lm.model.vocab_size
    same(lm.with_prompt(learned), tuned)
    again = kind.load(path, lm)
    same(again, tuned)
    same(kind.load(path, lk.LanguageModel(lm.model, lm.tokenizer)), tuned)
    changed(again, seed=1)
    assert again.score("a")[0].log_prob != pytest.approx(tuned.score("a")[0].log_prob)  # it can be trained further


def test_a_file_of_another_kind_or_model_is_refused(tmp_path):
    lm = language_model("llama")
    vectors, state = (changed(KINDS[name](lm, 4, INIT)) for name in ("vectors", "state"))
    for name, tuned in (("vectors", vectors), ("state", state)):
        tuned.save(tmp_path / name)
    with pytest.raises(lk.InputError, match=r"not vectors; PrefixTuning\.load reads it"):
        lk.prompting.PromptTuning.load(tmp_path / "state", lm)
    with pytest.raises(lk.InputError, match=r"not a state; PromptTuning\.load reads it"):
        lk.prompting.PrefixTuning.load(tmp_path / "vectors", lm)
    with pytest.raises(lk.InputError, match="takes a LanguageModel, not a CausalLM"):
        lk.prompting.PrefixTuning.load(tmp_path / "state", lm.model)
    for other in (language_model("llama", hidden_dim=24), language_model("gru")):
        for tuned in (vectors, state):
            with pytest.raises(
                lk.InputError, match=f"of llama is .* as {other.model.name} takes them; give the model"
            ):
                other.with_prompt(tuned.learned)
    write_tensors(tmp_path / "x.safetensors", {"a": np.zeros(1, "float32")})
    for path, message in (("x.safetensors", "damaged or of another version"), ("none", "does not exist")):
        with pytest.raises(lk.InputError, match=message):
            lk.prompting.LearnedPrompt.load(tmp_path / path)
    lm.save(tmp_path / "lm")
    with pytest.raises(lk.InputError, match="is a saved language model"):
        lk.prompting.LearnedPrompt.load(tmp_path / "lm")


@pytest.mark.parametrize(
    ("tensors", "facts", "message"),
    [
        ({}, {}, "neither|one of the two"),
        ({"vectors": np.zeros((3, 2), "float32")}, {}, "needs as many rows"),
        ({"vectors": np.full((4, 2), np.nan, "float32")}, {}, "NaN or infinity"),
        ({"vectors": np.zeros((4, 2), "float32")}, {"num_tokens": 0}, "num_tokens is 0"),
        ({"vectors": np.zeros((4, 2), "float32")}, {"model": 3}, "damaged"),
        ({"vectors": np.zeros((4, 2), "float32"), "state/0000": np.zeros(2, "float32")}, {}, "one of the two"),
        ({"state/0000": np.zeros(2, "bool")}, {}, "damaged"),
        ({"vectors": np.zeros((4, 2), "int32")}, {}, "damaged"),
        ({"state/0000": np.zeros(2, "float32")}, {"num_tokens": 10**9}, "num_tokens is 1000000000"),
    ],
)
def test_a_damaged_file_is_refused(tensors, facts, message, tmp_path):
    facts = {"format": LEARNED_PROMPT, "num_tokens": 4, "model": {}} | facts
    write_tensors(tmp_path / "p.safetensors", tensors, facts)
    with pytest.raises(lk.InputError, match=message):
        lk.prompting.LearnedPrompt.load(tmp_path / "p.safetensors")


def test_a_state_that_the_model_cannot_have_is_refused():
    """An index beyond the slots would be written there."""
    lm = language_model("llama")
    learned = KINDS["state"](lm, 4, INIT).learned
    filled, *caches = learned.state
    states = [(np.int32(n), *caches) for n in (-5, 0, 3, 2**31 - 1)]
    states += [(filled.astype("float32"), *caches), (filled, *(part.astype("int32") for part in caches))]
    for state in states:
        wrong = dataclasses.replace(learned, state=tuple(map(np.asarray, state)))
        with pytest.raises(lk.InputError, match="learned prompt of llama .* give the model that it was learned for"):
            lm.with_prompt(wrong)


def test_numbers_that_are_not_finite_are_not_written(kind, tmp_path):
    tuned = kind(language_model("lstm"), 4, INIT)
    weight = tuned.training_model.weights[0]
    weight.assign(weight * np.nan)
    with pytest.raises(lk.InputError, match="a learned prompt holds NaN"):
        tuned.save(tmp_path / "p.safetensors")
    assert not any(tmp_path.iterdir())


# === The language model after it ===
def test_it_stands_before_all_text(kind):
    lm = language_model("llama")
    learned = kind(lm, 4, INIT).learned
    prompted = lm.with_prompt(learned)
    assert (prompted.learned, prompted.prompt, lm.learned) == (learned, "", None)
    assert prompted.with_prompt("a").learned is learned
    for other in (lm.with_prompt("a"), prompted):
        with pytest.raises(lk.InputError, match=r"lm\.with_prompt\(learned\)\.with_prompt\(text\)"):
            other.with_prompt(learned)
    with pytest.raises(lk.InputError, match="no tokenizer"):
        lk.LanguageModel(lm.model, None).with_prompt(learned)


def test_a_saved_language_model_keeps_it(kind, tmp_path):
    lm = language_model("llama")
    learned = changed(kind(lm, 4, INIT)).learned
    prompted = lm.with_prompt(learned).with_prompt("a b")
    prompted.save(tmp_path)
    loaded = lk.LanguageModel.load(tmp_path)
    assert loaded.prompt == "a b"
    same(loaded, prompted)
    for part, other in zip(
        loaded.learned.state or [loaded.learned.vectors], learned.state or [learned.vectors], strict=True
    ):
        np.testing.assert_array_equal(part, other)
    lm.save(tmp_path)
    assert lk.LanguageModel.load(tmp_path).learned is None


def test_it_is_read_again_when_the_weights_have_changed():
    lm = language_model("gpt2")
    tuned = lk.prompting.PromptTuning(lm, 4, INIT)
    prompted = lm.with_prompt(tuned.learned)
    before = prompted.score(TEXTS)
    lm.model.weights[2].assign(lm.model.weights[2] * 1.5)
    fresh = lk.LanguageModel(lm.model, lm.tokenizer).with_prompt(tuned.learned)
    assert prompted.score(TEXTS) != before
    same(prompted, fresh)
    same(tuned, fresh)


def test_a_beginning_is_kept_until_the_weights_change(kind):
    """What stands before many texts and is none of the prompt, such as examples."""
    lm = language_model("llama")
    for writer in (lm._writer, changed(kind(lm, 4, INIT))._writer):
        ids = [*writer.before(), *lm.tokenizer.encode("a b c")]
        cache = writer.kept_cache(ids)
        assert cache.ids.numpy().tolist() == ids
        assert int(cache.num_read) == len(ids)
        assert writer.kept_cache(tuple(ids)) is cache
        for end in range(20):
            writer.kept_cache([*ids, end % 5])
        assert writer.kept_cache(ids) is writer.kept_cache(ids)
    with pytest.raises(lk.InputError, match="the prompt has 24 tokens and llama sees 24"):
        lm._writer.kept_cache([1] * 24)


# === Served ===
@pytest.mark.parametrize("family", ["llama", "lstm", "cnn"])
def test_an_export_answers_as_python_does(family, tmp_path, warm_check):
    tuned = changed(KINDS["vectors" if family == "llama" else "state"](language_model(family), 4, INIT))
    version = lk.export(tuned, tmp_path / "lm", max_new_tokens_limit=24)
    texts = [*TEXTS, " a b c d e" * 12]  # the last one fills the window
    made = tuned.generate(texts, max_new_tokens=24, temperature=0)
    scores = [one._asdict() for one in tuned.score(texts)]
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
            "outputs": {name: [one[name] for one in scores] for name in ("log_prob", "num_tokens", "perplexity")},
        },
    ]
    assert lk.check(version, requests) == []


def test_the_card_and_the_check_list_it_apart_from_the_parameters(tmp_path, capsys, warm_check):
    lm = language_model("llama", num_layers=2)
    tuned = lk.prompting.PrefixTuning(lm, 4, INIT)
    version = lk.export(tuned, tmp_path / "lm", max_new_tokens_limit=2)
    path = Path(version) / "assets.extra" / "model_card.json"
    card = json.loads(path.read_text())
    numbers = 1 + 2 * 2 * 5 * 6  # `filled`; keys and values of two layers and one head, with a spare slot
    assert (card["learned_tokens"], card["prompt_tokens"], card["prompt_numbers"]) == (4, 5, numbers)
    assert card["parameters"] == lm.model.count_params()
    assert main(["check", version]) == 0
    told = f"beside {card['parameters']:,} parameters the graph holds the state of a prompt of 5 tokens, {numbers}"
    assert told in capsys.readouterr().out
    path.write_text(json.dumps(card | {"prompt_numbers": 10**9}))
    assert any("fewer than the 1,000,000,000 of the prompt's state" in problem for problem in lk.check(version))


def test_a_learned_prompt_is_what_it_says():
    with pytest.raises(lk.InputError, match="one of the two"):
        lk.prompting.LearnedPrompt(3)
    learned = lk.prompting.LearnedPrompt(2, vectors=np.zeros((2, 3), "float32"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        learned.num_tokens = 3
