"""What a request to a server comes to: an answer of its kind, or a ServingError.

The answers are named tuples, the same as those of `lm_keras.tasks`. An answer is believed when it is what the model
declares: values of that type and shape, one a row.
"""

import json
import random
import re
import reprlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from lm_keras.text.unicode import valid

DEEPEST = 32  # dimensions of a tensor whose number of them is not declared
# What the methods of the client need of each signature: (kind, number of dimensions).
NUMBER, WHOLE, TEXT, NUMBERS, TEXTS = ("float", 1), ("int", 1), ("string", 1), ("float", 2), ("string", 2)
FLAG, WHOLES = ("bool", 1), ("int", 2)
_WRITTEN = {"completion": TEXT, "num_new_tokens": WHOLE, "log_prob": NUMBER}
OUTPUTS = {
    "score": {"log_prob": NUMBER, "num_tokens": WHOLE, "perplexity": NUMBER},
    "generate": _WRITTEN,
    "sample": _WRITTEN,
    "chat": {"reply": TEXT, "num_new_tokens": WHOLE, "log_prob": NUMBER},
    "beam": _WRITTEN | {"completions": TEXTS, "scores": NUMBERS},
    "classify": {"label": TEXT, "score": NUMBER, "scores": NUMBERS, "classes": TEXTS},
    "relation": {"label": TEXT, "score": NUMBER, "scores": NUMBERS, "classes": TEXTS},
    "tag": {"spans": TEXT},
    "extract": {"entities": TEXT, "relations": TEXT},
    "moderate": {"allowed": FLAG, "reasons": TEXT, "spans": TEXT, "score": NUMBER},
    "answer": {"answer": TEXT, "score": NUMBER, "start": WHOLE, "end": WHOLE},
    "retrieve": {"answer": TEXT, "score": NUMBER, "answered": FLAG, "matched": TEXT},
    "summarize": {"summary": TEXT, "score": NUMBER, "places": WHOLES},
    "rescore": {"best": TEXT, "score": NUMBER, "place": WHOLE},
    "respond": {
        "reply": TEXT,
        "act": TEXT,
        "probability": NUMBER,
        "state": TEXT,
        "slots": TEXT,
        "handed_over": FLAG,
        "reasons": TEXT,
    },
    "embed": {"vector": NUMBERS},
}
AGAIN = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")  # not reached or too busy: nothing was computed
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0  # seconds
LONGEST = 500  # characters of a message
# Characters that move a terminal's cursor, change its state, or the order in which text is shown; half characters.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


# === Answers, a named tuple for each kind ===


class TextScore(NamedTuple):
    """Log-probability (nats) of a text and its end mark; perplexity a token."""

    log_prob: float
    num_tokens: int
    perplexity: float


class Completion(NamedTuple):
    """The text after the prompt, or the reply, and the log-probability (nats) of its tokens under the model."""

    text: str
    num_new_tokens: int
    log_prob: float


class ModeratedCompletion(NamedTuple):
    """A Completion, or the text of a refusal in its place, of no tokens; and why it is refused.

    A reason begins with "prompt: " or "reply: ", which one was refused.
    """

    text: str
    num_new_tokens: int
    log_prob: float
    allowed: bool
    reasons: list[str]


class Beams(NamedTuple):
    """The best completion of a beam search, and all of them, best first, with their scores."""

    text: str
    num_new_tokens: int
    log_prob: float
    completions: list[str]
    scores: list[float]


class Classification(NamedTuple):
    """The likeliest class, its probability, and the probability of each class by name."""

    label: str
    score: float
    scores: dict[str, float]


class MultiLabelClassification(NamedTuple):
    """A Classification of a text that may have several classes: `labels` are the names of all that it has."""

    label: str
    score: float
    scores: dict[str, float]
    labels: list[str]


class Span(NamedTuple):
    """`text[start:end]` of that label, in characters; the score is the mean probability of its words' tags."""

    start: int
    end: int
    label: str
    score: float
    text: str


class FoundRelation(NamedTuple):
    """The relation of two entities of a text, each by its place among them, and its probability."""

    first: int
    second: int
    label: str
    score: float


class Extraction(NamedTuple):
    """The entities of a text, and the relations between them."""

    entities: list[Span]
    relations: list[FoundRelation]


class Moderation(NamedTuple):
    """Whether a text is allowed, and why not.

    Attributes:
        allowed: Whether it is.
        reasons: Why not: "word list: NAME" of each list that has a word of it, and the classes that are refused.
        spans: The listed words, whose label is the name of the list.
        score: The probability of the classes that are refused; 1 where there is a listed word.
    """

    allowed: bool
    reasons: list[str]
    spans: list[Span]
    score: float


