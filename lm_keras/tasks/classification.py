"""Which class a text is of."""

import tensorflow as tf

from lm_keras.serving.client.results import Classification
from lm_keras.serving.export.signatures import Served, example_texts, signature
from lm_keras.tasks.inputs import IDS, ModelInputs, checked_classes, in_batches, ragged
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_texts
from lm_keras.utils.functions import function


@register_text_model
class TextClassifier(TextModel):
    """A classifier, keras.Model of ids [B, T] or BERT's inputs -> logits [B, C], its tokenizer and its class names.

    `classes`: the names in the order of the labels. A text is cut after `max_length` tokens (None: the encoder's
    length, or nothing is cut). `lk.export` writes the signature `classify`. InputError when the parts do not fit.
    """

    def __init__(self, model, tokenizer, classes, *, max_length=None):
        self.tokenizer, self.classes = tokenizer, checked_classes(model, 2, classes)
        super().__init__(model, {"tokenizer": tokenizer}, {"classes": self.classes, "max_length": max_length})
        self._inputs = ModelInputs(model, tokenizer, max_length)
        self._compiled = function(self._scores, input_signature=[IDS])

    def classify(self, texts):
        """A Classification of each text (a list of strings, or one string)."""

        def run(some):
            scores = self._compiled(ragged(some)).numpy()
            best = zip(scores.argmax(1).tolist(), scores.tolist(), strict=True)
            return [Classification(self.classes[i], row[i], self._named(row)) for i, row in best]

        return in_batches(self.tokenizer.encode_batch(check_texts(texts)), run)

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
