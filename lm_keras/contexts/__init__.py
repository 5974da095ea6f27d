"""Contexts: conversations, language models that are given a context, and what a model makes of its window."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
