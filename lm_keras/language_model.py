"""A model together with its tokenizer: text in, text out."""

import os

from lm_keras import model_folder
from lm_keras.errors import InputError
from lm_keras.generation import choices, text_scores, texts
from lm_keras.generation.choices import Choice
from lm_keras.generation.compiled import Functions
from lm_keras.generation.options import Options, as_texts, stop_ids
from lm_keras.generation.text_scores import Score
from lm_keras.generation.texts import Generation
from lm_keras.serving.language_model import language_model_signatures
from lm_keras.serving.served import Served
from lm_keras.text_model import TextModel

__all__ = ["Choice", "Generation", "LanguageModel", "Score"]


class LanguageModel(TextModel):
    """Bundles a causal model (`CausalLM`, logits [B, T, V]) and a tokenizer of the same vocabulary.

    `tokenizer=None`: what takes or gives text raises InputError; `model` works.

    Every text begins with the tokenizer's begin mark, as the windows of `data.lm_windows` do in training. GPT-2 in
    transformers has none (its `<|endoftext|>`, both begin and end, stands between texts): `begin=False`, which
    `generate`, `stream`, `score` and `choose` take, gives that text and those probabilities. A prompt must have a
    token then. An export always puts the mark.
    """

    def __init__(self, model, tokenizer):
        model_folder.check_pair(model, tokenizer)
        super().__init__(model, {} if tokenizer is None else {"tokenizer": tokenizer})
        self.tokenizer = tokenizer
        self._functions = Functions(model, tokenizer)

    def score(self, texts, *, begin=True, end=True):
        """Scores each text: the sum of log p(token | before) over its tokens and, with `end`, the end mark.

        Returns a Score a text. A text that is empty has one token, the end mark. With a word tokenizer the
        bits a byte count unknown words as <unk>, so they compare only among models of one vocabulary.
        `begin=False` puts no begin mark before it (`<|endoftext|>` for GPT-2): then the first token has no
        probability and does not count. `begin=False, end=False` is what transformers' loss of a GPT-2 counts.
        Raises InputError where no token is left to score.
        """
        return text_scores.score(self._functions, self._texts(texts), begin, end)

    def choose(self, prompts, answers, *, end=False, normalize=None, begin=True):
        """Which of the `answers` (a list of strings) follows each prompt: a list of Choices a prompt, best first.

        A Choice has log p(answer | prompt), the answer's tokens after the prompt's (so that a BPE answer brings
        its leading space), with `end=True` of the end mark too, which tells an answer from one that goes on.
        Probabilities are the softmax over the answers of these, with `normalize="tokens"` of their means a token.
        `begin=False`: no begin mark before the prompt, see `LanguageModel`.
        """
        return choices.choose(self._functions, self._texts(prompts), self._texts(answers), end, normalize, begin)

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
        *,
        min_p=0.0,
        min_new_tokens=0,
        stop_tokens=None,
        num_return_sequences=1,
        length_penalty=0.0,
        penalty_alpha=0.0,
        top_logprobs=0,
        jit_compile=False,
        begin=True,
    ):
        """Continues each prompt (a string or a list of strings of any lengths); returns a list, a Generation each.

        The text samples (`temperature=0` is greedy), or is the likeliest that `num_beams > 1` find, or that of
        contrastive search, `penalty_alpha > 0`; each option is defined in `lm_keras.generation.options.Options`,
        and what a prompt longer than the model's memory does in `lm_keras.generation.context`. A text ends at
        the end mark, at one of `stop_tokens`, or before the first of the strings `stop`; unknown-word and padding
        marks are never chosen. `repetition_penalty > 1` makes the prompt's and the text's own words less likely.
        A row depends on its prompt, the options and `seed` alone; the k-th repeat of a prompt takes seed + k, so
        that `[prompt] * 3` gives three texts, and so does `num_return_sequences=3`: three in a row for each
        prompt. Of a beam search these are the best ones. `top_logprobs=n` adds the n likeliest words at each place.
        The begin mark stands before each prompt, for GPT-2 `<|endoftext|>`; with `begin=False` the greedy text of a
        checkpoint is that of transformers.
        """
        options = Options(
            max_new_tokens, temperature, top_k, top_p, num_beams, repetition_penalty, stop, seed, min_p,
            min_new_tokens, stop_tokens, num_return_sequences, length_penalty, penalty_alpha, top_logprobs,
            jit_compile, begin,
        )  # fmt: skip
        return texts.generate(self._functions, self._texts(prompts), options)

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
        *,
        min_p=0.0,
        min_new_tokens=0,
        stop_tokens=None,
        begin=True,
    ):
        """Yields the text of `generate(prompt, ...)` piece by piece, never half a character or part of a stop."""
        options = Options(
            max_new_tokens, temperature, top_k, top_p, 1, repetition_penalty, stop, seed, min_p, min_new_tokens,
            stop_tokens, begin=begin,
        )  # fmt: skip
        (prompt,) = self._texts([prompt])
        stop_ids(self.tokenizer, options.stop_tokens)  # a mistake shows at the call, not at the first piece
        texts.prompt_ids(self._functions, prompt, begin)
        return texts.stream(self._functions, prompt, options)

    def _texts(self, texts):
        if self.tokenizer is None:
            raise InputError("this LanguageModel has no tokenizer; give one: LanguageModel(lm.model, tokenizer)")
        return as_texts(texts)

    def signatures(self, *, max_new_tokens_limit: int = 256, num_beams: int = 4) -> Served:
        """What `export` writes: `score` on text, `generate`, `sample` and `beam` on prompt."""
        self._texts(())
        return language_model_signatures(self, max_new_tokens_limit, num_beams)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes config.json, model.safetensors and the tokenizer to `folder`.

        LoRA adapters (`layer.enable_lora(rank)`) are merged, as in a .keras file: what `load` gives has the same
        numbers and no adapters. Raises InputError, before anything is written, for adapters on quantized weights.
        """
        self._texts(())
        model_folder.save(self.model, self.tokenizer, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "LanguageModel":
        """Reads a folder that `save` or `lm-keras train` wrote; InputError when it is not one, or not whole."""
        return cls(*model_folder.load(folder))
