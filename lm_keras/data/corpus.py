"""What is known of one named corpus, and the splits of a set that has no official ones."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lm_keras.data.archives import Archive
from lm_keras.data.split import split_texts

OURS = ("train", "validation", "all")


@dataclass(frozen=True)
class Corpus:
    """One named corpus.

    `files`: split → file name (or names), in the folder `folder` of $LM_KERAS_DATA or of the cache, as it is or
    packed once more as .gz; `sha256` of each, as it is named. `embedded`: the file inside gensim, for sets that need
    no download. `texts`: from the contents of the files (of an archive: member → content) and the split to the list
    of texts or records. `reader`: the call that reads files which hold no texts.
    `url`: of the file, or of the folder of the files, with a "/" at its end, or of the `archive` that holds them.
    `why` there is none, where that is not the licence.
    """

    name: str
    description: str
    licence: str
    source: str
    splits: tuple[str, ...]
    texts: Callable[..., list] | None = None
    folder: str = ""
    files: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    url: str = ""
    archive: Archive | None = None
    embedded: str = ""
    encoding: str = "utf-8-sig"
    classes: tuple[str, ...] = ()
    reader: str = ""
    why: str = ""


def one_file(file, sha256, splits=OURS):
    return {"splits": splits, "files": dict.fromkeys(splits, file), "sha256": {file: sha256}}


def part(records, split, text=lambda record: record):
    """One split of a set that has no official ones. A record whose `text(record)` is in "train" too is there."""
    if split == "all":
        return records
    train, validation = (set(side) for side in split_texts(list(range(len(records))), validation=0.1, seed=0))
    known = {text(records[i]) for i in train}
    validation = {i for i in validation if text(records[i]) not in known}
    return [record for i, record in enumerate(records) if (i in validation) == (split == "validation")]


def lines(content):
    """The lines that are not empty, without the white space around them."""
    return [line.strip() for line in content.split("\n") if line.strip()]


def mended(content):
    """The text with the characters that bytes of Windows-1252 stand for, undecoded or taken for Latin-1."""
    return content.translate(_WINDOWS)


_WINDOWS = {}
for _code in range(0x80, 0x100):
    _WINDOWS[0xDC00 + _code] = bytes([_code]).decode("cp1252", "replace")  # as "surrogateescape" decodes it
    if _code < 0xA0:  # control characters, which no text holds
        _WINDOWS[_code] = _WINDOWS[0xDC00 + _code]
