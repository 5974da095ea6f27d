"""Vectors in whatever layout: read as what they are, or refused in one line; never other words or numbers."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.embeddings import load_fasttext, load_glove, load_word2vec, save_vectors
from lm_keras.embeddings.io.table import keyed_vectors

WORDS = ["the", "w0", "naïve", "a\xa0b", "1990", "at name@domain.com", ".", "don't", "北京"]
ROWS = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("layouts")


def laid_out(after=" ", between=" ", end="\n", before="", last="", number="{!r}", words=WORDS):
    lines = [
        f"{before}{word}{after}{between.join(number.format(x) for x in row)}{last}"
        for word, row in zip(words, ROWS.tolist(), strict=False)
    ]
    return end.join(lines) + end


def read(load, path, content):
    """The vectors, or the message of the InputError."""
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return load(path)
        except lk.InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 600
            return str(error)


def right(vectors, words=WORDS):
    assert not isinstance(vectors, str), vectors
    assert list(vectors.index_to_key) == list(words)
    assert vectors.vectors.tobytes() == ROWS[: len(words)].tobytes()


HEADER = f"{len(WORDS)} {ROWS.shape[1]}\n"
READ = {
    "spaces": {},
    "tabs": {"after": "\t", "between": "\t"},
    "a tab after the word": {"after": "\t"},
    "two spaces after the word": {"after": "  "},
    "columns": {"between": "   "},
    "a space and a tab": {"between": " \t"},
    "CRLF": {"end": "\r\n"},
    "CR": {"end": "\r"},
    "CR and tabs": {"end": "\r", "after": "\t", "between": "\t"},
    "a space at the end": {"last": " "},
    "spaces at the end": {"last": "   ", "end": "\r\n"},
    "a tab at the end": {"last": "\t"},
    "a space before": {"before": " "},
    "a tab before": {"before": "\t"},
    "exponents": {"number": "{:.9e}"},
    "signs": {"number": "{:+.12f}"},
}
REFUSED = {
    "commas": {"after": ",", "between": ","},
    "semicolons": {"after": ";", "between": ";"},
    "a comma after the word": {"after": ","},
    "commas and spaces": {"after": ", ", "between": ", "},
    "a colon and a space": {"after": ": "},
    "a colon": {"after": ":"},
    "bars": {"after": " | ", "between": " | "},
    "no-break spaces": {"after": "\xa0", "between": "\xa0"},
    "a no-break space after the word": {"after": "\xa0"},
    "a wide space after the word": {"after": "\u3000"},
    "a zero byte after the word": {"after": "\0"},
    "quotes": {"before": '"', "after": '" '},
    "single quotes": {"before": "'", "after": "' "},
    "Python's bytes": {"before": "b'", "after": "'\t"},
    "brackets": {"after": " [", "last": "]"},
    "brackets and spaces": {"after": " [ ", "last": " ]"},
    "brackets and commas": {"after": " [", "between": ", ", "last": "]"},
    "NEL": {"end": "\x85"},
    "U+2028": {"end": "\u2028"},
    "a number of the row before": {"before": "0 "},
    "nan first": {"after": " nan "},
    "a dash first": {"after": " - "},
    "a dash inside": {"between": " - "},
    "Python's digits": {"number": "1_{:.0f}"},
    "hexadecimal": {"number": "0x{:.0f}"},
    "Fortran's exponents": {"number": "{:.3f}d-1"},
    "percent": {"number": "{:.3f}%"},
    "inf": {"number": "inf"},
    "nan": {"number": "nan"},
}


@pytest.mark.parametrize("layout", READ)
def test_layouts_that_are_read(folder, layout):
    text = laid_out(**READ[layout])
    end = READ[layout].get("end", "\n")
    right(read(load_glove, folder / "v", text.encode()))
    right(read(load_glove, folder / "v", b"\xef\xbb\xbf" + text.encode()))
    right(read(load_glove, folder / "v", text.removesuffix(end).encode()))
    for header in (HEADER, HEADER.replace(" ", "\t"), f" {HEADER.replace(' ', '  ')}"):
        for load in (load_glove, load_word2vec, load_fasttext):
            right(read(load, folder / "v", (header.replace("\n", end) + text).encode()))
    some = ["at name@domain.com", "w0", ".", "a\xa0b", "domain"]
    few = load_glove(folder / "v", vocabulary=some)
    assert list(few.index_to_key) == [word for word in WORDS if word in some]
    assert all(np.array_equal(few[word], ROWS[WORDS.index(word)]) for word in few.index_to_key)


@pytest.mark.parametrize("layout", REFUSED)
def test_layouts_that_are_refused(folder, layout):
    text = laid_out(**REFUSED[layout])
    assert isinstance(read(load_glove, folder / "v", text.encode()), str)
    found = read(load_word2vec, folder / "v", (HEADER + text).encode())
    assert isinstance(found, str) or np.array_equal(found.vectors, ROWS)  # the header says where the word ends


def test_lines_without_words_are_refused(folder):
    """The first number of each is no word."""
    text = "".join(" ".join(map(repr, row)) + "\n" for row in ROWS.tolist())
    assert "the words seem to be '" in read(load_glove, folder / "v", text.encode())


@pytest.mark.parametrize("between", [",", ", ", ";", ":"])
def test_a_vocabulary_hides_no_other_layout(folder, between):
    text = HEADER + laid_out(after=between, between=between)
    for load in (load_word2vec, load_fasttext):
        found = read(lambda path, load=load: load(path, vocabulary=["domain"]), folder / "v", text.encode())
        assert "line 2: " in found


def test_commas_for_points(folder):
    for between in (" ", "\t", ";"):
        text = laid_out(after=between, between=between).replace(".", ",")
        assert "a line is a word and its numbers, with spaces or tabs" in read(
            load_glove, folder / "v", text.encode()
        )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings(folder, encoding):
    found = read(load_glove, folder / "v", laid_out().encode(encoding))
    assert "UTF-16" in found and "convert it to UTF-8" in found
    for load in (load_word2vec, load_fasttext):
        assert isinstance(read(load, folder / "v", (HEADER + laid_out()).encode(encoding)), str)


def test_what_the_message_advises(folder):
    """Words that look like another layout are read where a first line says how many numbers there are."""
    words = ["a:", "b:", "c:", "d,1", "e f"]
    text = laid_out(words=words)
    assert "the words seem to be 'a:' and the like" in read(load_glove, folder / "v", text.encode())
    right(read(load_glove, folder / "v", f"5 5\n{text}".encode()), words)
    with pytest.raises(lk.InputError, match="most of the words look like 'a:'.*give \"word2vec\""):
        save_vectors(keyed_vectors(words[:4], ROWS[:4]), folder / "w", "glove")
    save_vectors(keyed_vectors(words[:4], ROWS[:4]), folder / "w", "word2vec")
    right(load_word2vec(folder / "w"), words[:4])


def test_words_of_digits_and_marks(folder):
    for words in (["1", "2.5", "-3"], ["1,000", "10,000", "3:15"], [",", ":", "="], ["-", "--", "..."], ['"', "''"]):
        for after in (" ", "\t"):
            right(read(load_glove, folder / "v", laid_out(words=words, after=after).encode()), words)


GAP = st.text(" \t", min_size=1, max_size=3) | st.sampled_from([" ", ",", ";", "\xa0", ":", "|", "\0", ", ", "="])
EDGE = st.sampled_from(["", "", " ", "\t", '"', "[", ",", "\xa0"])
TOKEN = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc"]), max_size=6).map("x{}".format)  # not "1,000"


@given(
    st.lists(TOKEN, unique=True, min_size=1, max_size=9), GAP, GAP, EDGE, EDGE,
    st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(),
)  # fmt: skip
def test_any_layout(folder, words, after, between, before, last, end, header):
    """The numbers are right where they are read, and where all is white space the words are, too."""
    number = "{!r}"
    text = laid_out(after, between, end, before, last, number, words)
    text = f"{len(words)} {ROWS.shape[1]}{end}" * header + text
    for load in (load_glove, load_word2vec) if header else (load_glove,):
        found = read(load, folder / "v", text.encode())
        if isinstance(found, str):
            continue
        assert found.vectors.tobytes() == ROWS[: len(words)].tobytes()
        if not (after + between + before + last).strip(" \t"):
            assert list(found.index_to_key) == words
