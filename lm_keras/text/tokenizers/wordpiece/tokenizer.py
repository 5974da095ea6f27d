"""BERT's pieces of words as tokens."""

import numpy as np

from lm_keras.errors import InputError, naming
from lm_keras.text import unicode
from lm_keras.text.tokenizers.base import Tokenizer, register_tokenizer
from lm_keras.text.tokenizers.word import detokenize
from lm_keras.text.tokenizers.wordpiece import graph, vocabulary
from lm_keras.text.tokenizers.wordpiece.graph import decoding_table
from lm_keras.text.tokenizers.wordpiece.vocabulary import SPECIAL_TOKENS, hugging_face, train_tokens
from lm_keras.utils.checks import check_whole


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
        tokens = vocabulary.read_vocabulary(vocab_txt)
        with naming(vocab_txt):
            return cls(tokens, lowercase=lowercase, strip_accents=strip_accents)

    @classmethod
    def from_tokenizer_json(cls, path):
        """Reads the tokenizer.json of a BERT checkpoint; InputError for one that is built in another way."""
        tokens, lowercase, strip_accents = vocabulary.read_tokenizer_json(path)
        with naming(path):
            return cls(tokens, lowercase=lowercase, strip_accents=strip_accents)

    def encode(self, text):
        """Returns the ids of a text, without any mark at its ends."""
        return self._tokenizer.encode(unicode.valid(text), add_special_tokens=False).ids

    def encode_batch(self, texts):
        texts = [unicode.valid(text) for text in texts]
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
        return graph.tf_encode(strings, table, self._longest, self.unk_id, self.lowercase, strip)

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

        prefixes = graph.prefix_table({token: i for i, token in enumerate(self.tokens)})
        self._longest = graph.longest(prefixes)
        keys, values = list(prefixes), list(prefixes.values())
        content = tf.lookup.KeyValueTensorInitializer(keys, values, tf.string, tf.int64)
        return [tf.lookup.StaticHashTable(content, default_value=-1)]

    def get_config(self):
        return super().get_config() | {"strip_accents": self.strip_accents}


# === [CLS] first [SEP] second [SEP]: the input of BERT for one text or two ===
# What is too long is cut by Hugging Face's rule "longest first": the shorter of two texts keeps up to half of the
# room, the longer one all the rest. (Google's own code differs by one token where both are cut, the room is odd and
# the first text is not the longer one: there the first keeps the odd token.)


def encode_pair(tokenizer, first, second=None, max_length=None):
    """Returns (token_ids, segment_ids), lists of equal length; without `second` [CLS] first [SEP]."""
    a, b = tokenizer.encode(first), None if second is None else tokenizer.encode(second)
    if max_length is not None:
        room = _room(max_length, second is not None, "max_length")
        half = room // 2
        if b is None:
            a = a[:room]
        elif len(a) <= len(b):
            a = a[:half]
            b = b[: room - len(a)]
        else:
            b = b[:half]
            a = a[: room - len(b)]
    ids, segments = [tokenizer.cls_id, *a, tokenizer.sep_id], [0] * (len(a) + 2)
    if b is None:
        return ids, segments
    return [*ids, *b, tokenizer.sep_id], segments + [1] * (len(b) + 1)


def tf_encode_pair(tokenizer, firsts, seconds, length):
    """`encode_pair` of strings [B] in the graph, padded: {"token_ids", "segment_ids", "padding_mask"} [B, length].

    All are int32; the mask is 1 where there is a token, 0 at [PAD]; [PAD] has segment 0.
    """
    import tensorflow as tf

    room = _room(length, seconds is not None, "length")
    firsts = tf.convert_to_tensor(firsts)
    ids = tokenizer.tf_encode(firsts if seconds is None else tf.concat([firsts, seconds], 0))
    size, starts = tf.size(firsts), tf.cast(ids.row_splits, tf.int32)
    # All below is [B, 1], and with `place` [B, length]: what stands at each place of a row.
    starts, lengths = starts[:-1, None], (starts[1:] - starts[:-1])[:, None]
    place = tf.range(length)[None]
    if seconds is None:
        a = tf.minimum(lengths, room)
        end = total = a + 2
        index = place - 1 + starts
    else:
        a, b = lengths[:size], lengths[size:]
        half_a, half_b = tf.minimum(a, room // 2), tf.minimum(b, room // 2)
        a, b = (
            tf.where(a <= b, half_a, tf.minimum(a, room - half_b)),
            tf.where(a <= b, tf.minimum(b, room - half_a), half_b),
        )
        end, total = a + 2, a + b + 3
        index = tf.where(place < end, place - 1 + starts[:size], place - end + starts[size:])
    mark = (place == end - 1) | (place == total - 1)
    text = (place > 0) & (place < total) & ~mark
    flat = tf.concat([ids.flat_values, [0]], 0)  # never empty
    token_ids = tf.where(text, tf.gather(flat, tf.where(text, index, 0)), tokenizer.pad_id)
    token_ids = tf.where(place == 0, tokenizer.cls_id, tf.where(mark, tokenizer.sep_id, token_ids))
    return {
        "token_ids": token_ids,
        "segment_ids": tf.cast((place >= end) & (place < total), tf.int32),
        "padding_mask": tf.cast(place < total, tf.int32),
    }


def _room(length, is_pair, name):
    marks = 3 if is_pair else 2
    return check_whole(f"{name} (with {marks} marks)", length, marks) - marks
