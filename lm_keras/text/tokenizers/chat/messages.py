"""The turns of a chat as text, as pieces, and as token ids, by the template of a tokenizer.

What a user has typed is never a mark, though it look like one: `encode_chat` takes as marks what the template writes,
and encodes the rest as text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lm_keras.errors import InputError

if TYPE_CHECKING:
    from lm_keras.text.tokenizers.base import Tokenizer

# Characters of the private use areas, which no text should hold; those of a user's text are replaced.
_FIRST, _LAST, _BREAK = "\U0010fff0", "\U0010fff1", "\U0010fff2"
OURS = re.compile("[\U0010fff0-\U0010fff2]")
_PAD = "\n\u2003\n"  # white space of which a template takes all or nothing
_COMPARED = ("role", "type")  # what stands there says how to write a message; a template makes marks of roles
_PROBE = "\"<&'{%é"  # what a template that escapes its contents would change


class Content(NamedTuple):
    """The place of a message's content in a chat.

    Attributes:
        index: Of the message.
        lstrip: Whether the template takes the white space before the content away (`str.lstrip`).
        rstrip: The same for that after it.
    """

    index: int
    lstrip: bool = False
    rstrip: bool = False

    def cut(self, text: str) -> str:
        """Returns a content as the template writes it."""
        text = text.lstrip() if self.lstrip else text
        return text.rstrip() if self.rstrip else text


def chat_text(tokenizer: "Tokenizer", messages: Any, add_generation_prompt: bool, options: Mapping[str, Any]) -> str:
    """Returns what the template makes of messages; `Tokenizer.apply_chat_template`."""
    return _rendered(tokenizer, _checked(messages), add_generation_prompt, options)


def chat_ids(
    tokenizer: "Tokenizer", messages: Any, add_generation_prompt: bool, options: Mapping[str, Any]
) -> list[int]:
    """Returns the token ids of a chat; `Tokenizer.encode_chat`."""
    marks = _Marks(tokenizer.special_tokens)
    messages = _mapped(_checked(messages), marks.guard)
    # What an option such as `documents` holds is text too; the word that an option is itself, a template compares.
    options = _mapped(_plain(dict(options), "the options"), marks.guard, tuple(options))
    ids: list[int] = []
    text = ""
    for piece in (*marks.pieces(_rendered(tokenizer, messages, add_generation_prompt, options)), None):
        if isinstance(piece, str):
            text += piece
            continue
        ids += tokenizer.encode(text) if text else []
        ids += [] if piece is None else [piece]
        text = ""
    return ids


def chat_pieces(
    tokenizer: "Tokenizer", messages: Any, add_generation_prompt: bool, options: Mapping[str, Any]
) -> list[str | int | Content]:
    """Returns what the template writes around the contents; `Tokenizer.chat_pieces`."""
    messages = _checked(messages)
    for i, message in enumerate(messages):
        if not isinstance(message.get("content"), str):
            raise InputError(f"message {i} has no content that is a text; give one, which may be empty")
        message["content"] = f"{_PAD}{_FIRST}{i}{_PROBE}{_LAST}{_PAD}"
    text = _rendered(tokenizer, messages, add_generation_prompt, options)
    marks = _Marks(tokenizer.special_tokens)
    pieces: list[str | int | Content] = []
    place = 0
    for found in re.finditer(f"({_PAD})?{_FIRST}(\\d+){re.escape(_PROBE)}{_LAST}({_PAD})?", text):
        pieces += marks.pieces(text[place : found.start()])
        pieces.append(Content(int(found[2]), lstrip=found[1] is None, rstrip=found[3] is None))
        place = found.end()
    pieces += marks.pieces(text[place:])
    if any(OURS.search(piece) or "\u2003" in piece for piece in pieces if isinstance(piece, str)):
        raise InputError("the chat template changes the contents of messages, so it has no constant pieces")
    return pieces


def _rendered(tokenizer, messages, add_generation_prompt, options):
    if tokenizer.chat_template is None:
        raise InputError("this tokenizer has no chat template; give the prompt as one text, or set chat_template")
    from lm_keras.text.tokenizers.chat.sandbox import render  # jinja2, which few programs need

    tokens = tokenizer.chat_tokens
    if tokens is None:
        tokens = {f"{mark}_token": tokenizer.tokens[i] for mark, i in tokenizer.marks.items()}
    given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": add_generation_prompt}
    return render(tokenizer.chat_template, {**tokens, **given, **_plain(options, "the options")})


def _checked(messages):
    """Messages as new lists and dicts; a value None is left out, as other libraries do."""
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise InputError(
            f"messages is {messages!r:.80}; give a list such as [{{'role': 'user', 'content': 'Hello'}}]"
        )
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise InputError(f"message {i} is {message!r:.80}; give {{'role': 'user', 'content': 'Hello'}}")
    plain = _plain(list(map(dict, messages)), "a message")
    return [{key: value for key, value in message.items() if value is not None} for message in plain]


def _plain(value, name):
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{name} cannot be given to a chat template ({error}); give what JSON can hold") from None


def _mapped(value: Any, change: Callable[[str], str], compared: Sequence[str] = _COMPARED, key: str = "") -> Any:
    """A value with all its texts changed, but for what a template compares: names, and the words under `compared`."""
    if isinstance(value, str):
        return value if key in compared and value.isidentifier() else change(value)
    if isinstance(value, list):
        return [_mapped(part, change, compared) for part in value]
    if not isinstance(value, dict):
        return value
    named = {name: name if name.isidentifier() else change(name) for name in value}
    return {named[name]: _mapped(part, change, compared, name) for name, part in value.items()}


class _Marks:
    """Tells the special tokens that a template writes from those that stand in a user's text."""

    def __init__(self, special_tokens: Mapping[str, int]) -> None:
        self.ids = {token: i for token, i in special_tokens.items() if token}
        one = "|".join(map(re.escape, sorted(self.ids, key=len, reverse=True))) or "(?!)"
        self._token = re.compile(one)
        self._guarded = re.compile(f"{_FIRST}(?:{one}){_LAST}|{OURS.pattern}")
        self._starts = {token[:i] for token in self.ids for i in range(1, len(token))}
        self._ends = {token[i:] for token in self.ids for i in range(1, len(token))}
        self._longest = max(map(len, self.ids), default=0)

    def guard(self, text: str) -> str:
        """Returns a user's text with every special token in it, or part of one at its ends, made unlike one."""
        text = OURS.sub("\ufffd", text)
        sizes = range(1, min(self._longest, len(text) + 1))
        within = len(text) < self._longest and any(text in token for token in self.ids) and text != ""
        first = within or any(text[:i] in self._ends for i in sizes)
        last = within or any(text[-i:] in self._starts for i in sizes)
        text = self._token.sub(f"{_FIRST}\\g<0>{_LAST}", text)
        return f"{_BREAK * first}{text}{_BREAK * last}"

    def pieces(self, text: str) -> Iterator[str | int]:
        """Yields the texts and the ids of the marks of a rendered chat, without what `guard` has put."""
        place = 0
        for found in (*self._guarded.finditer(text), None):
            end = len(text) if found is None else found.start()
            yield from self._split(text[place:end])
            if found is not None:
                if kept := OURS.sub("", found[0]):
                    yield kept
                place = found.end()

    def _split(self, text):
        place = 0
        for found in self._token.finditer(text):
            if found.start() > place:
                yield text[place : found.start()]
            yield self.ids[found[0]]
            place = found.end()
        if place < len(text):
            yield text[place:]
