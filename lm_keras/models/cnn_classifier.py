"""Kim's convolutional text classifier: filters over a few words at a time, and the best answer of each."""

from collections.abc import Sequence

import keras
from keras import layers, ops
from numpy.typing import ArrayLike

from lm_keras.errors import InputError
from lm_keras.models.base import BuiltModel
from lm_keras.models.building import check_sizes, initializers, register_builder
from lm_keras.utils.checks import MAX_INT32, check_number, check_whole


@register_builder
def build_cnn_classifier(
    vocab_size: int,
    *,
    num_classes: int,
    embedding_dim: int = 128,
    kernel_sizes: Sequence[int] = (3, 4, 5),
    num_filters: int = 100,
    dropout: float = 0.5,
    embedding_matrix: ArrayLike | None = None,
    train_embeddings: bool = True,
    two_channel: bool = False,
    batch_norm: bool = False,
    max_norm: float | None = 3.0,
    seed: int | None = None,
    name: str = "cnn_classifier",
) -> BuiltModel:
    """Convolutional text classifier (Kim 2014); id 0 is padding, wherever it is.

    Kim's variants: random (no `embedding_matrix`); static (a matrix, `train_embeddings=False`); non-static (a matrix,
    trained); two-channel. A filter sees every window that touches the text, as if zero vectors stood around it, so
    padding changes nothing and short texts work.

    Args:
        vocab_size: Number of words V.
        num_classes: Number of classes C, at least 2.
        embedding_dim: Width of the word vectors.
        kernel_sizes: Number of words that a filter sees, for each kind of filter.
        num_filters: Number of filters of each kind.
        dropout: Share of the filters' answers that are dropped in training.
        embedding_matrix: Word vectors [V, E] that the embedding starts from; E replaces `embedding_dim`.
        train_embeddings: False freezes the embedding.
        two_channel: A frozen and a trained copy of the matrix, each filter applied to both and the results added.
        batch_norm: Normalize the answers of each filter before the ReLU (Ioffe & Szegedy 2015).
        max_norm: The largest l2 norm of a class's output weights; None: no limit.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `BuiltModel`, ids int32 [B, T] -> logits [B, C].

    Raises:
        InputError: For impossible sizes and options.
    """
    check_sizes(dropout, vocab_size=vocab_size, embedding_dim=embedding_dim, num_filters=num_filters)
    _check(kernel_sizes, num_classes, max_norm, two_channel and not train_embeddings)

    # === Layers ===
    init = initializers(None, seed)
    if embedding_matrix is None:  # as in the paper's code
        start = keras.random.uniform((vocab_size, embedding_dim), -0.25, 0.25, seed=init.seed())
        embedding_matrix = ops.convert_to_numpy(start)
    convs = [
        layers.Conv1D(num_filters, size, use_bias=not batch_norm, kernel_initializer=init(), name=f"conv_{i}")
        for i, size in enumerate(kernel_sizes)
    ]
    norms = [layers.BatchNormalization(name=f"norm_{i}") if batch_norm else None for i in range(len(convs))]
    limit = keras.constraints.MaxNorm(max_norm, axis=0) if max_norm else None
    drop = layers.Dropout(dropout, seed=init.seed(), name="dropout")
    head = layers.Dense(num_classes, kernel_initializer=init(), kernel_constraint=limit, name="logits")

    # === Functional model ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = _embedding(embedding_matrix, train_embeddings, "embedding")(ids)  # (B, T, E)
    if two_channel:  # the same filter on both and added is, by linearity, the filter on their sum
        x += _embedding(embedding_matrix, False, "static_embedding")(ids)
    best = [_max_over_time(x, ids != 0, conv, norm) for conv, norm in zip(convs, norms, strict=True)]
    logits = head(drop(ops.concatenate(best, axis=-1)))  # (B, C)
    return BuiltModel(ids, logits, name=name)


def _max_over_time(x, real, conv, norm):
    """x (B, T, E) of words, where `real` (B, T) -> (B, F): the largest ReLU of each filter (Kim 2014, eq. 2 to 4)."""
    (size,), real = conv.kernel_size, real[..., None]
    edges = ((0, 0), (size - 1, size - 1), (0, 0))
    answers = conv(ops.pad(ops.where(real, x, 0.0), edges))  # (B, T + size - 1, F)
    touching = ops.max_pool(ops.pad(ops.cast(real, "float32"), edges), size, 1) > 0  # has the window a word?
    if norm is not None:
        answers = norm(answers, mask=touching[..., 0])  # padding is no part of the mean and variance
    # After a ReLU nothing is below 0, so a 0 never hides an answer; a text without words gets zeros.
    return ops.max(ops.where(touching, ops.relu(answers), 0.0), axis=1)


def _embedding(matrix, trainable, name):
    start = keras.initializers.Constant(matrix)
    return layers.Embedding(*matrix.shape, embeddings_initializer=start, trainable=trainable, name=name)


def _check(kernel_sizes, num_classes, max_norm, trains_none):
    """Raises InputError for impossible options."""
    if not isinstance(kernel_sizes, (list, tuple)) or not kernel_sizes:
        raise InputError(f"kernel_sizes is {kernel_sizes!r}; give a list of words a filter sees, such as (3, 4, 5)")
    for size in kernel_sizes:
        check_whole("kernel_sizes", size, 1, MAX_INT32)
    check_whole("num_classes", num_classes, 2, MAX_INT32)
    if max_norm is not None:
        check_number("max_norm", max_norm, above=0)  # None: no limit
    if trains_none:
        raise InputError("two_channel=True trains one of its two copies; leave train_embeddings=True")
