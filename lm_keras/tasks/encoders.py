"""What reads a text for `TextClassifier.train`: encoders by name, each with its tokenizer, sizes and settings."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.checks import check_whole
from lm_keras.utils.saved_kinds import kind_of, refusal

# The settings of `TrainingConfig`; epochs are the most, as the loss of the validation texts ends the training.
SETTINGS: dict[str, dict[str, Any]] = {
    "cnn": {"epochs": 12, "batch_size": 32, "learning_rate": 1e-3, "early_stopping_patience": 2},
    "rnn": {"epochs": 12, "batch_size": 32, "learning_rate": 2e-3, "early_stopping_patience": 2},
    "bert": {"epochs": 12, "batch_size": 32, "learning_rate": 5e-4, "early_stopping_patience": 2},
    "pretrained": {"epochs": 4, "batch_size": 16, "learning_rate": 5e-5, "early_stopping_patience": 1},
}
SETTINGS["pretrained"]["schedule"] = "linear"
RECURRENT = {
    "lstm": {"cell": "lstm", "bidirectional": False},
    "bilstm": {"cell": "lstm", "bidirectional": True},
    "gru": {"cell": "gru", "bidirectional": False},
    "bigru": {"cell": "gru", "bidirectional": True},
}
ENCODERS = ("cnn", *RECURRENT, "bert")  # those that start from random weights
SMALL_BERT = {"hidden_dim": 128, "num_layers": 2, "num_heads": 2, "initializer_range": 0.08}
VOCABULARY = 20_000  # words, or characters; of word pieces 8,000
ENOUGH = 1_000  # texts, from which on a word must occur twice: else no training text would hold <unk>
LONGEST = {"cnn": 512, "rnn": 256, "bert": 256, "pretrained": 256}


class Encoder(NamedTuple):
    """An encoder that is ready to become a classifier.

    Attributes:
        kind: A key of `SETTINGS`.
        tokenizer: Its tokenizer.
        max_length: The number of tokens after which a text is cut.
        build: A function of the number of classes that returns the model, ids or BERT's inputs -> logits [B, C].
    """

    kind: str
    tokenizer: Tokenizer
    max_length: int
    build: Callable[[int], keras.Model]


def encoder_of(
    encoder: str | keras.Model,
    texts: Sequence[str],
    *,
    tokenizer: Tokenizer | None = None,
    max_length: int | None = None,
    seed: int = 0,
    options: dict[str, Any] | None = None,
) -> Encoder:
    """Returns the Encoder of a name, a folder or a model.

    Args:
        encoder: As of `TextClassifier.train`.
        texts: What a tokenizer is trained on.
        tokenizer: In place of the encoder's.
        max_length: In place of the encoder's.
        seed: Of the starting weights and of dropout.
        options: Arguments of the builder, or of `models.sequence_classifier`.

    Raises:
        InputError: It is none, or has no tokenizer; an option that the builder does not take.
    """
    options = dict(options or {})
    if not isinstance(encoder, str) or encoder not in ENCODERS:
        return _pretrained(encoder, tokenizer, max_length, seed, options)
    kind = "rnn" if encoder in RECURRENT else encoder
    tokenizer = tokenizer or trained_tokenizer(texts, pieces=encoder == "bert")
    length = LONGEST[kind] if max_length is None else max_length
    from lm_keras import models

    if kind == "bert":
        check_whole("max_length", length, 8)
        head = {name: options.pop(name) for name in ("pooling",) if name in options}
        arguments = {**SMALL_BERT, "max_length": length, **options}
        check_options(models.build_bert, arguments)
        dropout = {name: arguments[name] for name in ("dropout",) if name in arguments}

        def build(num_classes):
            inner = models.build_bert(tokenizer.vocab_size, **arguments, seed=seed)
            return models.sequence_classifier(inner, num_classes, **head, **dropout, seed=seed)

    else:
        builder = models.build_cnn_classifier if kind == "cnn" else models.build_rnn_classifier
        arguments = {**RECURRENT.get(encoder, {}), **options}
        check_options(builder, arguments)

        def build(num_classes):
            return builder(tokenizer.vocab_size, num_classes=num_classes, **arguments, seed=seed)

    return Encoder(kind, tokenizer, length, build)


def trained_tokenizer(texts: Sequence[str], *, pieces: bool = False) -> Tokenizer:
    """Returns a tokenizer of texts, in lower case: word pieces; else words, or characters of Chinese texts."""
    from lm_keras import text

    texts = [part for part in texts if part.strip()]
    if not texts:
        raise InputError("the texts hold no word at all; give at least one that is not empty")
    if pieces:
        return text.WordPieceTokenizer.train(texts, vocab_size=8_000, lowercase=True)
    least = {"vocab_size": VOCABULARY, "min_count": 2 if len(texts) >= ENOUGH else 1, "lowercase": True}
    if is_chinese(texts):
        return text.CharTokenizer.train(texts, **least, language="zh")
    return text.WordTokenizer.train(texts, **least)


def is_chinese(texts: Sequence[str]) -> bool:
    """Returns whether most characters of the first texts, but for white space, are Chinese, Japanese or Korean."""
    sample = "".join("".join(texts[:1000]).split())[:100_000]
    wide = sum(
        "\u2e80" <= char <= "\u9fff" or "\uac00" <= char <= "\ufaff" or char >= "\U00020000" for char in sample
    )
    return 2 * wide > len(sample)


# === Encoders that are trained already ===


def _pretrained(encoder, tokenizer, max_length, seed, options):
    model, own, text_length = _loaded(encoder, options.get("dropout"))
    tokenizer = tokenizer or own
    if tokenizer is None:
        raise InputError(f"{model.name} has no tokenizer; give tokenizer=...")
    from lm_keras import models

    check_options(models.sequence_classifier, options)
    # A sentence encoder is trained for the mean of its tokens; others have a pooled output, or their first token.
    pooling = {"pooling": "mean"} if text_length is not None else {}
    most = min(filter(None, (text_length, _context(model), LONGEST["pretrained"])))

    head = {**pooling, **options}
    for layer in model.layers:
        if layer.name == "pooler" and head.get("pooling"):  # which then has no part in the answers
            layer.trainable = False

    def build(num_classes):
        return models.sequence_classifier(model, num_classes, **head, seed=seed)

    return Encoder("pretrained", tokenizer, most if max_length is None else max_length, build)


def check_encoder(encoder: object, names: Sequence[str] = ENCODERS, built: bool = True) -> None:
    """InputError for what is no encoder: no name, no folder that is there, no model.

    Args:
        encoder: As of `TextClassifier.train`.
        names: Those of the encoders that start from random weights.
        built: Whether one of these is an encoder here.
    """
    from lm_keras.models.pretrained.named import MODELS

    if isinstance(encoder, keras.Model):
        return
    if not isinstance(encoder, (str, Path)):
        raise InputError(f"encoder is {encoder!r:.60}; give a name, a folder or a keras.Model")
    known = (*MODELS, *names) if built else (*MODELS,)
    if not str(encoder) or (encoder not in known and not path_of(encoder).exists()):
        known = ", ".join((*names, "all-minilm-l6-v2"))
        raise InputError(f"encoder is {str(encoder)!r:.80}, neither a folder nor one of {known}")


def tokenized_encoder(
    encoder: str | keras.Model, dropout: float | None, names: Sequence[str]
) -> tuple[keras.Model, Tokenizer, int | None]:
    """Returns a pretrained encoder by its name, folder or model, for answers from the vectors of its tokens.

    Its pooler, which has no part in them, is frozen.

    Args:
        encoder: As of `TextClassifier.train`.
        dropout: In place of that of a checkpoint.
        names: Those of the encoders that start from random weights, for the error.

    Returns:
        Its model, its tokenizer, and the most tokens that it reads.

    Raises:
        InputError: For what is no such encoder, and for one without a tokenizer.
    """
    model, tokenizer, _ = _loaded(encoder, dropout, names)
    if tokenizer is None:
        raise InputError(f"{model.name} has no tokenizer; give an encoder with one")
    for layer in model.layers:
        if layer.name == "pooler":
            layer.trainable = False
    return model, tokenizer, _context(model)


def _loaded(encoder, dropout, names=ENCODERS):
    """The encoder's model, its tokenizer, and where a sentence encoder cuts a text."""
    if isinstance(encoder, keras.Model):
        return encoder, getattr(encoder, "tokenizer", None), getattr(encoder, "text_length", None)
    from lm_keras.models.pretrained.named import resolved

    check_encoder(encoder, names, built=False)
    path = resolved(encoder)
    if (kind := kind_of(path)) == "task":
        return _of_embedder(path)
    if kind not in ("pretrained", "language model", "gguf"):
        raise refusal(path, kind, "an encoder is a BERT-type checkpoint or a saved TextEmbedder")
    from lm_keras import LanguageModel, models

    model = LanguageModel.load(path) if kind == "language model" else models.load_pretrained(path, dropout=dropout)
    if isinstance(model, LanguageModel):
        raise InputError(
            f"{path} is a language model, no encoder; lk.prompting.PromptClassifier makes a classifier of it"
        )
    return model, model.tokenizer, model.text_length


def _of_embedder(path):
    from lm_keras import tasks

    model = tasks.load(path)
    if not isinstance(model, tasks.TextEmbedder):
        raise InputError(f"{path} is a saved {type(model).__name__}; an encoder is a checkpoint or a TextEmbedder")
    return model.model, model.tokenizer, model.options["max_length"] or _context(model.model)


def _context(model):
    from lm_keras.tasks.inputs import most_tokens

    return most_tokens(model)


def check_options(builder: Callable, options: dict[str, Any]) -> None:
    """Raises InputError for options that a builder does not take."""
    known = inspect.signature(builder).parameters
    for name in options:
        if name not in known or name in ("num_classes", "vocab_size", "seed", "name", "encoder"):
            takes = [each for each in known if each not in ("num_classes", "vocab_size", "seed", "name", "encoder")]
            raise InputError(
                f"{builder.__name__} has no option {name}; it has {', '.join(takes)}, and the training has those of "
                "TrainingConfig"
            )
