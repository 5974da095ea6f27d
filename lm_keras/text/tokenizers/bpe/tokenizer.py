"""Byte-level byte-pair encoding, as in GPT-2 and its successors."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_keras.errors import InputError, naming
from lm_keras.text.tokenizers.base import Tokenizer, register_tokenizer
from lm_keras.text.tokenizers.bpe import files, graph, pipeline
from lm_keras.text.tokenizers.vocabulary import check_size
from lm_keras.text.unicode import lower, valid
from lm_keras.utils.checks import check_whole

if TYPE_CHECKING:
    import tensorflow as tf
    from typing_extensions import Self

VOCAB_SIZE = 8_000
_SMALLEST = 257  # <|endoftext|> and 256 bytes


@register_tokenizer
class BPETokenizer(Tokenizer):
    """A token is a piece of a word: bytes that are often together (Sennrich et al. 2016; Radford et al. 2019).

    A text is cut by `pattern`; inside each piece the `merges` are done, the first of the list first. So nothing is
    unknown, and `decode(encode(text)) == text` for any valid text (its lower case with `lowercase`). `tokens` are
    written in GPT-2's alphabet, a letter a byte ("Ġ" is the space). What looks like a special token in a text is
    text (`special_tokens` has their ids); decoded, they are nothing. `language` is kept, and changes nothing.
    """

    kind = "bpe"

    def __init__(
        self,
        tokens: Sequence[str],
        language: str | None = "en",
        lowercase: bool = False,
        *,
        merges: Sequence[str | Sequence[str]] | None = None,
        pattern: str | dict[str, Any] = "gpt2",
        special_tokens: Sequence[str] = (pipeline.MARK,),
        bos_id: int | None = None,
        eos_id: int | None = None,
        end_ids: Sequence[int] = (),
        pad_id: int | None = None,
        add_bos: bool = False,
        unk_token: str | None = None,
        ignore_merges: bool = False,
        normalizer: dict[str, Any] | None = None,
        added_tokens: Sequence[dict[str, Any]] = (),
    ) -> None:
        """As `Tokenizer`.

        Args:
            tokens: The vocabulary, in GPT-2's alphabet.
            language: Kept; it changes nothing.
            lowercase: Whether texts are read in lower case.
            merges: "a b" or ("a", "b") each, the first to be done first.
            pattern: How a text is cut: a name of `pipeline.PATTERNS`, or the pre_tokenizer of a tokenizer.json.
            special_tokens: Tokens that stand for no text.
            bos_id: The mark before a text; None: `eos_id`.
            eos_id: The mark after a text that is scored; None: that of `<|endoftext|>`.
            end_ids: More ids that end a text when a model writes it, as the end of a turn in a chat does. The
                attribute has `eos_id` as its first.
            pad_id: The mark that fills up a row.
            add_bos: Whether the model expects `bos_id` before a text; `encode` does not put it.
            unk_token: Stands for a byte that is not in `tokens`; None: such bytes are left out.
            ignore_merges: Whether a piece that is a token is that token, whatever the merges say.
            normalizer: As in a tokenizer.json.
            added_tokens: As there, those that are cut out of a text.

        Raises:
            InputError: For what does not go together.
        """
        super().__init__(tokens, language, lowercase)
        ids = {token: i for i, token in enumerate(tokens)}
        self.special_tokens = files.special_ids(special_tokens, ids)
        self.eos_id = files.checked_id("eos_id", ids.get(pipeline.MARK) if eos_id is None else eos_id, ids)
        self.bos_id = files.checked_id("bos_id", self.eos_id if bos_id is None else bos_id, ids)
        self.end_ids = files.checked_ends(self.eos_id, end_ids, ids)
        self.pad_id = None if pad_id is None else files.checked_id("pad_id", pad_id, ids)
        self.pattern, self.normalizer, self.added_tokens = pipeline.name_of(pattern), normalizer, added_tokens
        self.add_bos, self.ignore_merges = bool(add_bos), bool(ignore_merges)
        self.merges, self.unk_token = files.checked_merges(merges, ids), unk_token
        files.special_ids([] if unk_token is None else [unk_token], ids)
        vocab = {token: i for token, i in ids.items() if token == unk_token or token not in self.special_tokens}
        cuts = pipeline.config_of(self.pattern)
        self._pipeline = pipeline.build(
            vocab, self.merges, cuts, normalizer, unk_token, self.ignore_merges, added_tokens
        )
        # What each id decodes to, as bytes.
        self._surface = [b"" if token in self.special_tokens else pipeline.surface(token) for token in tokens]
        self._twin = None

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None = None,
        min_count: int = 1,
        language: str | None = "en",
        lowercase: bool = False,
    ) -> "Self":
        """Returns a tokenizer whose merges are learnt from texts, the most frequent pair first.

        Args:
            texts: An iterable of str, read once.
            vocab_size: The most tokens, with `<|endoftext|>` (id 0) and 256 bytes; None: 8,000. A small text gives
                fewer.
            min_count: How often a pair must occur.
            language: Kept; it changes nothing.
            lowercase: Whether texts are read in lower case.

        Raises:
            InputError: For no text, or impossible sizes.
        """
        tokens, merges = learn(texts, vocab_size, min_count, lowercase)
        return cls(tokens, language, lowercase, merges=merges)

    @classmethod
    def from_files(cls, encoder_json: str | Path, vocab_bpe: str | Path, **options: Any) -> "Self":
        """Reads GPT-2's two files.

        Args:
            encoder_json: encoder.json, elsewhere called vocab.json.
            vocab_bpe: vocab.bpe, elsewhere called merges.txt.
            **options: Further arguments of the constructor.

        Raises:
            InputError: For files that are none, or not of one tokenizer.
        """
        tokens, merges = files.read_pair(encoder_json, vocab_bpe)
        with naming(vocab_bpe):
            return cls(tokens, merges=merges, **options)

    @classmethod
    def from_tokenizer_json(cls, path: str | Path, **options: Any) -> "Self":
        """Reads the tokenizer.json of a Hugging Face checkpoint.

        The marks come from tokenizer_config.json beside it, if that is there.

        Args:
            path: The file, or the folder that holds it.
            **options: Arguments of the constructor that take precedence over both files.

        Raises:
            InputError: For a file that is none, or of another model than byte-level BPE.
        """
        tokens, found = files.read_tokenizer_json(path)
        with naming(path):
            return cls(tokens, **(found | options))

    def encode(self, text: str | bytes) -> list[int]:
        """Returns the ids of a text, without any mark at its ends."""
        return self._pipeline.encode(self.normalize(text), add_special_tokens=False).ids

    def encode_batch(self, texts: Iterable[str | bytes]) -> list[list[int]]:
        """Returns the ids of each text, faster than one by one."""
        texts = [self.normalize(text) for text in texts]
        return [row.ids for row in self._pipeline.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Iterable[int], previous: int | None = None) -> str:
        """Returns the text of ids. Special tokens are nothing; bytes that are not UTF-8 become U+FFFD.

        Args:
            ids: Integers.
            previous: The id of the token before; it changes nothing here.
        """
        surface, size = self._surface, self.vocab_size
        return b"".join(surface[i] for i in ids if 0 <= i < size).decode("utf-8", errors="replace")

    def tf_encode(self, strings: "tf.Tensor") -> "tf.RaggedTensor":
        """Returns the ids of strings [B], ragged int32 [B, (n)], equal to `encode`. Core TensorFlow ops only.

        Raises:
            InputError: For a pattern that is none of `pipeline.PATTERNS`, a normalizer, and added tokens.
        """
        if not isinstance(self.pattern, str) or self.normalizer or self.added_tokens:
            unknown = "added_tokens" if self.added_tokens else "normalizer" if self.normalizer else "pre_tokenizer"
            raise InputError(
                f"this BPE tokenizer's {unknown} has no TensorFlow graph: use encode, outside of a graph"
            )
        return self._graph().encode(strings)

    def tf_decode(self, ids: "tf.Tensor | tf.RaggedTensor", previous: "tf.Tensor | int | None" = None) -> "tf.Tensor":
        """Returns the texts [B] of ids, as `decode`: ragged [B, (n)], or dense [B, T], negative for nothing."""
        return self._graph().decode(self.tf_ragged(ids))

    def token_words(self) -> list[str | None]:
        """Returns the words; None for a token that begins with no space, which may stand inside of a word."""
        special = self.special_ids
        return [token if i in special else _after_space(token) for i, token in enumerate(self.tokens)]

    def build_tables(self) -> list[Any]:
        """Returns the tables of `graph.Graph`."""
        return [self._graph().words, self._graph().pairs, self._graph().surfaces]

    def _graph(self) -> graph.Graph:
        if self._twin is None:
            alone = pipeline.alone(self._pipeline, self.tokens, self.special_tokens, self.ignore_merges)
            what = (self.tokens, self.merges, self.unk_token, alone, self._surface, self.pattern, self.lowercase)
            self._twin = graph.Graph(*what)
        return self._twin

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, as JSON has them."""
        return super().get_config() | {
            "pattern": self.pattern,
            "special_tokens": list(self.special_tokens),
            "bos_id": self.bos_id,
            "eos_id": self.eos_id,
            "end_ids": list(self.end_ids),
            "pad_id": self.pad_id,
            "add_bos": self.add_bos,
            "unk_token": self.unk_token,
            "ignore_merges": self.ignore_merges,
            "normalizer": self.normalizer,
            "added_tokens": list(self.added_tokens),
            "merges": [" ".join(pair) for pair in self.merges],
        }


