"""Byte-level byte-pair encoding, as in GPT-2 and its successors."""

import json

from lm_keras.errors import InputError, naming
from lm_keras.text import unicode
from lm_keras.text.tokenizers import base
from lm_keras.text.tokenizers.base import Tokenizer, register_tokenizer
from lm_keras.text.tokenizers.bpe import files, graph, pipeline
from lm_keras.utils.checks import check_whole


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
        tokens,
        language="en",
        lowercase=False,
        *,
        merges=None,
        pattern="gpt2",
        special_tokens=(pipeline.MARK,),
        bos_id=None,
        eos_id=None,
        end_ids=(),
        pad_id=None,
        add_bos=False,
        unk_token=None,
        ignore_merges=False,
        normalizer=None,
        added_tokens=(),
    ):
        """`merges`: "a b" or ("a", "b") each; `eos_id` is that of `<|endoftext|>` if not given, `bos_id` is `eos_id`.

        `end_ids`: more ids that end a text when a model writes it, as the end of a turn in a chat does; the attribute
        has `eos_id`, the mark of a text that is scored, as its first.

        `pattern`: a name of `bpe_pipeline.PATTERNS`, or the pre_tokenizer of a tokenizer.json; `normalizer` and
        `added_tokens` (those that are cut out of a text) are as there, too. With `ignore_merges` a piece that is a
        token is that token. `add_bos`: whether the model expects bos_id before a text; encode does not put it.
        `unk_token` stands for a byte that is not in `tokens`; without it such bytes are left out.
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
    def train(cls, texts, vocab_size=None, min_count=1, language="en", lowercase=False):
        """Learns the merges of `texts`, an iterable of strings: the most frequent pair first, if `min_count` times.

        `vocab_size` counts `<|endoftext|>` (id 0) and the 256 bytes too; None is 8,000. A small text gives fewer.
        """
        tokens, merges = learn(texts, vocab_size, min_count, lowercase)
        return cls(tokens, language, lowercase, merges=merges)

    @classmethod
    def from_files(cls, encoder_json, vocab_bpe, **options):
        """Reads GPT-2's encoder.json and vocab.bpe (elsewhere called vocab.json and merges.txt)."""
        tokens, merges = files.read_pair(encoder_json, vocab_bpe)
        with naming(vocab_bpe):
            return cls(tokens, merges=merges, **options)

    @classmethod
    def from_tokenizer_json(cls, path, **options):
        """Reads the tokenizer.json of a Hugging Face checkpoint (a file, or the folder that holds it).

        The marks come from tokenizer_config.json beside it, if that is there; `options` take precedence over both.
        """
        tokens, found = files.read_tokenizer_json(path)
        with naming(path):
            return cls(tokens, **(found | options))

    def encode(self, text):
        """Returns the ids of a text, without any mark at its ends."""
        return self._pipeline.encode(self.normalize(text), add_special_tokens=False).ids

    def encode_batch(self, texts):
        texts = [self.normalize(text) for text in texts]
        return [row.ids for row in self._pipeline.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids, previous=None):
        """Returns the text of the ids. Special tokens are nothing; bytes that are not UTF-8 become U+FFFD.

        `previous`, the id of the token before, changes nothing here: it is for tokenizers that put spaces.
        """
        surface, size = self._surface, self.vocab_size
        return b"".join(surface[i] for i in ids if 0 <= i < size).decode("utf-8", errors="replace")

    def tf_encode(self, strings):
        """Returns the ids of strings [B], ragged int32 [B, (n)], equal to `encode`. Core TensorFlow ops only.

        InputError for a pattern that is none of `bpe_pipeline.PATTERNS`, a normalizer and added tokens.
        """
        if not isinstance(self.pattern, str) or self.normalizer or self.added_tokens:
            unknown = "added_tokens" if self.added_tokens else "normalizer" if self.normalizer else "pre_tokenizer"
            raise InputError(
                f"this BPE tokenizer's {unknown} has no TensorFlow graph: use encode, outside of a graph"
            )
        return self._graph().encode(strings)

    def tf_decode(self, ids, previous=None):
        """Returns the texts [B] of ids, ragged [B, (n)] or dense [B, T] with negative ids where there is nothing."""
        return self._graph().decode(self.tf_ragged(ids))

    def token_words(self):
        """As `Tokenizer.token_words`: a token that begins with a space; others may stand inside of a word."""
        special = self.special_ids
        return [token if i in special else _after_space(token) for i, token in enumerate(self.tokens)]

    def build_tables(self):
        return [self._graph().words, self._graph().pairs, self._graph().surfaces]

    def _graph(self):
        if self._twin is None:
            alone = pipeline.alone(self._pipeline, self.tokens, self.special_tokens, self.ignore_merges)
            what = (self.tokens, self.merges, self.unk_token, alone, self._surface, self.pattern, self.lowercase)
            self._twin = graph.Graph(*what)
        return self._twin

    def get_config(self):
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


def _after_space(token):
    try:
        text = pipeline.surface(token).decode()
    except UnicodeDecodeError:
        return None
    return text[1:] if text.startswith(" ") and len(text) > 1 else None


# === Learning the merges of byte-level BPE with Hugging Face's `tokenizers` ===

VOCAB_SIZE = 8_000
_SMALLEST = 257


def learn(texts, vocab_size, min_count, lowercase):
    """Returns (tokens, merges): `<|endoftext|>`, the 256 bytes, then what the merges make, in their order.

    `texts` may be more than memory holds: only the different pieces and their numbers are kept. Equal counts are
    settled by ids, so the same texts always give the same tokens.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    base.check_size(vocab_size, _SMALLEST, f"{pipeline.MARK} and 256 bytes")
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


def _checked(texts, lowercase, seen):
    """Yields the texts as `encode` reads them; `seen` gets a mark at the first that is not empty."""
    for text in texts:
        if not isinstance(text, (str, bytes)):
            raise InputError(f"train takes an iterable of strings, got a {type(text).__name__} in it")
        text = unicode.valid(text)
        if text and not seen:
            seen.append(True)
        yield unicode.lower(text) if lowercase else text
