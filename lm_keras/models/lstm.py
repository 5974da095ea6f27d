"""The documents' LSTM language models: Embedding -> LSTM -> Dense, in all their forms."""

import keras
from keras import layers, ops

from lm_keras.layers.padding import packed_text
from lm_keras.layers.recurrent import LSTM
from lm_keras.models.base import LogitsModel
from lm_keras.models.building import (
    check_sizes,
    check_tied,
    initializers,
    output_layer,
    register_builder,
    word_embedding,
)
from lm_keras.models.causal_lm import CausalLM, Views


@register_builder(family="lstm")
def build_lstm_lm(
    vocab_size,
    *,
    embedding_dim=128,
    hidden_dim=256,
    num_layers=1,
    dropout=0.0,
    tie_embeddings=False,
    embedding_matrix=None,
    train_embeddings=True,
    return_sequences=True,
    init_scale=None,
    seed=None,
    name="lstm_lm",
):
    """LSTM language model, ids int32 [B, T] -> logits [B, T, V], or [B, V] of the last word alone.

    `embedding_dim=None` feeds one-hot vectors to the LSTM (document 000); a float `embedding_matrix` [V, E]
    starts the embedding, frozen with `train_embeddings=False`; `tie_embeddings` scores words with the
    embedding's transpose (Press & Wolf 2017); `return_sequences=False` is the last-word form of documents
    000, 002 and 004; `init_scale` draws every weight from U(-s, s) (Zaremba et al. 2014), Keras' defaults
    otherwise. Dropout acts on all but the recurrent connections. Raises InputError for impossible sizes.
    """
    check_tied(tie_embeddings, embedding_dim)
    check_sizes(dropout, vocab_size=vocab_size, hidden_dim=hidden_dim, num_layers=num_layers)

    # === Layers ===
    init = initializers(init_scale, seed)
    embed = word_embedding(vocab_size, embedding_dim, embedding_matrix, train_embeddings, init)
    lstms = [_lstm(hidden_dim, f"lstm_{i}", init) for i in range(num_layers)]
    drops = [layers.Dropout(dropout, seed=init.seed(), name=f"dropout_{i}") for i in range(num_layers + 1)]
    to_hidden, to_logits = output_layer(vocab_size, embed if tie_embeddings else None, init)

    def forward(ids, state=None, mask=None):
        x = drops[0](embed(ids))  # (B, T, E)
        new_state = []
        for i, lstm in enumerate(lstms):
            before = state and state[2 * i : 2 * i + 2]
            x, h, c = lstm(x, initial_state=before, mask=mask)  # (B, T, H), (B, H), (B, H)
            x = drops[i + 1](x)
            new_state += [h, c]
        return x, new_state

    # === Functional model ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    tokens, arrange = packed_text(ids)
    x = arrange(forward(tokens)[0])
    hidden = to_hidden(x if return_sequences else x[:, -1])
    outputs = to_logits(hidden)

    # === Step view: the same layers, from a given state ===
    step_ids = keras.Input((None,), dtype="int32", name="step_ids")
    state = [keras.Input((hidden_dim,), name=f"{s}_{i}") for i in range(num_layers) for s in "hc"]
    x, new_state = forward(ops.maximum(step_ids, 0), state, mask=step_ids >= 0)
    step_hidden = to_hidden(x)
    step = LogitsModel([step_ids, *state], [to_logits(step_hidden), *new_state], name=f"{name}_step")

    def initial_state(batch_size, length=None):
        return [ops.zeros((batch_size, hidden_dim)) for _ in state]

    views = Views(step, initial_state, hidden=hidden, step_hidden=step_hidden)
    return CausalLM(ids, outputs, views=views, name=name)


def _lstm(hidden_dim, name, init):
    return LSTM(
        hidden_dim,
        return_sequences=True,
        return_state=True,
        kernel_initializer=init(),
        recurrent_initializer=init("Orthogonal"),
        bias_initializer=init("zeros"),
        unit_forget_bias=init.scale is None,
        use_cudnn=False,  # cuDNN takes neither the step view's masks nor a server without GPU
        name=name,
    )
