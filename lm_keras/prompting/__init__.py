"""Prompting, one way for every family of language models: learned prompts, and what is built on prompts."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
