"""The signatures of a language model behind a moderator: those of the language model, judged before and after."""

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

from lm_keras.serving.export.chat import chat_answers
from lm_keras.serving.export.signatures import Served, signature, utf8
from lm_keras.text.tokenizers.chat.joined import ROLE, TURN
from lm_keras.text.unicode import valid

if TYPE_CHECKING:
    from lm_keras.tasks.moderated_lm import ModeratedLM

WRITES = {"generate": "completion", "sample": "completion", "chat": "reply"}  # signature: what it writes
PROMPT, REPLY = "prompt: ", "reply: "  # before a reason: what was refused


def moderated_signatures(moderated: "ModeratedLM", served: Served) -> Served:
    """The `Served` of a ModeratedLM; `served` is its language model's.

    A refused prompt gets no new token, and neither its tokens nor their number leave the graph.
    """
    names = [name for name in WRITES if name in served.signatures]
    examples = {name: dict(served.examples[name]) for name in names}
    if moderated.moderator.words is not None:
        listed = next(phrase for some in moderated.moderator.words.lists.values() for phrase in some)
        for name in names[:2]:
            examples[name]["prompt"] = [*examples[name]["prompt"][:-1], listed]
    facts = {name: fact for name, fact in served.facts.items() if name != "num_beams"}
    return dataclasses.replace(
        served,
        signatures={name: _signature(moderated, name, served.signatures[name]) for name in names},
        examples=examples,
        answer=lambda name, inputs: _answers(moderated, name, inputs),
        facts=facts | moderated.moderator.signatures().facts | {"refusal": moderated.refusal},
    )


def _signature(moderated: "ModeratedLM", name: str, inner: Callable) -> Callable:
    """The signature of that name, of the language model's."""
    moderator, written = moderated.moderator, WRITES[name]

    def make(text, new, *values):
        asked = tf_asked(text) if name == "chat" else utf8(text)
        prompt = moderator.tf_moderate(asked, PROMPT)
        made = inner(text, tf.where(prompt.allowed, new, 0), *values)
        reply = moderator.tf_moderate(made[written], REPLY)
        allowed = prompt.allowed & reply.allowed
        return {
            written: tf.where(allowed, made[written], moderated.refusal),
            "num_new_tokens": tf.where(allowed, made["num_new_tokens"], 0),
            "log_prob": tf.where(allowed, made["log_prob"], 0.0),
            "allowed": allowed,
            "reasons": tf.where(prompt.allowed, reply.reasons, prompt.reasons),
        }

    return signature(make, *((spec.name, spec.dtype) for spec in inner.input_signature))


def tf_asked(messages: tf.Tensor) -> tf.Tensor:
    """`asked` of strings [B], in the graph."""
    turns = tf.strings.split(utf8(messages), TURN)
    pair = tf.strings.split(turns.flat_values, ROLE).to_tensor("", shape=[None, 2])
    is_user = pair[:, 0] == "user"
    said = tf.RaggedTensor.from_value_rowids(
        tf.boolean_mask(pair[:, 1], is_user), tf.boolean_mask(turns.value_rowids(), is_user), turns.nrows(), False
    )
    return tf.strings.reduce_join(said.with_flat_values(tf.strings.join([said.flat_values, "\n"])), axis=-1)


def asked(messages: str) -> str:
    """All that the user says in a chat that is one string (`chat.joined`), each message with a line end."""
    parts = [turn.split(ROLE) for turn in valid(messages).split(TURN)]
    return "".join(f"{''.join(part[1:2])}\n" for part in parts if part[0] == "user")


def _answers(moderated: "ModeratedLM", name: str, inputs: dict[str, list]) -> dict[str, list]:
    """What Python answers to the inputs of a signature: {output: list}."""
    rows = []
    for row in zip(*inputs.values(), strict=True):
        options = dict(zip(inputs, row, strict=True))
        if name == "chat":
            rows.append(_reply(moderated, options))
            continue
        options |= {"temperature": 0} if name == "generate" else {}
        rows += moderated.generate(options.pop("prompt"), **options)
    names = (WRITES[name], "num_new_tokens", "log_prob", "allowed", "reasons")
    outputs = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return outputs | {"reasons": [json.dumps(some, ensure_ascii=False) for some in outputs["reasons"]]}


def _reply(moderated, options):
    """The reply to a chat that is one string; to what is no chat, "" as the language model's."""
    (found,) = moderated.moderator.moderate(asked(options["messages"]))
    if not found.allowed:
        return moderated.refusal, 0, 0.0, False, [PROMPT + reason for reason in found.reasons]
    made = chat_answers(moderated.language_model, {name: [value] for name, value in options.items()})
    reply = [some[0] for some in made.values()]
    (found,) = moderated.moderator.moderate(reply[0])
    if not found.allowed:
        return moderated.refusal, 0, 0.0, False, [REPLY + reason for reason in found.reasons]
    return *reply, True, []
