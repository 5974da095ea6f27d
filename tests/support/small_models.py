"""Tiny models for the tests: a trained language model, and every builder with small arguments."""

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

import lm_keras as lk
from lm_keras.models import BUILDERS

VOCAB, WIDTH, CLASSES = 11, 8, 3
COPY_SLOTS = 3  # of the VOCAB places of a model that copies
# A family of each kind of state: all states so far, convolutions, a window of words, keys and values, a cell.
# All families with LM_KERAS_FULL=1.
KINDS_OF_STATE = ["attention_rnn", "cnn", "feedforward", "llama", "lstm"]
if os.environ.get("LM_KERAS_FULL"):
    KINDS_OF_STATE = sorted(BUILDERS)
CAUSAL = {**BUILDERS, "rnn_skip": "build_rnn_lm"}
TRANSFORMER = {"max_length": 24, "hidden_dim": WIDTH, "num_layers": 2, "num_heads": 2}
# Small arguments: a family gets those that its builder takes, so that a new one joins the contract by itself.
SIZES = {**TRANSFORMER, "context_length": 4, "embedding_dim": 6}
# What some need beside.
MORE = {
    "attention_rnn": {"hidden_dim": 12},
    "feedforward": {"hidden_dim": (8, 9)},
    "llama": {"hidden_dim": 16, "num_heads": 4, "num_kv_heads": 2},
    "rnn_skip": {"skip": 2},
}


def train_lm(tokenizer, texts, steps, **sizes):
    """A `LanguageModel` with a small LSTM, after some steps of Adam on the texts."""
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, seed=0, **sizes)
    windows = lk.data.lm_windows(texts, tokenizer, length=20, batch_size=16)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(windows.repeat(), epochs=1, steps_per_epoch=steps, verbose=0)
    return lk.LanguageModel(model, tokenizer)


# === batch, length, seed -> inputs without padding, and labels ===


def bert_examples(batch, length, seed=0, *, vocab_size, hidden_dim):
    """Two segments, and labels that both outputs can take: normalised vectors, and numbers that a tanh reaches."""
    rng = np.random.default_rng(seed)
    inputs = {
        "token_ids": rng.integers(1, vocab_size, (batch, length)).astype("int32"),
        "segment_ids": np.tile(np.arange(length, dtype="int32") * 2 // length, (batch, 1)),
        "padding_mask": np.ones((batch, length), "int32"),
    }
    vectors = rng.normal(size=(batch, length, hidden_dim))
    vectors = (vectors - vectors.mean(-1, keepdims=True)) / vectors.std(-1, keepdims=True)
    labels = {"sequence_output": vectors, "pooled_output": rng.uniform(-0.8, 0.8, (batch, hidden_dim))}
    return inputs, {name: values.astype("float32") for name, values in labels.items()}


def text_examples(batch, length, seed=0, *, vocab_size, num_classes):
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, vocab_size, (batch, length)).astype("int32")
    return ids, (np.arange(batch) % num_classes).astype("int32")


def tagged_examples(batch, length, seed=0, *, vocab_size, num_classes, num_characters, word_length):
    rng = np.random.default_rng(seed)
    words = rng.integers(1, vocab_size, (batch, length)).astype("int32")
    characters = rng.integers(1, num_characters, (batch, length, word_length)).astype("int32")
    return {"words": words, "characters": characters}, (words % num_classes).astype("int32")


def relation_examples(batch, length, seed=0, *, vocab_size, num_classes, max_distance):
    """Words, and their distances to a word at the beginning and to one at the end."""
    words, labels = text_examples(batch, length, seed, vocab_size=vocab_size, num_classes=num_classes)
    places = np.arange(length)[None] - np.array([[0], [length - 1]])
    first, second = np.clip(places, -max_distance, max_distance).astype("int32") + max_distance + 1
    return {"words": words, "first": np.tile(first, (batch, 1)), "second": np.tile(second, (batch, 1))}, labels


