"""Texts in a context: conversations."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
