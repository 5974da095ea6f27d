"""Rows that share what they begin with, against one pass of the whole model over each alone."""

import itertools

import numpy as np
import pytest
from small_models import log_probs, tiny_lm

import lm_keras as lk
from lm_keras.generation import prefix_tree as module
from lm_keras.generation import sharing
from lm_keras.generation.prefix_tree import block_ends, num_nodes, score_rows
from lm_keras.models import BUILDERS

CLOSE = {"rel": 1e-5, "abs": 2e-5}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def lm(request):
    return tiny_lm(request.param, lk.text.WordTokenizer.train(["a b c d e"]), 0.5)


def rows_of(seed, count=40):
    """Rows that go on with parts of others, equal ones, and ones that begin others."""
    rng, rows = np.random.default_rng(seed), [[2, 3]]
    for _ in range(count):
        before = rows[rng.integers(len(rows))]
        rows.append([*before[: rng.integers(1, len(before) + 1)], *rng.integers(3, 8, rng.integers(1, 6)).tolist()])
    return [row[:20] for row in rows]


def check(lm, rows, firsts, made):
    for row, first, score in zip(rows, firsts, made, strict=True):
        table = log_probs(lm.model, [row[:-1] or row])[0]  # its last token is not read
        wanted = [table[place - 1, row[place]] for place in range(first, len(row))]
        assert score.log_probs == pytest.approx(wanted, **CLOSE)
        best = [table[place - 1].argmax() == row[place] for place in range(first, len(row))]
        assert score.greedy.tolist() == best


def test_every_row_has_the_probabilities_of_it_alone(lm, monkeypatch):
    rows, rng = rows_of(0), np.random.default_rng(1)
    firsts = [int(rng.integers(1, len(row))) for row in rows]
    counts = []
    check(lm, rows, firsts, score_rows(lm._writer, rows, firsts, counts.append))
    assert counts[-1] == len(rows) and counts == sorted(counts)
    for name, value in (("LOGITS", 20), ("TOKENS_TOGETHER", 6), ("ROWS_TOGETHER", 7), ("A_BLOCK", 0.0)):
        monkeypatch.setattr(module, name, value)
    lm._writer._traced._made.clear()
    check(lm, rows, firsts, score_rows(lm._writer, rows, firsts))
    monkeypatch.setattr(sharing, "STATE_BYTES", 1)
    check(lm, rows[:4], firsts[:4], score_rows(lm._writer, rows[:4], firsts[:4]))


def test_after_a_beginning_that_was_read(lm):
    beginning = [2, 3, 4, 5, 6, 7, 3, 3]
    rows = [[*beginning, *row] for row in rows_of(2, 8)] + [[*beginning, 4], [2, 3, 4], [2, 5, 5], beginning]
    writer = lm._writer.starting([])
    writer.begun = sharing.read_once(lm._writer, beginning, lm._writer.cache())
    firsts = [len(beginning)] * 9 + [9 - 1, 1, 2, 3]
    firsts[:9] = [len(beginning) + 1] * 9
    check(lm, rows, firsts, score_rows(writer, rows, firsts))


def test_a_row_as_long_as_the_memory():
    lm = tiny_lm("llama", lk.text.WordTokenizer.train(["a b c d e"]), 0.5, max_length=10)
    rows = [[2, *[3, 4, 5, 6, 7] * 2], [2, 3, 4, 7]]
    check(lm, rows, [1, 1], score_rows(lm._writer, rows, [1, 1]))


def test_nothing_and_rows_of_one_token(lm):
    assert score_rows(lm._writer, [], []) == []
    (score,) = score_rows(lm._writer, [[2]], [1])
    assert score.log_probs.shape == (0,)


def test_the_number_of_different_beginnings():
    rows = sorted({tuple(row) for row in rows_of(3)}, key=lambda row: row[:-1])
    group, _ = module._group(rows, 0)
    last = group.lengths.max()
    for start in (0, 1, 4):
        alive = np.flatnonzero(group.lengths > start)
        made = num_nodes(group.lengths[alive], module._common_of(group.common, alive), start, last)
        for end in range(start + 1, last + 1):
            read = {row[: min(end, len(row) - 1)] for row in rows if len(row) - 1 > start}
            covered = {one for one in read for other in read if one != other and other[: len(one)] == one}
            assert made[end - start - 1] == len(read - covered)


def test_blocks_cost_least(monkeypatch):
    monkeypatch.setattr(module, "A_BLOCK", 1.5)
    rows = sorted({tuple(row[:8]) for row in rows_of(4, 12)}, key=lambda row: row[:-1])
    group, cost = module._group(rows, 1)
    last = int(group.lengths.max())

    def total(ends):
        sizes = 0.0
        for start, end in itertools.pairwise((1, *ends)):
            alive = np.flatnonzero(group.lengths > start)
            nodes = num_nodes(group.lengths[alive], module._common_of(group.common, alive), start, last)
            sizes += 1.5 + nodes[end - start - 1] * (end - start + module.A_SLOT * end)
        return sizes

    middle = range(2, last)
    every = [(*some, last) for n in range(last) for some in itertools.combinations(middle, n)]
    assert cost == pytest.approx(min(map(total, every)))
    assert total(group.ends) == pytest.approx(cost)
    assert block_ends(np.array([3]), np.array([0]), 3) == ([], 0.0)
