"""`TextToText.train`: from pairs of source and target to a trained model, chosen by what it writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from lm_keras.data.pairs import TextPair, as_pairs, pairs
from lm_keras.data.splitting import split_texts
from lm_keras.errors import InputError
from lm_keras.losses import CrossEntropy
from lm_keras.models.seq2seq import Seq2SeqLM
from lm_keras.tasks.encoders import check_options, is_chinese
from lm_keras.tasks.text_sums import bleu_and_chrf, rouge
from lm_keras.tasks.training import run_config, settings_of
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.training.config import TrainingConfig
from lm_keras.training.fit import fit
from lm_keras.utils.checks import check_choice, check_number, check_whole
from lm_keras.utils.quiet import tell

if TYPE_CHECKING:
    from lm_keras.tasks.text_to_text import TextToText

# Of the model: the arguments of its builder, and the settings of `TrainingConfig`.
SIZES: dict[str, dict[str, Any]] = {
    "transformer": {
        "hidden_dim": 128,
        "num_layers": 4,
        "num_heads": 4,
        "feed_forward_dim": 256,
        "dropout": 0.2,
        "pre_norm": True,
    },
    "lstm": {
        "embedding_dim": 256,
        "hidden_dim": 256,
        "dropout": 0.2,
        "bidirectional": True,
        "attention": "multiplicative",
        # From Keras' own word vectors, U(-0.05, 0.05), the first epochs teach only how frequent words are.
        "initializer_range": 0.15,
    },
    "pointer_generator": {"embedding_dim": 128, "hidden_dim": 256, "dropout": 0.3},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "transformer": {
        "epochs": 30,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "warmup_steps": 400,
        "beta_2": 0.98,
        "weight_decay": 1e-4,
    },
    "lstm": {"epochs": 15, "batch_size": 32, "learning_rate": 6e-3, "warmup_steps": 100, "weight_decay": 1e-4},
    "pointer_generator": {
        "epochs": 15,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "warmup_steps": 100,
        "weight_decay": 1e-4,
    },
}
IN_ALL = 1000  # updates, at least about so many of few pairs
MEASURED = 1000  # validation pairs whose targets are written after each epoch
METRICS = ("bleu", "chrf", "rouge1", "rouge2", "rougeL")
MORE = 10  # tokens that a validation target may have more than the longest one to learn


def train_text_to_text(
    kind: type[TextToText],
    sources: Iterable[Any],
    targets: Iterable[str] | None,
    *,
    model: str | Seq2SeqLM,
    tokenizer: str | Tokenizer | None,
    target_tokenizer: str | Tokenizer | None,
    vocab_size: int,
    validation: object,
    metric: str,
    label_smoothing: float | None,
    average_checkpoints: int,
    patience: int | None,
    max_source_tokens: int | None,
    max_target_tokens: int | None,
    config: TrainingConfig | None,
    settings: dict[str, Any],
    seed: int,
    options: dict[str, Any],
) -> TextToText:
    """Returns a trained model of the class `kind`; the arguments are those of `TextToText.train`."""
    check_choice("metric", metric, METRICS)
    check_whole("average_checkpoints", average_checkpoints)
    if patience is not None:
        check_whole("patience", patience, 0)
    copies = model.copy_slots > 0 if isinstance(model, Seq2SeqLM) else model == "pointer_generator"
    loss = _loss(label_smoothing, copies)
    train, held_out = train_and_held_out(sources, targets, validation, seed)
    settings, options = settings_of(config, settings, options)

    if tokenizer is None:
        tokenizer = "word" if copies else "bpe"
    reads, writes = _tokenizers(train, tokenizer, target_tokenizer, vocab_size)
    keras.utils.set_random_seed(seed)
    name, built = _model(model, reads, writes, seed, options)
    made = kind(built, reads, writes, max_source_tokens=max_source_tokens)

    config = run_config(config, SETTINGS[name], settings, len(train), seed, IN_ALL)
    if config.output_dir or config.early_stopping_patience is not None:
        raise InputError(
            "output_dir and early_stopping_patience are of lk.fit, which goes by the loss; here patience counts "
            "epochs without a better measure, and the model is saved by its save(folder)"
        )
    limits = {"max_source_tokens": max_source_tokens, "max_target_tokens": max_target_tokens}
    encode = made.sources.encode_pairs if copies else None
    batches, others = (
        pairs(part, None, reads, writes, size, **limits, shuffle=shuffle, seed=seed, encode=encode)
        for part, size, shuffle in ((train, config.batch_size, True), (held_out, 64, False))
    )
    longest = max(map(len, writes.encode_batch([pair.target for pair in train]))) + MORE
    chosen = BestByWriting(
        made,
        held_out[:MEASURED],
        metric,
        max_new_tokens=min(longest, max_target_tokens or longest),
        average=average_checkpoints,
        patience=patience,
    )
    history = fit(built, batches, others, config, [chosen], loss=loss).history
    made.history = {**history, f"val_{metric}": chosen.values}
    return made


def _loss(label_smoothing, copies):
    """The cross-entropy, smoothed by a tenth unless it is said otherwise or the model copies."""
    if copies and label_smoothing:
        raise InputError("label_smoothing is for models without copying: no probability is for words to copy")
    default = 0.0 if copies else 0.1
    return CrossEntropy(label_smoothing=default if label_smoothing is None else label_smoothing)


def train_and_held_out(
    sources: Iterable[Any], targets: Iterable[str] | None, validation: object, seed: int
) -> tuple[list[TextPair], list[TextPair]]:
    """Returns the pairs to train on, and those to measure by: of other sources.

    Args:
        sources: As of `TextToText.train`.
        targets: The same.
        validation: The same.
        seed: Of what is drawn.
    """
    found = as_pairs(sources, targets)
    if validation is not None and not isinstance(validation, (int, float)):
        given = list(validation) if not isinstance(validation, tuple) else validation
        two_lists = isinstance(given, tuple) and len(given) == 2 and not isinstance(given[0], (str, TextPair))
        return found, as_pairs(*(given if two_lists else (list(given),)), name="validation source")
    share = 0.1 if validation is None else check_number("validation", validation, above=0, below=1)
    texts = list(dict.fromkeys(pair.source for pair in found))
    if len(texts) < 2:
        raise InputError("all pairs have one source; give several, or validation=...")
    others = set(split_texts(texts, share, seed)[1])
    return tuple([pair for pair in found if (pair.source in others) == side] for side in (False, True))


def _tokenizers(train, tokenizer, target_tokenizer, vocab_size):
    """The tokenizer of the sources, and that of the targets: the same one where there is one vocabulary."""
    check_whole("vocab_size", vocab_size, 2)
    sources, targets = zip(*train, strict=True)
    if target_tokenizer is None:
        both = _tokenizer(tokenizer, [*sources, *targets], vocab_size, "tokenizer")
        return both, both
    return (
        _tokenizer(tokenizer, sources, vocab_size, "tokenizer"),
        _tokenizer(target_tokenizer, targets, vocab_size, "target_tokenizer"),
    )


def _tokenizer(given, texts, vocab_size, name):
    from lm_keras import text

    if isinstance(given, Tokenizer):
        return given
    kinds = {"bpe": text.BPETokenizer, "word": text.WordTokenizer, "char": text.CharTokenizer}
    check_choice(name, given, tuple(kinds))
    return kinds[given].train(texts, vocab_size=vocab_size, language="zh" if is_chinese(texts) else "en")


def _model(model, reads, writes, seed, options):
    """Its key in `SETTINGS`, and the model."""
    from lm_keras import models

    if isinstance(model, Seq2SeqLM):
        if options:
            raise InputError(f"{', '.join(options)} would build a model, and one is given; leave them out")
        known = {"build_seq2seq_lstm": "lstm", "build_pointer_generator": "pointer_generator"}
        return known.get(model.recipe.builder, "transformer"), model
    if not isinstance(model, str) or model not in SIZES:
        raise InputError(f"model is {model!r:.60}; give {', '.join(map(repr, SIZES))} or a Seq2SeqLM")
    name = "build_pointer_generator" if model == "pointer_generator" else f"build_seq2seq_{model}"
    builder, arguments = getattr(models, name), {**SIZES[model], **options}
    check_options(builder, arguments)
    if model == "pointer_generator":
        return model, builder(reads.vocab_size, **arguments, seed=seed)
    if model == "transformer" and reads is writes:
        arguments.setdefault("share_embeddings", True)
    size = None if reads is writes else writes.vocab_size
    return model, builder(reads.vocab_size, target_vocab_size=size, **arguments, seed=seed)


class BestByWriting(keras.callbacks.Callback):
    """Measures what a model writes after each epoch, shows one text of it, and keeps the weights that write best.

    At the end of the training the model has the weights of the best epoch, or the mean of those after the last
    epochs, where that writes at least as well.

    Args:
        text_model: The `TextToText` in training.
        held_out: Pairs whose targets are written, greedily.
        metric: What is measured, one of `METRICS`; of Chinese targets by their characters.
        max_new_tokens: The most tokens of what is written.
        average: Of how many of the last epochs the mean of the weights is tried.
        patience: The epochs without a better measure after which the training stops; None: it does not.

    Attributes:
        values: The measure after each epoch.
        averaged: That of the mean of the weights; None where it was not tried.
    """

    def __init__(
        self,
        text_model: TextToText,
        held_out: Sequence[TextPair],
        metric: str,
        *,
        max_new_tokens: int,
        average: int,
        patience: int | None,
    ):
        super().__init__()
        self.text_model, self.held_out, self.metric = text_model, list(held_out), metric
        self.chinese = is_chinese([pair.target for pair in self.held_out])
        self.max_new_tokens, self.average, self.patience = max_new_tokens, average, patience
        self.values, self.averaged, self._last, self._best = [], None, [], None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        value, written = self._measured()
        first = not self.values or value > max(self.values)
        self.values.append(value)
        weights = self.model.get_weights()
        self._last = [*self._last, weights][-self.average :] if self.average > 1 else []
        if first:
            self._best = weights
        shown = self.held_out[epoch % len(self.held_out)], written[epoch % len(self.held_out)]
        tell(f"  {self.metric} {value:.1f}{' (best)' if first else ''} · {_sample(*shown)}")
        since = len(self.values) - 1 - int(np.argmax(self.values))
        if self.patience is not None and since > self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict | None = None) -> None:
        if not self.values:
            return
        if len(self._last) > 1:
            self.model.set_weights([np.mean(parts, axis=0) for parts in zip(*self._last, strict=True)])
            self.averaged, _ = self._measured()
            if self.averaged >= max(self.values):
                tell(f"  {self.metric} {self.averaged:.1f} of the mean weights of the last {len(self._last)} epochs")
                return
        self.model.set_weights(self._best)

    def _measured(self):
        """The measure, of which more is better, and what was written."""
        found = self.text_model.generate([pair.source for pair in self.held_out], max_new_tokens=self.max_new_tokens)
        written, references = [one.text for one in found], [[pair.target] for pair in self.held_out]
        if self.metric in ("bleu", "chrf"):
            sums, *_ = bleu_and_chrf(written, references, "zh" if self.chinese else "13a", of=self.metric)
            return sums.value, written
        return float(rouge(written, references, language="zh" if self.chinese else "en")[self.metric].mean()), written


def _sample(pair, written):
    """A source, what was written, and the target, each in one line of at most 60 characters."""
    source, found, target = (" ".join(text.split()) for text in (pair.source, written, pair.target))
    source, found, target = (text if len(text) <= 60 else f"{text[:57]}..." for text in (source, found, target))
    return f"{source} → {found or '(nothing)'} [{target}]"
