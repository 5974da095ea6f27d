"""The matrix that starts an embedding, and its report."""

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors

import lm_keras as lk

TEXTS = ["The cat sat on the mat.", "The Cat saw Xyzzy and xyzzy."]


@pytest.fixture
def vectors():
    made = KeyedVectors(4)
    words = ["the", "cat", "Cat", "sat", ".", "<unk>", "unused"]
    made.add_vectors(words, np.random.default_rng(0).normal(3, 1, (7, 4)).astype("float32"))
    return made


@pytest.fixture
def tokenizer():
    return lk.text.WordTokenizer.train(TEXTS)


def test_rows_are_the_vectors_of_the_tokens(tokenizer, vectors):
    matrix, coverage = lk.embeddings.embedding_matrix(tokenizer, vectors, "zero", texts=TEXTS)
    assert matrix.shape == (tokenizer.vocab_size, 4) and matrix.dtype == np.float32
    for token, row in zip(tokenizer.tokens, matrix, strict=True):
        known = {"The": "the"}.get(token, token)
        assert np.array_equal(row, vectors[known] if known in vectors else np.zeros(4))
    # The, the, cat, Cat, sat, "." of the 12 types; on, mat, saw, Xyzzy, and, xyzzy are missed.
    assert (coverage.types, coverage.found, coverage.lowercased) == (12, 6, 1)
    assert (coverage.tokens, coverage.tokens_found) == (14, 8)
    assert sorted(coverage.missed) == sorted(["on", "mat", "saw", "Xyzzy", "and", "xyzzy"])
    assert str(coverage).startswith(
        "6 of 12 types (50.0%) have a vector, 1 of them in lower case only, 8 of 14 tokens"
    )


def test_without_lower_case_and_texts(tokenizer, vectors):
    matrix, coverage = lk.embeddings.embedding_matrix(tokenizer, vectors, "zero", lowercase_fallback=False)
    assert not matrix[tokenizer.tokens.index("The")].any()
    assert (coverage.found, coverage.lowercased, coverage.tokens, coverage.tokens_found) == (5, 0, None, None)


def test_tokens_that_the_tokenizer_does_not_know_count(tokenizer, vectors):
    for texts in (["the dog"], iter(["the dog"]), np.array(["the", "dog"])):
        coverage = lk.embeddings.embedding_matrix(tokenizer, vectors, texts=texts)[1]
        assert (coverage.tokens, coverage.tokens_found) == (2, 1)


def test_unknown_words(vectors):
    tokenizer = lk.text.WordTokenizer.train([" ".join(["the", "cat", *(f"w{i}" for i in range(2000))])])
    places = [i for i, token in enumerate(tokenizer.tokens) if token.startswith("w")]
    make = lk.embeddings.embedding_matrix
    known = vectors[["the", "cat", "<unk>"]]
    mean = make(tokenizer, vectors, "mean")[0]
    np.testing.assert_allclose(mean[places], np.tile(known.mean(axis=0), (2000, 1)), rtol=1e-6)
    random = make(tokenizer, vectors, seed=1)[0]
    assert abs(random[places].std() / known.std() - 1) < 0.05 and abs(random[places].mean()) < 0.1
    assert np.array_equal(random, make(tokenizer, vectors, seed=1)[0])
    assert not np.array_equal(random, make(tokenizer, vectors, seed=2)[0])
    for matrix in (mean, random):
        assert not matrix[tokenizer.pad_id].any()
        assert np.array_equal(matrix[tokenizer.unk_id], vectors["<unk>"])


def test_subwords(tokenizer):
    model = FastText([["the", "cat", "sat"]] * 3, vector_size=4, min_count=1, bucket=100, epochs=1, seed=1, workers=1)
    matrix, coverage = lk.embeddings.embedding_matrix(tokenizer, model.wv, "subword")
    for word in ("the", "mat", "Xyzzy", "on"):
        assert np.array_equal(matrix[tokenizer.tokens.index(word)], model.wv[word])
    assert np.array_equal(matrix[tokenizer.tokens.index("The")], model.wv["the"])
    assert coverage.found == 5  # the, The, cat, Cat, sat


