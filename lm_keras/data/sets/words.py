"""Tests of word vectors, all inside gensim: word pairs with the similarity that people see, and analogies."""

from lm_keras.data.corpus import Corpus, lines
from lm_keras.data.records import Analogy, WordPair


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
