"""`Writer`: a model that writes text, its tokenizer, its traced functions, and the prompt that stands before all."""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.generation.prompt_cache import PromptCache, nothing, num_settled, sample_of_weights
from lm_keras.generation.sharing import read_once, shared
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.functions import TracedFunctions, function
from lm_keras.utils.keras_internals import without_grappler


class Writer:
    """A model that writes text and its tokenizer, with the TensorFlow functions that were traced of it.

    Args:
        model: A `CausalLM`, or a `Seq2SeqLM`, whose prompt is a source.
        tokenizer: That of the text that is written.
        source_tokenizer: That of the source, for a `Seq2SeqLM`.

    Attributes:
        prompt: A text before every text, which `with_prompt` adds.
        begun: What the rows of a call begin with, a `PromptCache`.
        memory: What loops take that may forget: `begun` and `kept` of the prompt; nothing where nothing is kept.
    """

    def __init__(self, model: keras.Model, tokenizer: Tokenizer, source_tokenizer: Tokenizer | None = None):
        self.model, self.tokenizer, self.source_tokenizer = model, tokenizer, source_tokenizer
        self.prompt, self._before = "", None
        self.begun, self.memory = None, {}
        self._traced, self._caches, self._sampled = TracedFunctions(), TracedFunctions(), None

    def with_prompt(self, text: str) -> "Writer":
        """This writer, whose texts all begin with `prompt` and this text; it shares the traced functions.

        Raises:
            InputError: A model of limited context has no room for a text after it.
        """
        made = copy.copy(self)
        made.prompt, made._before = self.prompt + text, self
        made._caches, made._sampled = TracedFunctions(), None
        size, window = len(prompt_ids(made, "")), self.model.context_length
        if window is not None and size >= window:
            raise InputError(
                f"the prompt has {size} tokens and {self.model.name} sees {window}, which leaves no room for a text "
                "after it; give a shorter prompt"
            )
        return made

    def cache(self, begin: bool = True) -> PromptCache:
        """The `PromptCache` of `prompt`, read when it is first asked for and when the weights have changed.

        `begin`: with the begin mark.
        """
        if self.prompt and (sampled := sample_of_weights(self.model)) != self._sampled:
            self._caches, self._sampled = TracedFunctions(), sampled
        return self._caches.get(self.model, ("prompt", begin), lambda: self._read_prompt(begin))

    def _read_prompt(self, begin):
        before, self._before = self._before, None  # not kept: each turn of a chat would keep all those before it
        mark = [self.tokenizer.bos_id] if begin else []
        ids = [*mark, *self.tokenizer.encode(self.prompt)]
        settled = len(mark) + num_settled(self.tokenizer, self.prompt) - 1 if self.prompt else 0
        if settled < 1:
            return nothing(self.model)._replace(ids=tf.constant(ids, tf.int32))
        cache = read_once(self, ids[:settled], nothing(self.model) if before is None else before.cache(begin))
        return cache._replace(ids=tf.constant(ids, tf.int32))

    def starting(self, rows: Sequence[Sequence[int]], begin: bool = True) -> "Writer":
        """This writer for a call with those rows of ids: what all of them begin with has been read."""
        made = copy.copy(self)
        if self.source_tokenizer is None:
            cache = self.cache(begin)
            made.begun = shared(self, rows, cache)
            if self.prompt and self.model.context_length is not None:
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
    """The begin mark (if `begin`) and the prompt; or a source, and the begin mark of what is to be written."""
    tokenizer, source = writer.tokenizer, writer.source_tokenizer
    if source is not None:
        return [*source.encode(prompt), tokenizer.bos_id]
    ids = tokenizer.encode(writer.prompt + prompt)
    if not begin and not ids:
        raise InputError(f"the prompt {prompt!r} has no token to go on from; give another, or leave begin=False out")
    return [tokenizer.bos_id, *ids] if begin else ids
