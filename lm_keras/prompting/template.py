"""Templates: the text around a text, such as "Review: {text}\\nSentiment:", with its special tokens."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import valid
from lm_keras.utils.checks import check_text

MASK = "mask"  # the name of the place of a label word, for masked models
_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Field(NamedTuple):
    """A place of a template where a text goes."""

    name: str


class Mark(NamedTuple):
    """A special token of the tokenizer, by its name."""

    token: str


class MaskPlace(NamedTuple):
    """The place where a masked model guesses a label word."""


class Stripped(NamedTuple):
    """Texts and fields whose white space at the ends a chat template takes away."""

    pieces: tuple[str | Field, ...]
    left: bool
    right: bool

    def cut(self, text: str) -> str:
        """Returns the text of all pieces without that white space."""
        text = text.lstrip() if self.left else text
        return text.rstrip() if self.right else text


Piece = str | int | Field | Mark | MaskPlace | Stripped  # int: the id of a special token


class Template:
    """A text with places for other texts.

    `{name}` is a field; `{{` and `}}` are braces. A group that is no identifier, `{<|im_end|>}`, is a special token
    of the tokenizer; the same letters without braces, or in a text that fills a field, are text. `{mask}` is where a
    masked model guesses a label word; a causal model guesses what follows the template.

    What stands between two special tokens, text and fields, is encoded as one string, because a tokenizer may join
    the end of one to the beginning of the other.

    Args:
        text: The template.
        chat: In place of `text`, the turns of a chat: `[{"role": "user", "content": "Review: {text}"}, ...]`. Each
            content is a template; the tokenizer's own chat template says what stands around them, and the assistant
            answers with a label word.
        separator: The text between two examples; a chat puts a turn for each instead.

    Raises:
        InputError: For braces that do not match, for no text, and for turns that are none.

    Example:

    ```python
    template = Template("Review: {text}\\nSentiment:")
    template.render(text="A fine film.")  # "Review: A fine film.\\nSentiment:"
    ```
    """

    def __init__(
        self,
        text: str | None = None,
        *,
        chat: Sequence[Mapping[str, str]] | None = None,
        separator: str = "\n\n",
    ):
        if (text is None) == (chat is None):
            raise InputError("a Template takes a text or chat=[...], one of both")
        check_text(separator)
        self.text, self.separator = text, valid(separator)
        self.chat = None if chat is None else _checked_chat(chat)
        contents = [text] if chat is None else [turn["content"] for turn in self.chat]
        self._parsed = [parse(content) for content in contents]
        pieces = [piece for content in self._parsed for piece in content]
        self.fields = tuple(dict.fromkeys(piece.name for piece in pieces if isinstance(piece, Field)))
        self.num_masks = sum(isinstance(piece, MaskPlace) for piece in pieces)
        if not pieces:
            raise InputError("the template is empty; give one with a field, such as 'Review: {text}'")

    def render(self, tokenizer: Tokenizer | None = None, /, **fields: str) -> str:
        """Returns the text, special tokens by their names, as in "<|im_end|>"; for reading, see `PromptEncoder`.

        Args:
            tokenizer: The tokenizer, whose chat template a template of a chat needs.
            **fields: The text of each field.

        Raises:
            InputError: A field is missing or is not in the template.
        """
        check_fields(self.fields, fields)
        pieces = self.pieces(tokenizer) if self.chat is not None else self._parsed[0]
        return "".join(_written(piece, fields, tokenizer) for piece in pieces)

    def pieces(
        self, tokenizer: Tokenizer | None, examples: Sequence[tuple[Mapping[str, str], str]] = ()
    ) -> list[Piece]:
        """Returns examples, then the template, as text, `Field`, ids of special tokens and `MaskPlace`.

        Args:
            tokenizer: The tokenizer, for the ids.
            examples: `(fields, label word)` of each; what fills the fields is text, whatever stands in it.

        Raises:
            InputError: The tokenizer lacks a special token, or a chat template.
        """
        examples = [({name: valid(text) for name, text in fields.items()}, valid(word)) for fields, word in examples]
        if self.chat is not None:
            return self._chat_pieces(tokenizer, examples)
        (own,), found = self._parsed, []
        for fields, word in examples:
            found += [*_filled(own, fields, word), *([] if self.num_masks else [word]), self.separator]
        return [_with_id(piece, tokenizer) for piece in (*found, *own)]

    def _chat_pieces(self, tokenizer, examples):
        turns = list(zip((turn["role"] for turn in self.chat), self._parsed, strict=True))
        system = turns[: 1 if turns[0][0] == "system" else 0]
        own, shown = turns[len(system) :], []
        for fields, word in examples:
            shown += [(role, _filled(content, fields, word)) for role, content in own] + [("assistant", [word])]
        turns = [*system, *shown, *own]
        messages = [{"role": role, "content": _shown(content)} for role, content in turns]
        if tokenizer is None:
            raise InputError("a template of a chat is rendered by a tokenizer's own: give it, render(tokenizer, ...)")
        found = []
        for piece in tokenizer.chat_pieces(messages, add_generation_prompt=True):
            found += [piece] if isinstance(piece, (str, int)) else _stripped(turns[piece.index][1], piece)
        return [_with_id(piece, tokenizer) for piece in found]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, as JSON has them."""
        return {"text": self.text, "chat": self.chat, "separator": self.separator}

    def __repr__(self):
        return f"Template({self.text!r})" if self.chat is None else f"Template(chat={self.chat!r})"


