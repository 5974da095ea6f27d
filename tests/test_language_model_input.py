"""LanguageModel: what it refuses, and that it compiles once."""

import shutil

import keras
import pytest

import lm_keras as lk
from lm_keras.errors import InputError

NAN = float("nan")


@pytest.mark.parametrize(
    "name, value",
    [
        ("max_new_tokens", -1), ("temperature", -0.1), ("temperature", NAN), ("top_k", -1), ("top_p", 0.0),
        ("top_p", 1.1), ("top_p", NAN), ("repetition_penalty", 0.0), ("repetition_penalty", -1.0),
        ("repetition_penalty", NAN), ("stop", ""), ("stop", ["a", ""]), ("stop", [3]),
    ],
)  # fmt: skip
def test_impossible_options_are_input_errors(word_lm, name, value):
    message = name if name != "stop" else "stop string"
    with pytest.raises(InputError, match=message):
        word_lm.generate("The", **{name: value})
    with pytest.raises(InputError, match=message):  # at the call, not at the first piece
        word_lm.stream("The", **{name: value})


def test_texts_that_are_none_are_input_errors(word_lm):
    for call in (word_lm.generate, word_lm.score):
        with pytest.raises(InputError, match="NoneType"):
            call(["The", None])
        with pytest.raises(InputError, match="bytes"):
            call([b"The"])
    with pytest.raises(InputError, match="list"):
        word_lm.stream(["The"])


def test_a_model_and_a_tokenizer_that_do_not_fit_are_input_errors(word_lm, char_lm):
    with pytest.raises(InputError, match="500"):
        lk.LanguageModel(word_lm.model, char_lm.tokenizer)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(500)])
    with pytest.raises(InputError, match="no step view"):
        lk.LanguageModel(plain, word_lm.tokenizer)


def test_nothing_is_traced_again_for_other_sizes(word_lm):
    lm = lk.LanguageModel(word_lm.model, word_lm.tokenizer)
    for prompts in (["The"], ["The", "in the", ""], ["The people of Australia " * n for n in range(40)]):
        for options in ({}, {"temperature": 0}, {"repetition_penalty": 1.3}, {"stop": "the"}):
            lm.generate(prompts, max_new_tokens=3, top_k=len(prompts), **options)
        lm.score(prompts)
    list(lm.stream("The", max_new_tokens=4))
    counts = [function.experimental_get_tracing_count() for function in lm._writer._traced._made.values()]
    assert counts == [1] * 5  # score, prefill, and three kinds of decoding


def test_broken_folders_are_input_errors(word_lm, tmp_path):
    word_lm.save(tmp_path / "lm")
    damages = {
        "config.json": ["{", "[]", '{"builder": "build_nothing", "arguments": {}, "name": "x"}', None],
        "model.safetensors": ["", "not tensors at all", None],
        "tokenizer.json": ["{}", None],
    }
    for name, contents in damages.items():
        for i, content in enumerate(contents):
            folder = tmp_path / f"{name}{i}"
            shutil.copytree(tmp_path / "lm", folder)
            (folder / name).write_text(content) if content is not None else (folder / name).unlink()
            with pytest.raises(InputError, match=r"\S+ "):
                lk.LanguageModel.load(folder)
    cut = tmp_path / "lm" / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1])
    for folder in (tmp_path / "lm", tmp_path / "nowhere", cut):
        with pytest.raises(InputError):
            lk.LanguageModel.load(folder)
