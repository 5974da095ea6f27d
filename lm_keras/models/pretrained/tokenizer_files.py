"""The tokenizer that comes with a checkpoint: read from its files, and written as Hugging Face's."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.tokenizers.bpe import files, pipeline
from lm_keras.text.tokenizers.bpe.tokenizer import BPETokenizer
from lm_keras.text.tokenizers.wordpiece.tokenizer import WordPieceTokenizer
from lm_keras.text.tokenizers.wordpiece.vocabulary import hugging_face
from lm_keras.utils.atomic_files import MOST_JSON, read_json, write_json, write_text

_FOREIGN = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
# llama.cpp's names of the ways to cut a text. Of the first group a piece that is a token is that token.
_LLAMA3 = dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), "llama3")
_CUTS = {
    "gpt-2": "gpt2",
    "phi-2": "gpt2",
    "smollm": "gpt2-digits",
    **_LLAMA3,
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), "qwen2"),
    "default": pipeline.LLAMA_CPP_DEFAULT,
}
# Control tokens, or those that a file counts among the user's, at which llama.cpp ends a text in any case.
_ENDS = {
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "</s>"),
    *("<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>"),
    "<｜end▁of▁sentence｜>",
}
_LONG = {"unk": "unknown", "sep": "seperator", "pad": "padding"}  # llama.cpp's names, as it spells them
_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # llama.cpp's types of tokens
# What Hugging Face keeps of a special token, and the marks that a tokenizer_config.json names.
_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_MARKS = ("bos", "eos", "pad")
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
CHAT = "chat_template.jinja"
_CONFIG, GENERATION, _MAP = "tokenizer_config.json", "generation_config.json", "special_tokens_map.json"


def folder_tokenizer(folder: Path, config: Mapping[str, Any]) -> Tokenizer | None:
    """Returns the tokenizer of a checkpoint's tokenizer.json, of vocab.json and merges.txt, or of vocab.txt.

    A text ends at each id that config.json, generation_config.json, tokenizer_config.json or special_tokens_map.json
    names as the end of one.

    Args:
        folder: Of the checkpoint.
        config: The content of config.json, for its vocabulary's size and marks.

    Returns:
        The tokenizer, or None without any of these files.

    Raises:
        InputError: For another kind of tokenizer.
    """
    try:
        config = {**config, "eos_token_id": [*_ids(config), *_ids(_content(folder / GENERATION))]}
        made = None
        if (folder / "tokenizer.json").exists():
            made = _from_json(folder / "tokenizer.json", config)
        elif (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
            made = _from_pair(folder, config)
        elif (folder / "vocab.txt").exists():
            made = _from_words(folder)
        if made is not None:
            _read_chat(made, folder)
            return made
        for name in _FOREIGN:
            if (folder / name).exists():
                raise InputError(f"{folder / name} is a SentencePiece vocabulary, which is not read here")
    except InputError as error:
        raise _or_without(error) from None
    return None


def gguf_tokenizer(path: Path, fields: Mapping[str, Any], config: Mapping[str, Any]) -> BPETokenizer | None:
    """Returns the tokenizer of a GGUF file's metadata: byte-level BPE with one of the cuts that are known.

    Args:
        path: The file, for messages.
        fields: Its metadata.
        config: As of `folder_tokenizer`.

    Returns:
        The tokenizer, or None without any.

    Raises:
        InputError: For another kind of tokenizer, or a cut that is not known.
    """

    def field(name, default=None):
        return fields.get(f"tokenizer.ggml.{name}", default)

    kind, cut = field("model"), field("pre")
    if kind is None or kind == "none":
        return None
    if kind == "gpt2" and cut is None:
        cut = "default"
        warnings.warn(
            f"{path} does not say how texts are cut (tokenizer.ggml.pre): as llama.cpp does then", stacklevel=4
        )
    try:
        if kind != "gpt2" or cut not in _CUTS:
            raise InputError(f"{path} has a {kind} vocabulary cut by {cut!r}; known are gpt2 by {', '.join(_CUTS)}")
        tokens = field("tokens")
        types = field("token_type", [1] * len(tokens))
        added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
        options = {
            "merges": field("merges"),
            "pattern": _CUTS[cut],
            "special_tokens": [token for token, t in zip(tokens, types, strict=True) if t in (_CONTROL, _UNUSED)],
            "added_tokens": [
                {"id": i, "content": tokens[i]} | added for i, t in enumerate(types) if t == _USER_DEFINED
            ],
            "ignore_merges": cut in _LLAMA3,
            "add_bos": field("add_bos_token", cut in _LLAMA3),
            "bos_id": field("bos_token_id"),
            "eos_id": field("eos_token_id"),
            "end_ids": [
                *(i for i in (field("eot_token_id"), field("eom_token_id")) if i is not None),
                *(i for i, t in enumerate(types) if t in (_CONTROL, _USER_DEFINED) and tokens[i] in _ENDS),
            ],
            "pad_id": field("padding_token_id"),
        }
        made = _byte_level(tokens, options, config)
        if (template := fields.get("tokenizer.chat_template")) is not None:
            ids = {name: field(f"{_LONG.get(name[:3], name[:3])}_token_id") for name in _NAMED}
            named = {name: tokens[i] for name, i in ids.items() if type(i) is int and 0 <= i < len(tokens)}
            made.set_chat_template(template, named)
        return made
    except InputError as error:
        raise _or_without(error) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} has a damaged vocabulary ({error}); use another copy") from None


def save_tokenizer(tokenizer: Tokenizer, folder: str | Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json, for WordPiece vocab.txt too.

    Raises:
        InputError: For a tokenizer that has no such form: words, characters, or bytes with a lower case of our own.
    """
    folder = Path(folder)
    lowercase = tokenizer.lowercase
    if isinstance(tokenizer, WordPieceTokenizer):
        content = _word_pieces_json(tokenizer)
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": lowercase}
        config["strip_accents"] = tokenizer.strip_accents
        write_text(folder / "vocab.txt", "".join(token + "\n" for token in tokenizer.tokens))
    elif isinstance(tokenizer, BPETokenizer) and not lowercase:
        content = _byte_level_json(tokenizer)
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": tokenizer.add_bos}
        marks = tokenizer.marks
        config |= {f"{mark}_token": tokenizer.tokens[marks[mark]] for mark in _MARKS if mark in marks}
    else:
        name = type(tokenizer).__name__ + (" with lowercase=True" if lowercase else "")
        raise InputError(f"{name} has no form that transformers reads; save lm.model without it")
    if tokenizer.chat_template is not None:
        config["chat_template"] = tokenizer.chat_template
    (folder / CHAT).unlink(missing_ok=True)  # of the checkpoint that was there before: it would come first
    write_json(folder / "tokenizer.json", content)
    write_json(folder / "tokenizer_config.json", config)


