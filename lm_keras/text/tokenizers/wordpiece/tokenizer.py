"""BERT's pieces of words as tokens."""

import numpy as np

from lm_keras.errors import InputError, naming
from lm_keras.text import codepoints, detokenize, wordpiece_files, wordpiece_graph
from lm_keras.text.tokenizers.base import Tokenizer, register_tokenizer
from lm_keras.text.wordpiece_decoding import decoding_table
from lm_keras.text.wordpiece_training import SPECIAL_TOKENS, hugging_face, train_tokens


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

    def __init__(self, tokens, language="en", lowercase=False, strip_accents=None):
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
    def train(cls, texts, vocab_size=None, min_count=1, language="en", lowercase=False):
        """Takes the characters and pieces of `texts`, an iterable of strings, that occur `min_count` times.

        `vocab_size` counts the five special tokens too; None is BERT's, 30,522. There are fewer tokens where the
        texts do not hold as many.
        """
        return cls(train_tokens(texts, vocab_size, min_count, lowercase), language, lowercase)

    @classmethod
    def from_files(cls, vocab_txt, lowercase=True, strip_accents=None):
        """Reads a BERT vocabulary: a UTF-8 file of one token a line, in the order of the ids."""
        tokens = wordpiece_files.read_vocabulary(vocab_txt)
        with naming(vocab_txt):
            return cls(tokens, lowercase=lowercase, strip_accents=strip_accents)

    @classmethod
    def from_tokenizer_json(cls, path):
        """Reads the tokenizer.json of a BERT checkpoint; InputError for one that is built in another way."""
        tokens, lowercase, strip_accents = wordpiece_files.read_tokenizer_json(path)
        with naming(path):
            return cls(tokens, lowercase=lowercase, strip_accents=strip_accents)

    def encode(self, text):
        """Returns the ids of a text, without any mark at its ends."""
        return self._tokenizer.encode(codepoints.valid(text), add_special_tokens=False).ids

    def encode_batch(self, texts):
        texts = [codepoints.valid(text) for text in texts]
        return [row.ids for row in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids, previous=None):
        """Returns the text of the ids: words with spaces where English puts them, no special tokens but [UNK].

        The spaces are WordTokenizer's (`detokenize`); see `wordpiece_decoding` for what is special to pieces.
        `previous` is the id of the token before, that the text goes on from: whether it starts with a space.
        """
        places, surfaces = self._decode_table()
        size = self.vocab_size
        previous, *ids = (-1 if i is None or not 0 <= i < size else places[i] for i in (previous, *ids))
        return detokenize.decode(surfaces, ids, previous)

    def _decode_table(self):
        if self._decoding is None:
            silent = {self.pad_id, self.cls_id, self.sep_id, self.mask_id}
            self._decoding = decoding_table(self.tokens, silent)
        return self._decoding

    def tf_encode(self, strings):
        """Returns the ids of strings [B], ragged int32 [B, (n)], equal to `encode`. Core TensorFlow ops only."""
        strip = self.lowercase if self.strip_accents is None else self.strip_accents
        table = self.tf_resources()[0]
        return wordpiece_graph.tf_encode(strings, table, self._longest, self.unk_id, self.lowercase, strip)

    def tf_decode(self, ids, previous=None):
        """Returns the texts [B] of ids, ragged [B, (n)] or dense [B, T] with negative ids where there is nothing.

        `previous`: None, one id, or ids [B]; negative: nothing came before.
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

    def token_words(self):
        special = self.special_ids
        return [None if token.startswith("##") and i not in special else token for i, token in enumerate(self.tokens)]

    def build_tables(self):
        import tensorflow as tf

        prefixes = wordpiece_graph.prefix_table({token: i for i, token in enumerate(self.tokens)})
        self._longest = wordpiece_graph.longest(prefixes)
        keys, values = list(prefixes), list(prefixes.values())
        content = tf.lookup.KeyValueTensorInitializer(keys, values, tf.string, tf.int64)
        return [tf.lookup.StaticHashTable(content, default_value=-1)]

    def get_config(self):
        return super().get_config() | {"strip_accents": self.strip_accents}
