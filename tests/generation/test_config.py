"""`GenerationConfig`: every option is defined there, and everything else takes it from there."""

import dataclasses
import inspect
import json
import typing
from collections.abc import Sequence

import pytest
from small_models import tiny_lm

import lm_keras as lk
from lm_keras.cli.parser import parser
from lm_keras.generation.config import GenerationOptions, RequestOptions, inputs_of, options_of

FIELDS = dataclasses.fields(lk.GenerationConfig)


@pytest.fixture(scope="module")
def lm():
    return tiny_lm("lstm", lk.text.WordTokenizer.train(["a b c d e f g h"]))


@pytest.fixture(scope="module")
def translator():
    tokenizer = lk.text.WordTokenizer.train(["a b c d e f g h"])
    model = lk.models.build_seq2seq_lstm(tokenizer.vocab_size, hidden_dim=6, embedding_dim=4)
    return lk.tasks.TextToText(model, tokenizer)


# === One definition ===
def test_editors_are_shown_the_options_that_there_are():
    assert typing.get_type_hints(GenerationOptions) == typing.get_type_hints(lk.GenerationConfig)
    assert list(GenerationOptions.__annotations__) == [field.name for field in FIELDS]
    for call in (lk.LanguageModel.generate, lk.LanguageModel.stream, lk.tasks.TextToText.generate):
        parameters = inspect.signature(call, eval_str=True).parameters
        assert list(parameters)[2:] == ["config", "options"]
        assert typing.get_args(parameters["options"].annotation) == (GenerationOptions,)


def test_requests_have_the_inputs_of_the_signatures():
    single = typing.get_type_hints(GenerationOptions)
    known = {name for signature in ("generate", "sample", "beam") for name in inputs_of(signature)}
    assert typing.get_type_hints(RequestOptions) == {name: single[name] | Sequence[single[name]] for name in known}
    for signature, inputs in {  # which clients send; a new option may come to them
        "generate": ["max_new_tokens"],
        "sample": ["max_new_tokens", "temperature", "top_k", "top_p", "seed"],
        "beam": ["max_new_tokens", "length_penalty"],
    }.items():
        assert [name for name in inputs_of(signature) if name in inputs] == inputs


def test_every_option_is_documented_and_has_its_flag():
    documented = inspect.getdoc(lk.GenerationConfig)
    given = vars(parser().parse_args(["generate", "run", "--prompt", "a"]))
    for field in FIELDS:
        assert f"\n    {field.name}: " in documented
        if field.metadata["option"].flag != "":
            assert (given[field.name] or field.default) == field.default
    assert not {"top_logprobs", "jit_compile"} & given.keys()


# === A config and options ===
def test_options_replace_those_of_the_config(lm):
    config = lk.GenerationConfig(max_new_tokens=6, top_k=3, seed=4)
    assert lm.generate("a b", config) == lm.generate("a b", max_new_tokens=6, top_k=3, seed=4)
    assert lm.generate("a b", config, seed=5, top_k=0) == lm.generate("a b", max_new_tokens=6, seed=5)
    assert lm.generate("a b", config, seed=5) != lm.generate("a b", config)
    assert "".join(lm.stream("a b", config)) == lm.generate("a b", config)[0].text
    assert config == lk.GenerationConfig(max_new_tokens=6, top_k=3, seed=4)  # as it was
    assert config.changed() == {"max_new_tokens": 6, "top_k": 3, "seed": 4}


def test_a_model_of_sequence_to_sequence_takes_the_same_config_and_is_greedy_without(translator):
    config = lk.GenerationConfig(max_new_tokens=5, temperature=2.0, seed=3)
    drawn = translator.generate(["a b", "a b"], config)
    assert drawn == translator.generate(["a b", "a b"], max_new_tokens=5, temperature=2.0, seed=3)
    assert drawn[0] != drawn[1]
    greedy = translator.generate("a b", max_new_tokens=5)
    assert greedy == translator.generate("a b", config, temperature=0)
    assert "".join(translator.stream("a b", max_new_tokens=5)) == greedy[0].text


def test_values_have_the_type_of_their_default():
    config = lk.GenerationConfig(temperature=1, top_k=10**12, stop="x", stop_tokens=3, length_penalty=1)
    assert (config.temperature, config.top_k, config.length_penalty) == (1.0, 2**31 - 1, 1.0)
    assert (config.stop, config.stop_tokens) == (("x",), (3,))
    assert {type(getattr(config, field.name)) is type(field.default) for field in FIELDS} == {True}
    assert lk.GenerationConfig(temperature=float("inf")).temperature == 1e4
    assert lk.GenerationConfig(stop=None, stop_tokens=None) == lk.GenerationConfig()


