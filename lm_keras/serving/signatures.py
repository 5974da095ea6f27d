"""The functions of an exported language model: strings [B] in, strings and numbers [B] out."""

import tensorflow as tf

from lm_keras.generation.compiled import banned_marks
from lm_keras.generation.loop import chooser, decode, prefill
from lm_keras.generation.scoring import score_ids


def make_signatures(language_model, max_new_tokens_limit):
    """`{name: tf.function}` of "score", "generate" and "sample"; a row's result depends on its inputs alone.

    No text is refused: invalid UTF-8 is read as U+FFFD, `max_new_tokens` is cut to 0 ... the limit, and a
    temperature of 0 or less is greedy.
    """
    model, tokenizer = language_model.model, language_model.tokenizer
    banned = banned_marks(tokenizer)

    def marked(text, *, end):
        """Token ids with the begin mark before and, for a text that is scored, the end mark after."""
        ids = tokenizer.tf_encode(text)
        begin, ended = (tf.fill([ids.nrows(), 1], mark) for mark in (tokenizer.bos_id, tokenizer.eos_id))
        return tf.concat([begin, ids, ended][: 3 if end else 2], axis=1)

    def score(text):
        log_prob, num_tokens = score_ids(model, marked(text, end=True).to_tensor(-1))
        mean = -log_prob / tf.cast(num_tokens, tf.float32)
        return {"log_prob": log_prob, "num_tokens": num_tokens, "perplexity": tf.exp(tf.minimum(mean, 88.0))}

    def complete(prompt, max_new_tokens, choose):
        ids = align_right(marked(prompt, end=False))
        last = ids[:, -1]
        remaining = tf.clip_by_value(max_new_tokens, 0, max_new_tokens_limit)
        tokens, log_probs, *_ = decode(
            model,
            last,
            prefill(model, ids, tf.reduce_max(tf.concat([remaining, [0]], 0))),
            remaining,
            max_new_tokens_limit,
            banned=banned,
            eos_id=tokenizer.eos_id,
            choose=choose,
        )
        text = tokenizer.tf_decode(tokens, last)
        return {
            "completion": tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace"),
            "num_new_tokens": tf.reduce_sum(tf.cast(tokens >= 0, tf.int32), -1),
            "log_prob": tf.reduce_sum(log_probs, -1),
        }

    def generate(prompt, max_new_tokens):
        return complete(prompt, max_new_tokens, chooser(None, None, None, None))

    def sample(prompt, max_new_tokens, temperature, top_k, top_p, seed):
        return complete(prompt, max_new_tokens, chooser(temperature, top_k, top_p, tf.cast(seed, tf.int64)))

    text, prompt, count = _rows("text", tf.string), _rows("prompt", tf.string), _rows("max_new_tokens", tf.int32)
    options = [_rows("temperature", tf.float32), _rows("top_k", tf.int32), _rows("top_p", tf.float32)]
    return {
        "score": tf.function(score, input_signature=[text]),
        "generate": tf.function(generate, input_signature=[prompt, count]),
        "sample": tf.function(sample, input_signature=[prompt, count, *options, _rows("seed", tf.int32)]),
    }


def align_right(ragged):
    """Ragged ids [B, (n)] -> int32 [B, T] whose rows end in the last column, -1 before them."""
    dense = ragged.to_tensor(-1)
    dense = tf.pad(dense, [[0, 0], [0, tf.maximum(1 - tf.shape(dense)[1], 0)]])  # no row at all still has a column
    width = tf.shape(dense)[1]
    column = tf.range(width)[None] - (width - tf.cast(ragged.row_lengths(), tf.int32))[:, None]
    return tf.where(column >= 0, tf.gather(dense, tf.maximum(column, 0), batch_dims=1), -1)


def _rows(name, dtype):
    return tf.TensorSpec([None], dtype, name)
