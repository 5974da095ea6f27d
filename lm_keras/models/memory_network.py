"""Memory network: a question looks at the sentences of a story, several times, and what it finds is the answer."""

import keras
from keras import layers, ops

from lm_keras.layers.dense import Dense
from lm_keras.models.base import BuiltModel
from lm_keras.models.building import check_sizes, initializers, register_builder
from lm_keras.utils.checks import MAX_INT32, check_whole


@register_builder
def build_memory_network(
    vocab_size: int,
    *,
    num_classes: int,
    embedding_dim: int = 32,
    num_hops: int = 3,
    max_sentences: int = 64,
    dropout: float = 0.0,
    initializer_range: float = 0.1,
    seed: int | None = None,
    name: str = "memory_network",
) -> BuiltModel:
    """End-to-end memory network (Sukhbaatar et al. 2015); id 0 is padding, wherever it is.

    A sentence is the sum of its words' vectors, each weighed by its place (section 4.1, "position encoding"), and a
    vector of its age, the number of sentences after it. In each hop the question u attends to the sentences m,
    p = softmax(u · m), and u + Σ p c is the next one (eq. 1, 2), with the paper's adjacent tables: what is read in
    one hop is what is looked at in the next (section 2.2). The layers attention_1, ..., have the weights p [B, S].

    Args:
        vocab_size: Number of words V.
        num_classes: Number of answers C, at least 2.
        embedding_dim: Width D of words, sentences and question.
        num_hops: How often the question looks at the story.
        max_sentences: Ages that are told apart; sentences before these count as the oldest of them.
        dropout: Share of the last vector's numbers that are dropped in training.
        initializer_range: Standard deviation of the starting weights.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `BuiltModel` of {"story", "question"}, int32 [B, S, W] and [B, W] -> logits [B, C].

    Raises:
        InputError: For impossible sizes.
    """
    check_sizes(dropout, vocab_size=vocab_size, embedding_dim=embedding_dim, num_hops=num_hops)
    check_sizes(max_sentences=max_sentences)
    check_whole("num_classes", num_classes, 2, MAX_INT32)

    # === Layers ===
    init = initializers(initializer_range, seed)
    words, ages = (
        [
            layers.Embedding(size, embedding_dim, embeddings_initializer=init(), name=f"{kind}_{hop}")
            for hop in range(num_hops + 1)
        ]
        for kind, size in (("words", vocab_size), ("ages", max_sentences))
    )
    weigh = PositionEncoding(name="position_encoding")
    attentions = [layers.Softmax(name=f"attention_{hop + 1}") for hop in range(num_hops)]
    drop = layers.Dropout(dropout, seed=init.seed(), name="dropout")
    head = Dense(num_classes, kernel_initializer=init(), name="logits")

    # === Functional model ===
    story = keras.Input((None, None), dtype="int32", name="story")
    question = keras.Input((None,), dtype="int32", name="question")
    real = ops.any(story != 0, axis=-1)  # (B, S)
    later = ops.cumsum(ops.cast(real, "int32")[:, ::-1], axis=1)[:, ::-1]
    age = ops.clip(later - 1, 0, max_sentences - 1)  # of the last sentence 0
    memories = [weigh(embed(story), story) + at(age) for embed, at in zip(words, ages, strict=True)]  # (B, S, D) each

    u = weigh(words[0](question), question)  # (B, D)
    for hop, attend in enumerate(attentions):
        scores = ops.sum(u[:, None] * memories[hop], axis=-1)  # (B, S)
        p = ops.where(real, attend(scores, mask=real), 0.0)  # none of them, where there is no sentence
        u = u + ops.sum(p[..., None] * memories[hop + 1], axis=1)
    return BuiltModel({"story": story, "question": question}, head(drop(u)), name=name)  # (B, C)


@keras.saving.register_keras_serializable("lm_keras")
class PositionEncoding(layers.Layer):
    """Vectors of words [..., W, D] and their ids [..., W] -> their sum [..., D], each weighed by its place.

    Word j of J (those that are no padding) and feature k of D weigh (1 - j / J) - (k / D) (1 - 2 j / J), both counted
    from 1 (Sukhbaatar et al. 2015, section 4.1): so the order of words counts, which a plain sum forgets.
    """

    def call(self, x, ids):
        real = ops.cast(ids != 0, x.dtype)[..., None]  # (..., W, 1)
        place = ops.cumsum(real, axis=-2)  # j, from 1
        of_length = place / ops.maximum(ops.sum(real, axis=-2, keepdims=True), 1)
        feature = (ops.arange(x.shape[-1], dtype=x.dtype) + 1) / x.shape[-1]
        return ops.sum(x * real * (1 - of_length - feature * (1 - 2 * of_length)), axis=-2)

    def compute_output_spec(self, x, ids):
        return keras.KerasTensor((*x.shape[:-2], x.shape[-1]), x.dtype)
