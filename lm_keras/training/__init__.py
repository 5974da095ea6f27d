"""The training harness: fit and evaluate around `model.fit`, with checkpoints that survive a kill."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "TrainingConfig": "lm_keras.training.config",
        "fit": "lm_keras.training.fitting",
        "evaluate": "lm_keras.training.evaluation",
        "carry_state": "lm_keras.training.carried_state",
        "FrozenFor": "lm_keras.training.frozen",
        "multi_worker": "lm_keras.training.workers",
        "make_optimizer": "lm_keras.training.optimizer",
        "plot_learning_curve": "lm_keras.training.plots",
        "kneser_ney_perplexity": "lm_keras.training.ngrams",
        "unigram_perplexity": "lm_keras.training.ngrams",
    },
)
