"""Log-probabilities of many rows of ids at once: what rows begin with in common is read once, as in a tree.

The rows are sorted, so that those that begin alike lie together, and read by blocks of columns. In a block each
different row of tokens is read once, from the state of the row that it goes on with; after the block the rows part.
Narrow blocks share more, and copy more states: where blocks end is what costs least by an estimate (`block_ends`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lm_keras.generation import sharing
from lm_keras.generation.answers import LOGITS, padded
from lm_keras.generation.sharing import COUNT, IDS, ROWS
from lm_keras.generation.step import logits_of, state_spec, step_hidden
from lm_keras.generation.writer import Writer

ROWS_TOGETHER = 512
TOKENS_TOGETHER = 4096  # of a block, unless it has one column
A_BLOCK, A_SLOT = 24.0, 0.005  # what a block costs, and a slot of a state that is copied, in tokens that are read
SLOTS = 8  # room grows by so many


class RowScore(NamedTuple):
    """Of the tokens of a row that count: log p float64 [n], and whether no other token was likelier, bool [n]."""

    log_probs: np.ndarray
    greedy: np.ndarray


def score_rows(
    writer: Writer,
    rows: Sequence[Sequence[int]],
    firsts: Sequence[int],
    progress: Callable[[int], None] = lambda count: None,
) -> list[RowScore]:
    """Log-probabilities of the tokens of rows of ids, each from its place in `firsts` (at least 1) on.

    Equal rows are read once, as is what rows have in common with `writer.begun`.

    Args:
        writer: Whose memory holds a row without its last token.
        rows: Ids.
        firsts: See above.
        progress: Called with the number of rows that are done, again and again.

    Returns:
        A RowScore for each row.
    """
    counted = {}
    for row, first in zip(map(tuple, rows), firsts, strict=True):
        counted[row] = min(first, counted.get(row, first))
    of_row = {row: i for i, row in enumerate(counted)}
    first = writer.learned_cache()  # with which all rows begin
    begun = writer.begun or first
    read = tuple(begun.ids.numpy()[: int(begun.num_read)].tolist())
    inside = [row[: len(read)] == read and first > len(read) for row, first in counted.items()]
    scores, done = [None] * len(counted), 0
    for root, here in ((begun, True), (first, False)):
        unique = [row for row, began in zip(counted, inside, strict=True) if began == here]
        for group in _groups(writer, unique, int(root.num_read)):
            made = _read_group(writer, group, [counted[row] for row in group.rows], root)
            for row, score in zip(group.rows, made, strict=True):
                scores[of_row[row]] = score
            done += len(group.rows)
            progress(len(rows) * done // len(counted))
    return [
        RowScore(*(part[first - counted[row] :] for part in scores[of_row[row]]))
        for row, first in zip(map(tuple, rows), firsts, strict=True)
    ]


# === Which rows go together, and where blocks end ===
class Group(NamedTuple):
    """Rows that go through the model together, in an order in which those that begin alike lie side by side.

    `ids` [R, T], -1 after the end of a row; `lengths` [R]: how many tokens of each are read, all but the last;
    `common` [R]: how many of these each shares with the row before it; `ends`: the columns where blocks end.
    """

    rows: list[tuple[int, ...]]
    ids: np.ndarray
    lengths: np.ndarray
    common: np.ndarray
    ends: list[int]


def _groups(writer, rows, start):
    """Groups that fit into the memory, in the order that costs less: by what rows begin with, or by length."""
    plans = []
    for key in (lambda row: (row[:-1], row), lambda row: (len(row), row)):
        made = [_group(part, start) for part in _cut(writer, sorted(rows, key=key))]
        plans.append((sum(cost for _, cost in made), [group for group, _ in made]))
    return min(plans, key=lambda plan: plan[0])[1]


def _cut(writer, rows):
    """Parts of the rows whose states take no more than `sharing.STATE_BYTES`."""
    shapes = [part.shape[1:] for part in state_spec(writer.model)]
    numbers = int(sum(np.prod([1 if size is None else size for size in shape]) for shape in shapes))
    grows, parts, filled = any(None in shape for shape in shapes), [], 0
    for row in rows:
        size = 4 * numbers * (len(row) + SLOTS if grows else 1)
        if not parts or len(parts[-1]) == ROWS_TOGETHER or filled + size > sharing.STATE_BYTES:
            parts.append([])
            filled = 0
        parts[-1].append(row)
        filled += size
    return parts


def _group(rows, start):
    """A Group, and the estimated cost of it."""
    ids, lengths = padded(rows), np.array([len(row) - 1 for row in rows])
    equal = np.cumprod(ids[1:] == ids[:-1], axis=1).sum(1)
    common = np.array([0, *np.minimum(equal, np.minimum(lengths[1:], lengths[:-1]))])
    ends, cost = block_ends(lengths, common, start)
    return Group(rows, ids, lengths, common, ends), cost


def block_ends(lengths: np.ndarray, common: np.ndarray, start: int) -> tuple[list[int], float]:
    """Where the blocks of columns from `start` on end, and the estimated cost, in tokens that are read."""
    last = int(lengths.max())
    best, after = np.zeros(last + 1), np.zeros(last + 1, int)
    for i in range(last - 1, start - 1, -1):
        alive = np.flatnonzero(lengths > i)
        nodes = num_nodes(lengths[alive], _common_of(common, alive), i, last)  # of blocks to i + 1, ... last
        width = np.arange(1, last - i + 1)
        allowed = (nodes * width <= TOKENS_TOGETHER) | (width == 1)
        cost = A_BLOCK + nodes * (width + A_SLOT * (i + width)) + best[i + 1 :]
        j = int(np.argmin(np.where(allowed, cost, np.inf)))
        best[i], after[i] = cost[j], i + 1 + j
    ends, at = [], start
    while at < last:
        at = int(after[at])
        ends.append(at)
    return ends, float(best[min(start, last)])


def num_nodes(lengths: np.ndarray, common: np.ndarray, start: int, last: int) -> np.ndarray:
    """How many different rows of tokens there are from column `start` to each of start + 1, ... last.

    All rows are longer than `start`. A row is one with the next if they agree up to there, or to its own end.
    """
    parted = common[1:][common[1:] < lengths[:-1]]
    count = np.bincount(np.maximum(parted - start, 0), minlength=last - start)
    return 1 + np.cumsum(count)[: last - start]


def _common_of(common, chosen):
    """How much each of the chosen rows shares with the one before it of them."""
    if len(chosen) < 2:
        return np.zeros(len(chosen), int)
    return np.array([0, *np.minimum.reduceat(common[: chosen[-1] + 1], chosen[:-1] + 1)])


# === The blocks of a group ===
def _read_group(writer, group, firsts, root):
    """A RowScore for each row of a group, which begins with what `root` has read."""
    spec = {"ids": IDS, "parent": ROWS, "room": COUNT, "state": state_spec(writer.model)}
    spec |= {"places": ROWS, "of_place": ROWS, "targets": ROWS}
    run, state = writer.traced(read_block, spec), root.state
    log_probs, greedy = np.zeros(group.ids.shape), np.zeros(group.ids.shape, bool)
    start, node_of = int(root.num_read), np.zeros(len(group.rows), int)
    most = writer.model.context_length or np.inf
    for end in group.ends:
        alive = np.flatnonzero(group.lengths > start)
        until = np.minimum(group.lengths[alive], end)
        parted = np.append(_common_of(group.common, alive)[1:] < until[:-1], True)  # from the next one
        node = np.append(0, np.cumsum(parted)[:-1])
        ids = group.ids[alive[parted], start:end]
        ids = np.where(np.arange(start, end) < until[parted, None], ids, -1)
        columns = np.arange(start, end)
        counts = (columns < until[:, None]) & (columns + 1 >= np.array(firsts)[alive, None])
        row, column = np.nonzero(counts)
        places, of_place = np.unique(node[row] * (end - start) + column, return_inverse=True)
        order = np.argsort(of_place, kind="stable")
        row, column = alive[row[order]], start + column[order] + 1
        found, likeliest, state = run(
            ids=tf.constant(ids, tf.int32),
            parent=tf.constant(node_of[alive[parted]], tf.int32),
            room=tf.constant(int(min(-(-end // SLOTS) * SLOTS, most)), tf.int32),
            state=state,
            places=tf.constant(places, tf.int32),
            of_place=tf.constant(of_place[order], tf.int32),
            targets=tf.constant(group.ids[row, column], tf.int32),
        )
        log_probs[row, column], greedy[row, column] = found.numpy(), likeliest.numpy()
        node_of[alive] = node
        start = end
    return [
        RowScore(log_probs[i, first : length + 1], greedy[i, first : length + 1])
        for i, (first, length) in enumerate(zip(firsts, group.lengths, strict=True))
    ]


def read_block(
    model: keras.Model,
    ids: tf.Tensor,
    parent: tf.Tensor,
    room: tf.Tensor,
    state: Sequence[tf.Tensor],
    places: tf.Tensor,
    of_place: tf.Tensor,
    targets: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """A block of columns: its log-probabilities, and the state after it.

    Args:
        model: A `CausalLM`.
        ids: int32 [N, t], -1 to the right.
        parent: int32 [N], the row of `state` with which each row goes on.
        room: For how many tokens the new state must have room.
        state: The states before the block.
        places: int32 [P], those of the N * t places after which a token counts, in growing order.
        of_place: int32 [Q], the place in `places` of each token that counts, in growing order.
        targets: int32 [Q], these tokens.

    Returns:
        log p float32 [Q], whether no other token is likelier, bool [Q], and the new state.
    """
    vectors, state = step_hidden(model, ids, _going_on(model, state, parent, room))
    vectors = tf.gather(tf.reshape(vectors, [-1, vectors.shape[-1]]), places)
    together = max(LOGITS // model.vocab_size, 1)

    def body(start, first, log_probs, greedy):
        logits = tf.cast(logits_of(model, vectors[None, start : start + together])[0], tf.float32)
        after = tf.searchsorted(of_place, [start + together])[0]
        row = of_place[first:after] - start
        found = tf.gather_nd(logits, tf.stack([row, targets[first:after]], 1))
        highest = tf.reduce_max(logits, 1)
        total = highest + tf.math.log(tf.reduce_sum(tf.exp(logits - highest[:, None]), 1))
        log_probs = tf.concat([log_probs, found - tf.gather(total, row)], 0)
        return start + together, after, log_probs, tf.concat([greedy, found >= tf.gather(highest, row)], 0)

    _, _, log_probs, greedy = tf.while_loop(
        lambda start, *_: start < tf.size(places),
        body,
        [tf.constant(0), tf.constant(0), tf.zeros([0]), tf.zeros([0], tf.bool)],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([None])],
    )
    return log_probs, greedy, state


def _going_on(model, state, parent, room):
    """The states of `parent`, with slots for `room` tokens and a spare one where they grow."""
    parts = [tf.gather(part, parent) for part in state]
    if model.context_length is None:
        return parts
    more = tf.maximum(room + 1 - tf.shape(state[-1])[2], 0)
    shapes = [part.shape[1:] for part in state_spec(model)]

    def grown():
        return [
            tf.pad(part, tf.stack([[0, 0], *([0, more] if size is None else [0, 0] for size in shape)]))
            for part, shape in zip(parts, shapes, strict=True)
        ]

    parts = tf.cond(more > 0, grown, lambda: parts)
    return [tf.ensure_shape(part, [None, *shape]) for part, shape in zip(parts, shapes, strict=True)]
