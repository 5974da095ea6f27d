"""Models that the official fastText trained (tools/make_fasttext_golden.py) give the vectors that it gives."""

import copy
import json
import struct
import warnings

import numpy as np
import pytest
from gensim.models.fasttext import load_facebook_vectors
from gensim.test.utils import datapath
from paths import GOLDEN

import lm_keras as lk
from lm_keras.embeddings import load_fasttext, save_vectors

FASTTEXT = GOLDEN / "fasttext"
EXPECTED = json.loads((FASTTEXT / "expected.json").read_text())
SUBWORDS = ("skipgram", "cbow", "supervised-ngrams")
pytestmark = pytest.mark.filterwarnings("ignore:.*1 words are not UTF-8, the first is read as 'caf.*xe9'")


def named(word):
    """A word of the golden file as load_fasttext names it."""
    return word.encode(errors="surrogateescape").decode(errors="backslashreplace")


@pytest.mark.parametrize("name", EXPECTED)
def test_vectors_of_words(name):
    vectors, expected = load_fasttext(FASTTEXT / f"{name}.bin"), EXPECTED[name]["words"]
    assert list(vectors.index_to_key) == [named(word) for word in expected]
    assert "</s>" in expected and ("caf\udce9" in expected) == ("supervised" not in name)
    for word, vector in expected.items():
        np.testing.assert_allclose(vectors[named(word)], vector, rtol=1e-6, atol=1e-7, err_msg=repr(word))


@pytest.mark.parametrize("name", EXPECTED)
def test_vectors_of_unseen_words(name):
    vectors = load_fasttext(FASTTEXT / f"{name}.bin")
    for word, vector in EXPECTED[name]["unseen"].items():
        if name in SUBWORDS:
            np.testing.assert_allclose(vectors[word], vector, rtol=1e-6, atol=1e-7, err_msg=repr(word))
        else:
            assert vector == [0, 0, 0, 0] and word not in vectors
            with pytest.raises(KeyError):
                vectors[word]
    few = load_fasttext(FASTTEXT / f"{name}.bin", vocabulary=["the"])
    assert list(few.index_to_key) == ["the"]
    if name in SUBWORDS:
        assert not few["</s>"].any()


@pytest.mark.parametrize("name", EXPECTED)
def test_they_survive_being_saved(name, tmp_path):
    vectors = load_fasttext(FASTTEXT / f"{name}.bin")
    save_vectors(vectors, tmp_path / "m.bin", format="fasttext")
    again = load_fasttext(tmp_path / "m.bin")
    assert again.index_to_key == vectors.index_to_key
    assert again.vectors.tobytes() == vectors.vectors.tobytes()
    if name in SUBWORDS:
        assert np.array_equal(again["neverseen"], vectors["neverseen"])


def test_a_word_that_is_not_utf8_is_warned_of():
    with pytest.warns(UserWarning, match=r"skipgram.bin: 1 words are not UTF-8, the first is read as 'caf\\\\xe9'"):
        load_fasttext(FASTTEXT / "skipgram.bin")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_fasttext(FASTTEXT / "skipgram.bin", vocabulary=["the"])


def test_impossible_settings_are_refused(tmp_path):
    model = (FASTTEXT / "skipgram.bin").read_bytes()
    for place, value, message in [
        (8, 0, "vectors of 0 numbers"),
        (8, 2**31 - 1, "vectors of 2147483647 numbers"),
        (8, 5, "numbers where .* x 5 are due"),
        (40, -1, "-1 buckets for n-grams of 3 to 5 characters are not possible"),
        (40, 2**31 - 1, "numbers where 2,147,4.* are due"),
        (44, -1, "n-grams of -1 to 5"),
        (48, -(2**31), "n-grams of 3 to -2147483648"),
        (64, 2**31 - 1, "are not 2147483647; the file is damaged"),
        (68, 1, "1 words and 1 labels are not"),
        (72, -1, "-1 labels"),
        (84, 0, "a quantized or pruned model"),
        (84, 5, "a quantized or pruned model"),
    ]:
        damaged = bytearray(model)
        struct.pack_into("<i", damaged, place, value)
        (tmp_path / "m.bin").write_bytes(damaged)
        with pytest.raises(lk.InputError, match=message):
            load_fasttext(tmp_path / "m.bin")


def test_ngrams_that_would_take_hours_are_refused(tmp_path):
    head = struct.pack("<2i12id", 793712314, 12, 1, 5, 5, 1, 5, 1, 2, 2, 9, 1, 2**31 - 1, 100, 0)
    word = b"x" * 60_000 + b"\0" + struct.pack("<qb", 1, 0)
    rest = struct.pack("<3i2q", 1, 1, 0, 1, -1) + word + struct.pack("<?2q", False, 10, 1) + bytes(40)
    (tmp_path / "m.bin").write_bytes(head + rest)
    with pytest.raises(lk.InputError, match="of words of up to 60,000 bytes are too many"):
        load_fasttext(tmp_path / "m.bin")


def test_an_unseen_word_of_damaged_ngrams(tmp_path):
    model = bytearray((FASTTEXT / "skipgram.bin").read_bytes())
    count = len(EXPECTED["skipgram"]["words"])
    start = bytes(model).index(struct.pack("<2q", count + 30, 4)) + 16 + 16 * count
    for row in range(30):
        struct.pack_into("<f", model, start + 16 * row, np.inf)
    (tmp_path / "m.bin").write_bytes(model)
    vectors = load_fasttext(tmp_path / "m.bin", vocabulary=["</s>"])  # which has none
    with pytest.raises(lk.InputError, match="the n-grams of 'cats' hold nan or infinity"):
        vectors["cats"]


def test_copies_and_neighbours(tmp_path):
    vectors = load_fasttext(FASTTEXT / "skipgram.bin")
    vectors.save(str(tmp_path / "v"))
    for again in (copy.deepcopy(vectors), type(vectors).load(str(tmp_path / "v"))):
        assert again.index_to_key == vectors.index_to_key
        for word in ("caf\\xe9", "</s>", "cats"):
            assert np.array_equal(again[word], vectors[word])
    assert lk.embeddings.nearest_words(vectors, ["cats"], n=2)["cats"][0][0] in vectors.index_to_key


def test_what_gensim_makes_of_the_end_of_a_line_is_warned_of(tmp_path):
    ours = load_fasttext(FASTTEXT / "skipgram.bin")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_vectors(ours, tmp_path / "m.bin", format="fasttext")
    theirs = load_facebook_vectors(datapath("crime-and-punishment.bin"))
    with pytest.warns(UserWarning, match="fastText gives '</s>' no n-grams, unlike gensim"):
        save_vectors(theirs, tmp_path / "m.bin", format="fasttext")
    ours = load_fasttext(tmp_path / "m.bin")
    assert np.array_equal(ours["the"], theirs["the"]) and not np.array_equal(ours["</s>"], theirs["</s>"])
