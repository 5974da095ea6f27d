"""Raw text to token ids: cleaning, NLTK words and sentences, tokenizers with an in-graph twin."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "clean": "lm_keras.text.cleaning",
        "sentences": "lm_keras.text.segmentation",
        "words": "lm_keras.text.segmentation",
        "stop_words": "lm_keras.text.stop_lists",
        "without_stop_words": "lm_keras.text.stop_lists",
        "stem": "lm_keras.text.inflection",
        "lemmas": "lm_keras.text.inflection",
        "tags": "lm_keras.text.parts_of_speech",
        "ngrams": "lm_keras.text.word_runs",
        "collocations": "lm_keras.text.word_runs",
        "BPETokenizer": "lm_keras.text.bpe_tokenizer",
        "CharTokenizer": "lm_keras.text.char_tokenizer",
        "WordPieceTokenizer": "lm_keras.text.wordpiece_tokenizer",
        "WordTokenizer": "lm_keras.text.word_tokenizer",
        "Tokenizer": "lm_keras.text.tokenizers.base",
        "load_tokenizer": "lm_keras.text.tokenizers.base",
        "register_tokenizer": "lm_keras.text.tokenizers.base",
    },
)
