"""What an encoder-decoder looks at in a source while it writes each token, and a picture of it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.tasks.confusion_plots import short_name
from lm_keras.text.copying import SourceIds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lm_keras.tasks.text_to_text import TextToText


class TextAlignment(NamedTuple):
    """How much each token that is written looks at each token of the source.

    Attributes:
        source: The tokens of the source, S strings.
        target: The tokens that are written, T strings; the last one is the end mark, "</s>".
        weights: float32 [T, S], the attention's weights, the mean over the heads; each row sums to 1.
    """

    source: list[str]
    target: list[str]
    weights: np.ndarray

    def plot(self) -> Figure:
        """Draws the weights: a row for each token that is written, dark where it looks."""
        from matplotlib.figure import Figure

        rows, columns = self.weights.shape
        figure = Figure(figsize=(2 + 0.35 * columns, 1.6 + 0.32 * rows), layout="constrained")
        axes = figure.add_subplot()
        picture = axes.imshow(self.weights, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        figure.colorbar(picture, ax=axes, label="weight")
        names = [[short_name(token.strip() or "·", 20) for token in side] for side in (self.source, self.target)]
        axes.set_xticks(range(columns), names[0], rotation=90, parse_math=False)
        axes.set_yticks(range(rows), names[1], parse_math=False)
        axes.set(xlabel="source", ylabel="written")
        return figure


def alignment_of(model: TextToText, source: str, target: str | None, layer: int) -> TextAlignment:
    """Returns the `TextAlignment` of a source and a target; the arguments are those of `TextToText.alignment`."""
    if target is None:
        target = model.generate([source])[0].text
    sources, decode = model.sources.encode(source), model.target_tokenizer.decode
    if isinstance(sources, SourceIds):  # with the words that are copied
        written = model.sources.encode_target(target, sources.words)
        decode = functools.partial(model.sources.decode, words=sources.words)
    else:
        written = model.target_tokenizer.encode(target)
    if not sources:
        raise InputError(f"the source {source!r:.60} has no token to look at; give a text")
    ids = np.array([[model.target_tokenizer.bos_id, *written]], np.int32)
    layers = model.model.attention_weights(np.array([sources], np.int32), ids)
    if not -len(layers) <= layer < len(layers):
        raise InputError(f"layer is {layer}, and {model.model.name} has {len(layers)} layers that look at a source")
    weights = np.asarray(layers[layer])[0].mean(0)  # (T, S)
    read = decode if model.model.copy_slots else model.source_tokenizer.decode
    shown = [[text([token]) or "·" for token in row] for text, row in ((read, sources), (decode, written))]
    return TextAlignment(shown[0], [*shown[1], "</s>"], weights.astype("float32"))
