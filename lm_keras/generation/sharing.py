"""What the rows of a call begin with, such as the examples of few-shot prompts: read once, its state copied."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from lm_keras.generation.context import cache_spec
from lm_keras.generation.loop import pad_left, read_prompts
from lm_keras.generation.prompt_cache import PromptCache, common_length
from lm_keras.generation.step import state_spec

if TYPE_CHECKING:
    from lm_keras.generation.writer import Writer

BATCH = 64  # rows that go through the model at once
STATE_BYTES = 2**29  # of the state of a batch, where rows get copies of a state that was computed once
WORTH_SHARING = 16  # tokens that rows must have in common to be read once
IDS, ROWS, COUNT = (tf.TensorSpec(shape, tf.int32) for shape in ([None, None], [None], []))  # [B, T], [B], a number


def prompt_reader(writer: "Writer", memory: Mapping) -> Callable:
    """`read_prompts` of a writer's model as one TensorFlow function; `memory` is what it takes beside the prompts."""
    spec = {"ids": IDS, "max_new_tokens": COUNT, "which": ROWS, **memory_spec(writer, memory)}
    return writer.traced(read_prompts, spec)


def memory_of(writer: "Writer", begun: PromptCache | None) -> dict[str, object]:
    """`begun` and `kept` for what reads rows; {} where neither says anything, for which a smaller graph is traced."""
    if begun is None or (not writer.prompted and int(begun.num_read) == 0):
        return {}
    return {"begun": begun, "kept": writer.memory.get("kept", 0)}


def memory_spec(writer: "Writer", memory: Mapping) -> dict[str, object]:
    """The specs of `begun` and `kept`, or {}."""
    return {"begun": begun_spec(writer), "kept": COUNT} if memory else {}


def begun_spec(writer: "Writer") -> PromptCache:
    """The specs of a `PromptCache` of a writer."""
    return cache_spec(state_spec(writer.model), writer.learned is not None)


def shared(writer: "Writer", rows: Sequence[Sequence[int]], begun: PromptCache) -> PromptCache:
    """What all rows begin with, if that is so much more than `begun` that it is worth it; else `begun`.

    A row's last token is not among it. Of a model of limited context it is no more than the model's memory holds:
    rows that forget some of it are read by themselves.
    """
    length = sharable(writer, rows)
    return begun if length - int(begun.num_read) < WORTH_SHARING else read_once(writer, rows[0][:length], begun)


def sharable(writer: "Writer", rows: Sequence[Sequence[int]]) -> int:
    """How many of their first tokens all rows can start after; 0 of equal rows, which gain nothing."""
    if len(rows) < 2 or min(rows) == max(rows):
        return 0
    longest = writer.model.context_length or math.inf
    return min(common_length(rows), min(map(len, rows)) - 1, longest)


def read_once(writer: "Writer", ids: Sequence[int], begun: PromptCache) -> PromptCache:
    """The `PromptCache` of ids that a model's memory holds, all of them read, from `begun` if they begin with it."""
    memory = {"begun": begun, "kept": 0}  # from nothing too: the rest of the rows then needs no other graph
    reader = prompt_reader(writer, memory)
    _, state = reader(ids=pad_left([[*ids, 0]]), max_new_tokens=0, which=tf.constant([0]), **memory)
    state = state[-len(begun.state) :]  # without `recent` and `filled` of a `SlidingWalk`
    return PromptCache(tf.constant(ids, tf.int32), list(state), tf.constant(len(ids)), begun.learned)


def batch_size(
    writer: "Writer", rows: Sequence[Sequence[int]], max_new_tokens: int = 0, copied: bool | None = None
) -> int:
    """How many rows go through the model at once: fewer where copies of a long state would fill the memory.

    Rows get copies where they begin alike, and where some are equal; `copied` says so in place of that.
    """
    if copied is None and writer.begun is not None:
        copied = int(writer.begun.num_read) > 0 or len(set(map(tuple, rows))) < len(rows)
    if not copied or not rows:
        return BATCH
    room = min(max(map(len, rows)) + max_new_tokens, writer.model.context_length or math.inf)
    shapes = [part.shape[1:] for part in state_spec(writer.model)]
    numbers = sum(math.prod(room if size is None else size for size in shape) for shape in shapes)
    return max(1, min(BATCH, int(STATE_BYTES // max(4 * numbers, 1))))
