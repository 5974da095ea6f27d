"""A language model behind a moderator: no refused prompt is answered, and no refused reply is given."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
from typing_extensions import Unpack

from lm_keras.errors import InputError
from lm_keras.generation.chat import Messages
from lm_keras.generation.config import GenerationConfig, GenerationOptions, merged
from lm_keras.language_model import LanguageModel
from lm_keras.models.causal_lm import CausalLM
from lm_keras.serving.client.results import ModeratedCompletion
from lm_keras.serving.export.signatures import Served
from lm_keras.tasks.inputs import model_of_parts
from lm_keras.tasks.moderated_export import PROMPT, REPLY, moderated_signatures
from lm_keras.tasks.moderation import REFUSED, THRESHOLD, Moderator
from lm_keras.text.folding import folded
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import valid
from lm_keras.text.word_offsets import word_places
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_texts

REFUSAL = "I cannot answer this."
_SENTENCE = re.compile(r"[.!?…]+[\"'”’)\]]*\s|[。！？\n]")


@register_text_model
class ModeratedLM(TextModel):
    """A language model whose prompts and replies a moderator judges; an export has `generate`, `sample` and `chat`.

    `ModeratedLM.of(language_model, moderator)` makes one. The prompt is judged first, and the reply by itself after
    it; where one of both is refused, the text is `refusal`, of no tokens.

    Args:
        model: The language model's `CausalLM`; with a classifier, the model that `ModeratedLM.of` makes of both.
        tokenizer: The language model's.
        moderator_tokenizer: The classifier's; None without one.
        refusal: The text in place of one that is refused.
        prompt: The text before every prompt (`LanguageModel.with_prompt`), which is not judged.
        classes: Of the moderator, as the other options: see `Moderator`.
        words: As above.
        refused: As above.
        threshold: As above.
        max_length: As above.
        multi_label: As above.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(
        self,
        model: keras.Model,
        tokenizer: Tokenizer,
        moderator_tokenizer: Tokenizer | None = None,
        /,
        *,
        refusal: str = REFUSAL,
        prompt: str = "",
        classes: Sequence[str] | None = None,
        words: Mapping[str, Iterable[str]] | Iterable[str] | None = None,
        refused: Sequence[str] = REFUSED,
        threshold: float = THRESHOLD,
        max_length: int | None = None,
        multi_label: bool = False,
    ):
        if not isinstance(refusal, str) or not refusal.strip():
            raise InputError(f"refusal is {refusal!r:.40}; give the text that stands in place of a refused one")
        causal, judge = _parts(model, moderator_tokenizer is not None)
        lm = LanguageModel(causal, tokenizer)
        self.language_model = lm.with_prompt(prompt) if prompt else lm
        options = {"words": words, "refused": refused, "threshold": threshold}
        if judge is None:
            self.moderator = Moderator.of(**options)
        else:
            options |= {"classes": classes, "max_length": max_length, "multi_label": multi_label}
            self.moderator = Moderator(judge, moderator_tokenizer, **options)
        self.refusal = valid(refusal)
        tokenizers = {"tokenizer": tokenizer}
        tokenizers |= {} if moderator_tokenizer is None else {"moderator_tokenizer": moderator_tokenizer}
        super().__init__(model, tokenizers, self.moderator.options | {"refusal": self.refusal, "prompt": prompt})

    @classmethod
    def of(cls, language_model: LanguageModel, moderator: Moderator, *, refusal: str = REFUSAL) -> ModeratedLM:
        """Returns a language model behind a moderator.

        Args:
            language_model: A LanguageModel, of a prompt of text or none.
            moderator: A Moderator of a classifier, of lists of words, or both.
            refusal: The text in place of one that is refused.

        Raises:
            InputError: Something else, or a language model with a learned prompt or without a tokenizer.

        Example:

        ```python
        moderated = lk.tasks.ModeratedLM.of(lm, lk.tasks.Moderator.of(words=["free money"]))
        (made,) = moderated.generate("Where do I get free money?")
        print(made.text, made.reasons)  # I cannot answer this. ['prompt: word list: words']
        ```
        """
        for given, kind in ((language_model, LanguageModel), (moderator, Moderator)):
            if not isinstance(given, kind):
                raise InputError(f"got a {type(given).__name__}; give a {kind.__name__}")
        if language_model.tokenizer is None or language_model.learned is not None:
            has = "no tokenizer" if language_model.tokenizer is None else "a learned prompt"
            raise InputError(f"the language model has {has}; give one with a tokenizer and a prompt of text or none")
        model, judge = language_model.model, moderator.classifier
        if judge is not None:
            model = model_of_parts({"lm": model, "moderator": judge.model}, "moderated_lm")
        tokenizers = [language_model.tokenizer, *([judge.tokenizer] if judge else [])]
        return cls(model, *tokenizers, refusal=refusal, prompt=language_model.prompt, **moderator.options)

    # === Answers ===
    def generate(
        self,
        prompts: str | Iterable[str],
        config: GenerationConfig | None = None,
        **options: Unpack[GenerationOptions],
    ) -> list[ModeratedCompletion]:
        """Continues each prompt that is allowed.

        Args:
            prompts: A string or several.
            config: As of `LanguageModel.generate`.
            **options: In place of the config's.

        Returns:
            A ModeratedCompletion for each prompt, `num_return_sequences` in a row where that is more than 1.

        Raises:
            InputError: As `LanguageModel.generate`.
        """
        config, prompts = merged(config, options), check_texts(prompts)
        found = self.moderator.moderate(prompts)
        allowed = [text for text, one in zip(prompts, found, strict=True) if one.allowed]
        made = iter(self.language_model.generate(allowed, config))
        several = config.num_return_sequences
        rows = []
        for one in found:
            new = [next(made) for _ in range(several)] if one.allowed else [None] * several
            rows += [self._refused(PROMPT, one) if text is None else self._judged(text) for text in new]
        return rows

    def chat(
        self, messages: Messages, config: GenerationConfig | None = None, **options: Unpack[GenerationOptions]
    ) -> ModeratedCompletion:
        """Replies to the messages of a chat, if all that the user says in it is allowed.

        Args:
            messages: As of `LanguageModel.chat`.
            config: As of `LanguageModel.chat`.
            **options: In place of the config's.

        Returns:
            The ModeratedCompletion.

        Raises:
            InputError: As `LanguageModel.chat`.
        """
        (found,) = self.moderator.moderate(asked_in(messages))
        if not found.allowed:
            return self._refused(PROMPT, found)
        return self._judged(self.language_model.chat(messages, config, **options))

    def stream(
        self, prompt: str, config: GenerationConfig | None = None, **options: Unpack[GenerationOptions]
    ) -> ModeratedStream:
        """Yields the text of `generate(prompt, ...)` as far as it is judged: whole sentences.

        A sentence is given when all up to its end is allowed; the last words of it, with which a listed phrase could
        begin, are held back until the next one. Where the text up to some sentence is refused, the stream ends with
        `refusal`: what it gave before was allowed. `generate` judges the whole text alone, so the stream can refuse
        what `generate` allows where a beginning is refused and the whole is not.

        Args:
            prompt: A string.
            config: As of `LanguageModel.stream`.
            **options: In place of the config's.

        Returns:
            An iterator of strings; at its end it has `allowed` and `reasons`.

        Raises:
            InputError: As `LanguageModel.stream`, at the call.
        """
        (prompt,) = check_texts([prompt])
        pieces = self.language_model.stream(prompt, config, **options)
        return ModeratedStream(self, prompt, pieces)

    def stream_chat(
        self, messages: Messages, config: GenerationConfig | None = None, **options: Unpack[GenerationOptions]
    ) -> ModeratedStream:
        """Yields the text of `chat(messages, ...)` as `stream` does that of `generate`.

        Args:
            messages: As of `LanguageModel.chat`.
            config: As of `LanguageModel.stream_chat`.
            **options: In place of the config's.

        Returns:
            An iterator of strings; at its end it has `allowed` and `reasons`.

        Raises:
            InputError: As `LanguageModel.stream_chat`, at the call.
        """
        pieces = self.language_model.stream_chat(messages, config, **options)
        return ModeratedStream(self, asked_in(messages), pieces)

    def _refused(self, part, found):
        return ModeratedCompletion(self.refusal, 0, 0.0, False, [part + reason for reason in found.reasons])

    def _judged(self, made):
        """A Generation, or the refusal in its place."""
        (found,) = self.moderator.moderate(made.text)
        if not found.allowed:
            return self._refused(REPLY, found)
        return ModeratedCompletion(made.text, len(made.token_ids), math.fsum(made.log_probs), True, [])

    # === Export ===
    def signatures(self, *, max_new_tokens_limit: int = 256, chat: bool | None = None) -> Served:
        """What `export` writes: `generate`, `sample` and, as of `LanguageModel.signatures`, `chat`.

        Their outputs are the language model's, with `allowed` and `reasons`, a JSON list.

        Args:
            max_new_tokens_limit: The most new tokens of a text.
            chat: Whether `chat` is among them. None: if the language model can.

        Returns:
            The Served.
        """
        served = self.language_model.signatures(max_new_tokens_limit=max_new_tokens_limit, chat=chat)
        return moderated_signatures(self, served)


