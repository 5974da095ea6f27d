"""A checkpoint may name several ends of a text; each ends one, however it is written."""

import json
import shutil

import pytest
import tensorflow as tf
from paths import GOLDEN
from small_models import tiny_lm

import lm_keras as lk

PROMPT = "It was"
WAYS = {
    "greedy": {"temperature": 0},
    "sampling": {"temperature": 1.0, "seed": 3},
    "contrastive": {"penalty_alpha": 0.4, "top_k": 4},
    "beam": {"num_beams": 2, "num_return_sequences": 2},
    "compiled": {"temperature": 0, "jit_compile": True},
}


@pytest.fixture(scope="module")
def tokenizer():
    return lk.models.load_pretrained(GOLDEN / "gpt2").tokenizer


@pytest.fixture(scope="module")
def lm(tokenizer):
    return tiny_lm("feedforward", tokenizer)


def with_ends(tokenizer, ends, pad_id=None):
    """The same tokenizer with these ends beside its own."""
    options = {name: getattr(tokenizer, name) for name in ("merges", "pattern", "eos_id")}
    return lk.text.BPETokenizer(tokenizer.tokens, **options, end_ids=ends, pad_id=pad_id)


def change(path, **content):
    there = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(there | content))


def test_a_checkpoint_saved_over_another_has_its_own_ends_alone(tmp_path, lm):
    change(tmp_path / "generation_config.json", eos_token_id=[7, 280], top_p=0.5)
    model = lk.models.build_gpt2(lm.tokenizer.vocab_size, max_length=4, hidden_dim=4, num_layers=1, num_heads=1)
    lk.models.save_pretrained(lk.LanguageModel(model, lm.tokenizer), tmp_path)
    assert lk.models.load_pretrained(tmp_path).tokenizer.end_ids == lm.tokenizer.end_ids
    assert json.loads((tmp_path / "generation_config.json").read_text())["top_p"] == 0.5


@pytest.mark.parametrize(
    "file, content, ends",
    [
        ("config.json", {"eos_token_id": [280, 5]}, (280, 5)),
        ("config.json", {"eos_token_id": [5, 280, 9000, None]}, (5, 280)),
        ("generation_config.json", {"eos_token_id": 7}, (280, 7)),
        ("generation_config.json", {"eos_token_id": [8, 280, 7]}, (280, 8, 7)),
        ("generation_config.json", {}, (280,)),
        ("tokenizer_config.json", {"eos_token": "Ġo"}, (280, 259)),
        ("tokenizer_config.json", {"eos_token": {"content": "Ġo", "special": True}}, (280, 259)),
        ("special_tokens_map.json", {"eos_token": {"content": "Ġo"}}, (280, 259)),
        ("special_tokens_map.json", {"eos_token": "not there"}, (280,)),
    ],
)
def test_ends_of_a_folder(tmp_path, file, content, ends):
    folder = shutil.copytree(GOLDEN / "gpt2", tmp_path / "gpt2")
    change(folder / file, **content)
    tokenizer = lk.models.load_pretrained(folder).tokenizer
    assert tokenizer.tokens[259] == "Ġo"
    assert set(tokenizer.end_ids) == set(ends) and tokenizer.end_ids[0] == tokenizer.eos_id == ends[0]


def test_ends_beside_a_tokenizer_json(tmp_path):
    folder = shutil.copytree(GOLDEN / "llama", tmp_path / "llama")
    change(folder / "generation_config.json", eos_token_id=[1, 44])
    change(folder / "special_tokens_map.json", eos_token="<|begin|>")
    assert set(lk.models.load_pretrained(folder).tokenizer.end_ids) == {1, 44, 0}


def test_a_blank_before_a_text(tmp_path):
    """The tokenizer of a GPT-2 whose files say add_prefix_space."""
    folder = shutil.copytree(GOLDEN / "gpt2", tmp_path / "gpt2")
    plain = lk.models.load_pretrained(folder).tokenizer
    change(folder / "tokenizer_config.json", add_prefix_space=True)
    tokenizer = lk.models.load_pretrained(folder).tokenizer
    assert tokenizer.encode("It was") == plain.encode(" It was") != plain.encode("It was")


