"""The signature of a dialogue manager: the history of a dialogue is replayed in the graph, turn by turn."""

import json
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from lm_keras.serving.export.chat import tf_parted
from lm_keras.serving.export.signatures import Served, example_texts, signature, utf8
from lm_keras.tasks.dialogue import HANDED, NONE, REPEATED, REPLY, UNSURE, USER
from lm_keras.tasks.dialogue_policy import pieces
from lm_keras.tasks.tagging import escaped, tf_escaped
from lm_keras.text.tokenizers.chat.joined import joined, parted

if TYPE_CHECKING:
    from lm_keras.tasks.dialogue import DialogueManager

MAX_TEXT_BYTES = 2**14  # of a history
SAID, AGAIN, REFUSED, PERSON = range(4)  # kinds of replies: the state's, after the fallback, refusal, hand-over


def served(manager: "DialogueManager") -> Served:
    """The `Served` of a DialogueManager."""
    policy = manager.policy

    def respond(messages):
        contents, places, rows, systems, counts, good = tf_parted(messages)
        place = places - tf.gather(systems, rows)
        by_user = (place >= 0) & (place % 2 == 0)
        texts = tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(contents, by_user),
            tf.cast(tf.boolean_mask(rows, by_user), tf.int64),
            tf.size(counts, tf.int64),
            validate=False,
        )
        return _answer(manager, _replayed(manager, texts), good)

    def answer(name, inputs):
        chats = [parted(text) for text in inputs["messages"]]
        found = [None if chat is None else manager.chat(chat) for chat in chats]
        empty = ("", "", 0.0, "", "{}", False, "[]")
        rows = [empty if one is None else (*one[:4], slots_as_json(one.slots), *_end(one)) for one in found]
        names = ("reply", "act", "probability", "state", "slots", "handed_over", "reasons")
        return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))

    facts = {"acts": manager.classifier.classes, "states": list(policy.states), "slots": list(policy.slots)}
    facts |= {"threshold": manager.threshold, "max_stays": manager.max_stays}
    return Served(
        signatures={"respond": signature(respond, ("messages", tf.string))},
        examples={"respond": {"messages": _examples(manager)}},
        answer=answer,
        facts=facts,
        max_text_bytes=MAX_TEXT_BYTES,
    )


def _end(turn):
    return turn.handed_over, json.dumps(turn.reasons, ensure_ascii=False)


def slots_as_json(slots: dict[str, str]) -> str:
    """The JSON text of {slot: value}, the same as in the graph."""
    return "{" + ", ".join(f'"{slot}": "{escaped(value)}"' for slot, value in slots.items()) + "}"


# === The state machine as arrays ===
class _Tables:
    """The transitions X of a policy: of each its state, act (-1: any), next state, needs and clears bool [X, K]."""

    def __init__(self, policy, acts):
        states, slots = list(policy.states), list(policy.slots)
        rows = policy.transitions
        # One that is never taken, so that there is one.
        self.state = np.array([states.index(one.state) for one in rows] + [-1], np.int32)
        self.act = np.array([-1 if one.act is None else acts.index(one.act) for one in rows] + [-1], np.int32)
        self.to = np.array([states.index(one.to) for one in rows] + [0], np.int32)
        self.needs, self.clears = (
            np.array([[slot in part for slot in slots] for part in parts] + [[False] * len(slots)], bool)
            for parts in ([one.needs for one in rows], [one.clears for one in rows])
        )
        self.start = states.index(policy.start)
        self.final = np.array([name in policy.final for name in states])


def _replayed(manager, texts):
    """Where dialogues are after the user's turns, ragged strings [B, (T)]: a dict of tensors [B], of slots [B, K].

    The turns are read one after the other, all rows at once; a row with fewer of them stays as it is.
    """
    policy, acts = manager.policy, manager.classifier.classes
    tables, slots = _Tables(policy, acts), len(policy.slots)
    size, lengths = texts.nrows(tf.int32), tf.cast(texts.row_lengths(), tf.int32)
    dense = texts.to_tensor("")
    begun = {
        "state": tf.fill([size], tables.start),
        "slots": tf.fill([size, slots], ""),
        "stays": tf.zeros([size], tf.int32),
        "handed": tf.zeros([size], tf.bool),
        "act": tf.fill([size], len(acts)),
        "probability": tf.zeros([size]),
        "kind": tf.zeros([size], tf.int32),
        "reasons": tf.fill([size], "[]"),
    }

    def turn(t, place):
        text = dense[:, t]
        after = _turn(manager, tables, place, text)
        goes_on = t < lengths
        return t + 1, {
            name: tf.where(goes_on[:, None] if name == "slots" else goes_on, after[name], value)
            for name, value in place.items()
        }

    shapes = {name: tf.TensorShape([None, slots] if name == "slots" else [None]) for name in begun}
    _, found = tf.while_loop(
        lambda t, _: t < tf.shape(dense)[1], turn, (0, begun), shape_invariants=(tf.TensorShape([]), shapes)
    )
    return found


