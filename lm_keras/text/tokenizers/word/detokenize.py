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


def decode(table: tuple, ids: Iterable[int], previous: int | None) -> str:
    """Returns the text of ids.

    Args:
        table: Of `surfaces`.
        ids: Integers.
        previous: The id before them, or None.
    """
    texts, right, left = table
    before = _kept(previous, len(texts) - 1)
    out = []
    for i in ids:
        i = _kept(i, len(texts) - 1)
        if i >= 0:
            out.append(texts[i] if right[before] & left[i] else " " + texts[i])
            before = i
    return "".join(out)


def _kept(i: int | None, vocab_size: int) -> int:
    """The id as a plain int, -1 for what decodes to nothing (-1 is also the place of "no token" in the table)."""
    silent = i is None or not 0 <= i < vocab_size or i in (PAD_ID, EOS_ID)
    return -1 if silent else int(i)


def tf_decode(table: tuple, ids: "tf.RaggedTensor", previous: "tf.Tensor | int | None") -> "tf.Tensor":
    """`decode` in the graph.

    Args:
        table: Of `surfaces`.
        ids: int32, ragged [B, (n)].
        previous: None, an id, or ids [B].

    Returns:
        Strings [B].
    """
    import tensorflow as tf

    texts, right, left = table
    none = len(texts) - 1

    def kept(i):
        return (i >= 0) & (i < none) & (i != PAD_ID) & (i != EOS_ID)

    ids = tf.ragged.boolean_mask(ids, ids.with_flat_values(kept(ids.flat_values)))
    i, row = ids.flat_values, tf.cast(ids.value_rowids(), tf.int32)
    previous = tf.fill([tf.cast(ids.nrows(), tf.int32)], none) if previous is None else tf.cast(previous, tf.int32)
    previous = tf.broadcast_to(tf.where(kept(previous), previous, none), [tf.cast(ids.nrows(), tf.int32)])
    first = row != tf.concat([[-1], row], axis=0)[:-1]
    before = tf.where(first, tf.gather(previous, row), tf.concat([[none], i], axis=0)[:-1])
    space = tf.bitwise.bitwise_and(tf.gather(right, before), tf.gather(left, i)) == 0
    both = tf.constant([*texts, *(" " + text for text in texts)])
    return tf.strings.reduce_join(ids.with_flat_values(tf.gather(both, i + tf.where(space, none + 1, 0))), axis=1)
