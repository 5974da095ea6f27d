"""Which class a text is of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from lm_keras.serving.client.results import Classification
from lm_keras.serving.export.signatures import Served, example_texts, signature
from lm_keras.tasks.inputs import IDS, ModelInputs, checked_classes, in_batches, ragged
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_texts
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.tasks.explanation import Explanation


@register_text_model
class TextClassifier(TextModel):
    """The class of a text; an export has the signature `classify`.

    Args:
        model: A functional `keras.Model` of ids [B, T] or BERT's inputs -> logits [B, C], such as
            `models.sequence_classifier` and `models.build_cnn_classifier` make.
        tokenizer: Its tokenizer.
        classes: The names of the C classes in the order of the labels.
        max_length: The number of tokens after which a text is cut; None: the encoder's, or nothing is cut.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(
        self, model: keras.Model, tokenizer: Tokenizer, classes: Sequence[str], *, max_length: int | None = None
    ):
        self.tokenizer, self.classes = tokenizer, checked_classes(model, 2, classes)
        super().__init__(model, {"tokenizer": tokenizer}, {"classes": self.classes, "max_length": max_length})
        self._inputs = ModelInputs(model, tokenizer, max_length)
        self._compiled = function(self._scores, input_signature=[IDS])

    def classify(self, texts: str | Sequence[str]) -> list[Classification]:
        """Classifies texts.

        Args:
            texts: A string or several.

        Returns:
            A Classification of each text.
        """

        def run(some):
            scores = self._compiled(ragged(some)).numpy()
            best = zip(scores.argmax(1).tolist(), scores.tolist(), strict=True)
            return [Classification(self.classes[i], row[i], self._named(row)) for i, row in best]

        return in_batches(self.tokenizer.encode_batch(check_texts(texts)), run)

    def probabilities(self, texts: str | Sequence[str]) -> np.ndarray:
        """Returns the probability of each class for each text: float32 [N, C], in the order of `classes`."""
        rows = [list(found.scores.values()) for found in self.classify(texts)]
        return np.array(rows, np.float32).reshape(-1, len(self.classes))

    def explain(
        self, text: str | tuple[str, str], method: str = "leave_one_out", target: str | int | None = None
    ) -> "Explanation":
        """Says how much each word speaks for a class: see `lk.tasks.explain`."""
        from lm_keras.tasks.explain import explain

        return explain(self, text, method, target)

    def _named(self, row):
        return dict(zip(self.classes, row, strict=True))

    def _scores(self, ids):
        """Probabilities [B, C] of texts given as token ids, ragged [B, (n)]."""
        return tf.nn.softmax(tf.cast(self.model(self._inputs(ids), training=False), tf.float32))

    def signatures(self) -> Served:
        """What `export` writes: `classify`, text -> label, score, scores [B, C], classes [B, C]."""

        def classify(text):
            scores, names = self._scores(self.tokenizer.tf_encode(text)), tf.constant(self.classes)
            return {
                "label": tf.gather(names, tf.argmax(scores, -1)),
                "score": tf.reduce_max(scores, -1),
                "scores": scores,
                "classes": tf.tile(names[None], [tf.shape(scores)[0], 1]),
            }

        def answer(name, inputs):
            found = self.classify(inputs["text"])
            outputs = {"label": [c.label for c in found], "score": [c.score for c in found]}
            outputs["scores"] = [list(c.scores.values()) for c in found]
            return {**outputs, "classes": [self.classes] * len(found)}

        return Served(
            signatures={"classify": signature(classify, ("text", tf.string))},
            examples={"classify": {"text": example_texts(self.tokenizer)}},
            answer=answer,
            facts={"classes": self.classes, "max_length": self._inputs.max_length},
        )
