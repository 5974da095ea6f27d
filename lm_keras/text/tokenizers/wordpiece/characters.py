"""What BERT's normalizer and pre-tokenizer do with each character, asked of Hugging Face's own implementation.

It knows several versions of Unicode at once (its letter case is newer than its categories), and no Python has the
same. So the tables of the graph are not computed from `unicodedata` but read off the answers for every character.
"""

import functools
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers.normalizers import BertNormalizer

# An atom (a character after decomposition) as a number: what it becomes, its class, and its combining rank.
CODE_BITS, RANK_SHIFT = 21, 23
WORD, SPACE, ALONE, DROPPED = range(4)
COUNT_BITS = 4
# Where all characters of a page may be of one kind; U+E0000 has tags and variation selectors.
_LARGE_BLOCKS = ((0x3400, 0xA000), (0xE000, 0xF900), (0x20000, 0xE0000), (0xE1000, 0x110000))
_MARK_240, _MARK_1 = "\u0345", "\u0334"  # the last and the first in the canonical order of combining marks


def normalizer(lowercase: bool, strip_accents: bool | None, clean: bool = True) -> "BertNormalizer":
    """Returns Hugging Face's BertNormalizer; `strip_accents` None means: as `lowercase`."""
    from tokenizers import normalizers

    return normalizers.BertNormalizer(clean, clean, strip_accents, lowercase)


@functools.cache
def character_tables(lowercase: bool, strip_accents: bool) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Returns `(page table of {code point: int}, atoms [N] int32)`.

    A value >= 0, xor the code point, is the one atom of a character. A negative one is -1 - (first << 4 | count):
    its atoms are atoms[first : first + count]; none for a character that cleaning takes away. Atoms that have a
    rank are put in the order of their ranks, up to the next one that has none, and only then are those of class
    DROPPED dropped.
    """
    from tokenizers import normalizers

    first = [normalizer(False, False), *([normalizers.NFD()] if strip_accents else [])]
    parts, pages = _atoms_of(normalizers.Sequence(first))
    every = list(dict.fromkeys("".join(parts.values())))
    final = dict(zip(every, _ask(normalizer(lowercase, strip_accents, clean=False), every), strict=True))
    classes = _classes(list(dict.fromkeys("".join(final.values()))))
    ranks = _ranks(every) if strip_accents else {}
    plain = {atom for atom in every if final[atom] == atom and classes[atom] == WORD and atom not in ranks}
    values, atoms = np.zeros(0x110000, np.int32), []
    for char, part in parts.items():
        if part == char and char in plain:
            continue
        alone = len(part) == 3 and part[0] == part[2] == " "  # an ideograph: spaces around it are as good as a class
        mine = []
        for atom in part[1:2] if alone else part:
            kinds = [(ord(c), ALONE if alone else classes[c]) for c in final[atom]] or [(ord(atom), DROPPED)]
            mine += [ranks.get(atom, 0) << RANK_SHIFT | kind << CODE_BITS | code for code, kind in kinds]
        if len(mine) == 1:
            values[ord(char)] = mine[0] ^ ord(char)
        else:
            values[ord(char)] = -1 - (len(atoms) << COUNT_BITS | len(mine))
            atoms += mine
    for page in pages:
        values[page : page + 256] = values[page]
    pages = [page.tobytes() for page in values.reshape(-1, 256)]
    index = {page: i for i, page in enumerate(dict.fromkeys(pages))}  # most pages are one and the same
    numbers = np.array([index[page] for page in pages], np.int32)
    return (numbers, np.frombuffer(b"".join(index), np.int32).reshape(-1, 256)), np.array(atoms, np.int32)


def _atoms_of(change):
    """Returns ({character: what `change` makes of it}, the first code points of pages that are of one kind).

    Among the ideographs, private and unassigned characters, a page of 256 whose first and last characters fare
    alike is taken to hold characters of one kind, and only its first one is looked at.
    """
    chars, pages = [], []
    starts = [page for page in range(0, 0x110000, 256) if not 0xD800 <= page < 0xE000]
    ends = _ask(change, [chr(code) for page in starts for code in (page, page + 255)])
    for page, first, last in zip(starts, ends[::2], ends[1::2], strict=True):
        alike = first.replace(chr(page), "") == last.replace(chr(page + 255), "") and len(first) == len(last)
        if alike and any(start <= page < end for start, end in _LARGE_BLOCKS):
            chars.append(chr(page))
            pages.append(page)
        else:
            chars += map(chr, range(page, page + 256))
    return dict(zip(chars, _ask(change, chars), strict=True)), pages


def _ask(change, texts):
    """What a normalizer makes of each short text, asked for all at once."""
    return change.normalize_str("|/".join(texts)).split("|/")


def _classes(chars):
    """{character: WORD, SPACE or ALONE}, the latter for punctuation, by BERT's pre-tokenizer."""
    from tokenizers import pre_tokenizers

    pieces = pre_tokenizers.BertPreTokenizer().pre_tokenize_str("a" + "a".join(chars) + "a")
    found = Counter("".join(piece for piece, _ in pieces))
    alone = {piece for piece, _ in pieces if "a" not in piece}
    return {c: SPACE if c not in found else ALONE if c in alone else WORD for c in chars}


def _ranks(atoms):
    """{combining mark: its place in the canonical order, from 1 on}; characters that begin a new run have none."""
    from tokenizers import normalizers

    nfd = normalizers.NFD()
    after, before = [_MARK_240 + atom for atom in atoms], [atom + _MARK_1 for atom in atoms]
    moved = zip(atoms, after, _ask(nfd, after), before, _ask(nfd, before), strict=True)
    marks = [atom for atom, a, new_a, b, new_b in moved if (a, b) != (new_a, new_b)]
    # Sorting is stable: in two opposite orders, marks of equal rank take the same places in opposite orders.
    places = Counter()
    for text in ("".join(marks), "".join(reversed(marks))):
        places.update({mark: place for place, mark in enumerate(nfd.normalize_str(text))})
    steps = {place: 1 + i for i, place in enumerate(sorted(set(places.values())))}
    return {mark: steps[place] for mark, place in places.items()}
