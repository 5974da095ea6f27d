"""A text made from another one: translation, summaries, answers in free words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

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
from lm_keras.tasks.sources import Sources
from lm_keras.text.copying import CopyingTokenizer
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text_model import TextModel, register_text_model
from lm_keras.utils.checks import check_sizes, check_texts
from lm_keras.utils.functions import function

if TYPE_CHECKING:
    from lm_keras.data.corpora.records import TextPair
    from lm_keras.tasks.alignment import TextAlignment
    from lm_keras.tasks.text_metrics import SummaryReport, TranslationReport
    from lm_keras.training.config import TrainingConfig


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
        max_source_tokens: The most tokens of a source that are read, its first ones; None: all.

    Attributes:
        history: The measures of each epoch of `train`.

    Raises:
        InputError: The parts do not fit each other.
    """

    history: dict[str, list[float]]

    def __init__(
        self,
        model: Seq2SeqLM,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer | None = None,
        *,
        max_source_tokens: int | None = None,
    ):
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
        if max_source_tokens is not None:
            check_sizes(max_source_tokens=max_source_tokens)
        tokenizers = {"source_tokenizer": source_tokenizer, "target_tokenizer": target_tokenizer}
        super().__init__(model, tokenizers, {"max_source_tokens": max_source_tokens})
        self.source_tokenizer, self.target_tokenizer, self.history = source_tokenizer, target_tokenizer, {}
        if model.copy_slots:
            self.sources = CopyingTokenizer(source_tokenizer, model.copy_slots, max_source_tokens)
            _check_copying(model, source_tokenizer, target_tokenizer)
        else:
            self.sources = Sources(source_tokenizer, max_source_tokens)
        self._writes = self.sources if model.copy_slots else target_tokenizer
        self._writer = Writer(model, self._writes, self.sources)

    # === Training ===
    @classmethod
    def train(
        cls,
        sources: Iterable[str] | Iterable[TextPair],
        targets: Iterable[str] | None = None,
        *,
        model: Literal["transformer", "lstm", "pointer_generator"] | Seq2SeqLM = "transformer",
        tokenizer: Literal["bpe", "word", "char"] | Tokenizer | None = None,
        target_tokenizer: Literal["bpe", "word", "char"] | Tokenizer | None = None,
        vocab_size: int = 8000,
        validation: float | Iterable[TextPair] | tuple[Iterable[str], Iterable[str]] | None = None,
        metric: Literal["bleu", "chrf", "rouge1", "rouge2", "rougeL"] = "bleu",
        label_smoothing: float | None = None,
        average_checkpoints: int = 5,
        patience: int | None = None,
        max_source_tokens: int | None = None,
        max_target_tokens: int | None = None,
        config: TrainingConfig | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        **options: Any,
    ) -> TextToText:
        """Makes a model that writes a target from a source, of pairs of both: a translator, a summarizer.

        After each epoch it writes the targets of the validation pairs (the first 1,000 of them, greedily), which are
        measured; one of them is shown. The weights that are kept are those of the epoch with the best measure, or
        the mean of the weights after the last epochs (Vaswani et al. 2017, section 6.1), whichever measures better.

        Args:
            sources: Strings; or pairs (source, target), without `targets`, as `lk.data.read_pairs` returns them.
            targets: As many strings.
            model: "transformer": 4 blocks of width 128 on each side; "lstm": an LSTM that reads both ways, and one
                that writes, with attention; "pointer_generator": the same, which also copies words of the source
                that its vocabulary has not. Or a `Seq2SeqLM` of the sizes of the tokenizers' vocabularies.
            tokenizer: "bpe", "word" or "char", which is trained; or a tokenizer. None: "bpe", and "word" for a model
                that copies, which needs it.
            target_tokenizer: That of the targets, where they have a vocabulary of their own; None: one vocabulary for
                both, which a transformer then keeps in one matrix for source, target and output.
            vocab_size: The most words of each vocabulary that is trained.
            validation: Pairs to measure by; or the share of the pairs, drawn by `seed`, that is taken for it (a
                tenth, if None).
            metric: What is measured: "bleu" and "chrf" of translations, "rouge1", "rouge2", "rougeL" of summaries.
            label_smoothing: As in `losses.CrossEntropy`; None: 0.1, and 0 for a model that copies.
            average_checkpoints: Of how many of the last epochs the mean of the weights is tried; 1: of none.
            patience: The epochs without a better measure after which the training stops; None: it does not.
            max_source_tokens: The most tokens of a source that are read, in use too; None: all.
            max_target_tokens: The most tokens of a target that are learned; None: all.
            config: The settings of the training; None: `lk.tasks.text_to_text_training.SETTINGS`.
            epochs: In place of the config's: the passes over the pairs.
            batch_size: In place of the config's.
            learning_rate: In place of the config's.
            seed: Of the starting weights, dropout, the order of the pairs and the validation pairs.
            **options: Other settings of `TrainingConfig`, and arguments of the model's builder, such as `dropout`.

        Returns:
            The TextToText; `history` has the loss and the measure of each epoch.

        Raises:
            InputError: For what are no pairs, and an unknown model, tokenizer, metric or option.

        Example:

        ```python
        pairs = lk.data.read_parallel("train.de", "train.en")
        translator = lk.tasks.TextToText.train(pairs, epochs=20)
        print(translator.generate("Ein Hund läuft über die Wiese.", num_beams=5)[0].text)
        lk.export(translator, "saved_models/de-en")
        ```
        """
        from lm_keras.tasks.text_to_text_training import train_text_to_text

        given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        return train_text_to_text(
            cls,
            sources,
            targets,
            model=model,
            tokenizer=tokenizer,
            target_tokenizer=target_tokenizer,
            vocab_size=vocab_size,
            validation=validation,
            metric=metric,
            label_smoothing=label_smoothing,
            average_checkpoints=average_checkpoints,
            patience=patience,
            max_source_tokens=max_source_tokens,
            max_target_tokens=max_target_tokens,
            config=config,
            settings={name: value for name, value in given.items() if value is not None},
            seed=seed,
            options=options,
        )

    def evaluate(
        self,
        sources: Iterable[str] | Iterable[TextPair],
        targets: Iterable[str | Sequence[str]] | None = None,
        *,
        metric: Literal["bleu", "rouge"] = "bleu",
        level: float = 0.95,
        config: GenerationConfig | None = None,
        **options: Any,
    ) -> TranslationReport | SummaryReport:
        """Measures what it writes against references.

        Args:
            sources: Strings; or pairs (source, target), without `targets`.
            targets: A reference for each source, or a list of several.
            metric: "bleu": a `translation_report`; "rouge": a `summary_report`.
            level: The share of such intervals that hold the true value.
            config: How it writes, as in `generate`.
            **options: The same; and those of the report, such as `lowercase` or `stemmer`.

        Returns:
            The report.

        Raises:
            InputError: For another number of targets than sources, and unknown options.
        """
        from lm_keras.data.pairs import as_pairs
        from lm_keras.tasks.text_metrics import summary_report, translation_report
        from lm_keras.utils.checks import check_choice

        check_choice("metric", metric, ("bleu", "rouge"))
        sources = list(sources)
        if targets is None:
            sources, targets = zip(*as_pairs(sources), strict=True)
        names = ("tokenize", "lowercase", "stemmer", "language")
        asked = {name: options.pop(name) for name in names if name in options}
        written = [found.text for found in self.generate(sources, config, **options)]
        report = translation_report if metric == "bleu" else summary_report
        return report(written, list(targets), level=level, **asked)

    # === Writing ===

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

    def alignment(self, source: str, target: str | None = None, *, layer: int = -1) -> TextAlignment:
        """What each token that is written looks at in the source: the weights of the attention between both.

        Args:
            source: A text.
            target: What is written; None: what the model writes of the source, greedily.
            layer: Which layer of the decoder, as a place in a list; an LSTM has one.

        Returns:
            A `TextAlignment`: the tokens of both, the weights [T, S], and `plot()`.

        Raises:
            InputError: For a model without attention, a source without a token, and a layer that there is not.

        Example:

        ```python
        translator.alignment("Ein Hund läuft.", "A dog runs.").plot().savefig("alignment.png")
        ```
        """
        from lm_keras.tasks.alignment import alignment_of

        return alignment_of(self, source, target, layer)

    def _config(self, config, options):
        config = merged(config, options, GenerationConfig(temperature=0))
        check_taken(config, "source")
        return config

    def signatures(self, *, max_new_tokens_limit: int = 256, num_beams: int = 4) -> Served:
        """What `export` writes: `generate`, `sample` and `beam` on source."""

        copies = bool(self.model.copy_slots)

        @function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)])
        def start(source, count):
            ids, *words = self.sources.tf_encode(source) if copies else [self.sources.tf_encode(source)]
            begin = tf.fill([tf.size(source)], self.target_tokenizer.bos_id)
            return begin, encode_source(self.model, ids, count), *words

        texts, copied = example_texts(self.source_tokenizer), []
        if copies:  # with a word that the vocabulary has not
            texts, copied = [_with_unknown(self.sources, t) for t in texts], [tf.TensorSpec([None, None], tf.string)]
        sizes = {"limit": max_new_tokens_limit, "num_beams": num_beams}
        write = completion_signatures(self.model, self._writes, start, "source", **sizes, copied=copied)
        return Served(
            signatures=write,
            examples=completion_examples(texts, "source", max_new_tokens_limit),
            answer=lambda name, inputs: completion_answers(self.generate, "source", num_beams, name, inputs),
            facts={"max_new_tokens_limit": max_new_tokens_limit, "num_beams": num_beams},
            max_text_bytes=2**12 if self.model.recipe.builder == "build_seq2seq_transformer" else 2**17,
        )


def _check_copying(model, source_tokenizer, target_tokenizer):
    """InputError where the tokenizers do not fit a model that copies."""
    if target_tokenizer.get_config() != source_tokenizer.get_config():
        raise InputError(f"{model.name} copies words: source and target have one vocabulary; give one tokenizer")
    read, given = model.recipe.arguments["unknown_id"], source_tokenizer.unk_id
    if read != given:
        raise InputError(f"{model.name} reads id {read} as the unknown word and the tokenizer's is {given}")


def _with_unknown(copying, text):
    """A text after a word that the vocabulary has not; an empty one as it is."""
    word = "Qx"
    while text and not copying.encode(word).words:
        word += "x"
    return f"{word} {text}" if text else text
