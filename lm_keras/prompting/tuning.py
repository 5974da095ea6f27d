"""Learned prompts on a frozen language model: vectors in the place of words, or a first state."""

from __future__ import annotations

import math
import os
from typing import Self

import keras
import numpy as np
import tensorflow as tf

from lm_keras.errors import InputError
from lm_keras.language_model import LanguageModel
from lm_keras.models.learned import MOST_TOKENS, LearnedPrompt, state_after, with_room
from lm_keras.models.prompted import LearnedState, LearnedVectors, PromptedLM
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.checks import check_choice, check_seed, check_texts, check_whole
from lm_keras.utils.functions import TracedFunctions
from lm_keras.utils.saved_kinds import LEARNED


class Tuning(LanguageModel):
    """A language model after a prompt that is learned: `PromptTuning` or `PrefixTuning`.

    `learned` is the prompt as it is now, a reparameterization folded into its vectors.

    Args:
        language_model: The language model. Its weights are shared and never changed.
        layer: The prompt's numbers.
    """

    def __init__(self, language_model: LanguageModel, layer: LearnedVectors | LearnedState):
        super().__init__(language_model.model, language_model.tokenizer)
        self.layer, self._training = layer, TracedFunctions()
        self._writer = language_model._writer.with_learned(_Current(layer))

    @property
    def training_model(self) -> PromptedLM:
        """The `keras.Model` ids [B, T] -> logits [B, T, V] after the prompt, whose only variables are the prompt's.

        `lk.fit(tuned, ...)` trains it, and so do its own `compile` and `fit`. Its data are those of the language
        model: rows with the begin mark first, T at most the model's context less `num_tokens`.
        """
        model = self.model
        return self._training.get(model, "training", lambda: PromptedLM(self.layer, model))

    def save(self, path: str | os.PathLike) -> None:
        """Writes what was learned, a small file; `lm.with_prompt(tuned.learned).save(folder)` writes all.

        Args:
            path: The file.

        Raises:
            InputError: The training has diverged, or the file cannot be written.
        """
        self.learned.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike, language_model: LanguageModel) -> Self:
        """Reads what `save` wrote, to be used or trained further, without a reparameterization.

        Args:
            path: The file, or the folder of a run of `lk.fit`.
            language_model: The language model that it was learned for.

        Raises:
            InputError: The file is no such prompt, or of another model.
        """
        path = path_of(path)
        learned = LearnedPrompt.load(path / LEARNED if path.is_dir() else path)
        if not isinstance(language_model, LanguageModel):
            raise InputError(f"{cls.__name__}.load takes a LanguageModel, not a {type(language_model).__name__}")
        learned.check_fits(language_model.model)
        made = cls.__new__(cls)
        Tuning.__init__(made, language_model, cls._layer(learned, path))
        return made


class PromptTuning(Tuning):
    """Prompt tuning (Lester et al. 2021): vectors in the place of words, before every text, on a frozen model.

    It is a LanguageModel: what it writes and scores, and its export, follow its prompt as it is at the time.

    Args:
        language_model: A LanguageModel without a prompt, of any family.
        num_tokens: K, the vectors, each of which takes the place of a token.
        init_text: A text whose word vectors they start from, its tokens repeated or cut to K. None: the vectors of
            tokens of the vocabulary that are drawn at random.
        reparameterization: None: the vectors themselves are learned. "mlp" or "lstm": what makes them too (P-tuning,
            Liu et al. 2021), see `LearnedVectors`; it is folded away in `learned` and `save`.
        seed: Of what is drawn at random.

    Raises:
        InputError: There is a prompt or no tokenizer, a text without a token, or no room for K tokens.

    Example:

    ```python
    tuned = lk.prompting.PromptTuning(lm, num_tokens=20, init_text="Is this film review good or bad?")
    windows = lk.data.lm_windows(texts, lm.tokenizer, length=40, batch_size=8)
    lk.fit(tuned, windows, config=lk.TrainingConfig(learning_rate=0.01, weight_decay=0.0, warmup_steps=0))
    tuned.save("reviews.safetensors")
    lk.export(tuned, "saved_models/reviews")
    ```
    """

    def __init__(
        self,
        language_model: LanguageModel,
        num_tokens: int = 20,
        init_text: str | None = None,
        *,
        reparameterization: str | None = None,
        seed: int = 0,
    ):
        check_choice("reparameterization", reparameterization, (None, "mlp", "lstm"))
        ids = _first_ids(language_model, num_tokens, init_text, np.random.default_rng(check_seed(seed)))
        vectors = language_model.model.word_vectors_model(tf.constant([ids], tf.int32))[0]
        vectors = tf.cast(vectors, tf.float32).numpy()
        super().__init__(language_model, LearnedVectors(vectors, reparameterization, int(seed), name="prompt"))

    @staticmethod
    def _layer(learned, path):
        if learned.vectors is None:
            raise InputError(f"{path} is a learned state, not vectors; PrefixTuning.load reads it")
        return LearnedVectors(learned.vectors, name="prompt")


