"""What training a tokenizer shares: the special tokens, counting, choosing the tokens."""

from collections import Counter

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_whole

# One mark ends a text and begins one, as GPT-2's <|endoftext|> does: bos_id == eos_id. So a model has one thing to
# learn about the edge of a text, and texts in a row, each with its end mark, need no mark between them.
PAD, UNK, EOS = "<pad>", "<unk>", "<eos>"
SPECIAL_TOKENS = (PAD, UNK, EOS)
PAD_ID, UNK_ID, EOS_ID = range(3)


def count(texts, split):
    """Counts `split(text)` over an iterable of texts, one at a time: the texts may be more than memory holds."""
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


def choose(counts, vocab_size, min_count, reserved):
    """Returns the list of tokens: the `reserved` ones, then the most frequent (equal counts: in code point order).

    `vocab_size` is the total, reserved tokens included; None keeps all that occur `min_count` times.
    """
    check_whole("min_count", min_count)
    kept = [token for token, n in counts.items() if n >= min_count and token not in SPECIAL_TOKENS]
    kept.sort(key=lambda token: (-counts[token], token))
    return [*reserved, *kept[: None if vocab_size is None else vocab_size - len(reserved)]]


def check_size(vocab_size: int | None, smallest: int, included: str) -> None:
    """Raises InputError for a vocabulary size that is neither None nor a whole number of at least `smallest`.

    `included`: what those tokens are, such as "256 bytes".
    """
    if vocab_size is not None:
        check_whole(f"vocab_size ({included} included)", vocab_size, smallest)
