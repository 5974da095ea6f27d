"""Writing a tokenizer as Hugging Face's files."""

import json
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.files import write_json, write_text
from lm_keras.text import bpe_pipeline
from lm_keras.text.bpe_tokenizer import BPETokenizer
from lm_keras.text.wordpiece_tokenizer import WordPieceTokenizer
from lm_keras.text.wordpiece_training import hugging_face

_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_MARKS = ("bos", "eos", "pad")


def save_tokenizer(tokenizer, folder):
    """Writes tokenizer.json and tokenizer_config.json, for WordPiece vocab.txt too.

    InputError for a tokenizer that has no such form: words, characters, or bytes with a lower case of our own.
    """
    folder = Path(folder)
    lowercase = tokenizer.lowercase
    if isinstance(tokenizer, WordPieceTokenizer):
        content = _word_pieces(tokenizer)
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": lowercase}
        config["strip_accents"] = tokenizer.strip_accents
        write_text(folder / "vocab.txt", "".join(token + "\n" for token in tokenizer.tokens))
    elif isinstance(tokenizer, BPETokenizer) and not lowercase:
        content = _byte_level(tokenizer)
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": tokenizer.add_bos}
        marks = tokenizer.marks
        config |= {f"{mark}_token": tokenizer.tokens[marks[mark]] for mark in _MARKS if mark in marks}
    else:
        name = type(tokenizer).__name__ + (" with lowercase=True" if lowercase else "")
        raise InputError(f"{name} has no form that transformers reads; save lm.model without it")
    write_json(folder / "tokenizer.json", content)
    write_json(folder / "tokenizer_config.json", config)


def _byte_level(tokenizer):
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
        "pre_tokenizer": bpe_pipeline.config_of(tokenizer.pattern),
        "post_processor": after,
        "decoder": decoder,
        "model": {
            "type": "BPE",
            "vocab": ids,  # with the special tokens: only those that stand here too keep their ids
            "merges": [list(pair) for pair in tokenizer.merges],
            "ignore_merges": tokenizer.ignore_merges,
        },
    }


def _word_pieces(tokenizer):
    ids = {token: i for i, token in enumerate(tokenizer.tokens)}
    content = json.loads(hugging_face(ids, tokenizer.lowercase, tokenizer.strip_accents).to_str())
    content["added_tokens"] = [
        {"id": i, "content": tokenizer.tokens[i]} | _FLAGS for i in sorted(tokenizer.special_ids)
    ]
    first = [tokenizer.cls_id, "A", tokenizer.sep_id]
    content["post_processor"] = _template(tokenizer, first, [*first, "B", tokenizer.sep_id])
    content["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    return content


def _template(tokenizer, single, pair):
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
