"""Words back to text: where a space stands between two words.

Every id has two small bit masks, one for its right side and one for its left. There is no space between two words
where the right mask of the first and the left mask of the second share a bit. The masks are worked out once, so that
Python and the graph agree by construction.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.text.tokenizers.vocabulary import EOS_ID, PAD_ID

if TYPE_CHECKING:
    import tensorflow as tf

_LEFT_GLUED = (
    ", . ; : ! ? % ) ] } ... ” ’ » ' '' n't N'T 's 'S 'm 'M 'd 'D 'll 'LL 're 'RE 've 'VE 'n 'ye"
    " 。 ， 、 ； ： ！ ？ … ） 」 』 》 】"
)
_RIGHT_GLUED = "( [ { $ £ € ¥ # `` ` “ ‘ „ « （ 「 『 《 【"
_CLITICS = "s S t T d D m M re ll ve RE LL VE"  # after a typographic apostrophe: it ’ s
_PLAIN, _GLUED, _PARTNER = 0b001, 0b010, 0b100
_QUOTES = {"``": '"', "''": '"'}
_LISTED = sorted({*_LEFT_GLUED.split(), *_RIGHT_GLUED.split(), *_CLITICS.split(), *_QUOTES, "’"})


def surfaces(tokens: Sequence[str], language: str | None) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Returns the table that `decode` reads: the text of each id, and what its sides allow.

    Args:
        tokens: The vocabulary, [V].
        language: Of it: "zh" has no spaces between words, None a space between any two.

    Returns:
        `(texts, right masks, left masks)`, [V + 1] each; the last entry is for "no token".
    """
    masks = [(_PLAIN, _GLUED) if language is None else _masks(token, language == "zh") for token in tokens]
    # After "no token" nothing needs a space; special tokens but <unk> are no tokens.
    masks = [*masks, (0b111, 0b111)]
    texts = [*(_QUOTES.get(token, token) if language is not None else token for token in tokens), ""]
    right, left = np.array(masks, np.int32).T
    return texts, right, left


def _masks(token: str, chinese: bool) -> tuple[int, int]:
    """The (right, left) masks of a token: two plain sides share no bit, a glued side shares one with any other."""
    if chinese and any(_is_cjk(char) for char in token):
        return _PLAIN | _GLUED, _PLAIN | _GLUED
    right = _PLAIN | _GLUED if token in _RIGHT_GLUED.split() else _PLAIN | _PARTNER if token == "’" else _PLAIN
    left = (
        _PLAIN | _GLUED
        if token in _LEFT_GLUED.split()
        else _GLUED | _PARTNER
        if token in _CLITICS.split()
        else _GLUED
    )
    return right, left


def _is_cjk(char: str) -> bool:
    # Ideographs, kana, CJK and full-width punctuation, and the quotes and dashes that Chinese shares.
    return "\u2e80" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff" or "\uff00" <= char <= "\uffef" or (
        "\U00020000" <= char <= "\U0003ffff" or char in "“”‘’…—·"
    )  # fmt: skip


def decode(table: tuple, ids: Iterable[int], previous: int | None, more: tuple | None = None) -> str:
    """Returns the text of ids.

    Args:
        table: Of `surfaces`, with V words.
        ids: Integers.
        previous: The id before them, or None.
        more: The table of further words, whose ids are V, V + 1, ...
    """
    texts, right, left = table
    none, last = len(texts) - 1, 0 if more is None else len(more[0]) - 1
    before, out = right[_kept(previous, none)], []
    for i in ids:
        place, source = _kept(i, none), table
        if none <= i < none + last:
            place, source = i - none, more
        if place >= 0:
            text, after, own = (part[place] for part in source)
            out.append(text if before & own else " " + text)
            before = after
    return "".join(out)


def _kept(i: int | None, vocab_size: int) -> int:
    """The id as a plain int, -1 for what decodes to nothing (-1 is also the place of "no token" in the table)."""
    silent = i is None or not 0 <= i < vocab_size or i in (PAD_ID, EOS_ID)
    return -1 if silent else int(i)


def tf_decode(
    table: tuple, ids: "tf.RaggedTensor", previous: "tf.Tensor | int | None", more: tuple | None = None
) -> "tf.Tensor":
    """`decode` in the graph.

    Args:
        table: Of `surfaces`, with V words.
        ids: int32, ragged [B, (n)].
        previous: None, an id, or ids [B].
        more: Of `tf_surfaces`: further words of each row, whose ids are V, V + 1, ...

    Returns:
        Strings [B].
    """
    import tensorflow as tf

    none, rows = len(table[0]) - 1, tf.cast(ids.nrows(), tf.int32)

    def place_of(i):
        silent = (i < 0) | (i >= none) | (i == PAD_ID) | (i == EOS_ID)
        return tf.where(silent, none, i)

    i, row = ids.flat_values, tf.cast(ids.value_rowids(), tf.int32)
    place = place_of(i)
    parts, kept = [tf.gather(part, place) for part in table], place < none  # texts, right masks, left masks
    if more is not None:
        own = (i >= none) & (i < none + tf.shape(more[0])[1])
        at = tf.stack([row, tf.where(own, i - none, 0)], 1)
        parts = [tf.where(own, tf.gather_nd(new, at), part) for new, part in zip(more, parts, strict=True)]
        kept |= own & (parts[0] != "")
    text, right, left, row = (tf.boolean_mask(part, kept) for part in (*parts, row))
    previous = place_of(tf.fill([rows], none) if previous is None else tf.cast(previous, tf.int32))
    start = tf.gather(table[1], tf.broadcast_to(previous, [rows]))  # the right mask before each row
    first = row != tf.concat([[-1], row], axis=0)[:-1]
    before = tf.where(first, tf.gather(start, row), tf.concat([[0], right], axis=0)[:-1])
    space = tf.bitwise.bitwise_and(before, left) == 0
    text = tf.strings.join([tf.where(space, " ", ""), text])
    return tf.strings.reduce_join(tf.RaggedTensor.from_value_rowids(text, row, nrows=rows, validate=False), axis=1)


def tf_surfaces(words: "tf.Tensor", language: str | None) -> tuple:
    """`surfaces` of words [B, K] that come in a graph: texts, right masks and left masks, [B, K] each."""
    import tensorflow as tf

    texts, right, left = surfaces([*_LISTED, "word"], language)  # all others are as this one
    is_listed = words[..., None] == tf.constant(_LISTED)
    place = tf.where(tf.reduce_any(is_listed, -1), tf.argmax(is_listed, -1, tf.int32), len(_LISTED))
    text = tf.where(place < len(_LISTED), tf.gather(texts, place), words)
    return text, tf.gather(right, place), tf.gather(left, place)
