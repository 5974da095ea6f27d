"""Running text: a list of str, one paragraph, item, sentence or poem a text, or one long text."""

from lm_keras.data.corpus import OURS, Corpus, lines, one_file, part
from lm_keras.data.split import cut_text
from lm_keras.data.wiki import DUMP


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
