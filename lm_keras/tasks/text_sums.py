"""What a text counts in BLEU, chrF, ROUGE and error rates: sums of it over texts make the measure of a corpus.

The counts are those of sacrebleu, rouge-score and jiwer. They are taken once; resampled corpora are sums of them.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.text.unicode import HAN_OR_WORD
from lm_keras.utils.checks import check_choice, check_texts

TOKENIZERS = ("13a", "intl", "zh", "char", "none")
LANGUAGES = ("en", "zh")
ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
Texts = Sequence[str]
References = Sequence[list[str]]


class Sums(NamedTuple):
    """What a measure of a corpus is made of.

    Attributes:
        rows: What each text counts, float64 [N, K].
        measure: A function of sums of rows [R, K] that returns the measure of each, float64 [R].
    """

    rows: np.ndarray
    measure: Callable[[np.ndarray], np.ndarray]

    @property
    def value(self) -> float:
        """The measure of all texts."""
        return float(self.measure(self.rows.sum(0)[None])[0])


def bleu_and_chrf(
    predictions: Texts, references: References, tokenize: str = "13a", lowercase: bool = False, of: str = "bleu"
) -> tuple[Sums, str, float]:
    """BLEU (Papineni et al. 2002) or chrF (Popović 2015) by sacrebleu (Post 2018).

    Args:
        predictions: The translations.
        references: One or more of each.
        tokenize: How BLEU finds words, one of `TOKENIZERS`; chrF has no words.
        lowercase: True: without regard to case.
        of: "bleu" or "chrf".

    Returns:
        The `Sums`; sacrebleu's signature, which says how it was computed; and the length of the translations over
        that of the references, in words (of chrF: 0).
    """
    from sacrebleu.metrics import BLEU, CHRF

    check_choice("tokenize", tokenize, TOKENIZERS)
    base = BLEU if of == "bleu" else CHRF

    class Counting(base):
        """A metric of sacrebleu that gives what it computes its score from; these are the methods of its base class
        that every metric has for its own use."""

        def counts(self) -> np.ndarray:
            return np.array(self._extract_corpus_statistics(predictions, list(zip_longest(*references))), "float64")

        def scored(self, sums: np.ndarray) -> list:
            return [self._compute_score_from_stats(row.tolist()) for row in sums]

    # Texts that are tokenized are what "none" is for: no warning.
    options = {"tokenize": tokenize, "force": tokenize == "none"} if of == "bleu" else {}
    metric = Counting(lowercase=bool(lowercase), **options)
    rows = metric.counts()
    ratio = metric.scored(rows.sum(0)[None])[0].ratio if of == "bleu" else 0.0
    sums = Sums(rows, lambda sums: np.array([score.score for score in metric.scored(sums)]))
    return sums, str(metric.get_signature()), ratio


def rouge(
    predictions: Texts, references: References, stemmer: bool = True, language: str = "en"
) -> dict[str, np.ndarray]:
    """F of ROUGE (Lin 2004) of each text by rouge-score, in per cent: {name: float64 [N]} for the names of `ROUGE`.

    Args:
        predictions: The summaries.
        references: One or more of each; of several that of the highest F counts.
        stemmer: Whether words of English are compared by their stems (Porter 1980).
        language: "en": words are runs of a to z and 0 to 9, in lower case. "zh": each Chinese character is a word,
            and each run of other letters and digits.
    """
    from rouge_score import rouge_scorer, tokenizers

    check_choice("language", language, LANGUAGES)

    class Characters(tokenizers.Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return re.findall(HAN_OR_WORD, text.lower())

    tokenizer = Characters() if language == "zh" else tokenizers.DefaultTokenizer(bool(stemmer))
    scorer = rouge_scorer.RougeScorer(ROUGE, tokenizer=tokenizer)
    found = [scorer.score_multi(each, text) for text, each in zip(predictions, references, strict=True)]
    return {name: np.array([100 * row[name].fmeasure for row in found]) for name in ROUGE}


def mean_of(values: np.ndarray) -> Sums:
    """The mean of a measure of each text [N], as `Sums`."""
    return Sums(np.stack([values, np.ones(len(values))], 1), lambda sums: sums[:, 0] / np.maximum(sums[:, 1], 1))


def errors(predictions: Texts, references: Texts, of: str = "words") -> Sums:
    """Edits over the length of the references (Levenshtein 1966) by jiwer.

    Args:
        predictions: The transcripts.
        references: What was said.
        of: "words", between white space; or "characters", with one space between words.

    Returns:
        `Sums` whose rows are [substitutions, deletions, insertions, words or characters of the reference].
    """
    import jiwer

    process = jiwer.process_words if of == "words" else jiwer.process_characters
    # jiwer splits at spaces alone, not at tabs and ends of lines.
    pairs = [[" ".join(text.split()) for text in texts] for texts in (references, predictions)]
    found = process(*pairs)
    rows = []
    for chunks, reference in zip(found.alignments, found.references, strict=True):
        counts = dict.fromkeys(("equal", "substitute", "delete", "insert"), 0)
        for chunk in chunks:
            ends = (chunk.ref_start_idx, chunk.ref_end_idx)
            start, end = (chunk.hyp_start_idx, chunk.hyp_end_idx) if chunk.type == "insert" else ends
            counts[chunk.type] += end - start
        rows.append([counts["substitute"], counts["delete"], counts["insert"], len(reference)])
    return Sums(np.array(rows, "float64"), lambda sums: sums[:, :3].sum(1) / np.maximum(sums[:, 3], 1))


def with_references(
    predictions: Iterable[str], references: Iterable[str | Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Predictions, and a list of references for each.

    Raises:
        InputError: For no text, other numbers of both, and what are no strings.
    """
    if isinstance(predictions, str) or isinstance(references, str):
        raise InputError("predictions or references is one string; give a list with a string for each text")
    predictions = check_texts(predictions, "predictions")
    if not isinstance(references, Iterable):
        raise InputError(f"references is {references!r:.40}; give a string, or a list of them, for each prediction")
    rows = [[each] if isinstance(each, str) else each for each in references]
    if len(rows) != len(predictions):
        raise InputError(
            f"there are {len(predictions)} predictions and references of {len(rows)}; give a string, or a list of "
            "them, for each prediction"
        )
    if not rows:
        raise InputError("there are no texts; give at least one")
    for i, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or not row or not all(isinstance(text, str) for text in row):
            raise InputError(f"the reference of text {i} is {row!r:.60}; give a string, or a list of at least one")
    return predictions, [list(row) for row in rows]
