"""A client of TF Serving: requests of many rows, typed answers."""

import contextlib
import numbers
import threading
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

import numpy as np
from typing_extensions import Unpack

from lm_keras.errors import InputError
from lm_keras.generation.config import GenerationConfig, RequestOptions, check_names, inputs_of, merged
from lm_keras.serving.client.columns import as_columns, as_list, ends_of, joined_lists, row_seeds
from lm_keras.serving.client.results import (
    OUTPUTS,
    Answer,
    Beams,
    Classification,
    Completion,
    DialogueTurn,
    Extraction,
    ModeratedCompletion,
    Moderation,
    MultiLabelClassification,
    Rescoring,
    Retrieval,
    ServingError,
    Span,
    Summarization,
    Tensor,
    TextScore,
    VersionStatus,
    check_declared,
    checked_rows,
    names_in,
    one_line,
    redacted,
    relations_in,
    retried,
    slots_in,
    spans_in,
)
from lm_keras.text.tokenizers.chat.joined import joined
from lm_keras.text.unicode import valid
from lm_keras.utils.checks import check_number, check_whole

SCHEMES = ("http", "https", "grpc", "grpcs")
EXAMPLE = "give e.g. http://localhost:8501 (REST) or grpc://localhost:8500"


class Client:
    """Asks a model of a TF Serving program by REST (http, https) or gRPC (grpc, grpcs).

    A text or option of a method may be one value or a list, a value a row; answers come in the order of the rows. The
    client goes to the address it is given and nowhere else: it follows no redirect and takes no proxy, and no
    password of a netrc, from the environment. User and password in an address of REST are sent, and never shown. What
    comes back is checked before it is believed. Threads may share a client.

    Args:
        url: Address of the server, such as "http://localhost:8501" or "grpc://localhost:8500".
        model: Name under which the server has the model.
        version: Number of the version that answers; None: the newest.
        label: Label of the version that answers, such as "stable".
        timeout: Seconds that a request may take in all, its repeats and the pauses between them included.
        retries: How often a request is sent again where that may help: while the server is not reached, unavailable
            or too busy.
        batch_size: Rows a request.
        max_response_bytes: The largest answer to a request that is read.

    Raises:
        InputError: An argument is wrong; from a method: an input that the model does not take, before it is sent.
        ServingError: From a method: the server refuses or does not answer, or gives what is no answer.

    Example:

    ```python
    client = Client("http://localhost:8501", "lm")
    print(client.generate("The fire", max_new_tokens=20)[0].text)
    ```
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        batch_size: int = 64,
        max_response_bytes: int = 64 * 2**20,
    ):
        scheme = _checked_scheme(url)
        if not isinstance(model, str) or not model or valid(model) != model:
            raise InputError(f"model is {model!r}; give the name under which the server has it")
        if version is not None and label is not None:
            raise InputError("version and label are both given; leave one of them out")
        if version is not None:
            check_whole("version", version, 0, 2**63 - 1)
        if label is not None and not (isinstance(label, str) and label and valid(label) == label):
            raise InputError(f"label is {label!r}; it must be a name such as 'stable'")
        check_number("timeout", timeout, above=0, below=1e6)
        check_whole("retries", retries, 0)
        check_whole("batch_size", batch_size)
        check_whole("max_response_bytes", max_response_bytes, 1, 2**31 - 1)  # the most of a message of gRPC
        if scheme.startswith("grpc"):
            from lm_keras.serving.client.grpc import Grpc as Transport
        else:
            from lm_keras.serving.client.rest import Rest as Transport
        self._transport = Transport(url.rstrip("/"), model, version, label, timeout, max_response_bytes)
        self._name, self._model, self._batch_size = redacted(url), model, batch_size
        self._timeout, self._retries = timeout, retries
        self._known, self._lock = None, threading.Lock()

    def __repr__(self):
        return f"Client({self._name!r}, {self._model!r})"

    def status(self) -> list[VersionStatus]:
        """A VersionStatus for each version that the server knows, or the one asked for by number."""
        found = self._retried(self._transport.status)
        if not all(isinstance(part, str) for one in found for part in one[1:]):
            raise ServingError("UNKNOWN", f"{self._name}: not an answer of TF Serving's (a state that is no text)")
        return found

    def metadata(self) -> dict[str, dict[str, dict[str, Tensor]]]:
        """`{signature: {"inputs": {name: Tensor}, "outputs": {name: Tensor}}}` of the version that answers."""
        return self._retried(self._transport.signatures)

    def predict(self, signature: str, /, **inputs: object) -> dict[str, list]:
        """Any signature: `{output: list of a value a row}` for all its inputs, each one value or a list."""
        described = self._signature(signature, inputs)
        columns, rows = as_columns(inputs, described["inputs"])
        answer, where = {name: [] for name in described["outputs"]}, f"{signature} of {self._model}"
        for start in range(0, rows, self._batch_size):
            part = {name: values[start : start + self._batch_size] for name, values in columns.items()}
            made, size = self._request(signature, part, described), min(self._batch_size, rows - start)
            if made.keys() != answer.keys():
                self._known = None  # perhaps the server has another version by now
                raise ServingError("UNKNOWN", f"{where} gave {', '.join(made)}, not {', '.join(answer)}")
            for name, tensor in described["outputs"].items():
                answer[name] += checked_rows(made[name], tensor, size, name, where)
        return answer

    def score(self, texts: str | Sequence[str]) -> list[TextScore]:
        """A TextScore a text."""
        return self._rows(TextScore, "score", text=texts)

    def generate(
        self,
        prompts: str | Sequence[str],
        config: GenerationConfig | None = None,
        **options: Unpack[RequestOptions],
    ) -> list[Completion]:
        """Continues each prompt with the likeliest words.

        Args:
            prompts: A string or several; source texts, for a model of sequence to sequence.
            config: The options, as `LanguageModel.generate` takes them; None: the defaults.
            **options: In place of the config's, one value or a value a row: `max_new_tokens`.

        Returns:
            A Completion for each prompt; a ModeratedCompletion where the model is a `ModeratedLM`.

        Raises:
            InputError: For an option that the model's signature has no input for.
            ServingError: See the class.
        """
        return self._completions("generate", Completion, prompts, config, options)

    def sample(
        self,
        prompts: str | Sequence[str],
        config: GenerationConfig | None = None,
        **options: Unpack[RequestOptions],
    ) -> list[Completion]:
        """As `generate`, with words that are drawn.

        Its options are `max_new_tokens` and those of sampling. The k-th repeat of a prompt takes `seed + k`, as in
        `LanguageModel.generate`; a list of seeds is taken as it is.
        """
        return self._completions("sample", Completion, prompts, config, options)

    def beam(
        self,
        prompts: str | Sequence[str],
        config: GenerationConfig | None = None,
        **options: Unpack[RequestOptions],
    ) -> list[Beams]:
        """As `generate`, by beam search of the width that the export has: Beams for each prompt, best first.

        Its options are `max_new_tokens` and `length_penalty`.
        """
        return self._completions("beam", Beams, prompts, config, options)

    def chat(
        self,
        messages: Sequence[Mapping[str, str]] | Sequence[Sequence[Mapping[str, str]]],
        config: GenerationConfig | None = None,
        **options: Unpack[RequestOptions],
    ) -> list[Completion]:
        """Replies to the messages of a chat, or of several.

        Args:
            messages: `[{"role": "user", "content": "..."}, ...]`: a system's message or none, then the user's and the
                assistant's in turn, the last one the user's; or a list of such lists, a chat a row. The characters
                U+001E and U+001F are taken out of the contents.
            config: The options, as `LanguageModel.chat` takes them; None: the defaults.
            **options: In place of the config's, one value or a value a row: `max_new_tokens` and those of sampling.

        Returns:
            A Completion for each chat; its text is "" where the model has no room for the last turn.

        Raises:
            InputError: The messages are none, or in another order; for an option that `chat` has no input for.
            ServingError: See the class.
        """
        return self._completions("chat", Completion, _chats(messages), config, options)

    def respond(
        self, messages: Sequence[Mapping[str, str]] | Sequence[Sequence[Mapping[str, str]]]
    ) -> list[DialogueTurn]:
        """The reply of a dialogue manager to the messages of each dialogue: a DialogueTurn a dialogue.

        Args:
            messages: As of `chat`: the whole history, the last message the user's; or a list of such lists.

        Raises:
            InputError: The messages are none, or in another order.
            ServingError: See the class.
        """
        made, where = self._made("respond", messages=_chats(messages)), f"respond of {self._model}"
        rows = (made[name] for name in OUTPUTS["respond"])
        return [
            DialogueTurn(*row[:4], slots_in(row[4], where), row[5], names_in(row[6], where))
            for row in zip(*rows, strict=True)
        ]

    def classify(self, texts: str | Sequence[str], pairs: str | Sequence[str] | None = None) -> list[Classification]:
        """A Classification a text; a MultiLabelClassification where the model has several classes a text.

        Args:
            texts: A string or several.
            pairs: The second text of each, for a model that reads pairs.
        """
        return self._classes("classify", text=texts, **({} if pairs is None else {"text_pair": pairs}))

    def relation(
        self,
        texts: str | Sequence[str],
        first: tuple[int, int] | Sequence[tuple[int, int]],
        second: tuple[int, int] | Sequence[tuple[int, int]],
    ) -> list[Classification]:
        """How two spans of a text are related: a Classification a text.

        Args:
            texts: A string or several.
            first: `(start, end)` of the first span, in characters: one for all texts, or one a text.
            second: The same for the second span.

        Raises:
            InputError: Spans that are not two whole numbers each.
            ServingError: See the class.
        """
        inputs = {}
        for name, spans in (("first", first), ("second", second)):
            inputs[f"{name}_start"], inputs[f"{name}_end"] = ends_of(spans, name)
        return self._classes("relation", text=texts, **inputs)

    def tag(self, texts: str | Sequence[str]) -> list[list[Span]]:
        """A list of Spans a text."""
        found = self._made("tag", text=texts)["spans"]
        return [spans_in(spans, f"tag of {self._model}") for spans in found]

    def extract(self, texts: str | Sequence[str]) -> list[Extraction]:
        """The entities of a text and the relations between them: an Extraction a text."""
        made, where = self._made("extract", text=texts), f"extract of {self._model}"
        return [
            Extraction(spans_in(entities, where), relations_in(relations, entities, where))
            for entities, relations in zip(made["entities"], made["relations"], strict=True)
        ]

    def moderate(self, texts: str | Sequence[str]) -> list[Moderation]:
        """A Moderation a text: whether it is allowed, why not, and the listed words of it."""
        made, where = self._made("moderate", text=texts), f"moderate of {self._model}"
        return [
            Moderation(allowed, names_in(reasons, where), spans_in(spans, where), score)
            for allowed, reasons, spans, score in zip(*(made[name] for name in OUTPUTS["moderate"]), strict=True)
        ]

    def answer(self, questions: str | Sequence[str], contexts: str | Sequence[str]) -> list[Answer]:
        """An Answer a question; one context may serve all questions, and one question all contexts."""
        return self._rows(Answer, "answer", question=questions, context=contexts)

    def retrieve(self, questions: str | Sequence[str]) -> list[Retrieval]:
        """The answer of a knowledge base to each question, or that there is none: a Retrieval a question."""
        return self._rows(Retrieval, "retrieve", question=questions)

    def summarize(self, documents: str | Sequence[str]) -> list[Summarization]:
        """The best sentences of each document, in its order: a Summarization a document."""
        made = self._made("summarize", document=documents)
        places = [[place for place in row if place >= 0] for row in made["places"]]
        return list(map(Summarization, made["summary"], made["score"], places))

    def rescore(
        self,
        hypotheses: Sequence[str] | Sequence[Sequence[str]],
        scores: Sequence[float] | Sequence[Sequence[float]] | None = None,
    ) -> list[Rescoring]:
        """The best hypothesis of each n-best list of a speech recognizer: a Rescoring an utterance.

        Args:
            hypotheses: Those of an utterance, the recognizer's best first; or a list of such lists.
            scores: The recognizer's, of the same form; None: there are none, the places count.

        Raises:
            InputError: For what is no such list, and for scores that are not one finite number for each hypothesis.
            ServingError: See the class.
        """
        lists, numbers = joined_lists(hypotheses, scores)
        return self._rows(Rescoring, "rescore", hypotheses=lists, scores=numbers)

    def embed(self, texts: str | Sequence[str]) -> np.ndarray:
        """The vectors of the texts: float32 [B, D]."""
        vectors = self._made("embed", text=texts)["vector"]
        size = self._signature("embed")["outputs"]["vector"].shape[-1] or len(vectors[0] if vectors else ())
        if any(len(vector) != size for vector in vectors):
            raise ServingError("UNKNOWN", f"embed of {self._model} gave vectors of different lengths")
        return np.array(vectors, np.float32).reshape(len(vectors), size)

    def close(self) -> None:
        """Ends the connections; a `with` statement does."""
        self._transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _completions(self, signature, kind, prompts, config, options):
        """The answers of a signature that writes text; an option that is not given has its default."""
        config = merged(config, {})
        check_names(options)
        known = self._signature(signature)["inputs"]
        inputs = {name: getattr(config, name) for name in inputs_of(signature) if name in known}
        inputs |= config.changed() | options
        seed = inputs.get("seed")
        if isinstance(seed, numbers.Integral) and not isinstance(seed, bool):
            listed = as_list(prompts)
            prompts = [prompts] if listed is None else listed
            inputs["seed"] = row_seeds(prompts, inputs["seed"])
        given = next((name for name in ("messages", "source") if name in known), "prompt")
        inputs = {given: prompts, **inputs}
        if kind is not Completion or "allowed" not in self._signature(signature, inputs)["outputs"]:
            return self._rows(kind, signature, **inputs)
        made, where = self._made(signature, **inputs), f"{signature} of {self._model}"
        reasons = [names_in(row, where) for row in made["reasons"]]
        rows = (made[name] for name in OUTPUTS[signature])
        return list(map(ModeratedCompletion, *rows, made["allowed"], reasons))

    def _rows(self, kind, signature, **inputs):
        answer = self._made(signature, **inputs)
        return list(map(kind, *(answer[name] for name in OUTPUTS[signature])))

    def _classes(self, signature, **inputs):
        """A Classification of each row, by a signature that gives the scores of all classes."""
        made = self._made(signature, **inputs)
        named, where = [], f"{signature} of {self._model}"
        for classes, scores in zip(made["classes"], made["scores"], strict=True):
            if len(classes) != len(scores):
                raise ServingError("UNKNOWN", f"{where} gave {len(classes)} classes and {len(scores)} scores")
            named.append(dict(zip(classes, scores, strict=True)))
        if "labels" in made:
            labels = [names_in(text, where) for text in made["labels"]]
            return list(map(MultiLabelClassification, made["label"], made["score"], named, labels))
        return list(map(Classification, made["label"], made["score"], named))

    def _made(self, signature, **inputs):
        """The answer of a signature that has the outputs of its name."""
        check_declared(signature, self._signature(signature, inputs)["outputs"], self._model)
        return self.predict(signature, **inputs)

    def _signature(self, name, inputs=None):
        """What the model says of a signature, asked for once, and once more if it does not fit `inputs`."""
        with self._lock:
            known = self._known
            for again in (False, True):
                if again or known is None:
                    known = self._known = self.metadata()
                found = known.get(name)
                if found and (inputs is None or inputs.keys() == found["inputs"].keys()):
                    return found
        if not found:
            raise InputError(f"{self._model} has no signature {name!r}; it has {one_line(', '.join(sorted(known)))}")
        wanted = one_line(", ".join(f"{key} ({tensor.dtype})" for key, tensor in sorted(found["inputs"].items())))
        raise InputError(f"{name} of {self._model} takes {wanted}; got {', '.join(sorted(inputs)) or 'nothing'}")

    def _request(self, signature, columns, described):
        try:
            return self._retried(lambda until: self._transport.predict(signature, columns, described, until))
        except ServingError as error:
            if error.code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION"):
                self._known = None  # perhaps the server has another version by now
            raise

    def _retried(self, call):
        return retried(call, self._retries, self._timeout)


def _checked_scheme(url):
    text = url if isinstance(url, str) else ""
    with contextlib.suppress(ValueError):  # a port that is no number
        parts = urlsplit(text)
        grpc = parts.scheme.startswith("grpc")
        more = parts.query or parts.fragment or (grpc and (parts.path.strip("/") or "@" in parts.netloc))
        host = parts.hostname and parts.hostname.isprintable() and (parts.port or True)
        plain = text.isascii() and text.isprintable() and " " not in text
        if parts.scheme in SCHEMES and host and not more and plain and "/v1/" not in parts.path + "/":
            return parts.scheme
    shown = repr(one_line(redacted(url)) if isinstance(url, str) else url)
    raise InputError(f"{shown} is not the address of a server alone; {EXAMPLE}, and the model's name beside it")


def _chats(messages):
    """The messages of a chat, or of several, as a string each."""
    one = isinstance(messages, Sequence) and any(isinstance(part, Mapping) for part in messages)
    if not one and (isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Iterable)):
        joined(messages)  # which says what is wrong
    return [joined(part) for part in ([messages] if one else messages)]
