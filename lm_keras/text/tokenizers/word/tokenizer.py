"""NLTK's words as tokens."""

from itertools import chain

from lm_keras.errors import InputError
from lm_keras.text import segmentation, unicode
from lm_keras.text import segmentation as jieba_words
from lm_keras.text.tokenizers import base
from lm_keras.text.tokenizers.base import Tokenizer, register_tokenizer
from lm_keras.text.tokenizers.word import detokenize
from lm_keras.text.tokenizers.word.treebank import Treebank, tf_words


@register_tokenizer
class WordTokenizer(Tokenizer):
    """A token is a word or a punctuation mark, as NLTK's word tokenizer cuts them.

    ("zh": jieba; None: between spaces.) The vocabulary counts the words of whole sentences (`segmentation.words`).
    `encode` takes the text as one piece, for Punkt does not run in a graph; there the period of a sentence may stay
    on its word. So a token that is not in the vocabulary and ends in exactly one period is read as the word before
    it and ".". What is not known is `<unk>`; `<pad>` or `<eos>` in a text are never the special tokens. With
    language None there is no such back-off, and the word `<unk>` is the unknown token (Penn Treebank).
    "zh" cuts with a jieba of its own, whose `user_words` are saved with it: a change of the jieba that all share
    (`jieba.add_word`) after the training changes nothing, but for `del_word` of what its hidden Markov model finds.
    (With `user_words=None`, as in files of older versions, it takes that change as it is at the first text.)
    Ids: 0 `<pad>`, 1 `<unk>`, 2 `<eos>` (end and begin: bos_id == eos_id), then the words by frequency.
    """

    kind = "word"
    reserved = base.SPECIAL_TOKENS
    pad_id, unk_id = base.PAD_ID, base.UNK_ID
    bos_id = eos_id = base.EOS_ID

    def __init__(self, tokens, language="en", lowercase=False, user_words=None):
        segmentation.check_language(language)
        self.user_words = _checked(user_words, language, jieba_words.checked)
        super().__init__(tokens, language, lowercase)
        self._ids = {token: i for i, token in enumerate(tokens) if i >= len(base.SPECIAL_TOKENS)}
        self._period = None if language in (None, "zh") else self._ids.get(".")
        self._surfaces = detokenize.surfaces(self.tokens, language)
        self._treebank = self._cutter = None

    @classmethod
    def train(cls, texts, vocab_size=None, min_count=1, language="en", lowercase=False, user_words=None):
        """Takes the words of `texts`, an iterable of strings, that occur `min_count` times, the most frequent first.

        `vocab_size` counts the special tokens too; None keeps all words. `user_words`, for "zh": words that jieba
        does not know, {word: frequency}, or the path of a user dictionary in jieba's form (a word a line, its
        frequency and part of speech). Those that `jieba.load_userdict` or `jieba.add_word` added before are taken
        too.
        """
        user_words = _checked(user_words, language, jieba_words.given_words)
        smallest = len(base.SPECIAL_TOKENS) + 1
        base.check_size(vocab_size, smallest, "3 special tokens and a word")
        change = unicode.lower if lowercase else None
        if language == "zh":
            cutter = jieba_words.WordCutter(jieba_words.shared_words() | (user_words or {}))
            user_words = cutter.user_words
            cut = lambda text: cutter(change(text) if change else text)  # noqa: E731
        else:
            cut = lambda text: segmentation.words(text, language, change)  # noqa: E731
        counts = base.count(texts, lambda text: cut(unicode.valid(text)))
        tokens = base.choose(counts, vocab_size, min_count, base.SPECIAL_TOKENS)
        if len(tokens) < smallest:
            raise InputError(f"no word of the training texts occurs {min_count} times: give a smaller min_count")
        return cls(tokens, language, lowercase, user_words)

    def encode(self, text):
        """Returns the ids of a text, without any mark at its ends."""
        text = self.normalize(text)
        if self.language == "zh":
            if self._cutter is None:
                changed = jieba_words.shared_words() if self.user_words is None else self.user_words
                self._cutter = jieba_words.WordCutter(changed)
                self.user_words = self._cutter.user_words  # what `save` writes
            return self._lookup(self._cutter(text))
        if self.language is None:
            return self._lookup(segmentation.words(text, None))
        if self._treebank is None:
            self._treebank = Treebank(self._lookup)
        return self._treebank(text)

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
        strings = self.tf_normalize(strings)
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
        return detokenize.tf_decode(self._surfaces, self.tf_ragged(ids), previous)

    def build_tables(self):
        import tensorflow as tf

        words, ids = list(self._ids), list(self._ids.values())
        content = tf.lookup.KeyValueTensorInitializer(words, ids, tf.string, tf.int64)
        return [tf.lookup.StaticHashTable(content, default_value=-1)]

    def get_config(self):
        return super().get_config() | ({} if self.user_words is None else {"user_words": self.user_words})


def _checked(user_words, language, check):
    user_words = None if user_words is None else check(user_words)
    if user_words is not None and language != "zh":
        raise InputError(f"user_words are for language 'zh', which jieba cuts, not for {language!r}")
    return user_words
