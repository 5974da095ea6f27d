"""The signatures that write text, `generate`, `sample` and `beam`, and all those of a LanguageModel, with `score`."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from lm_keras.generation.beam import beam_search
from lm_keras.generation.config import inputs_of, options_of
from lm_keras.generation.generate import banned_marks
from lm_keras.generation.loop import decode, prefill
from lm_keras.generation.prompt_cache import facts_of_prompt, num_common
from lm_keras.generation.scoring import score_ids
from lm_keras.serving.export.chat import chat_answers, chat_examples, chat_signature, chat_template_of
from lm_keras.serving.export.signatures import Served, align_right, example_texts, signature, utf8
from lm_keras.text.copying import CopyingTokenizer
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.generation.generate import Generation
    from lm_keras.language_model import LanguageModel

NO_TEXT = -3.4028234663852886e38  # a score for "there is no such text": JSON has no infinity


def completion_signatures(
    model: keras.Model,
    tokenizer: Tokenizer | CopyingTokenizer,
    start: Callable,
    given: str,
    limit: int,
    num_beams: int,
    memory: Mapping = MappingProxyType({}),
    copied: Sequence[tf.TensorSpec] = (),
) -> dict[str, Callable]:
    """{name: tf.function}; `start(text [B], count)` gives the last token [B] and the state before it of each row.

    Of a `CopyingTokenizer` it gives the words of each source, too: `copied` is their spec.
    `given` is the name of the text input; `limit` the most new tokens of a row; `memory` what `decode` takes as
    `begun` and `kept`, of a prompt that stays. The other inputs are the options that
    `GenerationConfig` names for each signature. No text is refused: `max_new_tokens` is cut to 0 ... the limit, and a
    temperature of 0 or less is greedy.
    """
    banned, ends = banned_marks(tokenizer), list(tokenizer.end_ids)

    @function(input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32), *copied])
    def text_of(tokens, last, *words):
        return utf8(tokenizer.tf_decode(tokens, *words, previous=last))

    def begun(text, max_new_tokens):
        remaining = tf.clip_by_value(max_new_tokens, 0, limit)
        return remaining, *start(text, tf.reduce_max(tf.concat([remaining, [0]], 0)))

    def written(tokens, log_probs, *before):
        return {
            "completion": text_of(tokens, *before),
            "num_new_tokens": tf.reduce_sum(tf.cast(tokens >= 0, tf.int32), -1),
            "log_prob": tf.reduce_sum(log_probs, -1),
        }

    def complete(text, max_new_tokens, **options):
        remaining, last, state, *words = begun(text, max_new_tokens)
        if "seed" in options:
            options["seed"] = tf.cast(options["seed"], tf.int64)
        tokens, log_probs, *_ = decode(
            model, last, state, remaining, limit, options, banned=banned, eos_id=ends, **memory
        )
        return written(tokens, log_probs, last, *words)

    def beam(text, max_new_tokens, length_penalty):
        remaining, last, state, *words = begun(text, max_new_tokens)
        power = tf.clip_by_value(tf.where(tf.math.is_finite(length_penalty), length_penalty, 0.0), -8.0, 8.0)
        tokens, log_probs, scores = beam_search(
            model, last, state, remaining, num_beams, banned=banned, eos_id=ends, length_penalty=power, **memory
        )
        flat = tf.reshape(tokens, [-1, tf.shape(tokens)[2]])
        texts = text_of(flat, *(tf.repeat(part, num_beams, axis=0) for part in (last, *words)))
        best = written(tokens[:, 0], log_probs[:, 0], last, *words)
        texts = tf.reshape(texts, [-1, num_beams])
        return {**best, "completions": texts, "scores": tf.maximum(scores, NO_TEXT)}

    made = {"generate": complete, "sample": complete, "beam": beam}
    return {name: _signature(make, given, inputs_of(name)) for name, make in made.items()}


def _signature(make, given, options):
    """The tf.function of a text and of options, {name: default}: `make(text, **options)`."""
    kinds = {name: tf.float32 if isinstance(default, float) else tf.int32 for name, default in options.items()}

    def of_rows(text, *values):
        return make(text, **dict(zip(kinds, values, strict=True)))

    return signature(of_rows, (given, tf.string), *kinds.items())


def completion_examples(texts: Sequence[str], given: str, limit: int) -> dict[str, dict[str, list]]:
    """Requests of different lengths, up to the limit, and options, {signature: inputs}, for up to four texts."""
    options = options_of()

    def values(name):
        found = options[name].examples
        return [min(count, limit) for count in found] if name == "max_new_tokens" else list(found)

    return {
        name: {given: texts} | {option: values(option)[: len(texts)] for option in inputs_of(name)}
        for name in ("generate", "sample", "beam")
    }


def completion_answers(
    generate: "Callable[..., list[Generation]]", given: str, num_beams: int, name: str, inputs: dict[str, list]
) -> dict[str, list]:
    """What a method `generate` answers to the inputs of the signature of that name, row by row: {output: list}."""
    outputs = []
    for row in zip(*inputs.values(), strict=True):
        options = dict(zip(inputs, row, strict=True))
        text = options.pop(given)
        if name == "generate":
            options["temperature"] = 0
        if name == "beam":
            options |= {"num_beams": num_beams, "num_return_sequences": num_beams}
        made = generate(text, **options)
        outputs.append(
            {
                "completion": made[0].text,
                "num_new_tokens": len(made[0].token_ids),
                "log_prob": math.fsum(made[0].log_probs),
            }
        )
        if name == "beam":
            scores = [max(one.score, NO_TEXT) for one in made]
            outputs[-1] |= {"completions": [one.text for one in made], "scores": scores}
    return {output: [row[output] for row in outputs] for output in outputs[0]}


def _prompt_facts(language_model):
    learned = language_model.learned
    return {
        **({"prompt": language_model.prompt} if language_model.prompt else {}),
        **({} if learned is None else {"learned_tokens": learned.num_tokens}),
        **facts_of_prompt(language_model.prompt_cache),
    }


def _memory(language_model):
    """What loops take as `begun` and `kept`, of a language model's prompt; nothing without one."""
    if not language_model.writer.prompted:
        return {}
    begun = language_model.prompt_cache
    return {"begun": begun, "kept": int(begun.ids.shape[0])}


