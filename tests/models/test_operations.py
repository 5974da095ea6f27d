"""The economy of operations: how many a layer adds to the graph of a pass and of a step.

TensorFlow pays for each when the graph is traced, optimized and exported, and at each token that is decoded. What
counts is said in `operations_of`. `pytest -s` shows the table.
"""

import functools
import math
from inspect import signature

import keras
import pytest
import tensorflow as tf
from _operations import operations_of, signature_of
from small_models import BUILDERS, build

import lm_keras as lk

FEW, MANY = 2, 4  # layers
IDS = tf.TensorSpec([None, None], tf.int32)

# The most operations of a layer in the full pass and in the step, if there is one.
TRANSFORMERS = {"gpt2": (90, 130), "llama": (90, 130), "bert": (90,)}
# What the others had when this was written, so that none of them grows without a word; a new family adds its own.
OTHERS = {
    "attention_rnn": (130, 150),
    "cnn": (62, 77),
    "feedforward": (18, 18),
    "gru": (139, 146),
    "lstm": (130, 150),
    "rnn": (81, 88),
    "seq2seq_lstm": (313, 152),  # full pass: a layer of the encoder and one of the decoder
}


def a_layer(count):
    """Operations that each layer adds to what `count(number of layers)` counts."""
    return (count(MANY) - count(FEW)) / (MANY - FEW)


def in_full_pass(family, layers):
    model = built(family, layers)
    return operations_of(model, signature_of(model.input))


def in_step(family, layers):
    step = built(family, layers).step_model
    return operations_of(step, signature_of(step.inputs))


def in_encoder(family, layers):
    """The blocks of the encoder alone, without what the decoder's blocks make of its output."""
    model = built(family, layers)
    source = model.input["source_ids"]
    blocks = keras.Model(source, model.get_layer(f"encoder_block_{layers - 1}").output)
    return operations_of(blocks, signature_of(source))


@functools.cache
def built(family, layers):
    widths = {"hidden_dim": (8,) * layers} if family == "feedforward" else {}  # one for each layer
    return build(family, num_layers=layers, **widths)


def check(rows):
    """Prints rows (what, operations, the most of them) and fails for those that are above their bound."""
    print()
    for name, count, most in rows:
        print(f"{name:<48}{count:>8.1f} of {most}")
    assert not [row for row in rows if row[1] > row[2]]


@pytest.mark.parametrize("family", sorted([*BUILDERS, "bert", "seq2seq_lstm"]))
def test_a_layer_is_few_operations(family):
    known = TRANSFORMERS | OTHERS
    if family not in known and "num_layers" not in signature(getattr(lk.models, BUILDERS[family])).parameters:
        pytest.skip("it has one layer")
    views = ("full pass", in_full_pass), ("step", in_step)
    most = known.get(family, (math.inf, math.inf))  # of a new family they are only shown
    check([
        (f"{family}, {view}", a_layer(functools.partial(count, family)), bound)
        for (view, count), bound in zip(views, most, strict=False)
    ])  # fmt: skip


def test_a_block_of_the_encoder_decoder_transformer_is_few_operations():
    encoder, both, step = (
        a_layer(functools.partial(count, "seq2seq_transformer")) for count in (in_encoder, in_full_pass, in_step)
    )
    check([
        ("seq2seq_transformer, encoder block", encoder, 90),
        ("seq2seq_transformer, decoder block, full pass", both - encoder, 140),
        ("seq2seq_transformer, decoder block, step", step, 190),
    ])  # fmt: skip


# === What is counted ===


@tf.function(autograph=False)
def twice(x):
    return x + x  # AddV2, and the Identity of what it returns


def test_a_called_function_counts_at_each_call():
    # Placeholder, Identity of the output, and for each call itself and the two operations of its body.
    assert operations_of(twice, tf.TensorSpec([], tf.float32)) == 1 + 1 + 3
    assert operations_of(lambda x: twice(twice(x)), tf.TensorSpec([], tf.float32)) == 1 + 1 + 3 + 3


def test_a_variable_counts_where_it_is_captured_and_where_it_is_read():
    one, other = tf.Variable(1.0), tf.Variable(1.0)
    counts = [
        operations_of(work, tf.TensorSpec([], tf.float32)) for work in (lambda x: x + one, lambda x: x + one + other)
    ]
    assert counts[1] == counts[0] + 3  # the placeholder of its handle, the read, and the sum


def test_a_branch_counts_both_ways_and_a_loop_its_body_once():
    number = tf.TensorSpec([], tf.float32)
    short = operations_of(lambda x: tf.cond(x > 0, lambda: x, lambda: -x), number)
    assert operations_of(lambda x: tf.cond(x > 0, lambda: -x, lambda: -x), number) == short + 1
    once, more = (
        operations_of(lambda x, f=f: tf.while_loop(lambda x: x < 9, lambda x: [f(x)], [x])[0], number)
        for f in (lambda x: x + 1, lambda x: tf.abs(x) + 1)
    )
    assert more == once + 1
