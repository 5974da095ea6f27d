"""Which language a text is in."""

import functools
import re

from lm_keras.extra import analysis
from lm_keras.utils.checks import check_text

UNDETERMINED = "und"  # ISO 639's code for a language that cannot be told
LEAST_BYTES = 20  # of letters in UTF-8: 20 Latin letters, 10 Cyrillic, 7 Chinese characters
LEAST_CONFIDENCE = 0.5
LONGEST = 2_000  # characters that are looked at

_NO_LETTERS = re.compile(r"[\W\d_]+")


def language(text):
    """The ISO 639 code of the language of a text, or "und" where it cannot be told.

    Two letters where there are such ("en", "zh"), else three: "yue" Cantonese, "wuu" Wu, "pcm" Nigerian Pidgin,
    "zxx" no language at all (codes, numbers). By py3langid, a naive Bayes classifier over byte n-grams for about 100
    languages (Lui & Baldwin 2012), on the first 2,000 characters. "und": fewer than 20 bytes of letters (20 Latin
    letters, 7 Chinese characters), where it guesses, where its first choice has less than half of the probability.
    """
    check_text(text)
    text = text[:LONGEST]
    if len(_NO_LETTERS.sub("", text).encode("utf-8", "replace")) < LEAST_BYTES:
        return UNDETERMINED
    code, confidence = _identifier().classify(text.encode("utf-8", "replace").decode())
    return code if confidence >= LEAST_CONFIDENCE else UNDETERMINED


@functools.cache
def _identifier():
    langid = analysis("py3langid.langid", "telling languages apart")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
