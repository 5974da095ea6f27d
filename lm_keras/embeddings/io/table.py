"""The words of a KeyedVectors, in a tenth of the memory of a list and a dict of strings.

400,000 words of GloVe are 55 MB as Python strings and numbers, more than two thirds of their vectors of 50
dimensions; here they are 12 MB. Who changes the words (`add_vectors`) gets a true list and dict inside.
"""

from collections.abc import MutableMapping, MutableSequence
from operator import index as as_index

import numpy as np


class EncodedWords:
    """The words that were read, which never change: their UTF-8 bytes in a row, and int64 [N] where each ends."""

    def __init__(self, text, ends):
        self._text, self._ends = bytes(text), ends

    def __len__(self):
        return len(self._ends)

    def __getitem__(self, i):
        return self._text[self._ends.item(i - 1) if i else 0 : self._ends.item(i)]

    def __iter__(self):
        start = 0
        for end in self._ends.tolist():
            yield self._text[start:end]
            start = end


class WordSequence(MutableSequence):
    """`index_to_key`: reads, changes, compares and adds like a list of strings.

    It is no `list`: `isinstance(words, list)` is False, and what needs one, such as `json.dumps`, takes
    `list(words)`. Of the methods of a list, `copy` and `sort` are not there.
    """

    def __init__(self, encoded):
        self._encoded, self._list = encoded, None

    def __len__(self):
        return len(self._encoded if self._list is None else self._list)

    def __getitem__(self, i):
        if self._list is not None:
            return self._list[i]
        if isinstance(i, slice):
            return [self._encoded[j].decode() for j in range(*i.indices(len(self)))]
        i = as_index(i)
        if not -len(self) <= i < len(self):
            raise IndexError("list index out of range")
        return self._encoded[i % len(self)].decode()

    def __iter__(self):
        return map(bytes.decode, self._encoded) if self._list is None else iter(self._list)

    def __eq__(self, other):
        if not isinstance(other, (WordSequence, list)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __add__(self, other):
        return [*self, *other] if isinstance(other, (WordSequence, list)) else NotImplemented

    def __radd__(self, other):
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def __repr__(self):
        return repr(list(self))

    def _changing(self):
        if self._list is None:
            self._list = list(self)
        return self._list

    def __setitem__(self, i, word):
        self._changing()[i] = word

    def __delitem__(self, i):
        del self._changing()[i]

    def insert(self, i, word):
        self._changing().insert(i, word)


class WordIndex(MutableMapping):
    """`key_to_index`: behaves like a dict from different words to 0, 1, ...: a hash table in one array.

    It is no `dict`: what needs one, such as `json.dumps`, takes `dict(index)`. It has no `copy` and no `|`.
    `hashes`: int64 [N], those of the `encoded` words, if they are known already.
    """

    def __init__(self, encoded, hashes=None):
        self._encoded, self._dict = encoded, None
        count = len(encoded)
        if hashes is None:
            hashes = np.fromiter(map(hash, encoded), np.int64, count)
        self._mask = (1 << (2 * count).bit_length()) - 1
        self._slots = slots = np.full(self._mask + 1, -1, np.int32)
        # All words at once go to their slot; who finds it taken goes on to the next one (linear probing).
        left, slot = np.arange(count, dtype=np.int32), (hashes & self._mask).astype(np.int32)
        while len(left):
            free = slots[slot] < 0
            slots[slot[free]] = left[free]
            homeless = slots[slot] != left
            left, slot = left[homeless], (slot[homeless] + 1) & self._mask

    def __getitem__(self, word):
        if self._dict is not None:
            return self._dict[word]
        if isinstance(word, str):
            key = word.encode(errors="surrogatepass")
            slot = hash(key) & self._mask
            while (i := self._slots.item(slot)) >= 0:
                if self._encoded[i] == key:
                    return i
                slot = (slot + 1) & self._mask
        hash(word)  # a list is a TypeError, as in a dict
        raise KeyError(word)

    def __iter__(self):
        return map(bytes.decode, self._encoded) if self._dict is None else iter(self._dict)

    def __len__(self):
        return len(self._encoded if self._dict is None else self._dict)

    def __repr__(self):
        return repr(dict(self.items()))

    def _changing(self):
        if self._dict is None:
            self._dict = {word: i for i, word in enumerate(self)}
        return self._dict

    def __setitem__(self, word, i):
        self._changing()[word] = i

    def __delitem__(self, word):
        del self._changing()[word]

    def __reduce__(self):  # the hash of a string is another one in every process
        return (WordIndex, (self._encoded,)) if self._dict is None else (dict, (self._dict,))
