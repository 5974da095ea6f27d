"""Word vectors: read, written, trained, evaluated and drawn, and the matrix that starts an embedding."""

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
        "WordSimilarity": "lm_keras.embeddings.word_pairs",
        "word_similarity": "lm_keras.embeddings.word_pairs",
        "Accuracy": "lm_keras.embeddings.analogy_questions",
        "AnalogyResult": "lm_keras.embeddings.analogy_questions",
        "analogies": "lm_keras.embeddings.analogy_questions",
        "nearest_words": "lm_keras.embeddings.nearest",
        "plot_words": "lm_keras.embeddings.word_plots",
        "WeatResult": "lm_keras.embeddings.bias",
        "weat": "lm_keras.embeddings.bias",
        "WEAT_TESTS": "lm_keras.embeddings.bias_words",
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
