"""Text to sentences and to words: Punkt and NLTK's word tokenizer, jieba for Chinese."""

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path

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


def check_language(language):
    """Raises InputError for a language that `sentences` and `words` do not know."""
    if language is not None and language != "zh" and language not in PUNKT:
        raise InputError(
            f"language {language!r} is not known: choose one of {', '.join(sorted([*PUNKT, 'zh']))}, or None for "
            "text that is already words between spaces"
        )


@functools.cache
def _punkt(language, downloaded):
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
def _treebank():
    from lm_keras.text.treebank import Treebank

    return Treebank()


def load_jieba():
    """jieba, which is an extra, with its dictionary loaded; InputError when it is not installed."""
    try:
        import jieba
    except ImportError as missing:
        raise InputError("language 'zh' needs jieba: run pip install lm_keras[zh]") from missing
    load_dictionary(jieba.dt)
    return jieba


def load_dictionary(tokenizer):
    """Loads the dictionary of a jieba.Tokenizer from the dictionary itself.

    jieba's own way is a cache in the folder for temporary files, of Python's marshal format, which any user of the
    machine may have written. It is hardly faster.
    """
    with tokenizer.lock:
        if not tokenizer.initialized:
            tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
            tokenizer.initialized = True
