"""Token ids to tf.data: text files, named corpora, windows, splits."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