def marked_ids(language_model: "LanguageModel") -> Callable[..., tf.RaggedTensor]:
    """Returns a function of texts [B] in a graph: their ids after the begin mark; `end=True`: and the end mark."""
    tokenizer, prompt, first = language_model.tokenizer, language_model.prompt, language_model.ids_before()
    encode = function(tokenizer.tf_encode, input_signature=[tf.TensorSpec([None], tf.string)])  # traced once for all

    def marked(text, *, end):
        ids = encode(tf.strings.join([prompt, text]) if prompt else text)
        begin, ended = (tf.tile([marks], [ids.nrows(), 1]) for marks in (first, [tokenizer.eos_id]))
        return tf.concat([begin, ids, ended][: 3 if end else 2], axis=1)

    return marked


def text_scorer(
    language_model: "LanguageModel", marked: Callable[..., tf.RaggedTensor] | None = None
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns `LanguageModel.score` as a function of texts [B] in a graph: log_prob, num_tokens and perplexity.

    Args:
        language_model: The LanguageModel.
        marked: What `marked_ids` gives of it, if that is there already.
    """
    marked, memory = marked or marked_ids(language_model), _memory(language_model)

    def score(text):
        ids = marked(text, end=True).to_tensor(-1)
        counted = tf.maximum(num_common(ids, memory["begun"].ids), 1) if memory else None
        log_prob, num_tokens = score_ids(language_model.model, ids, **memory, first=counted)
        mean = -log_prob / tf.cast(num_tokens, tf.float32)
        return {"log_prob": log_prob, "num_tokens": num_tokens, "perplexity": tf.exp(tf.minimum(mean, 88.0))}

    return score


def language_model_signatures(
    language_model: "LanguageModel", max_new_tokens_limit: int, num_beams: int, chat: bool | None = None
) -> Served:
    """The `Served` of a LanguageModel; a row's result depends on its inputs alone, bad UTF-8 is read as U+FFFD.

    The state of a prompt is a constant of the graph, which reads what a text has beyond it.
    """
    by_role = chat_template_of(language_model, chat)
    model, tokenizer = language_model.model, language_model.tokenizer
    memory, marked = _memory(language_model), marked_ids(language_model)
    score = text_scorer(language_model, marked)

    @function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)])
    def start(prompt, count):
        ids = align_right(marked(prompt, end=False))
        return ids[:, -1], prefill(model, ids, count, **memory)

    def answer(name, inputs):
        if name == "score":
            scores = [one._asdict() for one in language_model.score(inputs["text"])]
            return {output: [one[output] for one in scores] for output in ("log_prob", "num_tokens", "perplexity")}
        if name == "chat":
            return chat_answers(language_model, inputs)
        return completion_answers(language_model.generate, "prompt", num_beams, name, inputs)

    texts, facts = example_texts(tokenizer), {"max_new_tokens_limit": max_new_tokens_limit, "num_beams": num_beams}
    write = functools.partial(completion_signatures, limit=max_new_tokens_limit, num_beams=num_beams, memory=memory)
    signatures = {"score": signature(score, ("text", tf.string)), **write(model, tokenizer, start, "prompt")}
    examples = {"score": {"text": texts}, **completion_examples(texts, "prompt", max_new_tokens_limit)}
    if by_role is not None:
        signatures["chat"] = chat_signature(language_model, by_role, max_new_tokens_limit)
        examples["chat"] = chat_examples(texts, by_role, max_new_tokens_limit)
    return Served(
        signatures=signatures,
        examples=examples,
        answer=answer,
        facts=facts | (_prompt_facts(language_model) if memory else {}),
    )
