"""Functions on single characters that Python and the graph compute alike, whatever Unicode version each knows."""

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lm_keras.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

_SURROGATE = re.compile("[\ud800-\udfff]")
# What `str.strip` takes away, for RE2.
SPACES = r"[\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
# Words as a pattern: each Chinese character is one of its own, other scripts have spaces.
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HAN_OR_WORD = rf"(?u)[{_HAN}]|[^\W{_HAN}]+"
_PAGE, _NUM_PAGES = 256, 0x110000 // 256


def valid(text: str | bytes) -> str:
    """Returns text that UTF-8 can hold: U+FFFD for a lone surrogate or, given bytes, for what is not UTF-8.

    Raises:
        InputError: For what is no text.
    """
    if isinstance(text, str):
        return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
    if isinstance(text, bytes):
        return text.decode("utf-8", errors="replace")
    raise InputError(f"encode takes one string, got {type(text).__name__}: use encode_batch for a list of strings")


def tf_valid(strings: "tf.Tensor") -> "tf.Tensor":
    """`valid` in the graph: ICU replaces exactly what Python does."""
    import tensorflow as tf

    return tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8", errors="replace")


def lower(text: str) -> str:
    """Returns a text in lower case, character by character: `str.lower` has two rules that look further.

    A capital sigma is σ at the end of a word too, and İ is i without a dot above. So a character's lower case
    depends on nothing else, and a text's length in characters stays.
    """
    return text.lower() if text.isascii() else text.translate(_lower_case())


def tf_lower(strings: "tf.Tensor") -> "tf.Tensor":
    """`lower` in the graph; `strings` may hold invalid UTF-8, which becomes U+FFFD."""
    import tensorflow as tf

    codes = tf.strings.unicode_decode(strings, "UTF-8", errors="replace")
    return tf.strings.unicode_encode(tf.ragged.map_flat_values(tf_lower_codes, codes), "UTF-8")


def tf_lower_codes(codes: "tf.Tensor") -> "tf.Tensor":
    """`lower` of code points [N] int32."""
    steps = {code: ord(small) - code for code, small in _lower_case().items()}
    return codes + tf_page_lookup(page_table(steps, default=0), codes)


@functools.cache
def _lower_case() -> dict[int, str]:
    pairs = ((code, chr(code).lower()[0]) for code in range(0x110000))
    return {code: small for code, small in pairs if small != chr(code)}


def page_table(values: Mapping[int, int], default: int) -> "tuple[np.ndarray, np.ndarray]":
    """Returns a sparse array over all code points, for most pages of 256 are the same one.

    Args:
        values: {code point: int}.
        default: The value of a code point that is not in it.

    Returns:
        `(page numbers [4352], pages [P, 256])`, int32.
    """
    import numpy as np  # not for `valid`, which the command line needs before any number

    pages = [np.full(_PAGE, default, np.int32)]
    numbers = np.zeros(_NUM_PAGES, np.int32)
    for code, value in sorted(values.items()):
        if not numbers[code // _PAGE]:
            numbers[code // _PAGE] = len(pages)
            pages.append(pages[0].copy())
        pages[-1][code % _PAGE] = value
    return numbers, np.stack(pages)


def tf_page_lookup(table: "tuple[np.ndarray, np.ndarray]", codes: "tf.Tensor") -> "tf.Tensor":
    """Returns the values of code points [N] int32 in a `page_table`."""
    import tensorflow as tf

    numbers, pages = table
    return tf.gather(pages.reshape(-1), tf.gather(numbers, codes // _PAGE) * _PAGE + codes % _PAGE)
