"""Model families, one file each: functional builders, ids [B, T] in, logits [B, T, V] out."""

from lm_keras._lazy import attach

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

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "BuiltModel": "lm_keras.models.built",
        "answer_span": "lm_keras.models.heads",
        "regressor": "lm_keras.models.heads",
        "sequence_classifier": "lm_keras.models.heads",
        "token_classifier": "lm_keras.models.heads",
        "CausalLM": "lm_keras.models.causal_lm",
        "Views": "lm_keras.models.causal_lm",
        "Seq2SeqLM": "lm_keras.models.seq2seq",
        "attention_maps": "lm_keras.models.bert",
        "build_attention_rnn_lm": "lm_keras.models.attention_rnn",
        "bert_pretrainer": "lm_keras.models.bert_heads",
        "build_bert": "lm_keras.models.bert",
        "build_bert_pretrainer": "lm_keras.models.bert_heads",
        "build_cnn_classifier": "lm_keras.models.cnn_classifier",
        "build_cnn_lm": "lm_keras.models.cnn_lm",
        "build_feedforward_lm": "lm_keras.models.feedforward",
        "build_gpt2": "lm_keras.models.gpt2",
        "build_gru_lm": "lm_keras.models.rnn",
        "build_llama": "lm_keras.models.llama",
        "build_lstm_lm": "lm_keras.models.lstm",
        "build_rnn_lm": "lm_keras.models.rnn",
        "build_seq2seq_lstm": "lm_keras.models.seq2seq_lstm",
        "build_seq2seq_transformer": "lm_keras.models.seq2seq_transformer",
        "load_model": "lm_keras.models.built",
        "load_pretrained": "lm_keras.models.pretrained.loading",
        "register_builder": "lm_keras.models.building",
        "pretraining_losses": "lm_keras.models.bert_heads",
        "save_pretrained": "lm_keras.models.pretrained.saving",
        "sentence_embeddings": "lm_keras.models.sentence_embeddings",
    },
)
