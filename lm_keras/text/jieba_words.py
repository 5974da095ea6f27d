"""Chinese words by a jieba of one's own: the same whatever is done to the jieba that all share."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.text.segmentation import load_dictionary, load_jieba

MAX_FREQUENCY = 10**9
_LINE = re.compile(
    r"(.+?)(?:\s+([0-9]+))?(?:\s+[a-z]+)?"
)  # a word, its frequency, its part of speech, as jieba has it


def shared_words() -> dict[str, int]:
    """Returns {word: frequency} by which the shared jieba differs from its own dictionary.

    What `jieba.load_userdict`, `add_word`, `del_word` (frequency 0), `suggest_freq` and `set_dictionary` did to it.
    """
    jieba = load_jieba()
    shared, own = jieba.dt.FREQ, _dictionary()[0]
    changed = {word: int(frequency) for word, frequency in shared.items() if own.get(word, 0) != frequency}
    changed |= {word: 0 for word, frequency in own.items() if frequency and word not in shared}
    # No words, although the dictionary has none of them: its hidden Markov model would find them.
    return changed | {word: 0 for word in sorted(jieba.finalseg.Force_Split_Words) if not shared.get(word)}


def given_words(user_words) -> dict[str, int | None]:
    """Returns {word: frequency, None: what jieba suggests} of words, of a mapping, or of a file in jieba's form."""
    if isinstance(user_words, (str, Path)):
        return _words_of_file(user_words)
    try:
        return checked(user_words if isinstance(user_words, Mapping) else dict.fromkeys(user_words))
    except TypeError:
        raise InputError(f"user_words are words, {{word: frequency}} or a file's path, got {user_words!r}") from None


def checked(user_words: Mapping) -> dict[str, int | None]:
    """Returns {word: frequency} as a dict; InputError for what is none."""
    if not isinstance(user_words, Mapping):
        raise InputError(f"user_words are {{word: frequency}}, got {type(user_words).__name__}")
    for word, frequency in user_words.items():
        whole = isinstance(frequency, int) and not isinstance(frequency, bool) and 0 <= frequency <= MAX_FREQUENCY
        if not isinstance(word, str) or not word.strip() or not (frequency is None or whole):
            raise InputError(
                f"user_words: {word!r} with frequency {frequency!r}; give a word that is not empty, and none or a "
                f"whole number from 0 (no word) to {MAX_FREQUENCY:,}"
            )
    return dict(user_words)


class WordCutter:
    """Cuts text into Chinese words and punctuation marks with a jieba.Tokenizer of its own.

    Args:
        user_words: {word: frequency, None: what jieba suggests, 0: it is no word}.

    Attributes:
        user_words: {word: frequency} of these words, with what jieba suggested where none was given.
    """

    def __init__(self, user_words):
        self.user_words = {}
        self._jieba = tokenizer = load_jieba().Tokenizer()
        dictionary, tokenizer.total = _dictionary()
        tokenizer.FREQ, tokenizer.initialized = dict(dictionary), True
        for word, frequency in user_words.items():
            if frequency is None:
                frequency = tokenizer.suggest_freq(word)
            if frequency:
                tokenizer.add_word(word, frequency)
            else:  # add_word would forbid it to all of the process
                tokenizer.FREQ[word] = 0
            self.user_words[word] = frequency
        self._no_words = {word for word, frequency in self.user_words.items() if not frequency and len(word) > 1}

    def __call__(self, text):
        words = [word for word in self._jieba.lcut(text) if not word.isspace()]
        if self._no_words:  # jieba's hidden Markov model may still find them
            words = [part for word in words for part in (word if word in self._no_words else (word,))]
        return words


@functools.cache
def _dictionary():
    """`({word: frequency}, their sum)` of jieba's own dictionary, which no one changes."""
    jieba = load_jieba()
    tokenizer = jieba.Tokenizer()
    load_dictionary(tokenizer)
    return tokenizer.FREQ, tokenizer.total


def _words_of_file(path):
    path, words = Path(path).expanduser(), {}
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); check the path of the user dictionary"
        ) from None
    except ValueError as error:
        raise InputError(f"{path}: not UTF-8 ({error}); convert the user dictionary") from None
    for number, line in enumerate(lines, 1):
        if line := _LINE.fullmatch(line.strip()):
            word, frequency = line.groups()
            if frequency is not None and len(frequency) > 9:
                raise InputError(f"{path}, line {number}: the frequency {frequency[:20]} is above {MAX_FREQUENCY:,}")
            words[word] = None if frequency is None else int(frequency)
    return words
