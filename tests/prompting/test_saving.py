"""A PromptClassifier in a folder and in an export: the same answers, whatever the texts and what stands before."""

import json
from pathlib import Path

import numpy as np
import pytest
from served_requests import requests
from small_models import KINDS_OF_STATE, tiny_lm
from small_tasks import MAKE, word_pieces

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.prompting import LearnedPrompt, PromptClassifier, Template
from lm_keras.serving import query

pytestmark = pytest.mark.usefixtures("warm_check")

CORPUS = [
    "Review: a fine film, great and good\n\nSentiment: positive negative terrible bad\n a lost hour it was " * 3
]
WORDS = {"pos": [" positive", " great and good"], "neg": [" terrible"]}
AWKWARD = ["", "\n", "\n\n", "a fine film\n", "good", " good", "x" * 500, "a lost hour " * 90, "🙂👩", "e\u0301",
           "\x00", "<|endoftext|>", "<|im_end|> [MASK] {text}", "Review: good\n\nSentiment: positive"]  # fmt: skip
BROKEN = [b"\xff", b"a\xe4", b"\xf0\x9f\x99", b"\x80good\xc3\x28", b"\xed\xa0\x80"]


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.BPETokenizer.train(CORPUS, vocab_size=330)


def few(lm, template="Review: {text}\n\nSentiment:", **options):
    made = PromptClassifier(lm, template, WORDS, **options)
    return made.with_examples((["a great film", "\n\nit was bad"], ["pos", 1]))


def outputs(made, texts):
    return made.signatures().answer("classify", {"text": texts})


# === Exports ===
@pytest.mark.parametrize("family", ["lstm", "cnn", "llama", "feedforward"])
def test_an_export_answers_as_python_does(family, tokenizer, tmp_path):
    template = (
        "{text}" if family in ("cnn", "feedforward") else "Review: {text}\n\nSentiment:"
    )  # they see three tokens
    lm = tiny_lm(family, tokenizer, 0.5, max_length=96)
    made = few(lm, template, calibration="contextual", normalize="unconditional")
    version = lk.export(made, tmp_path / "x")
    assert len(set(outputs(made, AWKWARD)["score"])) > 7
    calls = requests({"classify": ({"text": AWKWARD}, outputs(made, AWKWARD))})
    replaced = [text.decode("utf-8", "replace") for text in BROKEN]
    calls.append({"signature": "classify", "inputs": {"text": BROKEN}, "outputs": outputs(made, replaced)})
    assert lk.check(version, calls) == []


def test_a_text_that_joins_the_beginning(tmp_path):
    """Two line ends are one token at the end of a text and two before a word."""
    tokenizer = lk.text.BPETokenizer.train([*CORPUS, *["good\n\n"] * 9], vocab_size=330)
    template = "it was good and it was bad and it was great and good and a lost hour:\n\n{text}"
    made = PromptClassifier(tiny_lm("llama", tokenizer, 0.5, max_length=96), template, WORDS)
    begun = made._labels.cache(made._encoder)
    rows = made._encoder.encode_batch([{"text": text} for text in AWKWARD])
    assert len({row[len(begun.ids)] for row in rows}) > 1
    version = lk.export(made, tmp_path / "x")
    (answer,) = query(version, [{"signature": "classify", "inputs": {"text": AWKWARD}}])["results"]
    np.testing.assert_allclose(answer["scores"], outputs(made, AWKWARD)["scores"], atol=1e-5)


def test_several_fields_are_several_inputs(tokenizer, tmp_path):
    made = PromptClassifier(tiny_lm("lstm", tokenizer, 0.5), "{first} and {second}:", WORDS)
    inputs = {"first": AWKWARD, "second": AWKWARD[::-1]}
    calls = requests({"classify": (inputs, made.signatures().answer("classify", inputs))})
    assert lk.check(lk.export(made, tmp_path / "x"), calls) == []


@pytest.mark.parametrize("names", ["文本 标题", "a A", "class b", "_a b", "self b"])
def test_fields_that_cannot_be_inputs(tokenizer, names):
    made = PromptClassifier(tiny_lm("lstm", tokenizer, 0.5), " ".join(f"{{{name}}}" for name in names.split()), WORDS)
    with pytest.raises(lk.InputError, match="the inputs? .*give"):
        made.signatures()


