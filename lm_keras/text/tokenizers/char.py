"""Characters as tokens, with bytes for the characters that are not in the vocabulary."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer, register_tokenizer
from lm_keras.text.tokenizers.vocabulary import EOS_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID, check_size, choose, count
from lm_keras.text.unicode import page_table, tf_lower_codes, tf_page_lookup, tf_valid

if TYPE_CHECKING:
    import tensorflow as tf
    from typing_extensions import Self

BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_RESERVED = (*SPECIAL_TOKENS, *BYTES)
_FIRST_BYTE = len(SPECIAL_TOKENS)


@register_tokenizer
class CharTokenizer(Tokenizer):
    """A token is a character (a Unicode code point); one outside the vocabulary is written as its UTF-8 bytes.

    So nothing is unknown, and `decode(encode(text)) == text` for any valid text (its lower case with `lowercase`).
    Ids: 0 `<pad>`, 1 `<unk>` (never produced), 2 `<eos>` (end and begin: bos_id == eos_id), 3..258 the bytes, then
    the characters by frequency. `tokens`: the list of all of them, `vocab_size` long.
    """

    kind = "char"
    reserved = _RESERVED
    pad_id, unk_id = PAD_ID, UNK_ID
    bos_id = eos_id = EOS_ID

    def __init__(self, tokens: Sequence[str], language: str | None = "en", lowercase: bool = False) -> None:
        """As `Tokenizer`, of tokens that this class has trained."""
        super().__init__(tokens, language, lowercase)
        if any(len(token) != 1 for token in tokens[len(_RESERVED) :]):
            raise InputError("a character tokenizer's tokens must be single characters: train it again")
        self._ids = {token: i for i, token in enumerate(tokens) if i >= len(_RESERVED)}
        # What each id decodes to, as bytes; one more entry for ids that are not in the vocabulary.
        raw_bytes = [bytes([byte]) for byte in range(256)]
        self._surface = [b""] * _FIRST_BYTE + raw_bytes + [token.encode() for token in self._ids] + [b""]

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        min_count: int = 1,
        language: str | None = "en",
        lowercase: bool = False,
    ) -> "Self":
        """Returns a tokenizer of the characters of texts, the most frequent first.

        Args:
            texts: An iterable of str, read once.
            vocab_size: The most tokens, with 3 special ones and 256 bytes; None: all characters.
            min_count: How often a character must occur.
            language: Kept; it changes nothing.
            lowercase: Whether texts are read in lower case.

        Raises:
            InputError: For no text, or impossible sizes.
        """
        check_size(vocab_size, len(_RESERVED), "3 special tokens and 256 bytes")
        empty = cls(_RESERVED, language, lowercase)
        counts = count(texts, empty.normalize)
        return cls(choose(counts, vocab_size, min_count, _RESERVED), language, lowercase)

    def encode(self, text: str | bytes) -> list[int]:
        """Returns the ids of a text, without any mark at its ends."""
        text = self.normalize(text)
        ids = list(map(self._ids.get, text))
        if None not in ids:
            return ids
        pairs = zip(ids, text, strict=True)
        return list(chain.from_iterable([i] if i is not None else _byte_ids(char) for i, char in pairs))

    def decode(self, ids: Iterable[int], previous: int | None = None) -> str:
        """Returns the text of ids. Marks are nothing; bytes that are not UTF-8 become U+FFFD.

        Args:
            ids: Integers.
            previous: The id of the token before; it changes nothing here.
        """
        surface, size = self._surface, self.vocab_size
        return b"".join(surface[i] for i in ids if 0 <= i < size).decode("utf-8", errors="replace")

    def token_words(self) -> list[str | None]:
        """Returns the characters; None for a byte."""
        return [None if token in BYTES else token for token in self.tokens]

    def tf_encode(self, strings: "tf.Tensor") -> "tf.RaggedTensor":
        """Returns the ids of strings [B], ragged int32 [B, (n)], equal to `encode`. Core TensorFlow ops only."""
        import tensorflow as tf

        codes = tf.strings.unicode_decode(strings, "UTF-8", errors="replace")
        char = tf_lower_codes(codes.flat_values) if self.lowercase else codes.flat_values
        table = page_table({ord(token): i for token, i in self._ids.items()}, default=-1)
        ids = tf_page_lookup(table, char)
        # The k-th id of a character that has n of them: the character's own, or its k-th UTF-8 byte. The last of n
        # bytes holds the lowest six bits, the one before it the next six; the first byte is marked with n ones.
        num_bytes = 1 + sum(tf.cast(char >= first, tf.int32) for first in (0x80, 0x800, 0x10000))
        lengths = tf.where(ids >= 0, 1, num_bytes)
        ends = tf.concat([[0], tf.cumsum(lengths)], axis=0)
        row = tf.repeat(tf.range(tf.size(char)), lengths)
        k = tf.range(tf.size(row)) - tf.gather(ends, row)
        char, n = tf.gather(char, row), tf.gather(num_bytes, row)
        rest = tf.bitwise.right_shift(char, 6 * (n - 1 - k))
        lead = tf.gather(tf.constant([0, 0, 0xC0, 0xE0, 0xF0]), n)
        byte = tf.where(k == 0, lead + rest, 0x80 + rest % 64)
        ids = tf.gather(ids, row)
        ids = tf.where(ids >= 0, ids, _FIRST_BYTE + byte)
        splits = tf.cast(tf.gather(ends, codes.row_splits), tf.int64)
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)

    def tf_decode(self, ids: "tf.Tensor | tf.RaggedTensor", previous: "tf.Tensor | int | None" = None) -> "tf.Tensor":
        """Returns the texts [B] of ids, as `decode`: ragged [B, (n)], or dense [B, T], negative for nothing."""
        import tensorflow as tf

        ids = self.tf_ragged(ids)
        flat = ids.flat_values
        flat = tf.where((flat >= 0) & (flat < self.vocab_size), flat, self.vocab_size)
        pieces = ids.with_flat_values(tf.gather(tf.constant(self._surface), flat))
        return tf_valid(tf.strings.reduce_join(pieces, axis=1))


def _byte_ids(char: str) -> list[int]:
    return [_FIRST_BYTE + byte for byte in char.encode()]
