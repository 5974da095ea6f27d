"""The answer to a question, as it stands in a text."""

import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.compiled import function
from lm_keras.generation.options import as_texts
from lm_keras.serving.results import Answer
from lm_keras.serving.served import Served, example_texts, rows, utf8
from lm_keras.tasks.model_inputs import IDS, ModelInputs, in_batches, ragged
from lm_keras.tasks.windows import WORDS, in_windows, tf_words_of, windows, words_of
from lm_keras.text.codepoints import valid

NEVER = -1e30


class QuestionAnswerer:
    """A model of `answer_span` on BERT, {"start", "end"} logits [B, T], and its WordPieceTokenizer.

    The answer is the likeliest span of whole words of the context with at most `max_answer_tokens` tokens (Devlin et
    al. 2019, section 4.2). A context for which the encoder (or `max_length`) is too short is read in windows that
    overlap by half, each after the question, of which at most `max_question_tokens` are kept (and never more than
    half the room); the best of all windows is the answer. `lk.export` writes the signature `answer`.
    """

    def __init__(self, model, tokenizer, *, max_length=None, max_question_tokens=64, max_answer_tokens=30):
        if not isinstance(model.output, dict) or set(model.output) != {"start", "end"}:
            raise InputError(f"{model.name} does not give the logits start and end; give a model of `answer_span`")
        for name, size in {
            "max_question_tokens": max_question_tokens,
            "max_answer_tokens": max_answer_tokens,
        }.items():
            if not isinstance(size, int) or size < 1:
                raise InputError(f"{name} is {size!r}; it must be a whole number of at least 1")
        self.model, self.tokenizer, self.tokenizers = model, tokenizer, {"tokenizer": tokenizer}
        self.max_question_tokens, self.max_answer_tokens = max_question_tokens, max_answer_tokens
        self.options = {
            "max_length": max_length,
            "max_question_tokens": max_question_tokens,
            "max_answer_tokens": max_answer_tokens,
        }
        self._inputs = ModelInputs(model, tokenizer, max_length)
        if not self._inputs.bert:
            raise InputError(f"{model.name} does not read BERT's inputs, which tell question and context apart")
        self._compiled = function(self._best, input_signature=[IDS, WORDS])

    def answer(self, questions, contexts):
        """An Answer to each question from its context; empty, with the score 0, where the context has no word."""
        questions, contexts = ([valid(text) for text in as_texts(texts)] for texts in (questions, contexts))
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

    def _best(self, questions, words):
        """First and last word of each answer, int32 [B] (-1: there is none), and its score [B]."""
        questions = questions[:, : min(self.max_question_tokens, self._inputs.room(2) // 2)]
        asked, ids = tf.cast(questions.row_lengths(), tf.int32), words.of_texts()
        found = windows(tf.cast(ids.row_lengths(), tf.int32), self._inputs.room(2) - asked)
        inputs = self._inputs(tf.gather(questions, found.row), in_windows(ids, found))
        logits = self.model(inputs, training=False)

        # Of each window the best pair of places, first and last token of the answer.
        offset = tf.gather(asked, found.row)[:, None] + 2  # of the context's first token
        place = tf.range(tf.shape(inputs["token_ids"])[1])[None]
        context = (place >= offset) & (place < offset + (found.end - found.start)[:, None])
        log_p = (tf.nn.log_softmax(tf.cast(logits[name], tf.float32)) for name in ("start", "end"))
        start, end = (tf.where(context, part, NEVER) for part in log_p)  # (M, T)
        ahead = place[0, :, None] + tf.range(self.max_answer_tokens)[None]  # (T, A): each place and those after it
        ends = tf.gather(tf.pad(end, [[0, 0], [0, self.max_answer_tokens]], constant_values=NEVER), ahead, axis=1)
        pairs = tf.reshape(start[:, :, None] + ends, [tf.size(found.row), -1])
        pair = tf.argmax(pairs, -1, tf.int32)
        score = tf.reduce_max(pairs, -1)

        # Of each row the best window.
        per_row = tf.RaggedTensor.from_row_lengths(score, tf.cast(found.count, tf.int64), validate=False)
        best = found.first + tf.argmax(per_row.to_tensor(2 * NEVER), -1, tf.int32)
        score, pair = tf.gather(score, best), tf.gather(pair, best)
        base = tf.cast(ids.row_splits[:-1], tf.int32) + tf.gather(found.start, best) - asked - 2
        first = base + pair // self.max_answer_tokens  # among all tokens
        tokens = tf.stack([first, first + pair % self.max_answer_tokens])
        none = score <= NEVER
        word = tf.concat([tf.cast(words.tokens.value_rowids(), tf.int32), [-1]], 0)  # never empty
        first, last = tf.unstack(tf.gather(word, tf.where(none, tf.size(word) - 1, tokens)))
        return first, last, tf.where(none, 0.0, tf.exp(score))

    def served(self, **_):
        """What `export` writes: `answer`, question and context -> answer, score, start, end in characters."""

        @function(input_signature=[rows("question", tf.string), rows("context", tf.string)])
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

        def answers(signature, inputs):
            found = self.answer(inputs["question"], inputs["context"])
            return {
                "answer": [a.text for a in found],
                "score": [a.score for a in found],
                "start": [a.start for a in found],
                "end": [a.end for a in found],
            }

        short, long, *_ = example_texts(self.tokenizer, (4, 40))
        return Served(
            signatures={"answer": answer},
            tokenizers=self.tokenizers,
            examples={"answer": {"question": [short, short, ""], "context": [long, short, long]}},
            answer=answers,
            facts={"max_length": self._inputs.max_length, "max_answer_tokens": self.max_answer_tokens},
        )
