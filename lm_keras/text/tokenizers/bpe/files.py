"""Byte-level BPE vocabularies in the forms in which checkpoints hold them, and what a vocabulary must be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.bpe import pipeline
from lm_keras.utils.atomic_files import read_json
from lm_keras.utils.checks import check_whole


def read_pair(encoder_json: str | Path, vocab_bpe: str | Path) -> tuple[list[str], list[str]]:
    """Returns `(tokens, merges)` of GPT-2's two files.

    Raises:
        InputError: For files that are none.
    """
    tokens = _in_order(read_json(encoder_json), encoder_json)
    try:
        lines = Path(vocab_bpe).read_bytes().decode("utf-8").split("\n")
    except OSError as error:
        raise InputError(f"there is no readable {vocab_bpe} ({error.strerror}): give a BPE's merges") from error
    except ValueError as error:
        raise InputError(f"{vocab_bpe} is not UTF-8 ({error}): give a BPE's merges") from error
    lines = [line.removesuffix("\r") for line in lines]
    return tokens, [line for line in lines[lines[0].startswith("#version") :] if line]


def read_tokenizer_json(path: str | Path) -> tuple[list[str], dict[str, Any]]:
    """Returns `(tokens, options)`: the arguments of BPETokenizer that a tokenizer.json and the file beside it give.

    Args:
        path: The file, or the folder that holds it.

    Raises:
        InputError: For a file that is none, or of another model than byte-level BPE.
    """
    path = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
    content = read_json(path)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise InputError(f"{path} holds no BPE model: give the tokenizer.json of a checkpoint like GPT-2 or Llama 3")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(name):
            raise InputError(f"{path}: the BPE model's {name} {model[name]!r} is not supported")
    try:
        added = {token["content"]: token for token in content.get("added_tokens") or []}
        special = [name for name, token in added.items() if token["special"]]
        ids = model["vocab"] | {name: token["id"] for name, token in added.items()}
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: added_tokens or vocab is damaged ({error})") from None
    # Only a vocabulary that lacks some of the bytes can need it.
    unk_token = None if ids.keys() >= set(pipeline.alphabet()) else model.get("unk_token") or None
    if unk_token and model.get("fuse_unk"):
        raise InputError(f"{path}: a vocabulary without all bytes is not supported where fuse_unk is true")
    normalizer = content.get("normalizer")
    if isinstance(normalizer, dict) and normalizer.get("normalizers") == []:
        normalizer = None
    options = {
        "merges": model.get("merges"),
        "pattern": content.get("pre_tokenizer"),
        "special_tokens": special,
        "unk_token": unk_token,
        "ignore_merges": model.get("ignore_merges", False),
        "normalizer": normalizer,
        "added_tokens": [token for token in added.values() if not token["special"]],
    }
    return _in_order(ids, path), options | _marks(path, ids, content.get("post_processor"))


def _marks(path: Path, ids: Mapping[str, int], post_processor: Any) -> dict[str, Any]:
    """bos_id, eos_id, pad_id, add_bos of tokenizer_config.json and of what the post_processor puts before a text."""
    config = path.with_name("tokenizer_config.json")
    config = read_json(config) if config.is_file() else {}
    found = {}
    for name in ("bos", "eos", "pad"):
        token = config.get(f"{name}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if token is not None and token not in ids:
            raise InputError(f"{path}: the {name}_token {token!r} of tokenizer_config.json is not in the vocabulary")
        found[f"{name}_id"] = ids.get(token)
    found["add_bos"] = bool(config.get("add_bos_token", _puts_a_mark_first(post_processor)))
    return found


def _puts_a_mark_first(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    if part.get("type") == "Sequence":
        return any(map(_puts_a_mark_first, part.get("processors", [])))
    return part.get("type") == "TemplateProcessing" and "SpecialToken" in (part.get("single") or [{}])[0]


def _in_order(ids: Any, path: str | Path) -> list[str]:
    """The list of tokens of {token: id}."""
    numbers = list(ids.values()) if isinstance(ids, dict) else [None]
    if not all(type(i) is int for i in numbers) or sorted(numbers) != list(range(len(numbers))):
        raise InputError(f"{path} is no vocabulary: each token must have an id, from 0 on, and none be left out")
    return sorted(ids, key=ids.get)


def checked_merges(merges: Any, ids: Mapping[str, int]) -> list[tuple[str, str]]:
    """Returns merges as pairs of tokens.

    Raises:
        InputError: For a merge that does not make a token of two.
    """
    if not isinstance(merges, (list, tuple)):
        raise InputError("a BPE tokenizer needs its list of merges: train it again, or give its file again")
    pairs = []
    for merge in merges:
        pair = tuple(merge.split(" ")) if isinstance(merge, str) else merge
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise InputError(f"the merge {merge!r} is damaged: it must be two tokens with a space between them")
        if pair[0] not in ids or pair[1] not in ids or "".join(pair) not in ids:
            raise InputError(f"the merge {merge!r} does not fit the vocabulary: give the two files of one tokenizer")
        pairs.append(tuple(pair))
    return pairs


def special_ids(special_tokens: Any, ids: Mapping[str, int]) -> dict[str, int]:
    """Returns {token: id} of the special tokens.

    Raises:
        InputError: For a token that is not in the vocabulary.
    """
    if not isinstance(special_tokens, (list, tuple)):
        raise InputError(f"special_tokens {special_tokens!r} is not possible: give a list of tokens")
    for token in special_tokens:
        if not isinstance(token, str) or token not in ids:
            raise InputError(
                f"the special token {token!r} is not in the vocabulary: name its own (special_tokens=[...])"
            )
    return {token: ids[token] for token in special_tokens}


def checked_ends(eos_id: int, end_ids: Any, ids: Mapping[str, int]) -> tuple[int, ...]:
    """Returns the ids that end a text, `eos_id` first, each once."""
    if not isinstance(end_ids, (list, tuple)):
        raise InputError(f"end_ids {end_ids!r} is not possible: give a list of ids")
    return tuple(dict.fromkeys([eos_id, *(checked_id("end_ids", i, ids) for i in end_ids)]))


def checked_id(name: str, value: Any, ids: Mapping[str, int]) -> int:
    """Returns the id of a mark, given by its name.

    Raises:
        InputError: For what is not an id of the vocabulary.
    """
    if value is None:
        raise InputError(f"this vocabulary has no {pipeline.MARK}: give {name}, the id of what ends a text")
    return check_whole(name, value, 0, len(ids) - 1)
