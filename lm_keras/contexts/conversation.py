"""A conversation with a language model: its messages, and what the model has read of them."""

import contextlib
import dataclasses
import os
import weakref
from collections.abc import Iterator
from typing import Any

from typing_extensions import Unpack

from lm_keras.errors import InputError, naming
from lm_keras.generation.chat import KeptStates, chat_ids, check_chat, reply_config
from lm_keras.generation.config import GenerationConfig, GenerationOptions, merged
from lm_keras.generation.generate import continued, pieces
from lm_keras.language_model import LanguageModel
from lm_keras.text.unicode import valid
from lm_keras.utils.atomic_files import path_of, read_json, write_json
from lm_keras.utils.checks import check_text

FORMAT = "lm_keras conversation 1"
MOST_MESSAGES, MOST_CHARACTERS = 100_000, 2**25  # of a file


class Conversation:
    """A conversation with a language model whose tokenizer has a chat template.

    `say(text)` is the text of `lm.chat(messages)` for the messages so far and the new one. The model's state is kept
    from turn to turn, so that no turn is read twice; a kept state changes how much is read, never what comes out. The
    token ids decide how much of it holds: where those of the history differ from those that were written (a tokenizer
    may cut a reply otherwise than the model wrote it), the model reads on from there. A history that outgrows the
    model's context loses its oldest turns, see `LanguageModel.chat`; what comes after the system's message is then
    read anew. `messages` keeps all of them.

    A stream that is not read to its end (its loop is left, Ctrl-C) ends the turn: what it has yielded is kept as
    the assistant's reply. If that is nothing, the turn is dropped, as is one that `say` could not finish. A stream
    that is still open when the next turn begins is ended in the same way.

    Args:
        lm: The LanguageModel.
        system: The text of the system's message, or None: what the template has in its place.
        config: The options of a reply, as `LanguageModel.generate` has them; None: the defaults.
        **options: In place of the config's.

    Attributes:
        system: As given. It can be set to another, with which the conversation goes on.
        messages: The messages so far, `[{"role": "user", "content": "..."}, ...]`, without the system's; a copy.

    Raises:
        InputError: There is no chat template, the language model has a prompt of text, or for an option.

    Example:

    ```python
    chat = lk.contexts.Conversation(lm, system="You are a helpful assistant.", temperature=0)
    print(chat.say("Name three rivers of France."))
    for piece in chat.stream("Which of them is the longest?"):
        print(piece, end="", flush=True)
    chat.save("rivers.json")
    ```
    """

    def __init__(
        self,
        lm: LanguageModel,
        system: str | None = None,
        config: GenerationConfig | None = None,
        **options: Unpack[GenerationOptions],
    ):
        if not isinstance(lm, LanguageModel):
            raise InputError(f"a Conversation is with a LanguageModel, not a {type(lm).__name__}")
        if lm.tokenizer is None or lm.tokenizer.chat_template is None:
            raise InputError(
                "the tokenizer of this language model has no chat template; set tokenizer.chat_template, for example "
                'to lk.text.CHAT_TEMPLATES["chatml"]'
            )
        check_chat(lm.writer)
        self.lm, self.config = lm, merged(config, options)
        reply_config(lm.tokenizer, self.config)
        self.system = system
        self._messages, self._states, self._open = [], KeptStates(), None

    @property
    def system(self) -> str | None:
        return self._system

    @system.setter
    def system(self, text: str | None) -> None:
        if text is not None:
            check_text(text)
        self._system = None if text is None else valid(text)

    @property
    def messages(self) -> list[dict[str, str]]:
        return [dict(message) for message in self._messages]

    def reset(self) -> None:
        """Forgets all messages; the system's stays."""
        self._end_open()
        self._messages = []

    def say(self, text: str, **options: Unpack[GenerationOptions]) -> str:
        """Says something, and returns the reply.

        Args:
            text: The user's message.
            **options: In place of the conversation's, for this reply.

        Raises:
            InputError: The message is no text or does not fit, or for an option. The turn is dropped.
        """
        said, row, config = self._turn(text, options, streamed=False)
        left = {}
        writer = self._states.read(self.lm.writer, row)
        (made,) = continued(writer, [row], [config.seed], config, left)
        self._add(said, made.text, row, left)
        return made.text

    def stream(self, text: str, **options: Unpack[GenerationOptions]) -> Iterator[str]:
        """Says something, and yields the reply piece by piece.

        Args:
            text: The user's message.
            **options: As of `say`, without those that are about a whole text.

        Returns:
            An iterator of strings that are not empty; together they are what `say` returns.

        Raises:
            InputError: As `say`, at the call, not at the first piece.
        """
        made = self._stream(*self._turn(text, options, streamed=True))
        self._open = weakref.ref(made)  # a loop that is left ends it
        return made

    def add(self, text: str, reply: str) -> None:
        """Adds a turn that another one than the language model replied to: a person, or a `tasks.DialogueManager`.

        Args:
            text: The user's message.
            reply: The reply to it.
        """
        check_text(text), check_text(reply)
        self._end_open()
        turn = (("user", text), ("assistant", reply))
        self._messages += [{"role": role, "content": valid(content)} for role, content in turn]

    def save(self, path: str | os.PathLike) -> None:
        """Writes the messages and the options to a JSON file; the model is not in it.

        Args:
            path: The file; one that is there stays whole until the new one replaces it.
        """
        self._end_open()
        content = {"format": FORMAT, "system": self.system, "options": self.config.changed()}
        write_json(path_of(path), {**content, "messages": self._messages})

    @classmethod
    def load(cls, path: str | os.PathLike, lm: LanguageModel) -> "Conversation":
        """Reads a file that `save` wrote; the model reads the messages at the next turn.

        Args:
            path: The file.
            lm: The LanguageModel with which it goes on.

        Raises:
            InputError: The file is missing, damaged, or of another kind; as of the constructor.
        """
        path = path_of(path)
        content = read_json(path)
        with naming(path):
            options = _checked(content)
            made = cls(lm, content["system"], **options)
        made._messages = [dict(message) for message in content["messages"]]
        return made

    def _turn(self, text, options, streamed):
        """The user's message, the ids before the reply, and its config."""
        check_text(text)
        said = {"role": "user", "content": valid(text)}
        config = reply_config(self.lm.tokenizer, merged(self.config, options), streamed)
        self._end_open()
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        row = chat_ids(self.lm.writer, [*system, *self._messages, said], config.max_new_tokens)
        return said, row, config

    def _stream(self, said, row, config):
        shown, left, ended = "", {}, False
        try:
            writer = self._states.read(self.lm.writer, row)
            for piece in pieces(writer, row, config, left):
                shown += piece
                yield piece
            ended = True
        finally:
            if ended or shown:
                self._add(said, shown, row, left)

    def _add(self, said, answer, row, left):
        self._messages += [said, {"role": "assistant", "content": answer}]
        self._states.keep(row, left)

    def _end_open(self):
        stream = None if self._open is None else self._open()
        if stream is not None:
            with contextlib.suppress(ValueError):  # it is running: this is called from within it
                stream.close()
        self._open = None

    def __repr__(self):
        return f"Conversation({self.lm.model.name}, {len(self._messages)} messages)"


def _checked(content: Any) -> dict[str, Any]:
    """The options in what a file holds; InputError where it is no conversation."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError("no conversation, as Conversation.save writes it")
    options, messages, system = content.get("options"), content.get("messages"), content.get("system")
    known = {field.name for field in dataclasses.fields(GenerationConfig)}
    if not isinstance(options, dict) or not options.keys() <= known or not isinstance(system, str | None):
        raise InputError("its options or its system's message are damaged; use another copy")
    if not isinstance(messages, list) or len(messages) > MOST_MESSAGES or len(messages) % 2:
        raise InputError(
            f"its messages are no list of at most {MOST_MESSAGES:,}, two for each turn; use another copy"
        )
    for i, message in enumerate(messages):
        role = "assistant" if i % 2 else "user"
        text = isinstance(message, dict) and message.get("content")
        if not isinstance(text, str) or message != {"role": role, "content": text} or valid(text) != text:
            raise InputError(f"message {i} is no text of the {role}; use another copy")
    if sum(len(message["content"]) for message in messages) > MOST_CHARACTERS:
        raise InputError(f"its messages have more than {MOST_CHARACTERS:,} characters; use another copy")
    return options