def test_pieces_of_words_have_no_vector(vectors):
    pieces = lk.text.WordPieceTokenizer([*("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), "the", "##cat", "cat"])
    matrix, coverage = lk.embeddings.embedding_matrix(pieces, vectors, "zero")
    assert matrix.any(axis=1).tolist() == [False] * 5 + [True, False, True]
    assert (coverage.types, coverage.found, coverage.missed) == (2, 2, [])
    bpe = lk.text.BPETokenizer.train(["the cat sat the cat sat cat"] * 5, vocab_size=290)
    matrix, coverage = lk.embeddings.embedding_matrix(bpe, vectors, "zero", texts=["a cat"])
    assert {bpe.tokens[i] for i in np.flatnonzero(matrix.any(axis=1))} == {"Ġcat", "Ġsat", "Ġthe"}
    # Types: the tokens that begin with a space, which are words or their beginnings. In texts all tokens count.
    starts = [token[1:] for token in bpe.tokens if len(token) > 1 and token.startswith("Ġ")]
    assert coverage.types == len(starts) and coverage.found == 3
    assert sorted(coverage.missed) == sorted(set(starts) - {"cat", "sat", "the"})
    assert (coverage.tokens, coverage.tokens_found) == (2, 1)


def test_bytes_of_a_character_tokenizer_are_no_words(vectors):
    tokenizer = lk.text.CharTokenizer.train(["the cat."])
    matrix, coverage = lk.embeddings.embedding_matrix(tokenizer, vectors, "zero", texts=["cat. é"])
    assert (coverage.types, coverage.found) == (7, 1) and sorted(coverage.missed) == [" ", *"aceht"]
    assert (coverage.tokens, coverage.tokens_found) == (7, 1)  # two bytes of the é among them
    assert np.array_equal(matrix[tokenizer.tokens.index(".")], vectors["."])


def test_a_report_without_a_word(vectors):
    pieces = lk.text.WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##cat"])
    vectors.add_vector("[UNK]", np.ones(4))
    coverage = lk.embeddings.embedding_matrix(pieces, vectors)[1]
    assert str(coverage).startswith("0 of 0 types (0.0%) have a vector")


def test_a_builder_takes_it(tokenizer, vectors):
    matrix, _ = lk.embeddings.embedding_matrix(tokenizer, vectors)
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_matrix=matrix, hidden_dim=3)
    assert np.array_equal(model.get_layer("embedding").get_weights()[0], matrix)


def test_arguments_of_another_kind(tokenizer, vectors):
    for wrong, message in [
        ((vectors, tokenizer), "tokenizer is a KeyedVectors; give the tokenizer first, then the vectors"),
        ((["the", "cat"], vectors), "tokenizer is a list; give a tokenizer, such as lk.text.WordTokenizer.train"),
        (
            (tokenizer, dict(vectors.key_to_index)),
            "vectors is a dict; give KeyedVectors, as lk.embeddings.load_glove",
        ),
        ((tokenizer, "glove.txt"), "vectors is a str; give KeyedVectors"),
    ]:
        with pytest.raises(lk.InputError, match=message):
            lk.embeddings.embedding_matrix(*wrong)


def test_bad_arguments(tokenizer, vectors):
    with pytest.raises(lk.InputError, match="unknown is 'some'"):
        lk.embeddings.embedding_matrix(tokenizer, vectors, "some")
    with pytest.raises(lk.InputError, match="needs vectors of n-grams"):
        lk.embeddings.embedding_matrix(tokenizer, vectors, "subword")
    with pytest.raises(lk.InputError, match="seed is -1"):
        lk.embeddings.embedding_matrix(tokenizer, vectors, seed=-1)
    with pytest.raises(lk.InputError, match="texts takes a list of texts, got one string"):
        lk.embeddings.embedding_matrix(tokenizer, vectors, texts="the cat")
    other = lk.text.WordTokenizer.train(["ganz andere Wörter"])
    del vectors.key_to_index["<unk>"]
    with pytest.raises(lk.InputError, match="none of the 6 tokens has a vector"):
        lk.embeddings.embedding_matrix(other, vectors)
