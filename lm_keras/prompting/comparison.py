"""Prompts side by side: the accuracy of each with its interval, by number of examples and draw, as table and plot."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.language_model import LanguageModel
from lm_keras.prompting.classifier import PromptClassifier
from lm_keras.prompting.examples import SELECTIONS
from lm_keras.prompting.template import Template
from lm_keras.prompting.verbalizer import Verbalizer
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.tasks.intervals import wilson
from lm_keras.tasks.paired_tests import PairedTest, paired_test
from lm_keras.utils.checks import check_choice, check_number, check_seed, check_sizes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Prompt = PromptClassifier | Template | str


class PromptResult(NamedTuple):
    """The accuracy of one prompt with one draw of examples, and the ends of its interval.

    Attributes:
        name: Of the prompt.
        k: Examples in it.
        draw: The seed that chose them; None where nothing is drawn.
        accuracy: Share of the texts whose class was found.
        low: Lower end of Wilson's interval.
        high: Upper end.
        seconds: What the texts took.
    """

    name: str
    k: int
    draw: int | None
    accuracy: float
    low: float
    high: float
    seconds: float


class PromptSummary(NamedTuple):
    """All draws of one prompt and number of examples.

    Attributes:
        name: Of the prompt.
        k: Examples in it.
        draws: How many there were.
        mean: Of the accuracy over the draws.
        deviation: Standard deviation of it between draws (n - 1); 0 of one.
        worst: Lowest accuracy.
        best: Highest accuracy.
        low: Lower end of Wilson's interval of the mean, that of the texts: another draw of these, not of examples.
        high: Upper end.
    """

    name: str
    k: int
    draws: int
    mean: float
    deviation: float
    worst: float
    best: float
    low: float
    high: float


class PromptComparison:
    """What `compare_prompts` returns; printed, it is a table of `summaries`.

    Attributes:
        results: A `PromptResult` for each prompt, number of examples and draw, in this order.
        num_texts: The texts that each was measured on.
        level: Of the intervals.
        right: bool [N] for each of the results, whether the class of a text was found; None where it is not known.
    """

    def __init__(
        self,
        results: Sequence[PromptResult],
        num_texts: int,
        level: float,
        right: Sequence[np.ndarray] | None = None,
    ):
        self.results, self.num_texts, self.level = list(results), num_texts, level
        self.right = None if right is None else list(right)

    @property
    def summaries(self) -> list[PromptSummary]:
        """A `PromptSummary` for each prompt and number of examples."""
        groups = {}
        for row in self.results:
            groups.setdefault((row.name, row.k), []).append(row.accuracy)
        return [self._summary(name, k, all_of) for (name, k), all_of in groups.items()]

    def _summary(self, name, k, all_of):
        mean, deviation = statistics.fmean(all_of), statistics.stdev(all_of) if len(all_of) > 1 else 0.0
        ends = wilson(round(mean * self.num_texts), self.num_texts, self.level)
        return PromptSummary(name, k, len(all_of), mean, deviation, min(all_of), max(all_of), *ends)

    @property
    def best(self) -> PromptSummary:
        """The one of the highest mean; of equal ones that of fewer examples, then the first.

        Its accuracy here is too good: it was chosen on these texts. Measure it on others.
        """
        return max(self.summaries, key=lambda row: (row.mean, -row.k))

    def paired_test(
        self, first: str | tuple[str, int], second: str | tuple[str, int], *, seed: int = 0
    ) -> PairedTest:
        """Compares two prompts on the same texts, which tells more than whether their intervals overlap.

        Args:
            first: The name of a prompt; with its number of examples, (name, k), where there are several.
            second: Another one.
            seed: Of the resamples.

        Returns:
            A `PairedTest` of the accuracies: McNemar's exact test of two draws, approximate randomization of the
            means over several.

        Raises:
            InputError: There is no such prompt, or it is not known which texts were right.
        """
        means = [self._shares_right(each) for each in (first, second)]
        return paired_test(*means, level=self.level, seed=seed)

    def _shares_right(self, chosen):
        """Of each text the share of the draws in which its class was found, [N]."""
        if self.right is None:
            raise InputError("it is not known which texts were right; compare what compare_prompts returns")
        keys = [(row.name, row.k) for row in self.results]
        fits = dict.fromkeys(key for key in keys if chosen in (key, key[0]))
        if len(fits) != 1:
            known = ", ".join(f"({_short(name)!r}, {k})" for name, k in dict.fromkeys(keys))
            raise InputError(
                f"{chosen!r:.60} is {'none' if not fits else 'several'} of the prompts; give one of {known}"
            )
        return np.mean([right for key, right in zip(keys, self.right, strict=True) if key in fits], axis=0)

    def __str__(self) -> str:
        rows = [("prompt", "examples", "draws", "accuracy", "worst", "best", f"{self.level:.0%} interval")]
        for row in self.summaries:
            spread = f" ± {100 * row.deviation:.1f}" if row.draws > 1 else ""
            percents = (f"{100 * row.mean:.1f}{spread}", f"{100 * row.worst:.1f}", f"{100 * row.best:.1f}")
            interval = f"{100 * row.low:.1f} to {100 * row.high:.1f}"
            rows.append((_short(row.name), str(row.k), str(row.draws), *percents, interval))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([f"{self.num_texts} texts", *(line.rstrip() for line in lines)])

    def __repr__(self) -> str:
        return f"<PromptComparison of {len(self.summaries)} on {self.num_texts} texts, best {self.best}>"

    def plot(self) -> "Figure":
        """Draws the accuracy of each draw with its interval: a line a prompt, a color for each number of examples.

        Returns:
            A matplotlib `Figure`.
        """
        from matplotlib.figure import Figure

        names = list(dict.fromkeys(row.name for row in self.results))
        sizes = sorted({row.k for row in self.results})
        figure = Figure(figsize=(8, 1.3 + max(0.6, 0.28 * len(sizes)) * len(names)), layout="constrained")
        axes = figure.add_subplot()
        for number, k in enumerate(sizes):
            label = {"label": f"{k} examples" if k != 1 else "1 example"}
            for place, name in enumerate(names):
                rows = [row for row in self.results if (row.name, row.k) == (name, k)]
                for draw, row in enumerate(rows):
                    # Numbers of examples one under another, the draws of each close together.
                    y = place + 0.7 * ((number + (draw + 0.5) / len(rows)) / len(sizes) - 0.5)
                    ends = [[row.accuracy - row.low], [row.high - row.accuracy]]
                    style = {"color": f"C{number % 10}", "ecolor": f"C{number % 10}", "elinewidth": 1}
                    axes.errorbar(row.accuracy, y, xerr=ends, fmt="o", markersize=5, **style, **label)
                    label = {}
        axes.set_yticks(range(len(names)), [_short(name, 48) for name in names], parse_math=False)
        axes.set(
            ylim=(len(names) - 0.5, -0.5), xlabel=f"accuracy on {self.num_texts} texts, {self.level:.0%} interval"
        )
        axes.hlines([place + 0.5 for place in range(len(names) - 1)], *axes.get_xlim(), color="0.85", linewidth=0.8)
        axes.margins(x=0)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper center", ncols=min(len(sizes), 6), frameon=False)
        return figure


def compare_prompts(
    prompts: Mapping[str, Prompt] | Iterable[Prompt],
    dev: tuple[Sequence[str], Sequence[int | str]],
    *,
    lm: LanguageModel | None = None,
    verbalizer: Verbalizer | Mapping | None = None,
    calibration: str | None = None,
    normalize: str | None = None,
    examples: tuple[Sequence[str], Sequence[int | str]] | None = None,
    k: int | Sequence[int] = 0,
    draws: int = 3,
    select: str = "balanced",
    order: str | None = None,
    embedder: TextEmbedder | Callable | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> PromptComparison:
    """Measures prompts on the same texts, with several draws of examples, so that the spread of prompts is seen.

    Args:
        prompts: `PromptClassifier`s; or templates (strings too) that `lm` and `verbalizer` make classifiers of. Under
            names, or without, under their texts.
        dev: `(texts, y)`, on which they are measured. A prompt that is chosen here is measured again on other texts.
        lm: The language model (or masked model) of the templates.
        verbalizer: Their label words.
        calibration: Theirs; with "batch" it is made on the texts of `dev`, without their classes, but for a
            `PromptClassifier` that is calibrated already and measured without other examples.
        normalize: Theirs.
        examples: `(texts, y)` that examples are chosen from, none of them in `dev`.
        k: Numbers of examples.
        draws: How often examples are drawn, with the seeds `seed`, `seed` + 1, ...; once for 0 examples, and for the
            nearest ones, which are not drawn.
        select: "random", "balanced" or "nearest", see `PromptClassifier.with_examples`.
        order: Their order, see there.
        embedder: What finds the nearest, see there.
        seed: Of the first draw.
        level: Of the intervals.

    Returns:
        A `PromptComparison`.

    Raises:
        InputError: For no prompts or texts, templates without `lm` and `verbalizer`, and k above 0 without examples.

    Example:

    ```python
    found = lk.prompting.compare_prompts(
        ["Review: {text}\\nSentiment:", "{text} All in all, it was"], dev, lm=lm,
        verbalizer={"pos": [" positive", " great"], "neg": [" negative", " terrible"]},
        examples=train, k=(0, 4),
    )
    print(found)
    found.plot().savefig("prompts.png")
    print(found.paired_test(("{text} All in all, it was", 0), ("{text} All in all, it was", 4)))
    ```
    """
    check_number("level", level, above=0, below=1)
    check_choice("select", select, SELECTIONS)
    check_sizes(draws=draws)
    seed, sizes = check_seed(seed), list(k) if isinstance(k, Sequence) else [k]
    check_sizes(least=0, **{f"k[{i}]": size for i, size in enumerate(sizes)})
    texts, y = _checked_dev(dev)
    if any(sizes) and examples is None:
        raise InputError(f"k is {k} and there are no examples to choose from; give examples=(texts, y)")
    parts = {"calibration": calibration, "normalize": normalize}
    classifiers = {name: _classifier(prompt, lm, verbalizer, parts) for name, prompt in _named(prompts).items()}
    results, right = [], []
    for name, classifier in classifiers.items():
        for size in sizes:
            drawn = [None] if not size or (select == "nearest" and order != "random") else range(seed, seed + draws)
            for draw in drawn:
                choice = {"select": select, "order": order, "seed": draw or 0, "embedder": embedder}
                shown = classifier.with_examples(examples, size, **choice) if size else classifier
                measured, found = _measured(shown, texts, y, level)
                results.append(PromptResult(name, size, draw, *measured))
                right.append(found)
    return PromptComparison(results, len(texts), level, right)


def _measured(classifier, texts, y, level):
    start = time.perf_counter()
    if classifier.calibration == "batch" and not classifier.has_prior:
        classifier = classifier.with_demonstrations(classifier.demonstrations).calibrate(
            texts
        )  # theirs stays as it is
    right = classifier.probabilities(texts).argmax(1) == classifier.labels(y, len(texts))
    ends = wilson(int(right.sum()), len(texts), level)
    return (float(right.mean()), *ends, time.perf_counter() - start), right


def _named(prompts):
    if isinstance(prompts, (str, Template, PromptClassifier)):
        prompts = [prompts]
    if not isinstance(prompts, Mapping):
        prompts = list(prompts)
        names = [_name(prompt) for prompt in prompts]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InputError(f"two prompts have the text {twice!r:.60}; give them under names, {{name: prompt}}")
        prompts = dict(zip(names, prompts, strict=True))
    if not prompts:
        raise InputError("there are no prompts to compare; give at least one")
    return prompts


def _name(prompt):
    template = prompt.template if isinstance(prompt, PromptClassifier) else prompt
    if isinstance(template, Template):
        return template.text if template.text is not None else " | ".join(turn["content"] for turn in template.chat)
    return template


def _classifier(prompt, lm, verbalizer, parts):
    if isinstance(prompt, PromptClassifier):
        return prompt
    if not isinstance(prompt, (Template, str)):
        raise InputError(f"a prompt is a {type(prompt).__name__}; give a PromptClassifier, a Template or its text")
    if lm is None or verbalizer is None:
        raise InputError("a template needs a model and label words; give lm=... and verbalizer=...")
    return PromptClassifier(lm, prompt, verbalizer, **parts)


def _checked_dev(dev):
    try:
        texts, y = dev
    except (TypeError, ValueError):
        raise InputError(f"dev is a {type(dev).__name__}; give two lists, (texts, classes)") from None
    if not len(texts) or len(texts) != len(y):
        raise InputError(f"dev has {len(texts)} texts and {len(y)} classes; give as many of each, and at least one")
    return texts, y


def _short(name, most=60):
    name = name.replace("\n", "\\n")
    return name if len(name) <= most else f"{name[: most - 15]}...{name[-12:]}"
