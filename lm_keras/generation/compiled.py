"""Scoring and decoding as TensorFlow functions, traced once for all batch sizes and lengths."""

import functools

import numpy as np
import tensorflow as tf

from lm_keras.generation import beam, contrastive, greedy, loop, scoring
from lm_keras.generation.context import sliding, state_spec
from lm_keras.generation.options import end_ids
from lm_keras.utils.traced import TracedFunctions

IDS = tf.TensorSpec([None, None], tf.int32)
ROWS = tf.TensorSpec([None], tf.int32)
COUNT, NUMBER = (tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.float32))
# Nothing here branches in Python on a tensor, and to let AutoGraph rewrite each function that is called on the way
# doubles the time of a first call.
function = functools.partial(tf.function, autograph=False)


class Functions:
    """The compiled functions of one model and tokenizer: `functions(make, *options)` makes each at its first use.

    With a `source_tokenizer` the model is one of sequence to sequence, and a prompt is its source.
    """

    def __init__(self, model, tokenizer, source_tokenizer=None):
        self.model, self.tokenizer, self.source_tokenizer = model, tokenizer, source_tokenizer
        self._traced = TracedFunctions()

    def __call__(self, make, *options):
        return self._traced.get(self.model, (make, *options), lambda: make(self.model, self.tokenizer, *options))


def banned_marks(tokenizer):
    """What is added to the logits [V] so that padding and unknown-word marks are never generated.

    A mark that ends a text too, as the padding of many checkpoints does, stays possible: else no text would end.
    """
    banned = np.zeros(tokenizer.vocab_size, np.float32)
    marks = {tokenizer.pad_id, tokenizer.unk_id} - {None, *end_ids(tokenizer)}
    banned[sorted(marks)] = -np.inf
    return banned


def score(model, tokenizer):
    return function(lambda ids: scoring.score_ids(model, ids), input_signature=[IDS])


def prefill(model, tokenizer):
    """(ids [P, T], count, which [B]) -> last token and state before it of the prompts `which`."""

    @function(input_signature=[IDS, COUNT, ROWS])
    def read(ids, count, which):
        state = loop.prefill(model, ids, count)
        return tf.gather(ids[:, -1], which), [tf.gather(part, which) for part in state]

    return read


def read_source(model, tokenizer):
    """(sources and the begin mark [P, S + 1], count, which [B]) -> begin mark and state of the sources `which`."""

    @function(input_signature=[IDS, COUNT, ROWS])
    def read(ids, count, which):
        state = loop.encode_source(model, ids[:, :-1], count)
        return tf.gather(ids[:, -1], which), [tf.gather(part, which) for part in state]

    return read


def search(model, tokenizer, num_beams):
    banned = tf.constant(banned_marks(tokenizer))

    @function(input_signature=[ROWS, state_spec(sliding(model)), COUNT, COUNT, ROWS, NUMBER])
    def best(token, state, max_new_tokens, min_new_tokens, ends, length_penalty):
        return beam.beam_search(
            model, token, state, max_new_tokens, num_beams, banned=banned, eos_id=ends,
            length_penalty=length_penalty, min_new_tokens=min_new_tokens,
        )  # fmt: skip

    return best


def contrast(model, tokenizer):
    banned = tf.constant(banned_marks(tokenizer))

    @function(input_signature=[IDS, COUNT, COUNT, ROWS, COUNT, NUMBER])
    def best(ids, max_new_tokens, min_new_tokens, ends, top_k, alpha):
        return contrastive.contrastive_search(
            model, ids, max_new_tokens, top_k, alpha, banned=banned, eos_id=ends, min_new_tokens=min_new_tokens
        )

    return best


def decode(model, tokenizer, greedy, penalized):
    """The decoding loop; `options` has what is the same in all calls for these rows, as tensors."""
    kinds = dict.fromkeys(("temperature", "top_p", "min_p"), tf.float32) | {"top_k": tf.int32, "seed": tf.int64}
    spec = {name: tf.TensorSpec([None], kind) for name, kind in kinds.items()}
    spec |= {"ends": ROWS, "penalty": NUMBER, "min_new_tokens": COUNT, "num_top": COUNT}
    banned, seen_spec = banned_marks(tokenizer), tf.TensorSpec([None, None], tf.bool)

    @function(input_signature=[ROWS, state_spec(sliding(model)), ROWS, seen_spec, COUNT, COUNT, spec])
    def step(token, state, remaining, seen, count, position, options):
        choose = loop.chooser(
            None if greedy else options["temperature"], options["top_k"], options["top_p"], options["seed"],
            options["penalty"] if penalized else None, options["min_p"],
        )  # fmt: skip
        return loop.decode(
            model, token, state, remaining, count, banned=banned, eos_id=options["ends"], choose=choose,
            position=position, seen=seen if penalized else None,
            min_new_tokens=options["min_new_tokens"], num_top=options["num_top"],
        )  # fmt: skip

    return step


def decode_greedy(model, tokenizer):
    """`decode` for greedy rows, `greedy.STEPS` tokens a call: XLA compiles it for each number of rows and room."""
    banned = banned_marks(tokenizer)

    @function(input_signature=[ROWS, state_spec(model), ROWS, COUNT, COUNT, ROWS], jit_compile=True)
    def step(token, state, remaining, position, min_new_tokens, ends):
        return greedy.decode(
            model, token, state, remaining,
            banned=banned, eos_id=ends, position=position, min_new_tokens=min_new_tokens,
        )  # fmt: skip

    return step


def follow(model, tokenizer):
    """Log-probabilities [B, n] of given tokens [B, n] (-1 at the end), and the likeliest words at each place."""

    @function(input_signature=[ROWS, state_spec(sliding(model)), IDS, COUNT])
    def given(token, state, tokens, num_top):
        length = tf.reduce_sum(tf.cast(tokens >= 0, tf.int32), -1)
        _, log_probs, _, top = loop.decode(
            model, token, state, length, tf.shape(tokens)[1], banned=0.0, eos_id=-1, num_top=num_top,
            choose=lambda logits, position, token, seen: tf.maximum(tf.gather(tokens, position, axis=1), 0),
        )  # fmt: skip
        return log_probs, top

    return given
