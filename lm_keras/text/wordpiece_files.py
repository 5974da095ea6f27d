"""BERT's vocabularies in the two forms in which checkpoints hold them."""

from pathlib import Path

from lm_keras.errors import InputError, naming
from lm_keras.files import read_json

_CLEANING = {"clean_text": True, "handle_chinese_chars": True}
_MODEL = {"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}


def read_vocabulary(path):
    """Returns the tokens of a vocab.txt: one a line, in the order of the ids."""
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        message = f"there is no readable {path} ({error.strerror}): give the vocab.txt of a BERT model"
        raise InputError(message) from error
    except ValueError as error:
        raise InputError(f"{path} is not UTF-8 ({error}): give the vocab.txt of a BERT model") from error
    # Only "\n" ends a line: multilingual vocabularies hold other line separators as tokens.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def read_tokenizer_json(path):
    """Returns (tokens, lowercase, strip_accents) of a tokenizer.json in Hugging Face's format.

    Its truncation and padding are not taken over, nor its decoder: they are arguments and rules of their own here.
    """
    content = read_json(path)
    with naming(path):
        if not isinstance(content, dict):
            raise InputError("this is no tokenizer.json of a BERT model")
        normalizer = _part(
            content, "normalizer", "BertNormalizer", {"clean_text": True, "handle_chinese_chars": True}
        )
        _part(content, "pre_tokenizer", "BertPreTokenizer", {})
        model = _part(content, "model", "WordPiece", _MODEL)
        marks = content.get("post_processor")
        if marks is not None and _type(marks) not in ("TemplateProcessing", "BertProcessing"):
            raise InputError(f"post_processor {_type(marks)!r} is not known: give the tokenizer.json of a BERT model")
        lowercase, strip_accents = normalizer.get("lowercase"), normalizer.get("strip_accents")
        if not isinstance(lowercase, bool) or not isinstance(strip_accents, bool | None):
            raise InputError("lowercase or strip_accents of the normalizer is neither true nor false")
        return _tokens(model.get("vocab"), content.get("added_tokens") or []), lowercase, strip_accents


def _type(part):
    return part.get("type") if isinstance(part, dict) else part


def _part(content, name, kind, settings):
    part = content.get(name)
    if _type(part) != kind:
        raise InputError(f"{name} {_type(part)!r} is not known: give the tokenizer.json of a BERT model ({kind})")
    for key, value in settings.items():
        if part.get(key) != value:
            raise InputError(f"{kind} with {key} {part.get(key)!r} is not known, only {value!r}")
    return part


def _tokens(vocab, added):
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
