"""split_texts: nothing lost, the same split every time, as list and as stream."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_keras.data import splitting
from lm_keras.data.corpora import labels as labelled
from lm_keras.data.corpora import labels as tagged
from lm_keras.data.corpora import running_text as running
from lm_keras.data.corpora import text_pairs
from lm_keras.data.labelled import LabelledTexts
from lm_keras.data.splitting import cut_text, split_texts
from lm_keras.data.text_files import read_texts
from lm_keras.errors import InputError


class Stream:
    """A re-iterable that counts how often it is read and holds no text."""

    def __init__(self, count):
        self.count, self.reads = count, 0

    def __iter__(self):
        self.reads += 1
        return (f"text {i}" for i in range(self.count))


@given(st.integers(2, 300), st.floats(0.001, 0.999), st.integers(0, 5))
def test_every_text_is_on_exactly_one_side_in_order(count, validation, seed):
    texts = list(Stream(count))
    train, valid = split_texts(texts, validation, seed)
    assert sorted(train + valid) == sorted(texts)
    assert len(set(train) & set(valid)) == 0
    assert train == [text for text in texts if text in set(train)]
    assert len(valid) == min(max(round(count * validation), 1), count - 1)


def test_labels_go_with_their_texts():
    texts = list(Stream(40))
    whole = LabelledTexts(texts, np.arange(40, dtype="int32"), ("a", "b"))
    for side, expected in zip(split_texts(whole, 0.3, 2), split_texts(texts, 0.3, 2), strict=True):
        assert isinstance(side, LabelledTexts) and side.texts == expected and side.classes == ("a", "b")
        assert [f"text {i}" for i in side.labels] == expected and side.labels.dtype == "int32"
    with pytest.raises(InputError, match="cannot be split; give at least two"):
        split_texts(LabelledTexts(["a b"], np.array([0]), ()))


def test_a_stream_splits_like_the_list_without_being_held():
    stream = Stream(500)
    train, valid = split_texts(stream, seed=7)
    assert not isinstance(train, list)
    assert (list(train), list(valid)) == split_texts(list(stream), seed=7)
    assert list(train) == list(train)
    assert stream.reads == 6, "one look, four passes and the list: nothing was kept"


def test_the_split_is_the_same_on_every_machine():
    # Fixed forever: a run that is resumed or compared must find the same validation texts.
    assert split_texts(list(range(30)), 0.1, seed=0)[1] == [6, 25, 28]
    assert split_texts(list(range(30)), 0.1, seed=1)[1] != [6, 25, 28]


@pytest.mark.parametrize("validation", [1e-7, 0.1, 1 - 1e-7])
def test_many_texts_split_on_average_and_no_side_is_empty(monkeypatch, validation):
    monkeypatch.setattr(splitting, "COUNTED", 1000)
    train, valid = split_texts(Stream(5000), validation)
    num_train, num_valid = len(list(train)), len(list(valid))
    assert num_train + num_valid == 5000
    assert num_train >= 1 <= num_valid
    if validation == 0.1:
        assert 400 < num_valid < 600


def test_one_shot_iterators_become_lists():
    assert split_texts(iter(["a", "b", "c"])) == split_texts(["a", "b", "c"])


def test_a_single_text_is_cut_at_white_space():
    text = "to be or not to be that is the question\n" * 10
    (train,), (valid,) = split_texts([text])
    assert train + valid == text
    assert train[-1].isspace()
    assert 0.85 < len(train) / len(text) < 0.95
    assert "".join(cut_text("是" * 100)) == "是" * 100
    assert [len(part) for part in cut_text("是" * 100)] == [90, 10]
    assert cut_text("ab") == ("a", "b")


def test_files(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {i}\n" for i in range(50)))
    train, valid = split_texts(read_texts(path))
    assert (len(list(train)), len(list(valid))) == (45, 5)
    (train,), (valid,) = split_texts(read_texts(path, unit="chunk"))
    assert train + valid == path.read_text()
    assert list(split_texts(path)[1]) == list(split_texts(str(path))[1]) != []


@pytest.mark.parametrize("validation", [0, 1, -0.1, 2, float("nan"), "0.1", None])
def test_shares_outside_0_and_1(validation):
    with pytest.raises(InputError, match="validation is .*; it must be a number above 0 and below 1"):
        split_texts(["a", "b"], validation)


@pytest.mark.parametrize(
    "texts, says", [([], "no text"), (["a"], "cannot be split"), ([("a b", 1)], "a single tuple")]
)
def test_too_little_text(texts, says):
    with pytest.raises(InputError, match=says):
        split_texts(texts)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60))
@settings(max_examples=30)
def test_copies_of_a_text_are_on_one_side(numbers):
    """Whatever their labels; nothing else moves, and the order stays."""
    texts = [f"text {number}" for number in numbers]
    labels = ["spam" if i % 2 else "ham" for i in range(len(texts))]
    pairs = list(zip(texts, labels, strict=True))
    talks = "conversations:\n" + "".join(f"- - {text}\n  - yes\n" for text in texts)
    train, validation = (
        [texts[i] for i in side] for side in split_texts(list(range(len(texts))), validation=0.1, seed=0)
    )
    held_out = [text for text in validation if text not in train]
    rest = [text for text in texts if text not in held_out]
    for make, contents, text in [
        (running.read_split_lines, ["\n".join(texts)], str),
        (
            labelled.read_messages,
            ["\n".join(f"{label}\t{text}" for text, label in pairs)],
            lambda record: record.text,
        ),
        (
            tagged.read_tagged_characters,
            [{"x": "\n\n".join("\t".join(pair) for pair in pairs)}],
            lambda r: r.words[0],
        ),
        (text_pairs.read_replies, ["\n".join(texts)] * 2, lambda record: record.turns[0]),
        (text_pairs.read_conversations, [{"english/x.yml": talks}], lambda record: record.turns[0]),
    ]:
        found = {split: list(map(text, make(*contents, split))) for split in ("train", "validation", "all")}
        assert found == {"train": rest, "validation": held_out, "all": texts}, make.__name__
