"""The embedded corpus: paragraphs of English Wikipedia from a dump that gensim's wheel carries for its tests."""

import bz2
import contextlib
import gzip
import hashlib
import importlib.metadata
import importlib.util
import re
import zlib
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.files import replacing

DUMP = "test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"


def wiki_paragraphs(cache=None):
    """The 5,591 paragraphs of at least 12 words that end like a sentence, cleaned, in the order of the dump.

    The extraction takes seconds; its result is kept in the folder `cache` when that can be written.
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
    digest = hashlib.sha256(dump.read_bytes()).hexdigest()[:12]
    file = Path(cache) / f"wiki-excerpt-{importlib.metadata.version('gensim')}-{digest}.txt.gz"
    try:
        # A damaged cache fails gzip's checksum; then it is made again.
        return gzip.decompress(file.read_bytes()).decode().split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        paragraphs = _extract(dump)
    with contextlib.suppress(OSError), replacing(file) as temporary:  # read-only, full: the next start is slower
        temporary.write_bytes(gzip.compress("\n".join(paragraphs).encode()))
    return paragraphs


def _extract(dump):
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki

    with bz2.open(dump) as stream:
        pages = [filter_wiki(text) for _, text, _ in extract_pages(stream, filter_namespaces=("0",))]
    lines = (line.strip() for page in pages for line in page.split("\n"))
    return [line for line in lines if len(line.split()) >= 12 and line[-1] in '.!?"']
