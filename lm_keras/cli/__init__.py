"""The command line `lm-keras`, one file for each group of commands."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
