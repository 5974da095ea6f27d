"""Skip-gram with negative sampling (Mikolov et al. 2013b) as a Keras model, from scratch."""

import keras
from keras import layers, ops

from lm_keras.embeddings.keyed import keyed_vectors
from lm_keras.embeddings.matrix import special_ids, token_words
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_sizes


def build_skip_gram(vocab_size, *, embedding_dim=100, seed=None, name="skip_gram"):
    """{"centre": ids [B], "candidates": ids [B, 1 + K]} -> logits [B, 1 + K]: is the candidate near the centre word?

    The logit is the product of the centre word's input vector and the candidate's output vector. The binary
    cross-entropy of the logits, with the labels of `skip_gram_pairs`, is equation 4 of the paper, negated, divided
    by 1 + K and averaged over the batch. Vectors start as in word2vec, U(-0.5 / E, 0.5 / E) and zeros.
    """
    check_sizes(2, vocab_size=vocab_size)
    check_sizes(embedding_dim=embedding_dim)

    # === Layers ===
    start = keras.initializers.RandomUniform(-0.5 / embedding_dim, 0.5 / embedding_dim, seed=seed)
    embed = layers.Embedding(vocab_size, embedding_dim, embeddings_initializer=start, name="vectors")
    embed_context = layers.Embedding(vocab_size, embedding_dim, embeddings_initializer="zeros", name="contexts")

    # === Functional model ===
    centre = keras.Input((), dtype="int32", name="centre")
    candidates = keras.Input((None,), dtype="int32", name="candidates")
    v = embed(centre)  # (B, E)
    c = embed_context(candidates)  # (B, 1 + K, E)
    logits = ops.einsum("be,bke->bk", v, c)  # (B, 1 + K)
    return keras.Model({"centre": centre, "candidates": candidates}, logits, name=name)


def vectors_of(model, tokenizer):
    """The input vectors of a `build_skip_gram` model -> KeyedVectors of the tokenizer's words, in the order of ids.

    Special tokens and pieces inside of words are left out.
    """
    matrix = model.get_layer("vectors").get_weights()[0]
    if len(matrix) != tokenizer.vocab_size:
        raise InputError(
            f"the model has {len(matrix)} vectors and the tokenizer {tokenizer.vocab_size} tokens; "
            "give the tokenizer that the model was trained with"
        )
    special = special_ids(tokenizer)
    words = {i: word for i, word in enumerate(token_words(tokenizer)) if word is not None and i not in special}
    return keyed_vectors(words.values(), matrix[list(words)])