class PrefixTuning(Tuning):
    """Prefix tuning (Li & Liang 2021): the state before every text is learned, on a frozen model.

    For a transformer that are the keys and values of K tokens in each layer, for a recurrent model its first state,
    such as (h, c), for a feed-forward or convolutional one the last inputs of its layers. It is a LanguageModel: what
    it writes and scores, and its export, follow its prompt as it is at the time.

    Args:
        language_model: A LanguageModel without a prompt, of any family.
        num_tokens: K, the tokens that a transformer's prefix takes the place of.
        init_text: The prefix starts as the state after a text, its tokens repeated or cut to K. None: after the first
            K ordinary tokens of the vocabulary, which for a vocabulary in the order of frequency are the commonest.

    Raises:
        InputError: There is a prompt or no tokenizer, a text without a token, or no room for K tokens.

    Example:

    ```python
    prefix = lk.prompting.PrefixTuning(lm, num_tokens=20)
    lk.fit(prefix, windows, config=lk.TrainingConfig(learning_rate=0.003, weight_decay=0.0, warmup_steps=0))
    prefix.generate("The film was", temperature=0)
    ```
    """

    def __init__(self, language_model: LanguageModel, num_tokens: int = 20, init_text: str | None = None):
        ids = _first_ids(language_model, num_tokens, init_text)
        state = state_after(language_model.model, ids)
        super().__init__(language_model, LearnedState(state, len(ids), name="prompt"))

    @staticmethod
    def _layer(learned, path):
        if learned.state is None:
            raise InputError(f"{path} is a prompt of vectors, not a state; PromptTuning.load reads it")
        return LearnedState(learned.state, learned.num_tokens, name="prompt")


class _Current:
    """The prompt of a layer as a `Writer` asks for it: as it is at the time."""

    def __init__(self, layer: LearnedVectors | LearnedState):
        self.layer, self.num_tokens = layer, layer.num_tokens

    def first_state(self, model):
        return with_room(self.layer.state(model), model, 1)

    def current(self, model):
        return self.layer.learned(model)

    def sample(self):
        return b"".join(keras.ops.convert_to_numpy(weight).tobytes() for weight in self.layer.weights)


def _first_ids(language_model, num_tokens, init_text, rng=None) -> list[int]:
    """The ids [K] that a prompt starts from: of a text, drawn by `rng`, or the first of the vocabulary."""
    if not isinstance(language_model, LanguageModel):
        raise InputError(f"a prompt is learned on a LanguageModel, not a {type(language_model).__name__}")
    num_tokens = check_whole("num_tokens", num_tokens, most=MOST_TOKENS)
    model, tokenizer = language_model.model, language_model.tokenizer
    language_model.ids_before()  # which asks for a tokenizer
    check_texts([] if init_text is None else [init_text], "init_text")
    if model.context_length is not None and num_tokens + 1 >= model.context_length:
        raise InputError(
            f"num_tokens is {num_tokens} and {model.name} sees {model.context_length} tokens, which leaves no room "
            "for a begin mark and a text after them; give fewer"
        )
    if init_text is not None:
        ids = tokenizer.encode(init_text)
        if not ids:
            raise InputError(f"init_text is {init_text!r:.40}, which has no token; give another, or leave it out")
    else:
        marks = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, *tokenizer.end_ids}
        ordinary = [i for i, token in enumerate(tokenizer.tokens) if not token.startswith(("<", "["))]
        ids = ordinary or [i for i in range(tokenizer.vocab_size) if i not in marks] or [tokenizer.bos_id]
        if rng is not None:
            return rng.choice(ids, num_tokens).tolist()
    return (ids * math.ceil(num_tokens / len(ids)))[:num_tokens]
