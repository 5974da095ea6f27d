"""Contexts: what a model makes of the text that stands before."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