def _turn(manager, tables, place, text):
    """`DialogueManager._turn` of texts [B]."""
    p = manager.classifier.tf_probabilities(text)
    act, best = tf.argmax(p, -1, tf.int32), tf.reduce_max(p, -1)
    sure = best >= tf.constant(manager.threshold, tf.float32)
    given = _values(manager, text)
    allowed, judged = tf.fill(tf.shape(text), True), tf.fill(tf.shape(text), "[]")
    if manager.moderator is not None:
        found = manager.moderator.tf_moderate(text, USER)
        allowed, judged = found.allowed, found.reasons

    values = tf.where(given != "", given, place["slots"])
    fits = tables.state[None] == place["state"][:, None]
    fits &= (tables.act[None] < 0) | (sure[:, None] & (tables.act[None] == act[:, None]))
    fits &= tf.reduce_all((values != "")[:, None] | ~tables.needs[None], -1)  # (B, X)
    taken, which = tf.reduce_any(fits, -1), tf.argmax(tf.cast(fits, tf.int32), -1, tf.int32)
    cleared = tf.gather(tables.clears, which) & taken[:, None] & (given == "")
    values = tf.where(cleared, "", values)
    state = tf.where(taken, tf.gather(tables.to, which), place["state"])
    stays = tf.where(state == place["state"], place["stays"] + 1, 0)

    final = tf.gather(tf.constant(tables.final), state)
    unsure = ~taken & ~final & ~sure
    repeated = (stays > manager.max_stays) & ~final & ~unsure
    again = ~taken & ~final & ~unsure & ~repeated
    reasons = _chosen([(unsure, _as_json(UNSURE)), (repeated, _as_json(REPEATED)), (again, _as_json(NONE))], "[]")
    handed = place["handed"] | (allowed & (unsure | repeated))
    moves = allowed & ~place["handed"]
    kind = tf.where(again, AGAIN, SAID)
    kind = tf.where(handed, PERSON, tf.where(allowed, kind, REFUSED))
    reasons = tf.where(allowed, reasons, judged)
    return {
        "state": tf.where(moves, state, place["state"]),
        "slots": tf.where(moves[:, None], values, place["slots"]),
        "stays": tf.where(moves, stays, place["stays"]),
        "handed": handed,
        "act": act,
        "probability": best,
        "kind": kind,
        "reasons": tf.where(place["handed"], _as_json(HANDED), reasons),
    }


def _as_json(reason):
    return json.dumps([reason])


def _chosen(cases, otherwise):
    """The text of the first case that holds; cases are (bool [B], text)."""
    for holds, text in reversed(cases):
        otherwise = tf.where(holds, text, otherwise)
    return otherwise


def _values(manager, texts):
    """The values that texts [B] give to the slots, strings [B, K]; "" for none."""
    slots = list(manager.policy.slots)
    size, count = tf.size(texts), len(slots)
    made = tf.fill([size, count], "")
    if manager.words is not None:
        spans, _ = manager.words.tf_find(texts)
        of_list = tf.constant([slots.index(slot) for slot, _ in manager.values])
        named = tf.constant([value for _, value in manager.values])
        made = _last(spans.text, tf.gather(of_list, spans.label), tf.gather(named, spans.label), size, count)
    if manager.tagged:
        spans = manager.tagger.tf_tag(texts)
        of_label = tf.constant([slots.index(name) if name in manager.tagged else -1 for name in spans.labels])
        slot = tf.gather(of_label, spans.label)
        own = tf.where(slot >= 0)[:, 0]
        text, slot, start, end = (tf.gather(part, own) for part in (spans.text, slot, spans.start, spans.end))
        said = tf.strings.substr(tf.gather(texts, text), start, end - start, unit="UTF8_CHAR")
        tagged = _last(text, slot, said, size, count)
        made = tf.where(tagged != "", tagged, made)
    return made


