"""Word vectors: read, written, trained, evaluated and drawn, and the matrix that starts an embedding."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
