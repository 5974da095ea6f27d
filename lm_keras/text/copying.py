"""Ids of a source's own words: of a model that copies what its vocabulary has not."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.tokenizers.word.tokenizer import WordTokenizer

if TYPE_CHECKING:
    import tensorflow as tf


class SourceIds(list):
    """The ids of a source.

    Attributes:
        words: Its words that are not in the vocabulary, at most K, in the order in which they first stand in it.
    """

    def __init__(self, ids: Iterable[int], words: Sequence[str]):
        super().__init__(ids)
        self.words = list(words)


class CopyingTokenizer:
    """The ids of a `WordTokenizer` of V words, and K more: the words that one source has and the vocabulary has not.

    The j-th different unknown word of a source has the id V + j - 1, and so has it in the target of that source. From
    the K + 1-th on, and in a target that has words of its own, they are the unknown word. The same in Python and in a
    graph.

    Args:
        tokenizer: That of source and target.
        copy_slots: K, as of the model (`build_pointer_generator`).
        max_tokens: The most tokens of a source that are read, its first ones; None: all.

    Raises:
        InputError: For a tokenizer that does not cut texts into words.

    Example:

    ```python
    tokenizer = lk.text.WordTokenizer.train(["my name is Ann", "hello Ann"])
    copying = lk.text.CopyingTokenizer(tokenizer, copy_slots=2)
    source = copying.encode("my name is Quine")
    target = copying.encode_target("hello Quine", source.words)
    assert source[-1] == target[-1] == tokenizer.vocab_size
    assert copying.decode(target, source.words) == "hello Quine"
    ```
    """

    def __init__(self, tokenizer: Tokenizer, copy_slots: int, max_tokens: int | None = None):
        if not isinstance(tokenizer, WordTokenizer):
            raise InputError(
                f"a model that copies words needs a WordTokenizer, and this is a {type(tokenizer).__name__}; give "
                "one, or a model that does not copy"
            )
        self.tokenizer, self.copy_slots, self.max_tokens = tokenizer, copy_slots, max_tokens
        self.vocab_size = tokenizer.vocab_size + copy_slots
        self.tokens = [*tokenizer.tokens, *(f"<copy {j}>" for j in range(copy_slots))]
        self.pad_id, self.unk_id, self.bos_id = tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id
        self.eos_id, self.end_ids = tokenizer.eos_id, tokenizer.end_ids

    def encode(self, text: str | bytes) -> SourceIds:
        """Returns the ids of a source, without any mark at its ends."""
        first, places, ids = self.tokenizer.vocab_size, {}, []
        for i, word in self.tokenizer.encode_words(text)[: self.max_tokens]:
            if i == self.unk_id and (word in places or len(places) < self.copy_slots):
                i = first + places.setdefault(word, len(places))
            ids.append(i)
        return SourceIds(ids, places)

    def encode_target(self, text: str | bytes, words: Sequence[str]) -> list[int]:
        """Returns the ids of a target.

        Args:
            text: The target.
            words: Those of its source, `encode(source).words`.
        """
        first, unknown = self.tokenizer.vocab_size, self.unk_id
        places = {word: first + j for j, word in enumerate(words)}
        return [places.get(word, i) if i == unknown else i for i, word in self.tokenizer.encode_words(text)]

    def encode_pairs(self, pairs: Iterable[tuple[str, str]]) -> tuple[list[SourceIds], list[list[int]]]:
        """Returns the ids of the sources and those of the targets of pairs, without marks, as `data.pairs` takes."""
        pairs = list(pairs)
        sources = [self.encode(source) for source, _ in pairs]
        targets = [self.encode_target(pair[1], ids.words) for pair, ids in zip(pairs, sources, strict=True)]
        return sources, targets

    def decode(self, ids: Iterable[int], words: Sequence[str] = (), previous: int | None = None) -> str:
        """Returns the text of ids.

        Args:
            ids: Integers.
            words: Those of the source; an id of none of them is nothing.
            previous: The id of the token before, that the text goes on from.
        """
        return self.tokenizer.decode(ids, previous, words)

    def token(self, i: int, words: Sequence[str]) -> str:
        """Returns the token of an id: that of the vocabulary, or one of the words of a source."""
        place = i - self.tokenizer.vocab_size
        return words[place] if 0 <= place < len(words) else self.tokens[i]

    def tf_encode(self, strings: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
        """Returns what `encode` does, of strings [B]: int32 [B, S], filled up with -1; and words [B, K], or ""."""
        import tensorflow as tf

        ids, words = self.tokenizer.tf_encode_words(strings)
        if self.max_tokens is not None:
            ids, words = ids[:, : self.max_tokens], words[:, : self.max_tokens]
        unknown = tf.where(ids.flat_values == self.unk_id)  # places in all texts
        row, word = (tf.gather_nd(part, unknown) for part in (words.value_rowids(), words.flat_values))
        # Different words of all rows, in the order of their first places: those of a row stand side by side.
        different, which = tf.unique(tf.strings.join([tf.strings.as_string(row), word], " "))
        first = tf.math.unsorted_segment_min(tf.range(tf.size(which)), which, tf.size(different))
        own = tf.RaggedTensor.from_value_rowids(tf.gather(word, first), tf.gather(row, first), nrows=words.nrows())
        slot = which - tf.gather(tf.cast(own.row_starts(), tf.int32), row)
        new = tf.where(slot < self.copy_slots, self.tokenizer.vocab_size + slot, self.unk_id)
        ids = ids.with_flat_values(tf.tensor_scatter_nd_update(ids.flat_values, unknown, new))
        return ids.to_tensor(-1), own.to_tensor("", shape=[None, self.copy_slots])

    def tf_decode(
        self, ids: "tf.Tensor | tf.RaggedTensor", words: "tf.Tensor", previous: "tf.Tensor | int | None" = None
    ) -> "tf.Tensor":
        """Returns the texts [B] of ids, as `decode`: ragged [B, (n)] or dense [B, T]; words [B, K] of `tf_encode`."""
        return self.tokenizer.tf_decode(ids, previous, words)
