"""Evaluations as lm-evaluation-harness counts them: multiple choice, minimal pairs, the last word of a text.

The conventions are those of EleutherAI's lm-evaluation-harness (commit 4e7e0d4): `lm_eval/tasks/piqa/piqa.yaml`,
`lambada/lambada_openai.yaml` and `blimp/_template_yaml` for the texts, `lm_eval/api/model.py` (`_encode_pair`,
`loglikelihood`) for what is encoded, `lm_eval/api/task.py` (`process_results`) for what is counted:

- PIQA: "Question: {goal}\\nAnswer:", and each solution after a space; `acc` takes the answer of the highest sum of
  log p, `acc_norm` that of the highest sum divided by the answer's length **in characters** (`len`, without the
  space), `acc_bytes` by its length in bytes of UTF-8.
- BLiMP: a space and the sentence, all of whose tokens count; the good one's log p must not be lower. `acc` is the
  mean of the sets, its standard error is pooled over them.
- LAMBADA, as OpenAI has it: the last word, with the space before it, after the rest of the text; `acc`: each of its
  tokens is the likeliest; `perplexity`: exp of minus the mean log p of a word.
- A text and what follows it are encoded as one, and cut at the number of tokens that the text has alone; spaces at
  the end of the text go to what follows. What is longer than the model's memory is cut from the left.
- The begin mark stands before a text if the tokenizer puts one by itself (`add_bos`), or if there is no text before
  the answer, as in BLiMP. `begin` says otherwise: a model that was trained here has seen the mark before every text.
"""

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lm_keras.errors import InputError
from lm_keras.generation.prefix_tree import score_rows
from lm_keras.generation.writer import Writer
from lm_keras.language_model import LanguageModel
from lm_keras.prompting.harness_items import CHOICE, LAST_WORD, PAIR, read_task, with_examples
from lm_keras.tasks.intervals import standard_error

SEED = 1234  # with which lm-evaluation-harness draws examples


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """What an evaluation counted; None where a number is not of its kind.

    Attributes:
        task: The task, or the name of the file.
        kind: "multiple choice", "minimal pairs" or "last word".
        count: Items that were counted.
        acc: Accuracy, 0 to 1; with a standard error.
        acc_norm: The same of log p divided by the answer's length in characters.
        acc_bytes: The same by its length in bytes.
        perplexity: Of the last words; its standard error is that of the mean log p, times the perplexity.
        sets: The accuracy of each set of minimal pairs, where there are several.
        begin: Which texts began with a begin mark: "all", "none", or how many.
        begin_mark: The begin mark.
        shots: Examples before each item.
        seed: With which these were drawn.
        cut: Texts that were longer than the model's memory.
        seconds: Time of the evaluation, without reading the model.
        right: float [count], 1 where `acc` counts an item as right; two models on the same items are compared by
            `lk.tasks.paired_test(first.right, second.right)`.
    """

    task: str
    kind: str
    count: int
    acc: float
    acc_stderr: float
    acc_norm: float | None = None
    acc_norm_stderr: float | None = None
    acc_bytes: float | None = None
    acc_bytes_stderr: float | None = None
    perplexity: float | None = None
    perplexity_stderr: float | None = None
    sets: dict[str, float] | None = None
    begin: str = ""
    begin_mark: str = ""
    shots: int = 0
    seed: int | None = None
    cut: int = 0
    seconds: float = 0.0
    right: np.ndarray | None = dataclasses.field(default=None, repr=False, compare=False)


