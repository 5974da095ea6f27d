"""WordPiece vocabularies: choosing the pieces, Hugging Face's tokenizer for them, and reading BERT's files.

Hugging Face's trainer numbers the characters in the order in which a hash table yields them, and breaks ties by these
numbers: two runs give two vocabularies. Here the characters have their numbers before it starts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_keras.errors import InputError, naming
from lm_keras.text.tokenizers.vocabulary import check_size, choose, count
from lm_keras.text.tokenizers.wordpiece.characters import normalizer
from lm_keras.text.unicode import valid
from lm_keras.utils.atomic_files import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCAB_SIZE = 30_522  # BERT's
MAX_WORD = 100  # a longer word is unknown
_BLOCK = 10_000  # how many words the trainer is given at a time
# What a tokenizer.json must say of its normalizer and its model.
_CLEANING = {"clean_text": True, "handle_chinese_chars": True}
_MODEL = {"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}


def hugging_face(ids: Mapping[str, int], lowercase: bool, strip_accents: bool | None) -> "Tokenizer":
    """Returns the `tokenizers.Tokenizer` of {token: id}. It knows no special tokens: in a text they are text."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD))
    tokenizer.normalizer = normalizer(lowercase, strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def train_tokens(texts: Iterable[str | bytes], vocab_size: int | None, min_count: int, lowercase: bool) -> list[str]:
    """Returns the tokens: the special ones, the characters by frequency, then pieces in order of merging.

    A character is there as itself and, if it occurs inside a word, with "##". Where `vocab_size` does not hold all
    that occur often enough, the rarest are left out, and words with them teach nothing.

    Args:
        texts: An iterable of str, read once.
        vocab_size: The most tokens, special ones included; None: BERT's 30,522.
        min_count: How often what becomes a token must occur.
        lowercase: Whether texts are read in lower case.

    Raises:
        InputError: For no text, or impossible sizes.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    check_size(vocab_size, len(SPECIAL_TOKENS) + 1, "5 special tokens and a character")
    vocab_size = vocab_size or VOCAB_SIZE
    words = _words(texts, lowercase)
    units = Counter()
    for word, n in words.items():
        units.update({unit: n * times for unit, times in _units(word).items()})
    tokens = choose(units, vocab_size, min_count, SPECIAL_TOKENS)
    if len(tokens) == len(SPECIAL_TOKENS):
        raise InputError(f"no character of the training texts occurs {min_count} times: give a smaller min_count")
    kept = set(tokens)
    words = {word: words[word] for word in sorted(words) if kept.issuperset(_units(word))}
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, min_frequency=min_count, special_tokens=tokens, show_progress=False
    )
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(_repeated(words), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.get)


def _words(texts: Iterable[str | bytes], lowercase: bool) -> Counter[str]:
    """Counts the words. Nothing looks over a space, so what is between two is cleaned and cut once."""
    from tokenizers import pre_tokenizers

    chunks = count(texts, lambda text: filter(None, valid(text).split(" ")))
    clean, cut = normalizer(lowercase, None).normalize_str, pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = Counter()
    for chunk, n in chunks.items():
        for word, _ in cut(clean(chunk)):
            if len(word) <= MAX_WORD:
                words[word] += n
    if not words:
        raise InputError("the training texts hold no tokens at all: give at least one text that is not empty")
    return words


def _units(word: str) -> Counter[str]:
    units = Counter(word)
    units.update("##" + char for char in word[1:])
    return units


def _repeated(words: Mapping[str, int]) -> Iterator[str]:
    """Each word as often as it occurs, as texts: the trainer takes no counts."""
    for word, n in words.items():
        for start in range(0, n, _BLOCK):
            yield f"{word} " * min(_BLOCK, n - start)


def read_vocabulary(path: str | Path) -> list[str]:
    """Returns the tokens of a vocab.txt: one a line, in the order of the ids.

    Raises:
        InputError: For a file that is none.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        message = f"there is no readable {path} ({error.strerror}): give the vocab.txt of a BERT model"
        raise InputError(message) from error
    except ValueError as error:
        raise InputError(f"{path} is not UTF-8 ({error}): give the vocab.txt of a BERT model") from error
    # Only "\n" ends a line: multilingual vocabularies hold other line separators as tokens.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def read_tokenizer_json(path: str | Path) -> tuple[list[str], bool, bool | None]:
    """Returns `(tokens, lowercase, strip_accents)` of a tokenizer.json in Hugging Face's format.

    Its truncation and padding are not taken over, nor its decoder: they are arguments and rules of their own here.

    Raises:
        InputError: For a file that is none of a BERT model.
    """
    content = read_json(path)
    with naming(path):
        if not isinstance(content, dict):
            raise InputError("this is no tokenizer.json of a BERT model")
        cleaning = _part(content, "normalizer", "BertNormalizer", _CLEANING)
        _part(content, "pre_tokenizer", "BertPreTokenizer", {})
        model = _part(content, "model", "WordPiece", _MODEL)
        marks = content.get("post_processor")
        if marks is not None and _type(marks) not in ("TemplateProcessing", "BertProcessing"):
            raise InputError(f"post_processor {_type(marks)!r} is not known: give the tokenizer.json of a BERT model")
        lowercase, strip_accents = cleaning.get("lowercase"), cleaning.get("strip_accents")
        if not isinstance(lowercase, bool) or not isinstance(strip_accents, bool | None):
            raise InputError("lowercase or strip_accents of the normalizer is neither true nor false")
        return _tokens(model.get("vocab"), content.get("added_tokens") or []), lowercase, strip_accents


def _type(part: Any) -> Any:
    return part.get("type") if isinstance(part, dict) else part


def _part(content: dict, name: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    part = content.get(name)
    if _type(part) != kind:
        raise InputError(f"{name} {_type(part)!r} is not known: give the tokenizer.json of a BERT model ({kind})")
    for key, value in settings.items():
        if part.get(key) != value:
            raise InputError(f"{kind} with {key} {part.get(key)!r} is not known, only {value!r}")
    return part


def _tokens(vocab: Any, added: Any) -> list[str]:
    """The list of all tokens by id."""
    try:
        ids = {**vocab, **{token["content"]: token["id"] for token in added}}
        plain = [token["content"] for token in added if not token["special"]]
        tokens = sorted(ids, key=ids.get)
        whole = [ids[token] for token in tokens] == list(range(len(tokens)))
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise InputError(
            "vocab or added_tokens is damaged: each token must have an id, from 0 on, and none be left out"
        )
    if plain:
        raise InputError(f"the added token {plain[0]!r} would be cut out of texts, which is not known here")
    return tokens
