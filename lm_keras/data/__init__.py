"""Text files and named corpora to batches of token ids: windows, labels, splits, and the quality of texts."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
