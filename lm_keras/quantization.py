"""Language models of a quarter or an eighth of the size: weights of 8 or 4 bits."""

from lm_keras.errors import InputError
from lm_keras.language_model import LanguageModel
from lm_keras.models.lora import without_lora
from lm_keras.models.quantized import quantization_of, weight_only


def quantize(language_model, mode):
    """A new LanguageModel with weights of 8 bits ("int8") or 4 ("int4"); the given one stays as it is.

    Keras' own `Model.quantize` with a config that leaves activations in float (`models.quantized.weight_only`), so
    that a text's answer does not depend on those beside it. It scores, generates, saves, loads and exports as any
    other, but cannot be trained. `model.quantize(...)` changes a model in place, with Keras' own defaults or yours.
    LoRA adapters are merged before. Raises InputError for another mode, or for a model that is quantized already.
    """
    if not isinstance(language_model, LanguageModel):
        what = type(language_model).__name__
        raise InputError(f"quantize takes a LanguageModel, not a {what}; of a keras.Model use model.quantize(mode)")
    config, model = weight_only(mode), language_model.model
    if quantization_of(model):
        raise InputError(f"{model.name} is quantized already; quantize the float model")
    copy = without_lora(model)
    if copy is model:
        copy = type(model).from_config(model.get_config())
        copy.set_weights(model.get_weights())
    copy.quantize(config=config)
    return LanguageModel(copy, language_model.tokenizer)