def _read_chat(tokenizer: Tokenizer, folder: Path) -> None:
    """Gives a tokenizer the template of chats that a checkpoint has, and the names of tokens that it uses."""
    config = _content(folder / _CONFIG)
    template = config.get("chat_template")
    if isinstance(template, list):  # several, by their names
        named = {str(one.get("name")): one.get("template") for one in template if isinstance(one, dict)}
        template = named.get("default")
    if (folder / CHAT).is_file():
        template = _text(folder / CHAT)
    if template is not None:
        given = {name: config.get(name) for name in _NAMED}
        given = {name: token.get("content") if isinstance(token, dict) else token for name, token in given.items()}
        tokenizer.set_chat_template(template, {name: token for name, token in given.items() if token is not None})


def _from_json(path: Path, config: Mapping[str, Any]) -> Tokenizer:
    content = read_json(path)
    model = content.get("model") if isinstance(content, dict) else None
    if isinstance(model, dict) and model.get("type") == "WordPiece":
        return WordPieceTokenizer.from_tokenizer_json(path)
    tokens, options = files.read_tokenizer_json(path)
    return _byte_level(tokens, options | {"end_ids": _named(path.parent, tokens)}, config)


def _from_pair(folder: Path, config: Mapping[str, Any]) -> BPETokenizer:
    tokens, merges = files.read_pair(folder / "vocab.json", folder / "merges.txt")
    pattern = "qwen2" if config.get("model_type") == "qwen2" else "gpt2"
    if pattern == "gpt2" and _content(folder / _CONFIG).get("add_prefix_space"):
        pattern = {**pipeline.PATTERNS["gpt2"], "add_prefix_space": True}  # in Python; it has no in-graph twin
    special = [token for token in (pipeline.MARK,) if token in tokens]
    options = {"merges": merges, "pattern": pattern, "special_tokens": special, "end_ids": _named(folder, tokens)}
    return _byte_level(tokens, options, config)


def _from_words(folder: Path) -> WordPieceTokenizer:
    path = folder / _CONFIG
    options = _content(path)
    lowercase, strip = options.get("do_lower_case", True), options.get("strip_accents")
    return WordPieceTokenizer.from_files(folder / "vocab.txt", lowercase=lowercase, strip_accents=strip)


