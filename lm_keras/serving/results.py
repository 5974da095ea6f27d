"""Answers to requests, a named tuple for each kind; those of `lm_keras.tasks` and of the client are the same."""

from typing import NamedTuple


class TextScore(NamedTuple):
    """Log-probability (nats) of a text and its end mark; perplexity a token."""

    log_prob: float
    num_tokens: int
    perplexity: float


class Completion(NamedTuple):
    """The text after the prompt, and the log-probability (nats) of its tokens under the model."""

    text: str
    num_new_tokens: int
    log_prob: float


class Beams(NamedTuple):
    """The best completion of a beam search, and all of them, best first, with their scores."""

    text: str
    num_new_tokens: int
    log_prob: float
    completions: list
    scores: list


class Classification(NamedTuple):
    """The likeliest class, its probability, and the probability of each class by name."""

    label: str
    score: float
    scores: dict


class Span(NamedTuple):
    """`text[start:end]` of that label, in characters; the score is the mean probability of its words' tags."""

    start: int
    end: int
    label: str
    score: float
    text: str


class Answer(NamedTuple):
    """`context[start:end]`, in characters, and its probability, that of its first token times that of its last."""

    text: str
    score: float
    start: int
    end: int


class VersionStatus(NamedTuple):
    """A version of a model: "AVAILABLE", or another state of TF Serving's, and what went wrong, if anything."""

    version: int
    state: str
    error: str


class Tensor(NamedTuple):
    """An input or output of a signature: "string", "float32", ..., and its shape, None for an open size."""

    dtype: str
    shape: list
