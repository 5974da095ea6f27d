"""`ConditionalLM`: a language model that is given the context of a text, and speaks without one too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
import tensorflow as tf

from lm_keras.contexts.bayes import counts_of, log_posteriors, log_prior_of
from lm_keras.contexts.conditional_export import MOST_GUIDANCE, served
from lm_keras.contexts.personalization import with_context
from lm_keras.contexts.table import ContextTable, context_table
from lm_keras.contexts.writer import ContextWriter
from lm_keras.data.context_names import checked_names, place_of
from lm_keras.errors import InputError, damaged, naming
from lm_keras.generation.config import GenerationConfig, GenerationOptions, check_taken, merged
from lm_keras.generation.generate import Generation, generate, stop_ids, stream
from lm_keras.generation.scoring import Score, score
from lm_keras.generation.writer import prompt_ids
from lm_keras.language_model import LanguageModel
from lm_keras.models import load_model
from lm_keras.models.conditional import WAYS, ConditionalModel, ConditionalTraining
from lm_keras.serving.client.results import Classification
from lm_keras.serving.export.signatures import Served
from lm_keras.tasks.explain import explain
from lm_keras.tasks.explanation import Explanation
from lm_keras.text.tokenizers.base import Tokenizer, load_tokenizer
from lm_keras.text_model import BAD_CONTENT, MODEL, TextModel, register_text_model
from lm_keras.utils.checks import check_choice, check_number, check_seed, check_texts
from lm_keras.utils.functions import TracedFunctions
from lm_keras.utils.saved_kinds import TASK

if TYPE_CHECKING:
    from typing_extensions import Unpack

Context = str | None
Prior = str | Mapping[str, float] | None


@register_text_model
class ConditionalLM(TextModel):
    """A language model that is given the context of a text: its domain, its speaker, its register, its source.

    A context is a vector that is learned together with the language model (CTRL, Keskar et al. 2019; document 003
    calls it context learning). The layers are those of the language model, whatever its family; training changes its
    weights. In training the context of a row is dropped with a probability, so that the model also speaks without
    one; from both come guidance (Ho & Salimans 2022; Sanchez et al. 2023), and from all of them a classifier.

    Args:
        language_model: A LanguageModel without a prompt, of any family, trained or not.
        contexts: The names of the contexts; or a mapping of them to their texts, or to numbers of texts, whose shares
            are the prior of `classify`.
        by: "token": the context's vector is read in the place of a word, before the begin mark. "vector": it is
            added to the vector of every word, which a model of a short memory does not forget.
        drop: The probability that the context of a row is dropped in training.
        prior: The prior of `classify`: a mapping of names to shares, or "uniform". None: by the texts of `contexts`
            where it is a mapping, else uniform.
        seed: Of what is drawn at random.

    Raises:
        InputError: The language model has a prompt, no tokenizer or contexts already; names are not different
            strings; a prior that is none.

    Example:

    ```python
    texts = lk.data.texts_by_context("ag-news")
    conditional = lk.contexts.ConditionalLM(lm, texts, by="vector")
    lk.fit(conditional, lk.data.context_windows(texts, lm.tokenizer, length=64, batch_size=16))
    conditional.generate("The", context="Sports", guidance=1.0)
    conditional.classify(["Oil prices rose again."])
    lk.export(conditional, "saved_models/news")
    ```
    """

    def __init__(
        self,
        language_model: LanguageModel,
        contexts: Sequence[str] | Mapping[str, Sequence[str] | int],
        by: str = "token",
        *,
        drop: float = 0.1,
        prior: Prior = None,
        seed: int = 0,
    ):
        if not isinstance(language_model, LanguageModel):
            raise InputError(f"contexts are learned on a LanguageModel, not a {type(language_model).__name__}")
        check_choice("by", by, WAYS)
        names = checked_names(contexts)
        if prior is None and isinstance(contexts, Mapping):
            prior = counts_of(contexts)
        language_model.ids_before()  # which asks for a tokenizer
        model = ConditionalModel(language_model.training_model, len(names), by)
        shares = np.exp(log_prior_of(prior, names)).tolist()
        self._begin(model, language_model.tokenizer, names, drop, shares, seed)
        _start(model, language_model.tokenizer, self.options["seed"])

    def _begin(self, model, tokenizer, names, drop, shares, seed):
        check_number("drop", drop, least=0, most=1)
        log_prior = log_prior_of(dict(zip(names, shares, strict=True)), names)
        options = {"contexts": names, "by": model.by, "drop": float(drop), "prior": shares, "seed": check_seed(seed)}
        super().__init__(model, {"tokenizer": tokenizer}, options)
        self.tokenizer, self.contexts, self._log_prior = tokenizer, names, log_prior
        self._writer, self._training = ContextWriter(model, tokenizer), TracedFunctions()
        self._language_model = LanguageModel(model.inner, tokenizer)  # which compares their vocabularies

    # === The language model, and its training ===
    @property
    def language_model(self) -> LanguageModel:
        """The language model without contexts, which shares its weights."""
        return self._language_model

    @property
    def prior(self) -> dict[str, float]:
        """The share of each context that `classify` takes for its prior."""
        return dict(zip(self.contexts, self.options["prior"], strict=True))

    @property
    def log_prior(self) -> np.ndarray:
        """The logarithms of `prior`, float64 [C], in the order of `contexts`."""
        return self._log_prior.copy()

    @property
    def training_model(self) -> ConditionalTraining:
        """The `keras.Model` {"ids" [B, T], "context" [B]} -> logits [B, T, V], which `lk.fit` trains.

        Its own `compile` and `fit` do too. `lk.data.context_windows` makes its data; a context is its place in
        `contexts`, and -1 is none.
        """
        model, options = self.model, self.options
        return self._training.get(model, "training", lambda: model.training_model(options["drop"], options["seed"]))

    # === Answers ===
    def score(
        self, texts: str | Iterable[str], context: Context | Sequence[Context] = None, *, end: bool = True
    ) -> list[Score]:
        """Scores each text in a context: log p(text | context).

        Args:
            texts: A string or several.
            context: The name of a context, None for none, or one of these for each text.
            end: Whether the end mark counts as a token.

        Returns:
            A Score for each text.

        Raises:
            InputError: For an unknown context.
        """
        texts = check_texts(texts)
        return self._by_context(texts, context, lambda writer, some: score(writer, some, True, end))

    def generate(
        self,
        prompts: str | Iterable[str],
        config: GenerationConfig | None = None,
        *,
        context: Context | Sequence[Context] = None,
        guidance: float = 0.0,
        **options: Unpack[GenerationOptions],
    ) -> list[Generation]:
        """Continues each prompt in a context.

        With guidance g a token is chosen by log p(. | c) + g (log p(. | c) - log p(.)), away from what the model
        would say without the context. The log-probabilities of a Generation are those of log p(. | c).

        Args:
            prompts: A string or several.
            config: The options; None: the defaults.
            context: The name of a context, None for none, or one of these for each prompt.
            guidance: g, 0 to 1000; 0 changes nothing. It goes with sampling and greedy text.
            **options: In place of the config's; see `LanguageModel.generate`.

        Returns:
            A Generation for each prompt, `num_return_sequences` in a row where that is more than 1.

        Raises:
            InputError: For an unknown context, an option that cannot be, and guidance of a search.
        """
        prompts, config = check_texts(prompts), merged(config, options)
        guidance = _checked_guidance(guidance, config)
        several = config.num_return_sequences
        return self._by_context(prompts, context, lambda w, some: generate(w, some, config), guidance, several)

    def stream(
        self,
        prompt: str,
        config: GenerationConfig | None = None,
        *,
        context: Context = None,
        guidance: float = 0.0,
        **options: Unpack[GenerationOptions],
    ) -> Iterator[str]:
        """Yields the text of `generate(prompt, ...)` piece by piece.

        Args:
            prompt: A string.
            config: The options, without those that are about a whole text.
            context: The name of a context, or None.
            guidance: As in `generate`.
            **options: In place of the config's.

        Returns:
            An iterator of strings that are not empty.

        Raises:
            InputError: As `generate`, at the call.
        """
        config = merged(config, options)
        check_taken(config, "stream")
        (prompt,) = check_texts([prompt])
        writer = self._writer.in_context(place_of(context, self.contexts), _checked_guidance(guidance, config))
        stop_ids(self.tokenizer, config.stop_tokens)
        prompt_ids(writer, prompt, config.begin)
        return stream(writer, prompt, config)

    def log_posteriors(self, texts: str | Iterable[str], prior: Prior = None) -> np.ndarray:
        """Says log p(context | text) by Bayes' rule, p(text | context) p(context) / p(text).

        Args:
            texts: A string or several.
            prior: p(context): a mapping of names to shares, "uniform", or None for `self.prior`.

        Returns:
            float64 [N, C].

        Raises:
            InputError: For a prior that is none.
        """
        texts = check_texts(texts)
        log_prior = self._log_prior if prior is None else log_prior_of(prior, self.contexts)
        found = np.zeros([len(texts), len(self.contexts)])
        for i, name in enumerate(self.contexts):
            found[:, i] = [one.log_prob for one in self.score(texts, name)]
        return log_posteriors(found, log_prior)

    def classify(self, texts: str | Iterable[str], prior: Prior = None) -> list[Classification]:
        """Says of which context each text is, by Bayes' rule: a generative classifier.

        Its probabilities lie near 0 and 1 for long texts, since the model takes each token for news of its own.

        Args:
            texts: A string or several.
            prior: As in `log_posteriors`, which has the logarithms.

        Returns:
            A Classification of each text; `scores` are the probabilities of the contexts.
        """
        found = []
        for row in self.log_posteriors(texts, prior):
            best, scores = int(row.argmax()), np.exp(row).tolist()
            found.append(Classification(self.contexts[best], scores[best], dict(zip(self.contexts, scores))))  # noqa: B905
        return found

    @property
    def classes(self) -> list[str]:
        """The contexts, as those that `classify` tells apart."""
        return self.contexts

    def probabilities(self, texts: str | Iterable[str]) -> np.ndarray:
        """Returns the probability of each context for each text, as `classify`: float64 [N, C]."""
        return np.exp(self.log_posteriors(texts))

    def explain(self, text: str, target: str | int | None = None) -> Explanation:
        """Says how much each word speaks for a context, by leave-one-out: see `lk.tasks.explain`."""
        return explain(self, text, target=target)

    def perplexities(
        self, texts_by_context: Mapping[str, Sequence[str]], *, given: Sequence[Context] | None = None
    ) -> ContextTable:
        """Measures the texts of each context in every context, and in none: document 003's evaluation in each.

        Args:
            texts_by_context: `{name: texts}`; a name that the model does not know is a column too.
            given: The contexts to give the model; None: all, and none.

        Returns:
            A `ContextTable`; `print` shows it and `plot()` draws it.

        Raises:
            InputError: For an unknown context in `given`, and a name without a text.
        """
        given = [*self.contexts, None] if given is None else list(given)
        return context_table(lambda texts, context: self.score(texts, context), texts_by_context, given)

    def learn_context(self, name: str, texts: str | Iterable[str], *, spread: float = 1.0) -> ConditionalLM:
        """Learns one more context from a few texts, such as a person from five: personalization.

        Its vector alone is learned, the language model and the other contexts stay as they are. It is the likeliest
        one under a normal prior around the known vectors (maximum a posteriori): few texts do not carry it far.

        Args:
            name: Of the context.
            texts: A string or several, at most some dozens: all of them are read at once.
            spread: How far from the mean of the known vectors it may be expected, in their own standard deviation.
                Less: more like them; more: as the texts alone would have it.

        Returns:
            A `ConditionalLM` that knows the context too and shares the language model's weights. Its prior is this
            one's, with the mean share for the new context.

        Raises:
            InputError: The name is known, or there is no text.
        """
        names, texts = checked_names([*self.contexts, name]), check_texts(texts)
        model = with_context(self, texts, spread)
        count, shares = len(self.contexts), self.options["prior"]
        shares = [share * count / (count + 1) for share in shares] + [1 / (count + 1)]
        made = type(self).__new__(type(self))
        made._begin(model, self.tokenizer, names, self.options["drop"], shares, self.options["seed"])
        return made

    def places(self, context: Context | Sequence[Context], count: int) -> list[int]:
        """The place in `contexts` of the context of each of `count` texts, -1 where it has none.

        Raises:
            InputError: For an unknown context, and for another number of them than of texts.
        """
        if isinstance(context, str) or not isinstance(context, Iterable):
            return [place_of(context, self.contexts)] * count
        found = [place_of(one, self.contexts) for one in context]
        if len(found) != count:
            raise InputError(f"there are {count} texts and {len(found)} contexts; give one for all, or one for each")
        return found

    def _by_context(self, texts, context, answer: Callable, guidance: float = 0.0, several: int = 1) -> list:
        """What `answer(writer, texts)` gives, `several` for each text, for those of one context after the other."""
        places, results = self.places(context, len(texts)), [None] * (several * len(texts))
        for place in dict.fromkeys(places):
            which = [i for i, other in enumerate(places) if other == place]
            made = answer(self._writer.in_context(place, guidance), [texts[i] for i in which])
            for n, i in enumerate(which):
                results[several * i : several * (i + 1)] = made[several * n : several * (n + 1)]
        return results

    # === Saving and serving ===
    def signatures(self, *, max_new_tokens_limit: int = 256) -> Served:
        """What `export` writes: `score`, `generate` and `sample` of a text and a context, and `classify`.

        A context that the model does not know counts as none.

        Args:
            max_new_tokens_limit: The most new tokens of a text.

        Returns:
            The Served.
        """
        return served(self, max_new_tokens_limit)

    def with_model(self, model: ConditionalModel) -> Self:
        """Returns this text model around another `ConditionalModel` of as many contexts."""
        made = type(self).__new__(type(self))
        drop, shares, seed = (self.options[name] for name in ("drop", "prior", "seed"))
        made._begin(model, self.tokenizer, self.contexts, drop, shares, seed)
        return made

    def _check_options(self) -> None:
        """The options are whole: `_from_folder` reads all of them."""

    @classmethod
    def _from_folder(cls, folder: Path | os.PathLike, options: dict[str, Any], tokenizers: list[str]) -> Self:
        with damaged(folder / TASK, BAD_CONTENT):
            (tokenizer,) = [load_tokenizer(folder / name) for name in tokenizers]
        model = load_model(folder / MODEL)
        with naming(folder), damaged(TASK, BAD_CONTENT):
            return cls._of_file(model, tokenizer, **options)

    @classmethod
    def _of_file(cls, model, tokenizer: Tokenizer, contexts, by, drop, prior, seed) -> Self:
        names = checked_names(contexts)
        if not isinstance(model, ConditionalModel) or model.by != by or model.num_contexts != len(names):
            raise InputError(f"the model does not know these {len(names)} contexts; save both again")
        made = cls.__new__(cls)
        made._begin(model, tokenizer, names, drop, prior, seed)
        return made


def _checked_guidance(guidance, config):
    guidance = check_number("guidance", guidance, least=0, most=MOST_GUIDANCE)
    if guidance and (config.num_beams > 1 or config.penalty_alpha > 0):
        raise InputError("guidance goes with sampling and greedy text, not with a search; leave one of them out")
    return guidance


def _start(model, tokenizer, seed):
    """By "token", the table starts from the vectors of words that are drawn; by "vector" from 0."""
    if model.by == "vector":
        return
    marks = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, *tokenizer.end_ids}
    ordinary = [i for i in range(tokenizer.vocab_size) if i not in marks] or [tokenizer.bos_id]
    ids = np.random.default_rng(seed).choice(ordinary, model.num_contexts + 1)
    vectors = model.inner.word_vectors_model(tf.constant(ids[None], tf.int32))[0]
    model.table.assign(keras.ops.cast(vectors, "float32"))
