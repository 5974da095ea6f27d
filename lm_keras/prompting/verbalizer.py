"""Verbalizers: the words that stand for each class (Schick & Schuetze 2021, "pattern-verbalizer pairs")."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lm_keras.errors import InputError
from lm_keras.text.tokenizers.base import Tokenizer


class LabelWords(NamedTuple):
    """The label words of all classes as token ids.

    Attributes:
        ids: int32 [A, L], a row a word, -1 after its end.
        lengths: int32 [A], tokens of each word.
        classes: int32 [A], the class of each word.
    """

    ids: np.ndarray
    lengths: np.ndarray
    classes: np.ndarray


class Verbalizer:
    """Label words: one or several for each class, each of one token or several.

    Args:
        words: `{class: words}`, a string or several. With a BPE tokenizer a word after a text begins with a space.

    Raises:
        InputError: For fewer than two classes, a class without a word, and one word of two classes.

    Example:

    ```python
    Verbalizer({"pos": [" positive", " great"], "neg": [" negative", " terrible"]})
    ```
    """

    def __init__(self, words: Mapping[str, str | Sequence[str]]):
        if not isinstance(words, Mapping) or len(words) < 2:
            raise InputError(f"a Verbalizer takes {{class: words}} of two classes or more, got {words!r:.60}")
        self.words: dict[str, list[str]] = {}
        for name, given in words.items():
            listed = [given] if isinstance(given, str) else given
            if not isinstance(name, str) or not isinstance(listed, Sequence) or not listed:
                raise InputError(f"class {name!r:.40} has the words {given!r:.60}; give a string or a list of them")
            if not all(isinstance(word, str) and word for word in listed):
                raise InputError(f"class {name!r:.40} has the words {given!r:.60}; each must be a text with a letter")
            self.words[name] = list(listed)
        self.classes = list(self.words)
        flat = [word for listed in self.words.values() for word in listed]
        if twice := next((word for word in flat if flat.count(word) > 1), None):
            raise InputError(f"the label word {twice!r} stands twice; give each class words of its own")

    def tokens(self, tokenizer: Tokenizer) -> LabelWords:
        """Returns the words as token ids.

        Raises:
            InputError: A word has no token or one that the tokenizer does not know; two words have the same tokens.
        """
        pairs = [(place, word) for place, name in enumerate(self.classes) for word in self.words[name]]
        rows = tokenizer.encode_batch([word for _, word in pairs])
        seen: dict[tuple[int, ...], str] = {}
        for (_, word), ids in zip(pairs, rows, strict=True):
            if not ids or (tokenizer.unk_id is not None and tokenizer.unk_id in ids):
                told = "has a part that the tokenizer does not know" if ids else "has no token"
                raise InputError(f"the label word {word!r} {told}; give another")
            other = seen.setdefault(tuple(ids), word)
            if other != word:
                raise InputError(f"the label words {other!r} and {word!r} are the same tokens; give different words")
        lengths = np.array([len(ids) for ids in rows], np.int32)
        table = np.full([len(rows), int(lengths.max())], -1, np.int32)
        for row, ids in zip(table, rows, strict=True):
            row[: len(ids)] = ids
        return LabelWords(table, lengths, np.array([place for place, _ in pairs], np.int32))

    def places(self, y: Sequence[int | str], count: int) -> np.ndarray:
        """Returns classes, by name or by place in `classes`, as int32 places [count].

        Raises:
            InputError: For another number of them, what is no class, and one string in place of a list.
        """
        if isinstance(y, (str, bytes)) or not hasattr(y, "__iter__"):
            raise InputError(f"the classes are {y!r:.40}; give a list of names or places, one for each text")
        y = list(y)
        if len(y) != count:
            raise InputError(f"there are {count} texts and {len(y)} classes; give one for each")
        places = {name: place for place, name in enumerate(self.classes)}
        found = [places.get(label, label) if isinstance(label, str) else label for label in y]
        for label in found:
            whole = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
            if not whole or not 0 <= label < len(places):
                raise InputError(f"class {label!r:.40} is none of {', '.join(self.classes)}; give its name or place")
        return np.array(found, np.int32)

    def get_config(self) -> dict[str, list[str]]:
        """Returns `words`, a list for each class."""
        return self.words

    def __repr__(self):
        return f"Verbalizer({self.words!r})"
