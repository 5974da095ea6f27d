"""In-context learning made visible: what a model gains from the text before, and the head that copies from it.

A frozen model "learns" from its window: the further it has read, and the more examples of a task stand before a
question, the lower its loss (Brown et al. 2020, figure 1.2; Kaplan et al. 2020, figure 20). A part of it is copying:
a head looks for an earlier place of the token at hand, and at the token after it (Olsson et al. 2022).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.generation.prefix_tree import score_rows
from lm_keras.language_model import LanguageModel
from lm_keras.models.causal_lm import CausalLM
from lm_keras.utils.checks import check_texts, check_whole


class LossCurve(NamedTuple):
    """Loss by how much was read before.

    Attributes:
        nats: Mean of -log p at each place, float64 [K].
        stderr: Its standard error over the texts, NaN where there is but one.
        accuracy: How often no other token was likelier, of each token that counts, [K].
        count: The texts that reach the place, int64 [K].
    """

    nats: np.ndarray
    stderr: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def loss_by_position(lm: LanguageModel, texts: Sequence[str], length: int | None = None) -> LossCurve:
    """The loss of the 1st, 2nd, 3rd ... token of texts: how much the text before a token helps.

    Args:
        lm: A LanguageModel of any family.
        texts: Texts. Each begins with the begin mark; a prompt of the model is read before and does not count.
        length: Places that are looked at; None: as many as the longest text has and the model's memory holds.

    Returns:
        A LossCurve of K = `length` places.

    Raises:
        InputError: A text without a token, or `length` that is no whole number of at least 1.
    """
    texts = check_texts(texts)
    before = lm.ids_before()
    first = len(before) + len(lm.tokenizer.encode(lm.prompt))
    window = lm.model.context_length
    most = max(map(len, lm.tokenizer.encode_batch([lm.prompt + text for text in texts]))) + len(before) - first
    length = min(most, check_whole("length", most if length is None else length))
    if window is not None:
        length = min(length, window + 1 - first)
    rows = [[*before, *ids][: first + length] for ids in lm.tokenizer.encode_batch([lm.prompt + t for t in texts])]
    for text, row in zip(texts, rows, strict=True):
        if len(row) <= first:
            raise InputError(f"the text {text[:40]!r} has no token; give a longer one")
    scores = score_rows(lm.writer.starting(rows), rows, [first] * len(rows))
    losses, right = (np.full((len(rows), length), np.nan) for _ in range(2))
    for i, score in enumerate(scores):
        losses[i, : len(score.log_probs)] = -score.log_probs
        right[i, : len(score.greedy)] = score.greedy
    return _curve(losses, right)


def loss_by_examples(
    lm: LanguageModel, series: Sequence[Sequence[tuple[str, str]]], separator: str = "\n"
) -> LossCurve:
    """The loss of the answers of a row of examples: after 0, 1, 2 ... examples of the same task.

    The text of a row is question, answer, separator, question, answer, and so on; all of it is encoded as one, and
    the tokens of an answer are those after as many as the text before it has alone.

    Args:
        lm: A LanguageModel of any family.
        series: Rows of as many (question, answer) each; what stands between the two is the question's, such as
            `("cheval:", " horse")`.
        separator: Stands after each answer.

    Returns:
        A LossCurve of K places, one for each number of examples before: nats of the whole answer; `accuracy`: all
        of its tokens are the likeliest.

    Raises:
        InputError: Rows of different length, an answer without a token of its own, or a row that is longer than the
            model's memory.
    """
    if not series or len({len(row) for row in series}) != 1 or not series[0]:
        raise InputError("series has rows of different length, or none; give rows of as many (question, answer) each")
    rows, places = [], []
    for number, examples in enumerate(series):
        ids, spans = _encoded(lm, examples, separator, number)
        rows.append(ids)
        places.append(spans)
    window = lm.model.context_length
    longest = max(map(len, rows)) - 1
    if window is not None and longest > window:
        raise InputError(f"a row has {longest} tokens and {lm.model.name} sees {window}; give fewer examples")
    firsts = [spans[0][0] for spans in places]
    scores = score_rows(lm.writer.starting(rows), rows, firsts)
    losses, right = [], []
    for spans, first, score in zip(places, firsts, scores, strict=True):
        parts = [slice(start - first, end - first) for start, end in spans]
        losses.append([-score.log_probs[part].sum() for part in parts])
        right.append([float(score.greedy[part].all()) for part in parts])
    return _curve(np.array(losses), np.array(right))


def _encoded(lm, examples, separator, number):
    """Token ids of a row, and where each answer starts and ends."""
    before, text, ends = lm.ids_before(), lm.prompt, []
    for question, answer in examples:
        text += question
        ends += [text, text + answer]
        text += answer + separator
    lengths = [len(before) + len(ids) for ids in lm.tokenizer.encode_batch(ends)]
    spans = list(zip(lengths[::2], lengths[1::2], strict=True))
    for (start, end), (question, answer) in zip(spans, examples, strict=True):
        if start >= end or start < 1:
            raise InputError(f"row {number}: the answer {answer!r} has no token of its own after {question[-20:]!r}")
    return [*before, *lm.tokenizer.encode(ends[-1])], spans


def _curve(losses, right):
    count = (~np.isnan(losses)).sum(0)
    deviation = np.full(losses.shape[1], np.nan)
    several = count > 1
    deviation[several] = np.nanstd(losses[:, several], axis=0, ddof=1) / np.sqrt(count[several])
    return LossCurve(np.nanmean(losses, axis=0), deviation, np.nanmean(right, axis=0), count)


def copying_scores(model: CausalLM, ids: np.ndarray) -> np.ndarray:
    """How much each head looks at the token after an earlier place of the token at hand (Olsson et al. 2022).

    A head that does ("induction head") can copy what followed last time. The score is the attention to all places
    after an earlier one of the same token, a mean over the tokens that have one.

    Args:
        model: A model with attention: `build_gpt2`, `build_llama`.
        ids: int32 [B, T], -1 where there is no token.

    Returns:
        float64 [L, H], 0 to 1, of each layer and head; `np.unravel_index(scores.argmax(), scores.shape)` is the head
        that copies.

    Raises:
        InputError: The model has no attention, or no token comes a second time.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2:
        raise InputError(f"ids have the shape {ids.shape}; give [B, T]")
    after = places_after(ids)
    again = after.any(-1)
    if not again.any():
        raise InputError("no token of ids comes a second time with a token between; give a text that repeats itself")
    weights = [np.asarray(layer, "float64") for layer in model.attention_weights(ids)]  # [B, H, T, T] each
    return np.stack([(layer * after[:, None]).sum(-1).transpose(1, 0, 2)[:, again].mean(1) for layer in weights])


def places_after(ids: np.ndarray) -> np.ndarray:
    """Where a head that copies looks: bool [B, T, T], place t looks at s if the token before s is that at t, s <= t.

    Args:
        ids: int [B, T], -1 where there is no token.
    """
    ids = np.asarray(ids)
    before = np.concatenate([np.full_like(ids[:, :1], -1), ids[:, :-1]], 1)
    same = (ids[:, :, None] == before[:, None, :]) & (ids >= 0)[:, :, None] & (ids >= 0)[:, None, :]
    return same & np.tri(ids.shape[1], dtype=bool)
