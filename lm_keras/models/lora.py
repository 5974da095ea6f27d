"""LoRA (Hu et al. 2021): the adapters of Keras' `layer.enable_lora(rank)`, merged before a model is written."""

import numpy as np

from lm_keras.models.quantized import all_layers


def without_lora(model):
    """The model as it is, or, where layers have LoRA adapters, a copy with W + alpha / rank A B in the place of W.

    Args:
        model: a `BuiltModel`; it is not changed.

    Returns:
        A model of the same builder that gives the same numbers, without adapters.

    Raises:
        InputError: for adapters on quantized weights, into which they cannot be merged without other numbers.
    """
    merged, adapters = {}, set()
    for layer in all_layers(model):
        if getattr(layer, "lora_enabled", False):
            kind = "embeddings" if hasattr(layer, "lora_embeddings_a") else "kernel"
            weight = next(w for w in layer.weights if w.name == kind)
            left, right = (getattr(layer, f"lora_{kind}_{side}") for side in "ab")
            change = np.matmul(np.asarray(left), np.asarray(right)) * (layer.lora_alpha / layer.lora_rank)
            merged[id(weight)] = weight, change
            adapters |= {id(left), id(right)}
    if not merged:
        return model
    copy = type(model).from_config(model.get_config())
    values = {weight.path: weight for weight in model.weights if id(weight) not in adapters}
    values |= {weight.path: np.asarray(weight) + change for weight, change in merged.values()}
    for weight in copy.weights:
        weight.assign(values[weight.path])
    return copy
