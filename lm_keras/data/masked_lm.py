"""Texts to rows with some tokens masked: what BERT learns words from."""

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.data.text_files import read_texts
from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.checks import check_number, check_whole

if TYPE_CHECKING:
    from lm_keras.data.text_dataset import TextDataset

REPLACE = (0.8, 0.1)  # of the chosen tokens: [MASK], any other token; the rest stays as it is


def masked_lm(
    texts: str | Path | Iterable[str] | Iterable[Sequence[int]],
    tokenizer: Tokenizer,
    length: int,
    batch_size: int,
    mask_rate: float = 0.15,
    *,
    whole_word: bool = False,
    replace: tuple[float, float] = REPLACE,
    shuffle: bool = True,
    seed: int = 0,
) -> "TextDataset":
    """Returns batches with some tokens masked, for `bert_pretrainer(encoder, next_sentence=False)`.

    Of a row's n tokens that are not special, round(mask_rate n) are chosen, at least one. 80 % of these become
    [MASK], 10 % another token, 10 % stay (Devlin et al. 2019, 3.1). To compare a loss with that of a model without
    context, evaluate with replace=(1, 0): at a token that was kept, the answer is there to be read.

    Args:
        texts: An iterable of str, or a path for `read_texts`: the stream `text [SEP] text [SEP] ...` is cut into rows
            `[CLS] ... [SEP]`. Or rows of token ids that hold their [CLS] and [SEP], at most `length` long.
        tokenizer: A tokenizer with [MASK].
        length: T, tokens of a row.
        batch_size: B, rows of a batch.
        mask_rate: The share of the tokens that are chosen.
        whole_word: All pieces of a word are chosen or none, and at most so many.
        replace: The shares of the chosen tokens that become [MASK] and another token.
        shuffle: Another order and other masks in each iteration, which `seed` and the number of the iteration decide;
            the rows that do not fill a batch are left out. False: in order, all rows, the same masks every time.
        seed: Of order and masks.

    Returns:
        A `TextDataset` of `(inputs, labels, weights)`, M = mask_rate * T rounded: inputs {"token_ids", "segment_ids"
        (zeros), "padding_mask" [B, T], "masked_positions" [B, M]} and labels {"masked_lm": [B, M]}, all int32;
        weights {"masked_lm": float32 [B, M]}, 0 for a slot that is not used.

    Raises:
        InputError: For sizes below 1, a rate that is no share, no text, or a tokenizer without [MASK].
    """
    check_request(tokenizer, length, batch_size, mask_rate, replace)
    rows = padded(_rows(texts, tokenizer, length), tokenizer.pad_id, length)
    segments = np.zeros_like(rows)

    masks = Masking(tokenizer, length, mask_rate, whole_word, replace)
    return batches_of(lambda rng: (rows, segments, None), len(rows), masks, batch_size, shuffle, seed)


