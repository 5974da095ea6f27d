"""What a client gives back, a named tuple for each kind of answer."""

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
    """The likeliest label, its probability, and those of all labels (a dict)."""

    label: str
    score: float
    scores: dict


class Span(NamedTuple):
    """A labelled piece of a text: `text` stands at characters `start` to `end` (exclusive)."""

    start: int
    end: int
    label: str
    score: float
    text: str


class Answer(NamedTuple):
    """A piece of the context that answers a question, its score, and its characters `start` to `end`."""

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
