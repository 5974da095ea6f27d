"""`PromptClassifier`: classes of texts, told by a language model or a masked model with a prompt, without a head."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError, damaged, naming
from lm_keras.generation.prompt_cache import facts_of_prompt
from lm_keras.language_model import LanguageModel
from lm_keras.models import load_model
from lm_keras.models.folder import staged
from lm_keras.prompting.calibration import (
    CALIBRATIONS,
    NORMALIZATIONS,
    calibrated,
    class_scores,
    content_free_prior,
    log_prior,
)
from lm_keras.prompting.demonstrations import (
    Demonstration,
    Demonstrations,
    FixedDemonstrations,
    check_example,
    rows_of,
)
from lm_keras.prompting.examples import SELECTIONS, select_examples
from lm_keras.prompting.label_scores import CausalLabels, MaskedLabels
from lm_keras.prompting.nearest import NearestDemonstrations
from lm_keras.prompting.template import Template
from lm_keras.prompting.verbalizer import Verbalizer
from lm_keras.serving.client.results import Classification
from lm_keras.serving.export.signatures import Served, example_texts, signature
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.text.tokenizers.base import Tokenizer, load_tokenizer
from lm_keras.text_model import BAD_CONTENT, MODEL, OTHERS, TextModel, register_text_model
from lm_keras.utils.atomic_files import claimed, path_of, write_json
from lm_keras.utils.checks import check_choice, check_sizes
from lm_keras.utils.saved_kinds import TASK, check_place

LANGUAGE_MODEL, EMBEDDER = "language_model", "embedder"  # the folders of them within that of a classifier


@register_text_model
class PromptClassifier(TextModel):
    """The class of a text, told by the label word that a model finds likeliest in a template.

    A causal model tells log p(word | template with the text), a masked one log p(word) at `{mask}`. The score of a
    class is the log of the sum over its words; of several tokens a word has the sum of their log-probabilities, or
    what `normalize` says. A row's answer depends on its text alone, also with calibration.

    What stands before the text, instruction and examples, is read once and kept until the weights change; in an
    export its state is a constant.

    Args:
        model: A LanguageModel, whose prompt stands before the template; or a masked `keras.Model`, such as
            `lk.models.bert_pretrainer` makes.
        template: A Template, or its text. A text that is too long for the model is cut, never the template.
        verbalizer: A Verbalizer, or its `{class: words}`.
        calibration: None; "contextual": the probabilities of each class are divided by those that texts without
            content have ("N/A", an empty one, "[MASK]": Zhao et al. 2021); "batch": by their mean over some texts
            without labels, which `calibrate` is given once (Zhou et al. 2023).
        normalize: None; "tokens": the mean over the tokens of a word in place of the sum; "unconditional": less the
            word's log-probability in the template without a text.
        tokenizer: That of a masked model; None: its own, if it has one.
        begin: Whether the begin mark stands before the prompt of a causal model; None: unless the template begins
            with a special token itself, as that of a chat does.
        demonstrations: Examples before each text, which `with_examples` gives.

    Raises:
        InputError: The parts do not fit each other; the template and its examples leave no room for a text.

    Example:

    ```python
    reviews = PromptClassifier(
        lm, "Review: {text}\\nSentiment:", {"pos": [" positive", " great"], "neg": [" negative"]},
        calibration="contextual",
    )
    reviews.classify("I laughed all along.")
    lk.export(reviews, "saved_models/reviews")
    ```
    """

    def __init__(
        self,
        model: LanguageModel | keras.Model,
        template: Template | str,
        verbalizer: Verbalizer | Mapping[str, str | Sequence[str]],
        calibration: str | None = None,
        normalize: str | None = None,
        *,
        tokenizer: Tokenizer | None = None,
        begin: bool | None = None,
        demonstrations: Demonstrations | None = None,
    ):
        check_choice("calibration", calibration, CALIBRATIONS)
        check_choice("normalize", normalize, NORMALIZATIONS)
        check_choice("begin", begin, (None, True, False))
        template = template if isinstance(template, Template) else Template(template)
        verbalizer = verbalizer if isinstance(verbalizer, Verbalizer) else Verbalizer(verbalizer)
        self.language_model = model if isinstance(model, LanguageModel) else None
        self.template, self.verbalizer, self.classes = template, verbalizer, verbalizer.classes
        self.calibration, self.normalize, self.demonstrations = calibration, normalize, demonstrations
        self.tokenizer = tokenizer = _tokenizer_of(model, tokenizer)
        self._begin = begin
        options = {
            "template": template.get_config(),
            "verbalizer": verbalizer.get_config(),
            "calibration": calibration,
            "normalize": normalize,
            "begin": begin,
            "demonstrations": None if demonstrations is None else demonstrations.get_config(),
        }
        super().__init__(model.model if self.language_model else model, {"tokenizer": tokenizer}, options)
        if not template.fields:
            raise InputError(f"{template!r} has no field; give one for the text, such as 'Review: {{text}}'")
        self._labels = self._labels_of(model, verbalizer.tokens(tokenizer))
        self._alone = self._labels.encoder(template.pieces(tokenizer))
        self._encoder = (
            self._encoder_with(demonstrations.static) if demonstrations and demonstrations.static else None
        )
        if demonstrations is None:
            self._encoder = self._alone
        self._batch_prior: np.ndarray | None = None

    def _labels_of(self, model, words):
        if self.language_model is None:
            if self.template.num_masks != 1:
                raise InputError(
                    f"{self.template!r} has {self.template.num_masks} {{mask}}; a masked model needs one, where it "
                    "guesses the label word"
                )
            return MaskedLabels(model, self.tokenizer, words)
        if self.template.num_masks:
            raise InputError(
                f"{self.template!r} has a {{mask}}, which a causal model does not know: leave it out, the label word "
                "follows the template"
            )
        begin = self._begin
        if begin is None:
            begin = not isinstance(self.template.pieces(self.tokenizer)[0], int)
        return CausalLabels(model, words, begin)

    def _encoder_with(self, examples: Sequence[Demonstration]):
        """The encoder of the template after examples."""
        for example in examples:
            check_example(example, self.template.fields, self.classes)
        shown = [(example.fields, self.verbalizer.words[example.label][0]) for example in examples]
        return self._labels.encoder(self.template.pieces(self.tokenizer, shown))

    def _fitting(self, examples: Sequence[Demonstration]):
        """The encoder of the template after a text's own examples, without the first of them if there is no room."""
        while examples:
            try:
                return self._encoder_with(examples)
            except InputError:
                examples = examples[1:]
        return self._alone

    # === Answers ===
    def classify(self, texts: str | Sequence[str]) -> list[Classification]:
        """Classifies texts.

        Args:
            texts: A string or several; for a template of several fields a dict of them, or several.

        Returns:
            A Classification of each text.

        Raises:
            InputError: For what is no text, and for calibration="batch" before `calibrate`.
        """
        found = []
        for row in self.probabilities(texts).tolist():
            best = int(np.argmax(row))
            found.append(Classification(self.classes[best], row[best], dict(zip(self.classes, row, strict=True))))
        return found

    def probabilities(self, texts: str | Sequence[str]) -> np.ndarray:
        """Returns the probability of each class for each text: float32 [N, C], in the order of `classes`."""
        rows = rows_of(self.template.fields, texts)
        if not rows:
            return np.zeros([0, len(self.classes)], np.float32)
        return calibrated(self._scores(rows), self._prior(rows)).numpy()

    def render(self, texts: str | Sequence[str]) -> list[str]:
        """Returns what the model reads of each text, prompt and examples too, special tokens by their names."""
        rows = rows_of(self.template.fields, texts)
        if self._encoder is not None:
            return [self._encoder.render(**row) for row in rows]
        shown = self.demonstrations.of(rows)
        return [self._encoder_with(some).render(**row) for some, row in zip(shown, rows, strict=True)]

    def log_scores(self, texts: str | Sequence[str]) -> np.ndarray:
        """Returns the log-score of each class before calibration: float32 [N, C]."""
        return self._scores(rows_of(self.template.fields, texts))

    def _scores(self, rows):
        if not rows:
            return np.zeros([0, len(self.classes)], np.float32)
        if self._encoder is not None:
            ids, cache = self._encoder.encode_batch(rows), self._labels.cache(self._encoder)
        else:
            shown, cache = self.demonstrations.of(rows), None
            ids = [self._fitting(some).encode(**row) for some, row in zip(shown, rows, strict=True)]
        return self._of_words(self._labels.log_probs(ids, cache), self._unconditional()).numpy()

    def _of_words(self, log_probs, unconditional):
        """Log-scores [B, C] of log-probabilities of words [B, A], in a graph too."""
        return class_scores(log_probs, self._labels.words, self.normalize, unconditional)

    def _unconditional(self):
        """log p [A] of the words in the template with empty fields, or None where it is not asked for."""
        if self.normalize != "unconditional":
            return None

        def read():
            ids = self._alone.encode_batch([dict.fromkeys(self.template.fields, "")])
            return self._labels.log_probs(ids, self._labels.cache(self._alone))[0]

        return self._labels.kept.get("unconditional", read)

    # === Calibration ===
    def calibrate(self, texts: str | Sequence[str]) -> "PromptClassifier":
        """Sets the prior of calibration="batch": the mean probability of each class over texts without labels.

        It is estimated once and stays what it is, so that a text's answer depends on the text alone.

        Args:
            texts: Texts as those that are to be classified; some hundreds are enough.

        Returns:
            This classifier.

        Raises:
            InputError: The calibration is another, or there is no text.
        """
        if self.calibration != "batch":
            raise InputError(f'calibration is {self.calibration!r}; calibrate is for PromptClassifier(.., "batch")')
        rows = rows_of(self.template.fields, texts)
        if not rows:
            raise InputError("there is no text to calibrate on; give some without labels")
        self._batch_prior = log_prior(self._scores(rows))
        return self

    @property
    def has_prior(self) -> bool:
        """Whether classes have a prior to be divided by: with "contextual", and with "batch" once it is set."""
        return self.calibration == "contextual" or self._batch_prior is not None

    def _prior(self, rows=None):
        """The log-prior [C] of the classes, [B, C] where each row has examples of its own; None without."""
        if self.calibration is None:
            return None
        if self.calibration == "batch":
            if self._batch_prior is None:
                raise InputError('calibration is "batch"; call calibrate(texts) with unlabelled texts first')
            return self._batch_prior
        if self._encoder is not None:
            fields = self.template.fields
            return self._labels.kept.get("prior", lambda: content_free_prior(self._scores, fields))
        return self._priors_of(self.demonstrations.of(rows))

    def _priors_of(self, shown):
        """The content-free prior of each row, whose examples are its own."""

        def scores(examples, contents):
            ids = self._fitting(examples).encode_batch(contents)
            return self._of_words(self._labels.log_probs(ids, None), self._unconditional()).numpy()

        priors = [content_free_prior(lambda rows, e=e: scores(e, rows), self.template.fields) for e in shown]
        return np.stack(priors)

    # === Evaluation, examples, training data ===
    def evaluate(self, texts: Sequence[str], y: Sequence[int | str]) -> dict[str, float]:
        """Measures the classifier.

        Args:
            texts: Texts, as in `classify`.
            y: Their classes, by name or by place in `classes`.

        Returns:
            A dict: "loss", mean nats of the right class; "accuracy"; "standard_error" of it, that of a mean of N
            independent answers; "macro_f1", the mean over the classes that occur; "examples", N.

        Raises:
            InputError: For no text, or labels that are none.
        """
        rows = rows_of(self.template.fields, texts)
        labels = self.labels(y, len(rows))
        if not rows:
            raise InputError("there is no text to evaluate; give some with their classes")
        found = self.probabilities(rows)
        right = found.argmax(1) == labels
        accuracy = float(right.mean())
        error = float(right.std(ddof=1) / np.sqrt(len(right))) if len(right) > 1 else float("nan")
        nats = -np.log(np.maximum(found[np.arange(len(labels)), labels], np.finfo("float32").tiny))
        measures = {"loss": float(nats.mean()), "accuracy": accuracy, "standard_error": error}
        return {**measures, "macro_f1": _macro_f1(labels, found.argmax(1)), "examples": len(rows)}

    def labels(self, y: Sequence[int | str], count: int) -> np.ndarray:
        """Returns classes, by name or by place, as int32 places [count].

        Raises:
            InputError: For another number of them, or what is no class.
        """
        y = list(y)
        if len(y) != count:
            raise InputError(f"there are {count} texts and {len(y)} classes; give one for each")
        places = {name: place for place, name in enumerate(self.classes)}
        found = [places.get(label, label) if isinstance(label, str) else label for label in y]
        for label in found:
            whole = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
            if not whole or not 0 <= label < len(places):
                raise InputError(f"class {label!r:.40} is none of {', '.join(self.classes)}; give its name or place")
        return np.array(found, np.int32)

    def with_examples(
        self,
        examples: tuple[Sequence[str], Sequence[int | str]],
        k: int | None = None,
        select: str = "balanced",
        *,
        order: str | None = None,
        embedder: TextEmbedder | Callable | None = None,
        seed: int = 0,
    ) -> "PromptClassifier":
        """Returns this classifier with labelled examples before each text.

        Args:
            examples: `(texts, y)`.
            k: How many of them stand in a prompt; None: all, as they are given.
            select: Which: "random"; "balanced", as many of each class; "nearest", the most similar to each text. All
                but the nearest are the same for every text and read once.
            order: "random"; "given"; "nearest last", the most similar one beside the text. None: "nearest last" for
                the nearest, else "random".
            embedder: What tells how similar texts are, see `NearestExamples`: a `TextEmbedder`, a function, or None
                for TF-IDF.
            seed: Of choice and order.

        Returns:
            The PromptClassifier. A prior of `calibrate` is not kept: it was that of another prompt.

        Raises:
            InputError: The examples are none or fewer than k, or leave no room for a text.
        """
        shown = self.examples_of(examples)
        if k is None:
            return self.with_demonstrations(FixedDemonstrations(shown))
        if check_choice("select", select, SELECTIONS) == "nearest":
            check_sizes(k=k)
            return self.with_demonstrations(NearestDemonstrations(shown, k, embedder, order, seed))
        places = [self.classes.index(example.label) for example in shown]
        chosen = select_examples(places, k, select, order=order or "random", seed=seed)
        return self.with_demonstrations(FixedDemonstrations([shown[i] for i in chosen]) if k else None)

    def with_model(self, model: LanguageModel | keras.Model) -> "PromptClassifier":
        """Returns this classifier around another model, such as one of `lora` or a tuned prompt of the same model.

        A prior of `calibrate` stays: call it again where the model answers otherwise.

        Args:
            model: A LanguageModel; or a `keras.Model`, in the place of the present one.

        Returns:
            The PromptClassifier.
        """
        if self.language_model is not None and not isinstance(model, LanguageModel):
            model = self.language_model.with_model(model)
        made = self._again(model=model)
        made._batch_prior = self._batch_prior
        return made

    def with_demonstrations(self, demonstrations: Demonstrations | None) -> "PromptClassifier":
        """Returns this classifier with other examples before each text, or without any."""
        return self._again(demonstrations=demonstrations)

    def examples_of(self, examples: tuple[Sequence[str], Sequence[int | str]]) -> list[Demonstration]:
        """Returns `(texts, y)` as Examples.

        Raises:
            InputError: For anything else.
        """
        try:
            texts, y = examples
        except (TypeError, ValueError):
            raise InputError(f"examples are {type(examples).__name__}; give two lists, (texts, classes)") from None
        rows = rows_of(self.template.fields, texts)
        return [
            Demonstration(row, self.classes[label])
            for row, label in zip(rows, self.labels(y, len(rows)), strict=True)
        ]

    def _again(self, model=None, **changes):
        """A PromptClassifier of the same parts but for the changes."""
        if model is None:
            model = self.language_model or self.model
        given = {
            "calibration": self.calibration,
            "normalize": self.normalize,
            "tokenizer": None if self.language_model else self.tokenizer,
            "begin": self._begin,
            "demonstrations": self.demonstrations,
        }
        return PromptClassifier(model, self.template, self.verbalizer, **{**given, **changes})

    def training_data(self, texts: Sequence[str], y: Sequence[int | str]) -> tuple[Any, Any]:
        """Returns what `lk.fit` trains a model on, so that it writes the first label word of each text's class.

        Args:
            texts: Texts, as in `classify`.
            y: Their classes.

        Returns:
            Of a causal model `(x, y)`, int32 [N, T]: the ids of prompt, template and word, and of each the next one,
            -1 where it does not count: only the label word does. Of a masked model its inputs, a dict, and
            {"masked_lm": int32 [N, M]}, for `loss={"masked_lm": lk.losses.CrossEntropy()}`.

        Raises:
            InputError: For no text, or labels that are none.
        """
        rows = rows_of(self.template.fields, texts)
        labels = self.labels(y, len(rows))
        if not rows:
            raise InputError("there is no text to train on; give some with their classes")
        first = np.array([np.flatnonzero(self._labels.words.classes == c)[0] for c in range(len(self.classes))])
        if self._encoder is not None:
            ids = self._encoder.encode_batch(rows)
        else:
            shown = self.demonstrations.of(rows)
            ids = [self._fitting(some).encode(**row) for some, row in zip(shown, rows, strict=True)]
        return self._labels.training_data(ids, first[labels].tolist())

    # === Saving ===
    def save(self, folder: str | os.PathLike) -> None:
        """Writes the classifier to a folder, with its language model or masked model whole, see `TextModel.save`.

        Args:
            folder: The folder to write to. It is made where it is not there.

        Raises:
            InputError: As `TextModel.save` and `LanguageModel.save`.
        """
        embedder = getattr(self.demonstrations, "embedder", None)
        if embedder is not None and not isinstance(embedder, TextEmbedder):
            raise InputError("the nearest examples are found by a function, which no file holds; give a TextEmbedder")
        if self.language_model is None:
            super().save(folder)
            if embedder is not None:
                embedder.save(path_of(folder) / EMBEDDER)
            return
        content, folder = self._content(), path_of(folder)
        with claimed(folder), staged(folder) as made:
            check_place(folder, OTHERS)
            LanguageModel.save(self.language_model, made / LANGUAGE_MODEL)  # whole, of a tuned prompt too
            if embedder is not None:
                embedder.save(made / EMBEDDER)
            write_json(made / TASK, content)
            (folder / TASK).unlink(missing_ok=True)
            for name in (LANGUAGE_MODEL, EMBEDDER):
                shutil.rmtree(folder / name, ignore_errors=True)
            for name in (LANGUAGE_MODEL, *([EMBEDDER] if embedder is not None else []), TASK):
                (made / name).replace(folder / name)

    def _check_options(self) -> None:
        """Nothing is lost: `_from_folder` reads what `options` has."""

    def _content(self) -> dict[str, Any]:
        content = super()._content()
        prior = self._prior() if self._encoder is not None and self.has_prior else None
        content["options"] = {**self.options, "prior": None if prior is None else prior.tolist()}
        return content if self.language_model is None else {**content, "tokenizers": []}

    @classmethod
    def _from_folder(cls, folder: Path, options: dict[str, Any], tokenizers: list[str]) -> "PromptClassifier":
        if tokenizers:
            parts = [load_tokenizer(folder / name) for name in tokenizers]
            if len(parts) != 1:
                raise InputError(f"{folder / TASK} names {len(parts)} tokenizers, not one; save it again")
            model, given = load_model(folder / MODEL), {"tokenizer": parts[0]}
        else:
            model, given = LanguageModel.load(folder / LANGUAGE_MODEL), {}
        with naming(folder), damaged(TASK, BAD_CONTENT):
            options = dict(options)
            prior, shown = options.pop("prior"), options.pop("demonstrations")
            if shown is not None and "k" in shown:
                given["demonstrations"] = NearestDemonstrations.from_config(shown, folder / EMBEDDER)
            elif shown is not None:
                given["demonstrations"] = FixedDemonstrations.from_config(shown)
            template = Template(**options.pop("template"))
            made = cls(model, template, Verbalizer(options.pop("verbalizer")), **options, **given)
            if prior is not None:
                made._take_prior(prior)
            return made

    def _take_prior(self, prior):
        """The prior of a saved folder: `calibrate` is not called again, and the content-free texts are not read."""
        prior = np.array(prior, np.float32)
        if prior.shape != (len(self.classes),) or not np.isfinite(prior).all():
            raise InputError(f"the prior is no list of {len(self.classes)} numbers; save the classifier again")
        if self.calibration == "batch":
            self._batch_prior = prior
        elif self.calibration == "contextual":
            self._labels.kept.put("prior", prior)

    # === Export ===
    def signatures(self) -> Served:
        """What `export` writes: `classify`, text -> label, score, scores [B, C], classes [B, C].

        The input of a template of one field is called "text", those of several as the fields are.

        Raises:
            InputError: Each text has examples of its own, or calibration="batch" has no prior yet.
        """
        if self._encoder is None:
            raise InputError(
                "the examples are chosen for each text, which a graph cannot do; export a classifier whose examples "
                'are the same for all, as select="random" and "balanced" give'
            )
        fields, encoder, cache = self.template.fields, self._encoder, self._labels.cache(self._encoder)
        names = ("text",) if len(fields) == 1 else fields
        unconditional, log_priors = self._unconditional(), self._prior()

        def classify(*texts):
            ids = encoder.tf_encode(**dict(zip(fields, texts, strict=True)))
            scores = self._of_words(self._labels.tf_log_probs(ids, cache), unconditional)
            scores = calibrated(scores, log_priors)
            classes = tf.constant(self.classes)
            return {
                "label": tf.gather(classes, tf.argmax(scores, -1)),
                "score": tf.reduce_max(scores, -1),
                "scores": scores,
                "classes": tf.tile(classes[None], [tf.shape(scores)[0], 1]),
            }

        def answer(name, inputs):
            rows = [dict(zip(fields, row, strict=True)) for row in zip(*(inputs[n] for n in names), strict=True)]
            found = self.classify(rows)
            outputs = {"label": [c.label for c in found], "score": [c.score for c in found]}
            outputs["scores"] = [list(c.scores.values()) for c in found]
            return {**outputs, "classes": [self.classes] * len(found)}

        texts = example_texts(self.tokenizer)
        facts = {name: value for name, value in self.options.items() if name != "begin"}
        if self.language_model is not None and self.language_model.prompt:
            facts["prompt"] = self.language_model.prompt
        if cache is not None:  # a constant of the graph and no parameter
            facts |= facts_of_prompt(cache)
        return Served(
            signatures={"classify": signature(classify, *((name, tf.string) for name in names))},
            examples={"classify": dict.fromkeys(names, texts)},
            answer=answer,
            facts={"classes": self.classes, **facts},
        )


def _tokenizer_of(model, tokenizer):
    """The tokenizer of a LanguageModel, or the one that a masked model was given or has."""
    if isinstance(model, LanguageModel):
        if tokenizer is not None:
            raise InputError("a LanguageModel brings its tokenizer; leave out tokenizer=")
        tokenizer = model.tokenizer
    elif isinstance(model, keras.Model):
        tokenizer = tokenizer or getattr(model, "tokenizer", None)
    else:
        what = type(model).__name__
        raise InputError(f"a PromptClassifier takes a LanguageModel or a masked keras.Model, not a {what}")
    if not isinstance(tokenizer, Tokenizer):
        raise InputError(f"{model!r:.60} has no tokenizer; give it, tokenizer=...")
    return tokenizer


def _macro_f1(labels, found):
    """The mean F1 over the classes that occur among labels or answers."""
    values = []
    for place in np.union1d(labels, found):
        hits = np.sum((labels == place) & (found == place))
        values.append(2 * hits / max(np.sum(labels == place) + np.sum(found == place), 1))
    return float(np.mean(values))
