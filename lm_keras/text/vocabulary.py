"""What training a tokenizer shares: the special tokens, counting, choosing the tokens."""

from collections import Counter

from lm_keras.errors import InputError

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
    if isinstance(min_count, bool) or not isinstance(min_count, int) or min_count < 1:
        raise InputError(f"min_count {min_count!r} is not possible: give a whole number from 1 on")
    kept = [token for token, n in counts.items() if n >= min_count and token not in SPECIAL_TOKENS]
    kept.sort(key=lambda token: (-counts[token], token))
    return [*reserved, *kept[: None if vocab_size is None else vocab_size - len(reserved)]]


def check_size(vocab_size, smallest, why):
    """Raises InputError for a vocabulary size that is not a whole number from `smallest` on."""
    if vocab_size is None:
        return
    if isinstance(vocab_size, bool) or not isinstance(vocab_size, int) or vocab_size < smallest:
        raise InputError(
            f"vocab_size {vocab_size!r} is not possible: give at least {smallest} ({why}), or None for all"
        )
