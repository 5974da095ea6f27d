"""A model together with its tokenizer: text in, text out."""

import os
from collections.abc import Iterable, Iterator

import keras
from typing_extensions import Unpack

from lm_keras.errors import InputError
from lm_keras.generation.answers import Choice, choose
from lm_keras.generation.chat import Messages, chat_ids, check_chat, reply, reply_config, reply_pieces
from lm_keras.generation.config import GenerationConfig, GenerationOptions, check_taken, merged
from lm_keras.generation.generate import Generation, generate, stop_ids, stream
from lm_keras.generation.prompt_cache import PromptCache
from lm_keras.generation.scoring import Score, score
from lm_keras.generation.writer import Writer, prompt_ids
from lm_keras.models import folder as model_folder
from lm_keras.models.causal_lm import CausalLM
from lm_keras.models.learned import LearnedPrompt
from lm_keras.models.quantization import quantization_of, weight_only, without_lora
from lm_keras.serving.export.completions import language_model_signatures
from lm_keras.serving.export.signatures import Served
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.unicode import valid
from lm_keras.text_model import TextModel
from lm_keras.utils.checks import check_texts

__all__ = ["Choice", "Generation", "LanguageModel", "Score"]


class LanguageModel(TextModel):
    """A causal model with its tokenizer: scores and writes text.

    Every text begins with the tokenizer's begin mark, as the windows of `data.lm_windows` do in training. GPT-2 in
    transformers has none (its `<|endoftext|>`, both begin and end, stands between texts): `begin=False`, which
    `generate`, `stream`, `score` and `choose` take, gives that text and those probabilities. A prompt must have a
    token then. An export always puts the mark.

    Args:
        model: A `CausalLM`, ids [B, T] -> logits [B, T, V].
        tokenizer: A tokenizer of V tokens; None: what takes or gives text raises InputError, `model` works.

    Raises:
        InputError: The model is no CausalLM, or the tokenizer of another vocabulary.
    """

    def __init__(self, model: CausalLM, tokenizer: Tokenizer | None):
        model_folder.check_pair(model, tokenizer)
        super().__init__(model, {} if tokenizer is None else {"tokenizer": tokenizer})
        self.tokenizer = tokenizer
        self._writer = Writer(model, tokenizer)

    def with_prompt(self, prompt: str | LearnedPrompt) -> "LanguageModel":
        """Returns this language model with a prompt before every text; the prompt is read once.

        `lm.with_prompt(p).generate(t)` is `lm.generate(p + t)`; the same holds for `stream`, `choose` and an export.
        `score(t)` is log p(t | p): the tokens of p + t beyond those of p count, and the bytes of t. A second prompt
        comes after the first.

        A prompt stays: a model of limited context whose memory is full forgets the older half of the text after it
        (`lm_keras.generation.context`), where `lm.generate(p + t)` forgets the prompt.

        The model and its traced functions are shared. The prompt's state is computed at the first answer, and again
        at the first one after a training: some numbers of each weight are compared.

        A `lk.prompting.LearnedPrompt` stands before the begin mark and all text; it is given first.

        Args:
            prompt: A string, or a LearnedPrompt.

        Returns:
            The LanguageModel; `prompt` is its text, `learned` the LearnedPrompt, and `prompt_cache` what it has read.

        Raises:
            InputError: The prompt is no text, or not shorter than the model's context; a LearnedPrompt is of another
                model, or not the first prompt.

        Example:

        ```python
        reviews = lm.with_prompt("A fine film: good. Two lost hours: bad. ")
        reviews.choose("I laughed all along:", [" good", " bad"])
        lk.export(reviews, "saved_models/reviews")
        ```
        """
        if isinstance(prompt, LearnedPrompt):
            self._texts(())
            prompt.check_fits(self.model)
            writer = self._writer.with_learned(prompt)
        else:
            writer = self._writer.with_prompt(valid(*self._texts([prompt])))
        made = LanguageModel(self.model, self.tokenizer)
        made._writer = writer
        return made

    def with_model(self, model: CausalLM) -> "LanguageModel":
        """Returns this language model, its prompt too, around another model of the same vocabulary.

        Args:
            model: A `CausalLM`, such as a copy of `self.model` with other weights.

        Returns:
            The LanguageModel.
        """
        return _prompted(LanguageModel(model, self.tokenizer), self.prompt, self.learned)

    @property
    def prompt(self) -> str:
        """The text before every text, "" unless `with_prompt` made this language model."""
        return self._writer.prompt

    @property
    def learned(self) -> LearnedPrompt | None:
        """The learned prompt before every text, or None."""
        learned = self._writer.learned
        return None if learned is None else learned.current(self.model)

    @property
    def training_model(self) -> keras.Model:
        """What `lk.fit` trains and `lk.evaluate` evaluates: the model itself, or that of a tuning of `lk.prompting`.

        Raises:
            InputError: There is a prompt, which no window of a dataset follows.
        """
        if self._writer.prompted:
            raise InputError(
                f"{self.model.name} has a prompt, which is not read before windows; give the language model without "
                "it, or a PromptTuning or PrefixTuning (its score(texts) reads the prompt)"
            )
        return self.model

    @property
    def writer(self) -> Writer:
        """What generates and scores: the model, its tokenizer, its traced functions, and the prompt before all."""
        return self._writer

    @property
    def prompt_cache(self) -> PromptCache:
        """The token ids of the prompt, the begin mark before them, and the model's state after those it has read."""
        self._texts(())
        return self._writer.cache()

    def ids_before(self, begin: bool = True) -> list[int]:
        """The token ids before all text: V, V + 1, ... in the places of a learned prompt, and the begin mark."""
        self._texts(())
        return self._writer.before(begin)

    def score(self, texts: str | Iterable[str], *, begin: bool = True, end: bool = True) -> list[Score]:
        """Scores each text: the sum of log p(token | before) over its tokens.

        `begin=False, end=False` is what transformers' loss of a GPT-2 counts.

        Args:
            texts: A string or several. A text that is empty has one token, the end mark. With a word tokenizer the
                bits a byte count unknown words as <unk>, so they compare only among models of one vocabulary.
            begin: Whether the begin mark stands before the text (`<|endoftext|>` for GPT-2). Without it the first
                token has no probability and does not count.
            end: Whether the end mark counts as a token.

        Returns:
            A Score for each text.

        Raises:
            InputError: A text has no token to score, or is none.
        """
        return score(self._writer, self._texts(texts), begin, end)

    def choose(
        self,
        prompts: str | Iterable[str],
        answers: str | Iterable[str],
        *,
        end: bool = False,
        normalize: str | None = None,
        begin: bool = True,
    ) -> list[list[Choice]]:
        """Says which of some answers follows each prompt, by log p(answer | prompt).

        Args:
            prompts: A string or several.
            answers: Strings. Their tokens come after the prompt's, so that a BPE answer brings its leading space.
            end: Whether the end mark counts too, which tells an answer from one that goes on.
            normalize: None: probabilities are the softmax of these over the answers; "tokens": of their means per
                token.
            begin: Whether the begin mark stands before the prompt, see `LanguageModel`.

        Returns:
            For each prompt a list of Choices, best first.

        Raises:
            InputError: For no answers, one without a token, and for what is no text.
        """
        return choose(self._writer, self._texts(prompts), self._texts(answers), end, normalize, begin)

    def generate(
        self,
        prompts: str | Iterable[str],
        config: GenerationConfig | None = None,
        **options: Unpack[GenerationOptions],
    ) -> list[Generation]:
        """Continues each prompt.

        The text samples (`temperature=0` is greedy), or is the likeliest that `num_beams > 1` find, or that of
        contrastive search, `penalty_alpha > 0`. It ends at an end mark of the tokenizer, at one of `stop_tokens`, or
        before the first of the strings `stop`; unknown-word and padding marks are never chosen. A row depends on its
        prompt, the options and `seed` alone; the k-th repeat of a prompt takes `seed + k`, so that `[prompt] * 3`
        gives three texts, and so does `num_return_sequences=3`. `lm_keras.generation.context` says what a prompt
        longer than the model's memory does.

        Args:
            prompts: A string or several, of any lengths.
            config: The options; None: the defaults.
            **options: In place of the config's. `GenerationConfig` says what each means.

        Returns:
            A Generation for each prompt, `num_return_sequences` in a row where that is more than 1.

        Raises:
            InputError: For an option that there is not or cannot be, and for what is no text.
        """
        return generate(self._writer, self._texts(prompts), merged(config, options))

    def stream(
        self, prompt: str, config: GenerationConfig | None = None, **options: Unpack[GenerationOptions]
    ) -> Iterator[str]:
        """Yields the text of `generate(prompt, ...)` piece by piece, never half a character or part of a stop string.

        Args:
            prompt: A string.
            config: The options, without those that are about a whole text, such as `num_beams`.
            **options: In place of the config's.

        Returns:
            An iterator of strings that are not empty.

        Raises:
            InputError: As `generate`, at the call, not at the first piece.
        """
        config = merged(config, options)
        check_taken(config, "stream")
        (prompt,) = self._texts([prompt])
        stop_ids(self.tokenizer, config.stop_tokens)
        prompt_ids(self._writer, prompt, config.begin)
        return stream(self._writer, prompt, config)

    def chat(
        self,
        messages: Messages,
        config: GenerationConfig | None = None,
        **options: Unpack[GenerationOptions],
    ) -> Generation:
        """Replies to the messages of a chat, by the chat template of the tokenizer.

        The reply ends at an end mark of the tokenizer or the special token that the template puts after an answer,
        which are not in its text; where the template writes text there, give it as `stop`. Where the messages and
        `max_new_tokens` are more than the model's context, the fewest oldest turns are left out (a user's message
        and what follows it), never the system's message or the last turn. What looks like a mark of the template in
        a message is text. `lk.contexts.Conversation` keeps the messages, and what the model has read of them.

        A learned prompt stands before all; a prompt of text has no place in a chat.

        Args:
            messages: `[{"role": "user", "content": "..."}, ...]`.
            config: The options, as `generate` has them; None: the defaults.
            **options: In place of the config's; not `num_return_sequences` and `begin`.

        Returns:
            The Generation.

        Raises:
            InputError: The tokenizer has no chat template, or that does not take the messages; the last turn does not
                fit; for an option that there is not or cannot be.

        Example:

        ```python
        reply = lm.chat([{"role": "user", "content": "What is the capital of France?"}], temperature=0)
        print(reply.text)
        ```
        """
        config = self._reply_config(config, options)
        return reply(self._writer, messages, config)

    def stream_chat(
        self, messages: Messages, config: GenerationConfig | None = None, **options: Unpack[GenerationOptions]
    ) -> Iterator[str]:
        """Yields the text of `chat(messages, ...)` piece by piece, as `stream` does that of `generate`.

        Args:
            messages: As of `chat`.
            config: The options, without those that are about a whole text, such as `num_beams`.
            **options: In place of the config's.

        Returns:
            An iterator of strings that are not empty.

        Raises:
            InputError: As `chat`, at the call, not at the first piece.
        """
        config = self._reply_config(config, options, streamed=True)
        return reply_pieces(self._writer, chat_ids(self._writer, messages, config.max_new_tokens), config)

    def _reply_config(self, config, options, streamed=False):
        self._texts(())
        check_chat(self._writer)
        return reply_config(self.tokenizer, merged(config, options), streamed)

    def _texts(self, texts):
        if self.tokenizer is None:
            raise InputError("this LanguageModel has no tokenizer; give one: LanguageModel(lm.model, tokenizer)")
        return check_texts(texts)

    def signatures(self, *, max_new_tokens_limit: int = 256, num_beams: int = 4, chat: bool | None = None) -> Served:
        """What `export` writes: `score` on text; `generate`, `sample` and `beam` on prompt; `chat` on messages.

        Args:
            max_new_tokens_limit: The most new tokens of a text.
            num_beams: Width of `beam`.
            chat: Whether `chat` is among them. None: if the tokenizer has a chat template that writes constant pieces
                by role, and there is no prompt of text.

        Returns:
            The Served.

        Raises:
            InputError: There is no tokenizer; `chat` is True and the template does not allow it.
        """
        self._texts(())
        return language_model_signatures(self, max_new_tokens_limit, num_beams, chat)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes config.json, model.safetensors, the tokenizer and the prompt, if there is one, to a folder.

        LoRA adapters (`layer.enable_lora(rank)`) are merged, as in a .keras file: what `load` gives has the same
        numbers and no adapters.

        Args:
            folder: The folder. It is made where it is not there.

        Raises:
            InputError: There are adapters on quantized weights, weights that are not finite, no tokenizer, or
                something of another kind in the folder. Nothing is written then.
        """
        self._texts(())
        model_folder.save(self.model, self.tokenizer, folder, self.prompt, self.learned)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "LanguageModel":
        """Reads a folder that `save` or `lm-keras train` wrote.

        Args:
            folder: The folder.

        Returns:
            The LanguageModel, with the prompt with which it was saved.

        Raises:
            InputError: It is none, or not whole.
        """
        made = cls(*model_folder.load(folder))
        return _prompted(made, *model_folder.load_prompt(folder))


def _prompted(language_model, prompt, learned):
    """A language model with a learned prompt and one of text, where there are such."""
    made = language_model if learned is None else language_model.with_prompt(learned)
    return made.with_prompt(prompt) if prompt else made


# === Language models of a quarter or an eighth of the size: weights of 8 or 4 bits ===


def quantize(language_model: LanguageModel, mode: str) -> LanguageModel:
    """Returns a LanguageModel of a quarter or an eighth of the size; the given one stays as it is.

    Keras' own `Model.quantize` with a config that leaves activations in float (`models.quantization.weight_only`), so
    that a text's answer does not depend on those beside it. It scores, generates, saves, loads and exports as any
    other, but cannot be trained. `model.quantize(...)` changes a model in place, with Keras' own defaults or yours.
    LoRA adapters are merged before.

    Args:
        language_model: A LanguageModel of float weights.
        mode: "int8" or "int4", the bits of a weight.

    Raises:
        InputError: The mode is another, or the model is quantized already.
    """
    if not isinstance(language_model, LanguageModel):
        what = type(language_model).__name__
        raise InputError(f"quantize takes a LanguageModel, not a {what}; of a keras.Model use model.quantize(mode)")
    config, model = weight_only(mode), language_model.model
    if quantization_of(model):
        raise InputError(f"{model.name} is quantized already; quantize the float model")
    copy = without_lora(model)
    if copy is model:
        copy = type(model).from_config(model.get_config())
        copy.set_weights(model.get_weights())
    copy.quantize(config=config)
    return language_model.with_model(copy)
