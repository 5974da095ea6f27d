"""Pieces of words back to text, with the spaces of `detokenize`.

What is special to pieces: one with "##" is glued to what is before it. Marks glue only where BERT cuts beside them
in any case, so that decoded text is read the same again. There is no space beside an ideograph or a Chinese mark. An
apostrophe is glued to the word before it and to a contraction after it: don ' t is don't, dogs ' toys is dogs' toys.
A straight quote or a hyphen has spaces on both sides, as in BERT's own decoder: the ids do not say where it belongs.
"""

from lm_keras.text import detokenize
from lm_keras.text.wordpiece_characters import normalizer

_SHIFT = 3  # detokenize takes the ids 0 and 2 for the marks of the other tokenizers


def decoding_table(tokens, silent):
    """Returns (place of each id, -1 for the `silent` ones; the table of `detokenize` at these places)."""
    texts = [""] * _SHIFT + [token[2:] if _goes_on(token) else token for token in tokens]
    texts, right, left = detokenize.surfaces(texts, "en")
    masks = {sign: [side[0] for side in detokenize.surfaces([sign], "en")[1:]] for sign in "a’"}
    for i, text in enumerate(texts[:-1]):
        if len(text) != 1 or (text.isalnum() and text < "\u2e80"):
            continue
        if not _stands_alone(text):  # for BERT a letter, as £: a space beside it tells two words apart
            right[i], left[i] = masks["a"]
        elif text >= "\u2e80":  # below it are quotes that English text has too
            right[i], left[i] = (side[0] for side in detokenize.surfaces([text], "zh")[1:])
        elif text == "'":
            right[i] = masks["’"][0]
    for i, token in enumerate(tokens, _SHIFT):
        if _goes_on(token):
            left[i] = left[-1]  # the mask that is glued to everything
    return [-1 if i in silent else i + _SHIFT for i in range(len(tokens))], (texts, right, left)


def _goes_on(token):
    return token.startswith("##") and len(token) > 2


def _stands_alone(char):
    from tokenizers import pre_tokenizers

    text = normalizer(False, False).normalize_str(f"a{char}a")
    return len(pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)) == 3
