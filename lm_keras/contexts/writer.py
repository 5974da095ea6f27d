"""A `Writer` whose rows begin with the mark of a context."""

from collections.abc import Sequence

import tensorflow as tf

from lm_keras.generation.prompt_cache import PromptCache, nothing
from lm_keras.generation.writer import Writer
from lm_keras.models.conditional import ConditionalModel
from lm_keras.text.tokenizers.base import Tokenizer

KEPT = 2  # the mark of the context and the begin mark, which a model of limited context never forgets


class ContextWriter(Writer):
    """Writes and scores texts in one context, or in none.

    Args:
        model: A `ConditionalModel`.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: ConditionalModel, tokenizer: Tokenizer):
        super().__init__(model, tokenizer)
        self.context = -1

    def in_context(self, context: int, guidance: float = 0.0) -> "ContextWriter":
        """This writer in a context, its place in the list, -1 for none; it shares the traced functions."""
        made = self._copy()
        made.context, made.guidance = context, guidance
        return made

    @property
    def prompted(self) -> bool:
        """True: the marks before every text stay, as a prompt does."""
        return True

    def before(self, begin: bool = True) -> list[int]:
        """The mark of the context, and the begin mark (if `begin`)."""
        return [self.model.mark(self.context), *([self.tokenizer.bos_id] if begin else [])]

    def cache(self, begin: bool = True) -> PromptCache:
        """The marks before every text, of which nothing has been read."""
        return nothing(self.model)._replace(ids=tf.constant(self.before(begin), tf.int32))

    def unguided(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """The same rows without a context; none where there is none to lead away from."""
        return [] if self.context < 0 else [[self.model.mark(-1), *row[1:]] for row in rows]
