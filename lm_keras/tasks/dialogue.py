"""Dialogue management: the act and the slots of each turn, a state machine that says what is next, and hand-over."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np

from lm_keras.errors import InputError
from lm_keras.serving.client.results import DialogueTurn
from lm_keras.serving.export.signatures import Served
from lm_keras.tasks.classification import TextClassifier
from lm_keras.tasks.dialogue_metrics import act_threshold, checked_scripts, dialogue_report
from lm_keras.tasks.dialogue_policy import Policy
from lm_keras.tasks.inputs import model_of_parts, output_of, renamed
from lm_keras.tasks.listed_words import ListedWords
from lm_keras.tasks.moderated_lm import REFUSAL
from lm_keras.tasks.moderation import Moderator
from lm_keras.tasks.tagging import TextTagger, labels_of
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.tokenizers.chat.joined import joined, parted
from lm_keras.text.unicode import valid
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_number, check_text, check_texts, check_whole
from lm_keras.utils.keras_internals import source_of

if TYPE_CHECKING:
    from lm_keras.generation.chat import Messages
    from lm_keras.tasks.dialogue_metrics import DialogueReport, ScriptedDialogue

THRESHOLD, MAX_STAYS = 0.5, 2
USER, REPLY = "user: ", "reply: "  # before a moderator's reason: what was refused
UNSURE, REPEATED, NONE, HANDED = "unsure", "repeated", "no transition", "handed over"


class History(Protocol):
    """What holds the messages of a dialogue, as `contexts.Conversation` does."""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The messages so far."""

    def add(self, text: str, reply: str) -> None:
        """Adds a turn of the user and the reply to it."""


