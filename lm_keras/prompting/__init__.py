"""Prompt learning: templates, label words, classifiers by prompt, and what adjusts them."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
