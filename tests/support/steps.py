"""The step view under any padding: what a model of fixed memory has to do with ids that are no tokens."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from keras import ops

ROWS, COLUMNS = 3, 7
EQUAL = {"rtol": 1e-5, "atol": 1e-6}


def check_steps(model, vocab_size, examples=5):
    """Tokens with negative ids anywhere between them, read in steps of any size, equal the tokens alone."""
    tokens = np.random.default_rng(0).integers(0, vocab_size, (ROWS, COLUMNS)).astype("int32")
    full = ops.convert_to_numpy(model(tokens))
    states = [model.initial_state(ROWS)]  # after 0, 1, 2, ... tokens
    for t in range(COLUMNS):
        states.append(model.step(tokens[:, t : t + 1], states[-1])[1])
    states = [as_arrays(state) for state in states]
    patterns = st.lists(st.booleans(), min_size=COLUMNS, max_size=COLUMNS)

    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.lists(patterns, min_size=ROWS, max_size=ROWS), st.sets(st.integers(1, COLUMNS - 1), max_size=2))
    def check(is_token, cuts):
        ids = np.tile(-1 - np.arange(COLUMNS, dtype="int32"), (ROWS, 1))  # any negative id is no token
        for row, where in enumerate(np.array(is_token)):
            ids[row, where] = tokens[row, : where.sum()]
        logits, state = in_steps(model, ids, cuts)
        for row, where in enumerate(ids >= 0):
            count = where.sum()
            np.testing.assert_allclose(logits[row, where], full[row, :count], **EQUAL)
            for a, b in zip(state, states[count], strict=True):
                np.testing.assert_allclose(a[row], b[row], **EQUAL)

    check()


def in_steps(model, ids, cuts):
    """Logits [B, T, V] of ids [B, T] read in steps that end at `cuts`, and the last state."""
    state, logits = model.initial_state(len(ids)), []
    for part in np.split(ids, sorted(cuts), axis=1):
        some, state = model.step(part, state)
        logits.append(ops.convert_to_numpy(some))
    return np.concatenate(logits, 1), as_arrays(state)


def as_arrays(state):
    return [ops.convert_to_numpy(part) for part in state]