@register_text_model
class DialogueManager(TextModel):
    """Replies to a user by a policy; an export has the signature `respond`.

    `DialogueManager.of(policy, classifier)` makes one. Of each turn of the user:

    1. A moderator, if there is one, judges it. One that is refused changes nothing.
    2. Its slots get the values of its words; of several values of a slot the last one.
    3. Its act is the likeliest one of a classifier, and believed from a probability of `threshold` on.
    4. The policy's transition is taken, and the reply of its state is said, if the moderator allows it.
    5. Where there is none, a person takes over if the act is not believed. Else the policy's fallback is said.
    6. A person takes over, too, after more than `max_stays` turns in a row that lead to no other state.

    All follows from what the user has said: no session is kept anywhere, and a history replayed ends the same.

    Args:
        model: What `DialogueManager.of` makes of the models of all parts.
        tokenizers: Of the classifier, of the moderator's classifier and of the tagger, as far as they are there.
        policy: A Policy, or what its `as_dict` gives.
        classes: The classifier's acts.
        threshold: The least probability of an act that is believed.
        max_stays: The most turns in a row that may stay in a state; a final one is left out.
        refusal: What is said in place of a refused turn or reply.
        max_length: The classifier's.
        moderator: The options of the Moderator; None: there is none.
        tagger: The options of the TextTagger; None: there is none.

    Attributes:
        words: The ListedWords of the slots, a list for each of `values`; None without any.
        values: (slot, value) of each list.
        tagged: The slots that the tagger gives values to.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(
        self,
        model: keras.Model,
        /,
        *tokenizers: Tokenizer,
        policy: Policy | Mapping[str, Any],
        classes: Sequence[str],
        threshold: float = THRESHOLD,
        max_stays: int = MAX_STAYS,
        refusal: str = REFUSAL,
        max_length: int | None = None,
        moderator: Mapping[str, Any] | None = None,
        tagger: Mapping[str, Any] | None = None,
    ):
        self.policy = policy if isinstance(policy, Policy) else Policy.from_dict(policy)
        judged = moderator is not None and moderator.get("classes") is not None
        names = ["acts", *(["moderator"] if judged else []), *(["tagger"] if tagger is not None else [])]
        models = _models(model, names)
        if len(tokenizers) != len(names):
            raise InputError(f"there are {len(tokenizers)} tokenizers; give one each of {', '.join(names)}")
        own = dict(zip(names, tokenizers, strict=True))
        self.classifier = TextClassifier(models["acts"], own["acts"], classes, max_length=max_length)
        self.moderator = self.tagger = None
        if judged:
            self.moderator = Moderator(models["moderator"], own["moderator"], **moderator)
        elif moderator is not None:
            self.moderator = Moderator.of(**{name: moderator[name] for name in ("words", "refused", "threshold")})
        if tagger is not None:
            self.tagger = TextTagger(models["tagger"], own["tagger"], **tagger)
        self.threshold = check_number("threshold", threshold, least=0, most=1)
        self.max_stays = check_whole("max_stays", max_stays, 0)
        if not isinstance(refusal, str) or not refusal.strip():
            raise InputError(f"refusal is {refusal!r:.40}; give the text that stands in place of a refused one")
        self.refusal = valid(refusal)
        if unknown := [act for act in self.policy.acts if act not in self.classifier.classes]:
            raise InputError(f"the policy has the act {unknown[0]!r:.40}; the classifier's are {', '.join(classes)}")
        self._read_slots()
        options = {"policy": self.policy.as_dict(), "classes": self.classifier.classes, "threshold": self.threshold}
        options |= {"max_stays": self.max_stays, "refusal": self.refusal, "max_length": max_length}
        options |= {"moderator": self.moderator and self.moderator.options}
        options |= {"tagger": self.tagger and self.tagger.options}
        super().__init__(model, {f"{name}_tokenizer": one for name, one in own.items()}, options)

    @classmethod
    def of(
        cls,
        policy: Policy,
        classifier: TextClassifier,
        *,
        moderator: Moderator | None = None,
        tagger: TextTagger | None = None,
        threshold: float = THRESHOLD,
        max_stays: int = MAX_STAYS,
        refusal: str = REFUSAL,
    ) -> DialogueManager:
        """Makes a manager of a policy and trained parts.

        Args:
            policy: The Policy.
            classifier: The TextClassifier of the acts of turns, one class a turn.
            moderator: What judges the user's turns and the replies.
            tagger: What gives values to the slots without listed words, whose names are its labels.
            threshold: The least probability of an act that is believed; `choose_threshold` finds one.
            max_stays: The most turns in a row that may stay in a state, before a person takes over.
            refusal: What is said in place of a refused turn or reply.

        Raises:
            InputError: The policy has an act that is no class, or a slot of neither words nor a label.

        Example:

        ```python
        manager = lk.tasks.DialogueManager.of(policy, classifier, moderator=lk.tasks.Moderator.of(words=["idiot"]))
        messages = []
        print(manager.reply(messages, "A table for two on Friday, please.").reply)
        print(manager.reply(messages, "Yes, that is right.").state, len(messages))
        ```
        """
        kinds = ((policy, Policy), (classifier, TextClassifier), (moderator, Moderator), (tagger, TextTagger))
        for given, kind in kinds:
            if not isinstance(given, kind) and not (given is None and kind in (Moderator, TextTagger)):
                raise InputError(f"got a {type(given).__name__}; give a {kind.__name__}")
        if classifier.pairs or classifier.multi_label:
            raise InputError("a turn has one act: give a TextClassifier of single texts with one class each")
        parts = {"acts": classifier}
        parts |= {"moderator": moderator.classifier} if moderator is not None and moderator.classifier else {}
        parts |= {"tagger": tagger} if tagger is not None else {}
        models, names = {}, set()
        for key, part in parts.items():
            model = part.model if part.model.name not in names else renamed(part.model, f"{part.model.name}_{key}")
            names.add(model.name)
            models[key] = model
        return cls(
            model_of_parts(models, "dialogue_manager"),
            *(part.tokenizer for part in parts.values()),
            policy=policy,
            classes=classifier.classes,
            threshold=threshold,
            max_stays=max_stays,
            refusal=refusal,
            max_length=classifier.options["max_length"],
            moderator=moderator and moderator.options,
            tagger=tagger and tagger.options,
        )

    def with_threshold(self, threshold: float) -> DialogueManager:
        """Returns this manager with another threshold of the acts' probability."""
        return type(self)(self.model, *self.tokenizers.values(), **self.options | {"threshold": threshold})

    # === Answers ===
    def reply(self, history: list[dict[str, str]] | History, text: str) -> DialogueTurn:
        """Replies to the next turn of a dialogue, and adds both to it.

        Args:
            history: A list of messages, as `LanguageModel.chat` takes it, [] at first; or a `contexts.Conversation`.
                Its end must be a reply.
            text: What the user says.

        Returns:
            The DialogueTurn.

        Raises:
            InputError: The history or the text is none.
        """
        check_text(text)
        if not isinstance(history, list) and not (hasattr(history, "messages") and hasattr(history, "add")):
            raise InputError(f"history is a {type(history).__name__}; give a list of messages, or a Conversation")
        before = history if isinstance(history, list) else history.messages
        found = self.chat([*before, {"role": "user", "content": text}])
        if isinstance(history, list):
            history += [{"role": "user", "content": text}, {"role": "assistant", "content": found.reply}]
        else:
            history.add(text, found.reply)
        return found

    def chat(self, messages: Messages) -> DialogueTurn:
        """Replies to the messages of a dialogue.

        Args:
            messages: `[{"role": "user", "content": "..."}, ...]`, as `LanguageModel.chat` takes them: a system's
                message or none, then the user's and the assistant's in turn, the last one the user's. What the user
                says is all that is read.

        Raises:
            InputError: They are none, or in another order.
        """
        chat = parted(joined(messages))
        return self.follow([message["content"] for message in chat if message["role"] == "user"])[-1]

    def follow(self, texts: Sequence[str]) -> list[DialogueTurn]:
        """Returns the DialogueTurn of each of the user's turns, from the start of a dialogue on.

        Args:
            texts: What the user says, turn by turn.
        """
        (found,) = self._follow([check_texts(texts)])
        return found

    def evaluate(self, scripts: Iterable[ScriptedDialogue], *, level: float = 0.95) -> DialogueReport:
        """Measures whether dialogues end as they ought to, how long they are, and how many are handed over.

        Args:
            scripts: `lk.tasks.ScriptedDialogue`s.
            level: Of the intervals.

        Returns:
            A `lk.tasks.DialogueReport`; `print` shows it as a table.

        Raises:
            InputError: For no dialogue, and what is none.
        """
        scripts = checked_scripts(scripts)
        return dialogue_report(scripts, self._follow([one.texts for one in scripts]), self.policy.start, level=level)

    def choose_threshold(self, texts: Iterable[str], acts: Iterable[str], *, accuracy: float = 0.9) -> float:
        """Returns the threshold from which on that share of the acts is right, by development turns; see
        `lk.tasks.act_threshold`. This manager stays.

        Args:
            texts: Turns of users.
            acts: The act of each.
            accuracy: The share.

        Raises:
            InputError: For no turn, and for acts that are none.
        """
        texts, y = self.classifier.labelled(texts, acts)
        p = self.classifier.probabilities(texts)
        return act_threshold(p.max(1), p.argmax(1) == y, accuracy)

    # === A turn ===
    def _read_slots(self):
        """The lists of words of all values of slots, and the labels of the tagger that are slots."""
        slots = self.policy.slots
        self.values = [(slot, value) for slot, words in slots.items() for value in words]
        self.words = None
        if self.values:
            self.words = ListedWords({f"{i}": slots[slot][value] for i, (slot, value) in enumerate(self.values)})
        labels = labels_of(self.tagger.classes) if self.tagger else []
        self.tagged = {label for label in labels if label in slots and not slots[label]}
        if bare := [slot for slot, words in slots.items() if not words and slot not in self.tagged]:
            told = f"the tagger's labels are {', '.join(labels)}" if self.tagger else "there is no tagger"
            raise InputError(f"slot {bare[0]} has no words, and {told}; give its words, or a tagger of that label")

    def _slots_of(self, texts):
        """{slot: value} of each text."""
        found = [{} for _ in texts]
        for text, row in zip(texts, found, strict=True):
            for span in self.words.find(text)[0] if self.words else ():
                slot, value = self.values[int(span.label)]
                row[slot] = value
        if self.tagged:
            for spans, row in zip(self.tagger.tag(texts), found, strict=True):
                row |= {span.label: span.text for span in spans if span.label in self.tagged}
        return found

    def _follow(self, dialogues):
        """The turns of dialogues, each given by what the user says; all of them are read at once."""
        texts = [valid(text) for some in dialogues for text in some]
        p = self.classifier.probabilities(texts)
        allowed = self.moderator.moderate(texts) if self.moderator else [None] * len(texts)
        read = zip(p, self._slots_of(texts), allowed, strict=True)
        made = []
        for some in dialogues:
            place, turns = _Place(self.policy.start), []
            for _, (row, found, judged) in zip(some, read, strict=False):
                turns.append(self._turn(place, row, found, judged))
            made.append(turns)
        return self._judged(made)

    def _turn(self, place, p, found, judged):
        """The DialogueTurn of one turn, before its reply is judged; `place` is what changes."""
        best, policy = int(p.argmax()), self.policy
        act, reasons, reply = self.classifier.classes[best], [], ""
        sure = p[best] >= np.float32(self.threshold)
        if place.handed_over:
            reasons = [HANDED]
        elif judged is not None and not judged.allowed:
            reasons, reply = [USER + reason for reason in judged.reasons], self.refusal
        else:
            place.values |= found
            step = policy.next(place.state, act if sure else None, place.values)
            if step is not None:
                kept = {slot for slot in place.values if slot not in step.clears or slot in found}
                place.values = {slot: value for slot, value in place.values.items() if slot in kept}
                place.stays = place.stays + 1 if step.to == place.state else 0
                place.state = step.to
            else:
                place.stays += 1
            final = place.state in policy.final
            if step is None and not final:
                reasons = [NONE] if sure else [UNSURE]
            if place.stays > self.max_stays and not final and reasons != [UNSURE]:
                reasons = [REPEATED]
            place.handed_over = reasons in ([UNSURE], [REPEATED])
            reply = policy.reply(place.state, place.values)
            reply = f"{policy.fallback} {reply}" if reasons == [NONE] else reply
        reply = policy.hand_over if place.handed_over else reply
        values = {slot: place.values[slot] for slot in policy.slots if slot in place.values}
        return DialogueTurn(reply, act, float(p[best]), place.state, values, place.handed_over, reasons)

    def _judged(self, dialogues):
        """The same turns, with the refusal in place of replies that the moderator refuses."""
        if self.moderator is None:
            return dialogues
        fixed = (self.policy.hand_over, self.refusal)
        replies = dict.fromkeys(turn.reply for turns in dialogues for turn in turns)
        judged = dict(zip(replies, self.moderator.moderate(list(replies)), strict=True))

        def of(turn):
            found = judged[turn.reply]
            if found.allowed or turn.reply in fixed:
                return turn
            reasons = [*turn.reasons, *(REPLY + reason for reason in found.reasons)]
            return turn._replace(reply=self.refusal, reasons=reasons)

        return [list(map(of, turns)) for turns in dialogues]

    # === Export ===
    def signatures(self) -> Served:
        """What `export` writes: `respond`, messages -> reply, act, probability, state, slots, handed_over, reasons.

        Messages are one string a row, as of `chat`. Slots are a JSON object, reasons a JSON list. A row that is no
        chat gets "", 0, False, {} and [].
        """
        from lm_keras.tasks.dialogue_export import served

        return served(self)


@dataclasses.dataclass
class _Place:
    """Where a dialogue is."""

    state: str
    values: dict[str, str] = dataclasses.field(default_factory=dict)
    stays: int = 0
    handed_over: bool = False


def _models(model, names):
    """The models of the parts, layers of one model, by their names."""
    output = output_of(model)
    if not isinstance(output, dict) or set(output) != set(names):
        raise InputError(
            f"{model.name} does not hold models of {', '.join(names)}; DialogueManager.of(policy, classifier) makes "
            "one that does"
        )
    return {name: source_of(output[name]) for name in names}
