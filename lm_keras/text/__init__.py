"""Raw text to token ids: cleaning, NLTK words and sentences, tokenizers with an in-graph twin."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
