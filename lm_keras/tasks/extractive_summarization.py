"""Summaries of a document's own sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.layers.retrieval import mean_direction
from lm_keras.serving.client.results import Summarization
from lm_keras.serving.export.signatures import Served, example_texts, signature, utf8
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.tasks.extracts import Document, Record, documents_of, language_of, summaries_of
from lm_keras.tasks.inputs import BATCH, ModelInputs, input_of, named_inputs
from lm_keras.tasks.sentence_scorer import Documents, by_document, documents, mask_of, sentence_features
from lm_keras.text.sentence_splitting import tf_document_sentences
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_whole
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.tasks.text_metrics import SummaryReport
    from lm_keras.training.config import TrainingConfig

MAX_SENTENCES = 200
AT_ONCE = 64  # documents that go through the scorer together
OUTPUTS = ("summary", "score", "places")  # of the export
_FLAT = Documents(tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int64))


@register_text_model
class ExtractiveSummarizer(TextModel):
    """The best sentences of a document, in its order; an export has the signature `summarize`.

    `ExtractiveSummarizer.train(documents, summaries)` makes one. What a document is cut into says
    `lk.text.document_sentences`.

    Args:
        model: A `keras.Model` of the weights of words, a scorer and perhaps an encoder, as `train` makes it.
        tokenizer: Its tokenizer.
        num_sentences: How many sentences K a summary has at most.
        max_sentences: How many sentences of a document are read, from its beginning.
        max_length: Of an encoder: the number of tokens after which a sentence is cut; None: the encoder's.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: Tokenizer,
        *,
        num_sentences: int = 1,
        max_sentences: int = MAX_SENTENCES,
        max_length: int | None = None,
    ):
        self.tokenizer = tokenizer
        self.num_sentences = check_whole("num_sentences", num_sentences, 1, 1000)
        self.max_sentences = check_whole("max_sentences", max_sentences, 1, 10_000)
        options = {"num_sentences": self.num_sentences, "max_sentences": self.max_sentences, "max_length": max_length}
        super().__init__(model, {"tokenizer": tokenizer}, options)
        self.scorer, weights, self.encoder = _parts(model)
        (table,) = (layer for layer in weights.layers if isinstance(layer, keras.layers.Embedding))
        self.word_weights = tf.reshape(table.embeddings, [-1])
        self._inputs = None if self.encoder is None else ModelInputs(self.encoder, tokenizer, max_length)
        if self.encoder is None and max_length is not None:
            raise InputError(f"max_length is {max_length}, which is for encoders; all words of a sentence are read")
        if table.input_dim != tokenizer.vocab_size:
            raise InputError(
                f"{model.name} knows {table.input_dim} words and the tokenizer {tokenizer.vocab_size}; give its own"
            )
        self.history: dict[str, list[float]] = {}  # of `train`
        self._compiled = function(self.probabilities, input_signature=[_FLAT])

    @classmethod
    def train(
        cls,
        documents: Iterable[Document | Record],
        summaries: Iterable[str | Sequence[str]] | None = None,
        *,
        encoder: TextEmbedder | str | Path | None = None,
        num_sentences: int = 1,
        labels: Iterable[Sequence[int]] | None = None,
        learn: str = "rouge",
        validation: float | Iterable[Record] | tuple | None = None,
        config: TrainingConfig | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_sentences: int = MAX_SENTENCES,
        tokenizer: Tokenizer | None = None,
        seed: int = 0,
        **options: Any,
    ) -> ExtractiveSummarizer:
        """Makes a summarizer of documents with summaries that people wrote.

        The vectors of the sentences are computed once and the encoder stays as it is; what is trained is the scorer,
        which takes minutes for thousands of documents.

        Args:
            documents: Strings, or lists of sentences; or records that have their summaries: `lk.data.Summary`, or
                `lk.data.TextPair` as `lk.data.read_pairs` returns them.
            summaries: Of each document a summary, or a list of several; None: those of the records.
            encoder: What gives a sentence its vector: a `TextEmbedder`, the folder of a saved one or of a checkpoint,
                or a name such as "all-minilm-l6-v2". None: places, lengths and words by TF-IDF alone.
            num_sentences: How many sentences a summary has at most.
            labels: The places of the sentences of each document that a summary ought to have, in place of what
                ROUGE says. A document without any is left out.
            learn: "rouge": the most ROUGE of a sentence that is drawn by the probabilities; "oracle": the likeliest
                sentences of `oracle_sentences`, by cross-entropy. With `labels` the latter, of these.
            validation: Records, or (documents, summaries), that are measured after each epoch; or a share of the
                documents, drawn by `seed` (a tenth, if None).
            config: The settings of the training; None: `lk.tasks.extractive_training.SETTINGS`.
            epochs: In place of the config's.
            batch_size: Documents, in place of the config's.
            learning_rate: In place of the config's.
            max_sentences: How many sentences of a document are read.
            tokenizer: Without encoder: what cuts words; None: one of the words of the documents.
            seed: Of the starting weights, dropout, the order of the documents and the validation documents.
            **options: Other settings of `TrainingConfig`, and arguments of
                `lk.tasks.sentence_scorer.build_sentence_scorer`, such as `hidden_dim` or `dropout`.

        Returns:
            The ExtractiveSummarizer; `history` has the measures of each epoch.

        Raises:
            InputError: For no document of two sentences, places that a document does not have, an unknown encoder or
                option.

        Example:

        ```python
        train, valid, test = (lk.data.load("scitldr", split) for split in ("train", "validation", "test"))
        summarizer = lk.tasks.ExtractiveSummarizer.train(train, encoder="all-minilm-l6-v2", validation=valid)
        print(summarizer.evaluate(test))
        print(summarizer.summarize(test[0].document)[0].text)
        ```
        """
        from lm_keras.tasks.extractive_training import train_summarizer

        given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        return train_summarizer(
            cls,
            documents,
            summaries,
            encoder=encoder,
            num_sentences=num_sentences,
            labels=labels,
            learn=learn,
            validation=validation,
            config=config,
            settings={name: value for name, value in given.items() if value is not None},
            max_sentences=max_sentences,
            tokenizer=tokenizer,
            seed=seed,
            options=options,
        )

    # === Answers ===
    def summarize(
        self, documents: Document | Iterable[Document | Record], num_sentences: int | None = None
    ) -> list[Summarization]:
        """Summarizes documents.

        Args:
            documents: A string; or several documents, each a string or a list of its sentences.
            num_sentences: How many sentences a summary has at most; None: as many as this summarizer says.

        Returns:
            A Summarization of each: the text, the probability of its sentences, and their places in the document. A
            document without any sentence has the summary "" and the score 0.
        """
        k = self.num_sentences if num_sentences is None else check_whole("num_sentences", num_sentences, 1, 1000)
        texts, found = documents_of(documents), []
        for row, probabilities in zip(texts, self.sentence_scores(texts), strict=True):
            places = sorted(np.argsort(-probabilities, kind="stable")[:k].tolist())
            score = float(np.minimum(probabilities[places].sum(dtype="float32"), 1.0))
            found.append(Summarization(" ".join(row[i] for i in places), score, places))
        return found

    def sentence_scores(self, documents: Document | Iterable[Document | Record]) -> list[np.ndarray]:
        """Returns the probability of each sentence of documents, which is 1 in all for a document.

        Args:
            documents: As of `summarize`.

        Returns:
            For each document float32 [S], S the number of its sentences that are read.
        """
        rows = [row[: self.max_sentences] for row in documents_of(documents)]
        order, found = sorted(range(len(rows)), key=lambda i: len(rows[i])), [np.zeros(0)] * len(rows)
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            values = self._compiled(self._tokens([rows[i] for i in some])).numpy()
            for i, row in zip(some, values, strict=True):
                found[i] = row[: len(rows[i])]
        return found

    def _tokens(self, rows):
        return documents(self.tokenizer, rows)

    def evaluate(
        self,
        documents: Iterable[Document | Record],
        summaries: Iterable[str | Sequence[str]] | None = None,
        *,
        level: float = 0.95,
        seed: int = 0,
    ) -> SummaryReport:
        """Measures the summaries by ROUGE, with intervals.

        Args:
            documents: As of `train`.
            summaries: As of `train`; of several of a document the best counts.
            level: Of the intervals.
            seed: Of the bootstrap.

        Returns:
            A `lk.tasks.SummaryReport`; `print` shows it as a table.

        Raises:
            InputError: For no document, and one without a summary.
        """
        from lm_keras.tasks.text_metrics import summary_report

        rows, gold = summaries_of(documents, summaries)
        return summary_report(
            [one.text for one in self.summarize(rows)], gold, language=language_of(rows), level=level, seed=seed
        )

    def probabilities(self, found: Documents) -> tf.Tensor:
        """The probability of each sentence, float32 [B, S], 0 beyond those of a document; in a graph."""
        inputs = {"features": by_document(sentence_features(found, self.word_weights), found.splits)}
        inputs["mask"] = mask_of(found.splits)
        if self.encoder is not None:
            inputs["vectors"] = by_document(self.vectors(found.ids), found.splits)
        logits = tf.cast(self.scorer(inputs, training=False), tf.float32)
        return tf.nn.softmax(logits) * inputs["mask"]

    def vectors(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """The vectors of sentences of ids [N, (n)], float32 [N, D], in a graph: 64 of like length at a time."""
        order = tf.argsort(ids.row_lengths(), stable=True)
        ids = tf.gather(ids, order)
        size, width = tf.cast(ids.nrows(), tf.int32), self.encoder.output["sequence_output"].shape[-1]

        def body(start, i, array):
            inputs = self._inputs(ids[start : start + BATCH])
            states = self.encoder(inputs, training=False)["sequence_output"]
            return start + BATCH, i + 1, array.write(i, mean_direction(states, inputs["padding_mask"]))

        array = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=[None, width])
        array = array.write(0, tf.zeros([0, width]))
        found = tf.while_loop(lambda start, *_: start < size, body, [0, 1, array])[-1].concat()
        return tf.gather(found, tf.argsort(order))

    # === Export ===
    def signatures(self) -> Served:
        """What `export` writes: `summarize`, document -> summary, score, places [B, K], -1 where there is none."""

        def summarize(document):
            sentences = tf_document_sentences(utf8(document))[:, : self.max_sentences]
            found = Documents(self.tokenizer.tf_encode(sentences.flat_values), sentences.row_splits)
            return self._chosen(self.probabilities(found), sentences)

        def answer(name, inputs):
            found = self.summarize(inputs["document"])
            places = [one.places + [-1] * (self.num_sentences - len(one.places)) for one in found]
            return {
                "summary": [one.text for one in found],
                "score": [one.score for one in found],
                "places": places,
            }

        words = [text for text in example_texts(self.tokenizer, (9, 4, 12, 3, 7)) if text.strip()]
        examples = ["\x1e".join(words), " \n".join(words[::-1]), *words[:1], ""]
        facts = {"num_sentences": self.num_sentences, "max_sentences": self.max_sentences}
        facts |= {} if self._inputs is None else {"max_length": self._inputs.max_length}
        return Served(
            signatures={"summarize": signature(summarize, ("document", tf.string))},
            examples={"summarize": {"document": examples}},
            answer=answer,
            facts=facts,
        )

    def _chosen(self, probabilities, sentences):
        """The outputs of the export, of probabilities [B, S] and ragged sentences [B, (n)]."""
        k, most = self.num_sentences, tf.shape(probabilities)[1]
        count = tf.cast(sentences.row_lengths(), tf.int32)[:, None]
        column = tf.range(most)[None]
        ranked = tf.where(column < count, probabilities, -1.0)
        ranked = tf.pad(ranked, [[0, 0], [0, tf.maximum(k - most, 0)]], constant_values=-1.0)
        values, places = tf.math.top_k(ranked, k)
        places = tf.sort(tf.where(values >= 0, places, tf.int32.max), -1)
        here = places != tf.int32.max
        texts = tf.pad(sentences.to_tensor(""), [[0, 0], [0, 1]], constant_values="")  # a column, if all are empty
        texts = tf.gather(texts, tf.where(here, places, 0), batch_dims=1)
        summary = tf.strings.strip(tf.strings.reduce_join(tf.where(here, texts, ""), -1, separator=" "))
        score = tf.minimum(tf.reduce_sum(tf.maximum(values, 0.0), -1), 1.0)
        return {"summary": summary, "score": score, "places": tf.where(here, places, -1)}


def _parts(model: keras.Model) -> tuple[keras.Model, keras.Model, keras.Model | None]:
    """The scorer, the weights of words, and the encoder, if there is one: layers of one model."""
    input_of(model)
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    scorers = [part for part in inner if "features" in named_inputs(part)]
    weights = [part for part in inner if list(named_inputs(part)) == ["words"]]
    others = [part for part in inner if part not in scorers + weights]
    if len(scorers) != 1 or len(weights) != 1 or len(others) != ("vectors" in named_inputs(scorers[0])):
        raise InputError(
            f"{model.name} has no scorer of sentences; ExtractiveSummarizer.train makes a model that has"
        )
    return scorers[0], weights[0], others[0] if others else None
