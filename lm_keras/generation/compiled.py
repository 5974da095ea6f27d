"""Scoring and decoding as TensorFlow functions, traced once for all batch sizes and lengths."""

import numpy as np
import tensorflow as tf

from lm_keras.generation import beam, loop, scoring
from lm_keras.generation.context import sliding, state_spec

IDS = tf.TensorSpec([None, None], tf.int32)
ROWS = tf.TensorSpec([None], tf.int32)


def banned_marks(tokenizer):
    """What is added to the logits [V] so that padding and unknown-word marks are never generated."""
    banned = np.zeros(tokenizer.vocab_size, np.float32)
    banned[[i for i in (tokenizer.pad_id, tokenizer.unk_id) if i is not None]] = -np.inf
    return banned


def score(model, tokenizer):
    return tf.function(lambda ids: scoring.score_ids(model, ids), input_signature=[IDS])


def prefill(model, tokenizer):
    count = tf.TensorSpec([], tf.int32)
    return tf.function(lambda ids, count: loop.prefill(model, ids, count), input_signature=[IDS, count])


def search(model, tokenizer, num_beams):
    banned = tf.constant(banned_marks(tokenizer))

    @tf.function(input_signature=[ROWS, state_spec(sliding(model)), tf.TensorSpec([], tf.int32)])
    def best(token, state, max_new_tokens):
        return beam.beam_search(
            model, token, state, max_new_tokens, num_beams, banned=banned, eos_id=tokenizer.eos_id
        )

    return best


def decode(model, tokenizer, greedy, penalized):
    def rows(dtype):
        return tf.TensorSpec([None], dtype)

    scalar, banned = tf.TensorSpec([], tf.int32), banned_marks(tokenizer)

    @tf.function(
        input_signature=[
            ROWS,
            state_spec(sliding(model)),
            ROWS,
            tf.TensorSpec([None, None], tf.bool),
            scalar,
            scalar,
            rows(tf.float32),
            rows(tf.int32),
            rows(tf.float32),
            rows(tf.int64),
            tf.TensorSpec([], tf.float32),
        ]
    )
    def step(token, state, remaining, seen, count, position, temperature, top_k, top_p, seed, penalty):
        choose = loop.chooser(None if greedy else temperature, top_k, top_p, seed, penalty if penalized else None)
        return loop.decode(
            model, token, state, remaining, count, banned=banned, eos_id=tokenizer.eos_id, choose=choose,
            position=position, seen=seen if penalized else None,
        )  # fmt: skip

    return step
