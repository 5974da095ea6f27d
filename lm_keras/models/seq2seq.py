"""Two views of an encoder and a decoder: both texts at once for training, one step for decoding."""

import dataclasses
import functools
from collections.abc import Callable

import keras
from keras import ops

from lm_keras.errors import InputError
from lm_keras.models.base import BuiltModel, hidden_view


@dataclasses.dataclass(frozen=True)
class Seq2SeqViews:
    """What a builder hands over beside its training graph (a plain object, so that Keras does not track it).

    Args:
        encoder_model: Source ids [B, S] -> the parts of the state that come from the source, [B, ...] each.
        step_model: The step, a functional model of [ids [B, t], *state] -> [logits [B, t, V], *those parts of the
            state, its first ones, that a step changes].
        empty_state: A function of `(batch_size, length)` that gives the parts of the state before those of the
            encoder, with room for `length` tokens.
        attention_model: Both ids -> the weights over the source, [B, H, T, S] a layer; None without attention.
        hidden: The vectors [B, T, D] before the output layer in the training graph, a `KerasTensor`.
        step_hidden: The same in the graph of the step, [B, t, D].
        copy_slots: K, where the last K of the model's ids are words of the source alone (`build_pointer_generator`).
    """

    encoder_model: keras.Model
    step_model: keras.Model
    empty_state: Callable
    _: dataclasses.KW_ONLY
    attention_model: keras.Model | None = None
    hidden: keras.KerasTensor | None = None
    step_hidden: keras.KerasTensor | None = None
    copy_slots: int = 0


@keras.saving.register_keras_serializable("lm_keras")
class Seq2SeqLM(BuiltModel):
    """A functional `keras.Model`, {"source_ids" [B, S], "target_ids" [B, T]} int32 -> logits [B, T, V].

    A negative id in source or target, wherever it stands, means "no token here" and changes nothing; padding is -1.
    Logits t are those of the word after target_ids[:, t], as in a `CausalLM` (teacher forcing): for a target
    w1 w2 the inputs are <begin> w1 w2 and the labels w1 w2 <end>.
    To decode, `state = model.encode(source_ids)`, then `model.step(ids, state)` -> `(logits, state)` from <begin>
    on, the contract of `CausalLM.step`, so that the decoding loop and beam search run over it.
    The model saves as its builder's arguments and its weights. Of its `vocab_size` words, the last `copy_slots` are
    words that a source has and the vocabulary has not; source and target have them.
    """

    context_length = None  # of a target: `encode` makes as much room as it is asked for

    def __init__(self, inputs, outputs, *, views, name=None):
        super().__init__(inputs, outputs, name=name)
        self.views = views

    def encode(self, source_ids, length=None):
        """The state before the first target token of sources [B, S]: a list of tensors [B, ...].

        A state that grows has room for `length` target tokens, the begin mark included; None: the model's
        max_length. The last parts are the encoder's; no step changes them.
        """
        source_ids = ops.convert_to_tensor(source_ids, "int32")
        memory = self.views.encoder_model(source_ids)
        memory = [ops.cast(part, "int32" if part.dtype == "int32" else "float32") for part in _list(memory)]
        return [*self.views.empty_state(ops.shape(source_ids)[0], length), *memory]

    def step(self, ids, state):
        """Target ids [B, t], state -> (logits [B, t, V], new state)."""
        logits, *new_state = self.views.step_model([ops.convert_to_tensor(ids, "int32"), *state])
        changed, kept = state[: len(new_state)], state[len(new_state) :]
        # In mixed precision too, the state keeps its type from step to step.
        return logits, [*(ops.cast(new, old.dtype) for new, old in zip(new_state, changed, strict=True)), *kept]

    def attention_weights(self, source_ids, target_ids):
        """What each target token looks at in the source, [B, H, T, S] a layer; InputError without attention."""
        if self.views.attention_model is None:
            raise InputError(f"{self.name} has no attention; build it with attention='additive' or 'multiplicative'")
        inputs = {"source_ids": source_ids, "target_ids": target_ids}
        return _list(self.views.attention_model({k: ops.convert_to_tensor(v, "int32") for k, v in inputs.items()}))

    @property
    def step_model(self):
        return self.views.step_model

    @functools.cached_property  # which goes past Keras' tracking of attributes
    def hidden_model(self) -> keras.Model:
        """The functional model {"source_ids", "target_ids"} -> the vectors [B, T, D] before the output layer."""
        return hidden_view(self, self.input, self.views.hidden, [])

    @functools.cached_property
    def step_hidden_model(self) -> keras.Model:
        """The model [target ids [B, t], *state] -> [logits [B, t, V], hidden vectors [B, t, D], *changed state]."""
        return hidden_view(self, self.step_model.inputs, self.views.step_hidden, self.step_model.outputs)

    def other_views(self):
        views = (self.views.encoder_model, self.views.step_model, self.views.attention_model)
        return [view for view in views if view is not None]

    @property
    def vocab_size(self):
        return self.output_shape[-1]

    @property
    def copy_slots(self):
        return self.views.copy_slots


def source_and_target():
    """The two inputs of a model, int32 [B, S] and [B, T]."""
    return {name: keras.Input((None,), dtype="int32", name=name) for name in ("source_ids", "target_ids")}


def _list(tensors):
    return tensors if isinstance(tensors, list) else [tensors]
