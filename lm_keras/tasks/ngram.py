"""A language model of counts: the probability of a word after the few words before it."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.scoring import Score, score_of
from lm_keras.layers.ngrams import NGrams
from lm_keras.serving.export.signatures import Served, example_texts, signature
from lm_keras.tasks.inputs import IDS, in_batches, input_of, ragged
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import valid
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.training.baselines import kneser_ney_tables
from lm_keras.utils.checks import check_texts
from lm_keras.utils.functions import function

ORDER = 3


@register_text_model
class NGramLM(TextModel):
    """Scores texts by n-grams, interpolated Kneser-Ney (Chen & Goodman 1998); an export has the signature `score`.

    `NGramLM.train(texts)` counts one. It has no gradient and writes no text: it is what a neural model is compared
    with, and a part of a `Rescorer`.

    Args:
        model: A functional `keras.Model` of ids int32 [B, T] -> log p [B, T], by a layer `NGrams`.
        tokenizer: Its tokenizer.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(self, model: keras.Model, tokenizer: Tokenizer):
        input_of(model)
        found = [layer for layer in model.layers if isinstance(layer, NGrams)]
        if len(found) != 1:
            raise InputError(f"{model.name} has no tables of n-grams; NGramLM.train(texts) makes a model that has")
        if (found[0].vocab_size, found[0].eos_id) != (tokenizer.vocab_size, tokenizer.eos_id):
            known, words = found[0].vocab_size, tokenizer.vocab_size
            raise InputError(
                f"{model.name} knows {known} words and the tokenizer {words}; give the tokenizer of both"
            )
        if not found[0].is_whole():
            raise InputError(f"the tables of {model.name} are damaged; train it again")
        super().__init__(model, {"tokenizer": tokenizer})
        self.tokenizer, self.order = tokenizer, found[0].order
        self._compiled = function(self._log_probs, input_signature=[IDS])

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        order: int = ORDER,
        tokenizer: Tokenizer | None = None,
        discount: float | None = None,
        name: str = "ngrams",
    ) -> NGramLM:
        """Counts the n-grams of texts.

        Args:
            texts: Strings.
            order: The length of the longest n-grams.
            tokenizer: Of words, characters or pieces; None: all words of the texts.
            discount: What each count is lowered by, above 0 and at most 1; None: n1 / (n1 + 2 n2) of each order.
            name: Of the model.

        Returns:
            The NGramLM.

        Raises:
            InputError: For no text, an order below 1, another discount, and a tokenizer without an end mark.

        Example:

        ```python
        ngrams = lk.tasks.NGramLM.train(lk.data.read_texts("train.txt"), order=3)
        print(ngrams.score("list all flights from boston")[0].log_prob)
        ```
        """
        texts = [valid(text) for text in check_texts(texts)]
        if not texts:
            raise InputError("there is no text to count; give at least one")
        if tokenizer is None:
            from lm_keras.text import WordTokenizer

            tokenizer = WordTokenizer.train(texts)
        if tokenizer.eos_id is None:
            raise InputError(f"a {type(tokenizer).__name__} of this kind has no end mark; give a tokenizer that has")
        ids = tokenizer.encode_batch(texts)
        tables = kneser_ney_tables(ids, tokenizer.vocab_size, order, discount, tokenizer.eos_id)
        sizes = {"num_contexts": [len(table.contexts) for table in tables]}
        sizes |= {"num_grams": [len(table.grams) for table in tables]}
        counts = NGrams(tokenizer.vocab_size, tokenizer.eos_id, **sizes, name="counts")
        inputs = keras.Input((None,), dtype="int32", name="ids")
        model = keras.Model(inputs, counts(inputs), name=name)
        counts.set_weights([np.asarray(part) for table in tables for part in table])
        return cls(model, tokenizer)

    def score(self, texts: str | Iterable[str]) -> list[Score]:
        """Scores each text: the sum of log p(token | before) over its tokens and the end mark.

        Args:
            texts: A string or several.

        Returns:
            A Score for each text.
        """
        texts = [valid(text) for text in check_texts(texts)]
        rows = self.tokenizer.encode_batch(texts)
        log_probs = in_batches(rows, lambda some: self._compiled(ragged(some)).numpy().tolist())
        return [
            score_of(*row, known=True) for row in zip(texts, log_probs, (len(ids) + 1 for ids in rows), strict=True)
        ]

    def tf_score(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """`score` in the graph: strings [B] -> log_prob, num_tokens and perplexity."""
        ids = self.tokenizer.tf_encode(text)
        log_prob, count = self._log_probs(ids), tf.cast(ids.row_lengths(), tf.int32) + 1
        perplexity = tf.exp(tf.minimum(-log_prob / tf.cast(count, tf.float32), 88.0))
        return {"log_prob": log_prob, "num_tokens": count, "perplexity": perplexity}

    def _log_probs(self, ids):
        """Ragged ids [B, (n)] -> log p of each text and its end mark, float32 [B]."""
        end = tf.fill([ids.nrows(), 1], self.tokenizer.eos_id)
        log_p = tf.cast(self.model(tf.concat([ids, end], axis=1).to_tensor(-1)), tf.float64)
        return tf.cast(tf.reduce_sum(log_p, -1), tf.float32)  # the same sum, however wide the batch is

    def signatures(self) -> Served:
        """What `export` writes: `score`, text -> log_prob, num_tokens, perplexity."""

        def answer(name, inputs):
            scores = self.score(inputs["text"])
            return {output: [getattr(one, output) for one in scores] for output in Score._fields[:3]}

        return Served(
            signatures={"score": signature(self.tf_score, ("text", tf.string))},
            examples={"score": {"text": example_texts(self.tokenizer)}},
            answer=answer,
            facts={"order": self.order},
        )
