"""Learning the merges of byte-level BPE with Hugging Face's `tokenizers`."""

import json

from lm_keras.errors import InputError
from lm_keras.text import bpe_pipeline, codepoints, vocabulary
from lm_keras.utils.checks import check_whole

VOCAB_SIZE = 8_000
_SMALLEST = 257


def learn(texts, vocab_size, min_count, lowercase):
    """Returns (tokens, merges): `<|endoftext|>`, the 256 bytes, then what the merges make, in their order.

    `texts` may be more than memory holds: only the different pieces and their numbers are kept. Equal counts are
    settled by ids, so the same texts always give the same tokens.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    vocabulary.check_size(vocab_size, _SMALLEST, f"{bpe_pipeline.MARK} and 256 bytes")
    vocab_size = VOCAB_SIZE if vocab_size is None else vocab_size
    check_whole("min_count", min_count)
    if isinstance(texts, (str, bytes)):
        raise InputError("train takes an iterable of texts, got one string: put it into a list")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_count,
        special_tokens=[bpe_pipeline.MARK],
        initial_alphabet=list(bpe_pipeline.alphabet()),
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
        text = codepoints.valid(text)
        if text and not seen:
            seen.append(True)
        yield codepoints.lower(text) if lowercase else text
