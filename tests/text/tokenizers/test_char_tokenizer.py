from hypothesis import given, settings
from hypothesis import strategies as st
from texts import any_text, texts

from lm_keras.text import CharTokenizer
from lm_keras.text.unicode import lower

tokenizer = CharTokenizer.train(["abc de\n", "aß"], vocab_size=264)


def test_ids():
    assert tokenizer.tokens[3] == "<0x00>" and tokenizer.tokens[258] == "<0xFF>"
    assert tokenizer.tokens[259:] == ["a", "\n", " ", "b", "c"]  # "a" twice, the others by code point
    assert tokenizer.encode("ca\n") == [263, 259, 260]
    assert tokenizer.encode("é") == [3 + 0xC3, 3 + 0xA9]


@settings(max_examples=500)
@given(texts, st.sampled_from([None, 259, 262]))
def test_round_trip(text, vocab_size):
    assert CharTokenizer.train(["some text"], vocab_size).decode(tokenizer_of(vocab_size).encode(text)) == text


def tokenizer_of(vocab_size):
    return CharTokenizer.train(["some text"], vocab_size)


@given(any_text)
def test_round_trip_lower_case(text):
    lowercase = CharTokenizer.train(["Some Text"], lowercase=True)
    assert lowercase.decode(lowercase.encode(text)) == lower(text)


def test_incomplete_characters():
    assert tokenizer.decode([259, 3 + 0xC3, 259]) == "a\ufffda"
    assert tokenizer.decode([3 + 0xE4, 3 + 0xBD]) == "\ufffd"


def test_lower_case_is_that_of_each_character():
    every = [chr(code) for code in range(0x110000)]
    assert [char for char in every if lower(char) != char.lower()] == ["İ"]
    assert lower("ΟΔΥΣΣΕΥΣ İX") == "οδυσσευσ ix"
