"""The pointer-generator: sequence to sequence that writes words of its vocabulary and copies words of the source."""

import keras
from keras import layers, ops

from lm_keras.layers.alignment import Alignment
from lm_keras.layers.copying import CopyMixture, CoverageAlignment
from lm_keras.layers.dense import Dense
from lm_keras.models.base import LogitsModel
from lm_keras.models.building import check_sizes, initializers, output_layer, register_builder
from lm_keras.models.seq2seq import Seq2SeqLM, Seq2SeqViews, source_and_target
from lm_keras.models.seq2seq_lstm import lstm_decoder, lstm_encoder
from lm_keras.utils.checks import check_number, check_whole


@register_builder
def build_pointer_generator(
    source_vocab_size: int,
    *,
    copy_slots: int = 50,
    embedding_dim: int = 128,
    hidden_dim: int = 256,
    num_layers: int = 1,
    bidirectional: bool = True,
    coverage: float = 0.0,
    dropout: float = 0.0,
    unknown_id: int = 1,
    initializer_range: float | None = None,
    seed: int | None = None,
    name: str = "pointer_generator",
) -> Seq2SeqLM:
    """A pointer-generator of LSTMs (See, Liu & Manning 2017), which also copies words that it does not know.

    Source and target have one vocabulary of V words and one embedding. The ids V, V + 1, ..., V + K - 1 are words
    that the vocabulary has not: the first, second, ... of them in this source. The model reads each of them as the
    unknown word, and writes it by copying alone. `lm_keras.text.CopyingTokenizer` gives such ids.

    Args:
        source_vocab_size: Number of words V of source and target.
        copy_slots: K, how many different unknown words a source may have.
        embedding_dim: Width of the word vectors.
        hidden_dim: Width of each LSTM.
        num_layers: Number of LSTMs in the encoder, and in the decoder.
        bidirectional: A second LSTM reads the source backwards in each layer of the encoder.
        coverage: λ of the coverage loss, of looking again at what was looked at before; 0: no coverage.
        dropout: Share of the values that are dropped in training, on all but the recurrent connections.
        unknown_id: The id below V of an unknown word.
        initializer_range: Draw every weight from U(-x, x) (Zaremba et al. 2014); None: Keras' defaults.
        seed: Seed of the starting weights and of dropout.
        name: Name of the model.

    Returns:
        A `Seq2SeqLM`, {"source_ids" int32 [B, S], "target_ids" int32 [B, T]} -> [B, T, V + K]: log-probabilities,
        whose exponents sum to 1. They are logits to every loss and search.

    Raises:
        InputError: For impossible sizes and options.
    """
    sizes = {"vocab_size": source_vocab_size, "hidden_dim": hidden_dim, "num_layers": num_layers}
    check_sizes(dropout, **sizes, copy_slots=copy_slots, embedding_dim=embedding_dim)
    check_number("coverage", coverage, least=0)
    check_whole("unknown_id", unknown_id, 0, source_vocab_size - 1)

    # === Layers ===
    init = initializers(initializer_range, seed)
    embedding = layers.Embedding(source_vocab_size, embedding_dim, init("RandomUniform"), name="embedding")

    def embed(ids):
        return embedding(ops.where(ids < source_vocab_size, ops.maximum(ids, 0), unknown_id))

    encode = lstm_encoder(embed, hidden_dim, num_layers, bidirectional, dropout, init)
    to_keys = Dense(hidden_dim, kernel_initializer=init(), bias_initializer=init("zeros"), name="keys")
    decode = _decoder(source_vocab_size, copy_slots, embed, hidden_dim, num_layers, coverage, dropout, init)

    def remember(source_ids):
        x, state = encode(source_ids)
        x = ops.where(source_ids[..., None] >= 0, x, 0)  # a source without any token gives nothing
        return state, [*([ops.zeros_like(x[..., 0])] if coverage else []), to_keys(x), x, source_ids]

    # === Functional model ===
    inputs = source_and_target()
    state, memory = remember(inputs["source_ids"])
    logits, hidden, weights, _ = decode(inputs["target_ids"], state, memory, sparing=False)
    looks = keras.Model(inputs, weights[:, None], name=f"{name}_attention")

    # === Decoding: the source once, then the target from a given state ===
    encoder = LogitsModel(inputs["source_ids"], [*state, *memory], name=f"{name}_encoder")
    ids = keras.Input((None,), dtype="int32", name="step_ids")
    given = [keras.Input(x.shape[1:], dtype=x.dtype, name=f"state_{i}") for i, x in enumerate(encoder.outputs)]
    step_logits, step_hidden, _, after = decode(ids, given[: 2 * num_layers], given[2 * num_layers :], sparing=True)
    step = LogitsModel([ids, *given], [step_logits, *after], name=f"{name}_step")

    named = {"hidden": hidden, "step_hidden": step_hidden, "copy_slots": copy_slots}
    views = Seq2SeqViews(encoder, step, lambda batch_size, length: [], attention_model=looks, **named)
    return Seq2SeqLM(inputs, logits, views=views, name=name)


def _decoder(vocab_size, copy_slots, embed, hidden_dim, num_layers, coverage, dropout, init):
    """decode(ids [B, T], state, memory, sparing) -> log P, hidden vectors, weights [B, T, S], what is changed."""
    recur, drop = lstm_decoder(hidden_dim, num_layers, dropout, init)
    if coverage:
        align = CoverageAlignment(coverage, init(), init(), name="alignment")
    else:
        align = Alignment("additive", init(), init(), name="alignment")
    combine, to_z = (
        Dense(width, kernel_initializer=init(), bias_initializer=init("zeros"), name=layer)
        for width, layer in ((hidden_dim, "combine"), (1, "generate"))
    )
    _, to_logits = output_layer(vocab_size, None, init)
    mixture = CopyMixture(copy_slots, name="mixture")

    def decode(ids, state, memory, sparing):
        *covered, keys, values, source_ids = memory
        x = embed(ids)
        h, after = recur(x, state, ids >= 0)
        visible = source_ids >= 0
        if covered:
            context, weights, covered = align(h, keys, values, visible, *covered, ids >= 0)
            after = [*after, covered]
        else:
            context, weights = align(h, keys, values, visible[:, None], sparing=sparing)
        hidden = drop(combine(ops.concatenate([context, h], -1)))
        z = to_z(ops.concatenate([context, h, x], -1))
        return mixture(z, to_logits(hidden), weights, source_ids), hidden, weights, after

    return decode
