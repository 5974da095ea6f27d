"""A chat: from messages to the token ids that a reply follows, and the reply.

What of a long history still fits (`chat_ids`) is decided by whole turns, before anything is read: within a reply a
model forgets nothing. `KeptStates` has what a model has read of a conversation, for the next turn.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.config import GenerationConfig, check_taken
from lm_keras.generation.generate import Generation, continued, pieces, stop_ids
from lm_keras.generation.prompt_cache import PromptCache, common_length, first_ids, has_parts
from lm_keras.generation.sharing import read_once
from lm_keras.generation.writer import Writer
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.tokenizers.chat.messages import Content

Messages: TypeAlias = Sequence[Mapping[str, Any]]
STAY = ("system", "developer")  # roles whose messages are never dropped


# === From messages to ids ===
def chat_ids(writer: Writer, messages: Messages, max_new_tokens: int) -> list[int]:
    """The ids of a chat, those of a learned prompt before them, that leave room for a reply.

    Where the model's memory would not hold them and `max_new_tokens`, the fewest oldest turns are left out: a user's
    message and all that follows it up to the next one. The messages of the system stay, and so does the last turn.

    Raises:
        InputError: The last turn does not fit; there is no chat template, or it does not take the messages.
    """
    window, before = writer.model.context_length, writer.before(False)
    row = [*before, *writer.tokenizer.encode_chat(messages)]
    if not row:
        raise InputError("the chat template makes no token of these messages; give others")
    if window is None or len(row) + max_new_tokens <= window:
        return row

    def without(count):
        dropped = {i for turn in turns[:count] for i in turn}
        kept = [message for i, message in enumerate(messages) if i not in dropped]
        return [*before, *writer.tokenizer.encode_chat(kept)]

    turns = _turns(messages)
    few, enough, row = 0, len(turns), without(len(turns))
    if len(row) + max_new_tokens > window:
        what = "the last turn, with the system's message," if turns else "the chat"
        raise InputError(
            f"{what} has {len(row)} tokens, and {writer.model.name} sees {window}, which leaves no room for "
            f"max_new_tokens={max_new_tokens}; give a shorter message, or fewer new tokens"
        )
    while enough - few > 1:  # `few` are too few; a graph halves in the same way
        count = (few + enough) // 2
        shorter = without(count)
        if len(shorter) + max_new_tokens <= window:
            enough, row = count, shorter
        else:
            few = count
    return row


def _turns(messages):
    """The places of the messages of each turn but the last."""
    turns = []
    for i, message in enumerate(messages):
        if message["role"] not in STAY:
            if message["role"] == "user" or not turns:
                turns.append([])
            turns[-1].append(i)
    return turns[:-1]


def reply_ends(tokenizer: Tokenizer) -> list[int]:
    """The ids that end a reply: the tokenizer's `end_ids`, and the mark that the template puts after an answer."""
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant")]
    try:
        made = tokenizer.chat_pieces(turns, add_generation_prompt=False)
    except InputError:  # the template has no constant pieces
        made = []
    after = next((made[i + 1 :] for i, piece in enumerate(made) if isinstance(piece, Content) and piece.index), [])
    mark = next((piece for piece in after if isinstance(piece, int) or piece.strip()), None)
    return [*tokenizer.end_ids, *([mark] if isinstance(mark, int) and mark not in tokenizer.end_ids else [])]


def reply_config(tokenizer: Tokenizer, config: GenerationConfig, streamed: bool = False) -> GenerationConfig:
    """The config of a reply: it ends at `reply_ends` too, and the template writes what is before all text.

    Raises:
        InputError: For an option that a chat, or its stream, does not take.
    """
    if streamed:
        check_taken(config, "stream")
    if config.num_return_sequences > 1:
        raise InputError("a chat gives one reply; leave num_return_sequences out")
    if not config.begin:
        raise InputError("the chat template says what stands before all text; leave begin out")
    stop_ids(tokenizer, config.stop_tokens)
    ends = [i for i in reply_ends(tokenizer) if i not in tokenizer.end_ids]
    return dataclasses.replace(config, begin=False, stop_tokens=(*config.stop_tokens, *ends))


def check_chat(writer: Writer) -> None:
    """Raises InputError where the writer has a prompt of text, which no template has a place for."""
    if writer.prompt:
        raise InputError(
            "this language model has a prompt of text, which stands before texts and not before a chat; give it as "
            'the content of a message of the role "system"'
        )


# === Replies ===
def reply(writer: Writer, messages: Messages, config: GenerationConfig) -> Generation:
    """The reply to messages; `config` of `reply_config`."""
    row = chat_ids(writer, messages, config.max_new_tokens)
    (made,) = continued(writer.starting([row], False), [row], [config.seed], config)
    return made


def reply_pieces(writer: Writer, row: Sequence[int], config: GenerationConfig) -> Iterator[str]:
    """The text of the reply to `chat_ids`, piece by piece."""
    yield from pieces(writer.starting([row], False), row, config)


# === A conversation: what has been read stays ===
class KeptStates:
    """What a model has read of a conversation: the states before its last turn, before the reply, and after it.

    A row of ids starts where it parts from what was read. The state of an attention model is cut there; that of a
    recurrent one cannot be cut, so that a row starts from the longest kept state that has read its beginning.
    """

    def __init__(self):
        self._kept: list[PromptCache] = []
        self._last: tuple[Sequence[int], Mapping[str, Any]] | None = None
        self._sampled = b""

    def read(self, writer: Writer, row: Sequence[int]) -> Writer:
        """The writer of a reply to a row of ids, all of which it has read but for the last."""
        sampled = writer.sample()
        if sampled != self._sampled:  # the weights are other ones
            self._kept, self._last, self._sampled = [], None, sampled
        made, best = writer.starting([row], False), writer.cache(False)
        for cache in (*self._kept, *self._after_last()):
            agree = min(common_length([cache.ids.numpy().tolist(), row]), len(row) - 1)
            found = first_ids(writer.model, cache, agree)
            if found is not None and int(found.num_read) > int(best.num_read):
                best = found
        before = best
        if len(row) - 1 > int(best.num_read):
            best = read_once(writer, row[:-1], best)
        # Where this turn is dropped, the next one goes on from before it; a state that can be cut holds both.
        self._kept = [best] if has_parts(writer.model) else [best, before]
        self._last, made.begun = None, best
        return made

    def keep(self, row: Sequence[int], left: Mapping[str, Any]) -> None:
        """Keeps the state after a reply too; `left` is what `steps` says of it, {} if it says nothing.

        Nothing is computed: a stream that is left may end at any time, as while another function is traced.
        """
        self._last = (row, left) if left else None

    def _after_last(self):
        if self._last is None:
            return []
        row, left = self._last
        ids = [*row, *left["ids"][0]]
        ids = ids if int(left["token"][0]) < 0 else ids[:-1]  # its last token has not been read
        learned = self._kept[0].learned
        return [PromptCache(tf.constant(ids, tf.int32), list(left["state"]), tf.constant(len(ids)), learned)]
