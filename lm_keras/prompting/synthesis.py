"""Training data that a language model writes: texts for a prompt of each class, and a filter of what it wrote."""

import collections
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from typing_extensions import Unpack

from lm_keras.data.labelled import LabelledTexts
from lm_keras.errors import InputError
from lm_keras.generation.config import GenerationConfig, GenerationOptions, merged
from lm_keras.language_model import LanguageModel
from lm_keras.utils.checks import check_number, check_sizes, check_texts

_ROWS = 16  # texts written at a time


class Synthesis(NamedTuple):
    """What `synthesize` returns.

    Attributes:
        data: The texts that were kept with their classes, `LabelledTexts`: `lk.data.labelled` takes them, and
            `PromptClassifier.training_data(data.texts, data.labels)`.
        written: How many texts were written for each class.
        dropped: How many were left out for each reason: "short", "long", "copy", "unlikely", "unsure". Those beyond
            `num` count as written alone.
    """

    data: LabelledTexts
    written: dict[str, int]
    dropped: dict[str, int]


def synthesize(
    lm: LanguageModel,
    prompts: Mapping[str, str | Sequence[str]],
    num: int = 50,
    config: GenerationConfig | None = None,
    *,
    classifier: object = None,
    confidence: float = 0.5,
    min_chars: int = 10,
    max_chars: int = 1000,
    min_log_prob: float | None = None,
    known: Iterable[str] = (),
    clean: Callable[[str], str] = str.strip,
    tries: int = 4,
    **options: Unpack[GenerationOptions],
) -> Synthesis:
    """Lets a language model write texts of each class, and keeps those that can be learned from.

    A text is left out that is too short or too long, a copy of one before it or of a `known` one (letters and digits
    compared, without case), less likely for the model than `min_log_prob`, or of which `classifier` is not sure that
    it is of its class. New ones are written in place of those that are left out.

    Args:
        lm: The model that writes.
        prompts: A prompt for each class, or several that take turns: `{"pos": "A good review of a film:", ...}`.
        num: Texts of each class.
        config: How texts are written. Without it: to the end of the line, at most 64 tokens, drawn at a temperature
            of 1 from the likeliest words of 0.95 probability.
        classifier: What labels texts, `classify(texts)` -> `Classification`s of these classes, such as a
            `PromptClassifier` of the same model; None: all are of their class.
        confidence: The least probability that it must give the class.
        min_chars: Characters of a text.
        max_chars: Characters of a text.
        min_log_prob: The least mean log p(token) in nats, by the model that wrote it; None: any.
        known: Texts that must not come again, such as those with labels.
        clean: What is done with each text before it is looked at.
        tries: Writing ends after `tries` times `num` texts of a class, with fewer than `num` of them if need be.
        **options: In place of the config's; `seed` too.

    Returns:
        A `Synthesis`.

    Raises:
        InputError: For what is no such model, no prompts, and what is out of range.
    """
    if not isinstance(lm, LanguageModel):
        raise InputError(f"synthesize takes a LanguageModel that writes, got {type(lm).__name__}")
    config = merged(config or GenerationConfig(max_new_tokens=64, top_p=0.95, stop="\n"), options)
    prompts = _checked_prompts(prompts)
    check_sizes(num=num, min_chars=min_chars, max_chars=max_chars, tries=tries)
    check_number("confidence", confidence, least=0, most=1)
    check = _Filter(classifier, confidence, min_chars, max_chars, min_log_prob, known)
    texts, labels, written = [], [], {}
    for label, (name, some) in enumerate(prompts.items()):
        kept, written[name] = [], 0
        while len(kept) < num and written[name] < tries * num:
            rows = [some[i % len(some)] for i in range(written[name], min(written[name] + _ROWS, tries * num))]
            # Repeats of a prompt take seeds in a row; those of another batch, and of another class, take others.
            made = lm.generate(rows, config, seed=config.seed + label * tries * num + written[name])
            written[name] += len(made)
            kept += check([clean(each.text) for each in made], [each.log_probs for each in made], name)
        texts += kept[:num]
        labels += [label] * len(kept[:num])
    data = LabelledTexts(texts, np.array(labels, "int32"), tuple(prompts))
    return Synthesis(data, written, dict(check.dropped))


class _Filter:
    """Takes texts, their tokens' log-probabilities and their class, and gives those that are kept."""

    def __init__(self, classifier, confidence, min_chars, max_chars, min_log_prob, known):
        self.classifier, self.confidence, self.min_log_prob = classifier, confidence, min_log_prob
        self.min_chars, self.max_chars = min_chars, max_chars
        self.seen, self.dropped = {_key(text) for text in known}, collections.Counter()

    def __call__(self, texts, log_probs, name):
        reasons = [self._reason(text, probs) for text, probs in zip(texts, log_probs, strict=True)]
        left = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
        self.dropped.update(reason for reason in reasons if reason is not None)
        if self.classifier is None or not left:
            return left
        sure = [self._is_sure(found, name) for found in self.classifier.classify(left)]
        self.dropped.update(["unsure"] * sure.count(False))
        return [text for text, is_sure in zip(left, sure, strict=True) if is_sure]

    def _reason(self, text, log_probs):
        key, seen = _key(text), _key(text) in self.seen
        self.seen.add(key)
        if len(text) < self.min_chars:
            return "short"
        if len(text) > self.max_chars:
            return "long"
        if seen:
            return "copy"
        unlikely = self.min_log_prob is not None and np.mean(log_probs) < self.min_log_prob
        return "unlikely" if unlikely else None

    def _is_sure(self, found, name):
        if name not in found.scores:
            raise InputError(f"the classifier knows {', '.join(found.scores)}, and there is a prompt for {name!r}")
        return found.label == name and found.scores[name] >= self.confidence


def _key(text):
    """What two copies of a text share."""
    return re.sub(r"\W+", " ", text).strip().casefold()


def _checked_prompts(prompts):
    if not isinstance(prompts, Mapping) or len(prompts) < 2:
        raise InputError('prompts is no mapping of two classes or more; give {"pos": "A good review:", "neg": ...}')
    found = {name: check_texts(some, f"the prompt of {name}") for name, some in prompts.items()}
    for name, some in found.items():
        if not some:
            raise InputError(f"there is no prompt for {name!r}; give at least one")
    return found
