"""A `PromptClassifier` in a folder: task.json beside the models, written whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_keras.errors import InputError, damaged, naming
from lm_keras.language_model import LanguageModel
from lm_keras.models import load_model
from lm_keras.models.folder import staged
from lm_keras.prompting.demonstrations import FixedDemonstrations
from lm_keras.prompting.nearest import NearestDemonstrations
from lm_keras.prompting.template import Template
from lm_keras.prompting.verbalizer import Verbalizer
from lm_keras.tasks.embedding import TextEmbedder
from lm_keras.text.tokenizers.base import load_tokenizer
from lm_keras.text_model import BAD_CONTENT, MODEL, OTHERS, TextModel
from lm_keras.utils.atomic_files import claimed, path_of, write_json
from lm_keras.utils.saved_kinds import TASK, check_place

if TYPE_CHECKING:
    from lm_keras.prompting.classifier import PromptClassifier

LANGUAGE_MODEL, EMBEDDER = "language_model", "embedder"  # the folders of them within that of a classifier


def save_classifier(classifier: PromptClassifier, content: dict[str, Any], folder: str | os.PathLike) -> None:
    """Writes a classifier to a folder; see `PromptClassifier.save`.

    All parts are written beside those of the folder first. A kill while they change places leaves no task.json, and
    `load` refuses the folder.

    Args:
        classifier: The classifier.
        content: What stands in task.json.
        folder: The folder.
    """
    embedder = getattr(classifier.demonstrations, "embedder", None)
    if embedder is not None and not isinstance(embedder, TextEmbedder):
        raise InputError("the nearest examples are found by a function, which no file holds; give a TextEmbedder")
    folder = path_of(folder)
    with claimed(folder), staged(folder) as made:
        check_place(folder, OTHERS)
        if classifier.language_model is None:
            TextModel.save(classifier, made)
        else:
            LanguageModel.save(classifier.language_model, made / LANGUAGE_MODEL)  # whole, of a tuned prompt too
            write_json(made / TASK, content)
        if embedder is not None:
            embedder.save(made / EMBEDDER)
        (folder / TASK).unlink(missing_ok=True)
        for name in (LANGUAGE_MODEL, EMBEDDER, *classifier.tokenizers):
            shutil.rmtree(folder / name, ignore_errors=True)
        for part in sorted(made.iterdir(), key=lambda part: part.name == TASK):  # it is the last
            part.replace(folder / part.name)


def load_classifier(
    kind: type[PromptClassifier], folder: Path, options: dict[str, Any], tokenizers: list[str]
) -> tuple[PromptClassifier, np.ndarray | None]:
    """Reads the parts that stand beside a task.json of these options and names of tokenizers.

    Returns:
        The classifier, and its prior as it was estimated, float32 [C], or None.
    """
    if tokenizers:
        parts = [load_tokenizer(folder / name) for name in tokenizers]
        if len(parts) != 1:
            raise InputError(f"{folder / TASK} names {len(parts)} tokenizers, not one; save it again")
        model, given = load_model(folder / MODEL), {"tokenizer": parts[0]}
    else:
        model, given = LanguageModel.load(folder / LANGUAGE_MODEL), {}
    with naming(folder), damaged(TASK, BAD_CONTENT):
        options = dict(options)
        prior, shown = options.pop("prior"), options.pop("demonstrations")
        if shown is not None and "k" in shown:
            given["demonstrations"] = NearestDemonstrations.from_config(shown, folder / EMBEDDER)
        elif shown is not None:
            given["demonstrations"] = FixedDemonstrations.from_config(shown)
        template = Template(**options.pop("template"))
        made = kind(model, template, Verbalizer(options.pop("verbalizer")), **options, **given)
        return made, None if prior is None else _checked_prior(prior, len(made.classes))


def _checked_prior(prior, size):
    prior = np.array(prior, np.float32)
    if prior.shape != (size,) or not np.isfinite(prior).all():
        raise InputError(f"the prior is no list of {size} numbers; save the classifier again")
    return prior
