"""The table of named corpora, and how the content of each file becomes texts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from lm_keras.data.archives import Archive
from lm_keras.data.split import cut_text, split_texts
from lm_keras.data.wiki import DUMP


class Labelled(NamedTuple):
    """A record of a labelled set; `label` is the place in the set's `classes`."""

    text: str
    label: int


@dataclass(frozen=True)
class Corpus:
    """One named corpus.

    `files`: split → file name (or names), in the folder `folder` of $LM_KERAS_DATA or of the cache, plain or .gz;
    `sha256` of each file uncompressed. `embedded`: the file inside gensim, for sets that need no download.
    `texts`: from the contents of the files and the split to the list of texts, or of `Labelled` records of `classes`.
    `url`: of the file, or of the folder of the files, with a "/" at its end, or of the `archive` that holds them.
    """

    name: str
    description: str
    licence: str
    source: str
    splits: tuple[str, ...]
    texts: Callable[..., list]
    folder: str = ""
    files: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    url: str = ""
    archive: Archive | None = None
    embedded: str = ""
    encoding: str = "utf-8-sig"
    classes: tuple[str, ...] = ()


# === From the content of a file to the texts of a split ===


def _lines(content, split):
    return [line.strip() for line in content.split("\n") if line.strip()]


def _split_lines(content, split):
    return part(_lines(content, split), split)


def _poems(content, split):
    # title TAB author TAB poem; a few titles hold a tab of their own, and four poems are empty.
    poems = (line.split("\t")[-1].strip() for line in content.split("\n"))
    return part([poem for poem in poems if poem], split)


def _shakespeare(content, split):
    cut = int(len(content) * 0.9)
    return [{"train": content[:cut], "validation": content[cut:], "all": content}[split]]


def _novel(content, split):
    train, validation = cut_text(content)
    return [{"train": train, "validation": validation, "all": content}[split]]


def _polarity(negative, positive, split):
    sides = enumerate((negative, positive))
    return part([Labelled(line, label) for label, side in sides for line in _lines(side, split)], split)


def _sms(content, split):
    records = (line.split("\t", 1) for line in _lines(content, split))
    return part([Labelled(text, ("ham", "spam").index(label)) for label, text in records], split)


def part(texts, split):
    if split == "all":
        return texts
    train, validation = split_texts(texts, validation=0.1, seed=0)
    return train if split == "train" else validation


# === The table ===

_OURS = ("train", "validation", "all")
_PICOGPT = "https://raw.githubusercontent.com/bigeagle/picoGPT/master/data/"


def _one_file(file, sha256):
    return {"files": dict.fromkeys(_OURS, file), "sha256": {file: sha256}}


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="wiki-excerpt",
            description="5,591 paragraphs of English Wikipedia; embedded, the default",
            licence="CC BY-SA 3.0",
            source="a Wikipedia dump in the gensim package",
            splits=_OURS,
            texts=_split_lines,
            embedded=DUMP,
        ),
        Corpus(
            name="lee-news",
            description="300 Australian news items; embedded",
            licence="research use (Lee, Pincombe & Welsh 2005)",
            source="lee_background.cor in the gensim package",
            splits=_OURS,
            texts=_split_lines,
            embedded="test/test_data/lee_background.cor",
        ),
        Corpus(
            name="ptb",
            description="Penn Treebank after Mikolov: 10,000 words, one sentence a text",
            licence="derived from text that the LDC licenses, not to be redistributed",
            source="https://catalog.ldc.upenn.edu/LDC99T42, or Mikolov's simple-examples.tgz",
            splits=("train", "validation", "test"),
            texts=_lines,
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
            splits=_OURS,
            texts=_shakespeare,
            folder="tinyshakespeare",
            url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            **_one_file("input.txt", "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),
        ),
        Corpus(
            name="hongloumeng",
            description="Dream of the Red Chamber, 879,000 Chinese characters, one text",
            licence="public domain",
            source="https://github.com/bigeagle/picoGPT",
            splits=_OURS,
            texts=_novel,
            folder="hongloumeng",
            url=_PICOGPT + "hongloumeng.txt",
            **_one_file("hongloumeng.txt", "0f7876dad2ea61a49b789e4a9112c4a14b1b133b308e61038bde24a4a2ce396d"),
        ),
        Corpus(
            name="shuihu",
            description="Water Margin, 850,000 Chinese characters, one text",
            licence="public domain",
            source="https://github.com/bigeagle/picoGPT",
            splits=_OURS,
            texts=_novel,
            folder="hongloumeng",
            url=_PICOGPT + "shuihu.txt",
            **_one_file("shuihu.txt", "c9692f822702174cf12f680d48ca8d3ef860eade7f5f7595f942295e39b9070b"),
        ),
        Corpus(
            name="tang-poems",
            description="57,603 Tang poems in traditional characters, one poem a text",
            licence="MIT, but published only as 58 JSON files to be joined: title TAB author TAB poem",
            source="https://github.com/chinese-poetry/chinese-poetry",
            splits=_OURS,
            texts=_poems,
            folder="tang-poems",
            **_one_file("tang.tsv", "d43ca4cec139ddc5c4263a222def2919b8bc4603010b36504a82a27ab371d2b4"),
        ),
        Corpus(
            name="mr",
            description="5,331 negative and 5,331 positive sentences of film reviews, labelled",
            licence="research use (Pang & Lee 2005)",
            source="https://github.com/yoonkim/CNN_sentence, or rt-polaritydata.tar.gz of the authors",
            splits=_OURS,
            texts=_polarity,
            folder="mr",
            files=dict.fromkeys(_OURS, ("rt-polarity.neg", "rt-polarity.pos")),
            sha256={
                "rt-polarity.neg": "4ace77d558c3714723843f1d65b60c01e3417b208180f0728808d76ad0eeeaca",
                "rt-polarity.pos": "2da124ec187a9d5a29c9f04e91c540e02baed5af8868f550a26bd6fd4dbf8bf0",
            },
            url="https://raw.githubusercontent.com/yoonkim/CNN_sentence/master/",
            encoding="cp1252",
            classes=("negative", "positive"),
        ),
        Corpus(
            name="sms-spam",
            description="5,574 text messages, 747 of them spam, labelled",
            licence="CC BY 4.0",
            source="https://archive.ics.uci.edu/dataset/228/sms+spam+collection",
            splits=_OURS,
            texts=_sms,
            folder="sms-spam",
            url="https://raw.githubusercontent.com/justmarkham/DAT8/master/data/sms.tsv",
            classes=("ham", "spam"),
            **_one_file("SMSSpamCollection", "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"),
        ),
    )
}
