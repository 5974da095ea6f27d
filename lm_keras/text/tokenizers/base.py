"""What a tokenizer is: the class that all of them share, and the kinds that `load_tokenizer` knows."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lm_keras.errors import InputError, damaged, naming
from lm_keras.text.tokenizers.chat import messages as chat
from lm_keras.text.tokenizers.pairs import encode_pair, tf_encode_pair
from lm_keras.text.tokenizers.vocabulary import check_tokens
from lm_keras.text.unicode import lower, tf_lower, tf_valid, valid
from lm_keras.utils.atomic_files import path_of, read_json, write_json
from lm_keras.utils.checks import same_definition

if TYPE_CHECKING:
    import tensorflow as tf
    from typing_extensions import Self

FILE = "tokenizer.json"


class Tokenizer(ABC):
    """Texts to token ids and back: the same ids in Python, in `tf.data` and in a SavedModel.

    A new kind of tokenizer is one subclass. Training data, models, generation, tasks, the export and the command
    line then take it, for they ask for nothing but what stands here.

    A subclass must have

    - `kind`: a name of its own, which the saved file holds, and `@register_tokenizer` above the class;
    - `encode`, `decode`, `tf_encode`, `tf_decode`;
    - the ids of its marks, as attributes of the class or the object. None, the default, is a mark that it lacks. A
      language model needs `bos_id` (before a text) and `eos_id` (after it; both may be one id). Batches of texts
      of different lengths need `pad_id`, an encoder as BERT `cls_id` and `sep_id`, masked training `mask_id` too;
    - a constructor that takes `tokens, language, lowercase` and what else `get_config` returns, and calls
      `super().__init__(tokens, language, lowercase)`.

    It may have `train`, for `lm-keras train --tokenizer KIND --import MODULE`; `build_tables`, the lookup tables of
    its graph; `encode_batch`, where many texts at once are faster.

    What must agree:

    - `tf_encode(texts)` gives the ids of `encode` for every text, bytes that are no UTF-8 included, with
      operations of TensorFlow's core alone (no `tf.py_function`, no mutable table). `normalize` and `tf_normalize`
      read such bytes alike. Note that TensorFlow's regular expressions know no look-ahead, and as letters only ASCII.
    - `tf_decode(ids)` gives the texts of `decode`. Ids below 0 and from `vocab_size` on are nothing.
    - A mark that stands in a text is text: `encode("<eos>")` is not `[eos_id]`. Decoded, marks are nothing, but for
      `unk_id` where it stands for a word.
    - `encode` puts no marks; `encode("")` is `[]`.
    - `get_config` holds only what JSON can hold, and `from_config(get_config())` encodes and decodes alike. What the
      base class adds there of `chat_template` is no argument of the constructor: `from_config` sets it.

    Attributes:
        tokens: List of str, [V]: each token once, at the place of its id.
        vocab_size: V.
        language: "en", "zh", ... or None: of the texts, where that matters.
        lowercase: Whether texts are read in lower case.
        encodes_pairs: Whether `encode_pair` is there: `[CLS] first [SEP] second [SEP]`.
        add_bos: Whether a pretrained model expects `bos_id` before a text; `encode` does not put it.
        cuts_at_words: Whether the ids of a text are those of its words and punctuation marks, each encoded by
            itself. Tags of words and answers that are part of a text need that.
        chat_template: The template of a chat's turns, in the language of Jinja2: the one that came with the
            tokenizer, or one that was set; None without any.
        chat_tokens: {"bos_token": "<s>", ...}, the tokens that the template knows by name; None: those of the marks.

    Example:

    ```python
    from collections import Counter

    import tensorflow as tf

    import lm_keras as lk


    @lk.text.register_tokenizer
    class SpaceTokenizer(lk.text.Tokenizer):
        kind = "space"  # words between spaces
        pad_id, unk_id, bos_id, eos_id = 0, 1, 2, 2
        reserved = ("<pad>", "<unk>", "<eos>")

        def __init__(self, tokens, language="en", lowercase=False):
            super().__init__(tokens, language, lowercase)
            self.ids = {word: i for i, word in enumerate(tokens) if i > 2}

        @classmethod
        def train(cls, texts, vocab_size=None, min_count=1, language="en", lowercase=False):
            read = cls(cls.reserved, language, lowercase).normalize
            counts = Counter(word for text in texts for word in read(text).split(" ") if word)
            words = [word for word, n in counts.most_common() if n >= min_count and word not in cls.reserved]
            return cls([*cls.reserved, *words][:vocab_size], language, lowercase)

        def encode(self, text):
            return [self.ids.get(word, self.unk_id) for word in self.normalize(text).split(" ") if word]

        def decode(self, ids, previous=None):
            return " ".join(self.tokens[i] for i in ids if 0 < i < self.vocab_size and i != self.eos_id)

        def build_tables(self):
            words, ids = list(self.ids), list(self.ids.values())
            content = tf.lookup.KeyValueTensorInitializer(words, ids, tf.string, tf.int32)
            return [tf.lookup.StaticHashTable(content, self.unk_id)]

        def tf_encode(self, strings):
            words = tf.strings.split(self.tf_normalize(strings), " ")
            words = tf.ragged.boolean_mask(words, words != "")
            return tf.ragged.map_flat_values(self.tf_resources()[0].lookup, words)

        def tf_decode(self, ids, previous=None):
            ids = self.tf_ragged(ids)
            ids = tf.ragged.boolean_mask(ids, (ids > 0) & (ids < self.vocab_size) & (ids != self.eos_id))
            return tf.strings.reduce_join(tf.gather(self.tokens, ids), axis=1, separator=" ")
    ```
    """

    kind: ClassVar[str] = ""
    reserved: ClassVar[tuple[str, ...]] = ()  # the tokens that every vocabulary of this kind begins with
    cuts_at_words: ClassVar[bool] = False
    pad_id: int | None = None
    unk_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None
    cls_id: int | None = None
    sep_id: int | None = None
    mask_id: int | None = None
    add_bos: bool = False
    chat_tokens: dict[str, str] | None = None

    def __init__(self, tokens: Sequence[str], language: str | None = "en", lowercase: bool = False) -> None:
        """Args:
            tokens: The vocabulary in the order of the ids; it begins with `reserved`.
            language: Of the texts, or None.
            lowercase: Whether texts are read in lower case.

        Raises:
            InputError: For tokens that are not different strings, another language or lowercase.
        """
        check_tokens(tokens, self.reserved)
        if not isinstance(language, str | None):
            raise InputError(f"language is {language!r}; give its code, such as 'en', or None")
        if not isinstance(lowercase, bool):
            raise InputError(f"lowercase is {lowercase!r}; give True or False")
        self.tokens, self.vocab_size = list(tokens), len(tokens)
        self.language, self.lowercase = language, lowercase
        self._tables: list[Any] | None = None

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        min_count: int = 1,
        language: str | None = "en",
        lowercase: bool = False,
    ) -> "Self":
        """Returns a tokenizer whose tokens are learnt from texts.

        Args:
            texts: An iterable of str, read once: it may be more than memory holds.
            vocab_size: The most tokens, marks included; None: what the kind finds good.
            min_count: How often what becomes a token must occur.
            language: Of the texts.
            lowercase: Whether they are read in lower case.

        Raises:
            InputError: For no text, impossible sizes, or a kind that is not trained.
        """
        raise InputError(f"a {cls.__name__} is not trained; build it from its tokens, {cls.__name__}(tokens)")

    @abstractmethod
    def encode(self, text: str | bytes) -> list[int]:
        """Returns the ids of a text, without any mark at its ends.

        Args:
            text: A str, or bytes in UTF-8; what is not UTF-8 is read as U+FFFD.
        """

    @abstractmethod
    def decode(self, ids: Iterable[int], previous: int | None = None) -> str:
        """Returns the text of ids; marks and ids that are not in the vocabulary are nothing.

        Args:
            ids: Integers.
            previous: The id of the token before, that the text goes on from: whether it starts with a space.
        """

    @abstractmethod
    def tf_encode(self, strings: "tf.Tensor") -> "tf.RaggedTensor":
        """Returns the ids of strings [B], ragged int32 [B, (n)], equal to `encode`. Core TensorFlow ops only."""

    @abstractmethod
    def tf_decode(self, ids: "tf.Tensor | tf.RaggedTensor", previous: "tf.Tensor | int | None" = None) -> "tf.Tensor":
        """Returns the texts of ids, equal to `decode`. Core TensorFlow ops only.

        Args:
            ids: Ragged [B, (n)], or dense [B, T] with negative ids where there is nothing (`tf_ragged` takes both).
            previous: None, one id, or ids [B]; negative: nothing came before.

        Returns:
            Strings [B].
        """

    def encode_batch(self, texts: Iterable[str | bytes]) -> list[list[int]]:
        """Returns the ids of each text."""
        return [self.encode(text) for text in texts]

    def normalize(self, text: str | bytes) -> str:
        """Returns a text as it is cut: U+FFFD for what is not UTF-8, in lower case with `lowercase`.

        Lower case is that of each character by itself, which does not change how many there are.

        Raises:
            InputError: For what is no text.
        """
        text = valid(text)
        return lower(text) if self.lowercase else text

    def tf_normalize(self, strings: "tf.Tensor") -> "tf.Tensor":
        """Returns strings of any shape as `normalize` does."""
        return tf_lower(strings) if self.lowercase else tf_valid(strings)

    @staticmethod
    def tf_ragged(ids: "tf.Tensor | tf.RaggedTensor") -> "tf.RaggedTensor":
        """Returns ids as int32 [B, (n)]: ragged ones as they are, dense ones [B, T] with the negative ids in."""
        import tensorflow as tf

        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(tf.convert_to_tensor(ids))
        return tf.cast(ids, tf.int32)

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """The ids that end a text when a model writes it, `eos_id` first. A checkpoint may name more than one."""
        return () if self.eos_id is None else (self.eos_id,)

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """The tokens that stand for no text, with their ids."""
        return {self.tokens[i]: i for i in self.marks.values()}

    @property
    def special_ids(self) -> set[int]:
        """The ids of the marks and of all special tokens."""
        return {*self.marks.values(), *self.special_tokens.values()}

    @property
    def marks(self) -> dict[str, int]:
        """The ids of the marks that there are, by "pad", "unk", "bos", "eos", "cls", "sep" and "mask"."""
        ids = {"pad": self.pad_id, "unk": self.unk_id, "bos": self.bos_id, "eos": self.eos_id}
        ids |= {"cls": self.cls_id, "sep": self.sep_id, "mask": self.mask_id}
        return {mark: i for mark, i in ids.items() if i is not None}

    def token_words(self) -> list[str | None]:
        """Returns the word that each token is, as word vectors know it: [V].

        None for a token that is no word, as a byte or a piece inside of a word; special tokens as they are.
        """
        return list(self.tokens)

    @property
    def encodes_pairs(self) -> bool:
        return self.cls_id is not None and self.sep_id is not None

    def encode_pair(
        self, first: str, second: str | None = None, max_length: int | None = None
    ) -> tuple[list[int], list[int]]:
        """Returns the ids and the segments of `[CLS] first [SEP] second [SEP]`, the input of BERT.

        What is too long is cut "longest first": the shorter text keeps up to half of the room.

        Args:
            first: A text.
            second: A text, or None: `[CLS] first [SEP]`.
            max_length: The most ids.

        Returns:
            `(token_ids, segment_ids)`, lists of equal length.

        Raises:
            InputError: For a tokenizer without `cls_id` and `sep_id`, or a length without room for the marks.
        """
        self._check_pairs()
        return encode_pair(self, first, second, max_length)

    def tf_encode_pair(
        self, firsts: "tf.Tensor", seconds: "tf.Tensor | None" = None, *, length: int
    ) -> "dict[str, tf.Tensor]":
        """Returns `encode_pair` of strings [B], padded.

        Args:
            firsts: Strings [B].
            seconds: Strings [B] or None.
            length: Of every row.

        Returns:
            {"token_ids", "segment_ids", "padding_mask"}, int32 [B, length] each.

        Raises:
            InputError: As `encode_pair`.
        """
        self._check_pairs()
        return tf_encode_pair(self, firsts, seconds, length)

    def _check_pairs(self) -> None:
        if not self.encodes_pairs:
            name = type(self).__name__
            raise InputError(f"a {name} has no [CLS] and [SEP], so it encodes no pairs; use a WordPieceTokenizer")

    @property
    def chat_template(self) -> str | None:
        return getattr(self, "_chat_template", None)

    @chat_template.setter
    def chat_template(self, template: str | None) -> None:
        if not isinstance(template, str | None):
            raise InputError(f"chat_template is {template!r:.80}; give a string, or None")
        self._chat_template = template

    def set_chat_template(self, template: str | None, tokens: Mapping[str, str] | None = None) -> None:
        """Sets `chat_template` and `chat_tokens`.

        Raises:
            InputError: For a template that is no string, or tokens that are none.
        """
        self.chat_template = template
        named = tokens is None or isinstance(tokens, Mapping)
        if not named or not all(isinstance(part, str) for pair in (tokens or {}).items() for part in pair):
            raise InputError(f"chat_tokens is {tokens!r:.80}; give {{'bos_token': '<s>', ...}}, or None")
        self.chat_tokens = None if tokens is None else dict(tokens)

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True, **options: Any
    ) -> str:
        """Returns the turns of a chat as one text, by `chat_template`.

        The template is run in a sandbox with bounds, for it comes with a file from elsewhere. In the text a mark
        that a user has typed looks like one of the template's: `encode_chat` tells them apart.

        Args:
            messages: `[{"role": "user", "content": "..."}, ...]`.
            add_generation_prompt: Whether the text ends with the beginning of the assistant's turn.
            **options: More variables of the template, such as `tools`.

        Raises:
            InputError: For a tokenizer without a template, for messages that are none, or that the template refuses.
        """
        return chat.chat_text(self, messages, add_generation_prompt, options)

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True, **options: Any
    ) -> list[int]:
        """Returns the ids of the turns of a chat: its special tokens are those that the template writes.

        What looks like a special token in a content is text, as in `encode`.

        Args:
            messages: As of `apply_chat_template`.
            add_generation_prompt: As there.
            **options: As there.

        Raises:
            InputError: As `apply_chat_template`.
        """
        return chat.chat_ids(self, messages, add_generation_prompt, options)

    def chat_pieces(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True, **options: Any
    ) -> list[str | int | chat.Content]:
        """Returns what the template writes around the contents of messages, which it does not see.

        Args:
            messages: As of `apply_chat_template`; each has a content that is a string.
            add_generation_prompt: As there.
            **options: As there.

        Returns:
            Texts, ids of special tokens, and a `Content` in the place of each content: the number of the message,
            and whether the template strips it.

        Raises:
            InputError: As `apply_chat_template`, and for a template that changes the contents.
        """
        return chat.chat_pieces(self, messages, add_generation_prompt, options)

    def build_tables(self) -> list[Any]:
        """Returns the lookup tables of `tf_encode` and `tf_decode`; called once, by `tf_resources`."""
        return []

    def tf_resources(self) -> list[Any]:
        """Returns the lookup tables, which an exported tf.Module must hold.

        They are made at their first use, outside of a function that is being traced: all functions share them.
        """
        if self._tables is None:
            import tensorflow as tf

            with tf.init_scope():
                self._tables = self.build_tables()
        return self._tables

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, as JSON has them; the template of chats too, if there is one."""
        named = {"chat_template": self.chat_template, "chat_tokens": self.chat_tokens}
        named = {name: value for name, value in named.items() if value is not None}
        return {"language": self.language, "lowercase": self.lowercase, **named, "tokens": self.tokens}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Self":
        """Returns the tokenizer of a `get_config()`."""
        config = dict(config)
        template, tokens = config.pop("chat_template", None), config.pop("chat_tokens", None)
        made = cls(**config)
        made.set_chat_template(template, tokens)
        return made

    def save(self, folder: str | Path) -> None:
        """Writes folder/tokenizer.json; a file that is there stays whole until the new one replaces it.

        Raises:
            InputError: For a class that is not registered, for nothing could load it.
        """
        if not same_definition(_KINDS.get(self.kind), type(self)):
            name = type(self).__name__
            raise InputError(
                f"{name} is not registered, so a saved one could not be loaded; give the class a kind of its own, "
                "and put @lk.text.register_tokenizer above it"
            )
        config = self.get_config()
        tokens = config.pop("tokens")  # they come last, for a reader of the file
        write_json(path_of(folder) / FILE, {"kind": self.kind, **config, "tokens": tokens})

    @classmethod
    def load(cls, folder: str | Path) -> "Self":
        """Returns the tokenizer that `save(folder)` wrote.

        `Tokenizer.load` reads any kind, a subclass its own.

        Raises:
            InputError: For a folder without a tokenizer, another kind, or a damaged file.
        """
        path = path_of(folder) / FILE
        if not path.is_file():
            raise InputError(f"there is no readable {path}: give a folder that holds a tokenizer")
        config = read_json(path)
        if not isinstance(config, dict):
            config = {}
        if "kind" not in config and "added_tokens" in config:
            raise InputError(
                f"{path} is of a Hugging Face checkpoint; lk.models.load_pretrained reads it with its model"
            )
        kinds, kind = tokenizer_kinds(), config.pop("kind", None)
        if not isinstance(kind, str) or kind not in kinds:
            raise InputError(
                f"{path} holds a tokenizer of kind {kind!r}; known are {', '.join(sorted(kinds))}. "
                "Import the module that registers it first"
            )
        found = kinds[kind]
        if not issubclass(found, cls) and not same_definition(found, cls):
            raise InputError(
                f"{path} holds a {found.__name__}, no {cls.__name__}; read it with lk.text.load_tokenizer, or give "
                "another folder"
            )
        with naming(path), damaged("this tokenizer", "save it again"):
            return found.from_config(config)


