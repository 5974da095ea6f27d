"""The signature `chat`: messages as one string a row, the reply as another."""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.chat import check_chat, reply_ends
from lm_keras.generation.config import inputs_of
from lm_keras.generation.generate import banned_marks
from lm_keras.generation.loop import decode, prefill
from lm_keras.serving.export.signatures import align_right, signature, utf8
from lm_keras.text.tokenizers.chat.by_role import (
    AFTER_SYSTEM,
    ANSWER,
    NEXT_USER,
    START_SYSTEM,
    START_USER,
    ChatByRole,
)
from lm_keras.text.tokenizers.chat.joined import ROLE, TURN, joined, parted
from lm_keras.text.unicode import tf_valid
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.language_model import LanguageModel

NUMBERS, ROWS, TEXTS = (tf.TensorSpec([None], kind) for kind in (tf.int32, tf.int64, tf.string))


def chat_template_of(language_model: "LanguageModel", chat: bool | None) -> ChatByRole | None:
    """The joints of the chat template; None without a signature `chat`, see `LanguageModel.signatures`."""
    if chat is False:
        return None
    try:
        check_chat(language_model.writer)
        return ChatByRole(language_model.tokenizer)
    except InputError as error:
        if chat:
            raise InputError(f"there can be no signature chat: {error}") from None
        return None


def chat_signature(language_model: "LanguageModel", by_role: ChatByRole, limit: int) -> Callable:
    """The tf.function of messages and options.

    A row that is no chat (`joined` makes it of one) and one whose last turn the model has no room for have the reply
    "" of no tokens.
    """
    model, tokenizer, writer = language_model.model, language_model.tokenizer, language_model.writer
    banned, ends = banned_marks(tokenizer), reply_ends(tokenizer)
    before, memory = writer.before(False), {}
    if writer.prompted:
        memory = {"begun": writer.cache(False), "kept": len(before)}
    read = _reader(model, by_role, before)

    def chat(messages, max_new_tokens, **options):
        ids, room = read(messages, tf.clip_by_value(max_new_tokens, 0, limit))
        last, state = ids[:, -1], prefill(model, ids, tf.reduce_max(room), **memory)
        options["seed"] = tf.cast(options["seed"], tf.int64)
        tokens, log_probs, *_ = decode(model, last, state, room, limit, options, banned=banned, eos_id=ends, **memory)
        return {
            "reply": utf8(tokenizer.tf_decode(tokens, last)),
            "num_new_tokens": tf.reduce_sum(tf.cast(tokens >= 0, tf.int32), -1),
            "log_prob": tf.reduce_sum(log_probs, -1),
        }

    kinds = {name: tf.float32 if isinstance(value, float) else tf.int32 for name, value in inputs_of("chat").items()}

    def of_rows(messages, *values):
        return chat(messages, **dict(zip(kinds, values, strict=True)))

    return signature(of_rows, ("messages", tf.string), *kinds.items())