def test_a_damaged_generation_config(tmp_path):
    folder = shutil.copytree(GOLDEN / "gpt2", tmp_path / "gpt2")
    (folder / "generation_config.json").write_text("[]")
    with pytest.raises(lk.InputError, match="generation_config.json is no configuration"):
        lk.models.load_pretrained(folder)


@pytest.mark.parametrize("way", WAYS)
def test_each_end_ends_a_text(lm, way, monkeypatch):
    before = lm.generate(PROMPT, max_new_tokens=8, **WAYS[way])
    end = before[0].token_ids[2]
    monkeypatch.setattr(lm.tokenizer, "end_ids", with_ends(lm.tokenizer, [end]).end_ids)  # what is traced stays
    after = lm.generate(PROMPT, max_new_tokens=8, **WAYS[way])
    assert all(end not in made.token_ids for made in after)
    if way != "beam":  # a search may find another text
        expected = before[0].token_ids
        assert after[0].token_ids == expected[: expected.index(end)]
    later = lm.generate(PROMPT, max_new_tokens=8, min_new_tokens=5, **WAYS[way])
    assert len(later[0].token_ids) >= 5 and end not in later[0].token_ids[:5]


def test_an_end_that_is_the_padding_mark_too(lm):
    """As in many checkpoints: "pad_token_id" is one of "eos_token_id"."""
    ids = lm.generate(PROMPT, max_new_tokens=8, temperature=0)[0].token_ids
    both = lk.LanguageModel(lm.model, with_ends(lm.tokenizer, [ids[3]], pad_id=ids[3]))
    for way in ("greedy", "beam"):
        expected = lk.LanguageModel(lm.model, with_ends(lm.tokenizer, [ids[3]])).generate(
            PROMPT, max_new_tokens=8, **WAYS[way]
        )
        assert both.generate(PROMPT, max_new_tokens=8, **WAYS[way]) == expected
    assert both.generate(PROMPT, max_new_tokens=8, temperature=0)[0].token_ids == ids[: ids.index(ids[3])]
    served = both.signatures().signatures["generate"](tf.constant([PROMPT]), tf.constant([8]))
    assert served["num_new_tokens"].numpy() == [ids.index(ids[3])]


def test_an_export_answers_its_own_examples_below_any_limit(lm):
    served = lm.signatures(max_new_tokens_limit=5)
    inputs = served.examples["generate"]
    answers = served.signatures["generate"](*(tf.constant(column) for column in inputs.values()))
    expected = served.answer("generate", inputs)
    assert answers["num_new_tokens"].numpy().tolist() == expected["num_new_tokens"]
    assert [text.decode() for text in answers["completion"].numpy()] == expected["completion"]


def test_streamed_served_and_saved(lm, tmp_path):
    ids = lm.generate(PROMPT, max_new_tokens=8, temperature=0)[0].token_ids
    end = ids[3]
    text = lm.tokenizer.decode(ids[: ids.index(end)])
    lk.LanguageModel(lm.model, with_ends(lm.tokenizer, [end])).save(tmp_path)
    loaded = lk.LanguageModel.load(tmp_path)
    assert loaded.tokenizer.end_ids == (280, end)
    assert "".join(loaded.stream(PROMPT, max_new_tokens=8, temperature=0)) == text
    served = loaded.signatures(max_new_tokens_limit=8).signatures
    inputs = tf.constant([PROMPT]), tf.constant([8])
    assert served["generate"](*inputs)["completion"].numpy() == [text.encode()]
    completions = served["beam"](*inputs, tf.constant([0.0]))["completions"].numpy()[0].tolist()
    found = loaded.generate(PROMPT, max_new_tokens=8, num_beams=4, num_return_sequences=4)
    assert completions == [made.text.encode() for made in found]


def test_written_for_transformers(tokenizer, tmp_path):
    model = lk.models.build_gpt2(281, max_length=8, hidden_dim=4, num_layers=1, num_heads=1)
    lk.models.save_pretrained(lk.LanguageModel(model, with_ends(tokenizer, [9])), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["eos_token_id"] == [280, 9]
    assert lk.models.load_pretrained(tmp_path).tokenizer.end_ids == (280, 9)


def test_ends_that_are_no_tokens(tokenizer):
    for ends, match in ((["a"], "end_ids is 'a'"), ([9000], "end_ids is 9000"), (3, "end_ids 3 is not possible")):
        with pytest.raises(lk.InputError, match=match):
            with_ends(tokenizer, ends)
