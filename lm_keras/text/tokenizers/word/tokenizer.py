"""NLTK's words as tokens."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_keras.errors import InputError
from lm_keras.text import segmentation
from lm_keras.text.tokenizers.base import Tokenizer, register_tokenizer
from lm_keras.text.tokenizers.vocabulary import EOS_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID, check_size, choose, count
from lm_keras.text.tokenizers.word import detokenize
from lm_keras.text.tokenizers.word.treebank import Treebank, tf_words
from lm_keras.text.unicode import lower, valid

if TYPE_CHECKING:
    import tensorflow as tf
    from typing_extensions import Self


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
    reserved = SPECIAL_TOKENS
    pad_id, unk_id = PAD_ID, UNK_ID
    bos_id = eos_id = EOS_ID

    def __init__(
        self,
        tokens: Sequence[str],
        language: str | None = "en",
        lowercase: bool = False,
        user_words: Mapping[str, int | None] | None = None,
    ) -> None:
        """As `Tokenizer`.

        Args:
            tokens: The vocabulary: `reserved`, then words.
            language: "en" or another language that `lk.text.words` knows, "zh", or None: words between spaces.
            lowercase: Whether texts are read in lower case.
            user_words: Of "zh": {word: frequency} beside jieba's own dictionary.
        """
        segmentation.check_language(language)
        self.user_words = _checked(user_words, language, segmentation.check_user_words)
        super().__init__(tokens, language, lowercase)
        self._ids = {token: i for i, token in enumerate(tokens) if i >= len(SPECIAL_TOKENS)}
        self._period = None if language in (None, "zh") else self._ids.get(".")
        self._surfaces = detokenize.surfaces(self.tokens, language)
        self._treebanks, self._cutter = {}, None

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        min_count: int = 1,
        language: str | None = "en",
        lowercase: bool = False,
        user_words: Mapping[str, int | None] | Iterable[str] | str | Path | None = None,
    ) -> "Self":
        """Returns a tokenizer of the words of texts, the most frequent first.

        Args:
            texts: An iterable of str, read once.
            vocab_size: The most tokens, with 3 special ones; None: all words.
            min_count: How often a word must occur.
            language: As of the class.
            lowercase: Whether texts are read in lower case.
            user_words: Of "zh": words that jieba does not know, {word: frequency} or the path of a user dictionary
                in jieba's form (a word a line, its frequency and part of speech). Those that `jieba.load_userdict`
                or `jieba.add_word` added before are taken too.

        Raises:
            InputError: For no text, impossible sizes, or another language.
        """
        user_words = _checked(user_words, language, segmentation.read_user_words)
        smallest = len(SPECIAL_TOKENS) + 1
        check_size(vocab_size, smallest, "3 special tokens and a word")
        change = lower if lowercase else None
        if language == "zh":
            cutter = segmentation.WordCutter(segmentation.shared_words() | (user_words or {}))
            user_words = cutter.user_words
            cut = lambda text: cutter(change(text) if change else text)  # noqa: E731
        else:
            cut = lambda text: segmentation.words(text, language, change)  # noqa: E731
        counts = count(texts, lambda text: cut(valid(text)))
        tokens = choose(counts, vocab_size, min_count, SPECIAL_TOKENS)
        if len(tokens) < smallest:
            raise InputError(f"no word of the training texts occurs {min_count} times: give a smaller min_count")
        return cls(tokens, language, lowercase, user_words)

    def encode(self, text: str | bytes) -> list[int]:
        """Returns the ids of a text, without any mark at its ends."""
        return self._cut(text, self._lookup)

    def encode_words(self, text: str | bytes) -> list[tuple[int, str]]:
        """Returns each id of `encode` with its word as it stands in the text: that of an unknown one too."""
        return self._cut(text, self._pairs)

    def _cut(self, text, convert):
        """What `convert` makes of the words of a text: a list in which each word stands for itself."""
        text = self.normalize(text)
        if self.language == "zh":
            if self._cutter is None:
                changed = segmentation.shared_words() if self.user_words is None else self.user_words
                self._cutter = segmentation.WordCutter(changed)
                self.user_words = self._cutter.user_words  # what `save` writes
            return convert(self._cutter(text))
        if self.language is None:
            return convert(segmentation.words(text, None))
        if convert.__name__ not in self._treebanks:
            self._treebanks[convert.__name__] = Treebank(convert)
        return self._treebanks[convert.__name__](text)

    def _lookup(self, words: list[str]) -> list[int]:
        get = self._ids.get
        ids = [get(word) for word in words]
        return [i for i, _ in self._pairs(words)] if None in ids else ids

    def _pairs(self, words: list[str]) -> list[tuple[int, str]]:
        found = ([(self._ids[w], w)] if w in self._ids else self._back_off(w) for w in words)
        return list(chain.from_iterable(found))

    def _back_off(self, word: str) -> list[tuple[int, str]]:
        if self._period is None or len(word) < 2 or word[-1] != "." or word[-2] == ".":
            return [(self.unk_id, word)]
        return [(self._ids.get(word[:-1], self.unk_id), word[:-1]), (self._period, ".")]

    def decode(self, ids: Iterable[int], previous: int | None = None, words: Sequence[str] = ()) -> str:
        """Returns the text of ids: words with spaces where English puts them, quotes as `"`, no marks but `<unk>`.

        Args:
            ids: Integers.
            previous: The id of the token before, that the text goes on from: whether it starts with a space.
            words: More words, whose ids are `vocab_size`, `vocab_size` + 1, ...
        """
        more = detokenize.surfaces(words, self.language) if words else None
        return detokenize.decode(self._surfaces, ids, previous, more)

    def tf_encode(self, strings: "tf.Tensor") -> "tf.RaggedTensor":
        """Returns the ids of strings [B], ragged int32 [B, (n)], equal to `encode`. Core TensorFlow ops only."""
        return self.tf_encode_words(strings)[0]

    def tf_encode_words(self, strings: "tf.Tensor") -> "tuple[tf.RaggedTensor, tf.RaggedTensor]":
        """Returns the ids of strings [B] and the word of each, ragged [B, (n)], equal to `encode_words`."""
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
            return words.with_flat_values(tf.maximum(ids, self.unk_id)), words
        # Each unknown word is cut into what is before its period and ".", all others into the word and nothing.
        cut = (ids < 0) & tf.strings.regex_full_match(words.flat_values, r"(?s).*[^.]\.")
        unknown = tf.where(cut)
        before = tf.strings.regex_replace(tf.gather_nd(words.flat_values, unknown), r"\.$", "")
        ids = tf.tensor_scatter_nd_update(ids, unknown, tf.cast(table.lookup(before), tf.int32))
        texts = tf.tensor_scatter_nd_update(words.flat_values, unknown, before)
        period = tf.where(cut, self._period, -1)
        pairs = tf.stack([tf.maximum(ids, self.unk_id), period], axis=1)
        texts = tf.stack([texts, tf.fill(tf.shape(texts), ".")], axis=1)
        pairs, texts = (words.with_flat_values(both).merge_dims(1, 2) for both in (pairs, texts))
        return tf.ragged.boolean_mask(pairs, pairs >= 0), tf.ragged.boolean_mask(texts, pairs >= 0)

    def tf_decode(
        self,
        ids: "tf.Tensor | tf.RaggedTensor",
        previous: "tf.Tensor | int | None" = None,
        words: "tf.Tensor | None" = None,
    ) -> "tf.Tensor":
        """Returns the texts [B] of ids, as `decode`: ragged [B, (n)], or dense [B, T], negative for nothing.

        Args:
            ids: The ids.
            previous: None, one id, or ids [B]; negative: nothing came before.
            words: More words of each row, [B, K], whose ids are those from `vocab_size` on; "": there is none.
        """
        more = None if words is None else detokenize.tf_surfaces(words, self.language)
        return detokenize.tf_decode(self._surfaces, self.tf_ragged(ids), previous, more)

    def build_tables(self) -> list[Any]:
        """Returns the table of word to id, -1 for a word that is not known."""
        import tensorflow as tf

        words, ids = list(self._ids), list(self._ids.values())
        content = tf.lookup.KeyValueTensorInitializer(words, ids, tf.string, tf.int64)
        return [tf.lookup.StaticHashTable(content, default_value=-1)]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, as JSON has them."""
        return super().get_config() | ({} if self.user_words is None else {"user_words": self.user_words})


def _checked(user_words: Any, language: str | None, check: Callable) -> dict[str, int | None] | None:
    user_words = None if user_words is None else check(user_words)
    if user_words is not None and language != "zh":
        raise InputError(f"user_words are for language 'zh', which jieba cuts, not for {language!r}")
    return user_words
