"""Decoding and scoring over a model's step view, written once for every family."""

from lm_keras._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "beam_search": "lm_keras.generation.beam",
        "contrastive_search": "lm_keras.generation.contrastive",
        "prefill": "lm_keras.generation.loop",
        "decode": "lm_keras.generation.loop",
        "score_ids": "lm_keras.generation.scoring",
        "sample": "lm_keras.generation.sampling",
    },
)
