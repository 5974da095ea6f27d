"""Documents to pairs of passages, some of which follow each other: what BERT learns sentences from."""

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.data.masked_lm import REPLACE, Masking, batches_of, check_request, padded
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer

if TYPE_CHECKING:
    from lm_keras.data.text_dataset import TextDataset


def sentence_pairs(
    documents: Iterable[str | Sequence[str]],
    tokenizer: Tokenizer,
    length: int,
    batch_size: int,
    mask_rate: float = 0.15,
    *,
    language: str = "en",
    whole_word: bool = False,
    replace: tuple[float, float] = REPLACE,
    shuffle: bool = True,
    seed: int = 0,
) -> "TextDataset":
    """Returns batches of pairs of passages, some of which follow each other, for `bert_pretrainer(encoder)`.

    A row is `[CLS] A [SEP] B [SEP]`, masked as by `masked_lm`. Sentences in a row are put together until they fill
    `length`; that is cut in two at a random sentence, A and B. Half of the B's, by chance, give way to sentences of
    another document. A pair that is too long loses tokens at the end of its longer part (Devlin et al. 2019, appendix
    A.2). A sentence that stays alone is only ever a B.

    Args:
        documents: Strings, cut by `text.sentences(text, language)`, or lists of sentences.
        tokenizer: A tokenizer with [MASK].
        length: T, tokens of a row.
        batch_size: B, rows of a batch.
        mask_rate: The share of the tokens that are chosen, as are the following as in `masked_lm`.
        language: Of documents that are strings.
        whole_word: All pieces of a word are chosen or none.
        replace: The shares of the chosen tokens that become [MASK] and another token.
        shuffle: Order, cuts, labels and masks are drawn anew in each iteration, by `seed` and its number; the rows
            that do not fill a batch are left out. False: in order, all, the same every time.
        seed: Of all that is drawn.

    Returns:
        A `TextDataset` of `(inputs, labels, weights)` as of `masked_lm`, with segment_ids 0 up to the first [SEP] and
        1 after it; labels and weights have "next_sentence" [B] too: 0, B follows A in its document; 1, B is from
        another document.

    Raises:
        InputError: As `masked_lm` does, and for fewer than two documents.
    """
    check_request(tokenizer, length, batch_size, mask_rate, replace)
    if length < 5:
        raise InputError(f"length must be at least 5 for a pair with its three marks, got {length}")
    documents = _encoded(documents, tokenizer, language)
    room = length - 3
    spans = list(itertools.chain.from_iterable(_spans(i, document, room) for i, document in enumerate(documents)))
    if not spans or len(documents) < 2:
        raise InputError("sentence pairs need two documents, one of at least two sentences; give more text")

    def epoch(rng):
        pairs = [_pair(documents, span, room, rng) for span in spans]
        rows = [[tokenizer.cls_id, *a, tokenizer.sep_id, *b, tokenizer.sep_id] for a, b, _ in pairs]
        segments = [[0] * (len(a) + 2) + [1] * (len(b) + 1) for a, b, _ in pairs]
        labels = np.array([label for *_, label in pairs], np.int32)
        return padded(rows, tokenizer.pad_id, length), padded(segments, 0, length), labels

    masks = Masking(tokenizer, length, mask_rate, whole_word, replace)
    return batches_of(epoch, len(spans), masks, batch_size, shuffle, seed, next_sentence=True)


def _encoded(documents, tokenizer, language):
    """Documents as lists of sentences as lists of ids; what is empty is left out."""
    from lm_keras.text import sentences

    if isinstance(documents, (str, bytes)):
        raise InputError("sentence_pairs takes an iterable of documents, got one string: put it into a list")
    split = [sentences(text, language) if isinstance(text, str) else list(text) for text in documents]
    ids = iter(tokenizer.encode_batch([sentence for document in split for sentence in document]))
    rows = [[row for row in itertools.islice(ids, len(document)) if row] for document in split]
    return [document for document in rows if document]


def _spans(i, document, room):
    """(i, first, last): sentences in a row, at least two, that reach `room` tokens or the end of their document."""
    first, size = 0, 0
    for last, sentence in enumerate(document, 1):
        size += len(sentence)
        if last - first >= 2 and (size >= room or last == len(document)):
            yield i, first, last
            first, size = last, 0


def _pair(documents, span, room, rng):
    """(A, B, label) of one span, its cut and its label drawn."""
    i, first, last = span
    middle = rng.integers(first + 1, last)
    a = _joined(documents[i][first:middle])
    b = _joined(documents[i][middle:last])
    label = int(rng.random() < 0.5)
    if label:
        other = (i + rng.integers(1, len(documents))) % len(documents)
        # Whole sentences, and about as many tokens: neither its end nor its length is to give it away.
        start, size = rng.integers(len(documents[other])), len(b)
        b = []
        for sentence in documents[other][start:]:
            if len(b) < size:
                b = b + sentence
    return *_cut(a, b, room), label


def _joined(sentences):
    return [token for sentence in sentences for token in sentence]


def _cut(a, b, room):
    """Takes tokens off the end of the longer part until both fit."""
    over = len(a) + len(b) - room
    if over <= 0:
        return a, b
    keep_a = max(min(len(a), room - len(b)), min(len(a), (room + 1) // 2))
    return a[:keep_a], b[: room - keep_a]
