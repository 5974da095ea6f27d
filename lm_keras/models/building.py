"""`register_builder`: a function that builds a model, known by its name, whose models save as the call of it."""

import functools
import inspect
import itertools
import numbers
from collections.abc import Callable
from typing import ParamSpec, TypeVar, overload

import keras
import numpy as np
from keras import layers, ops

from lm_keras.errors import InputError
from lm_keras.layers.dense import Dense
from lm_keras.layers.fused_loss import Logits, WordEmbedding
from lm_keras.models.base import REGISTERED, BuiltModel, Recipe, Registered, add_builder
from lm_keras.models.renamed import ARGUMENTS
from lm_keras.utils.checks import MAX_INT32, check_number, check_whole
from lm_keras.utils.keras_internals import fresh_names

P = ParamSpec("P")
M = TypeVar("M", bound=keras.Model)
NOT_SAVED = ("name", "embedding_matrix")  # the model has the one; the values of the other are among its weights


@overload
def register_builder(builder: Callable[P, M], /) -> Callable[P, M]: ...


@overload
def register_builder(
    *, family: str | None = None, small: dict | None = None
) -> Callable[[Callable[P, M]], Callable[P, M]]: ...


def register_builder(builder=None, /, *, family=None, small=None):
    """Makes a builder known by its name, and its models save as the call that built them; a decorator.

    The arguments of each call, defaults included, are kept on the model as its `recipe`: all but `name` and
    `embedding_matrix`. A matrix is checked here: the builder gets it as float32 [V, E], and E as `embedding_dim`.

    ```python
    @lk.models.register_builder(family="mine")
    def build_mine(vocab_size: int, *, width: int = 64, name: str = "mine") -> lk.models.CausalLM:
        ...
        views = lk.models.Views(step, initial_state, hidden=x, step_hidden=step_x, step_embedded=step_e)
        return lk.models.CausalLM(ids, logits, views=views, name=name)
    ```

    A file holds the builder's name and arguments (JSON values), and the module that registered it, which is never
    imported by itself: import it before you load the file; `lm-keras generate --import MODULE ...` on the command
    line.

    Args:
        builder: A function of arguments that JSON can hold, and of `name`. It returns a `BuiltModel`, `CausalLM` or
            `Seq2SeqLM`.
        family: The name of its language models for `lm-keras train --model`. The arguments that are annotated as
            numbers, texts or bools are options there.
        small: Arguments that `lm-keras train` passes unless it is given others, where the builder's defaults are
            too large for an ordinary machine.

    Returns:
        The function, which keeps the arguments of its calls.

    Raises:
        InputError: For what is no function with a name, for one that cannot be called again with its arguments by
            name, and for a name that another builder or family has.
    """
    if builder is None:
        return functools.partial(register_builder, family=family, small=small)
    name = getattr(builder, "__name__", None)
    if not callable(builder) or not isinstance(name, str) or not name.isidentifier():
        raise InputError(f"register_builder takes a function with a name, got {type(builder).__name__}")
    known = REGISTERED.get(name)
    keeping = builder if known is not None and known.function is builder else _keeping_arguments(builder)
    add_builder(Registered(keeping, family, dict(small or {})))
    return keeping


def recorded(model: BuiltModel, builder: str, arguments: dict) -> BuiltModel:
    """The same model, which from here on saves as that call: the builder's name and its arguments."""
    model.recipe = Recipe(builder, arguments)
    return model


def _keeping_arguments(builder):
    """The builder, whose models know the arguments of the call."""
    name, signature = builder.__name__, inspect.signature(builder)
    _check_parameters(name, signature.parameters)
    renamed = {old: new for old, new in ARGUMENTS.get(name, {}).items() if old not in signature.parameters}

    @functools.wraps(builder)
    def build(*args, **kwargs):
        for old, new in renamed.items():
            if old in kwargs:
                raise InputError(f"{name} has no argument {old}; its name is {new}: give {new}={kwargs[old]!r:.40}")
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            first = next(iter(signature.parameters))
            more = f"; it takes {first} by position, and all else by name" if "positional" in str(error) else ""
            raise TypeError(f"{name}: {error}{more}") from None
        bound.apply_defaults()
        matrix = bound.arguments.get("embedding_matrix")
        bound.arguments |= {key: _plain(value) for key, value in bound.arguments.items() if value is not matrix}
        if matrix is not None:
            _take_matrix(bound.arguments)
        with fresh_names():  # the names of weights in a file must not depend on what was built before
            model = builder(*bound.args, **bound.kwargs)
        if not isinstance(model, BuiltModel):
            raise InputError(
                f"{name} returned a {type(model).__name__}; a builder returns an lk.models.CausalLM, Seq2SeqLM or "
                "BuiltModel"
            )
        return recorded(model, name, _saved(bound))

    return build


def _check_parameters(name, parameters):
    """InputError for parameters that a file could not give again: it has all arguments by name, `name` too."""
    for each in parameters.values():
        if each.kind in (each.VAR_POSITIONAL, each.POSITIONAL_ONLY):
            raise InputError(f"{name} takes {each.name} by position alone, and a file gives all by name; name it")
    if "name" not in parameters and not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        raise InputError(f"{name} has no argument name, which a model is loaded with; add name='...'")


