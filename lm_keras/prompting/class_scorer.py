"""`ClassScorer`: the log-scores of classes of rows, in Python and in a graph, and their prior without content."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from lm_keras.prompting.calibration import class_scores, content_free_prior
from lm_keras.prompting.label_scores import CausalLabels, MaskedLabels
from lm_keras.prompting.row_encoders import RowEncoders


class ClassScorer:
    """Scores classes by the label words that follow a row, or stand in it.

    Args:
        labels: Log-probabilities of label words.
        encoders: The ids of rows.
        fields: The names of the template's fields.
        normalize: See `class_scores`.
    """

    def __init__(
        self,
        labels: CausalLabels | MaskedLabels,
        encoders: RowEncoders,
        fields: tuple[str, ...],
        normalize: str | None,
    ):
        self.labels, self.encoders, self.fields, self.normalize = labels, encoders, fields, normalize

    def scores(self, rows: Sequence[Mapping[str, str]]) -> np.ndarray:
        """Returns the log-scores of rows of fields before calibration, float32 [N, C]."""
        if not rows:
            return np.zeros([0, int(self.labels.words.classes.max()) + 1], np.float32)
        return self._of_ids(self.encoders.encode(rows), self.encoders.cache())

    def tf_scores(self) -> Callable[[tf.RaggedTensor], tf.Tensor]:
        """Returns a function for a graph, ragged ids [B, (n)] -> log-scores [B, C]; what is read once is constant."""
        cache, unconditional = self.encoders.cache(), self._unconditional()
        return lambda ids: self._of_words(self.labels.tf_log_probs(ids, cache), unconditional)

    def content_free_prior(self, rows: Sequence[Mapping[str, str]] | None) -> np.ndarray:
        """Returns the log-prior of contextual calibration: [C]; [N, C] where each row has examples of its own."""
        if self.encoders.shared is not None:
            return self.labels.kept.get("prior", lambda: content_free_prior(self.scores, self.fields))

        def prior(encoder):
            return content_free_prior(lambda contents: self._of_ids(encoder.encode_batch(contents)), self.fields)

        return np.stack([prior(encoder) for encoder in self.encoders.of(rows)])

    def _of_ids(self, ids, cache=None):
        return self._of_words(self.labels.log_probs(ids, cache), self._unconditional()).numpy()

    def _of_words(self, log_probs, unconditional):
        """Log-scores [B, C] of log-probabilities of words [B, A], in a graph too."""
        return class_scores(log_probs, self.labels.words, self.normalize, unconditional)

    def _unconditional(self):
        """log p [A] of the words in the template with empty fields, or None where it is not asked for."""
        if self.normalize != "unconditional":
            return None
        alone = self.encoders.alone

        def read():
            ids = alone.encode_batch([dict.fromkeys(self.fields, "")])
            return self.labels.log_probs(ids, self.labels.cache(alone))[0]

        return self.labels.kept.get("unconditional", read)
