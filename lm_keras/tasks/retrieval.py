"""The answer to a question from a knowledge base of questions with their answers, or that there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.knowledge import KnowledgeEntry, checked_entries
from lm_keras.errors import InputError
from lm_keras.layers.retrieval import Cosines, Postings
from lm_keras.serving.client.results import Candidate, Retrieval
from lm_keras.serving.export.signatures import Served, signature
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.tasks.inputs import BATCH, IDS, ModelInputs, output_of, ragged
from lm_keras.tasks.retrieval_index import METHODS, vectors_model, word_tokenizer, words_model
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import valid
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_choice, check_number, check_texts, check_whole
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.tasks.retrieval_metrics import ChosenThreshold, RetrievalReport

# Where none is chosen: what the development part of CLINC150 chose, of the embedder with all-MiniLM-L6-v2.
THRESHOLDS = {"tfidf": 0.46, "bm25": 0.48, "embedder": 0.64}
ANSWERS = ("answer", "score", "answered", "matched")  # outputs of the export


@register_text_model
class Retriever(TextModel):
    """The answer of the nearest known question, if it is near enough; an export has the signature `retrieve`.

    `Retriever.of(entries)` makes one of questions with answers; `Retriever.train` chooses the threshold, too.

    Below the threshold a question is refused: `answered` is False and the answer is the text `unknown`. A question
    with the score 0, which has no word of any entry, is always refused. Of entries that are equally near the first
    is taken.

    Args:
        model: A `keras.Model` with one score for each entry, as `retrieval_index.words_model` and `vectors_model`
            make it.
        tokenizer: Its tokenizer.
        questions: The N questions that are known.
        answers: The answer to each.
        threshold: The least score of a question that is answered.
        unknown: The answer to all others.
        max_length: Of an encoder: the number of tokens after which a question is cut; None: the encoder's.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: Tokenizer,
        *,
        questions: Sequence[str],
        answers: Sequence[str],
        threshold: float,
        unknown: str = "",
        max_length: int | None = None,
    ):
        index = _index_of(model)
        entries = checked_entries(zip(questions, answers, strict=False), "questions and answers")
        if not len(entries) == len(questions) == len(answers) == output_of(model).shape[-1]:
            told = f"{len(questions)} questions and {len(answers)} answers"
            raise InputError(f"{model.name} has {output_of(model).shape[-1]} entries, and there are {told}")
        if not isinstance(unknown, str):
            raise InputError(f"unknown is {unknown!r:.40}; give the text that is told where there is no answer")
        self.questions, self.answers = [entry.question for entry in entries], [entry.answer for entry in entries]
        self.threshold, self.unknown = check_number("threshold", threshold), valid(unknown)
        self.tokenizer, self.method = tokenizer, getattr(index, "scheme", "embedder")
        options = {"questions": self.questions, "answers": self.answers, "threshold": self.threshold}
        options |= {"unknown": self.unknown, "max_length": max_length}
        super().__init__(model, {"tokenizer": tokenizer}, options)
        self._inputs = _inputs_of(model, index, tokenizer, max_length)
        self._compiled = function(self.scores, input_signature=[IDS])

    @classmethod
    def of(
        cls,
        entries: Iterable[KnowledgeEntry],
        *,
        method: str = "tfidf",
        embedder: TextEmbedder | str | Path | None = None,
        threshold: float | None = None,
        unknown: str = "",
        tokenizer: Tokenizer | None = None,
        k1: float = 1.2,
        b: float = 0.75,
    ) -> Retriever:
        """Makes a retriever of questions with their answers.

        Args:
            entries: `lk.data.KnowledgeEntry`, or pairs (question, answer), as `lk.data.read_knowledge` returns them.
                Several questions may have the same answer.
            method: "tfidf": the cosine of words by TF-IDF, as scikit-learn's TfidfVectorizer has it; "bm25"
                (Robertson & Zaragoza 2009), as a share of what the question itself would have as an entry;
                "embedder": the cosine of vectors of a sentence encoder, which finds other words of the same
                meaning, too.
            embedder: Of "embedder": a `TextEmbedder`, the folder of a saved one or of a checkpoint, or a name such as
                "all-minilm-l6-v2".
            threshold: The least score of a question that is answered, from 0 to 1; None: that of the method
                (`lk.tasks.retrieval.THRESHOLDS`), which is a start. `train` chooses one.
            unknown: The answer to a question that is refused.
            tokenizer: Of words; None: all words of the questions, in lower case (of Chinese, characters).
            k1: Of "bm25": how soon more of the same word counts no more.
            b: Of "bm25": how much the length of an entry's question counts, from 0 to 1.

        Returns:
            The Retriever.

        Raises:
            InputError: For no entry, an empty question or answer, an unknown method, questions without a word.

        Example:

        ```python
        retriever = lk.tasks.Retriever.of([("Where is the office?", "Room 5."), ("When is lunch?", "At noon.")])
        (found,) = retriever.retrieve("where is your office")
        print(found.answer, found.score, found.matched)
        ```
        """
        check_choice("method", method, METHODS)
        entries = checked_entries(entries, "entries")
        questions, answers = map(list, zip(*entries, strict=True))
        threshold = THRESHOLDS[method] if threshold is None else threshold
        options = {"questions": questions, "answers": answers, "threshold": threshold, "unknown": unknown}
        if method == "embedder":
            if tokenizer is not None:
                raise InputError("tokenizer is of words, and an embedder has its own; leave it out")
            made = embedder_of(embedder)
            model = vectors_model(questions, made)
            return cls(model, made.tokenizer, **options, max_length=made.options["max_length"])
        if embedder is not None:
            raise InputError(f"embedder is for method='embedder', not for {method!r}; leave it out")
        tokenizer = tokenizer or word_tokenizer(questions)
        return cls(words_model(questions, tokenizer, method, k1=k1, b=b), tokenizer, **options)

    @classmethod
    def train(
        cls,
        entries: Iterable[KnowledgeEntry],
        *,
        validation: Iterable[KnowledgeEntry] | None = None,
        weights: Sequence[float] = (1.0, 1.0),
        **options: Any,
    ) -> Retriever:
        """Makes a retriever and chooses its threshold.

        Args:
            entries: As of `of`.
            validation: Other questions, with the answer that is right, or None for a question out of scope: the
                threshold is chosen by them (`choose_threshold`). None: the threshold of `of`.
            weights: What counts how much: rightly answered, rightly refused.
            **options: Arguments of `of`.

        Returns:
            The Retriever.

        Raises:
            InputError: As `of` and `choose_threshold`; a threshold beside validation.

        Example:

        ```python
        entries = lk.data.read_knowledge("kb.csv")
        asked = lk.data.read_knowledge("asked.csv", unanswered=True)  # rows without an answer are out of scope
        retriever = lk.tasks.Retriever.train(entries, validation=asked, method="bm25")
        print(retriever.threshold, retriever.evaluate(asked))
        ```
        """
        if validation is None:
            return cls.of(entries, **options)
        if options.get("threshold") is not None:
            raise InputError("threshold is given and validation, by which one is chosen; leave one of them out")
        made = cls.of(entries, **options)
        return made.with_threshold(made.choose_threshold(validation, weights=weights).threshold)

    def with_threshold(self, threshold: float) -> Retriever:
        """Returns this retriever with another threshold.

        Args:
            threshold: The least score of a question that is answered.
        """
        return type(self)(self.model, self.tokenizer, **self.options | {"threshold": threshold})

    # === Answers ===
    def retrieve(self, questions: str | Sequence[str], k: int = 1) -> list[Retrieval]:
        """Answers questions.

        Args:
            questions: A string or several.
            k: How many entries of the highest scores are told with each answer, as its `candidates`.

        Returns:
            A Retrieval of each question: `answer`, `score`, `answered`, the entry's question `matched` ("" where the
            score is not above 0), and `candidates`, the k nearest entries, also where the question is refused.
        """
        k = min(check_whole("k", k), len(self.questions))
        found = []
        for block in self.score_blocks(questions):
            for scores in block:
                near = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
                found.append(self._retrieval(scores, near[np.argsort(-scores[near], kind="stable")][:k]))
        return found

    def _retrieval(self, scores, near):
        best, score = near[0], float(min(scores[near[0]], 1.0))
        answered = score > 0 and np.float32(score) >= np.float32(self.threshold)
        rows = [Candidate(self.questions[i], self.answers[i], float(min(scores[i], 1.0))) for i in near]
        answer, matched = self.answers[best] if answered else self.unknown, self.questions[best] if score > 0 else ""
        return Retrieval(answer, score, bool(answered), matched, tuple(rows))

    def score_blocks(self, questions: str | Sequence[str]) -> Iterable[np.ndarray]:
        """Yields the score of each entry for some of the questions after the other: float32 [some, N].

        Scores of "bm25" may be somewhat above 1 here: an entry of fewer words than the question may fit it better
        than itself.

        Args:
            questions: A string or several.
        """
        rows = self.tokenizer.encode_batch([valid(text) for text in check_texts(questions)])
        for start in range(0, len(rows), BATCH):
            yield self._compiled(ragged(rows[start : start + BATCH])).numpy()

    def scores(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """The score of each entry [B, N], in a graph, of the ids of questions, ragged [B, (n)]."""
        inputs = ids.to_tensor(-1) if self._inputs is None else self._inputs(ids)
        return tf.cast(self.model(inputs, training=False), tf.float32)

    # === Measures ===
    def evaluate(self, entries: Iterable[KnowledgeEntry], *, level: float = 0.95) -> RetrievalReport:
        """Measures what is answered and what is refused, with intervals.

        Args:
            entries: Questions with the answer that is right, or None for one that is out of scope and ought to be
                refused. They ought to be other questions than those of the index.
            level: Of the intervals.

        Returns:
            A `lk.tasks.RetrievalReport`; `print` shows it as a table.

        Raises:
            InputError: For no question.
        """
        from lm_keras.tasks.retrieval_metrics import retrieval_report

        gold, scores, ranks = self._ranked(entries)
        threshold = np.float32(self.threshold)
        answered = (scores > 0) & (scores.astype("float32") >= threshold)
        return retrieval_report(gold, ranks, answered, threshold=self.threshold, level=level)

    def choose_threshold(
        self, entries: Iterable[KnowledgeEntry], *, weights: Sequence[float] = (1.0, 1.0)
    ) -> ChosenThreshold:
        """Returns the threshold that answers and refuses best, of development questions; this retriever stays.

        Args:
            entries: As of `evaluate`, of both kinds.
            weights: What counts how much: rightly answered, rightly refused.

        Raises:
            InputError: There are no questions of one kind.
        """
        from lm_keras.tasks.retrieval_metrics import choose_threshold

        gold, scores, ranks = self._ranked(entries)
        return choose_threshold(
            scores, (ranks == 1) & (scores > 0), [answer is not None for answer in gold], weights=weights
        )

    def _ranked(self, entries):
        """The right answers, the highest scores, and the rank of the first right entry: 0 where there is none."""
        entries = checked_entries(entries, "entries", unanswered=True)
        place = {answer: i for i, answer in enumerate(dict.fromkeys(self.answers))}
        own = np.array([place[answer] for answer in self.answers])
        gold = [entry.answer for entry in entries]
        wanted = np.array([place.get(answer, -1) for answer in gold])
        scores, ranks, start = [], [], 0
        for block in self.score_blocks([entry.question for entry in entries]):
            right = own[None] == wanted[start : start + len(block), None]
            start += len(block)
            best = np.where(right, block, -np.inf).argmax(1)  # the first of the nearest that are right
            level = np.take_along_axis(block, best[:, None], 1)
            before = (block > level) | ((block == level) & (np.arange(len(own))[None] < best[:, None]))
            ranks.append(np.where(right.any(1), 1 + before.sum(1), 0))
            scores.append(np.minimum(block.max(1), 1.0))
        return gold, np.concatenate(scores), np.concatenate(ranks)

    # === Export ===
    def signatures(self) -> Served:
        """What `export` writes: `retrieve`, question -> answer, score, answered, matched."""
        told = list(dict.fromkeys(self.answers))
        place = {answer: i for i, answer in enumerate(told)}

        def retrieve(question):
            scores = self.scores(self.tokenizer.tf_encode(question))
            best, score = tf.argmax(scores, -1, tf.int32), tf.minimum(tf.reduce_max(scores, -1), 1.0)
            answered = (score > 0) & (score >= self.threshold)
            answer = tf.gather(tf.constant(told), tf.gather(tf.constant([place[one] for one in self.answers]), best))
            matched = tf.gather(tf.constant(self.questions), best)
            return {
                "answer": tf.where(answered, answer, self.unknown),
                "score": score,
                "answered": answered,
                "matched": tf.where(score > 0, matched, ""),
            }

        def answer(name, inputs):
            found = self.retrieve(inputs["question"])
            return {output: [getattr(one, output) for one in found] for output in ANSWERS}

        asked = [*self.questions[:3], " ".join(self.questions[-1].split()[:4]), ""]
        return Served(
            signatures={"retrieve": signature(retrieve, ("question", tf.string))},
            examples={"retrieve": {"question": asked}},
            answer=answer,
            facts={"method": self.method, "entries": len(self.questions), "threshold": self.threshold},
        )


def _index_of(model):
    """The layer that has the entries; InputError where there is none."""
    output_of(model)
    found = [layer for layer in model.layers if isinstance(layer, (Postings, Cosines))]
    if len(found) != 1 or not isinstance(output_of(model), keras.KerasTensor):
        raise InputError(f"{model.name} has no index of entries; Retriever.of(entries) makes a model that has one")
    return found[0]


def _inputs_of(model, index, tokenizer, max_length):
    """What makes an encoder's inputs of ids; None of words, which are the inputs themselves."""
    if isinstance(index, Cosines):
        (encoder,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
        return ModelInputs(encoder, tokenizer, max_length)
    if max_length is not None:
        raise InputError(f"max_length is {max_length}, which is for encoders; all words of a question are read")
    if not index.is_whole():
        raise InputError(
            f"the index of {model.name} is damaged: it names entries that it does not have; make it again"
        )
    if index.sizes["vocab_size"] != tokenizer.vocab_size:
        known, words = index.sizes["vocab_size"], tokenizer.vocab_size
        raise InputError(f"{model.name} knows {known} words and the tokenizer {words}; give the index's tokenizer")
    return None


def embedder_of(embedder: TextEmbedder | str | Path) -> TextEmbedder:
    """Returns a TextEmbedder of itself, its folder, or the folder or name of a checkpoint."""
    if isinstance(embedder, TextEmbedder):
        return embedder
    if not isinstance(embedder, (str, Path)):
        raise InputError(f"embedder is {embedder!r:.60}; give a TextEmbedder, a folder, or e.g. 'all-minilm-l6-v2'")
    from lm_keras import models
    from lm_keras.models.pretrained.named import resolved
    from lm_keras.tasks.encoders import check_encoder
    from lm_keras.utils.saved_kinds import kind_of

    check_encoder(embedder, (), built=False)
    path = resolved(embedder)
    return TextEmbedder.load(path) if kind_of(path) == "task" else TextEmbedder(models.load_pretrained(path))
