"""Activations that are computed again in the backward pass instead of kept (Chen et al. 2016)."""

import contextlib
from collections.abc import Iterator

import keras

from lm_keras.errors import InputError
from lm_keras.layers.block import TransformerBlock
from lm_keras.utils.keras_internals import flatten_layers


@contextlib.contextmanager
def recomputing(model: keras.Model) -> Iterator[None]:
    """While it lasts, the gradient of `model` keeps of each transformer block no more than what enters it.

    The last block is kept: the gradient begins with it, so nothing would be gained. Dropout draws the same numbers
    in both passes.

    Args:
        model: A model with transformer blocks, or one around such a model.

    Raises:
        InputError: For a model without two blocks.
    """
    blocks = blocks_to_recompute(model)
    before = [block.recompute for block in blocks]
    for block in blocks:
        block.recompute = True
    try:
        yield
    finally:
        for block, own in zip(blocks, before, strict=True):
            block.recompute = own


def blocks_to_recompute(model: keras.Model) -> list[TransformerBlock]:
    """The blocks of a model, and of the models in it, but the last of each; InputError where there are none."""
    models = [part for part in flatten_layers(model) if isinstance(part, keras.Model)]
    stacks = [[layer for layer in part.layers if isinstance(layer, TransformerBlock)] for part in models]
    blocks = [block for stack in stacks for block in stack[:-1]]
    if not blocks:
        raise InputError(f"{model.name} has no two transformer blocks to compute again; leave recompute out")
    return blocks