def _reader(model, by_role, before):
    """(messages [B], new tokens [B]) -> left-padded ids [B, T], and how many new tokens each row may have."""
    window = model.context_length

    @function(input_signature=[TEXTS, NUMBERS, ROWS, NUMBERS, NUMBERS, NUMBERS])
    def encode(contents, places, rows, systems, counts, dropped):
        """Ids of the messages that are left when so many turns are dropped."""
        place = places - tf.gather(systems, rows)  # the system's message: -1
        first = 2 * tf.gather(dropped, rows)
        contents, rows, place, first = (
            tf.boolean_mask(part, (place < 0) | (place >= first)) for part in (contents, rows, place, first)
        )
        begin = tf.where(tf.gather(systems, rows) > 0, AFTER_SYSTEM, START_USER)
        kind = tf.where(place % 2 == 1, ANSWER, tf.where(place == first, begin, NEXT_USER))
        kind = tf.where(place < 0, START_SYSTEM, kind)
        ids = by_role.tf_encode(contents, kind, rows, tf.size(counts, tf.int64))
        return tf.concat([tf.tile([tf.constant(before, tf.int32)], [tf.size(counts), 1]), ids], axis=1)

    def read(messages, new):
        contents, places, rows, systems, counts, good = tf_parted(messages, by_role.takes_system)
        facts = (contents, places, rows, systems, counts)
        dropped = tf.zeros_like(counts)
        if window is not None:
            dropped, fits = _dropped(lambda count: encode(*facts, count), (counts - systems - 1) // 2, new, window)
            good &= fits
        ids = align_right(encode(*facts, dropped))
        return ids, tf.where(good & (ids[:, -1] >= 0), new, 0)

    return read


def tf_parted(messages: tf.Tensor, takes_system: bool = True) -> tuple[tf.Tensor, ...]:
    """Contents [M], the place of each in its chat [M], its row [M]; of each row, whether it begins with a system's
    message [B], how many messages it has [B], and whether it is a chat [B]: others have no messages."""
    turns = tf.strings.split(tf_valid(messages), TURN)
    parts = tf.strings.split(turns.flat_values, ROLE)
    pair = parts.to_tensor("", shape=[None, 2])  # (M, 2), for all but those of two parts means nothing
    rows, counts = turns.value_rowids(), tf.cast(turns.row_lengths(), tf.int32)
    places = tf.range(tf.size(rows)) - tf.cast(tf.gather(turns.row_starts(), rows), tf.int32)
    begins = (places == 0) & (pair[:, 0] == "system")
    size = tf.size(counts, tf.int64)
    systems = tf.math.unsorted_segment_max(tf.cast(begins, tf.int32), rows, size)
    systems = tf.maximum(systems, 0)
    wanted = tf.where((places - tf.gather(systems, rows)) % 2 == 0, "user", "assistant")
    wrong = (parts.row_lengths() != 2) | ((pair[:, 0] != wanted) & ~begins)
    num_wrong = tf.math.unsorted_segment_sum(tf.cast(wrong, tf.int32), rows, size)
    good = (num_wrong == 0) & ((counts - systems) % 2 == 1)
    if not takes_system:
        good &= systems == 0
    kept = tf.gather(good, rows)
    contents, places, rows = (tf.boolean_mask(part, kept) for part in (pair[:, 1], places, rows))
    return contents, places, rows, tf.where(good, systems, 0), tf.where(good, counts, 0), good


def _dropped(encode, most, new, window):
    """How many turns [B] are dropped so that the ids and new tokens fit, as `generation.chat.chat_ids` finds it.

    Also whether they fit then. `most` [B] turns can be dropped.
    """

    def fits(count):
        return tf.cast(encode(count).row_lengths(), tf.int32) + new <= window

    all_fit = fits(tf.zeros_like(most))
    enough = tf.where(all_fit, 0, tf.maximum(most, 0))

    def halved(few, enough):
        middle = (few + enough) // 2
        fit = fits(middle)
        return tf.where(fit, few, middle), tf.where(fit, middle, enough)

    def searched():
        _, found = tf.while_loop(
            lambda few, enough: tf.reduce_any(enough - few > 1), halved, [tf.zeros_like(enough), enough]
        )
        return found, fits(enough)

    return tf.cond(tf.reduce_all(all_fit), lambda: (enough, all_fit), searched)


# === What Python answers ===
def chat_answers(language_model: "LanguageModel", inputs: dict[str, list]) -> dict[str, list]:
    """What `LanguageModel.chat` answers to the inputs of the signature: {output: list}."""
    answers = []
    for text, *values in zip(*inputs.values(), strict=True):
        options = dict(zip(list(inputs)[1:], values, strict=True))
        messages, made = parted(text), None
        with contextlib.suppress(InputError):  # there is no room for the last turn
            made = None if messages is None else language_model.chat(messages, **options)
        answers.append(("", 0, 0.0) if made is None else (made.text, len(made.token_ids), math.fsum(made.log_probs)))
    outputs = zip(*answers, strict=True)
    return dict(zip(("reply", "num_new_tokens", "log_prob"), map(list, outputs), strict=True))


def chat_examples(texts: Sequence[str], by_role: ChatByRole, limit: int) -> dict[str, list]:
    """A request of three rows: a chat of two turns, one of one turn, and what is no chat."""
    first, second, *_ = texts
    turns = [("user", first), ("assistant", second), ("user", first)]
    turns = [("system", second), *turns] if by_role.takes_system else turns
    chats = [[{"role": role, "content": text} for role, text in part] for part in (turns, turns[-1:])]
    return {
        "messages": [*map(joined, chats), "user"],
        "max_new_tokens": [min(count, limit) for count in (5, 3, 4)],
        "temperature": [0.0, 1.0, 1.0],
        "top_k": [0, 5, 0],
        "top_p": [1.0, 0.9, 1.0],
        "seed": [0, 1, 2],
    }