# === Files ===
def test_a_saved_config_is_the_same(tmp_path):
    config = lk.GenerationConfig(
        max_new_tokens=7, top_p=0.5, stop=["\n", "。\ud800"], stop_tokens=["a", 3], seed=2**80
    )
    config.save(tmp_path / "sub" / "generation.json")
    assert lk.GenerationConfig.load(tmp_path / "sub" / "generation.json") == config
    (tmp_path / "few.json").write_text('{"top_k": 5}')
    assert lk.GenerationConfig.load(tmp_path / "few.json") == lk.GenerationConfig(top_k=5)


@pytest.mark.parametrize(
    "content, message",
    {
        "{": "cannot be read as JSON",
        "[3]": "no options of generation",
        '{"top_q": 1}': "no option 'top_q'; did you mean top_",
        '{"top_k": "many"}': "top_k is 'many'; it must be a whole number",
        '{"stop": [3]}': "a stop string is 3",
        '{"stop_tokens": [[3]]}': r"a stop token is \[3\]",
        '{"stop": 3.5}': "stop is 3.5",
        '{"begin": "no"}': "begin is 'no'; it must be True or False",
    }.items(),
)
def test_a_damaged_file_costs_one_line(tmp_path, content, message):
    (tmp_path / "generation.json").write_text(content)
    with pytest.raises(lk.InputError, match=message) as caught:
        lk.GenerationConfig.load(tmp_path / "generation.json")
    assert str(caught.value).startswith(str(tmp_path))
    with pytest.raises(lk.InputError, match="does not exist"):
        lk.GenerationConfig.load(tmp_path / "none.json")


# === Mistakes ===
@pytest.mark.parametrize("call", ["generate", "stream"])
def test_a_wrong_name_is_refused_with_the_right_one(lm, translator, call):
    for model in (lm, translator):
        for wrong, message in {
            "temprature": "there is no option 'temprature'; did you mean temperature?",
            "max_tokens": "did you mean max_new_tokens?",
            "zzz": "there are max_new_tokens, min_new_tokens, temperature, ",
        }.items():
            with pytest.raises(lk.InputError) as caught:
                getattr(model, call)("a", **{wrong: 1})
            assert message in str(caught.value)
        with pytest.raises(lk.InputError, match="write max_new_tokens=50"):
            getattr(model, call)("a", 50)
        with pytest.raises(lk.InputError, match="give a GenerationConfig"):
            getattr(model, call)("a", {"top_k": 5})


@pytest.mark.parametrize(
    "option", [{"num_beams": 2}, {"penalty_alpha": 0.5, "top_k": 2}, {"top_logprobs": 1}, {"length_penalty": 1}]
)
def test_stream_takes_nothing_that_is_about_a_whole_text(lm, option):
    name = next(iter(option))
    for arguments, options in (((), option), ((lk.GenerationConfig(**option),), {})):
        with pytest.raises(lk.InputError, match=f"takes no {name}; leave it out"):
            lm.stream("a", *arguments, **options)


@pytest.mark.parametrize("option", [{"penalty_alpha": 0.5, "top_k": 2}, {"begin": False}, {"jit_compile": True}])
def test_a_model_of_sequence_to_sequence_refuses_what_needs_a_prompt(translator, option):
    with pytest.raises(lk.InputError, match=f"after a source and takes no {next(iter(option))}"):
        translator.generate("a", **{"temperature": 0, **option})


def test_the_message_of_a_wrong_value_says_what_the_option_means():
    for wrong, message in {
        "temperature": "temperature is -1; it must be a number of at least 0 (0 is greedy)",
        "top_k": "top_k is -1; it must be a whole number of at least 0 (0 keeps all words)",
        "begin": "begin is -1; it must be True or False",
        "num_beams": "num_beams is -1; it must be a whole number of at least 1 (beam search with N > 1)",
    }.items():
        with pytest.raises(lk.InputError) as caught:
            lk.GenerationConfig(**{wrong: -1})
        assert str(caught.value) == message


def test_facts_of_an_option_are_of_use():
    """Whatever an export takes has a value for each of the four requests that it is tried with."""
    for name, option in options_of().items():
        assert len(option.examples) == (4 if option.signatures else 0), name
        json.dumps(option.examples)
