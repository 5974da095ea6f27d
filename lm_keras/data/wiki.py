"""The embedded corpus: paragraphs of English Wikipedia from a dump that gensim's wheel carries for its tests."""

import bz2
import contextlib
import gzip
import hashlib
import importlib.util
import re
import zlib
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.files import replacing

DUMP = "test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
# Of the extracted paragraphs, a line each, UTF-8. Of another gensim that extracts others nothing is kept.
SHA256 = "9c4eb7933382b60f89c3912331c22ec4650e65dd67552f3af67b32aa1d8f8d20"
_LARGEST = 1 << 23  # bytes that are read of the cache: it has 2.6 million


def wiki_paragraphs(cache=None):
    """The 5,591 paragraphs of at least 12 words that end like a sentence, cleaned, in the order of the dump.

    The extraction takes seconds; its result is kept in the folder `cache` when that can be written, and taken from
    there if its sha256 is that of the extraction.
    """
    return [clean_markup(paragraph) for paragraph in _cached_paragraphs(cache)]


def gensim_file(name):
    """A file of the installed gensim, found without importing gensim (which takes seconds)."""
    spec = importlib.util.find_spec("gensim")
    path = Path(spec.origin).parent / name if spec else None
    if path is None or not path.is_file():
        raise InputError(f"gensim's {Path(name).name} is not installed; run pip install 'gensim>=4.4'")
    return path


def clean_markup(text):
    """Removes what gensim's filter_wiki leaves: list marks, quote marks, holes where templates stood."""
    text = re.sub(r"^[*#:;,]+\s*", "", text)
    text = re.sub(r"'''(?<=\w''')(?=s\b)", "'", text)  # ''The Times'''s: italics, then an apostrophe
    text = re.sub(r"'{2,}", "", text)
    text = " ".join(text.split())  # also no-break and thin spaces
    text = re.sub(r"[,;:.](?: [,;:.])* \.(?= |$)", ".", text)  # "Greek , ." before "Greek , , that"
    text = re.sub(r"([,;:.])(?: [,;:.])+(?= |$)", r"\1", text)
    text = re.sub(r"\((?: ?[,;:])* ?", "(", text)  # "(; born" and "( born"
    text = re.sub(r"(?: ?[,;:])* ?\)", ")", text)
    text = re.sub(r" ?\(\)", "", text)
    text = re.sub(r" ([,;:.!?])(?= |$)", r"\1", text)
    return text.strip()


def _cached_paragraphs(cache):
    dump = gensim_file(DUMP)
    if cache is None:
        return _extract(dump)
    file = Path(cache) / f"wiki-excerpt-{SHA256[:12]}.txt.gz"
    found = _read_cache(file)
    if found is None:
        found = "\n".join(_extract(dump)).encode()
        if hashlib.sha256(found).hexdigest() == SHA256:
            with contextlib.suppress(OSError), replacing(file) as temporary:  # read-only, full: a slower next start
                temporary.write_bytes(gzip.compress(found))
    return found.decode().split("\n")


def _read_cache(file):
    """What is in the cache, if it is what is extracted, bytes; None for whatever else, which is made again."""
    with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(file) as stream:
        found = stream.read(_LARGEST)
        if hashlib.sha256(found).hexdigest() == SHA256:
            return found
    return None


def _extract(dump):
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki

    with bz2.open(dump) as stream:
        pages = [filter_wiki(text) for _, text, _ in extract_pages(stream, filter_namespaces=("0",))]
    lines = (line.strip() for page in pages for line in page.split("\n"))
    return [line for line in lines if len(line.split()) >= 12 and line[-1] in '.!?"']
