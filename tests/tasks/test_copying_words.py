"""A model that copies, from texts to texts: names that no training text had, in Python and in an export."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import texts

import lm_keras as lk
from lm_keras.data import TextPair
from lm_keras.tasks import TextToText

rng = np.random.default_rng(0)
FRAMES = [("my name is {} , hello", "hello , {}"), ("here comes {}", "{} comes"), ("is {} in ?", "{} , please")]
SYLLABLES = ["ba", "ko", "ri", "mu", "te", "lo", "sha", "ne"]


def names(count, of=SYLLABLES):
    return ["".join(rng.choice(of, 4)).capitalize() for _ in range(count)]


def pair(name, frame):
    source, target = FRAMES[frame]
    return TextPair(source.format(name), target.format(name))


TRAIN = [pair(name, i % 3) for i, name in enumerate(names(240))]
NEW = [pair(name, i % 3) for i, name in enumerate(names(30, ["zu", "qi", "vor", "xan"]))]
SIZES = {"copy_slots": 2, "embedding_dim": 16, "hidden_dim": 24, "dropout": 0.0, "vocab_size": 13}


@pytest.fixture(scope="module")
def model():
    quick = {
        "epochs": 6,
        "metric": "rougeL",
        "learning_rate": 0.02,
        "batch_size": 16,
        "warmup_steps": 0,
        "average_checkpoints": 1,
    }
    return TextToText.train(TRAIN, model="pointer_generator", validation=TRAIN[:8], **SIZES, **quick)


@pytest.fixture(scope="module")
def version(model, tmp_path_factory):
    return lk.export(model, tmp_path_factory.mktemp("export") / "names", num_beams=2, max_new_tokens_limit=8)


def test_names_that_no_training_text_had_are_copied(model):
    assert not {name for row in NEW for name in row.target.split() if name.istitle()} & {
        *model.source_tokenizer.tokens
    }
    written = [one.text for one in model.generate([row.source for row in NEW], max_new_tokens=6)]
    right = sum(text == row.target.replace(" ,", ",") for text, row in zip(written, NEW, strict=True))
    assert right >= 28
    assert model.evaluate(NEW, metric="rouge", max_new_tokens=6).rougeL > 95


def test_every_way_to_write_gives_the_names(model):
    row = NEW[0]
    name = row.target.split()[-1]
    (greedy,) = model.generate(row.source, max_new_tokens=6, top_logprobs=2)
    assert greedy.text == f"hello, {name}"
    assert greedy.top_logprobs[-1][0][0] == name and greedy.token_ids[-1] == model.source_tokenizer.vocab_size
    assert "".join(model.stream(row.source, max_new_tokens=6)) == greedy.text
    assert model.generate(row.source, max_new_tokens=6, num_beams=4)[0].text == greedy.text
    sampling = {"temperature": 0.05, "repetition_penalty": 1.01}
    assert model.generate(row.source, max_new_tokens=6, **sampling)[0].text == greedy.text
    assert model.generate(row.source, max_new_tokens=6, stop=[name])[0].text == "hello, "
    assert "".join(model.stream(row.source, max_new_tokens=6, stop=[name])) == "hello, "


def test_the_alignment_shows_the_names(model):
    row = NEW[1]
    name = row.source.split()[-1]
    found = model.alignment(row.source, row.target)
    assert found.source == ["here", "comes", name] and found.target == [name, "comes", "</s>"]
    assert found.weights[0].argmax() == 2  # what is copied is looked at


def test_what_was_saved_copies_too(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = TextToText.load(tmp_path / "model")
    sources = [row.source for row in NEW[:4]]
    assert loaded.generate(sources, max_new_tokens=6) == model.generate(sources, max_new_tokens=6)


def test_an_export_copies_alike_whatever_the_text(model, version):
    """Words that are not known everywhere, more of them than slots, some twice, and none."""
    assert lk.check(version) == []
    words = st.lists(st.sampled_from(["Zuqi", "Vor", "Xan.", "zu", "is", "name", ",", "my", "$", "n't"]), max_size=9)
    asked = st.lists(st.one_of(words.map(" ".join), texts), min_size=1, max_size=5)
    batches = [[row.source for row in NEW[:6]], [""], ["A B A C D A", "", "Zo"]]
    settings(max_examples=10, deadline=None, database=None)(given(asked)(lambda batch: batches.append(batch)))()
    calls, expected = [], []
    for batch in batches:
        inputs = {"source": batch, "max_new_tokens": [5] * len(batch)}
        penalty = {"length_penalty": [0.0] * len(batch)}
        calls += [
            {"signature": "generate", "inputs": inputs},
            {"signature": "beam", "inputs": inputs | penalty},
        ]
        for beams in (1, 2):
            made = model.generate(batch, max_new_tokens=5, num_beams=beams)
            expected.append([one.text for one in made])
    results = lk.serving.query(version, calls)["results"]
    assert [result["completion"] for result in results] == expected
    names = {name for row in NEW for name in row.target.split() if name.istitle()}
    assert {name for row in expected for text in row for name in text.split()} & names


def test_what_does_not_fit_is_refused():
    tokenizer = lk.text.WordTokenizer.train([row.source for row in TRAIN], vocab_size=14)
    model = lk.models.build_pointer_generator(14, copy_slots=2, embedding_dim=4, hidden_dim=4)
    characters = lk.text.CharTokenizer.train(["abc"])
    other = lk.text.WordTokenizer(["<pad>", "<unk>", "<eos>", *"abcdefghijk"])
    odd = lk.models.build_pointer_generator(14, copy_slots=2, embedding_dim=4, hidden_dim=4, unknown_id=3)
    small = lk.models.build_pointer_generator(characters.vocab_size, embedding_dim=4, hidden_dim=4)
    for build, message in (
        (lambda: TextToText(small, characters), "needs a WordTokenizer, and this is a CharTokenizer"),
        (lambda: TextToText(model, tokenizer, other), "have one vocabulary"),
        (lambda: TextToText(odd, tokenizer), "reads id 3 as the unknown word and the tokenizer's is 1"),
        (lambda: TextToText.train(TRAIN, model="pointer_generator", tokenizer="bpe"), "needs a WordTokenizer"),
        (lambda: TextToText.train(TRAIN, model=model, label_smoothing=0.1), "label_smoothing is for models without"),
    ):
        with pytest.raises(lk.InputError, match=message):
            build()


def test_words_beyond_the_tokens_that_are_read_are_not_copied():
    tokenizer = lk.text.WordTokenizer.train(["a b c"])
    model = lk.models.build_pointer_generator(6, copy_slots=2, embedding_dim=4, hidden_dim=4)
    made = TextToText(model, tokenizer, max_source_tokens=3)
    assert (made.sources.encode("a Xu b Zo"), made.sources.encode("a Xu b Zo").words) == ([3, 6, 4], ["Xu"])
    ids, words = made.sources.tf_encode(["a Xu b Zo", "Zo"])
    assert ids.numpy().tolist() == [[3, 6, 4], [6, -1, -1]] and words.numpy().tolist() == [[b"Xu", b""], [b"Zo", b""]]
