"""The checks of arguments: what each accepts, and the line it gives for what it does not."""

import fractions

import numpy as np
import pytest

from lm_keras import InputError
from lm_keras.data.corpora.records import Labelled
from lm_keras.utils.checks import (
    MAX_INT32,
    check_choice,
    check_list,
    check_no_record,
    check_number,
    check_positive,
    check_seed,
    check_sizes,
    check_text,
    check_texts,
    check_whole,
    check_words,
)


def test_whole_numbers_are_those_of_python_and_numpy():
    for value in (3, np.int64(3), np.uint8(3)):
        assert check_whole("width", value) == 3 and type(check_whole("width", value)) is int
    assert check_whole("offset", -5, least=None) == -5 and check_whole("offset", 2, 2, 2) == 2


@pytest.mark.parametrize("wrong", [0, True, 1.0, "3", None, np.float32(2), [1], np.bool_(True)])
def test_what_is_no_whole_number_is_quoted(wrong):
    with pytest.raises(InputError) as caught:
        check_whole("num_heads", wrong)
    assert str(caught.value) == f"num_heads is {wrong!r}; it must be a whole number of at least 1"


def test_the_range_of_a_whole_number_is_in_the_line():
    for arguments, says in (
        ((9, 1, 8), "it must be a whole number of at least 1 and at most 8"),
        ((0.5, None, None), "it must be a whole number"),
        ((2**31, 1, MAX_INT32), "at least 1 and at most 2,147,483,647, what an int32 holds"),
        ((0, 1, MAX_INT32), "it must be a whole number of at least 1"),
        ((5, None, 4), "it must be a whole number of at most 4"),
    ):
        with pytest.raises(InputError) as caught:
            check_whole("size", *arguments)
        assert str(caught.value).endswith(says)


def test_several_sizes_at_once():
    check_sizes(window=5, epochs=np.int32(1))
    with pytest.raises(InputError, match="^epochs is 1; it must be a whole number of at least 2$"):
        check_sizes(2, window=5, epochs=1)
    with pytest.raises(InputError, match="what an int32 holds$"):
        check_sizes(window=2**31)


def test_numbers_are_finite_and_within_their_range():
    for value in (0, 0.5, np.float32(0.5), fractions.Fraction(1, 2)):
        assert check_number("dropout", value, least=0, below=1) == float(value)
    for wrong in (-0.1, 1, True, "0.5", None, float("nan"), float("inf"), 10**400):
        with pytest.raises(InputError, match="^dropout is .*; it must be a number of at least 0 and below 1$"):
            check_number("dropout", wrong, least=0, below=1)
    with pytest.raises(InputError, match="^x is inf; it must be a finite number$"):
        check_number("x", float("inf"))
    with pytest.raises(InputError, match="^top_p is 0; it must be a number above 0 and at most 1$"):
        check_number("top_p", 0, above=0, most=1)


def test_positive_numbers():
    check_positive(rope_base=10000, norm_epsilon=1e-5)
    with pytest.raises(InputError, match="^norm_epsilon is 0; it must be a number above 0$"):
        check_positive(rope_base=10000, norm_epsilon=0)


def test_a_choice_is_one_of_those_listed():
    assert check_choice("score", "additive", ("additive", "multiplicative")) == "additive"
    assert check_choice("mode", None, (None, "int8")) is None
    for wrong in ("Additive", ["additive"], None, np.zeros(2), 1):
        with pytest.raises(InputError, match="^score is .*; it must be one of additive, multiplicative$"):
            check_choice("score", wrong, {"additive": 1, "multiplicative": 2})


def test_seeds_are_those_that_numpy_and_keras_take():
    assert check_seed(0) == 0 and check_seed(2**32 - 1) == 2**32 - 1
    for wrong in (-1, 2**32, None, 0.0):
        with pytest.raises(
            InputError, match="^seed is .*; it must be a whole number of at least 0 and at most 4,294"
        ):
            check_seed(wrong)


def test_texts_are_one_string_or_several():
    assert check_texts("one") == ["one"] and check_texts(iter(["a", "b"])) == ["a", "b"] and check_texts(()) == []
    for wrong, says in ((b"bytes", "prompts is b'bytes'"), (None, "prompts is None"), (["a", 3], "a text is a int")):
        with pytest.raises(InputError, match=says):
            check_texts(wrong, "prompts")
    check_text("one")
    with pytest.raises(InputError, match="^every text must be a str, got int: '3'$"):
        check_text(3)


def test_words_are_a_list_and_no_text_or_record():
    assert check_words(("a", "b"), "stems") == ["a", "b"] and check_list([1], "ngrams") == [1]
    for wrong in ("a text", b"a text"):
        with pytest.raises(InputError, match=r"^stems takes a list of words, not a text: give lk\.text\.words"):
            check_words(wrong, "stems")
    with pytest.raises(InputError, match="^stems takes a list of words, got 3$"):
        check_list(3, "stems")
    with pytest.raises(InputError, match="^stems takes a list of words, each a str, got None$"):
        check_words(["a", None], "stems")
    check_no_record("a text", "text 0")
    with pytest.raises(InputError, match="^text 0 is a Labelled; give its text, one of text, label$"):
        check_no_record(Labelled("good", "pos"), "text 0")
