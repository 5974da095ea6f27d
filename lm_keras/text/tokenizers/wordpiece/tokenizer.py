"""BERT's pieces of words as tokens."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_keras.errors import InputError, naming
from lm_keras.text.tokenizers.base import Tokenizer, register_tokenizer
from lm_keras.text.tokenizers.word import detokenize
from lm_keras.text.tokenizers.wordpiece import graph
from lm_keras.text.tokenizers.wordpiece.characters import normalizer
from lm_keras.text.tokenizers.wordpiece.vocabulary import (
    SPECIAL_TOKENS,
    hugging_face,
    read_tokenizer_json,
    read_vocabulary,
    train_tokens,
)
from lm_keras.text.unicode import valid

if TYPE_CHECKING:
    import tensorflow as tf
    from typing_extensions import Self

_SHIFT = 3  # detokenize takes the ids 0 and 2 for the marks of the other tokenizers


@register_tokenizer
class WordPieceTokenizer(Tokenizer):
    """BERT's tokens: cleaned words and single punctuation marks, then the longest piece that fits first.

    Pieces inside a word are written `##piece`; a word that cannot be put together, or is longer than 100 characters,
    is `[UNK]`. Ids equal those of Hugging Face's BertTokenizer, but for special tokens in a text: "[MASK]" is three
    pieces of text, never the mask (`mask_id` is for ids made by code), and `encode` adds no marks (`encode_pair`
    does). `strip_accents` None means: as `lowercase`. `language` is kept, but changes nothing.
    """

    kind = "wordpiece"
    cuts_at_words = True

    def __init__(
        self,
        tokens: Sequence[str],
        language: str | None = "en",
        lowercase: bool = False,
        strip_accents: bool | None = None,
    ) -> None:
        """As `Tokenizer`.

        Args:
            tokens: The vocabulary of a BERT model, [PAD], [UNK], [CLS], [SEP] and [MASK] anywhere in it.
            language: Kept; it changes nothing.
            lowercase: Whether texts are read in lower case.
            strip_accents: Whether é is read as e; None: as `lowercase`.
        """
        super().__init__(tokens, language, lowercase)
        missing = [token for token in SPECIAL_TOKENS if token not in tokens]
        if missing:
            raise InputError(f"a WordPiece vocabulary must hold {', '.join(missing)}: give the one of a BERT model")
        if not isinstance(strip_accents, bool | None):
            raise InputError(f"strip_accents {strip_accents!r} is not possible: give True, False or None")
        self.strip_accents = strip_accents
        ids = {token: i for i, token in enumerate(tokens)}
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = map(ids.get, SPECIAL_TOKENS)
        self.bos_id, self.eos_id = self.cls_id, self.sep_id
        self._tokenizer = hugging_face(ids, lowercase, strip_accents)
        self._decoding = None

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        min_count: int = 1,
        language: str | None = "en",
        lowercase: bool = False,
    ) -> "Self":
        """Returns a tokenizer of the characters and pieces of words that are frequent in texts.

        Args:
            texts: An iterable of str, read once.
            vocab_size: The most tokens, with 5 special ones; None: BERT's 30,522. A small text gives fewer.
            min_count: How often what becomes a token must occur.
            language: Kept; it changes nothing.
            lowercase: Whether texts are read in lower case.

        Raises:
            InputError: For no text, or impossible sizes.
        """
        return cls(train_tokens(texts, vocab_size, min_count, lowercase), language, lowercase)

    @classmethod
    def from_files(cls, vocab_txt: str | Path, lowercase: bool = True, strip_accents: bool | None = None) -> "Self":
        """Reads a BERT vocabulary.

        Args:
            vocab_txt: A file in UTF-8, one token a line, in the order of the ids.
            lowercase: Whether texts are read in lower case.
            strip_accents: Whether é is read as e; None: as `lowercase`.

        Raises:
            InputError: For a file that is none.
        """
        tokens = read_vocabulary(vocab_txt)
        with naming(vocab_txt):
            return cls(tokens, lowercase=lowercase, strip_accents=strip_accents)

    @classmethod
    def from_tokenizer_json(cls, path: str | Path) -> "Self":
        """Reads the tokenizer.json of a BERT checkpoint.

        Raises:
            InputError: For one that is built in another way.
        """
        tokens, lowercase, strip_accents = read_tokenizer_json(path)
        with naming(path):
            return cls(tokens, lowercase=lowercase, strip_accents=strip_accents)

    def encode(self, text: str | bytes) -> list[int]:
        """Returns the ids of a text, without any mark at its ends."""
        return self._tokenizer.encode(valid(text), add_special_tokens=False).ids

    def encode_batch(self, texts: Iterable[str | bytes]) -> list[list[int]]:
        """Returns the ids of each text, faster than one by one."""
        texts = [valid(text) for text in texts]
        return [row.ids for row in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Iterable[int], previous: int | None = None) -> str:
        """Returns the text of ids: words with spaces where English puts them, no marks but [UNK].

        The spaces are WordTokenizer's (`detokenize`); see `_decoding_table` for what is special to pieces.

        Args:
            ids: Integers.
            previous: The id of the token before, that the text goes on from: whether it starts with a space.
        """
        places, surfaces = self._decode_table()
        size = self.vocab_size
        previous, *ids = (-1 if i is None or not 0 <= i < size else places[i] for i in (previous, *ids))
        return detokenize.decode(surfaces, ids, previous)

    def _decode_table(self) -> tuple[list[int], tuple]:
        if self._decoding is None:
            silent = {self.pad_id, self.cls_id, self.sep_id, self.mask_id}
            self._decoding = _decoding_table(self.tokens, silent)
        return self._decoding

    def tf_encode(self, strings: "tf.Tensor") -> "tf.RaggedTensor":
        """Returns the ids of strings [B], ragged int32 [B, (n)], equal to `encode`. Core TensorFlow ops only."""
        strip = self.lowercase if self.strip_accents is None else self.strip_accents
        table = self.tf_resources()[0]
        return graph.tf_encode(strings, table, self._longest, self.unk_id, self.lowercase, strip)

    def tf_decode(self, ids: "tf.Tensor | tf.RaggedTensor", previous: "tf.Tensor | int | None" = None) -> "tf.Tensor":
        """Returns the texts [B] of ids, as `decode`: ragged [B, (n)], or dense [B, T], negative for nothing.

        Args:
            ids: The ids.
            previous: None, one id, or ids [B]; negative: nothing came before.
        """
        import tensorflow as tf

        places, surfaces = self._decode_table()
        places, size = np.array([*places, -1], np.int32), self.vocab_size

        def placed(i):
            i = tf.cast(i, tf.int32)
            return tf.gather(places, tf.where((i >= 0) & (i < size), i, size))

        ids = self.tf_ragged(ids)
        ids = ids.with_flat_values(placed(ids.flat_values))
        return detokenize.tf_decode(surfaces, ids, None if previous is None else placed(previous))

    def token_words(self) -> list[str | None]:
        """Returns the words; None for a piece inside of a word."""
        special = self.special_ids
        return [None if token.startswith("##") and i not in special else token for i, token in enumerate(self.tokens)]

    def build_tables(self) -> list[Any]:
        """Returns the table of `graph.prefix_table`, -1 for what begins no piece."""
        import tensorflow as tf

        prefixes = graph.prefix_table({token: i for i, token in enumerate(self.tokens)})
        self._longest = graph.longest(prefixes)
        keys, values = list(prefixes), list(prefixes.values())
        content = tf.lookup.KeyValueTensorInitializer(keys, values, tf.string, tf.int64)
        return [tf.lookup.StaticHashTable(content, default_value=-1)]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, as JSON has them."""
        return super().get_config() | {"strip_accents": self.strip_accents}


