"""One step of a model in a loop: a TensorFlow function of each model, traced once and called by every loop.

Scoring, prompts, decoding and the searches all call it, and what forgets half of a full window too. It gives the
vectors before the output layer, so that a prompt that is only read costs no product with the vocabulary; where the
logits need more than these, both. TensorFlow calls it where it would else copy its operations into each caller, and
optimize and hold them once more for each.
"""

import weakref
from collections.abc import Sequence

import keras
import tensorflow as tf

from lm_keras.layers.cache import written_in_place
from lm_keras.models.base import output_model
from lm_keras.utils.functions import function, traced_of


def step(model: keras.Model, ids: tf.Tensor, state: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """`model.step`, for a loop that alone holds its state, see `owned`: the caches are written where they stand.

    Args:
        model: A `CausalLM` or `Seq2SeqLM`.
        ids: int32 [B, t].
        state: The tensors of its state.

    Returns:
        Logits [B, t, V] and the new state.
    """
    vectors, state = step_hidden(model, ids, state)
    return logits_of(model, vectors), state


def step_hidden(model: keras.Model, ids: tf.Tensor, state: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """As `step`, with the vectors [B, t, N] from which `logits_of` and `hidden_of` make what is wanted."""
    view, state = model.step_model, list(state)
    made = traced_of(view).get(view, _traced_step, lambda: _traced_step(weakref.ref(model)))
    vectors, *new_state = made(ids, state)
    vectors.set_shape([*ids.shape, vectors.shape[-1]])
    for part, before in zip(new_state, state, strict=True):  # the caller may know more of them
        part.set_shape([None, *before.shape[1:]])
    return vectors, new_state


def logits_of(model: keras.Model, vectors: tf.Tensor) -> tf.Tensor:
    """Logits [B, t, V] of what `step_hidden` gives."""
    output = _output_of(model)
    return vectors[..., : model.vocab_size] if output is None else output(vectors)


def hidden_of(model: keras.Model, vectors: tf.Tensor) -> tf.Tensor:
    """The vectors [B, t, H] before the output layer, which its builder names, of what `step_hidden` gives."""
    return vectors[..., model.vocab_size :] if _output_of(model) is None else vectors


def owned(state: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Copies that a loop alone holds: TensorFlow keeps equal tensors once, and a caller's stay as they are."""
    return [tf.raw_ops.DeepCopy(x=part) for part in state]


def state_spec(model: keras.Model) -> list[tf.TensorSpec]:
    """The state of a model's step, for any number of rows."""
    # In mixed precision too, a state keeps float32 from step to step.
    kinds = [part.dtype if "int" in part.dtype else "float32" for part in model.step_model.inputs[1:]]
    return [
        tf.TensorSpec([None, *part.shape[1:]], kind)
        for part, kind in zip(model.step_model.inputs[1:], kinds, strict=True)
    ]


def _traced_step(model):
    """The function of a model, which is held weakly."""
    spec = [tf.TensorSpec([None, None], tf.int32), state_spec(model())]

    @function(input_signature=spec, experimental_attributes={"_noinline": True})
    def one_step(ids, state):
        view = model()
        number = len(view.step_model.outputs) - 1
        with written_in_place():
            if view.views.step_hidden is None:
                vectors, *new = view.step_model([ids, *state])
            else:
                logits, vectors, *new = view.step_hidden_model([ids, *state])
                if _output_of(view) is None:
                    vectors = tf.concat([logits, tf.cast(vectors, logits.dtype)], -1)
        # In mixed precision too, the state keeps its type from step to step.
        new = [tf.cast(after, before.dtype) for after, before in zip(new, state[:number], strict=True)]
        return [vectors, *new, *state[number:]]

    return one_step


def _output_of(model):
    """The model hidden -> logits of a model's step; None where the logits are not made of its hidden vectors alone.

    That is so where its builder names none, and where something goes around them, as direct connections do.
    """
    view = model.step_model
    return traced_of(view).get(view, _output_of, lambda: output_model(view, model.views.step_hidden))