def _last(text, slot, values, size, count):
    """The last value [S] of each text and slot, strings [B, K]."""
    segment = tf.cast(text, tf.int32) * count + slot
    place = tf.math.unsorted_segment_max(tf.range(tf.size(segment)) + 1, segment, size * count)
    found = tf.gather(tf.concat([[""], values], 0), tf.maximum(place, 0))
    return tf.reshape(found, [size, count])


# === The answer ===
def _answer(manager, place, good):
    policy = manager.policy
    states = tf.constant(list(policy.states))
    said = tf.stack([_said(template, policy, place["slots"]) for template in policy.states.values()], 1)
    said = tf.gather(said, place["state"], batch_dims=1)
    kind = place["kind"]
    reply = tf.where(kind == AGAIN, tf.strings.join([policy.fallback, said], " "), said)
    reply = _chosen([(kind == REFUSED, manager.refusal), (kind == PERSON, policy.hand_over)], reply)
    reasons = place["reasons"]
    if manager.moderator is not None:
        judged = manager.moderator.tf_moderate(utf8(reply), REPLY)
        refused = ~judged.allowed & ~tf.reduce_any([reply == text for text in (policy.hand_over, manager.refusal)], 0)
        reply = tf.where(refused, manager.refusal, reply)
        both = tf.where(
            reasons == "[]",
            judged.reasons,
            tf.strings.join([_without(reasons, 0, 1), ", ", _without(judged.reasons, 1, 0)]),
        )
        reasons = tf.where(refused, both, reasons)
    acts = tf.constant([*manager.classifier.classes, ""])
    return {
        "reply": tf.where(good, reply, ""),
        "act": tf.gather(acts, place["act"]),
        "probability": place["probability"],
        "state": tf.where(good, tf.gather(states, place["state"]), ""),
        "slots": tf.where(good, _slots_json(list(policy.slots), place["slots"]), "{}"),
        "handed_over": place["handed"],
        "reasons": reasons,
    }


def _without(texts, first, last):
    """Strings without so many bytes at both ends."""
    return tf.strings.substr(texts, tf.fill(tf.shape(texts), first), tf.strings.length(texts) - first - last)


def _said(state, policy, values):
    """The reply of a state with the values of slots, strings [B]."""
    slots = list(policy.slots)
    parts = [tf.fill([tf.shape(values)[0]], "")]
    for text, slot in pieces(state.reply):
        parts += [tf.constant(text)] + ([values[:, slots.index(slot)]] if slot else [])
    return tf.strings.join(parts)


def _slots_json(names, values):
    """Strings [B, K], "" for none, as a JSON object for each row."""
    if not names:
        return tf.fill([tf.shape(values)[0]], "{}")
    quoted = tf.reshape(tf_escaped(tf.reshape(values, [-1])), tf.shape(values))
    objects = tf.strings.join([tf.broadcast_to([[f'"{name}": "' for name in names]], tf.shape(values)), quoted, '"'])
    row, which = tf.unstack(tf.where(values != ""), axis=1)
    chosen = tf.gather_nd(objects, tf.stack([row, which], 1))
    lists = tf.RaggedTensor.from_value_rowids(chosen, row, tf.shape(values, tf.int64)[0], validate=False)
    return tf.strings.join(["{", tf.strings.reduce_join(lists, axis=-1, separator=", "), "}"])


def _examples(manager):
    """A dialogue of several turns, its beginning, one of other texts, and what is none."""
    words = [next(iter(some.values()))[0] for some in manager.policy.slots.values() if some]
    texts = [text for text in example_texts(manager.classifier.tokenizer, (3, 8, 1)) if text.strip()] or ["a"]
    turns = [texts[0], " ".join(words) or texts[-1], *texts, *words]

    def chat(some):
        messages = [{"role": "user", "content": some[0]}]
        for text in some[1:]:
            messages += [{"role": "assistant", "content": "."}, {"role": "user", "content": text}]
        return joined(messages)

    return [chat(turns), chat(turns[:1]), chat(turns[::-1]), "user"]
