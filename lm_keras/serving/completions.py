"""The signatures that write text: `generate`, `sample` and `beam`, strings [B] in, strings and numbers [B] out."""

import math

import tensorflow as tf

from lm_keras.generation.beam import beam_search
from lm_keras.generation.compiled import banned_marks, function
from lm_keras.generation.loop import chooser, decode
from lm_keras.generation.options import end_ids
from lm_keras.serving.served import signature, utf8

NO_TEXT = -3.4028234663852886e38  # a score for "there is no such text": JSON has no infinity


def completion_signatures(model, tokenizer, start, given, limit, num_beams):
    """{name: tf.function}; `start(text [B], count)` gives the last token [B] and the state before it of each row.

    `given` is the name of the text input; `limit` the most new tokens of a row. No text is refused:
    `max_new_tokens` is cut to 0 ... the limit, and a temperature of 0 or less is greedy.
    """
    banned, ends = banned_marks(tokenizer), end_ids(tokenizer)

    @function(input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)])
    def text_of(tokens, last):
        return utf8(tokenizer.tf_decode(tokens, last))

    def begun(text, max_new_tokens):
        remaining = tf.clip_by_value(max_new_tokens, 0, limit)
        return remaining, *start(text, tf.reduce_max(tf.concat([remaining, [0]], 0)))

    def written(tokens, log_probs, last):
        return {
            "completion": text_of(tokens, last),
            "num_new_tokens": tf.reduce_sum(tf.cast(tokens >= 0, tf.int32), -1),
            "log_prob": tf.reduce_sum(log_probs, -1),
        }

    def complete(text, max_new_tokens, choose):
        remaining, last, state = begun(text, max_new_tokens)
        tokens, log_probs, *_ = decode(
            model, last, state, remaining, limit, banned=banned, eos_id=ends, choose=choose
        )
        return written(tokens, log_probs, last)

    def generate(text, max_new_tokens):
        return complete(text, max_new_tokens, chooser(None, None, None, None))

    def sample(text, max_new_tokens, temperature, top_k, top_p, seed):
        return complete(text, max_new_tokens, chooser(temperature, top_k, top_p, tf.cast(seed, tf.int64)))

    def beam(text, max_new_tokens, length_penalty):
        remaining, last, state = begun(text, max_new_tokens)
        power = tf.clip_by_value(tf.where(tf.math.is_finite(length_penalty), length_penalty, 0.0), -8.0, 8.0)
        tokens, log_probs, scores = beam_search(
            model, last, state, remaining, num_beams, banned=banned, eos_id=ends, length_penalty=power
        )
        flat = tf.reshape(tokens, [-1, tf.shape(tokens)[2]])
        texts = text_of(flat, tf.repeat(last, num_beams))
        best = written(tokens[:, 0], log_probs[:, 0], last)
        texts = tf.reshape(texts, [-1, num_beams])
        return {**best, "completions": texts, "scores": tf.maximum(scores, NO_TEXT)}

    text = [(given, tf.string), ("max_new_tokens", tf.int32)]
    chances = [("temperature", tf.float32), ("top_k", tf.int32), ("top_p", tf.float32), ("seed", tf.int32)]
    return {
        "generate": signature(generate, *text),
        "sample": signature(sample, *text, *chances),
        "beam": signature(beam, *text, ("length_penalty", tf.float32)),
    }


def completion_examples(texts, given, limit):
    """Requests of different lengths, up to the limit, and options, {signature: inputs}, for up to four texts."""
    counts = {given: texts, "max_new_tokens": [min(count, limit) for count in (8, 0, 3, 16)][: len(texts)]}
    chances = {"temperature": [1.0, 0.7, 0.0, 1.3], "top_k": [0, 5, 0, 20], "top_p": [1.0, 1.0, 0.9, 0.8]}
    chances["seed"] = list(range(4))
    return {
        "generate": counts,
        "sample": counts | {name: values[: len(texts)] for name, values in chances.items()},
        "beam": counts | {"length_penalty": [0.0, 1.0, 0.5, 1.0][: len(texts)]},
    }


def completion_answers(bundle, given, num_beams, name, inputs):
    """What `bundle.generate` answers to the inputs of the signature of that name, row by row: {output: list}."""
    outputs = []
    for row in zip(*inputs.values(), strict=True):
        options = dict(zip(inputs, row, strict=True))
        text = options.pop(given)
        if name == "generate":
            options["temperature"] = 0
        if name == "beam":
            options |= {"num_beams": num_beams, "num_return_sequences": num_beams}
        made = bundle.generate(text, **options)
        outputs.append(
            {
                "completion": made[0].text,
                "num_new_tokens": len(made[0].token_ids),
                "log_prob": math.fsum(made[0].log_probs),
            }
        )
        if name == "beam":
            scores = [max(one.score, NO_TEXT) for one in made]
            outputs[-1] |= {"completions": [one.text for one in made], "scores": scores}
    return {output: [row[output] for row in outputs] for output in outputs[0]}
