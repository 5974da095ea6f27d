"""Prompts: templates and label words, examples, learned prompts, and what is trained and chosen with them."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
