"""The signatures of the builders: the same names for the same things, kinds, annotations, docstrings."""

import functools
import inspect
import operator
import typing
from collections.abc import Sequence

import pytest

import lm_keras as lk

# What most builders take, with the type of each.
COMMON = {
    "max_length": int,
    "embedding_dim": int | None,
    "hidden_dim": int,
    "num_layers": int,
    "num_heads": int,
    "feed_forward_dim": int | None,
    "dropout": float,
    "tie_embeddings": bool,
    "initializer_range": float | None,
    "seed": int | None,
    "name": str,
}
OTHER_TYPES = {("build_feedforward_lm", "hidden_dim"): int | Sequence[int]}
BUILDERS = sorted(name for name in lk.models.__all__ if name.startswith("build_"))
HEADS = ["answer_span", "regressor", "sequence_classifier", "token_classifier"]
RELEASED = {"build_bert", "build_gpt2"}  # whose defaults are those of a released model, its vocabulary too


def without_none(kind):
    """The type of a builder that does not take None, as one without one-hot inputs for embedding_dim."""
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    return functools.reduce(operator.or_, parts) if parts else kind


@pytest.mark.parametrize("name", [*BUILDERS, *HEADS])
def test_the_words_are_the_same_everywhere(name):
    function = getattr(lk.models, name)
    parameters, hints = inspect.signature(function).parameters, typing.get_type_hints(function)
    first, *others = parameters
    assert first in ("vocab_size", "source_vocab_size", "encoder")
    assert (parameters[first].default is inspect.Parameter.empty) == (name not in RELEASED)
    allowed = {"num_classes"} if name in HEADS else set()
    for other in set(others) - allowed:
        assert parameters[other].kind is inspect.Parameter.KEYWORD_ONLY, other
    assert hints.keys() == {*parameters, "return"}
    for known in COMMON.keys() & parameters.keys():
        kind = OTHER_TYPES.get((name, known), COMMON[known])
        allowed = [kind] if parameters[known].default is None else [kind, without_none(kind)]
        assert hints[known] in allowed, f"{known} is annotated {hints[known]}, not {' or '.join(map(str, allowed))}"
    assert others[-2:] == ["seed", "name"]
    doc = inspect.getdoc(function)
    assert "\n\nArgs:\n" in doc and "\n\nReturns:\n" in doc and "\n\nRaises:\n" in doc
    for known in parameters:
        assert f"\n    {known}: " in doc, known
