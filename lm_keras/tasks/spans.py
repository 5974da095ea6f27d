"""From tags of words to spans of text: BIO, BIOES and plain tags, in Python and, as JSON, in the graph."""

import json

import numpy as np
import tensorflow as tf

from lm_keras.serving.results import Span

STARTS, ENDS = "BSU", "ESLU"  # BIO: B- starts; BIOES and BILOU: S-, U- are a span alone, E-, L- end one


def parts(tag):
    """(prefix, label) of a tag: ("B", "PER") of "B-PER", ("", "PER") of "PER", ("", None) of "O"."""
    if tag == "O":
        return "", None
    prefix, dash, label = tag.partition("-")
    return (prefix, label) if dash and label and prefix in set("BI" + STARTS + ENDS) else ("", tag)


def spans(text, places, tags, scores):
    """The Spans of one text: its words' (start, end), tags and scores.

    A word goes on with the span of the word before it if both have the same label, unless its tag starts a span or
    the one before ends one. So an I- after O or another label starts a span too (as CoNLL's own evaluation reads it).
    """
    found, before = [], ("", None)
    for (start, end), tag, score in zip(places, tags, scores, strict=True):
        prefix, label = parts(tag)
        if label is not None:
            if before[1] != label or prefix in tuple(STARTS) or before[0] in tuple(ENDS):
                found.append((label, start, []))
            found[-1][2].append((end, score))
        before = prefix, label
    return [_span(text, label, start, words) for label, start, words in found]


def _span(text, label, start, words):
    end = words[-1][0]
    return Span(start, end, label, float(np.mean([score for _, score in words])), text[start:end])


def as_json(found):
    """The JSON text of a list of Spans; that of `tf_spans` has the same content but for the rounding of scores."""
    return json.dumps([span._asdict() for span in found], ensure_ascii=False)


def tf_spans(texts, classes, word_splits, starts, ends, tags, scores):
    """`spans` in the graph, as JSON: strings [B], each a list of objects with the fields of a Span.

    texts: valid UTF-8 [B]. All else is of the words, [W]: `tags` int32 are places in `classes`, -1: none.
    A score has four decimals: what float32 sums differ by from batch to batch is mostly smaller. Not always, for
    any rounding can tie, so only the rest of the string is the same to the character in every batch.
    """
    told = [parts(name) for name in classes]
    labels = sorted({label for _, label in told if label is not None})
    label_of = tf.constant([-1 if label is None else labels.index(label) for _, label in told] + [-1])
    begin_of = tf.constant([prefix in tuple(STARTS) for prefix, _ in told] + [False])
    end_of = tf.constant([prefix in tuple(ENDS) for prefix, _ in told] + [True])

    tags = tf.where(tags < 0, len(classes), tags)
    size = tf.size(tags, tf.int64)
    row = tf.RaggedTensor.from_row_splits(tags, word_splits, validate=False).value_rowids()
    label, ended = tf.gather(label_of, tags), tf.gather(end_of, tags)
    fresh = row != tf.concat([[-1], row], 0)[:size]
    other = label != tf.concat([[-1], label], 0)[:size]
    begins = (label >= 0) & (fresh | other | tf.gather(begin_of, tags) | tf.concat([[True], ended], 0)[:size])
    inside = tf.where(label >= 0)[:, 0]
    which = tf.gather(tf.cumsum(tf.cast(begins, tf.int32)) - 1, inside)
    first = tf.where(begins)[:, 0]
    count = tf.size(first)
    start, row = tf.gather(starts, first), tf.gather(row, first)
    end = tf.math.unsorted_segment_max(tf.gather(ends, inside), which, count)
    score = tf.math.unsorted_segment_mean(tf.gather(scores, inside), which, count)
    name = tf.gather(
        tf.constant([*(json.dumps(label, ensure_ascii=False) for label in labels), ""]), tf.gather(label, first)
    )
    # Characters are picked one by one: a copy of its whole text for each span would take memory by the square.
    chars = _escaped_characters(texts)
    offset = tf.gather(tf.cast(chars.row_splits, tf.int32), row)
    places = tf.ragged.range(offset + start, offset + end)
    text = tf.strings.reduce_join(places.with_flat_values(tf.gather(chars.flat_values, places.flat_values)), axis=-1)
    objects = tf.strings.join(
        ['{"start": ', tf.strings.as_string(start), ', "end": ', tf.strings.as_string(end), ', "label": ', name,
         ', "score": ', tf.strings.as_string(score, precision=4), ', "text": "', text, '"}']
    )  # fmt: skip
    lists = tf.RaggedTensor.from_value_rowids(objects, row, nrows=tf.size(texts, tf.int64), validate=False)
    return tf.strings.join(["[", tf.strings.reduce_join(lists, axis=-1, separator=", "), "]"])


_ESCAPES = {chr(code): f"\\u{code:04x}" for code in range(32)} | {'"': '\\"', "\\": "\\\\"}


def tf_escaped(texts):
    """Strings [B] of valid UTF-8 as they stand between the quotes of a JSON string."""
    return tf.strings.reduce_join(_escaped_characters(texts), axis=-1)


def _escaped_characters(texts):
    """The characters of strings [B], ragged [B, (n)], each as it stands in a JSON string."""
    chars = tf.strings.unicode_split(texts, "UTF-8")
    codes = tf.strings.unicode_decode(texts, "UTF-8").flat_values
    special = (codes < 32) | (codes == 34) | (codes == 92)
    table = tf.constant([_ESCAPES.get(chr(code), "") for code in range(93)])
    return chars.with_flat_values(tf.where(special, tf.gather(table, tf.where(special, codes, 0)), chars.flat_values))
