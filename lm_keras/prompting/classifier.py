"""`PromptClassifier`: classes of texts, told by a language model or a masked model with a prompt, without a head."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lm_keras.errors import InputError
from lm_keras.language_model import LanguageModel
from lm_keras.prompting.calibration import CALIBRATIONS, NORMALIZATIONS, calibrated, log_prior
from lm_keras.prompting.class_scorer import ClassScorer
from lm_keras.prompting.classifier_export import served
from lm_keras.prompting.classifier_files import load_classifier, save_classifier
from lm_keras.prompting.demonstrations import Demonstration, Demonstrations, FixedDemonstrations, examples_of, rows_of
from lm_keras.prompting.examples import SELECTIONS, select_examples
from lm_keras.prompting.label_scores import labels_of, tokenizer_of
from lm_keras.prompting.nearest import NearestDemonstrations
from lm_keras.prompting.row_encoders import RowEncoders
from lm_keras.prompting.template import Template
from lm_keras.prompting.verbalizer import Verbalizer
from lm_keras.serving.client.results import Classification
from lm_keras.serving.export.signatures import Served
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.tasks.explain import explain
from lm_keras.tasks.explanation import Explanation
from lm_keras.tasks.intervals import standard_error
from lm_keras.tasks.metrics import classification_report
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_choice, check_sizes


@register_text_model
class PromptClassifier(TextModel):
    """The class of a text, told by the label word that a model finds likeliest in a template.

    A causal model tells log p(word | template with the text), a masked one log p(word) at `{mask}`. The score of a
    class is the log of the sum over its words; of several tokens a word has the sum of their log-probabilities, or
    what `normalize` says. A row's answer depends on its text alone, also with calibration.

    What stands before the text, instruction and examples, is read once and kept until the weights change; in an
    export its state is a constant. A chat template that asks for the date is filled when the classifier is made: the
    date of that day stands in the prompt, and in an export.

    Args:
        model: A LanguageModel, whose prompt stands before the template; or a masked `keras.Model`, such as
            `lk.models.bert_pretrainer` makes.
        template: A Template, or its text. A text that is too long for the model is cut, never the template.
        verbalizer: A Verbalizer, or its `{class: words}`.
        calibration: None; "contextual": the probabilities of each class are divided by those that texts without
            content have ("N/A", an empty one, "[MASK]": Zhao et al. 2021); "batch": by their mean over some texts
            without labels, which `calibrate` is given once (Zhou et al. 2023). That mean stays when the model is
            trained, until `calibrate` is called again; the contextual one follows the weights.
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
        self.tokenizer = tokenizer = tokenizer_of(model, tokenizer)
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
        self._labels = labels_of(model, tokenizer, template, verbalizer.tokens(tokenizer), begin)
        self._encoders = RowEncoders(self._labels, template, verbalizer, demonstrations)
        self._encoder = self._encoders.shared
        self._scorer = ClassScorer(self._labels, self._encoders, template.fields, normalize)
        self._batch_prior: np.ndarray | None = None

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
        return calibrated(self._scorer.scores(rows), self._prior(rows)).numpy()

    def render(self, texts: str | Sequence[str]) -> list[str]:
        """Returns what the model reads of each text, prompt and examples too, special tokens by their names."""
        rows = rows_of(self.template.fields, texts)
        return [encoder.render(**row) for encoder, row in zip(self._encoders.of(rows), rows, strict=True)]

    def log_scores(self, texts: str | Sequence[str]) -> np.ndarray:
        """Returns the log-score of each class before calibration: float32 [N, C]."""
        return self._scorer.scores(rows_of(self.template.fields, texts))

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
        self._batch_prior = log_prior(self._scorer.scores(rows))
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
        return self._scorer.content_free_prior(rows)

    # === Evaluation, examples, training data ===
    def evaluate(self, texts: Sequence[str], y: Sequence[int | str]) -> dict[str, float]:
        """Measures the classifier.

        Args:
            texts: Texts, as in `classify`.
            y: Their classes, by name or by place in `classes`.

        Returns:
            A dict: "loss", mean nats of the right class; "accuracy"; "standard_error" of it, that of a mean of N
            independent answers; "macro_f1", the mean over the classes that occur; "examples", N. For intervals and
            the measures of each class give `lk.tasks.classification_report` the `probabilities`.

        Raises:
            InputError: For no text, or labels that are none.
        """
        rows = rows_of(self.template.fields, texts)
        labels = self.labels(y, len(rows))
        if not rows:
            raise InputError("there is no text to evaluate; give some with their classes")
        found = self.probabilities(rows)
        report = classification_report([self.classes[place] for place in labels], found, self.classes)
        return {
            "loss": report.log_loss,
            "accuracy": report.accuracy,
            "standard_error": standard_error(found.argmax(1) == labels),
            "macro_f1": report.macro_f1,
            "examples": len(rows),
        }

    def explain(self, text: str | Mapping[str, str], target: str | int | None = None) -> Explanation:
        """Says how much each word speaks for a class, by leave-one-out: see `lk.tasks.explain`."""
        return explain(self, text, target=target)

    def labels(self, y: Sequence[int | str], count: int) -> np.ndarray:
        """Returns classes, by name or by place, as int32 places [count].

        Raises:
            InputError: For another number of them, or what is no class.
        """
        return self.verbalizer.places(y, count)

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
        return examples_of(self.template.fields, self.verbalizer, examples)

    def _again(self, **changes):
        """A PromptClassifier of the same parts but for the changes."""
        given = {
            "model": self.language_model or self.model,
            "template": self.template,
            "verbalizer": self.verbalizer,
            "calibration": self.calibration,
            "normalize": self.normalize,
            "tokenizer": None if self.language_model else self.tokenizer,
            "begin": self.options["begin"],
            "demonstrations": self.demonstrations,
        }
        return PromptClassifier(**{**given, **changes})

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
        return self._labels.training_data(self._encoders.encode(rows), first[labels].tolist())

    # === Saving ===
    def save(self, folder: str | os.PathLike) -> None:
        """Writes the classifier to a folder, with its language model or masked model whole, see `TextModel.save`.

        Args:
            folder: The folder to write to. It is made where it is not there.

        Raises:
            InputError: As `TextModel.save` and `LanguageModel.save`.
        """
        save_classifier(self, self._content(), folder)

    def _check_options(self) -> None:
        """Nothing is lost: `load_classifier` reads what `options` has."""

    def _content(self) -> dict[str, Any]:
        content = super()._content()
        prior = self._prior() if self._encoder is not None and self.has_prior else None
        content["options"] = {**self.options, "prior": None if prior is None else prior.tolist()}
        return content if self.language_model is None else {**content, "tokenizers": []}

    @classmethod
    def _from_folder(cls, folder: Path, options: dict[str, Any], tokenizers: list[str]) -> "PromptClassifier":
        made, prior = load_classifier(cls, folder, options, tokenizers)
        if prior is not None and made.calibration == "batch":
            made._batch_prior = prior
        elif prior is not None and made.calibration == "contextual":
            made._labels.kept.put("prior", prior)  # the content-free texts are not read again
        return made

    # === Export ===
    def signatures(self) -> Served:
        """What `export` writes: `classify`, text -> label, score, scores [B, C], classes [B, C].

        The input of a template of one field is called "text", those of several as the fields are.

        Raises:
            InputError: Each text has examples of its own, or calibration="batch" has no prior yet.
        """
        return served(self, self._scorer, self._prior)
