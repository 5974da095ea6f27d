"""What a LanguageModel serves: `score`, `generate`, `sample` and `beam`."""

import functools
from typing import TYPE_CHECKING

import tensorflow as tf

from lm_keras.generation.loop import prefill
from lm_keras.generation.scoring import score_ids
from lm_keras.serving.completions import completion_answers, completion_examples, completion_signatures
from lm_keras.serving.served import Served, align_right, example_texts, signature
from lm_keras.utils.traced import function

if TYPE_CHECKING:
    from lm_keras.language_model import LanguageModel


def language_model_signatures(language_model: "LanguageModel", max_new_tokens_limit: int, num_beams: int) -> Served:
    """The `Served` of a LanguageModel; a row's result depends on its inputs alone, bad UTF-8 is read as U+FFFD."""
    model, tokenizer = language_model.model, language_model.tokenizer

    encode = function(tokenizer.tf_encode, input_signature=[tf.TensorSpec([None], tf.string)])  # traced once for all

    def marked(text, *, end):
        """Token ids with the begin mark before and, for a text that is scored, the end mark after."""
        ids = encode(text)
        begin, ended = (tf.fill([ids.nrows(), 1], mark) for mark in (tokenizer.bos_id, tokenizer.eos_id))
        return tf.concat([begin, ids, ended][: 3 if end else 2], axis=1)

    def score(text):
        log_prob, num_tokens = score_ids(model, marked(text, end=True).to_tensor(-1))
        mean = -log_prob / tf.cast(num_tokens, tf.float32)
        return {"log_prob": log_prob, "num_tokens": num_tokens, "perplexity": tf.exp(tf.minimum(mean, 88.0))}

    @function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)])
    def start(prompt, count):
        ids = align_right(marked(prompt, end=False))
        return ids[:, -1], prefill(model, ids, count)

    def answer(name, inputs):
        if name == "score":
            scores = [one._asdict() for one in language_model.score(inputs["text"])]
            return {output: [one[output] for one in scores] for output in ("log_prob", "num_tokens", "perplexity")}
        return completion_answers(language_model, "prompt", num_beams, name, inputs)

    texts = example_texts(tokenizer)
    write = functools.partial(completion_signatures, limit=max_new_tokens_limit, num_beams=num_beams)
    return Served(
        signatures={"score": signature(score, ("text", tf.string)), **write(model, tokenizer, start, "prompt")},
        examples={"score": {"text": texts}, **completion_examples(texts, "prompt", max_new_tokens_limit)},
        answer=answer,
        facts={"max_new_tokens_limit": max_new_tokens_limit, "num_beams": num_beams},
    )
