"""Documents as sentences, and extracts that need no model: the first sentences, and those that fit a summary best."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from lm_keras.data.corpora.records import Summary
from lm_keras.data.pairs import TextPair
from lm_keras.errors import InputError
from lm_keras.tasks.encoders import is_chinese
from lm_keras.text.sentence_splitting import document_sentences, joined_sentences
from lm_keras.text.unicode import HAN_OR_WORD
from lm_keras.utils.checks import check_choice, check_whole

ORDERS = (1, 2)  # of the n-grams of an oracle: ROUGE-1 and ROUGE-2, as Liu & Lapata (2019) have it
LANGUAGES = ("en", "zh")
Document = str | Sequence[str]
Record = Summary | TextPair


def lead(sentences: Document, k: int = 3) -> str:
    """Returns the first sentences of a document: what every summarizer is compared with.

    Args:
        sentences: A document, or a list of its sentences.
        k: How many.
    """
    check_whole("k", k)
    return " ".join(sentences_of(sentences)[:k])


def oracle_sentences(
    sentences: Document,
    summaries: str | Sequence[str],
    k: int = 1,
    *,
    orders: Sequence[int] = ORDERS,
    language: str = "en",
) -> list[int]:
    """Returns the places of the sentences that fit a summary best: the labels that an extractive summarizer learns.

    Chosen greedily, as Nallapati et al. (2017, section 3.1) do: the sentence that raises ROUGE most comes next, until
    there are `k` or none raises it. Of sentences that raise it alike the first is taken. ROUGE is the mean of the F1
    of ROUGE-n over `orders`, with stems; of several summaries the best counts.

    Args:
        sentences: A document, or a list of its sentences.
        summaries: What a person wrote, or several persons.
        k: The most sentences.
        orders: The n of each ROUGE-n.
        language: "en" or "zh": what a word is, as in `summary_report`.

    Returns:
        Places in order; [] where no sentence has an n-gram of a summary.

    Raises:
        InputError: For no summary, and impossible numbers.
    """
    check_whole("k", k)
    words, gold = _words_and_ngrams(sentences, summaries, orders, language)
    chosen, best = [], 0.0
    while len(chosen) < min(k, len(words)):
        rated = [
            (_fit(words, [*chosen, i], gold, orders), -i) for i in range(len(words)) if i not in chosen and words[i]
        ]
        score, place = max(rated, default=(0.0, 0))
        if score <= best:
            break
        chosen, best = [*chosen, -place], score
    return sorted(chosen)


def sentence_rouge(
    sentences: Document,
    summaries: str | Sequence[str],
    *,
    orders: Sequence[int] = ORDERS,
    language: str = "en",
) -> list[float]:
    """Returns the ROUGE of each sentence by itself, as `oracle_sentences` has it.

    Args:
        sentences: A document, or a list of its sentences.
        summaries: What a person wrote, or several persons.
        orders: The n of each ROUGE-n.
        language: "en" or "zh".
    """
    words, gold = _words_and_ngrams(sentences, summaries, orders, language)
    return [_fit(words, [i], gold, orders) for i in range(len(words))]


def _words_and_ngrams(sentences, summaries, orders, language):
    """The words of each sentence, and the n-grams of each summary by their n."""
    if not orders:
        raise InputError("orders is empty; give the n of each ROUGE-n, such as (1, 2)")
    for n in orders:
        check_whole("orders", n, 1, 9)
    check_choice("language", language, LANGUAGES)
    cut = _cutter(language)
    gold = [[_ngrams(cut(summary), n) for n in orders] for summary in _listed(summaries)]
    return [cut(sentence) for sentence in sentences_of(sentences)], gold


def _fit(words, places, gold, orders):
    """ROUGE of some sentences, in the order of the document."""
    extract = [word for i in sorted(places) for word in words[i]]
    made = [_ngrams(extract, n) for n in orders]
    return max(sum(map(_f1, made, one)) / len(orders) for one in gold)


def _f1(made, gold):
    """F1 of two Counters of n-grams, as rouge-score computes it."""
    overlap = (made & gold).total()
    precision, recall = overlap / max(made.total(), 1), overlap / max(gold.total(), 1)
    return 2 * precision * recall / (precision + recall) if overlap else 0.0


def _ngrams(words, n):
    return Counter(zip(*(words[i:] for i in range(n)), strict=False))


@functools.cache
def _cutter(language: str) -> Callable[[str], list[str]]:
    """What cuts a text into the words of ROUGE."""
    if language == "zh":
        return lambda text: re.findall(HAN_OR_WORD, text.lower())
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=True).tokenize


def _listed(summaries):
    listed = [summaries] if isinstance(summaries, str) else list(summaries or ())
    if not listed or not all(isinstance(summary, str) for summary in listed):
        raise InputError(f"summaries is {summaries!r:.60}; give a summary of the document, or a list of several")
    return listed


# === Documents ===


def sentences_of(document: Document) -> list[str]:
    """Returns the sentences of a document, which is a string (`text.document_sentences`) or a list of them.

    Raises:
        InputError: For anything else.
    """
    if isinstance(document, str):
        return document_sentences(document)
    if not isinstance(document, Sequence) or not all(isinstance(sentence, str) for sentence in document):
        raise InputError(f"a document is {document!r:.60}; give a string, or a list of its sentences")
    return document_sentences(joined_sentences(document))


def documents_of(documents: Document | Iterable[Document | Record]) -> list[list[str]]:
    """Returns the sentences of each document.

    Args:
        documents: A string; or several documents, each a string, a list of its sentences, an `lk.data.Summary` or an
            `lk.data.TextPair`, whose source it is.

    Raises:
        InputError: For what is none.
    """
    if isinstance(documents, (str, Summary, TextPair)):
        documents = [documents]
    if not isinstance(documents, Iterable):
        raise InputError(f"documents is a {type(documents).__name__}; give a string, or a list of documents")
    return [sentences_of(_document(one)) for one in documents]


def _document(record):
    if isinstance(record, Summary):
        return record.sentences or record.document
    return record.source if isinstance(record, TextPair) else record


def summaries_of(
    documents: Iterable[Document | Record], summaries: Iterable[str | Sequence[str]] | None
) -> tuple[list[list[str]], list[list[str]]]:
    """Returns the sentences of each document, and the summaries of each.

    Args:
        documents: Several, as of `documents_of`.
        summaries: Of each document one, or a list; None: those of the records.

    Raises:
        InputError: For another number of summaries, and a document without one.
    """
    if isinstance(documents, (str, bytes)) or not isinstance(documents, Iterable):
        raise InputError("documents is no list; give several, each a string or a list of its sentences")
    rows = list(documents)
    if summaries is None:
        if not all(isinstance(row, Record) for row in rows):
            raise InputError("there are no summaries; give one of each document, or lk.data.Summary records")
        summaries = [row.summaries if isinstance(row, Summary) else row.target for row in rows]
    summaries = [summaries] if isinstance(summaries, str) else list(summaries)
    if not rows or len(rows) != len(summaries):
        raise InputError(f"there are {len(rows)} documents and {len(summaries)} summaries; give one of each, or more")
    return documents_of(rows), [_listed(one) for one in summaries]


def language_of(documents: Sequence[Sequence[str]]) -> str:
    """Returns "zh" where most characters of documents are Chinese, else "en": what a word of ROUGE is.

    Args:
        documents: The sentences of each.
    """
    return "zh" if is_chinese([sentence for row in documents[:200] for sentence in row]) else "en"