def evaluate_task(
    lm: LanguageModel,
    task: str | Path,
    limit: int | None = None,
    shots: int = 0,
    begin: bool | None = None,
    seed: int = SEED,
    delimiter: str = " ",
    progress: bool = True,
) -> TaskResult:
    """Evaluates a language model of any family on a task, as lm-evaluation-harness counts it.

    What texts begin with in common is read once, equal texts too, and the output layer is computed at the answers'
    places alone.

    Args:
        lm: The LanguageModel; a prompt of `with_prompt` stands before every text.
        task: "piqa", "lambada", "blimp" (`lk.data.load` must find them), or a JSON-lines file of objects
            `{"prompt", "choices", "answer"}` (the place of the right choice, or the choice), `{"good", "bad"}` (and
            `"set"`) or `{"text"}`, whose last word is asked for.
        limit: Only the first items; of a task of several sets, of each set.
        shots: Examples before each item: other items of the same task with their answers, an empty line between.
        begin: Whether the begin mark stands before the texts; None: as lm-evaluation-harness does, see above.
            Without it the first token of a sentence does not count.
        seed: Draws the examples.
        delimiter: Between a text and a choice, and before a sentence of a pair; the harness puts a space.
        progress: Whether a progress bar is shown.

    Returns:
        A TaskResult.

    Raises:
        InputError: There is no such task, a line of the file is wrong, `limit` or `shots` cannot be, or an answer has
            no token or more than the model's memory holds.
    """
    began = time.perf_counter()
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; give at least 1, or None for all items")
    if shots < 0:
        raise InputError(f"shots is {shots}; give 0 or more")
    lm.ids_before()  # which needs a tokenizer
    task = read_task(task, delimiter)
    items = _first(task.items, limit)
    texts = with_examples(task, items, shots, seed)
    requests = [
        (text, more, item.where) for text, item in zip(texts, items, strict=True) for more in task.continuations(item)
    ]
    rows = encode_requests(lm.writer, requests, begin)
    scores = _scored(lm.writer, rows, task.name, progress)
    marks = sum(row.mark for row in rows)
    return TaskResult(
        task.name,
        task.kind,
        len(items),
        **_COUNTED[task.kind](items, scores),
        begin="all" if marks == len(rows) else "none" if not marks else f"{marks:,} of {len(rows):,}",
        begin_mark=lm.tokenizer.tokens[lm.tokenizer.bos_id],
        shots=shots,
        seed=seed if shots else None,
        cut=sum(row.cut for row in rows),
        seconds=round(time.perf_counter() - began, 3),
    )


def _first(items, limit):
    """The first items of each set."""
    seen, kept = {}, []
    for item in items:
        seen[item.set] = seen.get(item.set, 0) + 1
        if limit is None or seen[item.set] <= limit:
            kept.append(item)
    return kept


# === Texts to rows of ids ===
@dataclasses.dataclass(frozen=True)
class Row:
    """Ids, of which those from place `first` on count; whether a begin mark stands before, and whether it was cut."""

    ids: list[int]
    first: int
    mark: bool
    cut: bool


def encode_requests(writer: Writer, requests: Sequence[tuple[str, str, str]], begin: bool | None = None) -> list[Row]:
    """Rows of (a text, what follows it, what an error calls it)."""
    tokenizer, pairs = writer.tokenizer, []
    for text, more, _ in requests:
        text = writer.prompt + text
        bare = text.rstrip()
        pairs.append((bare, text[len(bare) :] + more) if bare else ("", text + more))
    known = list(dict.fromkeys(text for text, _ in pairs))
    lengths = dict(zip(known, map(len, tokenizer.encode_batch(known)), strict=True))
    rows = []
    for (text, _), ids, (_, more, where) in zip(
        pairs, tokenizer.encode_batch([text + more for text, more in pairs]), requests, strict=True
    ):
        mark = (getattr(tokenizer, "add_bos", False) or not text) if begin is None else begin
        before, first = writer.before(mark), lengths[text]
        ids, first = [*before, *ids], len(before) + first
        # The first token of all has no probability, and what a learned prompt alone predicts does not count.
        counted = max(first, writer.num_learned + 1)
        if len(ids) <= counted:
            raise InputError(f"{where}: {more[:40]!r} has no token of its own; give another answer, or begin=True")
        ids, first, cut = _cut(writer, ids, counted, mark)
        if first < 1:
            window = writer.model.context_length
            raise InputError(f"{where}: {more[:40]!r} is longer than the {window} tokens that the model can hold")
        rows.append(Row(ids, first, mark, cut))
    return rows


