"""Low-rank adapters (LoRA, Hu et al. 2021) on a frozen model, by Keras' own `enable_lora`."""

import re
from typing import TypeVar

import keras

from lm_keras.errors import InputError
from lm_keras.language_model import LanguageModel
from lm_keras.models.base import BuiltModel
from lm_keras.models.quantization import all_layers, quantization_of, without_lora
from lm_keras.utils.checks import check_positive, check_seed, check_sizes

Model = TypeVar("Model", LanguageModel, BuiltModel)


def lora(
    model: Model,
    rank: int = 8,
    *,
    alpha: float | None = None,
    layers: str | None = None,
    embeddings: bool = False,
    seed: int = 0,
) -> Model:
    """Returns a copy of a model whose matrices are W + alpha / rank A B, of which A and B alone are trained.

    Before training B is 0 and the copy gives the same numbers. Whatever trains a model trains it: `lk.fit`,
    `model.fit`, `PromptClassifier(lora(lm), ...)` with its `training_data`. `LanguageModel.save`, a .keras file,
    `lk.quantize` and `lk.export` merge A B into W, so that what is loaded and served has no adapters. The model that
    is given stays as it is.

    Keras has adapters for its Dense, EinsumDense, Conv1D and Embedding layers: all matrices of the transformers here,
    of `build_cnn_lm` and `build_feedforward_lm`. It has none for recurrent cells (RNN, GRU, LSTM), additive
    attention and norms, nor for a layer whose weights have a constraint: these stay frozen. Of a recurrent model the
    output layer is adapted, where it is a layer of its own, and the word vectors with `embeddings=True`.

    Args:
        model: A LanguageModel, with its prompt if it has one, or a model of `lm_keras.models.build_*`, such as an
            encoder before it gets a head.
        rank: Columns of A and rows of B.
        alpha: How much of A B is added, alpha / rank; None: `rank`, which adds A B itself.
        layers: A regular expression that the path of a layer must contain, such as "attention" or "block_29/"; None:
            all.
        embeddings: Whether embeddings have adapters too.
        seed: Seed of A.

    Returns:
        A copy of the same class.

    Raises:
        InputError: For what is no such model, one that is quantized, and where no layer can have an adapter.

    Example:

    ```python
    adapted = lk.prompting.lora(lm, rank=8)
    lk.fit(adapted, windows)
    adapted.save("runs/adapted")
    ```
    """
    check_sizes(rank=rank)
    seed, alpha = check_seed(seed), rank if alpha is None else alpha
    check_positive(alpha=alpha)
    if isinstance(model, LanguageModel):
        options = {"alpha": alpha, "layers": layers, "embeddings": embeddings, "seed": seed}
        return model.with_model(lora(model.model, rank, **options))
    if not isinstance(model, BuiltModel):
        raise InputError(f"lora takes a LanguageModel or a model of lk.models.build_*, got {type(model).__name__}")
    if quantization_of(model):
        raise InputError(f"{model.name} is quantized; give lora the float model, and quantize it after the training")
    copy = without_lora(model)
    if copy is model:
        copy = type(model).from_config(model.get_config())
        copy.set_weights(model.get_weights())
    chosen = _chosen(copy, layers, embeddings)
    for number, layer in enumerate(chosen):
        start = keras.initializers.HeUniform(seed=seed + number)
        layer.enable_lora(rank, a_initializer=start, lora_alpha=alpha)
    adapters = {id(weight) for layer in chosen for weight in _adapters(layer)}
    for weight in copy.trainable_weights:  # not whole layers: after the merge all are trainable as before
        weight.trainable = id(weight) in adapters
    return copy


def _chosen(model, pattern, embeddings):
    """The layers that get adapters; InputError where there is none."""
    try:
        wanted = re.compile(pattern or "")
    except (re.error, TypeError) as error:
        raise InputError(f"layers is {pattern!r:.40}, no regular expression ({error})") from None
    able = [layer for layer in all_layers(model) if hasattr(layer, "enable_lora") and layer.weights]
    able = [layer for layer in able if getattr(layer, f"{_kind(layer)}_constraint") is None]
    able = [layer for layer in able if embeddings or _kind(layer) == "kernel"]
    chosen = [layer for layer in able if wanted.search(layer.path)]
    if not chosen:
        known = ", ".join(layer.path for layer in able[:6]) + ", ..." * (len(able) > 6)
        raise InputError(
            f"no layer of {model.name} that can have an adapter has {pattern!r} in its path; there are {known}"
            if able
            else f"{model.name} has no dense layer, which adapters are for; give embeddings=True, or train it whole"
        )
    return chosen


def _kind(layer):
    return "embeddings" if isinstance(layer, keras.layers.Embedding) else "kernel"


def _adapters(layer):
    return [getattr(layer, f"lora_{_kind(layer)}_{side}") for side in "ab"]