def _byte_level(tokens: list[str], options: dict[str, Any], config: Mapping[str, Any]) -> BPETokenizer:
    """A BPETokenizer with the marks of config.json where its own files name none, and a token for each row."""
    for name in ("bos", "eos", "pad"):
        given = [i for i in _ids(config, name) if 0 <= i < len(tokens)]
        if options.get(f"{name}_id") is None and given:
            options[f"{name}_id"] = given[0]
        if name == "eos":
            options["end_ids"] = [*options["end_ids"], *given]
    if not options.get("add_bos") and pipeline.MARK in tokens:
        options["bos_id"] = tokens.index(pipeline.MARK)  # texts have no mark before them, but one between them
    size = config.get("vocab_size")
    if isinstance(size, int):
        if len(tokens) > size:
            raise InputError(f"the tokenizer has {len(tokens)} tokens and the model {size}; they do not go together")
        unused = [f"<unused_{i}>" for i in range(len(tokens), size)]  # rows of the model that no token has
        tokens, options["special_tokens"] = [*tokens, *unused], [*options["special_tokens"], *unused]
    return BPETokenizer(tokens, **options)


def _content(path: Path) -> dict[str, Any]:
    """The content of a JSON file that may be missing, {} then; InputError for something else than an object."""
    content = read_json(path) if path.exists() else {}
    if not isinstance(content, dict):
        raise InputError(f"{path} is no configuration; use another copy")
    return content


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_JSON:
            raise ValueError(f"it has more than {MOST_JSON >> 20} MB")
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 ({error}); use another copy") from None


def _ids(config: Mapping[str, Any], name: str = "eos") -> list[int]:
    """The ids of a mark in a configuration of Hugging Face: one, several or none."""
    given = config.get(f"{name}_token_id")
    return [i for i in (given if isinstance(given, list) else [given]) if type(i) is int]


def _named(folder: Path, tokens: list[str]) -> list[int]:
    """The ids of what the tokenizer's own files call the end of a text."""
    found = []
    for file in (_CONFIG, _MAP):
        token = _content(folder / file).get("eos_token")
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str) and token in tokens:
            found.append(tokens.index(token))
    return found


def _or_without(error: InputError) -> InputError:
    return InputError(f"{error}; load_pretrained(..., tokenizer=False) loads the model without it")


def _byte_level_json(tokenizer: BPETokenizer) -> dict[str, Any]:
    """The content of a tokenizer.json."""
    ids = {token: i for i, token in enumerate(tokenizer.tokens)}
    special = [{"id": ids[token], "content": token} | _FLAGS for token in tokenizer.special_tokens]
    after = decoder = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    if tokenizer.add_bos:
        after = _template(tokenizer, [tokenizer.bos_id, "A"], [tokenizer.bos_id, "A", "B"])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted([*special, *tokenizer.added_tokens], key=lambda token: token["id"]),
        "normalizer": tokenizer.normalizer,
        "pre_tokenizer": pipeline.config_of(tokenizer.pattern),
        "post_processor": after,
        "decoder": decoder,
        "model": {
            "type": "BPE",
            "vocab": ids,  # with the special tokens: only those that stand here too keep their ids
            "merges": [list(pair) for pair in tokenizer.merges],
            "ignore_merges": tokenizer.ignore_merges,
        },
    }


def _word_pieces_json(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    """The content of a tokenizer.json."""
    ids = {token: i for i, token in enumerate(tokenizer.tokens)}
    content = json.loads(hugging_face(ids, tokenizer.lowercase, tokenizer.strip_accents).to_str())
    content["added_tokens"] = [
        {"id": i, "content": tokenizer.tokens[i]} | _FLAGS for i in sorted(tokenizer.special_ids)
    ]
    first = [tokenizer.cls_id, "A", tokenizer.sep_id]
    content["post_processor"] = _template(tokenizer, first, [*first, "B", tokenizer.sep_id])
    content["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    return content


def _template(tokenizer: Tokenizer, single: Sequence[int | str], pair: Sequence[int | str]) -> dict[str, Any]:
    """What is put around one text and two: ids of marks, "A" and "B"."""
    tokens = tokenizer.tokens

    def parts(places):
        second, made = 0, []
        for place in places:
            second |= place == "B"
            kind, name = ("Sequence", place) if isinstance(place, str) else ("SpecialToken", tokens[place])
            made.append({kind: {"id": name, "type_id": int(second)}})
        return made

    marks = {tokens[i]: {"id": tokens[i], "ids": [i], "tokens": [tokens[i]]} for i in single if isinstance(i, int)}
    return {"type": "TemplateProcessing", "single": parts(single), "pair": parts(pair), "special_tokens": marks}