def _cut(writer, ids, first, mark):
    """A row that the model's memory holds, without its last token: cut from the left, after a prompt of the model."""
    window = writer.model.context_length
    if window is None or len(ids) - 1 <= window:
        return ids, first, False
    kept = int(writer.cache(mark).num_read) if writer.prompted else 0
    gone = len(ids) - 1 - window
    return [*ids[:kept], *ids[kept + gone :]], first - gone if first - gone > kept else 0, True


def _scored(writer, rows, name, progress):
    """(log p, greedy) of each row."""
    from tqdm import tqdm

    scores = [None] * len(rows)
    with tqdm(total=len(rows), desc=name, unit=" texts", disable=None if progress else True, leave=False) as bar:
        for mark in (True, False):
            places = [i for i, row in enumerate(rows) if row.mark == mark]
            ids, before = [rows[i].ids for i in places], bar.n
            starting = writer.starting([], mark)
            made = score_rows(
                starting, ids, [rows[i].first for i in places], lambda done, at=before: bar.update(at + done - bar.n)
            )
            for i, score in zip(places, made, strict=True):
                scores[i] = (float(score.log_probs.sum()), bool(score.greedy.all()))
    return scores


# === What is counted ===
def _multiple_choice(items, scores):
    right, at = {"acc": [], "acc_norm": [], "acc_bytes": []}, 0
    for item in items:
        sums = np.array([log_prob for log_prob, _ in scores[at : at + len(item.choices)]])
        at += len(item.choices)
        divisors = (
            1,
            [len(one) for one in item.choices],
            [len(one.encode("utf-8", "replace")) for one in item.choices],
        )
        for found, divisor in zip(right.values(), divisors, strict=True):
            found.append(float(np.argmax(sums / divisor) == item.label))
    made = {}
    for name, found in right.items():
        made |= {name: float(np.mean(found)), f"{name}_stderr": standard_error(found)}
    return made | {"right": np.array(right["acc"])}


def _minimal_pairs(items, scores):
    of_set, right = {}, []
    for item, (good, _), (bad, _) in zip(items, scores[::2], scores[1::2], strict=True):
        right.append(float(good >= bad))
        of_set.setdefault(item.set, []).append(right[-1])
    accuracies = {name: float(np.mean(found)) for name, found in of_set.items()}
    sizes = np.array([len(found) for found in of_set.values()])
    errors = np.array([standard_error(found) for found in of_set.values()])
    return {
        "acc": float(np.mean(list(accuracies.values()))),
        "acc_stderr": pooled_error(errors, sizes) if len(sizes) > 1 else float(errors[0]),
        "sets": accuracies if len(accuracies) > 1 else None,
        "right": np.array(right),
    }


def _last_words(items, scores):
    log_probs = [log_prob for log_prob, _ in scores]
    right = [float(greedy) for _, greedy in scores]
    perplexity = math.exp(min(-float(np.mean(log_probs)), 700))
    return {
        "acc": float(np.mean(right)),
        "acc_stderr": standard_error(right),
        "perplexity": perplexity,
        "perplexity_stderr": perplexity * standard_error(log_probs),
        "right": np.array(right),
    }


_COUNTED = {CHOICE: _multiple_choice, PAIR: _minimal_pairs, LAST_WORD: _last_words}


def pooled_error(errors: np.ndarray, sizes: np.ndarray) -> float:
    """The standard error of a mean over sets, as lm-evaluation-harness pools it (`pooled_sample_stderr`)."""
    freedom = sizes.sum() - len(sizes)
    if freedom == 0:
        return math.nan
    squares = np.where(sizes > 1, (sizes - 1) * np.nan_to_num(errors) ** 2 * sizes, 0.0)
    return float(math.sqrt(squares.sum() / freedom) / math.sqrt(sizes.sum()))
