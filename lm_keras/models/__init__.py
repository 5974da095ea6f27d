"""Model families, one file each: functional builders, ids [B, T] in, logits [B, T, V] out."""

from lm_keras._lazy import attach

# Family name on the command line -> builder. The contract tests run over the same dict.
BUILDERS = {"lstm": "build_lstm_lm"}

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "CausalLM": "lm_keras.models.causal_lm",
        "build_lstm_lm": "lm_keras.models.lstm",
    },
)
