"""A text made from another one: translation, summaries, answers in free words."""

from collections.abc import Iterable, Iterator

import tensorflow as tf
from typing_extensions import Unpack

from lm_keras.errors import InputError
from lm_keras.generation.config import GenerationConfig, GenerationOptions, check_taken, merged
from lm_keras.generation.generate import Generation, generate, stop_ids, stream
from lm_keras.generation.loop import encode_source
from lm_keras.generation.writer import Writer
from lm_keras.models.seq2seq import Seq2SeqLM
from lm_keras.serving.export.completions import completion_answers, completion_examples, completion_signatures
from lm_keras.serving.export.signatures import Served, example_texts
from lm_keras.text.copying import CopyingTokenizer
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_texts
from lm_keras.utils.functions import function


@register_text_model
class TextToText(TextModel):
    """A text for a text; an export has the signatures `generate`, `sample` and `beam`, on `source`.

    A source is its ids without marks; a target w1 w2 was trained as <begin> w1 w2 with the labels w1 w2 <end>.

    Args:
        model: A `Seq2SeqLM`, such as `models.build_seq2seq_lstm` makes. One that copies (`build_pointer_generator`)
            writes words of the source that its vocabulary has not, too; their ids are those from `vocab_size` of the
            tokenizer on.
        source_tokenizer: The tokenizer of what it reads; a `WordTokenizer` for a model that copies.
        target_tokenizer: The tokenizer of what it writes; None: the same one.

    Raises:
        InputError: The parts do not fit each other.
    """

    def __init__(self, model: Seq2SeqLM, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer | None = None):
        target_tokenizer = target_tokenizer or source_tokenizer
        if not isinstance(model, Seq2SeqLM):
            raise InputError(f"{model.name} encodes no source; give a model of build_seq2seq_lstm or _transformer")
        arguments = model.recipe.arguments
        for side, size, tokenizer in (
            ("reads", arguments["source_vocab_size"], source_tokenizer),
            ("writes", model.vocab_size - model.copy_slots, target_tokenizer),
        ):
            if tokenizer.vocab_size != size:
                raise InputError(f"the model {side} {size} words and that tokenizer has {tokenizer.vocab_size}")
        super().__init__(model, {"source_tokenizer": source_tokenizer, "target_tokenizer": target_tokenizer})
        self.source_tokenizer, self.target_tokenizer = source_tokenizer, target_tokenizer
        self._copying = _copying(model, source_tokenizer, target_tokenizer) if model.copy_slots else None
        self._writer = Writer(model, self._copying or target_tokenizer, self._copying or source_tokenizer)

    def generate(
        self,
        sources: str | Iterable[str],
        config: GenerationConfig | None = None,
        **options: Unpack[GenerationOptions],
    ) -> list[Generation]:
        """Writes the target of each source.

        Args:
            sources: A string or several.
            config: The options, without those that need a prompt, such as `begin`; None: the defaults, but greedy.
                The repetition penalty counts the words of the target alone.
            **options: In place of the config's.

        Returns:
            A Generation for each source, `num_return_sequences` in a row where that is more than 1.

        Raises:
            InputError: For an option that there is not or cannot be, and for what is no text.
        """
        return generate(self._writer, check_texts(sources), self._config(config, options))

    def stream(
        self, source: str, config: GenerationConfig | None = None, **options: Unpack[GenerationOptions]
    ) -> Iterator[str]:
        """Yields the text of `generate(source, ...)` piece by piece, never half a character or part of a stop string.

        Args:
            source: A string.
            config: The options, without those that are about a whole text, such as `num_beams`.
            **options: In place of the config's.

        Returns:
            An iterator of strings that are not empty.

        Raises:
            InputError: As `generate`, at the call, not at the first piece.
        """
        config = self._config(config, options)
        check_taken(config, "stream")
        (source,) = check_texts([source])
        stop_ids(self.target_tokenizer, config.stop_tokens)
        return stream(self._writer, source, config)

    def _config(self, config, options):
        config = merged(config, options, GenerationConfig(temperature=0))
        check_taken(config, "source")
        return config

    def signatures(self, *, max_new_tokens_limit: int = 256, num_beams: int = 4) -> Served:
        """What `export` writes: `generate`, `sample` and `beam` on source."""

        copying, tokenizer = self._copying, self.source_tokenizer

        @function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)])
        def start(source, count):
            ids, *words = [tokenizer.tf_encode(source)] if copying is None else copying.tf_encode(source)
            begin = tf.fill([tf.size(source)], self.target_tokenizer.bos_id)
            return begin, encode_source(self.model, ids.to_tensor(-1), count), *words

        texts, copied = example_texts(tokenizer), []
        if copying is not None:  # words that it has not, too
            texts, copied = [_with_unknown(copying, text) for text in texts], [tf.TensorSpec([None, None], tf.string)]
        sizes = {"limit": max_new_tokens_limit, "num_beams": num_beams}
        written = copying or self.target_tokenizer
        write = completion_signatures(self.model, written, start, "source", **sizes, copied=copied)
        return Served(
            signatures=write,
            examples=completion_examples(texts, "source", max_new_tokens_limit),
            answer=lambda name, inputs: completion_answers(self.generate, "source", num_beams, name, inputs),
            facts={"max_new_tokens_limit": max_new_tokens_limit, "num_beams": num_beams},
            max_text_bytes=2**12 if self.model.recipe.builder == "build_seq2seq_transformer" else 2**17,
        )


def _copying(model, source_tokenizer, target_tokenizer):
    """The `CopyingTokenizer` of a model that copies; InputError where the tokenizers do not fit it."""
    copying, read = CopyingTokenizer(source_tokenizer, model.copy_slots), model.recipe.arguments["unknown_id"]
    if target_tokenizer.get_config() != source_tokenizer.get_config():
        raise InputError(f"{model.name} copies words: source and target have one vocabulary; give one tokenizer")
    if read != copying.unk_id:
        raise InputError(f"{model.name} reads id {read} as the unknown word and the tokenizer's is {copying.unk_id}")
    return copying


def _with_unknown(copying, text):
    """A text after a word that the vocabulary has not; an empty one as it is."""
    word = "Qx"
    while text and not copying.encode(word).words:
        word += "x"
    return f"{word} {text}" if text else text
