"""`Writer`: a model that writes text, its tokenizer, its traced functions, and the prompt that stands before all."""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.prompt_cache import PromptCache, nothing, num_settled, sample_of_weights
from lm_keras.generation.sharing import read_once, shared
from lm_keras.models.learned import LearnedPrompt
from lm_keras.text.copying import CopyingTokenizer, SourceIds
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.functions import TracedFunctions, function
from lm_keras.utils.keras_internals import without_grappler

KEPT = 16  # beginnings of `kept_cache`


class Learned(Protocol):
    """What stands before all text and was learned: a `LearnedPrompt`, or one that is still being trained."""

    num_tokens: int

    def first_state(self, model: keras.Model) -> list[tf.Tensor]:
        """The state of the model after it, tensors [1, ...] with room for its `num_tokens` and a spare one."""

    def current(self, model: keras.Model) -> LearnedPrompt:
        """The `LearnedPrompt` as it is now."""

    def sample(self) -> bytes:
        """Its numbers, where they may change."""


class Encodes(Protocol):
    """What gives the ids of a source: a tokenizer, or one of the first tokens alone."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""


class Writer:
    """A model that writes text and its tokenizer, with the TensorFlow functions that were traced of it.

    Args:
        model: A `CausalLM`, or a `Seq2SeqLM`, whose prompt is a source.
        tokenizer: That of the text that is written; a `CopyingTokenizer` for a model that copies.
        source_tokenizer: What encodes a source, for a `Seq2SeqLM`.

    Attributes:
        prompt: A text before every text, which `with_prompt` adds.
        learned: A learned prompt before all of that and the begin mark, which `with_learned` adds, or None. Its
            `num_tokens` have the ids V, V + 1, ... in a row: no model reads these, the state is after them.
        begun: What the rows of a call begin with, a `PromptCache`.
        guidance: How far texts go away from what `unguided` of their rows would say (`loop.guided`); 0: not at all.
        memory: What loops take that may forget: `begun` and `kept` of the prompt; nothing where nothing is kept.
    """

    def __init__(
        self, model: keras.Model, tokenizer: Tokenizer | CopyingTokenizer, source_tokenizer: Encodes | None = None
    ):
        self.model, self.tokenizer, self.source_tokenizer = model, tokenizer, source_tokenizer
        self.prompt, self.learned, self._before = "", None, None
        self.begun, self.memory, self.guidance = None, {}, 0.0
        self._traced, self._caches, self._kept, self._sampled = TracedFunctions(), TracedFunctions(), {}, None

    def with_prompt(self, text: str) -> "Writer":
        """This writer, whose texts all begin with `prompt` and this text; it shares the traced functions.

        Raises:
            InputError: A model of limited context has no room for a text after it.
        """
        made = self._copy()
        made.prompt, made._before = self.prompt + text, self
        made._check_room(len(prompt_ids(made, "")))
        return made

    def with_learned(self, learned: Learned) -> "Writer":
        """This writer, whose texts all begin with a learned prompt; it shares the traced functions.

        Raises:
            InputError: There is a prompt already, or a model of limited context has no room for a text after it.
        """
        if self.prompted:
            raise InputError(
                "a learned prompt stands before all text: give it to a language model without a prompt, and then the "
                "text, lm.with_prompt(learned).with_prompt(text)"
            )
        made = self._copy()
        made.learned = learned
        made._check_room(len(made.before(True)))
        return made

    def _copy(self):
        made = copy.copy(self)
        made._caches, made._kept, made._sampled = TracedFunctions(), {}, None
        return made

    def _check_room(self, size):
        window = self.model.context_length
        if window is not None and size >= window:
            raise InputError(
                f"the prompt has {size} tokens and {self.model.name} sees {window}, which leaves no room for a text "
                "after it; give a shorter prompt"
            )

    @property
    def prompted(self) -> bool:
        """Whether a prompt stands before every text."""
        return bool(self.prompt) or self.learned is not None

    @property
    def num_learned(self) -> int:
        """The tokens of a learned prompt, 0 without one."""
        return 0 if self.learned is None else self.learned.num_tokens

    def before(self, begin: bool = True) -> list[int]:
        """The ids before all text: those of a learned prompt, and the begin mark (if `begin`)."""
        first = self.model.vocab_size
        return [*range(first, first + self.num_learned), *([self.tokenizer.bos_id] if begin else [])]

    def cache(self, begin: bool = True) -> PromptCache:
        """The `PromptCache` of `prompt`, read when it is first asked for and when the weights have changed.

        `begin`: with the begin mark.
        """
        if self.prompted:
            self._forget_if_changed()
        return self._caches.get(self.model, ("prompt", begin), lambda: self._read_prompt(begin))

    def learned_cache(self) -> PromptCache:
        """The `PromptCache` of the learned prompt alone; of nothing where there is none."""
        if self.learned is None:
            return nothing(self.model)
        ids, state = self.before(False), self.learned.first_state(self.model)
        number = tf.constant(len(ids))
        return PromptCache(tf.constant(ids, tf.int32), state, number, (number, *state))

    def kept_cache(self, ids: Sequence[int]) -> PromptCache:
        """The `PromptCache` of other ids that rows begin with, all of them read: kept until the weights change.

        Args:
            ids: What `prompt_ids` gives of a text, or the first of these; the last 16 beginnings are kept.

        Raises:
            InputError: A model of limited context has no room for a text after them.
        """
        self._check_room(len(ids))
        self._forget_if_changed()
        key, kept = tuple(ids), self._kept
        cache = kept.get(key)
        if cache is None:
            first = self.num_learned
            begun = self.cache(list(ids[first : first + 1]) == [self.tokenizer.bos_id])
            kept[key] = cache = read_once(self, key, begun)
            for oldest in list(kept)[:-KEPT]:
                kept.pop(oldest, None)  # another thread may have
        return cache

    def sample(self) -> bytes:
        """Some numbers of all that is trained: other ones where what was computed before is no longer true."""
        return sample_of_weights(self.model) + (self.learned.sample() if self.learned else b"")

    def _forget_if_changed(self):
        sampled = self.sample()
        if sampled != self._sampled:
            self._caches, self._kept, self._sampled = TracedFunctions(), {}, sampled

    def _read_prompt(self, begin):
        before, self._before = self._before, None  # not kept: each turn of a chat would keep all those before it
        mark = self.before(begin)
        ids = [*mark, *self.tokenizer.encode(self.prompt)]
        settled = len(mark) + num_settled(self.tokenizer, self.prompt) - 1 if self.prompt else 0
        if settled <= self.num_learned:
            return self.learned_cache()._replace(ids=tf.constant(ids, tf.int32))
        cache = read_once(self, ids[:settled], self.learned_cache() if before is None else before.cache(begin))
        return cache._replace(ids=tf.constant(ids, tf.int32))

    def text(self, row: Sequence[int], new: Sequence[int]) -> str:
        """The text of the ids `new` that were written after a row of ids; with the words of a source that it has."""
        if isinstance(row, SourceIds):
            return self.tokenizer.decode(new, row.words, row[-1])
        return self.tokenizer.decode(new, row[-1])

    def token(self, row: Sequence[int], i: int) -> str:
        """The token of an id that was written after a row of ids."""
        return self.tokenizer.token(i, row.words) if isinstance(row, SourceIds) else self.tokenizer.tokens[i]

    def unguided(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """The rows of ids from which `guidance` leads away: those without a context; none where there is none."""
        return []

    def starting(self, rows: Sequence[Sequence[int]], begin: bool = True) -> "Writer":
        """This writer for a call with those rows of ids: what all of them begin with has been read."""
        made = copy.copy(self)
        if self.source_tokenizer is None:
            cache = self.cache(begin)
            made.begun = shared(self, rows, cache)
            if self.prompted and self.model.context_length is not None:
                made.memory = {"begun": cache, "kept": tf.size(cache.ids)}
        return made

    def traced(self, work: Callable, spec: Mapping, *, jit_compile: bool = False, **static: object) -> Callable:
        """`work(model, **tensors, **static)` as one TensorFlow function, traced once for all batch sizes and lengths.

        Args:
            work: A function over the model.
            spec: The tensors that it takes: {name: a TensorSpec, or a list or dict of them}.
            jit_compile: Whether XLA compiles it, for each shape.
            static: What is decided when it is traced.

        Returns:
            A function of the tensors, by name.
        """
        model = self.model

        def trace():
            # No function of this place: TensorFlow would take all of them for one that is traced over and over.
            run = functools.partial(_run, work, model, static)
            return function(run, input_signature=[spec], jit_compile=jit_compile)

        made = self._traced.get(model, (work, str(spec), jit_compile, *static.items()), trace)

        def call(**tensors):
            # The graph optimizer takes longer than all else of a first call, and what it makes is no faster.
            with without_grappler():
                return made(tensors)

        return call


def _run(work, model, static, tensors):
    return work(model, **tensors, **static)


def prompt_ids(writer: Writer, prompt: str, begin: bool = True) -> list[int]:
    """The ids of a prompt after those before all text and the writer's prompt; or a source, and the begin mark."""
    tokenizer, source = writer.tokenizer, writer.source_tokenizer
    if source is not None:
        ids = source.encode(prompt)
        row = [*ids, tokenizer.bos_id]
        return SourceIds(row, ids.words) if isinstance(ids, SourceIds) else row
    ids = tokenizer.encode(writer.prompt + prompt)
    if not begin and not ids:
        raise InputError(f"the prompt {prompt!r} has no token to go on from; give another, or leave begin=False out")
    return [*writer.before(begin), *ids]
