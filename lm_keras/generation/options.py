"""The options of `generate`, checked, and where a text ends."""

import numbers

from lm_keras.errors import InputError


def as_texts(texts):
    texts = [texts] if isinstance(texts, str) else list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"a text is a {type(text).__name__}; give strings")
    return texts


def checked(max_new_tokens, temperature, top_k, top_p, repetition_penalty, stop, seed):
    if not isinstance(max_new_tokens, numbers.Integral) or not 0 <= max_new_tokens < 2**31:
        raise InputError(f"max_new_tokens is {max_new_tokens!r}; it must be a whole number of at least 0")
    if not isinstance(seed, numbers.Integral):
        raise InputError(f"seed is {seed!r}; it must be a whole number")
    if not temperature >= 0:
        raise InputError(f"temperature is {temperature}; it must be at least 0 (0 is greedy)")
    if top_k < 0:
        raise InputError(f"top_k is {top_k}; it must be at least 0 (0 keeps all words)")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p is {top_p}; it must be above 0 and at most 1")
    if not repetition_penalty > 0:
        raise InputError(f"repetition_penalty is {repetition_penalty}; it must be above 0 (1 changes nothing)")
    for text in stop:
        if not isinstance(text, str) or not text:
            raise InputError(f"a stop string is {text!r}; give a string of at least one character")
    return {
        "max_new_tokens": int(max_new_tokens),
        "temperature": min(temperature, 1e4),  # more is the same to `sample`, and no float32
        "top_k": min(int(top_k), 2**31 - 1),
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
    }


def check_beams(num_beams, repetition_penalty):
    if not isinstance(num_beams, int) or num_beams < 1:
        raise InputError(f"num_beams is {num_beams!r}; it must be a whole number of at least 1")
    if num_beams > 1 and repetition_penalty != 1:
        raise InputError("repetition_penalty does not go with num_beams > 1; leave one of them out")


def cut(text, stop):
    """`text` up to the first stop string in it, and whether there was one."""
    places = [place for place in map(text.find, stop) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)
