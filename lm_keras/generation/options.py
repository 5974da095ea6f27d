"""The options of `generate`, checked, and where a text ends."""

import dataclasses
import math
import numbers

from lm_keras.errors import InputError


@dataclasses.dataclass(frozen=True)
class Options:
    """What `LanguageModel.generate` takes beside the prompts, with the bounds of each.

    Sampling: `temperature`, then the `top_k` likeliest words, then the smallest set that holds `top_p`, then words of
    at least `min_p` times the best word's probability (Nguyen et al. 2024). `repetition_penalty` comes before them.
    Beam search: scores are log p / length ** `length_penalty`, the end mark included in both.
    Contrastive search (Su et al. 2022): `penalty_alpha` > 0 among the `top_k` likeliest words.
    Length: at most `max_new_tokens`; the end marks (the tokenizer's `end_ids`: a checkpoint may have several) and
    `stop_tokens` (ids, or strings of the vocabulary) end a text and are no part of it; they are not chosen before
    `min_new_tokens`. A `stop` string ends a text at any length.
    `begin`: whether the begin mark stands before the prompt, as in training here; a GPT-2 of transformers has none.
    `jit_compile`: greedy text by a loop that XLA compiles, once for each number of rows and length (rounded up).
    """

    max_new_tokens: int = 50
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    num_beams: int = 1
    repetition_penalty: float = 1.0
    stop: tuple = ()
    seed: int = 0
    min_p: float = 0.0
    min_new_tokens: int = 0
    stop_tokens: tuple = ()
    num_return_sequences: int = 1
    length_penalty: float = 0.0
    penalty_alpha: float = 0.0
    top_logprobs: int = 0
    jit_compile: bool = False
    begin: bool = True

    def __post_init__(self):
        for name in ("stop", "stop_tokens"):
            value = getattr(self, name)
            one = isinstance(value, (str, numbers.Integral))
            object.__setattr__(self, name, (value,) if one else tuple(value or ()))
        for name, least in WHOLE.items():
            _check(self, name, _whole(getattr(self, name), least), f"a whole number of at least {least}")
            object.__setattr__(self, name, int(getattr(self, name)))
        for name, (good, what) in RANGES.items():
            _check(self, name, _number(getattr(self, name)) and good(getattr(self, name)), what)
        if not isinstance(self.seed, numbers.Integral):
            raise InputError(f"seed is {self.seed!r}; it must be a whole number")
        for text in self.stop:
            if not isinstance(text, str) or not text:
                raise InputError(f"a stop string is {text!r}; give a string of at least one character")
        if self.min_new_tokens > self.max_new_tokens:
            raise InputError(f"min_new_tokens is {self.min_new_tokens}, above max_new_tokens={self.max_new_tokens}")
        _check_together(self)
        for name, most in LIMITS.items():
            object.__setattr__(self, name, max(min(float(getattr(self, name)), most), -most))
        object.__setattr__(self, "top_k", min(int(self.top_k), 2**31 - 1))


WHOLE = {"max_new_tokens": 0, "min_new_tokens": 0, "num_beams": 1, "num_return_sequences": 1, "top_logprobs": 0}
LIMITS = dict.fromkeys(("top_p", "min_p", "repetition_penalty", "length_penalty", "penalty_alpha"), 3e38)  # float32
LIMITS["temperature"] = 1e4  # more is the same
RANGES = {
    "temperature": (lambda x: x >= 0, "at least 0 (0 is greedy)"),
    "top_k": (lambda x: x >= 0, "at least 0 (0 keeps all words)"),
    "top_p": (lambda x: 0 < x <= 1, "above 0 and at most 1"),
    "min_p": (lambda x: 0 <= x <= 1, "at least 0 (0 keeps all words) and at most 1"),
    "repetition_penalty": (lambda x: x > 0, "above 0 (1 changes nothing)"),
    "length_penalty": (math.isfinite, "a finite number (0: no penalty; 1: the mean log p a token)"),
    "penalty_alpha": (lambda x: 0 <= x <= 1, "at least 0 (0: no contrastive search) and at most 1"),
}


def _whole(value, least):
    return isinstance(value, numbers.Integral) and least <= value < 2**31


def _number(value):
    return isinstance(value, numbers.Real)


def _check(options, name, good, what):
    if not good:
        raise InputError(f"{name} is {getattr(options, name)!r}; it must be {what}")


def _check_together(options):
    search = "num_beams > 1" if options.num_beams > 1 else "penalty_alpha > 0" if options.penalty_alpha > 0 else None
    if search and options.repetition_penalty != 1:
        raise InputError(f"repetition_penalty does not go with {search}; leave one of them out")
    if options.penalty_alpha > 0:
        if options.num_beams > 1:
            raise InputError("penalty_alpha > 0 does not go with num_beams > 1; leave one of them out")
        if options.top_k < 1:
            raise InputError("penalty_alpha > 0 chooses among the top_k likeliest words; give top_k, e.g. 4")
    if options.jit_compile and (
        search or options.temperature > 0 or options.repetition_penalty != 1 or options.top_logprobs
    ):
        raise InputError("jit_compile compiles greedy decoding alone; give temperature=0 and no other way to choose")
    several = options.num_return_sequences
    if options.num_beams > 1 and several > options.num_beams:
        raise InputError(f"num_return_sequences is {several}, above num_beams={options.num_beams}")
    if several > 1 and options.num_beams == 1 and (options.temperature == 0 or options.penalty_alpha > 0):
        what = "penalty_alpha > 0" if options.penalty_alpha > 0 else "temperature=0"
        raise InputError(
            f"num_return_sequences is {several}, and {what} has one text; sample or search with num_beams"
        )


def stop_ids(tokenizer, stop_tokens):
    """The ids of the end marks and of `stop_tokens`: ids, or strings of the vocabulary."""
    ids = end_ids(tokenizer)
    for token in stop_tokens:
        if isinstance(token, str) and token in tokenizer.tokens:
            token = tokenizer.tokens.index(token)
        if not isinstance(token, numbers.Integral) or not 0 <= token < tokenizer.vocab_size:
            raise InputError(
                f"a stop token is {token!r}; give an id below {tokenizer.vocab_size} or a vocabulary string"
            )
        ids.append(int(token))
    return ids


def end_ids(tokenizer):
    """The ids that end a text: the end mark, and what else a checkpoint names, such as the end of a turn."""
    return list(tokenizer.end_ids)


def as_texts(texts):
    if isinstance(texts, bytes) or not hasattr(texts, "__iter__"):
        raise InputError(f"texts is {texts!r}; give a string or a list of strings")
    texts = [texts] if isinstance(texts, str) else list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"a text is a {type(text).__name__}; give strings")
    return texts


def cut(text, stop):
    """`text` up to the first stop string in it, and whether there was one."""
    places = [place for place in map(text.find, stop) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)
