"""A model together with its tokenizer: text in, text out."""

import collections
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lm_keras import model_folder
from lm_keras.errors import InputError
from lm_keras.generation import compiled
from lm_keras.generation.loop import pad_left
from lm_keras.generation.options import as_texts, check_beams, checked, cut

BATCH = 64  # rows that go through the model at once
PIECE = 16  # new tokens between two looks for a stop string


class Score(NamedTuple):
    """Log-probability (nats) of a text and its end mark; perplexity a token; bits a byte of its UTF-8."""

    log_prob: float
    num_tokens: int
    perplexity: float
    bits_per_byte: float


class Generation(NamedTuple):
    """The text after the prompt, its token ids, and the log-probability of each under the model (nats)."""

    text: str
    token_ids: list
    log_probs: list


class LanguageModel:
    """Bundles a causal model (`CausalLM`, logits [B, T, V]) and a tokenizer of the same vocabulary.

    `tokenizer=None`: what takes or gives text raises InputError; `model` works.
    """

    def __init__(self, model, tokenizer):
        if not hasattr(model, "step_model"):
            raise InputError(f"{type(model).__name__} has no step view; give a model made by lm_keras.models.build_*")
        if tokenizer is not None and tokenizer.vocab_size != model.vocab_size:
            raise InputError(
                f"the model scores {model.vocab_size} words and the tokenizer has {tokenizer.vocab_size}; "
                "build the model with vocab_size=tokenizer.vocab_size"
            )
        self.model, self.tokenizer = model, tokenizer
        self._functions = {}

    def score(self, texts):
        """Scores each text: the sum of log p(token | before) over its tokens and the end mark.

        Returns a Score a text. A text that is empty has one token, the end mark. With a word tokenizer the
        bits a byte count unknown words as <unk>, so they compare only among models of one vocabulary.
        """
        texts = self._texts(texts)
        rows = [[self.tokenizer.bos_id, *ids, self.tokenizer.eos_id] for ids in self.tokenizer.encode_batch(texts)]
        results = [None] * len(texts)
        by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for start in range(0, len(rows), BATCH):
            group = by_length[start : start + BATCH]
            width = len(rows[group[-1]])
            ids = np.full([len(group), width], -1, np.int32)
            for row, i in zip(ids, group, strict=True):
                row[: len(rows[i])] = rows[i]
            log_probs, counts = (part.numpy() for part in self._compiled(compiled.score)(tf.constant(ids)))
            for i, log_prob, count in zip(group, log_probs.tolist(), counts.tolist(), strict=True):
                size = len(texts[i].encode("utf-8", "replace"))
                bits = -log_prob / math.log(2) / size if size else math.nan
                results[i] = Score(log_prob, count, math.exp(min(-log_prob / count, 700)), bits)
        return results

    def generate(
        self,
        prompts,
        max_new_tokens=50,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_beams=1,
        repetition_penalty=1.0,
        stop=None,
        seed=0,
    ):
        """Continues each prompt (a string or a list of strings of any lengths); returns a list, a Generation each.

        `temperature=0` is greedy; `top_k=0` and `top_p=1.0` keep all words; `repetition_penalty > 1` makes the
        prompt's and the text's own words less likely; `stop`, a string or several, ends a text before its
        first occurrence. Text also ends at the end mark. Unknown-word and padding marks are never chosen.
        `num_beams > 1` searches the likeliest text instead of sampling; the sampling options are not used then.
        A row depends on its prompt, the options and `seed` alone; the k-th repeat of a prompt takes seed + k,
        so that `[prompt] * 3` gives three texts.
        """
        prompts = self._texts(prompts)
        stop = [stop] if isinstance(stop, str) else list(stop or ())
        options = checked(max_new_tokens, temperature, top_k, top_p, repetition_penalty, stop, seed)
        check_beams(num_beams, repetition_penalty)
        repeats, seeds = collections.Counter(), []
        for prompt in prompts:
            seeds.append(seed + repeats[prompt])
            repeats[prompt] += 1
        results = []
        for start in range(0, len(prompts), BATCH):
            rows = slice(start, start + BATCH)
            if num_beams > 1:
                made = self._search(prompts[rows], num_beams, options["max_new_tokens"])
            else:
                made = self._sample(prompts[rows], seeds[rows], stop, **options)
            results += self._until_stop(prompts[rows], *made, stop)
        return results

    def stream(
        self,
        prompt,
        max_new_tokens=50,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        stop=None,
        seed=0,
    ):
        """Yields the text of `generate(prompt, ...)` piece by piece, never half a character or part of a stop."""
        stop = [stop] if isinstance(stop, str) else list(stop or ())
        options = checked(max_new_tokens, temperature, top_k, top_p, repetition_penalty, stop, seed)
        return self._stream(*self._texts([prompt]), seed, stop, options)

    def _stream(self, prompt, seed, stop, options):
        shown = ""
        for texts, _, _, ended in self._steps([prompt], [seed], piece=1, **options):
            text, found = cut(texts[0], stop)
            if not (found or ended):  # what may still become a stop string or a character waits
                text = text.rstrip("\ufffd")
                wait = max((n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])), default=0)
                text = text[: len(text) - wait]
            if len(text) > len(shown):
                yield text[len(shown) :]
                shown = text
            if found:
                return

    def _sample(self, prompts, seeds, stop, **options):
        for now in self._steps(prompts, seeds, PIECE if stop else None, **options):
            if stop and all(cut(text, stop)[1] for text in now[0]):
                break
        return now[:3]

    def _search(self, prompts, num_beams, max_new_tokens):
        rows = [self._prompt_ids(prompt) for prompt in prompts]
        ids = pad_left(rows)
        search = self._compiled(compiled.search, num_beams)
        tokens, log_probs, _ = search(
            ids[:, -1], self._compiled(compiled.prefill)(ids, max_new_tokens), max_new_tokens
        )
        tokens, log_probs = tokens[:, 0].numpy(), log_probs[:, 0].numpy()  # the best beam of each prompt
        new_ids = [row[row >= 0].tolist() for row in tokens]
        scores = [row[ids >= 0].tolist() for row, ids in zip(log_probs, tokens, strict=True)]
        return [self.tokenizer.decode(new, row[-1]) for new, row in zip(new_ids, rows, strict=True)], new_ids, scores

    def _until_stop(self, prompts, texts, ids, log_probs, stop):
        results = []
        for prompt, text, row, row_log_probs in zip(prompts, texts, ids, log_probs, strict=True):
            text, found = cut(text, stop)
            if found:  # the tokens up to the first one that completes a stop string, as `stream` sees them
                previous = self._prompt_ids(prompt)[-1]
                cuts = (cut(self.tokenizer.decode(row[:n], previous), stop) for n in range(1, len(row) + 1))
                keep, text = next((n, text) for n, (text, found) in enumerate(cuts, 1) if found)
                row, row_log_probs = row[:keep], row_log_probs[:keep]
            results.append(Generation(text, row, row_log_probs))
        return results

    def _steps(self, prompts, seeds, piece, max_new_tokens, temperature, top_k, top_p, repetition_penalty):
        """Yields (texts, ids, log_probs, ended) of all rows so far, every `piece` tokens (None: at the end)."""
        rows = [self._prompt_ids(prompt) for prompt in prompts]
        ids = pad_left(rows)
        size = len(rows)
        state = self._compiled(compiled.prefill)(ids, max_new_tokens)
        token, remaining = ids[:, -1], tf.fill([size], max_new_tokens)
        greedy, penalized = temperature <= 0, repetition_penalty != 1.0
        step = self._compiled(compiled.decode, greedy, penalized)
        seen = np.zeros([size, self.model.vocab_size if penalized else 0], bool)
        if penalized:
            for mark, row in zip(seen, rows, strict=True):
                mark[row[1:]] = True  # not the begin mark: it is the end mark too
        seeds = [(seed + 2**63) % 2**64 - 2**63 for seed in seeds]  # any whole number, as 64 bits
        options = (
            tf.fill([size], float(temperature)),
            tf.fill([size], top_k),
            tf.fill([size], float(top_p)),
            tf.constant(seeds, tf.int64),
            tf.constant(float(repetition_penalty)),
        )
        new_ids, log_probs, position = [[] for _ in rows], [[] for _ in rows], 0
        ended = max_new_tokens == 0 or not rows
        while True:
            if not ended:
                count = max_new_tokens - position if piece is None else min(piece, max_new_tokens - position)
                tokens, scores, (token, state, remaining, seen) = step(
                    token, state, remaining, tf.constant(seen), tf.constant(count), tf.constant(position), *options
                )
                for row, row_scores, t, s in zip(new_ids, log_probs, tokens.numpy(), scores.numpy(), strict=True):
                    row += t[t >= 0].tolist()
                    row_scores += s[t >= 0].tolist()
                position += count
                ended = position >= max_new_tokens or not remaining.numpy().any()
            texts = [self.tokenizer.decode(new, row[-1]) for new, row in zip(new_ids, rows, strict=True)]
            yield texts, new_ids, log_probs, ended
            if ended:
                return

    def _texts(self, texts):
        if self.tokenizer is None:
            raise InputError("this LanguageModel has no tokenizer; give one: LanguageModel(lm.model, tokenizer)")
        return as_texts(texts)

    def _prompt_ids(self, prompt):
        return [self.tokenizer.bos_id, *self.tokenizer.encode(prompt)]

    def _compiled(self, make, *options):
        key = (make, *options)
        if key not in self._functions:
            self._functions[key] = make(self.model, self.tokenizer, *options)
        return self._functions[key]

    def save(self, folder):
        """Writes config.json, model.safetensors and the tokenizer to `folder`."""
        self._texts(())
        model_folder.save(self.model, self.tokenizer, folder)

    @classmethod
    def load(cls, folder):
        """Reads a folder that `save` or `lm-keras train` wrote; InputError when it is not one, or not whole."""
        return cls(*model_folder.load(folder))
