"""What an export of a `ConditionalLM` takes and gives: `score`, `generate`, `sample` and `classify`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from lm_keras.contexts.writer import KEPT
from lm_keras.generation.config import inputs_of
from lm_keras.generation.generate import banned_marks
from lm_keras.generation.loop import decode, prefill
from lm_keras.generation.prompt_cache import nothing
from lm_keras.generation.scoring import score_ids
from lm_keras.serving.export.completions import completion_examples
from lm_keras.serving.export.signatures import Served, align_right, example_texts, signature, utf8
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.contexts.conditional import ConditionalLM

IDS, ROWS = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)
TEXTS = tf.TensorSpec([None], tf.string)
GUIDANCE = (0.0, 1.0, 0.5, 2.0)  # of the examples
MOST_GUIDANCE = 1000.0


def served(conditional: ConditionalLM, limit: int) -> Served:
    """The `Served` of a ConditionalLM; a row's result depends on its inputs alone.

    Args:
        conditional: The text model, which answers in Python.
        limit: The most new tokens of a text.
    """
    graph = _Graph(conditional, limit)
    examples = _examples(conditional, limit)

    def answer(name, inputs):
        if name == "classify":
            found = conditional.classify(inputs["text"])
            outputs = {"label": [c.label for c in found], "score": [c.score for c in found]}
            outputs["scores"] = [list(c.scores.values()) for c in found]
            return {**outputs, "classes": [conditional.contexts] * len(found)}
        contexts = [context if context in conditional.contexts else None for context in inputs["context"]]
        if name == "score":
            scores = [one._asdict() for one in conditional.score(inputs["text"], contexts)]
            return {output: [one[output] for one in scores] for output in ("log_prob", "num_tokens", "perplexity")}
        return _written(conditional, name, {**inputs, "context": contexts})

    return Served(
        signatures=graph.signatures(),
        examples=examples,
        answer=answer,
        facts={
            **{name: conditional.options[name] for name in ("contexts", "by", "drop")},
            "prior": conditional.prior,
            "max_new_tokens_limit": limit,
        },
    )


def _written(conditional, name, inputs):
    rows = []
    for row in zip(*inputs.values(), strict=True):
        options = dict(zip(inputs, row, strict=True))
        prompt = options.pop("prompt")
        if name == "generate":
            options["temperature"] = 0
        (made,) = conditional.generate(prompt, **options)
        rows.append((made.text, len(made.token_ids), sum(made.log_probs)))
    return dict(zip(("completion", "num_new_tokens", "log_prob"), map(list, zip(*rows, strict=True)), strict=True))


def _examples(conditional, limit):
    """A request of each signature: known contexts, and one that is none."""
    texts = example_texts(conditional.tokenizer)
    names = itertools.islice(itertools.cycle([*conditional.contexts[:3], "no such context"]), len(texts))
    context = {"context": list(names)}
    written = completion_examples(texts, "prompt", limit)
    guided = {"guidance": list(GUIDANCE[: len(texts)])}
    return {
        "score": {"text": texts, **context},
        **{name: {"prompt": texts, **context, **guided, **_others(written[name])} for name in ("generate", "sample")},
        "classify": {"text": texts},
    }


def _others(inputs):
    return {name: values for name, values in inputs.items() if name != "prompt"}


class _Graph:
    """The signatures as functions of tensors, over the model of a ConditionalLM."""

    def __init__(self, conditional, limit):
        self.model, self.tokenizer, self.limit = conditional.model, conditional.tokenizer, limit
        self.names, self.log_prior = conditional.contexts, conditional.log_prior.astype(np.float32)
        # A row keeps its marks where the memory is limited, whatever they are: of these nothing has been read.
        self.memory = {} if self.model.context_length is None else {"begun": nothing(self.model), "kept": KEPT}
        self.encode = function(self.tokenizer.tf_encode, input_signature=[TEXTS])
        self.log_probs = function(self._log_probs, input_signature=[IDS, ROWS])
        self.text_of = function(self._text_of, input_signature=[IDS, ROWS])

    def signatures(self):
        prompted = [("prompt", tf.string), ("context", tf.string), ("guidance", tf.float32)]
        made = {"score": signature(self._score, ("text", tf.string), ("context", tf.string))}
        for name in ("generate", "sample"):
            options = inputs_of(name)
            kinds = [tf.float32 if isinstance(default, float) else tf.int32 for default in options.values()]
            inputs = zip(options, kinds, strict=True)
            made[name] = signature(self._completing(list(options)), *prompted, *inputs)
        return {**made, "classify": signature(self._classify, ("text", tf.string))}

    def _mark_of(self, context):
        """Names [B] -> the ids [B] that rows begin with: that of no context for an unknown name."""
        same = tf.cast(context[:, None] == tf.constant(self.names)[None], tf.int32)
        place = tf.reduce_sum(same * tf.range(1, len(self.names) + 1)[None], 1)  # 0: none; names differ
        return self.model.mark(-1) + place

    def _log_probs(self, ids, marks):
        """log p [B] of ids [B, T] after the marks of contexts [B]."""
        ids = tf.concat([marks[:, None], ids], 1)
        return score_ids(self.model, ids, **self.memory, first=tf.fill(tf.shape(marks), KEPT))[0]

    def _text_ids(self, text):
        """int32 [B, T]: the begin mark, the text, the end mark, -1 behind it."""
        ids = self.encode(text)
        begin, end = (tf.fill([ids.nrows(), 1], i) for i in (self.tokenizer.bos_id, self.tokenizer.eos_id))
        return tf.concat([begin, ids, end], axis=1).to_tensor(-1)

    def _score(self, text, context):
        ids = self._text_ids(text)
        log_prob = self.log_probs(ids, self._mark_of(context))
        num_tokens = tf.reduce_sum(tf.cast(ids >= 0, tf.int32), 1) - 1
        mean = -log_prob / tf.cast(num_tokens, tf.float32)
        return {"log_prob": log_prob, "num_tokens": num_tokens, "perplexity": tf.exp(tf.minimum(mean, 88.0))}

    def _classify(self, text):
        ids, count = self._text_ids(text), len(self.names)

        def body(i, array):
            marks = tf.fill([tf.shape(ids)[0]], self.model.mark(0) + i)
            return i + 1, array.write(i, self.log_probs(ids, marks))

        # One context after the other: side by side, their states would take as many times the memory.
        array = tf.TensorArray(tf.float32, count, element_shape=[None])
        _, array = tf.while_loop(lambda i, _: i < count, body, [0, array], parallel_iterations=1)
        scores = tf.nn.softmax(tf.transpose(array.stack()) + self.log_prior)  # (B, C)
        classes = tf.constant(self.names)
        return {
            "label": tf.gather(classes, tf.argmax(scores, -1)),
            "score": tf.reduce_max(scores, -1),
            "scores": scores,
            "classes": tf.tile(classes[None], [tf.shape(scores)[0], 1]),
        }

    def _text_of(self, tokens, last):
        return utf8(self.tokenizer.tf_decode(tokens, last))

    def _completing(self, options):
        banned, ends = banned_marks(self.tokenizer), list(self.tokenizer.end_ids)

        def complete(prompt, context, guidance, max_new_tokens, *values):
            remaining = tf.clip_by_value(max_new_tokens, 0, self.limit)
            guidance = tf.where(tf.math.is_finite(guidance), tf.clip_by_value(guidance, 0.0, MOST_GUIDANCE), 0.0)
            marks = self._mark_of(context)
            guidance = tf.where(marks == self.model.mark(-1), 0.0, guidance)
            ids = self._prompt_rows(prompt, marks, guidance)
            state = prefill(self.model, ids, tf.reduce_max(remaining), **self.memory)
            last = ids[: tf.shape(marks)[0], -1]
            chosen = dict(zip(options[1:], values, strict=True))
            if "seed" in chosen:
                chosen["seed"] = tf.cast(chosen["seed"], tf.int64)
            tokens, log_probs, *_ = decode(
                self.model, last, state, remaining, self.limit, chosen, banned=banned, eos_id=ends,
                guidance=guidance, **self.memory,
            )  # fmt: skip
            return {
                "completion": self.text_of(tokens, last),
                "num_new_tokens": tf.reduce_sum(tf.cast(tokens >= 0, tf.int32), -1),
                "log_prob": tf.reduce_sum(log_probs, -1),
            }

        return complete

    def _prompt_rows(self, prompt, marks, guidance):
        """int32 [B, T], -1 before each row; where a row is guided [2 B, T], the second half without a context."""
        ids = self.encode(prompt)
        guided = tf.reduce_any(guidance != 0)
        copies = tf.where(guided, 2, 1)
        size = tf.shape(marks)[0]
        marks = tf.concat([marks, tf.fill([size * (copies - 1)], self.model.mark(-1))], 0)
        rows = tf.gather(ids, tf.tile(tf.range(size), [copies]))
        begin = tf.fill([tf.size(marks), 1], self.tokenizer.bos_id)
        return align_right(tf.concat([marks[:, None], begin, rows], axis=1))