class Answer(NamedTuple):
    """`context[start:end]`, in characters, and its probability, that of its first token times that of its last."""

    text: str
    score: float
    start: int
    end: int


class Candidate(NamedTuple):
    """An entry of a knowledge base: its question and answer, and how near the question is."""

    question: str
    answer: str
    score: float


class Retrieval(NamedTuple):
    """The answer of a knowledge base, the score of the nearest question, whether that is enough, and that question.

    Where `answered` is False, the answer is "", or the text that the retriever has for this. `candidates` are the
    nearest entries, best first; a server gives none.
    """

    answer: str
    score: float
    answered: bool
    matched: str
    candidates: tuple[Candidate, ...] = ()


class Summarization(NamedTuple):
    """Some sentences of a document, their probability in all, and their places among its sentences, from 0 on."""

    text: str
    score: float
    places: list[int]


class Rescoring(NamedTuple):
    """The best hypothesis of an n-best list, its score, its place in the list (from 0 on), and the scores of all.

    `scores` are in the order of the list; a server gives none.
    """

    text: str
    score: float
    place: int
    scores: tuple[float, ...] = ()


class DialogueTurn(NamedTuple):
    """The reply of a dialogue manager to the user's turn, and where the dialogue is after it.

    Attributes:
        reply: What is said.
        act: The likeliest act of the user's turn.
        probability: Its probability.
        state: The name of the state after the turn.
        slots: {slot: value} of those that have a value.
        handed_over: Whether a person takes over, now or before.
        reasons: Why no transition was taken, or the reply is another one: "unsure", "no transition", "repeated",
            "handed over" (before), and "user: ..." or "reply: ..." with a moderator's reasons.
    """

    reply: str
    act: str
    probability: float
    state: str
    slots: dict[str, str]
    handed_over: bool
    reasons: list[str]


class VersionStatus(NamedTuple):
    """A version of a model: "AVAILABLE", or another state of TF Serving's, and what went wrong, if anything."""

    version: int
    state: str
    error: str


class Tensor(NamedTuple):
    """An input or output of a signature: "string", "float32", ..., and its shape, None for an open size."""

    dtype: str
    shape: list[int | None] | None


# === Failures, under one set of names for gRPC and REST ===


class ServingError(RuntimeError):
    """The server could not be reached, refused the request, did not answer in time, or gave what is no answer.

    Args:
        code: gRPC's name of the reason, for REST too: "UNAVAILABLE", "NOT_FOUND", "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", ...; "UNKNOWN" for what is no answer of TF Serving's.
        message: What the server said; it is kept in one line of at most about 500 characters, control characters
            escaped.
        again: Whether the same request may get through a little later; None: it depends on the code.
    """

    def __init__(self, code: str, message: str, again: bool | None = None):
        super().__init__(code, one_line(message))
        self.code, self.again = code, code in AGAIN if again is None else again

    def __str__(self):
        return self.args[1]


def one_line(text: str) -> str:
    """A stranger's text in one line, cut where it is long, that does nothing to a terminal."""
    line = escaped(" ".join(text[: 8 * LONGEST].split()))
    cut = f"... ({len(text):,} characters)" if len(text) > 8 * LONGEST or len(line) > LONGEST else ""
    return line[:LONGEST] + cut


def escaped(text: str) -> str:
    r"""The text with control characters as \u001b and the like, as JSON has it too."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def redacted(url: str) -> str:
    """The address without user, password and query."""
    return re.sub(r"\?.*", "?***", re.sub(r"^([A-Za-z+]*://)?.*@", r"\1***@", url, flags=re.DOTALL), flags=re.DOTALL)


def retried(call: Callable[[float], Any], retries: int, timeout: float) -> Any:
    """`call(until)`, again after a growing pause where that may help, at most `retries` times more.

    All tries and pauses together take `timeout` seconds at most, for `call` raises at `until` (`time.monotonic`). A
    request leaves nothing behind in the server and its answer depends on it alone, so sending it twice is safe.
    """
    until, tries = time.monotonic() + timeout, 0
    while True:
        try:
            return call(until)
        except ServingError as error:
            # Clients that failed together must not all come back together.
            pause = min(FIRST_WAIT * 2**tries, LONGEST_WAIT) * random.uniform(0.5, 1.0)
            tries += 1
            if not error.again or tries > retries or time.monotonic() + pause >= until:
                raise
        time.sleep(pause)


# === Is an answer what the model declares? ===


def check_declared(signature: str, tensors: dict[str, Tensor], model: str) -> None:
    """ServingError unless a signature of the model has the outputs that the client's method of its name gives."""
    for name, (kind, rank) in OUTPUTS[signature].items():
        found = tensors.get(name)
        if found is None or found.shape is None or (kind_of(found.dtype), len(found.shape)) != (kind, rank):
            told = f"{signature} of {model} has no output {name} of {kind}s in {rank} dimensions"
            raise ServingError("UNKNOWN", f"{told}; ask it with predict")


