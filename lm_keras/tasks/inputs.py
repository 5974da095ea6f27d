"""From texts to what an encoder or classifier reads, the same in Python and in an exported graph.

`ModelInputs` makes a model's inputs of token ids; texts that are longer than an encoder go through it in windows.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lm_keras.data.labelled_batches import pair_mark
from lm_keras.errors import InputError
from lm_keras.layers.positions import Positions
from lm_keras.models.base import BuiltModel, LogitsModel
from lm_keras.serving.export.signatures import one_column
from lm_keras.text.tokenizers.base import Tokenizer
from lm_keras.text.tokenizers.pairs import tf_cut_pair
from lm_keras.text.word_offsets import tf_word_places, word_places
from lm_keras.utils.checks import check_whole
from lm_keras.utils.keras_internals import flatten_layers

BATCH = 64  # texts, or windows of texts, that go through a model at once
IDS = tf.RaggedTensorSpec([None, None], tf.int32)
BERT = {"token_ids", "segment_ids", "padding_mask"}


class ModelInputs:
    """`inputs(ids)` or `inputs(first, second)`, ragged int32 [B, (n)] without marks -> the inputs of `model`.

    A model of BERT's three inputs gets [CLS] first [SEP] second [SEP]; another one the ids, of two texts
    first <eos> second, filled up with the tokenizer's padding: to the longest row, or to `max_length` if that is
    given, as `data.labelled` does (this library's classifiers, which mask it, are not filled up further). A single
    text is cut where it is too long; two texts are with `pair`. `max_length` None: the model's own, or no limit.
    InputError when model and tokenizer do not fit, when padding changes what the model says, or when it gives
    probabilities, not logits.
    """

    def __init__(self, model: keras.Model, tokenizer: Tokenizer, max_length: int | None):
        given = input_of(model)
        names = set(given) if isinstance(given, dict) else None
        self.bert, self.tokenizer = names == BERT, tokenizer
        if not self.bert and not isinstance(given, keras.KerasTensor):
            told = f"reads {', '.join(sorted(names))}" if names else f"has {len(given)} inputs"
            raise InputError(f"{model.name} {told}; a text model reads ids [B, T] or BERT's inputs")
        kind = type(tokenizer).__name__
        if self.bert and not tokenizer.encodes_pairs:
            raise InputError(f"{model.name} reads BERT's inputs, a {kind} makes none; give a WordPieceTokenizer")
        if tokenizer.pad_id is None:
            raise InputError(f"this {kind} has no padding token, which texts of different lengths need")
        most = checked_limits(model, tokenizer)
        static = None if self.bert else given.shape[1]
        if max_length is not None:
            max_length = check_whole("max_length", max_length, 8 if self.bert else 1, most)
        if static is not None and max_length not in (None, static):
            raise InputError(f"max_length is {max_length}, and {model.name} reads exactly {static} tokens")
        self.fixed = static if self.bert or _masks_padding(model) else static or max_length
        self.max_length = static or max_length or most
        _check_answers(model, self)

    def room(self, parts: int = 1) -> int:
        """How many tokens of text fit beside the marks; a very large number where there is no limit."""
        return 2**30 if self.max_length is None else self.max_length - (parts + 1 if self.bert else parts - 1)

    def pair(self, first: tf.RaggedTensor, second: tf.RaggedTensor) -> tf.Tensor | dict[str, tf.Tensor]:
        """The inputs of two texts, cut as `Tokenizer.encode_pair` cuts: the longer one first."""
        return self(*(tf_cut_pair(first, second, self.room(2)) if self.max_length else (first, second)))

    def __call__(
        self, first: tf.RaggedTensor, second: tf.RaggedTensor | None = None
    ) -> tf.Tensor | dict[str, tf.Tensor]:
        pad, size = self.tokenizer.pad_id, first.nrows()
        if second is None:
            first = first[:, : self.room()]
        elif not self.bert:
            first = tf.concat([first, tf.fill([size, 1], pair_mark(self.tokenizer)), second], axis=1)
        if not self.bert:
            return one_column(first.to_tensor(pad, shape=(None, self.fixed)), pad)
        cls, sep = (tf.fill([size, 1], mark) for mark in (self.tokenizer.cls_id, self.tokenizer.sep_id))
        ids = tf.concat([cls, first, sep] + ([] if second is None else [second, sep]), axis=1)
        dense, length = ids.to_tensor(pad), tf.cast(ids.row_lengths(), tf.int32)[:, None]
        place, border = tf.range(tf.shape(dense)[1])[None], tf.cast(first.row_lengths(), tf.int32)[:, None] + 2
        mask = place < length
        segments = mask & (place >= border)
        return {
            "token_ids": dense,
            "segment_ids": tf.cast(segments, tf.int32),
            "padding_mask": tf.cast(mask, tf.int32),
        }


def _masks_padding(model):
    """Whether a model is one of this library's classifiers of ids, which mask id 0 wherever it is."""
    recipe = getattr(model, "recipe", None)
    return recipe is not None and recipe.builder in ("build_cnn_classifier", "build_rnn_classifier")


def checked_limits(model, tokenizer):
    """The most tokens the model reads, or None; InputError when its words are not the tokenizer's."""
    known = [part.recipe.arguments for part in (model, *model.layers) if isinstance(part, BuiltModel)]
    for size in (arguments.get("vocab_size", tokenizer.vocab_size) for arguments in known):
        if size != tokenizer.vocab_size:
            raise InputError(
                f"{model.name} knows {size} tokens and the tokenizer has {tokenizer.vocab_size}; "
                "give the tokenizer it was trained with"
            )
    return most_tokens(model)


def most_tokens(model: keras.Model) -> int | None:
    """The most tokens that a model reads, or None."""
    limits = [layer.max_length for layer in flatten_layers(model) if isinstance(layer, Positions)]
    return min(limits, default=None)


def _check_answers(model, inputs):
    """One text alone and beside a longer one: what a model that looks at padding answers differently."""
    if inputs.room() < 4:
        return
    short = [i % inputs.tokenizer.vocab_size for i in (7, 11)]
    alone, beside = (inputs(ragged(rows)) for rows in ([short], [short, 2 * short]))
    check_unpadded(model, alone, beside, inputs.tokenizer.pad_id)


def check_unpadded(model: keras.Model, alone: Any, beside: Any, pad_id: int) -> None:
    """Raises InputError for a model that looks at padding, or gives probabilities.

    Args:
        model: Of `alone` and `beside`.
        alone: The inputs of one text.
        beside: Those of the same text and a longer one.
        pad_id: What is padding.
    """
    alone, beside = (keras.tree.flatten(model(inputs, training=False)) for inputs in (alone, beside))
    for a, b in zip(alone, beside, strict=True):
        a, b = (np.asarray(keras.ops.cast(part[:1], "float32")) for part in (a, b))
        if a.ndim > 1 and a.shape[1] < b.shape[1]:
            b = b[:, : a.shape[1]]
        if not np.allclose(a, b, rtol=0.05, atol=0.05, equal_nan=True):
            raise InputError(
                f"{model.name} answers differently to a text beside a longer one: it looks at padding; let it mask "
                f"padding (id {pad_id}), or give max_length, to which every text is filled up"
            )
        if a.ndim > 1 and a.shape[-1] > 1 and (a >= 0).all() and np.allclose(a.sum(-1), 1, atol=1e-3):
            raise InputError(f"{model.name} gives probabilities; give a model of logits, without softmax at its end")


def input_of(model: keras.Model) -> Any:
    """The inputs of a functional model: a tensor, or a dict or list of them; InputError of another model."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        what = type(model).__name__
        raise InputError(f"a text model is made of a functional keras.Model, built with keras.Input, not of a {what}")
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def named_inputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """The inputs of a functional model by name."""
    given = input_of(model)
    return given if isinstance(given, dict) else {x.name: x for x in keras.tree.flatten(given)}


def model_of_parts(parts: dict[str, keras.Model], name: str) -> LogitsModel:
    """Several models as the layers of one, which is saved and exported with the weights of all.

    Args:
        parts: {name: model}; the inputs of the one model are called "name_input".
        name: Of the one model.
    """
    inputs, outputs = {}, {}
    for key, part in parts.items():
        own = {
            given: keras.Input(x.shape[1:], dtype=x.dtype, name=f"{key}_{given}")
            for given, x in named_inputs(part).items()
        }
        inputs |= {f"{key}_{given}": x for given, x in own.items()}
        outputs[key] = part(own if isinstance(input_of(part), dict) else next(iter(own.values())))
    return LogitsModel(inputs, outputs, name=name)


def renamed(model: keras.Model, name: str) -> keras.Model:
    """A copy of a model of another name: a functional model has no two layers of one name."""
    made = type(model).from_config(model.get_config() | {"name": name})
    made.set_weights(model.get_weights())
    return made


def output_of(model: keras.Model) -> Any:
    """The outputs of a functional model, as `input_of`."""
    input_of(model)
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def ragged(rows: Sequence[Sequence[int]]) -> tf.RaggedTensor:
    """Lists of ids -> int32 [B, (n)]."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return tf.RaggedTensor.from_row_lengths(np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum()), lengths)


def in_batches(rows: list, run: Callable[[list], Iterable], length: Callable[[Any], int] = len) -> list:
    """`run(some rows)`, a list of results, over all rows, those of like length together; results in that order."""
    order, results = sorted(range(len(rows)), key=lambda i: length(rows[i])), [None] * len(rows)
    for start in range(0, len(rows), BATCH):
        chosen = order[start : start + BATCH]
        for i, result in zip(chosen, run([rows[i] for i in chosen]), strict=True):
            results[i] = result
    return results


def checked_classes(model: keras.Model, ranks: int | tuple[int, ...], classes: Iterable[str]) -> list[str]:
    """The names of the classes of a model's one output as a list; InputError unless there is a different one each."""
    output, ranks = output_of(model), ranks if isinstance(ranks, tuple) else (ranks,)
    axes = "[B, C]" if 2 in ranks else "[B, T, C]"
    if not isinstance(output, keras.KerasTensor):
        raise InputError(f"{model.name} has {len(output)} outputs; give a model of one, logits {axes}")
    if len(output.shape) not in ranks:
        raise InputError(f"{model.name} gives {tuple(output.shape)}; its output must be logits {axes}")
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise InputError(f"classes is {classes!r}; give a list with a string for each class")
    classes = list(classes)
    if len(set(classes)) != len(classes):
        raise InputError(f"classes is {classes!r}; give a different string for each class")
    if output.shape[-1] != len(classes):
        raise InputError(f"{model.name} tells {output.shape[-1]} classes apart and {len(classes)} names were given")
    return classes


# === Words of texts, as tokens ===


class TokenizedWords(NamedTuple):
    """Texts cut into words (`text.word_offsets`) and these into tokens, each word by itself.

    `tokens`: ids of each word, ragged [W, (n)]; `splits` [B + 1]: the words of text b are splits[b] to splits[b + 1].
    """

    tokens: tf.RaggedTensor
    splits: tf.Tensor

    def of_texts(self) -> tf.RaggedTensor:
        """The ids of each text, ragged [B, (n)]."""
        token_splits = tf.gather(self.tokens.row_splits, self.splits)
        return tf.RaggedTensor.from_row_splits(self.tokens.flat_values, token_splits, validate=False)


WORDS = TokenizedWords(tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int64))