class ModeratedStream(Iterator[str]):
    """The pieces of a text as far as they are judged: see `ModeratedLM.stream`.

    Attributes:
        allowed: Whether all of the text is; None before the end.
        reasons: Why not, [] before the end.

    Args:
        moderated: The ModeratedLM.
        prompt: The text that is judged before the first piece.
        pieces: The text of the language model.
    """

    def __init__(self, moderated: ModeratedLM, prompt: str, pieces: Iterator[str]):
        self.allowed: bool | None = None
        self.reasons: list[str] = []
        self._made = self._pieces(moderated, prompt, pieces)

    def __next__(self) -> str:
        return next(self._made)

    def _pieces(self, moderated, prompt, pieces):
        moderator = moderated.moderator
        words = moderator.words.most_words if moderator.words else 1

        def refusal(part, found):
            self.allowed, self.reasons = False, [part + reason for reason in found.reasons]
            return moderated.refusal

        (found,) = moderator.moderate(prompt)
        if not found.allowed:
            yield refusal(PROMPT, found)
            return
        text, given, judged = "", 0, 0
        for piece in pieces:
            text += piece
            end = max((place.end() for place in _SENTENCE.finditer(text, judged)), default=judged)
            if end > judged:
                judged = end
                (found,) = moderator.moderate(text[:end])
                if not found.allowed:
                    yield refusal(REPLY, found)
                    return
                sure = settled(text[:end], words)
                if sure > given:
                    yield text[given:sure]
                    given = sure
        (found,) = moderator.moderate(text)
        if not found.allowed:
            yield refusal(REPLY, found)
            return
        self.allowed = True
        if text[given:]:
            yield text[given:]


def settled(text: str, most_words: int) -> int:
    """Where the last words of a text begin, which could be the first ones of a phrase of so many words."""
    key, places = folded(text)
    words = word_places(key)
    if most_words < 2 or not words:
        return len(text)
    return places[words[max(len(words) - most_words + 1, 0)][0]]


def asked_in(messages: Messages) -> str:
    """All that the user says in a chat, each message with a line end."""
    said = [message for message in messages if isinstance(message, Mapping) and message.get("role") == "user"]
    return "".join(f"{message['content']}\n" for message in said if isinstance(message.get("content"), str))


def _parts(model: keras.Model, judged: bool) -> tuple[Any, keras.Model | None]:
    """The language model's model and the classifier's, or None."""
    if not judged:
        return model, None
    inner = [layer for layer in getattr(model, "layers", []) if isinstance(layer, keras.Model)]
    causal = [part for part in inner if isinstance(part, CausalLM)]
    others = [part for part in inner if part not in causal]
    if len(causal) != 1 or len(others) != 1:
        raise InputError(
            f"{getattr(model, 'name', model)} does not hold a language model and a classifier; "
            "ModeratedLM.of(language_model, moderator) makes one that does"
        )
    return causal[0], others[0]