def _saved(bound):
    """The arguments of a call by name, those of a `**options` among them."""
    arguments = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name)
    return {name: value for name, value in arguments.items() if name not in NOT_SAVED}


def _take_matrix(arguments):
    """Makes `embedding_matrix` float32 [V, E], and E the `embedding_dim`; InputError for what is no such matrix."""
    matrix = arguments["embedding_matrix"]
    try:
        if not isinstance(matrix, list) and not hasattr(matrix, "__array__"):  # NumPy's protocol for arrays
            raise TypeError  # word vectors, which know no order of a vocabulary
        array = np.asarray(matrix, "float32")
    except (TypeError, ValueError):
        raise InputError(
            f"embedding_matrix is a {type(matrix).__name__} and no array [vocab_size, embedding_dim]; "
            "matrix, coverage = lk.embeddings.embedding_matrix(tokenizer, vectors) gives one"
        ) from None
    if array.ndim != 2:
        raise InputError(f"embedding_matrix has the shape {array.shape}; it needs one row a word and word vectors")
    if "vocab_size" in arguments and len(array) != arguments["vocab_size"]:
        raise InputError(f"embedding_matrix has {len(array)} rows; it needs one a word: {arguments['vocab_size']}")
    arguments["embedding_matrix"] = array
    if "embedding_dim" in arguments:
        arguments["embedding_dim"] = array.shape[1]


def _plain(value):
    """A value as JSON holds it, so that what is loaded equals what was saved."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, np.floating) else value


# === What the recurrent and feed-forward language models share: starting weights, embedding, output layer, checks ===


def initializers(scale, seed):
    """`init(name)`: a Keras initializer, or U(-scale, scale); each takes the next seed, as `init.seed()` does."""
    seeds = itertools.count(seed) if seed is not None else itertools.repeat(None)

    def init(default="GlorotUniform"):
        if scale is not None:
            return keras.initializers.RandomUniform(-scale, scale, seed=next(seeds))
        return "zeros" if default == "zeros" else getattr(keras.initializers, default)(seed=next(seeds))

    init.scale, init.seed = scale, lambda: next(seeds)
    return init


def word_embedding(vocab_size, embedding_dim, matrix, trainable, init):
    """ids [B, T] -> vectors [B, T, E]; one-hot vectors [B, T, V] with `embedding_dim=None`."""
    if embedding_dim is None:
        return lambda ids: ops.one_hot(ids, vocab_size)
    check_sizes(vocab_size=vocab_size, embedding_dim=embedding_dim)
    start = init("RandomUniform") if matrix is None else keras.initializers.Constant(matrix)
    return WordEmbedding(
        vocab_size, embedding_dim, embeddings_initializer=start, trainable=trainable, name="embedding"
    )


def partly_trained_embedding(vocab_size, embedding_dim, matrix, trainable, trained_words, init):
    """`embed(ids)` as of `word_embedding`; of a frozen one the first `trained_words` words have a trained part, too.

    In training the part is left out of half of the words, drawn for each: so a model also learns to read words that
    have none, as those of other texts.
    """
    check_whole("trained_words", trained_words, 0, vocab_size)
    if trained_words and trainable:
        raise InputError("trained_words is of a frozen embedding; give train_embeddings=False, or leave it out")
    embed = word_embedding(vocab_size, embedding_dim, matrix, trainable, init)
    if not trained_words:
        return embed
    part = layers.Embedding(trained_words, embedding_dim, embeddings_initializer="zeros", name="trained_part")
    drop = layers.Dropout(0.5, noise_shape=(None, None, 1), seed=init.seed(), name="trained_part_dropout")

    def both(ids):
        known = ids < trained_words
        return embed(ids) + ops.where(known[..., None], drop(part(ops.where(known, ids, 0))), 0.0)

    return both


def output_layer(vocab_size, tied, init):
    """`(to_hidden, to_logits)`: x [B, T, H] -> the hidden vectors that are scored -> logits [B, T, V].

    Without an embedding `tied`, a dense layer scores x itself; else x is mapped to its width, and it is read in
    reverse (Press & Wolf 2017).
    """
    if tied is None:
        logits = Logits(vocab_size, kernel_initializer=init(), bias_initializer=init("zeros"), name="logits")
        return lambda x: x, logits
    tied.supports_masking = True  # in reverse it reads what a masked layer wrote
    to_embedding = Dense(tied.output_dim, use_bias=False, kernel_initializer=init(), name="to_embedding")
    return to_embedding, lambda hidden: tied(hidden, reverse=True)


def check_tied(tie_embeddings, embedding_dim):
    """Raises InputError for one-hot inputs with an embedding to tie."""
    if tie_embeddings and embedding_dim is None:
        raise InputError("tie_embeddings=True needs an embedding_dim: one-hot inputs have no embedding to tie")


def check_sizes(dropout: float = 0.0, **sizes: int) -> None:
    """Raises InputError for a size that is no whole number of at least 1 (2 words), or an impossible dropout."""
    for name, value in sizes.items():
        check_whole(name, value, 2 if name == "vocab_size" else 1, MAX_INT32)
    check_number("dropout", dropout, least=0, below=1)
