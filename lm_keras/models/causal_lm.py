"""Two views of one set of layers: the whole sequence for training, one step for decoding."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import tensorflow as tf
from keras import ops

from lm_keras.errors import InputError
from lm_keras.layers.attention import AttentionMask
from lm_keras.layers.cache import CacheRows, slots
from lm_keras.layers.padding import packed_text
from lm_keras.layers.positions import Positions, Within
from lm_keras.models.base import BuiltModel, LogitsModel, hidden_view


@dataclasses.dataclass(frozen=True)
class Views:
    """What a builder hands over beside its training graph (a plain object, so that Keras does not track it).

    Args:
        step_model: The step, a functional model of [ids [B, t], *state] -> [logits [B, t, V], *new state].
        initial_state: A function of `(batch_size, length)` that gives the state tensors [B, ...] before the first
            token, with room for `length` tokens where the memory grows.
        context_length: The most tokens that the state can hold; None: it never fills.
        attention_model: ids [B, T] -> the attention weights [B, H, T, T] of each layer; None without attention.
        hidden: The vectors [B, T, D] before the output layer in the training graph, a `KerasTensor`.
        step_hidden: The same in the graph of the step, [B, t, D].
        step_embedded: The word vectors [B, t, E] of the ids in the graph of the step, which learned prompts replace:
            the output of a layer that is used once, see `word_vectors`.
    """

    step_model: keras.Model
    initial_state: Callable
    _: dataclasses.KW_ONLY
    context_length: int | None = None
    attention_model: keras.Model | None = None
    hidden: keras.KerasTensor | None = None
    step_hidden: keras.KerasTensor | None = None
    step_embedded: keras.KerasTensor | None = None


@keras.saving.register_keras_serializable("lm_keras")
class CausalLM(BuiltModel):
    """A functional `keras.Model`, ids [B, T] -> logits [B, T, V], with its step view.

    In both views a negative id means "no token here", before, between or after the tokens of a row: the others see
    nothing of it, and its own logits mean nothing (a negative label leaves them out of the loss).
    `model.step(ids, state)` -> `(logits, state)` shares the weights: ids int32 [B, t]; a negative id leaves the
    state of that row as it was; `model.step_model` is the functional model behind it. `model.initial_state(B)` is
    the list of state tensors before the first token; a state that grows has room for `length` tokens in all, at most
    and by default `model.context_length`. `model.hidden_model` and `model.step_hidden_model` give the vectors before
    the output layer too; `model.step_vectors(vectors, state)` reads vectors in the place of words.
    The model saves as its builder's arguments and its weights, so `keras.models.load_model` brings back both views.
    """

    def __init__(self, inputs, outputs, *, views, name=None):
        super().__init__(inputs, outputs, name=name)
        self.views = views

    def step(self, ids, state):
        """ids [B, t], state -> (logits [B, t, V], new state).

        Raises InputError, outside of a graph, where the state has no room for the tokens.
        """
        ids = ops.convert_to_tensor(ids, "int32")
        if self.context_length is not None and tf.executing_eagerly():
            self._check_room(ids, state)
        logits, *new_state = self.views.step_model([ids, *state])
        # In mixed precision too, the state keeps its type from step to step.
        return logits, [ops.cast(new, old.dtype) for new, old in zip(new_state, state, strict=True)]

    def step_vectors(self, vectors, state):
        """Vectors [B, t, E] in the place of words, state -> (logits [B, t, V], new state), without dropout."""
        ids = ops.zeros(ops.shape(vectors)[:2], "int32")
        logits, *new_state = self.step_vectors_model([ids, vectors, *state], training=False)
        return logits, [ops.cast(new, old.dtype) for new, old in zip(new_state, state, strict=True)]

    def _check_room(self, ids, state):
        filled, room = state[0], state[-1].shape[2] - 1  # see layers/cache.py: one slot is spare
        most = int(ops.max(filled + ops.sum(ops.cast(ids >= 0, "int32"), axis=1), initial=0))
        if most > room:
            raise InputError(
                f"the state of {self.name} has room for {room} tokens and would hold {most}; begin with "
                f"initial_state(batch_size, length) of more, up to {self.context_length}"
            )

    @property
    def step_model(self):
        return self.views.step_model

    def initial_state(self, batch_size, length=None):
        return self.views.initial_state(batch_size, length)

    @functools.cached_property  # which goes past Keras' tracking of attributes
    def hidden_model(self) -> keras.Model:
        """The functional model ids [B, T] -> the vectors [B, T, D] before the output layer."""
        return hidden_view(self, self.input, self.views.hidden, [])

    @functools.cached_property
    def step_hidden_model(self) -> keras.Model:
        """The functional model [ids [B, t], *state] -> [logits [B, t, V], hidden vectors [B, t, D], *new state]."""
        return hidden_view(self, self.step_model.inputs, self.views.step_hidden, self.step_model.outputs)

    @functools.cached_property
    def step_vectors_model(self) -> keras.Model:
        """The functional model [ids [B, t], vectors [B, t, E], *state] -> [logits [B, t, V], *new state].

        The vectors stand in the place of the ids' own. No id is negative: each column has a vector.
        """
        inputs = [self.step_model.inputs[0], self._embedded(), *self.step_model.inputs[1:]]
        return self._view(inputs, self.step_model.outputs, "vectors")

    @functools.cached_property
    def word_vectors_model(self) -> keras.Model:
        """The functional model ids [B, t] -> their word vectors [B, t, E]; one-hot where there is no embedding."""
        return self._view(self.step_model.inputs[0], self._embedded(), "words")

    def _embedded(self):
        if self.views.step_embedded is None:
            raise InputError(
                f"{self.name} does not say which tensor holds its word vectors; its builder gives it to its views as "
                "step_embedded"
            )
        return self.views.step_embedded

    def _view(self, inputs, outputs, name):
        view = LogitsModel(inputs, outputs, name=f"{self.name}_{name}")
        view.dtype_policy = self.dtype_policy  # in which it was built, not what is set now
        return view

    def other_views(self):
        views = (self.views.step_model, self.views.attention_model)
        return [view for view in views if view is not None]

    def attention_weights(self, ids):
        """What each token of ids [B, T] looks at: a list, [B, H, T, T] a layer; InputError without attention.

        Rows and columns of negative ids are 0.
        """
        if self.views.attention_model is None:
            raise InputError(f"{self.name} has no attention; build gpt2, llama or attention_rnn to look at weights")
        ids = ops.convert_to_tensor(ids, "int32")
        weights = self.views.attention_model(ids)
        valid = ids >= 0
        places = ops.maximum(ops.cumsum(ops.cast(valid, "int32"), axis=1) - 1, 0)  # among the tokens alone
        both = (valid[:, None, :, None] & valid[:, None, None, :], places[:, None, :, None], places[:, None, None, :])
        return [_between_tokens(part, *both) for part in (weights if isinstance(weights, list) else [weights])]

    @property
    def context_length(self):
        return self.views.context_length

    @property
    def vocab_size(self):
        return self.output_shape[-1]


def _between_tokens(weights, valid, rows, columns):
    """Weights [B, H, T, T] of tokens side by side -> at the places where the tokens stand; 0 elsewhere."""
    weights = ops.take_along_axis(ops.take_along_axis(weights, rows, axis=2), columns, axis=3)
    return ops.where(valid, weights, 0.0)


# === Both views of a causal transformer from one forward pass ===


def decoder(embed, forward, *, num_layers, num_kv_heads, head_dim, max_length, name):
    """The `CausalLM` of `forward(x, positions, visible, memories, arrange) -> (logits, hidden, kept)`.

    `x` are the word vectors that `embed` gives of ids, `visible` is the `Mask` of the pass, `kept` [(weights, keys,
    values), ...]; `arrange` acts on what enters the output layer, `hidden`.

    Its state is `filled` int32 [B], the tokens seen, then keys and values [B, K, L + 1, D] for each layer.
    """
    # === Functional model ===
    ids = keras.Input((None,), dtype="int32", name="ids")
    positions, within = Positions(max_length, name="places")(ids), Within(max_length, name="within")
    tokens, arrange = packed_text(ids)
    look = AttentionMask(name="mask")
    visible = look(ids, positions[:, None] <= positions[:, :, None])  # (1, T, T)
    free = [None] * num_layers
    logits, hidden, kept = forward(embed(tokens), positions, visible, free, lambda x: within(arrange(x)))

    # === Step view: the same layers, with the keys and values of what came before ===
    step_ids = keras.Input((None,), dtype="int32", name="step_ids")
    filled = keras.Input((), dtype="int32", name="filled")
    shape = (num_kv_heads, None, head_dim)
    caches = [keras.Input(shape, name=f"{part}_{i}") for i in range(num_layers) for part in ("keys", "values")]
    place, after = slots(step_ids, filled)  # (B, t), (B,)
    slot = counted(ops.cast(caches[0][:1, 0, :, 0], "int32"))[:, None]  # (1, 1, L + 1)
    visible = look(step_ids, slot <= place[:, :, None])  # (B, t, L + 1)
    where = CacheRows(name="cache_rows")(caches[0], place, step_ids)  # the same in every block
    memories = [(*caches[2 * i : 2 * i + 2], *where) for i in range(num_layers)]
    positions = ops.minimum(place, max_length - 1)  # a column without token may stand behind the last one
    embedded = word_vectors(embed, ops.maximum(step_ids, 0))
    step_logits, step_hidden, kept_after = forward(embedded, positions, visible, memories, lambda x: x)
    new_caches = [cache for _, *both in kept_after for cache in both]
    step = LogitsModel([step_ids, filled, *caches], [step_logits, after, *new_caches], name=f"{name}_step")

    def initial_state(batch_size, length=None):
        room = max_length if length is None else ops.minimum(length, max_length)
        empty = [ops.zeros((batch_size, num_kv_heads, room + 1, head_dim)) for _ in caches]
        return [ops.zeros((batch_size,), "int32"), *empty]

    attention = keras.Model(ids, [weights for weights, *_ in kept], name=f"{name}_attention")
    views = Views(
        step,
        initial_state,
        context_length=max_length,
        attention_model=attention,
        hidden=hidden,
        step_hidden=step_hidden,
        step_embedded=embedded,
    )
    return CausalLM(ids, logits, views=views, name=name)


def word_vectors(embed, ids):
    """`embed(ids)` for the step, [B, t, E], as a tensor that `Views` can name.

    Keras cuts a graph at a layer, wherever that is used, and an embedding may be read in reverse at the end too.
    """
    return keras.layers.Identity(name="word_vectors")(embed(ids))


def counted(x):
    """0, 1, 2 ... along the second axis of x int [B, T]."""
    return ops.cumsum(ops.ones_like(x), axis=1) - 1
