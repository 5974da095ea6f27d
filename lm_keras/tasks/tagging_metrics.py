"""How good a tagger is: precision, recall and F1 of spans by seqeval, which counts as CoNLL's script, with intervals.

A span is right only as a whole: its words and its label. `tagging_report` measures tags of any tagger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_keras.data.corpora.records import TaggedSentence
from lm_keras.data.tagged import TaggedText, as_tagged_text, tag_spans, word_places_of, word_tags
from lm_keras.errors import InputError
from lm_keras.tasks.confusion_plots import short_name
from lm_keras.tasks.intervals import RESAMPLES, Interval, draws, interval_of, wilson
from lm_keras.tasks.metrics import ClassMetrics
from lm_keras.utils.checks import check_number, check_seed

if TYPE_CHECKING:
    from lm_keras.tasks.tagging import TextTagger


class TaggingReport:
    """The measures of a tagger on sentences; printed, it is a table.

    Attributes:
        num_texts: Number of sentences N.
        level: Of the intervals.
        precision: Share of the spans that were found which are right.
        recall: Share of the spans which were found.
        f1: Their harmonic mean: the entity F1 of CoNLL-2003 (Tjong Kim Sang & De Meulder 2003).
        macro_f1: The mean of F1 over the labels that occur.
        token_accuracy: Share of the words whose tag is right.
        per_label: A `ClassMetrics` for each label; its `support` are the spans.

    Args:
        gold: The BIO tags of each sentence.
        found: The same as the tagger has them.
        level: As above.
        seed: Of the resamples.
    """

    def __init__(
        self, gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]], *, level: float = 0.95, seed: int = 0
    ):
        from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

        self.num_texts, self.level, self._seed = len(gold), level, seed
        self._counts, self.labels = _counts(gold, found)
        self.precision = self.recall = self.f1 = self.macro_f1 = 0.0
        self.per_label = []
        if self.labels:
            options = {"zero_division": 0}
            micro = precision_recall_fscore_support([*gold], [*found], average="micro", **options)
            self.precision, self.recall, self.f1 = map(float, micro[:3])
            columns = precision_recall_fscore_support([*gold], [*found], average=None, **options)
            rows = zip(self.labels, *(part.tolist() for part in columns), strict=True)
            self.per_label = [ClassMetrics(*row) for row in rows]
            self.macro_f1 = float(np.mean([each.f1 for each in self.per_label]))
        right = [one == two for some, others in zip(gold, found, strict=True) for one, two in zip(some, others)]  # noqa: B905
        self.token_accuracy, self._words = float(np.mean(right)), len(right)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The bootstrap intervals (BCa, 2,000 resamples of the sentences) of "precision", "recall" and "f1".

        That of "token_accuracy" is Wilson's, which takes words for independent.
        """
        hits, answers, labels = self._counts.sum(1).T
        measures = {"precision": (hits, answers), "recall": (hits, labels), "f1": (2 * hits, answers + labels)}
        found = {name: self._ratio(*parts) for name, parts in measures.items()}
        right = round(self.token_accuracy * self._words)
        return found | {"token_accuracy": wilson(right, self._words, self.level)}

    @cached_property
    def label_intervals(self) -> dict[str, Interval]:
        """The bootstrap interval of F1 of each label, by its name."""
        columns = zip(self.labels, self._counts.transpose(1, 2, 0), strict=True)
        return {name: self._ratio(2 * hits, answers + labels) for name, (hits, answers, labels) in columns}

    def _ratio(self, parts, wholes):
        """The interval of sum(parts) / sum(wholes) over sentences, [N] each; 0 where there is nothing."""
        kinds, counts = np.unique(np.stack([parts, wholes], 1), axis=0, return_counts=True)

        def ratio(weights):
            part, whole = weights @ kinds[:, 0], weights @ kinds[:, 1]
            return part / np.where(whole > 0, whole, 1)

        rng = np.random.default_rng(self._seed)
        resampled = np.concatenate([ratio(weights) for weights in draws(counts, RESAMPLES, rng)])
        left_out = ratio(counts - np.eye(len(kinds)))
        return interval_of(float(ratio(counts)), resampled, left_out, counts, self.level)

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures and intervals as numbers, lists and dicts, which JSON can hold."""
        names = ("precision", "recall", "f1", "macro_f1", "token_accuracy")
        return {
            "texts": self.num_texts,
            "words": self._words,
            **{name: getattr(self, name) for name in names},
            "level": self.level,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "labels": {
                each.name: {**each._asdict(), "f1_interval": list(self.label_intervals[each.name])}
                for each in self.per_label
            },
        }

    # === For people ===
    def __str__(self) -> str:
        rows = [("", "precision", "recall", "F1", "spans")]
        rows += [(short_name(each.name), *map(_percent, each[1:4]), f"{each.support:,}") for each in self.per_label]
        total = sum(each.support for each in self.per_label)
        rows += [("all spans", *map(_percent, (self.precision, self.recall, self.f1)), f"{total:,}")]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.num_texts:,} sentences, {self._words:,} words"]
        for name, *cells in rows:
            right = "  ".join(f"{cell:>{size}}" for cell, size in zip(cells, widths[1:], strict=True))
            lines.append(f"{name:<{widths[0]}}  {right}".rstrip())
        for name, shown in (("f1", "F1"), ("token_accuracy", "accuracy of the tags of words")):
            low, high = map(_percent, self.intervals[name])
            value = _percent(getattr(self, name))
            lines.append(f"{shown} {value} % ({self.level:.0%} interval {low} to {high})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<TaggingReport of {self.num_texts} sentences: f1 {self.f1:.4f}, {len(self.labels)} labels>"


def tagging_report(
    gold: Iterable[Sequence[str]], found: Iterable[Sequence[str]], *, level: float = 0.95, seed: int = 0
) -> TaggingReport:
    """Measures tags.

    Args:
        gold: The tags of each sentence, in any scheme (BIO, IOB1, BIOES, BILOU).
        found: The tags that were found, as many for each sentence.
        level: The share of such intervals that hold the true value.
        seed: Of the resamples of the intervals.

    Returns:
        A `TaggingReport`.

    Raises:
        InputError: For no word, and for other numbers of tags.

    Example:

    ```python
    report = lk.tasks.tagging_report([["B-PER", "I-PER", "O"]], [["B-PER", "O", "O"]])
    print(report.f1)  # 0.0: half a span is none
    ```
    """
    check_number("level", level, above=0, below=1)
    gold, found = [list(tags) for tags in gold], [list(tags) for tags in found]
    if len(gold) != len(found):
        raise InputError(f"there are {len(gold)} sentences and answers to {len(found)}; give as many of each")
    for i, (some, others) in enumerate(zip(gold, found, strict=True)):
        if len(some) != len(others):
            raise InputError(
                f"sentence {i} has {len(some)} tags and the answer {len(others)}; give one for each word"
            )
    if not any(gold):
        raise InputError("there is no word to measure on; give sentences with tags")
    gold, found = ([_bio(tags) for tags in side] for side in (gold, found))
    return TaggingReport(gold, found, level=level, seed=check_seed(seed))


def gold_and_found(
    tagger: TextTagger, sentences: Iterable[TaggedText | TaggedSentence]
) -> tuple[list[list[str]], list[list[str]]]:
    """Returns the tags of sentences, and those that a tagger finds.

    Args:
        tagger: The tagger.
        sentences: Of words that are given each word has a tag; of a text with spans the tagger's own words, cut
            where a span begins or ends, so that a span is right where both its ends are.

    Returns:
        The BIO tags of each sentence, and those of the tagger.

    Raises:
        InputError: For no sentence, and for what is none.
    """
    records = list(sentences)
    texts = [as_tagged_text(record, f"sentence {i}") for i, record in enumerate(records)]
    if not texts:
        raise InputError("there is no sentence; give at least one")
    gold, found = [], []
    for record, text, answer in zip(records, texts, tagger.tag([text.text for text in texts]), strict=True):
        answer = [(span.start, span.end, span.label) for span in answer]
        if isinstance(record, TaggedSentence):
            places = word_places_of(record)
        else:
            ends = {end for spans in (text.spans, answer) for span in spans for end in span[:2]}
            places = _cut(tagger.inputs.words_of([text.text])[1][0], ends)
        gold.append(word_tags(places, text.spans))
        found.append(word_tags(places, answer))
    return gold, found


def _cut(places, ends):
    """Words (start, end), cut at the ends of spans that lie within them."""
    cut = []
    for start, end in places:
        within = [start, *sorted(at for at in ends if start < at < end), end]
        cut += zip(within, within[1:], strict=False)
    return cut


def _bio(tags):
    spans = tag_spans(tags)
    return word_tags([(i, i + 1) for i in range(len(tags))], spans)


def _counts(gold, found):
    """Spans that are right, were found, are there: int [N, labels, 3]; and the names of the labels, sorted."""
    rows = [tuple({*tag_spans(tags)} for tags in both) for both in zip(gold, found, strict=True)]
    labels = sorted({span[2] for both in rows for side in both for span in side})
    place = {label: i for i, label in enumerate(labels)}
    counts = np.zeros([len(rows), len(labels), 3], int)
    for row, (some, others) in zip(counts, rows, strict=True):
        for column, spans in enumerate((some & others, others, some)):
            for span in spans:
                row[place[span[2]], column] += 1
    return counts, labels


def _percent(share):
    return f"{100 * share:.1f}"