def test_a_chat(tmp_path):
    from lm_keras.text.tokenizers.bpe.tokenizer import learn

    tokens, merges = learn(CORPUS, 320, 1, False)
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = lk.text.BPETokenizer([*tokens, *marks[1:]], merges=merges, special_tokens=marks)
    tokenizer.set_chat_template(
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    template = Template(chat=[{"role": "user", "content": "Is it good?\n{text}"}])
    lm = tiny_lm("llama", tokenizer, 0.5, max_length=128)
    made = PromptClassifier(lm, template, {"yes": "good", "no": "bad"}, "contextual")
    made = made.with_examples((["a fine <|im_end|>", "a lost hour"], ["yes", "no"]))
    turns = [("user", "Is it good?\na fine <|im_end|>"), ("assistant", "good"), ("user", "Is it good?\na lost hour"),
             ("assistant", "bad"), ("user", "Is it good?\nx")]  # fmt: skip
    chat = tokenizer.encode_chat([{"role": role, "content": content} for role, content in turns])
    assert made._encoder.encode(text="x") == chat  # the template brings the marks, and no other stands before
    assert (
        lk.check(lk.export(made, tmp_path / "x"), requests({"classify": ({"text": AWKWARD}, outputs(made, AWKWARD))}))
        == []
    )
    made.save(tmp_path / "saved")
    assert lk.tasks.load(tmp_path / "saved").classify(AWKWARD) == made.classify(AWKWARD)


@pytest.mark.parametrize("family", KINDS_OF_STATE)
def test_a_learned_prompt_stands_before_all(family, tokenizer, tmp_path):
    lm = tiny_lm(family, tokenizer, 0.5, max_length=96)
    plain = PromptClassifier(lm, "{text}", WORDS)
    rng = np.random.default_rng(3)
    width = lm.model.word_vectors_model.output_shape[-1]
    prompt = LearnedPrompt(3, rng.normal(0, 1, [3, width]).astype("float32"))
    made = PromptClassifier(lm.with_prompt(prompt), "{text}", WORDS, "contextual")
    assert np.abs(made.log_scores("") - plain.log_scores("")).max() > 0.01
    x, y = plain.training_data(AWKWARD, [0] * len(AWKWARD))
    again, labels = made.training_data(AWKWARD[:4], [0] * 4)
    assert again.max() < tokenizer.vocab_size and np.array_equal(again[0][again[0] >= 0], x[0][x[0] >= 0])
    made.save(tmp_path / "saved")
    np.testing.assert_allclose(
        lk.TextModel.load(tmp_path / "saved").probabilities(AWKWARD), made.probabilities(AWKWARD), atol=1e-5
    )
    if family in ("lstm", "llama"):
        calls = requests({"classify": ({"text": AWKWARD}, outputs(made, AWKWARD))})
        assert lk.check(lk.export(made, tmp_path / "x"), calls) == []


JOINED = "go" + "o" * 40


def test_a_text_that_joins_the_beginning_after_a_learned_prompt(monkeypatch):
    """The trials did not foresee it: the row is read from the learned prompt on, whose ids no model can read."""
    monkeypatch.setattr("lm_keras.generation.prompt_cache.CONTINUATIONS", ("x",))
    monkeypatch.setattr("lm_keras.generation.prompt_cache.MOST_WORDS", 0)
    tokenizer = lk.text.BPETokenizer.train(["good goodo " + JOINED] * 9, vocab_size=300)
    beginning = JOINED[:9]
    whole, apart = tokenizer.encode(beginning + JOINED[9:]), tokenizer.encode(beginning)
    assert whole[: len(apart)] != apart
    for family in ("lstm", "llama"):
        lm = tiny_lm(family, tokenizer, 0.5, max_length=64)
        width = lm.model.word_vectors_model.output_shape[-1]
        prompt = LearnedPrompt(3, np.random.default_rng(3).normal(0, 1, [3, width]).astype("float32"))
        lm = lm.with_prompt(prompt)
        text, words = JOINED[9:], {"a": "x", "b": "good"}
        made = PromptClassifier(lm, beginning + "{text}", words)
        expected = {c.answer: c.log_prob for c in lm.choose(beginning + text, ["x", "good"])[0]}
        np.testing.assert_allclose(made.log_scores(text)[0], [expected["x"], expected["good"]], rtol=1e-4)
        found = {c.answer: c.log_prob for c in lm.with_prompt(beginning).choose(text, ["x", "good"])[0]}
        assert found == pytest.approx(expected, rel=1e-4)


# === Folders ===
@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    made = few(tiny_lm("lstm", tokenizer, 0.5).with_prompt("good:\n"), calibration="contextual")
    folder = tmp_path_factory.mktemp("saved") / "few"
    made.save(folder)
    return made, folder


def test_a_folder_brings_all_of_it_back(saved, tmp_path):
    made, folder = saved
    for load in (PromptClassifier.load, lk.TextModel.load, lk.tasks.load):
        again = load(folder)
        assert again.options == made.options and again.language_model.prompt == "good:\n"
        np.testing.assert_array_equal(again.probabilities(AWKWARD), made.probabilities(AWKWARD))
    with pytest.raises(lk.InputError, match="is a saved PromptClassifier"):
        lk.tasks.TextClassifier.load(folder)
    with pytest.raises(lk.InputError, match="is a saved text model"):
        lk.LanguageModel.load(folder)
    again.save(folder)  # into the folder that it came from
    assert lk.tasks.load(folder).options == made.options


def test_the_prior_of_a_folder_is_the_one_that_was_estimated(tokenizer, news, tmp_path):
    made = few(tiny_lm("lstm", tokenizer, 0.5), calibration="batch")
    made.save(tmp_path / "before")
    with pytest.raises(lk.InputError, match="call calibrate"):
        lk.tasks.load(tmp_path / "before").classify("x")
    made.calibrate(AWKWARD).save(tmp_path / "after")
    np.testing.assert_array_equal(lk.tasks.load(tmp_path / "after").probabilities("x"), made.probabilities("x"))
    masked = MAKE["masked_prompt_classifier"](news)
    masked.save(tmp_path / "masked")
    again = PromptClassifier.load(tmp_path / "masked")
    np.testing.assert_allclose(again.probabilities(news[:5]), masked.probabilities(news[:5]), atol=1e-6)


def test_a_tuned_prompt_is_saved_whole(tokenizer, tmp_path):
    tuned = lk.prompting.PromptTuning(tiny_lm("lstm", tokenizer, 0.5), num_tokens=4, seed=1)
    made = PromptClassifier(tuned, "{text}", WORDS)
    before = made.log_scores(AWKWARD)
    made.save(tmp_path / "x")
    np.testing.assert_allclose(lk.tasks.load(tmp_path / "x").log_scores(AWKWARD), before, rtol=1e-4)
    for weight in tuned.training_model.weights:
        weight.assign(weight + 1.0)
    assert np.abs(made.log_scores("") - before[:1]).max() > 0.01  # what was learned since is seen


def test_the_command_line_exports_a_folder(saved, tmp_path, capsys):
    assert main(["export", str(saved[1]), str(tmp_path / "few")]) == 0
    version = capsys.readouterr().out.strip()
    calls = requests({"classify": ({"text": AWKWARD}, outputs(saved[0], AWKWARD))})
    assert lk.check(version, calls) == []
    card = json.loads(Path(version, "assets.extra", "model_card.json").read_text())
    assert card["prompt"] == "good:\n" and card["classes"] == list(WORDS)
    assert card["prompt_tokens"] == len(saved[0]._encoder.beginning()) > 16
    assert card["prompt_numbers"] == 2 * 12  # h and c
    Path(version, "assets.extra", "model_card.json").write_text(json.dumps(card | {"prompt_numbers": "24"}))
    assert main(["check", version]) == 0 and "ready to serve" in capsys.readouterr().out


def test_other_weights_have_another_content_free_prior(saved):
    made, folder = saved
    again = PromptClassifier.load(folder)
    rng = np.random.default_rng(1)
    again.model.set_weights([rng.normal(0, 0.5, w.shape) for w in again.model.get_weights()])
    fresh = few(again.language_model, calibration="contextual")
    np.testing.assert_allclose(again.probabilities(AWKWARD), fresh.probabilities(AWKWARD), atol=1e-5)
    assert np.abs(again.probabilities(AWKWARD) - made.probabilities(AWKWARD)).max() > 0.01


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda o: o.update(prior=[0.0]), "the prior is no list of 2 numbers"),
        (lambda o: o.update(prior=[0.0, "x"]), "of another version"),
        (lambda o: o.update(verbalizer={"a": ["x"]}), "two classes or more"),
        (lambda o: o["template"].update(text="{"), "double braces"),
        (lambda o: o["template"].update(more=1), "of another version"),
        (lambda o: o.pop("demonstrations"), "of another version"),
        (
            lambda o: o.update(demonstrations={"examples": [[{"text": "x"}, "none"]]}),
            "has the class 'none'; it must be one of pos, neg",
        ),
        (lambda o: o.update(demonstrations={"examples": [[{"other": "x"}, "pos"]]}), "has the fields {'other'"),
        (lambda o: o.update(demonstrations={"examples": [[{"text": 3}, "pos"]]}), "has the fields {'text': 3}"),
        (lambda o: o.update(begin="x" * 3), "begin is 'xxx'"),
        (lambda o: o.update(calibration=3), "calibration is 3"),
    ],
)
def test_a_damaged_folder_is_one_line(saved, tmp_path, change, said):
    import shutil

    shutil.copytree(saved[1], tmp_path / "x")
    content = json.loads((tmp_path / "x" / "task.json").read_text())
    change(content["options"])
    (tmp_path / "x" / "task.json").write_text(json.dumps(content))
    with pytest.raises(lk.InputError, match=said):
        lk.tasks.load(tmp_path / "x")


