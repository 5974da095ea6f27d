"""What an encoder-decoder reads of a source text: alike in Python, in training and in an export."""

import tensorflow as tf

from lm_keras.text.tokenizers.base import Tokenizer


class Sources:
    """The ids of source texts, the first `max_tokens` of each, alike in Python and in a graph.

    Args:
        tokenizer: Of the sources.
        max_tokens: The most tokens that are read; None: all.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int | None = None):
        self.tokenizer, self.max_tokens = tokenizer, max_tokens

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text."""
        return self.tokenizer.encode(text)[: self.max_tokens]

    def tf_encode(self, strings: tf.Tensor) -> tf.Tensor:
        """The ids of strings [B] as int32 [B, S], filled up with -1."""
        ids = self.tokenizer.tf_encode(strings).to_tensor(-1)
        return ids if self.max_tokens is None else ids[:, : self.max_tokens]
