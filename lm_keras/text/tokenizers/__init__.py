"""Texts to token ids and back, in Python and in a TensorFlow graph alike."""