class Masking:
    """Chooses and changes tokens of rows; made once a dataset, for it looks at the whole vocabulary.

    Args:
        tokenizer: A tokenizer with [MASK].
        length: T, tokens of a row.
        mask_rate: The share of the tokens that are chosen.
        whole_word: All pieces of a word are chosen or none.
        replace: The shares of the chosen tokens that become [MASK] and another token.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        length: int,
        mask_rate: float = 0.15,
        whole_word: bool = False,
        replace: tuple[float, float] = REPLACE,
    ) -> None:
        self.mask_id, self.pad_id = tokenizer.mask_id, tokenizer.pad_id
        self.mask_rate, self.whole_word, self.replace = mask_rate, whole_word, replace
        self.length, self.slots = length, max(1, round(mask_rate * length))
        special = [tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id]
        self.is_word = np.ones(tokenizer.vocab_size, bool)
        self.is_word[special] = False
        self.words = np.flatnonzero(self.is_word)
        self.goes_on = np.array([token.startswith("##") for token in tokenizer.tokens])

    def __call__(
        self, token_ids: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """token_ids [B, T] -> (changed token_ids [B, T], positions, labels int32, weights float32 [B, M]).

        Of each row's n tokens that are not special ([PAD], [UNK], [CLS], [SEP], [MASK]) round(mask_rate n) are
        chosen, at least one; with `whole_word` all pieces of a word or none, and at most so many. 80 % of these
        become [MASK] (see `replace`), 10 % a token drawn from all but the special ones, 10 % stay (Devlin 2019, 3.1).
        """
        positions = np.zeros((len(token_ids), self.slots), np.int32)
        weights = np.zeros(positions.shape, np.float32)
        for row, places, weight in zip(token_ids, positions, weights, strict=True):
            chosen = self._choose(row, rng)
            places[: len(chosen)], weight[: len(chosen)] = chosen, 1
        labels = np.take_along_axis(token_ids, positions, 1)
        chance, drawn = rng.random(positions.shape), rng.choice(self.words, positions.shape)
        masked, random = self.replace
        new = np.where(chance < masked, self.mask_id, np.where(chance < masked + random, drawn, labels))
        changed, used = token_ids.copy(), weights > 0
        changed[np.nonzero(used)[0], positions[used]] = new[used]
        return changed, positions, np.where(used, labels, 0).astype(np.int32), weights

    def _choose(self, row, rng):
        """The places to guess in one row, in order."""
        places = np.flatnonzero(self.is_word[row])
        budget = min(self.slots, max(1, round(self.mask_rate * len(places)))) if len(places) else 0
        if not self.whole_word:
            return np.sort(rng.permutation(places)[:budget])
        inside = self.goes_on[row[places]] & (np.diff(places, prepend=-1) == 1)
        words = np.split(places, np.flatnonzero(~inside)[1:]) if len(places) else []
        chosen = []
        for i in rng.permutation(len(words)):
            if len(chosen) + len(words[i]) <= budget:
                chosen.extend(words[i])
        return np.sort(np.array(chosen, int))


def batches_of(
    epoch: Callable,
    num_rows: int,
    masks: Masking,
    batch_size: int,
    shuffle: bool,
    seed: int,
    next_sentence: bool = False,
) -> "TextDataset":
    """The TextDataset of `epoch(rng)` -> token_ids, segment_ids [N, T], next-sentence labels [N] or None; masked."""
    import tensorflow as tf

    from lm_keras.data.text_dataset import TextDataset

    num_batches = num_rows // batch_size if shuffle else -(-num_rows // batch_size)
    if num_batches == 0:
        raise InputError(
            f"{num_rows} rows do not fill a batch of {batch_size}; give more text or a smaller batch_size"
        )

    def batches(number):
        rng = np.random.default_rng([seed % 2**63, number if shuffle else 0])
        parts = epoch(rng)
        order = rng.permutation(num_rows) if shuffle else np.arange(num_rows)
        for start in range(0, num_batches * batch_size, batch_size):
            of = order[start : start + batch_size]
            yield _batch(*(part if part is None else part[of] for part in parts), masks, rng)

    def stream(step):
        first, within = divmod(step, num_batches)
        endless = itertools.chain.from_iterable(batches(number) for number in itertools.count(first))
        return itertools.islice(endless, within, None)

    def dataset(generator):
        spec = _spec(batch_size if shuffle else None, masks, next_sentence)
        return tf.data.Dataset.from_generator(generator, output_signature=spec)

    epochs = itertools.count()
    data = dataset(lambda: batches(next(epochs)))
    data = data.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(2)
    return TextDataset(data, batch_size=batch_size, stream=lambda step: dataset(lambda: stream(step)).prefetch(2))


def _batch(token_ids, segment_ids, follows, masks, rng):
    changed, positions, words, weights = masks(token_ids, rng)
    mask = (token_ids != masks.pad_id).astype(np.int32)
    inputs = {"token_ids": changed, "segment_ids": segment_ids, "padding_mask": mask, "masked_positions": positions}
    if follows is None:
        return inputs, {"masked_lm": words}, {"masked_lm": weights}
    ones = np.ones(len(follows), np.float32)
    return inputs, {"masked_lm": words, "next_sentence": follows}, {"masked_lm": weights, "next_sentence": ones}


def _spec(size, masks, next_sentence):
    """The shapes of a batch; a fixed `size` of it lets XLA compile once."""
    import tensorflow as tf

    def array(width, dtype="int32"):
        return tf.TensorSpec((size, *width), dtype)

    inputs = {name: array([masks.length]) for name in ("token_ids", "segment_ids", "padding_mask")}
    inputs["masked_positions"] = array([masks.slots])
    more = ["next_sentence"] if next_sentence else []
    labels = {"masked_lm": array([masks.slots]), **{name: array([]) for name in more}}
    weights = {"masked_lm": array([masks.slots], "float32"), **{name: array([], "float32") for name in more}}
    return inputs, labels, weights


def padded(rows: Sequence[Sequence[int]], pad_id: int, length: int) -> np.ndarray:
    """Rows of ids as one array int32 [N, length]; InputError for a row that is longer, or no row."""
    array = np.full((len(rows), length), pad_id, np.int32)
    for line, row in zip(array, rows, strict=True):
        if len(row) > length:
            raise InputError(
                f"a row holds {len(row)} ids, more than length={length}; cut it or give a greater length"
            )
        line[: len(row)] = row
    return array


def check_request(
    tokenizer: Tokenizer, length: int, batch_size: int, mask_rate: float, replace: tuple[float, float]
) -> None:
    """Raises InputError for what `masked_lm` and `sentence_pairs` cannot do."""
    check_whole("length", length, least=3)  # [CLS], a token, [SEP]
    check_whole("batch_size", batch_size)
    check_number("mask_rate", mask_rate, above=0, below=1)
    if not isinstance(replace, (tuple, list)) or len(replace) != 2 or min(replace) < 0 or sum(replace) > 1:
        raise InputError(
            f"replace is two shares, of [MASK] and of random tokens, at most 1 together; got {replace!r}"
        )
    if tokenizer.mask_id is None:
        raise InputError(f"{type(tokenizer).__name__} has no [MASK] token; use a WordPieceTokenizer")


def _rows(texts, tokenizer, length):
    """The stream of the texts in rows [CLS] ... [SEP], or rows of ids as they are."""
    if isinstance(texts, (str, os.PathLike)):
        texts = read_texts(texts)
    texts = list(texts)
    if not texts:
        raise InputError("there is no text to mask; give at least one text that is not empty")
    if not isinstance(texts[0], str):
        return texts
    ids = tokenizer.encode_batch(texts)
    stream = [token for row in ids for token in (*row, tokenizer.sep_id)][:-1]
    if not any(ids):
        raise InputError("there is no text to mask; give at least one text that is not empty")
    pieces = [stream[start : start + length - 2] for start in range(0, len(stream), length - 2)]
    return [[tokenizer.cls_id, *piece, tokenizer.sep_id] for piece in pieces]
