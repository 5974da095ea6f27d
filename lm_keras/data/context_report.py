"""How contexts differ: their sizes, the words that tell them apart, and the distance of their words."""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_positive, check_sizes, check_texts

_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")  # "don't" is one


@dataclasses.dataclass(frozen=True, eq=False)
class ContextReport:
    """What `context_report` found.

    Attributes:
        contexts: The names, in their order.
        num_texts: Texts of each, [C].
        num_words: Words of each, [C].
        num_types: Different words of each, [C].
        num_bytes: Bytes of the UTF-8 of each, [C].
        distinctive: `{context: [(word, z), ...]}`, the words that tell it from the others, most telling first.
        divergence: float64 [C, C], the Jensen-Shannon divergence of the words of each two contexts, in bits,
            0 to 1. Of few words it is too large.
    """

    contexts: tuple[str, ...]
    num_texts: tuple[int, ...]
    num_words: tuple[int, ...]
    num_types: tuple[int, ...]
    num_bytes: tuple[int, ...]
    distinctive: dict[str, list[tuple[str, float]]]
    divergence: np.ndarray

    def __str__(self) -> str:
        rows = [("context", "texts", "words", "words a text", "different", "distinctive words")]
        for i, name in enumerate(self.contexts):
            counts = (self.num_texts[i], self.num_words[i])
            shown = " ".join(word for word, _ in self.distinctive[name])
            mean = f"{self.num_words[i] / self.num_texts[i]:.1f}"
            rows.append((name, *(f"{count:,}" for count in counts), mean, f"{self.num_types[i]:,}", shown))
        lines = [*_table(rows), "", "Jensen-Shannon divergence, bits"]
        names = [name[:12] for name in self.contexts]
        cells = [(name, *(f"{value:.3f}" for value in row)) for name, row in
                 zip(self.contexts, self.divergence, strict=True)]  # fmt: skip
        return "\n".join([*lines, *_table([("", *names), *cells])])

    def __repr__(self) -> str:
        return f"<ContextReport of {len(self.contexts)} contexts, {sum(self.num_texts):,} texts>"


def context_report(
    texts_by_context: Mapping[str, Sequence[str]],
    *,
    num_words: int = 10,
    prior_words: float = 1000.0,
    split: Callable[[str], Sequence[str]] | None = None,
) -> ContextReport:
    """Compares the words of contexts.

    The words that tell a context from all others have the largest z of their log-odds with an informative Dirichlet
    prior (Monroe, Colaresi & Quinn 2008, equations 16 and 22), which neither rare nor common words win by chance.

    Args:
        texts_by_context: `{context: texts}`.
        num_words: Distinctive words of each context.
        prior_words: α_0, the words that the prior weighs, with the shares of all texts together.
        split: A function of a text that gives its words, such as `lk.text.words`. None: runs of letters and digits,
            in lowercase; of a text in Chinese its characters.

    Returns:
        A `ContextReport`; `print` shows it.

    Raises:
        InputError: There are not two contexts, or one has no word.
    """
    check_sizes(num_words=num_words)
    check_positive(prior_words=prior_words)
    if not isinstance(texts_by_context, Mapping) or len(texts_by_context) < 2:
        raise InputError("context_report compares {context: texts} of two contexts or more; give them")
    split = split or _words
    names, counts, texts = tuple(texts_by_context), [], []
    for name in names:
        texts.append(check_texts(texts_by_context[name]))
        counts.append(Counter(word for text in texts[-1] for word in split(text)))
        if not counts[-1]:
            raise InputError(f"the context {name!r:.40} has no word; give it a text, or leave it out")
    vocabulary = sorted(set().union(*counts))
    table = np.array([[count[word] for word in vocabulary] for count in counts], np.float64)  # (C, V)
    z = log_odds(table, prior_words) if len(vocabulary) > 1 else np.zeros_like(table)  # one word tells nothing apart
    best = np.argsort(-z, axis=1, kind="stable")[:, :num_words]
    return ContextReport(
        contexts=names,
        num_texts=tuple(map(len, texts)),
        num_words=tuple(table.sum(1).astype(int).tolist()),
        num_types=tuple((table > 0).sum(1).tolist()),
        num_bytes=tuple(sum(len(text.encode("utf-8", "replace")) for text in some) for some in texts),
        distinctive={
            name: [(vocabulary[i], float(z[c, i])) for i in best[c] if z[c, i] > 0] for c, name in enumerate(names)
        },
        divergence=jensen_shannon(table),
    )


def log_odds(counts: np.ndarray, prior_words: float) -> np.ndarray:
    """z of the log-odds of each word in a context against all others, with an informative Dirichlet prior.

    Args:
        counts: float64 [C, V].
        prior_words: α_0, the size of the prior; α_w is its share of word w.

    Returns:
        float64 [C, V].
    """
    whole = counts.sum(0)
    alpha = prior_words * whole / whole.sum()
    others = whole - counts

    def odds(part):
        size = part.sum(1, keepdims=True) + prior_words
        return np.log(part + alpha) - np.log(size - part - alpha)

    return (odds(counts) - odds(others)) / np.sqrt(1 / (counts + alpha) + 1 / (others + alpha))


def jensen_shannon(counts: np.ndarray) -> np.ndarray:
    """The Jensen-Shannon divergence, in bits, of each two rows of counts [C, V] as distributions: float64 [C, C]."""
    p = counts / counts.sum(1, keepdims=True)

    def entropy(q):
        return -np.sum(q * np.log2(np.where(q > 0, q, 1)), axis=-1)

    rows = [entropy((p + row) / 2) - (entropy(p) + entropy(row)) / 2 for row in p]
    return np.maximum(np.array(rows), 0)


def _words(text):
    if sum("\u4e00" <= char <= "\u9fff" for char in text) * 3 > len(text):
        return [char for char in text if char.isalnum()]
    return _WORD.findall(text.lower())


def _table(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