def words_of(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[TokenizedWords, list[list[tuple[int, int]]]]:
    """The TokenizedWords of a list of strings, and where they are in each: [[(start, end)]]."""
    places = [word_places(text) for text in texts]
    tokens = tokenizer.encode_batch(
        [text[start:end] for text, row in zip(texts, places, strict=True) for start, end in row]
    )
    splits = tf.concat([[0], tf.cumsum(tf.constant([len(row) for row in places], tf.int64))], 0)
    return TokenizedWords(ragged(tokens), splits), places


def tf_words_of(tokenizer: Tokenizer, texts: tf.Tensor) -> tuple[TokenizedWords, tf.Tensor, tf.Tensor]:
    """The TokenizedWords of strings [B] in the graph, and their starts and ends, [W] each."""
    words, starts, ends = tf_word_places(texts)
    return (
        TokenizedWords(tokenizer.tf_encode(words.flat_values), words.row_splits),
        starts.flat_values,
        ends.flat_values,
    )


# === Windows over texts that are longer than an encoder; they overlap by half ===


class Windows(NamedTuple):
    """Windows over rows of tokens: of each its row, its first token and the one after its last, [M]; of each row
    its first window and how many there are, [B].
    """

    row: tf.Tensor
    start: tf.Tensor
    end: tf.Tensor
    first: tf.Tensor
    count: tf.Tensor


def windows(lengths: tf.Tensor, room: tf.Tensor) -> Windows:
    """Windows of `room` [B] tokens, every room // 2 tokens, until the row's end; a row always has one."""
    stride = tf.maximum(room // 2, 1)
    count = 1 + (tf.maximum(lengths - room, 0) + stride - 1) // stride
    row = tf.repeat(tf.range(tf.size(lengths)), count)
    first = tf.cumsum(count, exclusive=True)
    start = (tf.range(tf.size(row)) - tf.gather(first, row)) * tf.gather(stride, row)
    end = tf.minimum(start + tf.gather(room, row), tf.gather(lengths, row))
    return Windows(row, start, end, first, count)


def tokens_of(ids: tf.RaggedTensor, found: Windows) -> tf.RaggedTensor:
    """The places of each window's tokens among all tokens of ragged ids [B, (n)], ragged [M, (n)]."""
    offset = tf.gather(tf.cast(ids.row_splits, tf.int32), found.row)
    return tf.ragged.range(offset + found.start, offset + found.end)


def by_pieces(run: Callable[[Windows], tuple], found: Windows, outputs: Sequence[tf.TensorSpec]) -> list[tf.Tensor]:
    """`run(some of the windows)`, a tuple of tensors [n, ...] that tell of them in order, over all windows.

    A few windows at a time, so that the memory of a long text is bounded. `outputs`: a TensorSpec of each tensor.
    """
    count = tf.size(found.row)

    def body(start, i, *arrays):
        piece = slice(start, start + BATCH)
        made = run(found._replace(row=found.row[piece], start=found.start[piece], end=found.end[piece]))
        return start + BATCH, i + 1, *(array.write(i, part) for array, part in zip(arrays, made, strict=True))

    arrays = [
        tf.TensorArray(spec.dtype, 0, dynamic_size=True, infer_shape=False, element_shape=spec.shape)
        for spec in outputs
    ]
    _, _, *arrays = tf.while_loop(lambda start, *_: start < count, body, [0, 0, *arrays])
    return [array.concat() for array in arrays]