def story_examples(batch, length, seed=0, *, vocab_size, num_classes):
    """Sentences of three words, some shorter, and a question."""
    question, labels = text_examples(batch, length, seed, vocab_size=vocab_size, num_classes=num_classes)
    story = np.random.default_rng(seed + 1).integers(1, vocab_size, (batch, length, 3)).astype("int32")
    story[:, ::2, 2] = 0
    return {"story": story, "question": question}, labels


def pair_examples(batch, length, seed=0, *, vocab_size):
    """The source is two words longer than the target."""
    rng = np.random.default_rng(seed)
    source, target, labels = (
        rng.integers(0, vocab_size, (batch, width)).astype("int32") for width in (length + 2, length, length)
    )
    return {"source_ids": source, "target_ids": target}, labels


def copied_examples(batch, length, seed=0, *, vocab_size, copy_slots):
    """As `pair_examples`; the labels are of the vocabulary and of those unknown words that the source has."""
    inputs, labels = pair_examples(batch, length, seed, vocab_size=vocab_size + copy_slots)
    source, rng = inputs["source_ids"], np.random.default_rng(seed + 1)
    source[:, 0] = vocab_size  # each source has one
    copied = source[np.arange(batch)[:, None], rng.integers(0, length + 2, (batch, length))]
    return inputs, np.where(labels < vocab_size, labels, copied)


# === Other builders ===


@dataclasses.dataclass(frozen=True)
class Other:
    """A builder of something else than a causal language model, with small arguments."""

    builder: str
    arguments: dict
    examples: Callable  # batch, length, seed -> inputs, labels
    shapes: Callable  # batch, length -> the shape of each output, in the order of their names
    pad: int
    loss: object = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


SPELLED = {"vocab_size": VOCAB, "num_classes": CLASSES, "num_characters": 7, "word_length": 4}
RELATED = {"vocab_size": VOCAB, "num_classes": CLASSES, "max_distance": 3}
RELATIONS = {
    "examples": functools.partial(relation_examples, **RELATED),
    "shapes": lambda batch, length: [(batch, CLASSES)],
    "pad": 0,
}
PAIR = {"source_vocab_size": VOCAB, "num_layers": 1, "hidden_dim": WIDTH}
PAIRS = {
    "examples": functools.partial(pair_examples, vocab_size=VOCAB),
    "shapes": lambda batch, length: [(batch, length, VOCAB)],
    "pad": -1,
}
OTHERS = {
    "bert": Other(
        "build_bert",
        {**TRANSFORMER, "vocab_size": VOCAB, "num_layers": 1, "initializer_range": 0.3},
        functools.partial(bert_examples, vocab_size=VOCAB, hidden_dim=WIDTH),
        lambda batch, length: [(batch, WIDTH), (batch, length, WIDTH)],  # pooled_output, sequence_output
        pad=0,
        loss={"sequence_output": "mse", "pooled_output": "mse"},
    ),
    "bilstm_tagger": Other(
        "build_bilstm_tagger",
        {**SPELLED, "character_dim": 5, "character_filters": 6, "embedding_dim": 6, "hidden_dim": 5},
        functools.partial(tagged_examples, **SPELLED),
        lambda batch, length: [(batch, length, CLASSES, CLASSES)],
        pad=0,
        loss=lk.losses.CRFLoss(),
    ),
    "cnn_classifier": Other(
        "build_cnn_classifier",
        {"vocab_size": VOCAB, "num_classes": CLASSES, "embedding_dim": 6, "kernel_sizes": (2, 3), "num_filters": 5},
        functools.partial(text_examples, vocab_size=VOCAB, num_classes=CLASSES),
        lambda batch, length: [(batch, CLASSES)],
        pad=0,
    ),
    "memory_network": Other(
        "build_memory_network",
        {"vocab_size": VOCAB, "num_classes": CLASSES, "embedding_dim": 6, "num_hops": 2, "max_sentences": 5},
        functools.partial(story_examples, vocab_size=VOCAB, num_classes=CLASSES),
        lambda batch, length: [(batch, CLASSES)],
        pad=0,
    ),
    "pointer_generator": Other(
        "build_pointer_generator",
        {
            **PAIR,
            "source_vocab_size": VOCAB - COPY_SLOTS,
            "copy_slots": COPY_SLOTS,
            "embedding_dim": 6,
            "bidirectional": False,
        },
        functools.partial(copied_examples, vocab_size=VOCAB - COPY_SLOTS, copy_slots=COPY_SLOTS),
        lambda batch, length: [(batch, length, VOCAB)],
        pad=-1,
    ),
    "relation_cnn": Other(
        "build_relation_cnn",
        {
            **RELATED,
            "embedding_dim": 6,
            "position_dim": 3,
            "kernel_sizes": (2, 3),
            "num_filters": 8,
            "hidden_dim": 12,
        },
        **RELATIONS,
    ),
    "relation_rnn": Other(
        "build_relation_rnn", {**RELATED, "embedding_dim": 6, "position_dim": 3, "hidden_dim": 5}, **RELATIONS
    ),
    "rnn_classifier": Other(
        "build_rnn_classifier",
        {"vocab_size": VOCAB, "num_classes": CLASSES, "embedding_dim": 6, "hidden_dim": 5, "num_layers": 2},
        functools.partial(text_examples, vocab_size=VOCAB, num_classes=CLASSES),
        lambda batch, length: [(batch, CLASSES)],
        pad=0,
    ),
    "seq2seq_lstm": Other("build_seq2seq_lstm", {**PAIR, "embedding_dim": 6}, **PAIRS),
    "seq2seq_transformer": Other("build_seq2seq_transformer", {**PAIR, "num_heads": 2}, **PAIRS),
}