def kind_of(dtype: str) -> str | None:
    """ "float", "int", "bool", "string", or None for a type that the client does not know."""
    if dtype in ("string", "bool"):
        return dtype
    kind = dtype.lstrip("u").rstrip("0123456789")
    return kind if kind in ("float", "int") and dtype.lstrip("u")[len(kind) :] in ("8", "16", "32", "64") else None


def checked_rows(values: object, tensor: Tensor, rows: int, name: str, where: str) -> list:
    """The values of an output, one a row, as the Tensor declares them; numbers are rounded to its type.

    REST writes the shortest decimal of a float32 and gRPC gives all of its digits: the same number from both.
    """
    if not isinstance(values, list) or len(values) != rows:
        raise ServingError("UNKNOWN", f"{where} gave no value of {name} for each row")
    kind, raw = kind_of(tensor.dtype), name.endswith("_bytes")
    shape = None if tensor.shape is None else tensor.shape[1:]
    try:
        return [_checked(value, kind, tensor.dtype, raw, shape, DEEPEST) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        told = f"{where}: {name} is {error}, and the model declares {tensor.dtype} of shape {tensor.shape}"
        raise ServingError("UNKNOWN", told) from None


def _checked(value, kind, dtype, raw, shape, left):
    import numpy as np  # the command line imports this module before it needs numbers

    if shape if shape is not None else isinstance(value, list):
        size = shape[0] if shape else None
        if not isinstance(value, list) or not left or size not in (None, len(value)):
            raise ValueError(reprlib.repr(value))
        return [_checked(each, kind, dtype, raw, shape and shape[1:], left - 1) for each in value]
    fits = {
        "string": isinstance(value, bytes if raw else str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, (int, float)) and not isinstance(value, bool),
    }
    if kind is not None and not fits[kind]:
        raise ValueError(reprlib.repr(value))
    if kind == "int" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        raise ValueError(reprlib.repr(value))
    if kind == "float":
        with np.errstate(over="ignore"):
            rounded = float(np.dtype(dtype).type(value))
        if np.isinf(rounded) and not np.isinf(float(value)):
            raise ValueError(reprlib.repr(value))
        return rounded
    return valid(value) if isinstance(value, str) else value  # a half character, which JSON can hold, is U+FFFD


def names_in(text: str, where: str) -> list[str]:
    """The names that `labels` of `classify`, or `reasons` of `moderate`, hold as JSON."""
    try:
        found = json.loads(text)
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise TypeError
        return found
    except (ValueError, TypeError, RecursionError):
        raise ServingError("UNKNOWN", f"{where} gave {reprlib.repr(text)}, which is no list of names") from None


def slots_in(text: str, where: str) -> dict[str, str]:
    """The values that `slots` of `respond` holds as JSON."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise TypeError
        return found
    except (ValueError, TypeError, RecursionError):
        raise ServingError("UNKNOWN", f"{where} gave {reprlib.repr(text)}, which is no {{slot: value}}") from None


def spans_in(text: str, where: str) -> list[Span]:
    """The Spans that an answer of `tag` or `moderate`, or the `entities` of `extract`, hold as JSON."""
    return _tuples_in(text, Span, (int, int, str, (int, float), str), f"{where} gave", "spans")


def relations_in(text: str, entities: str, where: str) -> list[FoundRelation]:
    """The FoundRelations that `relations` of `extract` holds as JSON, between so many spans as `entities` holds."""
    found = _tuples_in(text, FoundRelation, (int, int, str, (int, float)), f"{where} gave", "relations")
    count = len(spans_in(entities, where))
    if any(not 0 <= at < count for row in found for at in row[:2]):
        raise ServingError("UNKNOWN", f"{where} gave relations of more than its {count} entities")
    return found


def _tuples_in(text, kind, types, gave, what):
    """JSON of a list of objects as named tuples of that kind, whose fields are of these types."""
    try:
        found = [[row[name] for name in kind._fields] for row in json.loads(text)]
        if not all(isinstance(value, kinds) for row in found for value, kinds in zip(row, types, strict=True)):
            raise TypeError
        return [kind(*row) for row in found]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ServingError("UNKNOWN", f"{gave} {reprlib.repr(text)}, which is no list of {what}") from None
