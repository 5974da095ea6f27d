"""Word vectors: GloVe, word2vec and fastText, read, written and trained, and the matrix that starts an embedding."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "load_glove": "lm_keras.embeddings.loading",
        "load_word2vec": "lm_keras.embeddings.loading",
        "load_fasttext": "lm_keras.embeddings.loading",
        "save_vectors": "lm_keras.embeddings.saving",
        "Coverage": "lm_keras.embeddings.matrix",
        "embedding_matrix": "lm_keras.embeddings.matrix",
        "train_word2vec": "lm_keras.embeddings.word2vec",
        "train_fasttext": "lm_keras.embeddings.word2vec",
        "train_glove": "lm_keras.embeddings.glove",
        "glove_objective": "lm_keras.embeddings.glove",
        "cooccurrences": "lm_keras.embeddings.cooccurrence",
        "skip_gram_pairs": "lm_keras.embeddings.negative_sampling",
        "build_skip_gram": "lm_keras.embeddings.skip_gram",
        "vectors_of": "lm_keras.embeddings.skip_gram",
    },
)