@pytest.mark.parametrize("name", ["", "..", "../x", 3])
def test_a_tokenizer_outside_of_the_folder_is_not_read(saved, tmp_path, name):
    content = json.loads((saved[1] / "task.json").read_text()) | {"tokenizers": [name]}
    (tmp_path / "task.json").write_text(json.dumps(content))
    with pytest.raises(lk.InputError, match="names the tokenizer .*, no folder beside it"):
        lk.tasks.load(tmp_path)


def test_a_folder_without_its_language_model(saved, tmp_path):
    import shutil

    shutil.copytree(saved[1], tmp_path / "x")
    shutil.rmtree(tmp_path / "x" / "language_model")
    with pytest.raises(lk.InputError, match="language_model is not a folder or a file"):
        lk.tasks.load(tmp_path / "x")


# === Examples of each text ===
class Nearest:
    """The examples that share the most letters with a text, the nearest one last."""

    static = None

    def __init__(self, pool, k):
        self.pool, self.k = pool, k

    def of(self, rows):
        return [sorted(self.pool, key=lambda e: len({*e.fields["text"]} & {*row["text"]}))[-self.k :] for row in rows]

    def get_config(self):
        return {}


def test_examples_that_are_chosen_for_each_text(tokenizer, tmp_path):
    lm = tiny_lm("gpt2", tokenizer, 0.5, max_length=128)
    plain = PromptClassifier(lm, "Review: {text}\nSentiment:", WORDS, "contextual")
    pool = plain.examples_of((["a fine film", "xyz", "good and bad", "two hours"], [0, 1, "pos", "neg"]))
    made, texts = plain.with_demonstrations(Nearest(pool, 2)), ["a film", "xz", "bad hours"]
    shown = made.demonstrations.of([{"text": text} for text in texts])
    assert len({tuple(example.label for example in row) + (row[0].fields["text"],) for row in shown}) > 1
    for text, row, found in zip(texts, shown, made.probabilities(texts), strict=True):
        fixed = plain.with_examples(([e.fields["text"] for e in row], [e.label for e in row]))
        np.testing.assert_allclose(found, fixed.probabilities(text)[0], rtol=2e-4)
        np.testing.assert_allclose(made.log_scores(text), fixed.log_scores(text), rtol=2e-4)
    x, y = made.training_data(texts, [0, 1, 0])
    assert x.shape == y.shape and (y >= 0).any(1).all()
    long = [lk.prompting.demonstrations.Demonstration({"text": "z" * 150}, "pos"), *pool[:2]]
    crowded, fixed = plain.with_demonstrations(Nearest(long, 3)), plain.with_demonstrations(Nearest(pool[:2], 2))
    assert crowded.demonstrations.of([{"text": "a film"}])[0][0] == long[0]  # which leaves no room
    np.testing.assert_allclose(crowded.log_scores("a film"), fixed.log_scores("a film"), rtol=2e-4)
    assert crowded.render("a film") == fixed.render("a film")  # what the model reads
    with pytest.raises(lk.InputError, match="the examples are chosen for each text, which a graph cannot do"):
        lk.export(made, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_masked_models_have_no_begin_and_pieces_that_are_marks(news):
    pieces = word_pieces(news)
    made = MAKE["masked_prompt_classifier"](news)
    ids = made._encoder.encode(text="[SEP] [MASK] the fire")
    assert [i for i in ids if i in (pieces.sep_id, pieces.cls_id)] == [pieces.cls_id, pieces.sep_id, pieces.sep_id]