def parse(text: str) -> list[Piece]:
    """The pieces of a template in one string, text beside text joined.

    Raises:
        InputError: For braces that do not match, and what is no text.
    """
    check_text(text)
    text, pieces, at = valid(text), [], 0

    def add(piece):
        if piece == "":
            return
        if pieces and isinstance(piece, str) and isinstance(pieces[-1], str):
            pieces[-1] += piece
        else:
            pieces.append(piece)

    for found in _PARTS.finditer(text):
        add(text[at : found.start()])
        at, name = found.end(), found[1]
        if found[0] in ("{{", "}}"):
            add(found[0][0])
        elif not name:
            raise InputError(
                f"the template {text[:60]!r} has a {found[0]!r} at character {found.start()} that is no field; write "
                f"{{name}}, or double braces, {{{{ and }}}}, for braces in the text"
            )
        elif name == MASK:
            add(MaskPlace())
        else:
            add(Field(name) if name.isidentifier() else Mark(name))
    add(text[at:])
    return pieces


def check_fields(names: Sequence[str], given: Mapping[str, object]) -> None:
    """Raises InputError unless each field, and nothing else, is given."""
    if set(names) != set(given):
        raise InputError(
            f"the template has the fields {', '.join(names) or 'none'}; got {', '.join(given) or 'none of them'}"
        )


def _checked_chat(chat):
    if isinstance(chat, (str, Mapping)) or not chat:
        raise InputError(f"chat is {chat!r:.60}; give a list of turns, {{'role': 'user', 'content': '...'}}")
    turns = []
    for turn in chat:
        if not isinstance(turn, Mapping) or set(turn) != {"role", "content"} or not isinstance(turn["role"], str):
            raise InputError(f"a turn of the chat is {turn!r:.60}; give {{'role': 'user', 'content': '...'}}")
        check_text(turn["content"])
        turns.append({"role": turn["role"], "content": turn["content"]})
    if turns[-1]["role"] == "assistant":
        raise InputError("the last turn of the chat is the assistant's, who is to answer; end with the user's")
    if any(isinstance(piece, MaskPlace) for turn in turns for piece in parse(turn["content"])):
        raise InputError("a chat is for causal models, {mask} for masked ones; give a template of one text")
    return turns


def _filled(pieces, fields, word):
    """The pieces with the texts in place of the fields, and the word in place of `{mask}`."""
    kinds = {Field: lambda piece: fields[piece.name], MaskPlace: lambda piece: word}
    return [kinds.get(type(piece), lambda piece: piece)(piece) for piece in pieces]


def _stripped(pieces, content):
    """The pieces of a turn's content, without the white space that the chat template takes away."""
    text = (str, Field)
    first = next((i for i, piece in enumerate(pieces) if not isinstance(piece, text)), len(pieces))
    last = next((i for i in range(len(pieces), 0, -1) if not isinstance(pieces[i - 1], text)), 0)
    if first == len(pieces):  # no mark in it
        return _cut(pieces, content.lstrip, content.rstrip)
    middle = pieces[first:last]
    return [*_cut(pieces[:first], content.lstrip, False), *middle, *_cut(pieces[last:], False, content.rstrip)]


def _cut(pieces, left, right):
    if all(isinstance(piece, str) for piece in pieces):
        return [Stripped((), left, right).cut("".join(pieces))]
    return [Stripped(tuple(pieces), left, right)] if left or right else pieces


def _with_id(piece, tokenizer):
    if not isinstance(piece, Mark):
        return piece
    known = tokenizer.special_tokens
    if piece.token not in known:
        told = ", ".join(list(known)[:8]) or "none"
        raise InputError(
            f"the template names {{{piece.token}}}, which is no special token of the tokenizer; it has {told}"
        )
    return known[piece.token]


def _written(piece, fields, tokenizer):
    if isinstance(piece, str):
        return piece
    if isinstance(piece, int):
        return tokenizer.tokens[piece]
    if isinstance(piece, MaskPlace):
        return f"{{{MASK}}}"
    if isinstance(piece, Stripped):
        return piece.cut("".join(_written(part, fields, tokenizer) for part in piece.pieces))
    return fields[piece.name] if isinstance(piece, Field) else piece.token


def _shown(content):
    """A turn as a text for the chat template, which may look whether there is one."""
    return "".join(piece if isinstance(piece, str) else "x" for piece in content)
