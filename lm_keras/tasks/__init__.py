"""Applications, one a file: trained models with their tokenizers, and an export of each."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
