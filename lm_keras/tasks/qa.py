"""The answer to a question, as it stands in a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.serving.client.results import Answer
from lm_keras.serving.export.signatures import Served, example_texts, signature, utf8
from lm_keras.tasks.inputs import (
    IDS,
    WORDS,
    ModelInputs,
    by_pieces,
    in_batches,
    output_of,
    ragged,
    tf_words_of,
    tokens_of,
    windows,
    words_of,
)
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import valid
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_number, check_sizes, check_texts
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.data.corpora.records import QuestionAnswer
    from lm_keras.tasks.answer_metrics import AnswerReport
    from lm_keras.training.config import TrainingConfig

NEVER = -1e30


@register_text_model
class QuestionAnswerer(TextModel):
    """The answer to a question as it stands in a context; an export has the signature `answer`.

    The answer is the span of whole words whose first and last token are the likeliest ends (Devlin et al. 2019,
    section 4.2). A context for which the encoder is too short is read in windows that overlap by half, each after the
    question; the best of all windows is the answer.

    Args:
        model: A functional `keras.Model` of BERT's inputs -> {"start", "end"}, logits [B, T], such as
            `models.answer_span` makes.
        tokenizer: Its tokenizer, a WordPieceTokenizer.
        max_length: The most tokens of question and window with their marks; None: the encoder's.
        max_question_tokens: The tokens of a question that are kept, and never more than half the room.
        max_answer_tokens: The most tokens of an answer.
        threshold: The score below which a question is left without an answer, from 0 (each gets one) to 1.

    Attributes:
        history: The measures of each epoch, where `train` made it.

    Raises:
        InputError: The parts do not fit each other.
    """

    history: dict[str, list[float]]

    def __init__(
        self,
        model: keras.Model,
        tokenizer: Tokenizer,
        *,
        max_length: int | None = None,
        max_question_tokens: int = 64,
        max_answer_tokens: int = 30,
        threshold: float = 0.0,
    ):
        output = output_of(model)
        if not isinstance(output, dict) or set(output) != {"start", "end"}:
            raise InputError(f"{model.name} does not give the logits start and end; give a model of `answer_span`")
        sizes = {"max_question_tokens": max_question_tokens, "max_answer_tokens": max_answer_tokens}
        check_sizes(**sizes)
        self.threshold = check_number("threshold", threshold, least=0, most=1)
        options = {"max_length": max_length, **sizes, "threshold": self.threshold}
        super().__init__(model, {"tokenizer": tokenizer}, options)
        self.tokenizer, self.history = tokenizer, {}
        self.max_question_tokens, self.max_answer_tokens = max_question_tokens, max_answer_tokens
        self.inputs = ModelInputs(model, tokenizer, max_length)
        if not self.inputs.bert:
            raise InputError(f"{model.name} does not read BERT's inputs, which tell question and context apart")
        self._compiled = function(self._best, input_signature=[IDS, WORDS])

    # === Training ===
    @classmethod
    def train(
        cls,
        questions: Iterable[QuestionAnswer],
        *,
        encoder: str | keras.Model = "all-minilm-l6-v2",
        validation: float | Iterable[QuestionAnswer] | None = None,
        threshold: float | None = None,
        config: TrainingConfig | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_length: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> QuestionAnswerer:
        """Makes a model of questions whose answers stand in a text: where they start and end is learned.

        A window that does not hold the answer, and a question without one, learn the place of [CLS] (Devlin et al.
        2019, section 4.3), so the score of the best span falls there.

        Args:
            questions: `lk.data.QuestionAnswer`, as `lk.data.read_questions` returns them.
            encoder: The name of a pretrained encoder, the folder of a BERT-type checkpoint or of a saved
                `TextEmbedder`, or a `keras.Model` of tokens -> vectors; all its weights are trained.
            validation: Questions that are measured after each epoch; or the share of the contexts, drawn by `seed`,
                whose questions are taken for it (a tenth, if None).
            threshold: The score below which a question gets no answer. None: where questions of `validation` have no
                answer, the one with the highest mean F1 of these questions; else 0.
            config: The settings of the training; None: `lk.tasks.qa_training.SETTINGS`.
            epochs: In place of the config's: the passes over the questions.
            batch_size: In place of the config's.
            learning_rate: In place of the config's.
            max_length: The most tokens of question and window with their marks; None: 384, or the encoder's.
            seed: Of the starting weights, dropout, the order of the questions and the validation questions.
            **options: Other settings of `TrainingConfig`, and `dropout`.

        Returns:
            The QuestionAnswerer; `history` has the measures of each epoch.

        Raises:
            InputError: An answer that does not stand where it says, no answer at all, an unknown encoder or option.

        Example:

        ```python
        questions = lk.data.load("squad2-cs224n-dev", "validation")
        answerer = lk.tasks.QuestionAnswerer.train(questions, epochs=3)
        print(answerer.answer("Who wrote Faust?", "Faust is a play by Goethe.")[0].text)
        ```
        """
        from lm_keras.tasks.qa_training import train_answerer

        given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        return train_answerer(
            cls,
            questions,
            encoder=encoder,
            validation=validation,
            threshold=threshold,
            config=config,
            settings={name: value for name, value in given.items() if value is not None},
            max_length=max_length,
            seed=seed,
            options=options,
        )

    # === Answers ===
    def question_room(self) -> int:
        """Returns how many tokens of a question are read."""
        return min(self.max_question_tokens, self.inputs.room(2) // 2)

    def answer(self, questions: str | Sequence[str], contexts: str | Sequence[str]) -> list[Answer]:
        """Answers questions.

        Args:
            questions: A string or several.
            contexts: As many, the text in which the answer to each is looked for.

        Returns:
            An Answer to each question; empty where the score of the best one is below the threshold, and, with the
            score 0, where its context has no word.

        Raises:
            InputError: There is not one context for each question.
        """
        questions, contexts = ([valid(text) for text in check_texts(texts)] for texts in (questions, contexts))
        if len(questions) != len(contexts):
            raise InputError(f"got {len(questions)} questions and {len(contexts)} contexts; give one for each")

        def run(some):
            asked, read = zip(*some, strict=True)
            words, places = words_of(self.tokenizer, read)
            found = self._compiled(ragged(self.tokenizer.encode_batch(asked)), words)
            splits, results = words.splits.numpy(), []
            for b, (first, last, score) in enumerate(zip(*(part.numpy().tolist() for part in found), strict=True)):
                start = places[b][first - splits[b]][0] if first >= 0 else 0
                end = places[b][last - splits[b]][1] if first >= 0 else 0
                results.append(Answer(read[b][start:end], score, start, end))
            return results

        return in_batches(list(zip(questions, contexts, strict=True)), run, lambda pair: len(pair[1]))

    def evaluate(self, questions: Iterable[QuestionAnswer], *, level: float = 0.95, seed: int = 0) -> AnswerReport:
        """Measures the answers: exact match and F1 of words by the rules of SQuAD, with intervals.

        Args:
            questions: As in `train`.
            level: Of the intervals.
            seed: Of the bootstrap.

        Returns:
            A `lk.tasks.AnswerReport`; `print` shows it as a table.

        Raises:
            InputError: For no question, and for what is none.
        """
        from lm_keras.data.questions import checked_questions
        from lm_keras.tasks.answer_metrics import answer_report

        records = checked_questions(questions)
        found = self.answer([record.question for record in records], [record.context for record in records])
        golds = [[answer.text for answer in record.answers] for record in records]
        return answer_report([answer.text for answer in found], golds, level=level, seed=seed)

    def _best(self, questions, words):
        """First and last word of each answer, int32 [B] (-1: there is none), and its score [B]."""
        questions = questions[:, : self.question_room()]
        asked, ids = tf.cast(questions.row_lengths(), tf.int32), words.of_texts()
        found = windows(tf.cast(ids.row_lengths(), tf.int32), self.inputs.room(2) - asked)
        word = tf.cast(words.tokens.value_rowids(), tf.int32)  # of each token
        changes = word[1:] != word[:-1]
        whole = tf.concat([[True], changes], 0)[: tf.size(word)], tf.concat([changes, [True]], 0)[-tf.size(word) :]

        def best_pairs(some):
            """Of some windows the first and last token of the best span, among all tokens, and its log p."""
            places = tokens_of(ids, some)
            context = places.with_flat_values(tf.gather(ids.flat_values, places.flat_values))
            logits = self.model(self.inputs(tf.gather(questions, some.row), context), training=False)
            width, offset = tf.shape(logits["start"])[1], tf.gather(asked, some.row)[:, None] + 2
            place = tf.range(width)[None] - offset  # in the context
            inside = (place >= 0) & (place < (some.end - some.start)[:, None])
            token = tf.gather(tf.cast(ids.row_splits, tf.int32), some.row)[:, None] + some.start[:, None] + place

            def scores(name, borders):
                """log p where a word starts or ends in the context."""
                fits = inside & tf.gather(tf.concat([borders, [False]], 0), tf.where(inside, token, 0))
                return tf.where(fits, tf.nn.log_softmax(tf.cast(logits[name], tf.float32)), NEVER)

            start, end = scores("start", whole[0]), scores("end", whole[1])  # (M, T)
            ahead = tf.range(tf.minimum(self.max_answer_tokens, width))  # (A): an answer's last token after its first
            ends = tf.gather(
                tf.pad(end, [[0, 0], [0, width]], constant_values=NEVER),
                tf.range(width)[:, None] + ahead,
                axis=1,
            )
            pairs = tf.reshape(start[:, :, None] + ends, [tf.size(some.row), -1])
            pair = tf.argmax(pairs, -1, tf.int32)
            first = token[:, 0] + pair // tf.size(ahead)
            return first, first + pair % tf.size(ahead), tf.reduce_max(pairs, -1)

        kinds = (tf.int32, tf.int32, tf.float32)
        first, last, score = by_pieces(best_pairs, found, [tf.TensorSpec([None], kind) for kind in kinds])

        # Of each row the best window.
        per_row = tf.RaggedTensor.from_row_lengths(score, tf.cast(found.count, tf.int64), validate=False)
        best = found.first + tf.argmax(per_row.to_tensor(2 * NEVER), -1, tf.int32)
        first, last, score = (tf.gather(part, best) for part in (first, last, score))
        score, word = tf.where(score <= NEVER, 0.0, tf.exp(score)), tf.concat([word, [-1]], 0)  # never empty
        none = (score <= 0) | (score < self.threshold)
        first, last = (tf.gather(word, tf.where(none, tf.size(word) - 1, token)) for token in (first, last))
        return first, last, score

    def signatures(self) -> Served:
        """What `export` writes: `answer`, question and context -> answer, score, start, end in characters."""

        def answer(question, context):
            context = utf8(context)
            words, starts, ends = tf_words_of(self.tokenizer, context)
            first, last, score = self._best(self.tokenizer.tf_encode(question), words)
            start, end = (
                tf.gather(tf.concat([places, [0]], 0), tf.where(word < 0, tf.size(places), word))
                for places, word in ((starts, first), (ends, last))
            )
            text = tf.strings.substr(context, start, end - start, unit="UTF8_CHAR")
            return {"answer": text, "score": score, "start": start, "end": end}

        def answers(name, inputs):
            found = self.answer(inputs["question"], inputs["context"])
            return {
                "answer": [a.text for a in found],
                "score": [a.score for a in found],
                "start": [a.start for a in found],
                "end": [a.end for a in found],
            }

        short, long, *_ = example_texts(self.tokenizer, (4, 40))
        return Served(
            signatures={"answer": signature(answer, ("question", tf.string), ("context", tf.string))},
            examples={"answer": {"question": [short, short, ""], "context": [long, short, long]}},
            answer=answers,
            facts={"max_length": self.inputs.max_length, "max_answer_tokens": self.max_answer_tokens},
        )
