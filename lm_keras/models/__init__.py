"""Model families, one file each: functional builders, ids [B, T] in, logits [B, T, V] out."""

from lm_keras.utils.lazy import attach

# Family name on the command line -> builder. The contract tests run over the same dict.
BUILDERS = {
    "feedforward": "build_feedforward_lm",
    "rnn": "build_rnn_lm",
    "gru": "build_gru_lm",
    "lstm": "build_lstm_lm",
    "attention_rnn": "build_attention_rnn_lm",
    "cnn": "build_cnn_lm",
    "gpt2": "build_gpt2",
    "llama": "build_llama",
}

attach(__name__, __file__)
