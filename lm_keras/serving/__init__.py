"""TF Serving: a text model as one SavedModel, the proof that it serves, how a server is started, and a client."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
