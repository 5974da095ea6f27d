"""The contract of everything that takes text and answers, and the folder that it is saved in."""

from __future__ import annotations

import abc
import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lm_keras.errors import InputError, damaged, naming
from lm_keras.models import load_model
from lm_keras.models.folder import staged
from lm_keras.models.keras_file import check_savable
from lm_keras.text import load_tokenizer
from lm_keras.utils.atomic_files import claimed, path_of, read_json, write_json
from lm_keras.utils.checks import same_definition
from lm_keras.utils.saved_kinds import TASK, check_place, kind_of, refusal

if TYPE_CHECKING:
    from typing import Self

    import keras

    from lm_keras.serving.export.signatures import Served
    from lm_keras.text.tokenizers.base import Tokenizer

MODEL = "model.keras"
OTHERS = ("language model", "pretrained", "unfinished train", "unfinished fit", "export")  # not to be saved into
BAD_CONTENT = "it holds no text model of this version; save it again"

_REGISTERED: dict[str, type[TextModel]] = {}  # by the name of the class

Kind = TypeVar("Kind", bound="type[TextModel]")


class TextModel(abc.ABC):
    '''What takes text and answers: a Keras model, its tokenizers, and what is done with both.

    `LanguageModel` and the classes of `lm_keras.tasks` are text models. A new application is one subclass in one
    file, which owes three things:

    1. A constructor of the model, the tokenizers and keyword options, in this order. It gives them to
       `super().__init__`; from these a saved folder is made and read, so a constructor call with them makes an equal
       text model.
    2. `signatures()`, what an export of it takes and gives: see `lm_keras.serving.Served`.
    3. The decorator `@register_text_model`, which makes the class known by its name.

    Its own methods answer in Python, under whatever name says what they do. Then `save` and `load`, `lk.export`,
    `lk.check`, `lm-keras export` and `Client.predict` work on it. A class from outside this package must be imported
    before a folder of it is loaded (`lm-keras export --import MODULE`): no module is imported because a file names
    it.

    Attributes:
        model: The `keras.Model`, of any kind, whose weights are saved and exported.
        tokenizers: `{name: Tokenizer}`, in the order of the constructor's arguments.
        options: `{name: value}`, all keyword arguments of the constructor; values that JSON can hold.

    Args:
        model: See above.
        tokenizers: See above.
        options: See above; None for a constructor without options.

    Example:

    ```python
    import tensorflow as tf

    import lm_keras as lk
    from lm_keras.serving import Served, padded, signature


    @lk.register_text_model
    class Grader(lk.TextModel):
        """A grade for each text, from a keras.Model of ids [B, T] -> numbers [B, 1] that masks padding."""

        def __init__(self, model, tokenizer, *, best=10.0):
            super().__init__(model, {"tokenizer": tokenizer}, {"best": best})
            self.tokenizer, self.best = tokenizer, best

        def grade(self, texts):
            """A float for each text, from 0 to `best`."""
            return self._grades(self.tokenizer.encode_batch(texts)).numpy().tolist()

        def _grades(self, ids):  # lists of ids, or ragged int32 [B, (n)] -> float32 [B]
            return self.best * tf.sigmoid(self.model(padded(ids, self.tokenizer.pad_id))[:, 0])

        def signatures(self):
            return Served(
                signatures={"grade": signature(self._served, ("text", tf.string))},
                examples={"grade": {"text": ["a short text", "and a text that is somewhat longer"]}},
                answer=lambda name, inputs: {"grade": self.grade(inputs["text"])},
            )

        def _served(self, text):
            return {"grade": self._grades(self.tokenizer.tf_encode(text))}
    ```
    '''

    model: keras.Model
    tokenizers: dict[str, Tokenizer]
    options: dict[str, Any]

    def __init__(
        self, model: keras.Model, tokenizers: Mapping[str, Tokenizer], options: Mapping[str, Any] | None = None
    ):
        self.model, self.tokenizers, self.options = model, dict(tokenizers), dict(options or {})

    @abc.abstractmethod
    def signatures(self) -> Served:
        """Returns what an export of this text model takes and gives.

        Limits of an export are keyword arguments of it with defaults, such as `max_new_tokens_limit`; `lk.export`
        passes on those that it was given, and refuses those that are not there.

        Returns:
            The `Served` of this text model.
        """

    @property
    def training_model(self) -> keras.Model:
        """What `lk.fit` trains and `lk.evaluate` evaluates, for the classes that have such.

        Raises:
            InputError: `model` itself is to be given.
        """
        kind = type(self).__name__
        raise InputError(f"fit trains a keras.Model or a LanguageModel, got {kind}; give its model, {kind}.model")

    def with_model(self, model: keras.Model) -> Self:
        """Returns this text model around another model of the same inputs and outputs.

        Args:
            model: Such as a copy of `self.model` with other weights.

        Returns:
            A text model of the same class, tokenizers and options.
        """
        return type(self)(model, *self.tokenizers.values(), **self.options)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the text model to a folder, which `load` and `lm-keras export` read.

        One that is there stays whole until the new one has been written; a kill in between leaves a folder that
        `load` refuses, never parts of two.

        Args:
            folder: The folder to write to. It is made where it is not there.

        Raises:
            InputError: Weights are not finite, JSON cannot hold the options, `options` lacks one of the constructor's
                keyword arguments (or has another), the class is not registered, or the
                folder holds something of another kind. Nothing is changed then.
        """
        content = self._content()
        folder = path_of(folder)
        check_savable(self.model)
        with claimed(folder), staged(folder) as made:
            check_place(folder, OTHERS)
            for name, tokenizer in self.tokenizers.items():
                tokenizer.save(made / name)
            self.model.save(made / MODEL)
            write_json(made / TASK, content)
            for name in self.tokenizers:
                (folder / name).mkdir(exist_ok=True)
            (folder / TASK).unlink(missing_ok=True)
            for name in self.tokenizers:
                for file in sorted((made / name).iterdir()):
                    file.replace(folder / name / file.name)
            for name in (MODEL, TASK):
                (made / name).replace(folder / name)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Reads a folder that `save` wrote.

        `TextModel.load` reads a text model of any class, a LanguageModel too; a subclass reads its own.

        Args:
            folder: The folder.

        Returns:
            The text model.

        Raises:
            InputError: The folder holds none, or one of another class, or is not whole.
        """
        folder = path_of(folder)
        if cls is TextModel and kind_of(folder) == "language model":
            from lm_keras.language_model import LanguageModel

            return LanguageModel.load(folder)
        return load_registered(folder, cls)

    @classmethod
    def _from_folder(cls, folder: Path, options: dict[str, Any], tokenizers: list[str]) -> Self:
        """Reads the parts that stand beside a task.json of these options and names of tokenizers."""
        with damaged(folder / TASK, BAD_CONTENT):
            parts = [load_tokenizer(folder / name) for name in tokenizers]
        model = load_model(folder / MODEL)
        with naming(folder), damaged(TASK, BAD_CONTENT):
            return cls(model, *parts, **options)

    def _content(self) -> dict[str, Any]:
        """What stands in task.json; InputError where it could not be read again."""
        kind = type(self)
        if not same_definition(_REGISTERED.get(kind.__name__), kind):
            raise InputError(
                f"{kind.__name__} is no class that a file could name; put @lk.register_text_model above it"
            )
        self._check_options()
        try:
            json.dumps(self.options, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"the options of this {kind.__name__} cannot be written as JSON ({error})") from None
        outside = {} if _is_own(kind) else {"module": kind.__module__}
        return {"task": kind.__name__, **outside, "options": self.options, "tokenizers": list(self.tokenizers)}

    def _check_options(self) -> None:
        """Raises InputError where the constructor call that `load` makes would not have all options."""
        kind = type(self).__name__
        parameters = inspect.signature(type(self)).parameters.values()
        by_place = [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        by_name = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        parts = by_place[: 1 + len(self.tokenizers)]
        wanted = [name for name in by_name if name not in parts]
        if lost := [name for name in wanted if name not in self.options]:
            raise InputError(
                f"{kind}.__init__ takes {', '.join(lost)}, which its options lack: hand it to super().__init__ among "
                "them, else what is loaded has the default"
            )
        foreign = [name for name in self.options if name not in wanted]
        if foreign and not any(one.kind == one.VAR_KEYWORD for one in parameters):
            raise InputError(f"{kind} has the options {', '.join(foreign)}, which its __init__ does not take")


def register_text_model(kind: Kind) -> Kind:
    """Makes a subclass of `TextModel` known by its name, so that folders of it load; a decorator.

    Args:
        kind: The class.

    Returns:
        The same class.

    Raises:
        InputError: It is no subclass of TextModel, or another class has its name.
    """
    if not isinstance(kind, type) or not issubclass(kind, TextModel):
        raise InputError(f"register_text_model takes a subclass of lk.TextModel, got {kind!r:.80}")
    other = _class_named(kind.__name__) if not _is_own(kind) else None
    if other is not None and not same_definition(other, kind):
        raise InputError(f"{other.__module__} has a text model {kind.__name__!r} already; give yours another name")
    _REGISTERED[kind.__name__] = kind
    return kind


def registered_text_models() -> dict[str, type[TextModel]]:
    """Returns `{name: class}` of the classes of this library and those that imported modules have registered."""
    for package in _own_packages():
        for name in package.__all__:
            _class_named(name)
    return dict(_REGISTERED)


def load_registered(folder: str | os.PathLike, kind: type[TextModel] = TextModel) -> TextModel:
    """Reads a folder of a registered class; language models have folders of their own.

    Args:
        folder: The folder.
        kind: The class that is wanted, or one that it derives from.

    Returns:
        The text model.

    Raises:
        InputError: The folder holds none, or one of another class, or is not whole.
    """
    folder = path_of(folder)
    holds = kind_of(folder)
    if not (folder / TASK).is_file():
        if holds in ("missing", "nothing"):
            raise InputError(f"{folder} has no {TASK}; give a folder that `lm_keras.tasks.save` wrote")
        reader = "lk.tasks.load" if kind is TextModel else f"{kind.__name__}.load"
        raise refusal(folder, holds, f"{reader} takes a folder of {reader.replace('load', 'save')}")
    content = read_json(folder / TASK)
    with damaged(folder / TASK, BAD_CONTENT):
        options, names = dict(content["options"]), list(content["tokenizers"])
        found = _class_of_file(folder / TASK, content["task"], content.get("module"))
        if not issubclass(found, kind) and not same_definition(found, kind):
            raise InputError(f"{folder} is a saved {found.__name__}; {found.__name__}.load reads it")
        for name in names:
            if not isinstance(name, str) or Path(name).name != name or name in ("", ".."):
                raise InputError(f"{folder / TASK} names the tokenizer {name!r}, no folder beside it; save it again")
    return found._from_folder(folder, options, names)


def _class_of_file(path: Path, name: object, module: object) -> type[TextModel]:
    """The class that a file names; InputError where nothing has registered it."""
    if isinstance(name, str) and (found := _class_named(name)) is not None:
        return found
    if isinstance(name, str) and isinstance(module, str):
        if module == "__main__":
            raise InputError(
                f"{path} holds a {name:.80}, which the script or notebook that saved it defined; register the class "
                "with lk.register_text_model before you load it, best in a module of its own"
            )
        raise InputError(
            f"{path} holds a {name:.80}: import {module:.80} first (--import on the command line), which registers "
            "it with lk.register_text_model; no module is imported because a file names it"
        )
    raise InputError(f"{path} holds a {name!r:.80}, no text model of this version; save it again")


def _class_named(name: str) -> type[TextModel] | None:
    """The registered class of that name; a module of this library that registers one is imported for it."""
    if name not in _REGISTERED:
        for package in _own_packages():
            if name in package.__all__:
                getattr(package, name)
    return _REGISTERED.get(name)


def _own_packages():
    from lm_keras import contexts, prompting, tasks

    return tasks, prompting, contexts


def _is_own(kind: type) -> bool:
    return kind.__module__.startswith("lm_keras.")


# === The short forms of saving and loading a text model ===


def save(text_model: TextModel, folder: str | os.PathLike) -> None:
    """Short for `text_model.save(folder)`."""
    if not isinstance(text_model, TextModel):
        what = type(text_model).__name__
        raise InputError(f"tasks.save takes a text model, such as a TextClassifier, not a {what}")
    text_model.save(folder)


def load(folder: str | os.PathLike) -> TextModel:
    """Short for `TextModel.load(folder)`, but for language models, which `LanguageModel.load` reads."""
    return load_registered(folder)
