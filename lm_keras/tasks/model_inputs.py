"""From token ids to what an encoder or classifier reads, the same in Python and in an exported graph."""

from itertools import chain

import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError

BATCH = 64  # texts that go through a model at once
IDS = tf.RaggedTensorSpec([None, None], tf.int32)
BERT = {"token_ids", "segment_ids", "padding_mask"}


class ModelInputs:
    """`inputs(ids)` or `inputs(first, second)`, ragged int32 [B, (n)] without marks -> the inputs of `model`.

    A model of BERT's three inputs gets [CLS] first [SEP] second [SEP]; another one the ids, filled up with the
    tokenizer's padding: to the longest row, or to `max_length` if that is given, as `data.labelled` does.
    `max_length` None: the encoder's, or no limit. InputError when model and tokenizer do not fit.
    """

    def __init__(self, model, tokenizer, max_length):
        names = set(model.input) if isinstance(model.input, dict) else None
        self.bert, self.tokenizer = names == BERT, tokenizer
        if names is not None and not self.bert:
            raise InputError(
                f"{model.name} reads {', '.join(sorted(names))}; a text model reads ids or BERT's inputs"
            )
        kind = type(tokenizer).__name__
        if self.bert and not hasattr(tokenizer, "encode_pair"):
            raise InputError(f"{model.name} reads BERT's inputs, a {kind} makes none; give a WordPieceTokenizer")
        if tokenizer.pad_id is None:
            raise InputError(f"this {kind} has no padding token, which texts of different lengths need")
        recipe = next((part.recipe for part in (model, *model.layers) if hasattr(part, "recipe")), None)
        known = recipe.arguments if recipe else {}
        if known.get("vocab_size", tokenizer.vocab_size) != tokenizer.vocab_size:
            raise InputError(
                f"{model.name} knows {known['vocab_size']} tokens and the tokenizer has {tokenizer.vocab_size}; "
                "give the tokenizer it was trained with"
            )
        most = known.get("max_length")
        if max_length is not None and (
            not isinstance(max_length, int) or not 8 <= max_length <= (most or max_length)
        ):
            limit = f" and at most the encoder's {most}" if most else ""
            raise InputError(f"max_length is {max_length!r}; give a whole number of at least 8{limit}")
        self.fixed = None if self.bert else max_length
        self.max_length = max_length or most

    def room(self, parts=1):
        """How many tokens of text fit beside the marks; a very large number where there is no limit."""
        return 2**30 if self.max_length is None else self.max_length - (parts + 1 if self.bert else 0)

    def __call__(self, first, second=None):
        pad, size = self.tokenizer.pad_id, first.nrows()
        if not self.bert:
            return _one_column(first[:, : self.room()].to_tensor(pad, shape=(None, self.fixed)), pad)
        cls, sep = (tf.fill([size, 1], mark) for mark in (self.tokenizer.cls_id, self.tokenizer.sep_id))
        ids = tf.concat([cls, first, sep] + ([] if second is None else [second, sep]), axis=1)
        dense, length = _one_column(ids.to_tensor(pad), pad), tf.cast(ids.row_lengths(), tf.int32)[:, None]
        place, border = tf.range(tf.shape(dense)[1])[None], tf.cast(first.row_lengths(), tf.int32)[:, None] + 2
        mask = place < length
        segments = mask & (place >= border)
        return {
            "token_ids": dense,
            "segment_ids": tf.cast(segments, tf.int32),
            "padding_mask": tf.cast(mask, tf.int32),
        }


def _one_column(dense, fill):
    """At least one column, also when there is no row or all texts are empty."""
    return tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, tf.int32)]], constant_values=fill)


def ragged(rows):
    """Lists of ids -> int32 [B, (n)]."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return tf.RaggedTensor.from_row_lengths(np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum()), lengths)


def in_batches(rows, run, length=len):
    """`run(some rows)`, a list of results, over all rows, those of like length together; results in that order."""
    order, results = sorted(range(len(rows)), key=lambda i: length(rows[i])), [None] * len(rows)
    for start in range(0, len(rows), BATCH):
        chosen = order[start : start + BATCH]
        for i, result in zip(chosen, run([rows[i] for i in chosen]), strict=True):
            results[i] = result
    return results


def checked_classes(model, output, rank, classes):
    """The names of an output's classes as a list; InputError unless there is a different one for each."""
    classes = list(classes)
    if len(output.shape) != rank:
        axes = "[B, C]" if rank == 2 else "[B, T, C]"
        raise InputError(f"{model.name} gives {tuple(output.shape)}; its output must be logits {axes}")
    if len(set(classes)) != len(classes) or not all(isinstance(name, str) for name in classes):
        raise InputError(f"classes is {classes!r}; give a different string for each class")
    if output.shape[-1] != len(classes):
        raise InputError(f"{model.name} tells {output.shape[-1]} classes apart and {len(classes)} names were given")
    return classes
