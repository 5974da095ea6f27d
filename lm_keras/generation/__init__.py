"""Decoding and scoring over a model's step view, written once for every family."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
