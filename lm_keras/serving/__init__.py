"""A model and its tokenizer as one SavedModel for TF Serving, and the proof that it serves."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
