"""What `explain` returns: the words of a text with their scores, drawn in color as HTML without JavaScript."""

import dataclasses
import html
import os
from collections.abc import Mapping

import numpy as np

from lm_keras.text.unicode import valid
from lm_keras.utils.atomic_files import path_of, replacing

FOR, AGAINST = (214, 60, 45), (40, 105, 190)  # red and blue
MOST = 0.75  # how much of the color the word of the largest score has
# Its own colors, whatever those of the page or the notebook around it are; a long word breaks.
STYLE = (
    "color-scheme:only light;background:#fff;color:#111;font-family:sans-serif;line-height:1.7;padding:0.6em;"
    "max-width:60em;overflow-wrap:anywhere"
)
LONGEST = 40  # characters of a word in the list of the strongest
METHODS = {"leave_one_out": "leave-one-out", "gradient_x_input": "gradient × input"}


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """How much each word of a text speaks for a class; in a notebook it shows itself in color.

    Attributes:
        texts: The text in a tuple; of a pair both, of a template's fields all.
        names: What each of the texts is called: "" of a single one, "first" and "second" of a pair, or the field.
        words: The words of all texts.
        places: int [W], which of the texts each word stands in.
        spans: (start, end) of each word in its text, in characters.
        scores: float64 [W]: how much the log-odds of the class rise by the word, in nats. Above 0 it speaks for the
            class, below 0 against it.
        target: The class.
        probability: Of the class, for the whole text.
        method: "leave_one_out" or "gradient_x_input".
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]
    words: list[str]
    places: np.ndarray
    spans: list[tuple[int, int]]
    scores: np.ndarray
    target: str
    probability: float
    method: str

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Returns the `count` words whose scores are the largest, of either sign, with their scores."""
        order = np.argsort(-np.abs(self.scores), kind="stable")[:count]
        return [(self.words[i], float(self.scores[i])) for i in order]

    def __str__(self) -> str:
        shown = ", ".join(f"{_short(word)} {score:+.2f}" for word, score in self.top())
        return f"{self.target} ({self.probability:.1%}) by {METHODS[self.method]}: {shown or 'no words'}"

    __repr__ = __str__

    def colored(self) -> str:
        """Returns the texts alone as HTML, each word on its color; a fragment for a page of one's own."""
        largest = max(np.abs(self.scores).max(initial=0.0), 1e-30)
        drawn = []
        for place, (name, text) in enumerate(zip(self.names, self.texts, strict=True)):
            parts, at = [], 0
            for i in np.flatnonzero(self.places == place):
                start, end = self.spans[i]
                parts += [escaped(text[at:start]), _word(text[start:end], self.scores[i], largest)]
                at = end
            drawn.append(text_line(name, text, "".join([*parts, escaped(text[at:])])))
        return "".join(drawn)

    def _repr_html_(self) -> str:
        strongest = ", ".join(f"{isolated(_short(word))} {score:+.2f}" for word, score in self.top())
        said = f"<b>{isolated(self.target)}</b> {self.probability:.1%}, by {METHODS[self.method]}"
        return (
            f'<div style="{STYLE}"><div>{said}</div>{self.colored()}'
            f'<div style="font-size:0.85em">{legend(self.target)}<br>Strongest, in nats: {strongest or "no words"}'
            "</div></div>"
        )

    def html(self) -> str:
        """Returns a whole HTML page: text, legend and the strongest words. It has no JavaScript."""
        return page(f"Why {self.target}", self._repr_html_())

    def save(self, path: str | os.PathLike) -> None:
        """Writes the page of `html` to a file, which is whole or not there.

        Args:
            path: Such as "why.html".
        """
        with replacing(path_of(path)) as temporary:
            temporary.write_text(self.html(), encoding="utf-8")


def legend(target: str) -> str:
    """What the colors mean, as HTML."""
    style = "padding:0 0.4em;unicode-bidi:isolate"
    said = ((f"against {target}", -1.0), ("neither", 0.0), (f"for {target}", 1.0))
    return " ".join(_word(words, score, 1.0, style) for words, score in said)


def text_line(name: str, text: str, body: str) -> str:
    """A text on a page: its name, if it has one, and its `body`, which is HTML, in the direction of its script."""
    body = body if text.strip() else f'{body}<i style="color:#666">(empty)</i>'
    title = f"<b>{isolated(name)}:</b> " if name else ""
    body = f"{title}<bdi>{body}</bdi>" if name else body
    return f'<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere">{body}</div>'


def escaped(text: str) -> str:
    """A text as HTML."""
    return html.escape(valid(text).replace("\0", "\ufffd"))


def isolated(text: str) -> str:
    """A text as HTML; one that is written from right to left leaves what stands around it as it is."""
    return f"<bdi>{escaped(text)}</bdi>"


def page(title: str, body: str, style: str = "") -> str:
    """An HTML page of a body that is HTML; the title is text."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escaped(title)}</title>\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="color-scheme" content="only light">\n'
        f"<style>{style}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def texts_of(text: str | tuple[str, str] | Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts in what a classifier reads, and their names: a string, a pair of them, or a template's fields."""
    if isinstance(text, str):
        return (text,), ("",)
    if isinstance(text, Mapping):
        return tuple(text.values()), tuple(map(str, text))
    return tuple(text), ("first", "second")


def _word(word, score, largest, style=""):
    share = MOST * min(abs(score) / largest, 1.0)
    color = FOR if score > 0 else AGAINST
    shade = "".join(f"{round(255 - share * (255 - part)):02x}" for part in color)
    style = f"background:#{shade};color:#111;{style}".rstrip(";")
    return f'<span style="{style}" title="{score:+.3f}">{escaped(word)}</span>'


def _short(word):
    return word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}…"
