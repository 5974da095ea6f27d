"""Reading a saved tokenizer of any kind."""

from pathlib import Path

from lm_keras.errors import InputError, damaged, naming
from lm_keras.files import read_json
from lm_keras.text.bpe_tokenizer import BPETokenizer
from lm_keras.text.char_tokenizer import CharTokenizer
from lm_keras.text.word_tokenizer import WordTokenizer
from lm_keras.text.wordpiece_tokenizer import WordPieceTokenizer

_KINDS = {cls.kind: cls for cls in (BPETokenizer, CharTokenizer, WordPieceTokenizer, WordTokenizer)}


def load_tokenizer(folder):
    """Returns the tokenizer that `save(folder)` wrote to folder/tokenizer.json."""
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"there is no readable {path}: give a folder that holds a tokenizer")
    content = read_json(path)
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind is None and isinstance(content, dict) and "added_tokens" in content:
        raise InputError(f"{path} is of a Hugging Face checkpoint; lk.models.load_pretrained reads it with its model")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(f"{path} holds a tokenizer of kind {kind!r}; known are {', '.join(sorted(_KINDS))}")
    tokens, language, lowercase = (content.get(name) for name in ("tokens", "language", "lowercase"))
    if not (isinstance(tokens, list) and isinstance(language, str | None) and isinstance(lowercase, bool)):
        raise InputError(f"{path} is damaged (tokens, language or lowercase): save the tokenizer again")
    # What only some kinds have, they name themselves; an older file may lack it.
    extra = {name: content[name] for name in getattr(_KINDS[kind], "extra_fields", ()) if name in content}
    with naming(path), damaged("this tokenizer", "save it again"):
        return _KINDS[kind](tokens, language, lowercase, **extra)
