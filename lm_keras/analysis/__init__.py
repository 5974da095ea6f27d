"""What a collection of documents holds: topics, document vectors, clusters and their plots."""

from lm_keras.utils.lazy import attach

attach(__name__, __file__)
