"""Functions on single characters that Python and the graph compute alike, whatever Unicode version each knows."""

import functools
import re

from lm_keras.errors import InputError

_SURROGATE = re.compile("[\ud800-\udfff]")
_PAGE, _NUM_PAGES = 256, 0x110000 // 256


def valid(text):
    """Returns text that UTF-8 can hold: U+FFFD for a lone surrogate or, given bytes, for what is not UTF-8."""
    if isinstance(text, str):
        return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
    if isinstance(text, bytes):
        return text.decode("utf-8", errors="replace")
    raise InputError(f"encode takes one string, got {type(text).__name__}: use encode_batch for a list of strings")


def tf_valid(strings):
    """`valid` in the graph: ICU replaces exactly what Python does."""
    import tensorflow as tf

    return tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")


def lower(text):
    """Lower case, character by character: not `str.lower`, for that has two rules that look further.

    A capital sigma is σ at the end of a word too, and İ is i without a dot above. So a character's lower case
    depends on nothing else, and a text's length in characters stays.
    """
    return text.lower() if text.isascii() else text.translate(_lower_case())


def tf_lower(strings):
    """`lower` in the graph; `strings` may hold invalid UTF-8, which becomes U+FFFD."""
    import tensorflow as tf

    codes = tf.strings.unicode_decode(strings, "UTF-8", errors="replace")
    return tf.strings.unicode_encode(tf.ragged.map_flat_values(tf_lower_codes, codes), "UTF-8")


def tf_lower_codes(codes):
    """`lower` of code points [N] int32."""
    steps = {code: ord(small) - code for code, small in _lower_case().items()}
    return codes + tf_page_lookup(page_table(steps, default=0), codes)


@functools.cache
def _lower_case():
    pairs = ((code, chr(code).lower()[0]) for code in range(0x110000))
    return {code: small for code, small in pairs if small != chr(code)}


def page_table(values, default):
    """A sparse array over all code points: (page numbers [4352], pages [P, 256]), for most pages are the same one.

    `values` is {code point: int}; a code point that is not in it has the value `default`.
    """
    import numpy as np  # not for `valid`, which needs none

    pages = [np.full(_PAGE, default, np.int32)]
    numbers = np.zeros(_NUM_PAGES, np.int32)
    for code, value in sorted(values.items()):
        if not numbers[code // _PAGE]:
            numbers[code // _PAGE] = len(pages)
            pages.append(pages[0].copy())
        pages[-1][code % _PAGE] = value
    return numbers, np.stack(pages)


def tf_page_lookup(table, codes):
    """The values of the code points [N] int32."""
    import tensorflow as tf

    numbers, pages = table
    return tf.gather(pages.reshape(-1), tf.gather(numbers, codes // _PAGE) * _PAGE + codes % _PAGE)
