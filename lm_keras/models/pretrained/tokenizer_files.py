"""Reading the tokenizer that comes with a checkpoint."""

from lm_keras.errors import InputError
from lm_keras.files import read_json
from lm_keras.text import bpe_files, bpe_pipeline
from lm_keras.text.bpe_tokenizer import BPETokenizer
from lm_keras.text.wordpiece_tokenizer import WordPieceTokenizer

_FOREIGN = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_CUTS = {"gpt-2": "gpt2", "smollm": "gpt2-digits", "llama-bpe": "llama3", "qwen2": "qwen2"}  # llama.cpp's names
_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # llama.cpp's types of tokens
_CONFIG = "tokenizer_config.json"


def folder_tokenizer(folder, config):
    """From tokenizer.json, or vocab.json and merges.txt, or vocab.txt; None without any of them.

    `config`: the content of config.json, for its vocabulary's size and marks. InputError for another kind.
    """
    try:
        if (folder / "tokenizer.json").exists():
            return _from_json(folder / "tokenizer.json", config)
        if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
            return _from_pair(folder, config)
        if (folder / "vocab.txt").exists():
            return _from_words(folder)
        for name in _FOREIGN:
            if (folder / name).exists():
                raise InputError(f"{folder / name} is a SentencePiece vocabulary, which is not read here")
    except InputError as error:
        raise _or_without(error) from None
    return None


def _from_json(path, config):
    content = read_json(path)
    model = content.get("model") if isinstance(content, dict) else None
    if isinstance(model, dict) and model.get("type") == "WordPiece":
        return WordPieceTokenizer.from_tokenizer_json(path)
    tokens, options = bpe_files.read_tokenizer_json(path)
    return _byte_level(tokens, options, config)


def _from_pair(folder, config):
    tokens, merges = bpe_files.read_pair(folder / "vocab.json", folder / "merges.txt")
    pattern = "qwen2" if config.get("model_type") == "qwen2" else "gpt2"
    special = [token for token in (bpe_pipeline.MARK,) if token in tokens]
    return _byte_level(tokens, {"merges": merges, "pattern": pattern, "special_tokens": special}, config)


def _from_words(folder):
    path = folder / _CONFIG
    options = read_json(path) if path.exists() else {}
    lowercase, strip = options.get("do_lower_case", True), options.get("strip_accents")
    return WordPieceTokenizer.from_files(folder / "vocab.txt", lowercase=lowercase, strip_accents=strip)


def _byte_level(tokens, options, config):
    """A BPETokenizer with the marks of config.json where its own files name none, and a token for each row."""
    for name in ("bos_id", "eos_id", "pad_id"):
        given = config.get(name.replace("id", "token_id"))
        given = given[0] if isinstance(given, list) and given else given
        if options.get(name) is None and isinstance(given, int) and given < len(tokens):
            options[name] = given
    if not options.get("add_bos") and bpe_pipeline.MARK in tokens:
        options["bos_id"] = tokens.index(bpe_pipeline.MARK)  # texts have no mark before them, but one between them
    size = config.get("vocab_size")
    if isinstance(size, int):
        if len(tokens) > size:
            raise InputError(f"the tokenizer has {len(tokens)} tokens and the model {size}; they do not go together")
        unused = [f"<unused_{i}>" for i in range(len(tokens), size)]  # rows of the model that no token has
        tokens, options["special_tokens"] = [*tokens, *unused], [*options["special_tokens"], *unused]
    return BPETokenizer(tokens, **options)


def gguf_tokenizer(path, fields, config):
    """From the metadata of a GGUF file: byte-level BPE with one of the cuts that are known; None without any."""

    def field(name, default=None):
        return fields.get(f"tokenizer.ggml.{name}", default)

    kind, cut = field("model"), field("pre")
    if kind is None or kind == "none":
        return None
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
            "ignore_merges": cut == "llama-bpe",
            "add_bos": field("add_bos_token", cut == "llama-bpe"),
            "bos_id": field("bos_token_id"),
            "eos_id": field("eos_token_id"),
            "pad_id": field("padding_token_id"),
        }
        return _byte_level(tokens, options, config)
    except InputError as error:
        raise _or_without(error) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} has a damaged vocabulary ({error}); use another copy") from None


def _or_without(error):
    return InputError(f"{error}; load_pretrained(..., tokenizer=False) loads the model without it")
