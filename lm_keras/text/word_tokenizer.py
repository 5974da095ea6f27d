"""NLTK's words as tokens."""

from itertools import chain

from lm_keras.errors import InputError
from lm_keras.text import codepoints, detokenize, segmentation, vocabulary
from lm_keras.text.treebank import Treebank
from lm_keras.text.treebank_graph import tf_words


class WordTokenizer:
    """A token is a word or a punctuation mark, as NLTK's word tokenizer cuts them.

    ("zh": jieba; None: between spaces.) The vocabulary counts the words of whole sentences (`segmentation.words`).
    `encode` takes the text as one piece, for Punkt does not run in a graph; there the period of a sentence may stay
    on its word. So a token that is not in the vocabulary and ends in exactly one period is read as the word before
    it and ".". What is not known is `<unk>`; `<pad>` or `<eos>` in a text are never the special tokens. With
    language None there is no such back-off, and the word `<unk>` is the unknown token (Penn Treebank).
    Ids: 0 `<pad>`, 1 `<unk>`, 2 `<eos>` (end and begin: bos_id == eos_id), then the words by frequency.
    """

    kind = "word"
    pad_id, unk_id = vocabulary.PAD_ID, vocabulary.UNK_ID
    bos_id = eos_id = vocabulary.EOS_ID

    def __init__(self, tokens, language="en", lowercase=False):
        segmentation.check_language(language)
        vocabulary.check_tokens(tokens, vocabulary.SPECIAL_TOKENS)
        self.tokens, self.language, self.lowercase = list(tokens), language, lowercase
        self.vocab_size = len(tokens)
        self._ids = {token: i for i, token in enumerate(tokens) if i >= len(vocabulary.SPECIAL_TOKENS)}
        self._period = None if language in (None, "zh") else self._ids.get(".")
        self._surfaces = detokenize.surfaces(self.tokens, language)
        self._treebank = self._table = None

    @classmethod
    def train(cls, texts, vocab_size=None, min_count=1, language="en", lowercase=False):
        """Takes the words of `texts`, an iterable of strings, that occur `min_count` times, the most frequent first.

        `vocab_size` counts the special tokens too; None keeps all words.
        """
        smallest = len(vocabulary.SPECIAL_TOKENS) + 1
        vocabulary.check_size(vocab_size, smallest, "3 special tokens and a word")
        change = codepoints.lower if lowercase else None
        counts = vocabulary.count(texts, lambda text: segmentation.words(codepoints.valid(text), language, change))
        tokens = vocabulary.choose(counts, vocab_size, min_count, vocabulary.SPECIAL_TOKENS)
        if len(tokens) < smallest:
            raise InputError(f"no word of the training texts occurs {min_count} times: give a smaller min_count")
        return cls(tokens, language, lowercase)

    def encode(self, text):
        """Returns the ids of a text, without any mark at its ends."""
        text = codepoints.valid(text)
        if self.lowercase:
            text = codepoints.lower(text)
        if self.language in (None, "zh"):
            return self._lookup(segmentation.words(text, self.language))
        if self._treebank is None:
            self._treebank = Treebank(self._lookup)
        return self._treebank(text)

    def encode_batch(self, texts):
        return [self.encode(text) for text in texts]

    def _lookup(self, words):
        get = self._ids.get
        ids = [get(word) for word in words]
        if None not in ids:
            return ids
        return list(
            chain.from_iterable([i] if i is not None else self._back_off(w) for i, w in zip(ids, words, strict=True))
        )

    def _back_off(self, word):
        if self._period is None or len(word) < 2 or word[-1] != "." or word[-2] == ".":
            return [self.unk_id]
        return [self._ids.get(word[:-1], self.unk_id), self._period]

    def decode(self, ids, previous=None):
        """Returns the text of the ids: words with spaces where English puts them, quotes as `"`, no special tokens.

        `previous` is the id of the token before, that the text goes on from: whether it starts with a space.
        """
        return detokenize.decode(self._surfaces, ids, previous)

    def tf_encode(self, strings):
        """Returns the ids of strings [B], ragged int32 [B, (n)], equal to `encode`. Core TensorFlow ops only."""
        import tensorflow as tf

        if self.language == "zh":
            message = "jieba does not run in a TensorFlow graph; use CharTokenizer for a model that is exported"
            raise InputError(message)
        strings = codepoints.tf_lower(strings) if self.lowercase else codepoints.tf_valid(strings)
        # tf.strings.split cuts at ASCII spaces, as segmentation.words does for None.
        words = tf.strings.split(strings) if self.language is None else tf_words(strings)
        table = self.tf_resources()[0]
        ids = tf.cast(table.lookup(words.flat_values), tf.int32)
        if self._period is None:
            return words.with_flat_values(tf.maximum(ids, self.unk_id))
        # Each unknown word is cut into what is before its period and ".", all others into the word and nothing.
        cut = (ids < 0) & tf.strings.regex_full_match(words.flat_values, r"(?s).*[^.]\.")
        unknown = tf.where(cut)[:, 0]
        before = tf.strings.regex_replace(tf.gather(words.flat_values, unknown), r"\.$", "")
        ids = tf.tensor_scatter_nd_update(ids, unknown[:, None], tf.cast(table.lookup(before), tf.int32))
        period = tf.where(cut, self._period, -1)
        pairs = words.with_flat_values(tf.stack([tf.maximum(ids, self.unk_id), period], axis=1)).merge_dims(1, 2)
        return tf.ragged.boolean_mask(pairs, pairs >= 0)

    def tf_decode(self, ids, previous=None):
        """Returns the texts [B] of ids, ragged [B, (n)] or dense [B, T] with negative ids where there is nothing.

        `previous`: None, one id, or ids [B]; negative: nothing came before.
        """
        return detokenize.tf_decode(self._surfaces, vocabulary.tf_ragged(ids), previous)

    def tf_resources(self):
        """The tables that an exported tf.Module must hold."""
        import tensorflow as tf

        if self._table is None:
            with tf.init_scope():  # outside of a function that is being traced, so that all functions share it
                words, ids = list(self._ids), list(self._ids.values())
                content = tf.lookup.KeyValueTensorInitializer(words, ids, tf.string, tf.int64)
                self._table = tf.lookup.StaticHashTable(content, default_value=-1)
        return [self._table]

    def save(self, folder):
        vocabulary.save(folder, self.kind, self)
