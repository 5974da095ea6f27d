"""From texts to what a tagger reads, the same in Python and in the graph.

`PieceInputs` is for encoders of word pieces; `WordInputs` for models that read an id a word, and its characters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.tasks.inputs import (
    WORDS,
    ModelInputs,
    TokenizedWords,
    check_unpadded,
    checked_limits,
    input_of,
    ragged,
    tf_words_of,
    words_of,
)
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import page_table, tf_page_lookup
from lm_keras.text.word_offsets import joined_word_places, tf_joined_word_places
from lm_keras.utils.checks import check_whole

OTHER, FIRST = 1, 2  # ids of characters: 0 is padding, 1 one that is not known


class PieceInputs(ModelInputs):
    """`ModelInputs` of texts that are cut into words and these into word pieces."""

    spec = WORDS

    @property
    def marks(self) -> int:
        """How many marks stand before the first piece."""
        return int(self.bert)

    def words_of(self, texts: Sequence[str]) -> tuple[TokenizedWords, list[list[tuple[int, int]]]]:
        """The words of a list of strings, and where they are in each: [[(start, end)]]."""
        return words_of(self.tokenizer, texts)

    def tf_words_of(self, texts: tf.Tensor) -> tuple[TokenizedWords, tf.Tensor, tf.Tensor]:
        """`words_of` strings [B] in the graph, and the starts and ends of the words, [W] each."""
        return tf_words_of(self.tokenizer, texts)

    def of_texts(self, words: TokenizedWords) -> tf.RaggedTensor:
        """The ids of each text, ragged [B, (n)]."""
        return words.of_texts()

    def first_tokens(self, words: TokenizedWords) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether a word has a token, and where its first one stands among all: bool [W], int64 [W]."""
        has = words.tokens.row_lengths() > 0
        return has, tf.where(has, words.tokens.row_splits[:-1], 0)

    def of_places(self, words: TokenizedWords, places: tf.RaggedTensor) -> tf.Tensor | dict[str, tf.Tensor]:
        """What the model reads of windows, each given by the places of its tokens among all, ragged [M, (n)]."""
        return self(places.with_flat_values(tf.gather(words.tokens.flat_values, places.flat_values)))


class SpelledWords(NamedTuple):
    """The words of texts: the words of text b are splits[b] to splits[b + 1].

    Attributes:
        ids: Of each word, int32 [W].
        characters: Of each word, ids int32 [W, L] filled up with 0; L is 0 for a model that reads none.
        splits: int64 [B + 1].
    """

    ids: tf.Tensor
    characters: tf.Tensor
    splits: tf.Tensor


