"""Hugging Face's `tokenizers` for byte-level BPE: the ways to cut a text before its merges, and building one."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lm_keras.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MARK = "<|endoftext|>"  # GPT-2's only special token

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
_GPT2 = _BYTES | {"use_regex": True}
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _sequence(*parts: dict) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(parts)}


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


# The cuts that the in-graph twin knows, by name, as they stand in a checkpoint's tokenizer.json.
PATTERNS = {
    "gpt2": _GPT2,
    "gpt2-digits": _sequence({"type": "Digits", "individual_digits": True}, _GPT2),  # SmolLM2
    "llama3": _sequence(_split(_LLAMA3), _BYTES),
    "qwen2": _sequence(_split(_LLAMA3.replace("{1,3}", "")), _BYTES),
}


# What llama.cpp does to a text of a model of which it knows no better; it has no in-graph twin.
LLAMA_CPP_DEFAULT = _sequence(
    _split(r"[\p{P}\$\+<=>\^~\|]+"),
    _split(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"),
    _split(r"\p{N}+"),
    _split(r"[0-9][0-9][0-9]"),
    _BYTES,
)


def name_of(config: Any) -> Any:
    """Returns the name of a pre-tokenizer's configuration; the configuration itself where it is none of PATTERNS.

    `trim_offsets` and a missing default change no id.
    """
    return next((name for name, known in PATTERNS.items() if _essence(config) == _essence(known)), config)


def _essence(config: Any) -> Any:
    if not isinstance(config, dict):
        return config
    if config.get("type") == "Sequence" and isinstance(config.get("pretokenizers"), list):
        return [_essence(part) for part in config["pretokenizers"]]
    defaults = {"use_regex": True} if config.get("type") == "ByteLevel" else {}
    return defaults | {key: value for key, value in config.items() if key != "trim_offsets"}


def config_of(pattern: str | dict[str, Any]) -> dict[str, Any]:
    """Returns the pre-tokenizer's configuration of a name of PATTERNS, or of a configuration.

    Raises:
        InputError: For another name, and for a configuration without ByteLevel.
    """
    if isinstance(pattern, str):
        if pattern not in PATTERNS:
            raise InputError(f"there is no BPE pattern {pattern!r}; known are {', '.join(PATTERNS)}")
        return PATTERNS[pattern]
    parts = pattern.get("pretokenizers", [pattern]) if isinstance(pattern, dict) else []
    if not isinstance(parts, list) or not any(
        isinstance(part, dict) and part.get("type") == "ByteLevel" for part in parts
    ):
        raise InputError(
            "this is no byte-level BPE (its pre_tokenizer is not ByteLevel): give that of a GPT-2, Llama 3 ..."
        )
    return pattern


def alone(
    pipeline: "Tokenizer", tokens: Sequence[str], special_tokens: Mapping[str, int], ignore_merges: bool
) -> list[int]:
    """Returns the ids of the tokens which the pipeline gives for a piece of text that is what they stand for."""
    from tokenizers import Tokenizer

    letters = set(alphabet())
    ids = [i for i, token in enumerate(tokens) if token and token not in special_tokens and letters.issuperset(token)]
    if ignore_merges:
        return ids
    rows = Tokenizer(pipeline.model).encode_batch_fast([tokens[i] for i in ids], add_special_tokens=False)
    return [i for i, row in zip(ids, rows, strict=True) if row.ids == [i]]


def build(
    vocab: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    pre_tokenizer: dict[str, Any],
    normalizer: dict[str, Any] | None,
    unk_token: str | None,
    ignore_merges: bool,
    added_tokens: Sequence[dict[str, Any]],
) -> "Tokenizer":
    """Returns a `tokenizers.Tokenizer`. It knows no special tokens: marks in a text are text.

    Args:
        vocab: {token: id}.
        merges: [("a", "b"), ...].
        pre_tokenizer: This and the others are as in a tokenizer.json.
        normalizer: What is done to a text before it is cut.
        unk_token: Stands for a byte that is not in `vocab`.
        ignore_merges: Whether a piece that is a token is that token.
        added_tokens: Are cut out of a text before anything else.

    Raises:
        InputError: When it cannot be built.
    """
    from tokenizers import Tokenizer

    model = {"type": "BPE", "vocab": vocab, "merges": merges, "unk_token": unk_token}
    content = {
        "version": "1.0",
        "added_tokens": added_tokens,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "model": model | {"ignore_merges": ignore_merges},
    }
    try:
        return Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the library raises no narrower one
        raise InputError(
            f"the tokenizers library cannot use this vocabulary: {' '.join(str(error).split())}"
        ) from None


@functools.cache
def alphabet() -> tuple[str, ...]:
    """Returns GPT-2's 256 letters, one for each byte: printable characters stay, the others are Ā, ā, ..."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    other = (chr(256 + i) for i in range(256))
    return tuple(chr(byte) if byte in plain else next(other) for byte in range(256))


@functools.cache
def _letters() -> dict[str, int]:
    return {letter: byte for byte, letter in enumerate(alphabet())}


def surface(token: str) -> bytes:
    """Returns the bytes that a token stands for; a token with other letters than the alphabet's stands for itself."""
    codes = [_letters().get(letter) for letter in token]
    return token.encode() if None in codes else bytes(codes)
