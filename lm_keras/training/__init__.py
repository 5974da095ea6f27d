"""The training harness: fit and evaluate around `model.fit`, with checkpoints that survive a kill."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