def _after_space(token: str) -> str | None:
    try:
        text = pipeline.surface(token).decode()
    except UnicodeDecodeError:
        return None
    return text[1:] if text.startswith(" ") and len(text) > 1 else None


def learn(
    texts: Iterable[str | bytes], vocab_size: int | None, min_count: int, lowercase: bool
) -> tuple[list[str], list[list[str]]]:
    """Learns merges with Hugging Face's `tokenizers`.

    Equal counts are settled by ids, so the same texts always give the same tokens.

    Args:
        texts: May be more than memory holds: only the different pieces and their numbers are kept.
        vocab_size: The most tokens; None: 8,000.
        min_count: How often a pair must occur.
        lowercase: Whether texts are read in lower case.

    Returns:
        `(tokens, merges)`: `<|endoftext|>`, the 256 bytes, then what the merges make, in their order.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    check_size(vocab_size, _SMALLEST, f"{pipeline.MARK} and 256 bytes")
    vocab_size = VOCAB_SIZE if vocab_size is None else vocab_size
    check_whole("min_count", min_count)
    if isinstance(texts, (str, bytes)):
        raise InputError("train takes an iterable of texts, got one string: put it into a list")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_count,
        special_tokens=[pipeline.MARK],
        initial_alphabet=list(pipeline.alphabet()),
        show_progress=False,
    )
    seen = []
    tokenizer.train_from_iterator(_checked(texts, lowercase, seen), trainer)
    if not seen:
        raise InputError("the training texts hold no tokens at all: give at least one text that is not empty")
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), model["merges"]


def _checked(texts: Iterable[str | bytes], lowercase: bool, seen: list[bool]) -> Iterator[str]:
    """Yields the texts as `encode` reads them; `seen` gets a mark at the first that is not empty."""
    for text in texts:
        if not isinstance(text, (str, bytes)):
            raise InputError(f"train takes an iterable of strings, got a {type(text).__name__} in it")
        text = valid(text)
        if text and not seen:
            seen.append(True)
        yield lower(text) if lowercase else text