_KINDS: dict[str, type[Tokenizer]] = {}


def register_tokenizer(cls: type[Tokenizer]) -> type[Tokenizer]:
    """Makes a tokenizer known by its `kind`, so that what was saved with it loads: a decorator of the class.

    Whoever loads it must import the module of the class first: `--import MODULE` on the command line.

    Raises:
        InputError: For a class that is no Tokenizer, lacks a method, or has the kind of another class.
    """
    if not (inspect.isclass(cls) and issubclass(cls, Tokenizer)):
        raise InputError(f"register_tokenizer got {cls!r}; put it above a class that subclasses lk.text.Tokenizer")
    if missing := sorted(cls.__abstractmethods__):
        raise InputError(f"{cls.__name__} lacks {', '.join(missing)}; every tokenizer must have them")
    if not isinstance(cls.kind, str) or not cls.kind:
        raise InputError(f"{cls.__name__}.kind is {cls.kind!r}; give a name of its own, such as 'unigram'")
    known = _KINDS if cls.__module__.startswith("lm_keras.") else tokenizer_kinds()
    if cls.kind in known and not same_definition(known[cls.kind], cls):
        raise InputError(f"the kind {cls.kind!r} is that of {known[cls.kind].__name__}; give {cls.__name__} another")
    _KINDS[cls.kind] = cls
    return cls


def tokenizer_kinds() -> dict[str, type[Tokenizer]]:
    """Returns {kind: class} of all tokenizers that are registered."""
    from lm_keras import text

    for name in text.__all__:  # ours are public names, which are imported at first use: that registers them
        getattr(text, name)
    return dict(_KINDS)


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Returns the tokenizer of any kind that `save(folder)` wrote: `Tokenizer.load(folder)`."""
    return Tokenizer.load(folder)