class WordInputs:
    """The inputs of a model of {"words"} or {"words", "characters"}, such as `models.build_bilstm_tagger` makes.

    InputError when model, tokenizer and characters do not fit, or padding changes what the model says.
    """

    marks = 0

    def __init__(self, model: keras.Model, tokenizer: Tokenizer, characters: str | None, max_length: int | None):
        given = input_of(model)
        names = set(given) if isinstance(given, dict) else {"ids"}
        wanted = {"words"} if characters is None else {"words", "characters"}
        if names != wanted:
            known = "characters=..., those it was trained with" if "characters" in names else "no characters"
            told = f"give {known}" if names in ({"words"}, {"words", "characters"}) else f"give one of {wanted}"
            raise InputError(f"{model.name} reads {', '.join(sorted(names))}; {told}")
        checked_limits(model, tokenizer)
        self.tokenizer, self.characters = tokenizer, _checked_characters(model, characters)
        self.max_length = None if max_length is None else check_whole("max_length", max_length, 1)
        self.length = given["characters"].shape[-1] if characters is not None else 0
        self.spec = SpelledWords(
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, self.length], tf.int32),
            tf.TensorSpec([None], tf.int64),
        )
        self._ids = {ord(char): FIRST + i for i, char in enumerate(self.characters)}
        short = [i % tokenizer.vocab_size or 1 for i in (7, 11)]
        alone, beside = map(self._of_ids, ([short], [short, 2 * short]))
        check_unpadded(model, alone, beside, tokenizer.pad_id)

    def _of_ids(self, rows):
        """The inputs of texts of these ids, each word of characters that are not known."""
        words = ragged(rows)
        return self._dense(
            words, words.with_flat_values(tf.ones([tf.size(words.flat_values), self.length], tf.int32))
        )

    def room(self) -> int:
        """How many words a window holds; a very large number where there is no limit."""
        return 2**30 if self.max_length is None else self.max_length

    def words_of(self, texts: Sequence[str]) -> tuple[SpelledWords, list[list[tuple[int, int]]]]:
        """The words of a list of strings, and where they are in each: [[(start, end)]]."""
        places = [joined_word_places(text) for text in texts]
        words = [text[start:end] for text, row in zip(texts, places, strict=True) for start, end in row]
        different = {word: i for i, word in enumerate(dict.fromkeys(words))}  # each is looked up once
        at = np.array([different[word] for word in words], int)
        splits = np.cumsum([0, *map(len, places)], dtype=np.int64)
        return SpelledWords(self._ids_of(different)[at], self._spelling_of(different)[at], splits), places

    def _ids_of(self, words):
        """The id of each word, int32 [W]."""
        rows = self.tokenizer.encode_batch(list(words))
        return np.array([row[0] if row else self.tokenizer.unk_id for row in rows], np.int32)

    def _spelling_of(self, words):
        """The ids of the first characters of each word, int32 [W, L], filled up with 0."""
        made, known = np.zeros([len(words), self.length], np.int32), self._ids.get
        if self.length:
            for row, word in zip(made, words, strict=True):
                found = [known(ord(char), OTHER) for char in word[: self.length]]
                row[: len(found)] = found
        return made

    def tf_words_of(self, texts: tf.Tensor) -> tuple[SpelledWords, tf.Tensor, tf.Tensor]:
        """`words_of` strings [B] in the graph, and the starts and ends of the words, [W] each."""
        words, starts, ends = tf_joined_word_places(texts)
        ids = self.tokenizer.tf_encode(words.flat_values)
        has = ids.row_lengths() > 0
        first = tf.gather(tf.concat([ids.flat_values, [0]], 0), tf.where(has, ids.row_splits[:-1], 0))
        ids = tf.where(has, first, self.tokenizer.unk_id)
        if self.length:
            codes = tf.strings.unicode_decode(words.flat_values, "UTF-8")[:, : self.length]
            known = codes.with_flat_values(tf_page_lookup(page_table(self._ids, default=OTHER), codes.flat_values))
            characters = known.to_tensor(0, shape=(None, self.length))
        else:
            characters = tf.zeros([tf.size(ids), 0], tf.int32)
        return SpelledWords(ids, characters, words.row_splits), starts.flat_values, ends.flat_values

    def of_texts(self, words: SpelledWords) -> tf.RaggedTensor:
        """The ids of each text, ragged [B, (n)]."""
        return tf.RaggedTensor.from_row_splits(words.ids, words.splits, validate=False)

    def first_tokens(self, words: SpelledWords) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether a word has a token, and where its first one stands among all: bool [W], int64 [W]."""
        return tf.ones_like(words.ids, tf.bool), tf.range(tf.size(words.ids, tf.int64))

    def of_places(self, words: SpelledWords, places: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        """What the model reads of windows, each given by the places of its words among all, ragged [M, (n)]."""
        ids, letters = (tf.gather(part, places.flat_values) for part in (words.ids, words.characters))
        return self._dense(places.with_flat_values(ids), places.with_flat_values(letters))

    def _dense(self, ids, characters):
        """At least one column, also where all texts are empty."""
        wide = tf.maximum(ids.bounding_shape(1), 1)
        made = {"words": ids.to_tensor(0, shape=tf.stack([-1, wide]))}
        if self.length:
            dense = characters.to_tensor(0, shape=tf.stack([-1, wide, self.length]))
            made["characters"] = tf.ensure_shape(dense, [None, None, self.length])
        return made


def _checked_characters(model, characters):
    """The characters, "" for None; InputError where the model knows another number of them."""
    if characters is None:
        return ""
    if not isinstance(characters, str) or len(set(characters)) < len(characters):
        raise InputError(f"characters is {characters!r:.60}; give a string, each character once")
    recipe = getattr(model, "recipe", None)
    known = recipe.arguments.get("num_characters") if recipe is not None else None
    if known is not None and known != len(characters) + FIRST:
        raise InputError(f"{model.name} knows {known - FIRST} characters and {len(characters)} were given")
    return characters