def _decoding_table(tokens: Sequence[str], silent: set[int]) -> tuple[list[int], tuple]:
    """Returns (place of each id, -1 for the `silent` ones; the table of `detokenize` at these places).

    What is special to pieces: one with "##" is glued to what is before it. Marks glue only where BERT cuts beside
    them in any case, so that decoded text is read the same again. There is no space beside an ideograph or a Chinese
    mark. An apostrophe is glued to the word before it and to a contraction after it: don ' t is don't, dogs ' toys
    is dogs' toys. A straight quote or a hyphen has spaces on both sides, as in BERT's own decoder: the ids do not say
    where it belongs.
    """
    texts = [""] * _SHIFT + [token[2:] if _goes_on(token) else token for token in tokens]
    texts, right, left = detokenize.surfaces(texts, "en")
    masks = {sign: [side[0] for side in detokenize.surfaces([sign], "en")[1:]] for sign in "a’"}
    for i, text in enumerate(texts[:-1]):
        if len(text) != 1 or (text.isalnum() and text < "\u2e80"):
            continue
        if not _stands_alone(text):  # for BERT a letter, as £: a space beside it tells two words apart
            right[i], left[i] = masks["a"]
        elif text >= "\u2e80":  # below it are quotes that English text has too
            right[i], left[i] = (side[0] for side in detokenize.surfaces([text], "zh")[1:])
        elif text == "'":
            right[i] = masks["’"][0]
    for i, token in enumerate(tokens, _SHIFT):
        if _goes_on(token):
            left[i] = left[-1]  # the mask that is glued to everything
    return [-1 if i in silent else i + _SHIFT for i in range(len(tokens))], (texts, right, left)


def _goes_on(token: str) -> bool:
    return token.startswith("##") and len(token) > 2


def _stands_alone(char: str) -> bool:
    from tokenizers import pre_tokenizers

    text = normalizer(False, False).normalize_str(f"a{char}a")
    return len(pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)) == 3
