"""Texts in a context: language models that are told it."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
