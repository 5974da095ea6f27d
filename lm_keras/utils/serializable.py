"""The classes that saved models name: known to Keras after `import lm_keras`, imported when a file needs one."""

import importlib
import sys

import wrapt

# The module of each class that `keras.saving.register_keras_serializable("lm_keras")` registers.
CLASSES = {
    "Alignment": "layers.alignment",
    "Append": "layers.alignment",
    "AttentionMask": "layers.attention",
    "BertBlock": "models.bert",
    "Bias": "models.bert",
    "BuiltModel": "models.base",
    "CRF": "layers.crf",
    "CRFLoss": "losses",
    "CacheRows": "layers.cache",
    "CausalLM": "models.causal_lm",
    "ConditionalModel": "models.conditional",
    "ContextWindow": "layers.positions",
    "CopyMixture": "layers.copying",
    "Cosines": "layers.retrieval",
    "CoverageAlignment": "layers.copying",
    "CrossAttention": "layers.attention",
    "CrossEntropy": "losses",
    "CutPadding": "layers.padding",
    "DecoderBlock": "models.seq2seq_transformer",
    "Dense": "layers.dense",
    "Dropout": "layers.blocks",
    "EncoderBlock": "models.seq2seq_transformer",
    "ExpectedReward": "losses",
    "GPT2Block": "models.gpt2",
    "Gelu": "layers.activations",
    "HidePadding": "layers.padding",
    "LSTM": "layers.recurrent",
    "LayerNormalization": "layers.normalization",
    "LlamaBlock": "models.llama",
    "Logits": "layers.fused_loss",
    "LogitsModel": "models.base",
    "MemoryHeads": "layers.attention",
    "MultiLabelCrossEntropy": "losses",
    "NGrams": "layers.ngrams",
    "PackTokens": "layers.padding",
    "PositionEncoding": "models.memory_network",
    "Positions": "layers.positions",
    "Postings": "layers.retrieval",
    "Remember": "layers.padding",
    "Rotary": "layers.positions",
    "SelfAttention": "layers.attention",
    "Seq2SeqLM": "models.seq2seq",
    "Sinusoids": "layers.positions",
    "SkipRNN": "layers.recurrent",
    "SquaredError": "losses",
    "Summed": "training.label_weights",
    "TokenPooling": "layers.padding",
    "TrainingAdam": "training.optimizer",
    "TrainingAdamW": "training.optimizer",
    "TrainingSGD": "training.optimizer",
    "UnpackTokens": "layers.padding",
    "WarmupSchedule": "training.optimizer",
    "Within": "layers.positions",
    "WordEmbedding": "layers.fused_loss",
}


class _Later:
    """Stands for a class until a file needs it: Keras asks for nothing but `from_config`."""

    def __init__(self, name: str, module: str):
        self.name, self.module = name, module

    def from_config(self, config: dict, **options: object) -> object:
        found = getattr(importlib.import_module(f"lm_keras.{self.module}"), self.name)
        return found.from_config(config, **options)


def make_known(keras) -> None:
    """Tells Keras of the classes; those that are registered already stay."""
    known = keras.saving.get_custom_objects()
    for name, module in CLASSES.items():
        known.setdefault(f"lm_keras>{name}", _Later(name, module))
    known.setdefault("lm_keras>LabelCrossEntropy", _Later("CrossEntropy", "losses"))  # its name in older files


def when_keras_is_imported() -> None:
    """Calls `make_known` now, or as soon as Keras is imported: it is not imported for this."""
    if "keras" in sys.modules and hasattr(sys.modules["keras"], "saving"):
        make_known(sys.modules["keras"])
    else:
        wrapt.register_post_import_hook(make_known, "keras")
