"""Words that are not wanted, found in spite of disguises."""

import re
import unicodedata
from pathlib import Path

from lm_keras.data.files import read_texts
from lm_keras.errors import InputError

PACKAGED = Path(__file__).with_name("word_list.txt")

_LOOK_ALIKES = str.maketrans("013457@$!|", "oieastasil")
_TOKEN = re.compile(r"[\w@$!|*']+")
_EDGES = "@$!|*'_"  # what is punctuation where it stands at the end of a word
_SPELLED = re.compile(r"(?<!\w)[^\W\d_](?:([ .\-_*])[^\W\d_])(?:\1[^\W\d_])+(?!\w)")
_LONG = re.compile(r"(.)\1{2,}")
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff]")


def read_word_list(path=PACKAGED):
    """{category: [word or phrase]} of a UTF-8 file: one a line, `[category]` lines, comments after "#"."""
    categories, words = {}, None
    for line in read_texts(path):
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            if not line.endswith("]") or not line[1:-1].strip():
                raise InputError(f"{path}: {line!r} is no category; write [name]")
            words = categories.setdefault(line[1:-1].strip(), [])
        elif line:
            if words is None:
                words = categories.setdefault("unwanted", [])
            words.append(line)
    return categories


class WordList:
    """Finds the words and phrases of {category: [word]} in texts: whole words, whatever their case or disguise."""

    def __init__(self, categories):
        for category, words in categories.items():
            if isinstance(words, str):
                raise InputError(f"the words of {category!r} are one string, {words!r}; put them into a list")
        self.categories = {category: list(words) for category, words in categories.items()}
        self.words, self.phrases, self.unspaced, self.by_length = {}, {}, {}, {}
        for category, words in self.categories.items():
            for word in words:
                if not isinstance(word, str) or not word.strip():
                    raise InputError(f"the category {category!r} holds {word!r}, which is no word; leave it out")
                self._add(_fold(word), category)

    def _add(self, word, category):
        if _NO_SPACES.search(word):
            self.unspaced[word] = category
            return
        tokens = tuple(token.strip(_EDGES) for token in _TOKEN.findall(word))
        if len(tokens) > 1:
            self.phrases[" " + " ".join(tokens) + " "] = category
        elif tokens != (word,):
            raise InputError(
                f"{word!r} would never be found: words begin and end with a letter or digit; leave it out"
            )
        else:
            self.words[word] = category
            self.by_length.setdefault(len(word), []).append(word)

    def find(self, text):
        """The category of the first word of the list in a text, or None."""
        folded = _fold(text)
        tokens = _TOKEN.findall(folded)
        for token in tokens:
            if category := self._of(token):
                return category
        for spelled in _SPELLED.finditer(folded):
            if category := self.words.get(spelled[0].replace(spelled[1], "")):
                return category
        if self.phrases:
            line = " " + " ".join(token.strip(_EDGES) for token in tokens) + " "
            for phrase, category in self.phrases.items():
                if phrase in line:
                    return category
        if self.unspaced and not folded.isascii():
            joined = "".join(folded.split())
            return next((category for word, category in self.unspaced.items() if word in joined), None)
        return None

    def _of(self, token):
        word = token.strip(_EDGES)
        for form in (word, word.removesuffix("'s")):
            if form in self.words:
                return self.words[form]
        if _LONG.search(word):
            for kept in (r"\1", r"\1\1"):
                if category := self.words.get(_LONG.sub(kept, word)):
                    return category
        written = token.rstrip(_EDGES).lstrip("'*_")
        return None if written.isalpha() else self._disguised(written, word)

    def _disguised(self, written, word):
        """Look-alikes, at most half of them digits ("A55" is a road), and asterisks between letters."""
        if sum(map(str.isdigit, written)) * 2 <= len(written):
            for form in (written, word):
                if category := self.words.get(form.translate(_LOOK_ALIKES)):
                    return category
        if "*" in word and word[0].isalpha():
            shape = re.compile(re.escape(word).replace(r"\*", "[a-z]"))
            for listed in self.by_length.get(len(word), ()):
                if shape.fullmatch(listed):
                    return self.words[listed]
        return None


def _fold(text):
    """Case folded, full width made plain; accents and invisible characters off."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(
            "'" if character == "’" else character
            for character in decomposed
            if not unicodedata.combining(character) and unicodedata.category(character) != "Cf"
        )
    return " ".join(text.casefold().split())
