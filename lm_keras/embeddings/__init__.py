"""Word vectors: reading and writing GloVe, word2vec and fastText files, and the matrix that starts an embedding."""

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
    },
)
