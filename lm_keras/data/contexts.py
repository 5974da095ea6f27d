"""Texts labelled by context: a speaker, a domain, an act of talk, a book; and windows that never cross a context."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from lm_keras.data.context_names import checked_names, place_of
from lm_keras.data.corpora.records import Dialogue, Labelled
from lm_keras.data.corpora.registry import classes as classes_of
from lm_keras.data.corpora.registry import load
from lm_keras.data.windows import shuffled_batches, token_stream
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_choice, check_sizes, check_text

if TYPE_CHECKING:
    from lm_keras.data.text_dataset import TextDataset

TextsByContext: TypeAlias = dict[str, list[str]]
_HEAD = re.compile(r"([^\n:]{1,60}):\n(.+)", re.DOTALL)  # who speaks, and what


# === Texts by context ===
def texts_by_context(
    source: str | Sequence[str] | Mapping[str, Sequence[str]] | Iterable[tuple[str, str]],
    split: str = "train",
    *,
    by: str = "act",
    contexts: int | Sequence[str] | None = None,
) -> TextsByContext:
    """Returns texts by the context that they are of.

    Args:
        source: One of:
            "tinyshakespeare": the contexts are the speakers, a text is one speech.
            A corpus of labelled texts, such as "ag-news" or "clinc150": its classes.
            "dailydialog": the acts or the emotions of the turns, which are the texts.
            A list of names of corpora of running text, such as ["hongloumeng", "shuihu"]: each corpus is a context,
            and a text is one of its paragraphs.
            Texts of your own: `{context: texts}`, or pairs `(text, context)`, such as records.
        split: Of a named corpus, see `lk.data.splits`.
        by: Of "dailydialog": "act" or "emotion".
        contexts: So many contexts, those with the most texts; or a list of names. None: all, in the order in which
            they come, that of the classes for a labelled corpus.

    Returns:
        `{context: [texts]}`.

    Raises:
        InputError: For an unknown corpus, split or context, and what is no pair of two strings.

    Example:

    ```python
    speakers = lk.data.texts_by_context("tinyshakespeare", "all", contexts=6)
    novels = lk.data.texts_by_context(["hongloumeng", "shuihu"])
    print(lk.data.context_report(speakers))
    ```
    """
    check_choice("by", by, ("act", "emotion"))
    found: TextsByContext = {}
    for text, context in _pairs(source, split, by):
        if not isinstance(text, str) or not isinstance(context, str):
            raise InputError(f"a text and its context are {text!r:.40} and {context!r:.40}; give two strings")
        if text.strip():
            found.setdefault(context, []).append(text)
    if not found:
        raise InputError("there is no text with a context; give at least one")
    return _chosen(found, contexts)


def _pairs(source, split, by) -> Iterator[tuple[str, str]]:
    if isinstance(source, Mapping):
        return ((text, name) for name, texts in source.items() for text in _several(texts, name))
    if isinstance(source, str):
        return _of_corpus(source, load(source, split), by)
    if isinstance(source, Sequence) and source and all(isinstance(name, str) for name in source):
        return ((line, name) for name in source for line in _paragraphs(name, load(name, split)))
    if not isinstance(source, Iterable):
        raise InputError(f"texts by context are read from {source!r:.40}; give a corpus, a mapping, or pairs")
    return (_pair(one) for one in source)


def _several(texts, name):
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise InputError(f"the texts of {name!r:.40} are a {type(texts).__name__}; give a list of strings")
    return texts


def _pair(one):
    if not isinstance(one, (tuple, list)) or len(one) != 2:
        raise InputError(f"a text with its context is {one!r:.60}; give pairs (text, context)")
    return one


def _of_corpus(name, records, by):
    if name == "tinyshakespeare":
        return speeches(records[0])
    if records and isinstance(records[0], Labelled):
        names = classes_of(name)
        return sorted(((text, names[label]) for text, label in records), key=lambda pair: names.index(pair[1]))
    if records and isinstance(records[0], Dialogue) and records[0].acts:
        sides = ("acts" if by == "act" else "emotions", "turns")
        rows = [[getattr(record, side) for side in sides] for record in records]
        return ((turn, label) for labels, turns in rows for turn, label in zip(turns, labels, strict=True))
    raise InputError(
        f"{name} has no labels of whole texts; give a corpus that has, such as tinyshakespeare, ag-news or "
        f"dailydialog, or a list of corpora, [{name!r}, ...]"
    )


def speeches(play: str) -> list[tuple[str, str]]:
    """Returns `(speech, speaker)` of a text in which a speech is "NAME:", lines, and an empty line."""
    found = (_HEAD.fullmatch(block.strip("\n")) for block in play.split("\n\n"))
    return [(match[2].strip(), match[1].strip()) for match in found if match]


def _paragraphs(name, records):
    texts = [text for record in records for text in ([record] if isinstance(record, str) else record.texts())]
    if len(texts) > 1:
        return texts
    return [line.strip() for text in texts for line in text.split("\n") if line.strip()]


def _chosen(found, contexts):
    if contexts is None:
        return found
    if isinstance(contexts, int) and not isinstance(contexts, bool):
        check_sizes(contexts=contexts)
        if contexts > len(found):
            raise InputError(f"contexts is {contexts}, and there are {len(found)}; give that or less")
        names = sorted(found, key=lambda name: -len(found[name]))[:contexts]  # stable
        return {name: found[name] for name in names}
    known = list(found)
    return {
        known[place]: found[known[place]] for place in (place_of(name, known) for name in checked_names(contexts))
    }


# === Windows ===
def context_windows(
    texts_by_context: Mapping[str | None, Sequence[str]],
    tokenizer: Tokenizer,
    length: int,
    batch_size: int,
    *,
    contexts: Sequence[str] | None = None,
    whole_texts: bool = False,
    shuffle: bool = True,
    seed: int = 0,
) -> "TextDataset":
    """Returns the batches that a `ConditionalLM` trains on: windows of one context each.

    The texts of a context stand one after the other, as in `lm_windows`. That shows a model the context twice: by its
    name, and by the texts before. `whole_texts` leaves the name alone to tell it, as when a text is scored by itself.

    Args:
        texts_by_context: `{context: texts}`; the texts of None have no context.
        tokenizer: A tokenizer with `bos_id` and `eos_id`.
        length: T, tokens of a window. The last one of a context (or text) may hold fewer, and -1 behind them, "no
            token here", as label too: every token is a target once.
        batch_size: B, windows of a batch; the last batch may have fewer.
        contexts: The names in the order of their numbers: `conditional.contexts` of a `ConditionalLM`. None: those of
            `texts_by_context`. Texts of other contexts are refused.
        whole_texts: Each text begins a window of its own, with the begin mark.
        shuffle: The windows in a new order every iteration, which `seed` and the number of the iteration decide.
            False: one context after the other.
        seed: Of the order.

    Returns:
        A `TextDataset` of `{"ids": int32 [B, T], "context": int32 [B]}, y int32 [B, T]`; a context is its place in
        `contexts`, -1 for none. It knows its tokens and bytes, so that `lk.evaluate` gives bits a byte.

    Raises:
        InputError: For sizes below 1, a context without a text or of another name.
    """
    from lm_keras.data.text_dataset import TextDataset

    check_sizes(length=length, batch_size=batch_size)
    if not isinstance(texts_by_context, Mapping) or not texts_by_context:
        raise InputError("context_windows takes {context: texts}, such as lk.data.texts_by_context gives")
    if contexts is None:
        contexts = [name for name in texts_by_context if name is not None]
    names = checked_names(contexts) if contexts or None not in texts_by_context else []  # all may be without one
    rows, places, num_bytes = [], [], 0
    for name, texts in texts_by_context.items():
        place = place_of(name, names)
        made, size = _rows(list(_several(texts, name)), name, tokenizer, length, whole_texts)
        rows.append(made)
        places.append(np.full(len(made), place, np.int32))
        num_bytes += size
    rows, places = np.concatenate(rows), np.concatenate(places)
    dataset, stream = _batches(rows, places, batch_size, shuffle, seed)
    num_tokens = int((rows[:, 1:] >= 0).sum())
    facts = {"batch_size": int(batch_size), "num_tokens": num_tokens, "num_bytes": num_bytes, "stream": stream}
    return TextDataset(dataset.prefetch(2), **facts)


def _rows(texts, name, tokenizer, length, whole_texts):
    """int32 [N, T + 1] of the texts of one context, -1 behind the end of a row; and their bytes."""
    for text in texts:
        check_text(text)
    if not any(texts):
        raise InputError(f"the context {name!r:.40} has no text; give at least one, or leave it out")
    if whole_texts:
        ids = tokenizer.encode_batch(texts)
        parts = [np.array([tokenizer.bos_id, *row, tokenizer.eos_id], np.int32) for row in ids]
        num_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    else:
        stream, num_bytes = token_stream(texts, tokenizer)
        parts = [np.asarray(stream[np.arange(len(stream))], np.int32)]
    counts = [-(-(len(part) - 1) // length) for part in parts]
    rows = np.full((sum(counts), length + 1), -1, np.int32)
    row = 0
    for part in parts:
        for at in range(0, len(part) - 1, length):
            piece = part[at : at + length + 1]
            rows[row, : len(piece)] = piece
            row += 1
    return rows, num_bytes


def _batches(rows, places, batch_size, shuffle, seed):
    import tensorflow as tf

    with tf.device("CPU"):
        tokens, contexts = tf.constant(rows), tf.constant(places)

    def batch(items):
        both = tf.gather(tokens, items)  # (B, T + 1)
        both.set_shape([None, rows.shape[1]])
        # What is no target is not read either: its token would only be predicted from.
        x = tf.where(both[:, 1:] >= 0, both[:, :-1], -1)
        return {"ids": x, "context": tf.gather(contexts, items)}, both[:, 1:]

    if shuffle:
        items, stream = shuffled_batches(len(rows), batch_size, seed)
        known = tf.data.experimental.assert_cardinality(-(-len(rows) // batch_size))
        return items.map(batch).apply(known), lambda step: stream(step).map(batch).prefetch(2)
    return tf.data.Dataset.range(len(rows)).batch(batch_size).map(batch), None
