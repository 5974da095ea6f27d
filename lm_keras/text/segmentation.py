"""Text to sentences and to words: Punkt and NLTK's word tokenizer, jieba for Chinese."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from lm_keras.errors import InputError
from lm_keras.utils.checks import check_text

# The languages of NLTK's punkt_tab. English is packaged here; the others need nltk.download("punkt_tab").
PUNKT = {
    "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "fi": "finnish", "fr": "french", "it": "italian", "ml": "malayalam", "nl": "dutch",
    "no": "norwegian", "pl": "polish", "pt": "portuguese", "ru": "russian", "sl": "slovene", "sv": "swedish",
    "tr": "turkish",
}  # fmt: skip
_CHINESE_END = re.compile(r"""(?<=[。！？…；])(?![。！？…；])[”’」』）】》"']*""")
# What bytes.split() and TensorFlow call a space; str.split() knows 20 more.
_NOT_ASCII_SPACE = re.compile(r"[^ \t\n\v\f\r]+")
MAX_FREQUENCY = 10**9  # of a word of the user in jieba
# A word, its frequency, its part of speech: a line of a user dictionary of jieba.
_LINE = re.compile(r"(.+?)(?:\s+([0-9]+))?(?:\s+[a-z]+)?")


def sentences(text: str, language: str | None = "en", downloaded: bool = False) -> list[str]:
    """Splits `text` into a list of sentences.

    Args:
        text: A str.
        language: "en": NLTK's Punkt with the model of this package, the same on every machine. The other Punkt
            languages ("de", "fr", ...): with the model that nltk.download("punkt_tab") brings. "zh": after 。！？…；
            and the quotes that close there. None (text that is already words between spaces): one sentence a line.
        downloaded: True: for "en" too the model that nltk.download("punkt_tab") brings.

    Raises:
        InputError: For another language, and where the model that was asked for is not installed.
    """
    check_text(text)
    check_language(language)
    if language is None:
        parts = text.split("\n")
    elif language == "zh":
        ends = [end.end() for end in _CHINESE_END.finditer(text)]
        parts = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
        parts = [line for part in parts for line in part.split("\n")]
    else:
        return _punkt(language, downloaded or language != "en").tokenize(text)
    return [part.strip() for part in parts if part.strip()]


def words(
    text: str,
    language: str | None = "en",
    change: Callable[[str], str] | None = None,
    downloaded: bool = False,
) -> list[str]:
    """Splits `text` into a list of words and punctuation marks.

    Args:
        text: A str.
        language: "en" and the other Punkt languages: `sentences`, then NLTK's word tokenizer on each, as
            `nltk.word_tokenize`. "zh": jieba, with what `jieba.load_userdict` gave it. None: what is between ASCII
            spaces.
        change: Is done to each sentence once it is found, such as `str.lower`.
        downloaded: As in `sentences`.
    """
    check_text(text)
    check_language(language)
    change = change or str
    if language is None:
        return _NOT_ASCII_SPACE.findall(change(text))
    if language == "zh":
        return [word for word in load_jieba().lcut(change(text)) if not word.isspace()]
    return [word for sentence in sentences(text, language, downloaded) for word in _treebank()(change(sentence))]


def check_language(language: str | None) -> None:
    """Checks a language.

    Raises:
        InputError: For one that `sentences` and `words` do not know.
    """
    if language is not None and language != "zh" and language not in PUNKT:
        raise InputError(
            f"language {language!r} is not known: choose one of {', '.join(sorted([*PUNKT, 'zh']))}, or None for "
            "text that is already words between spaces"
        )


@functools.cache
def _punkt(language: str, downloaded: bool) -> Any:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer, PunktTokenizer

    if downloaded:
        try:
            return PunktTokenizer(PUNKT[language])
        except LookupError:
            raise InputError(
                f"language {language!r} needs NLTK's {PUNKT[language]} sentence model, which is not installed: run "
                "python -m nltk.downloader punkt_tab"
            ) from None
    model = json.loads(Path(__file__).with_name("punkt_en.json").read_text(encoding="utf-8"))
    params = PunktParameters()
    params.abbrev_types = set(model["abbreviations"])
    params.collocations = {tuple(pair) for pair in model["collocations"]}
    params.sent_starters = set(model["sentence_starters"])
    params.ortho_context.update(dict.fromkeys(model["lower_case_words"].split(), 32))  # _ORTHO_MID_LC
    return PunktSentenceTokenizer(params)


@functools.cache
def _treebank() -> Callable[[str], list[str]]:
    from lm_keras.text.tokenizers.word.treebank import Treebank

    return Treebank()


def load_jieba() -> ModuleType:
    """Returns jieba, which is an extra, with its dictionary loaded.

    Raises:
        InputError: When it is not installed.
    """
    try:
        import jieba
    except ImportError as missing:
        raise InputError("language 'zh' needs jieba: run pip install lm_keras[zh]") from missing
    load_dictionary(jieba.dt)
    return jieba


def load_dictionary(tokenizer: Any) -> None:
    """Loads the dictionary of a jieba.Tokenizer from the dictionary itself.

    jieba's own way is a cache in the folder for temporary files, of Python's marshal format, which any user of the
    machine may have written. It is hardly faster.
    """
    with tokenizer.lock:
        if not tokenizer.initialized:
            tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
            tokenizer.initialized = True


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


def read_user_words(user_words: Mapping[str, int | None] | Iterable[str] | str | Path) -> dict[str, int | None]:
    """Returns {word: frequency, None: what jieba suggests} of words, of a mapping, or of a file in jieba's form.

    Raises:
        InputError: For anything else.
    """
    if isinstance(user_words, (str, Path)):
        return _words_of_file(user_words)
    try:
        return check_user_words(user_words if isinstance(user_words, Mapping) else dict.fromkeys(user_words))
    except TypeError:
        raise InputError(f"user_words are words, {{word: frequency}} or a file's path, got {user_words!r}") from None


def check_user_words(user_words: Mapping[str, int | None]) -> dict[str, int | None]:
    """Returns {word: frequency} as a dict.

    Raises:
        InputError: For what is none.
    """
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

    def __init__(self, user_words: Mapping[str, int | None]) -> None:
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

    def __call__(self, text: str) -> list[str]:
        words = [word for word in self._jieba.lcut(text) if not word.isspace()]
        if self._no_words:  # jieba's hidden Markov model may still find them
            words = [part for word in words for part in (word if word in self._no_words else (word,))]
        return words


@functools.cache
def _dictionary() -> tuple[dict[str, int], int]:
    """`({word: frequency}, their sum)` of jieba's own dictionary, which no one changes."""
    jieba = load_jieba()
    tokenizer = jieba.Tokenizer()
    load_dictionary(tokenizer)
    return tokenizer.FREQ, tokenizer.total


def _words_of_file(path: str | Path) -> dict[str, int | None]:
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
