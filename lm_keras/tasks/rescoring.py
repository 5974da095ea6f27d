"""The best hypothesis of a speech recognizer's n-best list, by its own scores and by language models."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.corpora.records import Hypotheses
from lm_keras.data.hypotheses import checked_lists
from lm_keras.errors import InputError
from lm_keras.language_model import LanguageModel
from lm_keras.models.causal_lm import CausalLM
from lm_keras.serving.client.columns import HYPOTHESIS, LARGEST, joined_lists, nbest_lists
from lm_keras.serving.client.results import Rescoring
from lm_keras.serving.export.completions import text_scorer
from lm_keras.serving.export.signatures import Served, bounded, example_texts, signature, utf8
from lm_keras.tasks.inputs import model_of_parts, output_of, renamed
from lm_keras.tasks.ngram import NGramLM
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_number
from lm_keras.utils.keras_internals import source_of

if TYPE_CHECKING:
    from lm_keras.tasks.rescoring_metrics import RescoringReport
    from lm_keras.tasks.rescoring_weights import FoundWeights

TIE = 1e-4  # scores that are nearer to the best one are as good: the recognizer's order decides
MAX_TEXT_BYTES = 2**14  # of all hypotheses of an utterance
MOST = 1e6  # of a weight
# A score in decimals that both Python and a graph read, and that no float64 overflows at.
NUMBER = r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,2})?"
OUTPUTS = {"best": "text", "score": "score", "place": "place"}  # of the signature: the field of a Rescoring


@register_text_model
class Rescorer(TextModel):
    """The best hypothesis of each n-best list by a log-linear mixture; an export has the signature `rescore`.

    The score of a hypothesis h of a list is (Ney 1990; Och & Ney 2002, eq. 5)

        weight_recognizer * s(h) + sum over j of weights_lm[j] * log p_j(h) + weight_length * words(h)

    with s(h) the recognizer's score, p_j(h) the probability of h and the end mark under the language model j, in
    nats, and words(h) the number of words between white space. Where a list comes without scores, s(h) is
    -ln(1 + place), place = 0, 1, ... in the recognizer's order: 0, -0.69, -1.10, ... That is another scale: weights
    are good for lists of the kind that they were fitted on. Where several are within 0.0001 of the best score, the
    first of them in the recognizer's order is taken.

    `Rescorer.of(language_models)` makes one, `Rescorer.train(lists, language_models)` one with weights that fit.

    Args:
        model: A functional `keras.Model` whose layers are the models of the language models, as `Rescorer.of` makes
            it.
        tokenizers: The tokenizer of each.
        weight_recognizer: See above.
        weights_lm: A weight for each language model.
        weight_length: See above.
        prompts: The text before every hypothesis for each language model (`LanguageModel.with_prompt`), "" for none.

    Raises:
        InputError: The parts do not fit each other, or a weight is no number from -1,000,000 to 1,000,000.
    """

    def __init__(
        self,
        model: keras.Model,
        *tokenizers: Tokenizer,
        weight_recognizer: float = 1.0,
        weights_lm: Sequence[float],
        weight_length: float = 0.0,
        prompts: Sequence[str] | None = None,
    ):
        prompts = [""] * len(tokenizers) if prompts is None else list(prompts)
        models = _models(model, len(tokenizers))
        if len(prompts) != len(models):
            raise InputError(f"there are {len(models)} language models and {len(prompts)} prompts; give one for each")
        self.language_models = list(map(_language_model, models, tokenizers, prompts))
        weights_lm = [weights_lm] if isinstance(weights_lm, (int, float)) else list(weights_lm)
        if len(weights_lm) != len(models):
            told = f"{len(models)} language models and {len(weights_lm)} weights"
            raise InputError(f"there are {told}; give weights_lm a number for each")
        named = {"weight_recognizer": weight_recognizer, "weight_length": weight_length}
        named |= {f"weights_lm[{j}]": weight for j, weight in enumerate(weights_lm)}
        checked = {name: check_number(name, weight, least=-MOST, most=MOST) for name, weight in named.items()}
        self.weight_recognizer, self.weight_length, *self.weights_lm = map(float, checked.values())
        options = {"weight_recognizer": self.weight_recognizer, "weights_lm": self.weights_lm}
        options |= {"weight_length": self.weight_length, "prompts": prompts}
        super().__init__(model, {f"tokenizer_{j}": one for j, one in enumerate(tokenizers)}, options)

    @classmethod
    def of(
        cls,
        language_models: LanguageModel | NGramLM | Sequence[LanguageModel | NGramLM],
        *,
        weight_recognizer: float = 1.0,
        weights_lm: float | Sequence[float] | None = None,
        weight_length: float = 0.0,
    ) -> Rescorer:
        """Makes a rescorer of language models.

        Args:
            language_models: A `LanguageModel` or an `NGramLM`, or several of them; a prompt of text stands before
                every hypothesis.
            weight_recognizer: The weight of the recognizer's score.
            weights_lm: The weight of each language model; None: 0.5 / their number, which is a start. `fit_weights`
                finds those that suit the recognizer.
            weight_length: What each word adds.

        Returns:
            The Rescorer.

        Raises:
            InputError: For none, something else, a language model without a tokenizer or with a learned prompt.

        Example:

        ```python
        rescorer = lk.tasks.Rescorer.of(lm, weights_lm=0.3)
        (best,) = rescorer.rescore(["wreck a nice beach", "recognize speech"], [-2.1, -2.3])
        print(best.text, best.place, best.scores)
        ```
        """
        several = isinstance(language_models, Iterable) and not isinstance(language_models, (str, bytes))
        parts = list(language_models) if several else [language_models]
        for part in parts:
            if not isinstance(part, (LanguageModel, NGramLM)):
                raise InputError(f"a language model is a {type(part).__name__}; give a LanguageModel or an NGramLM")
            if isinstance(part, LanguageModel) and (part.tokenizer is None or part.learned is not None):
                has = "no tokenizer" if part.tokenizer is None else "a learned prompt"
                raise InputError(
                    f"a language model has {has}; give one with a tokenizer and a prompt of text or none"
                )
        if not parts:
            raise InputError("there is no language model; give at least one")
        names, models = set(), {}
        for j, part in enumerate(parts):
            model = part.model if part.model.name not in names else renamed(part.model, f"{part.model.name}_{j}")
            names.add(model.name)
            models[f"lm_{j}"] = model
        return cls(
            model_of_parts(models, "rescorer"),
            *(part.tokenizer for part in parts),
            weight_recognizer=weight_recognizer,
            weights_lm=[0.5 / len(parts)] * len(parts) if weights_lm is None else weights_lm,
            weight_length=weight_length,
            prompts=[getattr(part, "prompt", "") for part in parts],
        )

    @classmethod
    def train(
        cls,
        lists: Iterable[Hypotheses],
        language_models: LanguageModel | NGramLM | Sequence[LanguageModel | NGramLM],
        **options: Any,
    ) -> Rescorer:
        """Makes a rescorer whose weights have the fewest word errors on development lists.

        Args:
            lists: `lk.data.Hypotheses` with references, as `lk.data.read_hypotheses` returns them: others than the
                language models were trained on, and others than are measured by.
            language_models: As of `of`.
            **options: Arguments of `fit_weights`.

        Returns:
            The Rescorer.

        Raises:
            InputError: As `of` and `fit_weights`.

        Example:

        ```python
        rescorer = lk.tasks.Rescorer.train(lk.data.read_hypotheses("dev.jsonl"), [ngrams, lstm])
        print(rescorer.weights, rescorer.evaluate(lk.data.read_hypotheses("test.jsonl")))
        ```
        """
        made = cls.of(language_models)
        return made.with_weights(**made.fit_weights(lists, **options).weights)

    @property
    def weights(self) -> dict[str, Any]:
        """The three weights by name, as `with_weights` takes them."""
        names = ("weight_recognizer", "weights_lm", "weight_length")
        return {name: self.options[name] for name in names}

    def with_weights(self, **weights: float | Sequence[float]) -> Rescorer:
        """Returns this rescorer with other weights; those that are not given stay.

        Args:
            **weights: `weight_recognizer`, `weights_lm`, `weight_length`.

        Raises:
            InputError: For other names, and for what is no such number.
        """
        if unknown := [name for name in weights if name not in self.weights]:
            raise InputError(f"there is no weight {unknown[0]!r}; give {', '.join(self.weights)}")
        made = type(self)(self.model, *self.tokenizers.values(), **self.options | weights)
        made.language_models = self.language_models  # with what TensorFlow has traced of them
        return made

    # === Answers ===
    def rescore(
        self,
        hypotheses: Sequence[str] | Sequence[Sequence[str]] | Sequence[Hypotheses],
        scores: Sequence[float] | Sequence[Sequence[float]] | None = None,
    ) -> list[Rescoring]:
        """Finds the best hypothesis of each list.

        Args:
            hypotheses: Those of an utterance, the recognizer's best first; or a list of such lists; or
                `lk.data.Hypotheses`, which have their scores. An empty list is one of the empty text. The character
                U+001E, which separates hypotheses in an export, is taken out of them.
            scores: The recognizer's, of the same form; None: there are none, the places count.

        Returns:
            For each utterance a `Rescoring(text, score, place, scores)`.

        Raises:
            InputError: For what is no such list, and for scores that are not one finite number for each hypothesis.
        """
        rows = (
            list(hypotheses) if isinstance(hypotheses, Iterable) and not isinstance(hypotheses, str) else hypotheses
        )
        if isinstance(rows, list) and rows and isinstance(rows[0], Hypotheses):
            if scores is not None:
                raise InputError("lk.data.Hypotheses have their scores; leave scores out")
            records = checked_lists(rows, references=False)
            rows, scores = [one.hypotheses for one in records], [one.scores for one in records]
        lists = [(texts or [""], given if texts else []) for texts, given in nbest_lists(rows, scores)]
        found = []
        for (texts, _), features in zip(lists, self._features(lists), strict=True):
            totals = features @ self._vector()
            place = int(np.argmax(totals >= totals.max() - TIE))
            found.append(Rescoring(texts[place], float(totals[place]), place, tuple(totals.tolist())))
        return found

    def features(self, lists: Iterable[Hypotheses]) -> list[np.ndarray]:
        """Returns what the weights are multiplied by, of each list: float64 [number of hypotheses, 2 + J].

        The columns are the recognizer's score, log p of each language model, and the number of words.

        Args:
            lists: `lk.data.Hypotheses`.

        Raises:
            InputError: For what is no such record.
        """
        records = checked_lists(lists, references=False)
        given = [one.hypotheses for one in records], [one.scores for one in records]
        return self._features(nbest_lists(*given))

    def _features(self, lists):
        """Of (texts, scores) of each utterance: see `features`. Equal texts are scored once."""
        texts = list(dict.fromkeys(text for some, _ in lists for text in some))
        columns = [[one.log_prob for one in part.score(texts)] for part in self.language_models] if texts else []
        log_probs = dict(zip(texts, zip(*columns, strict=True), strict=True))
        return [
            np.array(
                [
                    [score, *log_probs[text], num_words(text)]
                    for text, score in zip(some, scores or of_places(len(some)), strict=True)
                ],
                "float64",
            ).reshape(len(some), -1)
            for some, scores in lists
        ]

    def _vector(self):
        return np.array([self.weight_recognizer, *self.weights_lm, self.weight_length])

    def fit_weights(self, lists: Iterable[Hypotheses], **options: Any) -> FoundWeights:
        """Returns the weights with the fewest word errors on development lists; this rescorer stays.

        The recognizer's weight stays 1, as only ratios matter. The others are searched one after the other, each on
        a grid, until no error less is found (`lk.tasks.rescoring_weights.search` says which grid).

        Args:
            lists: `lk.data.Hypotheses` with references.
            **options: `rounds`, how often all weights are gone through at most.

        Returns:
            A `FoundWeights(weights, wer, path)`; `path` has all that was tried, for a plot.

        Raises:
            InputError: For no list, and one without a reference.
        """
        from lm_keras.tasks.rescoring_weights import search

        lists = checked_lists(lists)
        return search(lists, self.features(lists), **options)

    def evaluate(self, lists: Iterable[Hypotheses], *, level: float = 0.95, seed: int = 0) -> RescoringReport:
        """Measures the word error rate of the recognizer's first hypotheses, of the best ones, and of the oracle.

        Args:
            lists: `lk.data.Hypotheses` with references.
            level: Of the intervals.
            seed: Of the bootstrap.

        Returns:
            A `lk.tasks.RescoringReport`; `print` shows it as a table.

        Raises:
            InputError: For no list, and one without a reference.
        """
        from lm_keras.tasks.rescoring_metrics import rescoring_report

        lists = checked_lists(lists)
        return rescoring_report(lists, [one.place for one in self.rescore(lists)], level=level, seed=seed)

    # === Export ===
    def signatures(self) -> Served:
        """What `export` writes: `rescore`, hypotheses, scores -> best, score, place.

        The hypotheses of an utterance are one string, separated by U+001E, and so are its scores, decimals such as
        -1.25e-3. Scores that are not one such number for each hypothesis count as none: then the places count.
        """
        scorers = [
            bounded(signature(_scorer(part), ("text", tf.string)), MAX_TEXT_BYTES) for part in self.language_models
        ]

        def answer(name, inputs):
            rows = [parted(*row) for row in zip(inputs["hypotheses"], inputs["scores"], strict=True)]
            found = self.rescore(*map(list, zip(*rows, strict=True)))
            return {output: [getattr(one, field) for one in found] for output, field in OUTPUTS.items()}

        texts = example_texts(self.language_models[0].tokenizer)
        lists = [texts, [*texts[:2], texts[0]], texts[::-1], texts[:1], []]
        hypotheses, scores = joined_lists(lists, [[-4.0, -5.5, -6.0, -6.25], [], [-0.1, -0.2, -0.3, -0.4], [], []])
        return Served(
            signatures={
                "rescore": signature(
                    functools.partial(self._tf_rescore, scorers), ("hypotheses", tf.string), ("scores", tf.string)
                )
            },
            examples={"rescore": {"hypotheses": hypotheses, "scores": scores}},
            answer=answer,
            facts=self.weights,
            max_text_bytes=MAX_TEXT_BYTES,
        )

    def _tf_rescore(self, scorers, hypotheses, scores):
        texts = tf.strings.split(utf8(hypotheses), HYPOTHESIS)  # of "" it is one empty text
        unique, which = tf.unique(texts.flat_values)
        columns = [tf.gather(scorer(unique)["log_prob"], which) for scorer in scorers]
        columns.append(tf.cast(tf.strings.split(texts.flat_values).row_lengths(), tf.float32))
        dense = [texts.with_flat_values(tf.cast(column, tf.float64)).to_tensor(0.0) for column in columns]
        there = tf.sequence_mask(texts.row_lengths())
        dense = [tf_scores(scores, there), *dense]
        total = tf.add_n([weight * part for weight, part in zip(self._vector(), dense, strict=True)])
        total = tf.where(there, total, tf.constant(-np.inf, tf.float64))
        best = tf.reduce_max(total, -1, keepdims=True)
        place = tf.argmax(tf.cast(total >= best - TIE, tf.int32), -1, tf.int32)
        return {
            "best": tf.gather(texts.to_tensor(""), place, batch_dims=1),
            "score": tf.cast(tf.gather(total, place, batch_dims=1), tf.float32),
            "place": place,
        }


def num_words(text: str) -> int:
    """The number of words between white space of ASCII."""
    return len(text.encode().split())


def of_places(count: int) -> list[float]:
    """What stands for the scores of a list without any: -ln(1 + place)."""
    return (-np.log1p(np.arange(count))).tolist()


def parted(hypotheses: str, scores: str) -> tuple[list[str], list[float]]:
    """What `Rescorer.rescore` takes of an utterance, of the two strings that an export takes of it."""
    texts, numbers = hypotheses.split(HYPOTHESIS), scores.split(HYPOTHESIS)
    read = len(numbers) == len(texts) and all(re.fullmatch(NUMBER, number) for number in numbers)
    return texts, list(map(float, numbers)) if read else []


def tf_scores(scores: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    """The recognizer's scores in the graph, or what stands for them.

    Args:
        scores: Strings [B], see `Rescorer.signatures`.
        there: bool [B, K], whether an utterance has so many hypotheses.

    Returns:
        float64 [B, K].
    """
    parts = tf.strings.split(scores, HYPOTHESIS)
    number = tf.strings.regex_full_match(parts.flat_values, NUMBER)
    values = tf.strings.to_number(tf.where(number, parts.flat_values, "0"), tf.float64)
    values = parts.with_flat_values(tf.clip_by_value(values, -LARGEST, LARGEST)).to_tensor(0.0)
    width = tf.shape(there)[1]
    values = tf.pad(values[:, :width], [[0, 0], [0, tf.maximum(width - tf.shape(values)[1], 0)]])
    as_many = parts.row_lengths() == tf.reduce_sum(tf.cast(there, tf.int64), -1)
    numbers = tf.reduce_all(parts.with_flat_values(number), -1)
    places = -tf.math.log1p(tf.cast(tf.range(width), tf.float64))
    return tf.where((as_many & numbers)[:, None], values, places)


def _scorer(part: LanguageModel | NGramLM) -> Callable[[tf.Tensor], Mapping[str, tf.Tensor]]:
    return part.tf_score if isinstance(part, NGramLM) else text_scorer(part)


def _models(model, count):
    """The models of the language models, layers of one model, in their order."""
    output = output_of(model)
    names = [f"lm_{j}" for j in range(count)]
    if not count or not isinstance(output, dict) or set(output) != set(names):
        raise InputError(
            f"{model.name} does not hold {count} language models; Rescorer.of(language_models) makes one that does"
        )
    return [source_of(output[name]) for name in names]


def _language_model(model, tokenizer, prompt):
    """A LanguageModel or an NGramLM of a part."""
    if not isinstance(model, CausalLM):
        return NGramLM(model, tokenizer)
    made = LanguageModel(model, tokenizer)
    return made.with_prompt(prompt) if prompt else made
