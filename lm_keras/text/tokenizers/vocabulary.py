"""The tokens of a vocabulary: the special ones, counting, choosing, checking."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_whole

# One mark ends a text and begins one, as GPT-2's <|endoftext|> does: bos_id == eos_id. So a model has one thing to
# learn about the edge of a text, and texts in a row, each with its end mark, need no mark between them.
PAD, UNK, EOS = "<pad>", "<unk>", "<eos>"
SPECIAL_TOKENS = (PAD, UNK, EOS)
PAD_ID, UNK_ID, EOS_ID = range(3)


def count(texts: Iterable[str | bytes], split: Callable[[str | bytes], Iterable[str]]) -> Counter[str]:
    """Counts the tokens of texts, one text at a time: they may be more than memory holds.

    Args:
        texts: An iterable of str, read once.
        split: Gives the tokens of a text.

    Returns:
        {token: how often it occurs}.

    Raises:
        InputError: For one string in place of several, what is no text, and no token at all.
    """
    if isinstance(texts, (str, bytes)):
        raise InputError("train takes an iterable of texts, got one string: put it into a list")
    counts = Counter()
    for text in texts:
        if not isinstance(text, (str, bytes)):
            raise InputError(f"train takes an iterable of strings, got a {type(text).__name__} in it")
        counts.update(split(text))
    if not counts:
        raise InputError("the training texts hold no tokens at all: give at least one text that is not empty")
    return counts


def choose(counts: Mapping[str, int], vocab_size: int | None, min_count: int, reserved: Sequence[str]) -> list[str]:
    """Returns the tokens of a vocabulary: the reserved ones, then the most frequent first.

    Args:
        counts: {token: how often it occurs}. Equal counts are in the order of code points.
        vocab_size: How many tokens at most, reserved ones included; None: all that occur often enough.
        min_count: How often a token must occur.
        reserved: The tokens that come first, whether they occur or not.

    Raises:
        InputError: For a `min_count` that is no whole number of at least 1.
    """
    check_whole("min_count", min_count)
    kept = [token for token, n in counts.items() if n >= min_count and token not in SPECIAL_TOKENS]
    kept.sort(key=lambda token: (-counts[token], token))
    return [*reserved, *kept[: None if vocab_size is None else vocab_size - len(reserved)]]


def check_size(vocab_size: int | None, smallest: int, included: str) -> None:
    """Checks the size of a vocabulary.

    Args:
        vocab_size: A whole number, or None for as many as there are.
        smallest: The least number that is possible.
        included: What those tokens are, for the message: "256 bytes".

    Raises:
        InputError: For another size.
    """
    if vocab_size is not None:
        check_whole(f"vocab_size ({included} included)", vocab_size, smallest)


def check_tokens(tokens: Sequence[str], reserved: Sequence[str]) -> None:
    """Checks that tokens are different strings of Unicode, the reserved ones first.

    Raises:
        InputError: Otherwise.
    """
    if not isinstance(tokens, (list, tuple)):
        raise InputError(f"a tokenizer's tokens must be a list of strings, got {type(tokens).__name__}")
    if not all(isinstance(token, str) for token in tokens) or len(set(tokens)) < len(tokens):
        raise InputError("a tokenizer's tokens must be strings, each there once: train it again")
    if any("\ud800" <= char <= "\udfff" for token in tokens for char in token):
        raise InputError("a tokenizer's tokens must not hold lone surrogates: train it again")
    if tuple(tokens[: len(reserved)]) != tuple(reserved):
        raise InputError(f"a tokenizer's tokens must begin with {', '.join(reserved[:4])} ...: train it again")