# === Builders of both tables ===


def build(family, **changes):
    """With dropout where the builder has it, which no test may see that does not train."""
    builder = getattr(lk.models, OTHERS[family].builder if family in OTHERS else CAUSAL[family])
    if family in OTHERS:
        arguments = OTHERS[family].arguments
    else:
        arguments = {"vocab_size": VOCAB, **sizes_for(builder, SIZES), **MORE.get(family, {})}
    return builder(**{**arguments, **sizes_for(builder, {"dropout": 0.2, "seed": 0}), **changes})


def sizes_for(builder, sizes):
    """Those of the sizes that a builder takes."""
    known = inspect.signature(builder).parameters
    return {name: size for name, size in sizes.items() if name in known}


shared = functools.cache(build)  # one untrained model a family; no test changes its weights


def ids(batch, length, seed=0):
    return np.random.default_rng(seed).integers(0, VOCAB, (batch, length)).astype("int32")


def inputs_of(family, batch, length, seed=0):
    return OTHERS[family].examples(batch, length, seed)[0] if family in OTHERS else ids(batch, length, seed)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def answers(model, inputs):
    return [array(output) for output in keras.tree.flatten(model(inputs))]


TINY = {
    "max_length": 24, "context_length": 3, "embedding_dim": 6, "hidden_dim": 12, "num_layers": 1,
    "num_heads": 2, "num_kv_heads": 1,
}  # fmt: skip


def tiny_lm(family, tokenizer, scale=1.0, **sizes):
    """A `LanguageModel` of that family whose weights are large and random, so that the scores of texts lie apart."""
    builder = getattr(lk.models, lk.models.BUILDERS[family])
    model = builder(tokenizer.vocab_size, **sizes_for(builder, TINY | sizes))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, scale, w.shape).astype("float32") for w in model.get_weights()])
    return lk.LanguageModel(model, tokenizer)


def known(ids, window):
    """What a model knows when it has read them all: it forgets its older half when its window is full."""
    kept = []
    for token in ids:
        if len(kept) == window:
            kept = kept[-(-window // 2) :]
        kept.append(token)
    return kept


def log_probs(model, ids):
    """Log-probabilities [.., T, V] by one pass of the whole model over ids [.., T], in float64."""
    logits = model.predict_on_batch(np.atleast_2d(np.array(ids, "int32")))
    return log_softmax(logits).reshape(*np.shape(ids), -1)


def log_softmax(logits):
    logits = logits.astype("float64")
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
