"""How good written text is: translations by BLEU and chrF, summaries by ROUGE, transcripts by their error rates.

The numbers are those of sacrebleu, rouge-score and jiwer. The intervals are the bootstrap's (BCa, 2,000 resamples of
the texts): they say how far a measure would move with other texts of the same kind, not with another training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lm_keras.errors import InputError
from lm_keras.tasks.intervals import Interval, bootstrap_interval, sums_interval
from lm_keras.tasks.paired_tests import PairedTest, paired_sums
from lm_keras.tasks.text_sums import ROUGE, Sums, bleu_and_chrf, errors, mean_of, rouge, with_references
from lm_keras.utils.checks import check_choice, check_number, check_seed

METRICS = ("bleu", "chrf", *ROUGE, "wer", "cer")


class _Report:
    def as_dict(self) -> dict[str, Any]:
        """Returns all measures and intervals as numbers, strings and lists, which JSON can hold."""
        return {name: list(v) if isinstance(v, Interval) else v for name, v in vars(self).items()}


@dataclasses.dataclass(frozen=True)
class TranslationReport(_Report):
    """The measures of translations; printed, it is a table.

    Attributes:
        texts: Their number N.
        bleu: BLEU of the corpus, 0 to 100.
        bleu_interval: Its interval.
        chrf: chrF of the corpus, 0 to 100.
        chrf_interval: Its interval.
        length_ratio: Words of the translations over words of the references: below 1 they are too short, for which
            BLEU has its brevity penalty.
        bleu_signature: How sacrebleu computed BLEU; publish it with the number.
        chrf_signature: How it computed chrF.
        level: Of the intervals.
    """

    texts: int
    bleu: float
    bleu_interval: Interval
    chrf: float
    chrf_interval: Interval
    length_ratio: float
    bleu_signature: str
    chrf_signature: str
    level: float

    def __str__(self) -> str:
        lines = [f"{self.texts:,} translations, {self.length_ratio:.3f} times as long as the references"]
        for name, shown in (("bleu", "BLEU"), ("chrf", "chrF")):
            lines.append(
                f"{shown} {getattr(self, name):.1f} ({_ends(self, name)}), {getattr(self, f'{name}_signature')}"
            )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class SummaryReport(_Report):
    """The measures of summaries; printed, it is a table.

    Attributes:
        texts: Their number N.
        rouge1: Mean F of the words, in per cent.
        rouge1_interval: Its interval.
        rouge2: Mean F of pairs of words.
        rouge2_interval: Its interval.
        rougeL: Mean F of the longest common subsequence of words.
        rougeL_interval: Its interval.
        rougeLsum: The same sentence by sentence, where a line is a sentence.
        rougeLsum_interval: Its interval.
        level: Of the intervals.
    """

    texts: int
    rouge1: float
    rouge1_interval: Interval
    rouge2: float
    rouge2_interval: Interval
    rougeL: float  # noqa: N815
    rougeL_interval: Interval  # noqa: N815
    rougeLsum: float  # noqa: N815
    rougeLsum_interval: Interval  # noqa: N815
    level: float

    def __str__(self) -> str:
        lines = [f"{self.texts:,} summaries, F in per cent"]
        lines += [
            f"{name.replace('rouge', 'ROUGE-')} {getattr(self, name):.1f} ({_ends(self, name)})" for name in ROUGE
        ]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class RecognitionReport(_Report):
    """The measures of transcripts; printed, it is a table.

    Attributes:
        texts: Number of utterances N.
        wer: Word error rate: edits over words of the references; it may be above 1.
        wer_interval: Its interval.
        cer: Character error rate.
        cer_interval: Its interval.
        substitutions: Words that stand in place of others.
        deletions: Words of the references that are missing.
        insertions: Words too many.
        words: Words of the references.
        empty_references: Utterances in which nothing was said.
        level: Of the intervals.
    """

    texts: int
    wer: float
    wer_interval: Interval
    cer: float
    cer_interval: Interval
    substitutions: int
    deletions: int
    insertions: int
    words: int
    empty_references: int
    level: float

    def __str__(self) -> str:
        edits = f"{self.substitutions:,} substitutions, {self.deletions:,} deletions, {self.insertions:,} insertions"
        lines = [f"{self.texts:,} utterances of {self.words:,} words: {edits}"]
        for name, shown in (("wer", "word"), ("cer", "character")):
            lines.append(f"{shown} error rate {100 * getattr(self, name):.1f} % ({_ends(self, name, 100)})")
        return "\n".join(lines)


def _ends(report, name, times=1):
    low, high = getattr(report, f"{name}_interval")
    return f"{report.level:.0%} interval {times * low:.1f} to {times * high:.1f}"


def translation_report(
    predictions: Iterable[str],
    references: Iterable[str | Sequence[str]],
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> TranslationReport:
    """Measures translations by the BLEU (Papineni et al. 2002) and chrF (Popović 2015) of sacrebleu (Post 2018).

    BLEU = min(1, e^(1 - r / c)) (p1 p2 p3 p4)^(1/4): p_n is the share of the translations' n-grams that the
    references have, c and r are the lengths of both in words. Where all texts have fewer than four words it is 0.
    chrF is the F2 of n-grams of 1 to 6 characters.

    Args:
        predictions: The translations, as they are read: with capitals, and without spaces before full stops.
        references: A string for each, or a list of several. BLEU takes an n-gram of any of them as right, chrF the
            reference that is nearest.
        tokenize: How BLEU finds words: "13a" of WMT; "intl" of any script with spaces; "zh" and "char" of Chinese;
            "none" of texts that are words between spaces already. Texts in the lower case and with spaces that data
            sets of the field bring are measured by `tokenize="none", lowercase=True`; such a number compares with
            others of the same signature alone.
        lowercase: True: without regard to case.
        level: The share of such intervals that hold the true value.
        seed: Of the resamples of the intervals.

    Returns:
        A `TranslationReport`.

    Raises:
        InputError: For no text, other numbers of both, what are no strings, and a tokenizer that there is not.

    Example:

    ```python
    report = lk.tasks.translation_report(["The cat sat on the mat."], ["The cat sat on a mat."])
    print(report.bleu_signature)  # nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0
    ```
    """
    _check(level, seed)
    predictions, rows = with_references(predictions, references)
    bleu, bleu_signature, ratio = bleu_and_chrf(predictions, rows, tokenize, lowercase)
    chrf, chrf_signature, _ = bleu_and_chrf(predictions, rows, tokenize, lowercase, "chrf")
    ends = [sums_interval(*sums, level, seed=seed) for sums in (bleu, chrf)]
    return TranslationReport(
        len(predictions), bleu.value, ends[0], chrf.value, ends[1], ratio, bleu_signature, chrf_signature, level
    )


def summary_report(
    predictions: Iterable[str],
    references: Iterable[str | Sequence[str]],
    *,
    stemmer: bool = True,
    language: str = "en",
    level: float = 0.95,
    seed: int = 0,
) -> SummaryReport:
    """Measures summaries by ROUGE (Lin 2004), as rouge-score computes it.

    ROUGE-N: with m n-grams in common, the F1 of m over the n-grams of the summary and m over those of the reference.

    Args:
        predictions: The summaries. For ROUGE-Lsum each sentence stands on a line of its own.
        references: A string for each, or a list of several, of which for each measure that of the highest F counts.
        stemmer: Whether words of English are compared by their stems (Porter 1980).
        language: "en": words are runs of a to z and 0 to 9, in lower case; all other characters are dropped. "zh":
            each Chinese character is a word, and each run of other letters and digits, of any script.
        level: The share of such intervals that hold the true value.
        seed: Of the resamples of the intervals.

    Returns:
        A `SummaryReport`.

    Raises:
        InputError: For no text, other numbers of both, what are no strings, and a language that there is not.

    Example:

    ```python
    report = lk.tasks.summary_report(["Rates rise again"], ["Bank raises rates again"])
    print(round(report.rouge1, 1))  # 57.1
    ```
    """
    _check(level, seed)
    found = rouge(*with_references(predictions, references), stemmer, language)
    made = {"texts": len(found["rouge1"]), "level": level}
    for name, values in found.items():
        made[name] = float(values.mean())
        made[f"{name}_interval"] = bootstrap_interval(values, level=level, seed=seed)
    return SummaryReport(**made)


def recognition_report(
    predictions: Iterable[str],
    references: Iterable[str],
    *,
    normalize: Callable[[str], str] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> RecognitionReport:
    """Measures transcripts by their word and character error rates, as jiwer computes them.

    WER = (substitutions + deletions + insertions) / words of the references, the edits of the shortest way from the
    one to the other (Levenshtein 1966), counted over all utterances. Where nothing was said, every word of the
    transcript is an insertion.

    Args:
        predictions: The transcripts.
        references: What was said, a string for each; "" where nothing was said.
        normalize: Is applied to both, such as `str.lower`. None: nothing but white space is made equal, so that
            "Yes." and "yes" are two words.
        level: The share of such intervals that hold the true value.
        seed: Of the resamples of the intervals.

    Returns:
        A `RecognitionReport`.

    Raises:
        InputError: For no text, other numbers of both, what are no strings, and references without any word.

    Example:

    ```python
    report = lk.tasks.recognition_report(["the cat sat"], ["the cat sat down"])
    print(report.wer, report.deletions)  # 0.25 1
    ```
    """
    _check(level, seed)
    predictions, said = _normalized(*with_references(predictions, references), normalize)
    words, characters = errors(predictions, said), errors(predictions, said, "characters")
    substitutions, deletions, insertions, total = map(int, words.rows.sum(0))
    if not total:
        raise InputError("the references have no word, so that there is no error rate; give some that have")
    ends = [sums_interval(*sums, level, seed=seed) for sums in (words, characters)]
    return RecognitionReport(
        len(said),
        *(words.value, ends[0], characters.value, ends[1]),
        *(substitutions, deletions, insertions, total, int((words.rows[:, 3] == 0).sum()), level),
    )


def compare_texts(
    a: Iterable[str],
    b: Iterable[str],
    references: Iterable[str | Sequence[str]],
    metric: str = "bleu",
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    stemmer: bool = True,
    language: str = "en",
    normalize: Callable[[str], str] | None = None,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> PairedTest:
    """Compares two systems on the same texts: by how much they differ, and whether by more than chance.

    The interval is that of the paired bootstrap (Koehn 2004): texts are drawn anew, with both outputs. p is that of
    approximate randomization (Riezler and Maxwell 2005): the two outputs of a text are swapped by chance.

    Args:
        a: The texts of the first system.
        b: Those of the second.
        references: A string for each, or a list of several; for "wer" and "cer" one.
        metric: "bleu", "chrf", "rouge1", "rouge2", "rougeL", "rougeLsum" (0 to 100, more is better), "wer" or "cer"
            (shares, less is better).
        tokenize: Of BLEU, as in `translation_report`.
        lowercase: Of BLEU and chrF.
        stemmer: Of ROUGE, as in `summary_report`.
        language: Of ROUGE.
        normalize: Of error rates, as in `recognition_report`.
        level: Of the interval.
        resamples: Of the interval, and swaps.
        seed: Of both.

    Returns:
        A `PairedTest`, whose difference is the measure of the first less that of the second.

    Raises:
        InputError: For no text, other numbers of them, what are no strings, and a metric that there is not.

    Example:

    ```python
    first, second = ([found.text for found in model.generate(test.sources)] for model in (large, small))
    print(lk.tasks.compare_texts(first, second, test.targets))
    ```
    """
    _check(level, seed)
    check_choice("metric", metric, METRICS)
    references = references if isinstance(references, str) else list(references)

    def sums(predictions) -> Sums:
        texts, rows = with_references(predictions, references)
        if metric in ("bleu", "chrf"):
            return bleu_and_chrf(texts, rows, tokenize, lowercase, metric)[0]
        if metric in ROUGE:
            return mean_of(rouge(texts, rows, stemmer, language)[metric])
        return errors(*_normalized(texts, rows, normalize), "words" if metric == "wer" else "characters")

    first, second = sums(a), sums(b)
    return paired_sums(first.rows, second.rows, first.measure, level=level, resamples=resamples, seed=seed)


def _check(level, seed):
    check_number("level", level, above=0, below=1)
    check_seed(seed)


def _normalized(predictions, references, normalize):
    """Transcripts and what was said, of which there is one."""
    for i, row in enumerate(references):
        if len(row) > 1:
            raise InputError(f"utterance {i} has {len(row)} references; error rates take one")
    both = predictions, [row[0] for row in references]
    if normalize is None:
        return both
    both = tuple([normalize(text) for text in texts] for texts in both)
    for text in (text for texts in both for text in texts):
        if not isinstance(text, str):
            raise InputError(f"normalize gives a {type(text).__name__}; it must give a string")
    return both
