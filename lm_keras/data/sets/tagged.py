"""Named entities: a tag for each word or character."""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from lm_keras.data.corpus import Corpus, one_file, part
from lm_keras.data.records import TaggedSentence


def read_tagged_words(content: str, split: str) -> list[TaggedSentence]:
    """conll2003: word, part of speech, chunk, entity; the chunks and entities of the file are in IOB1."""
    records = []
    for rows in _sentences(content, " "):
        words, parts_of_speech, chunks, tags = zip(*rows, strict=True)
        if words[0] != "-DOCSTART-":
            records.append(TaggedSentence(words, bio(tags), parts_of_speech, bio(chunks)))
    return records


def read_tagged_characters(members: dict[str, str], split: str) -> list[TaggedSentence]:
    """msra-ner: character TAB entity."""
    (content,) = members.values()
    sentences = (zip(*rows, strict=True) for rows in _sentences(content, "\t"))
    return part([TaggedSentence(characters, bio(tags)) for characters, tags in sentences], split, attrgetter("words"))


def bio(tags: Sequence[str]) -> tuple[str, ...]:
    """IOB1, where B- stands only between neighbours of one type, to BIO, where every entity starts with B-."""
    steps = zip(("O", *tags), tags, strict=False)
    starts = (tag != "O" and (tag[0] == "B" or tag[2:] != before[2:]) for before, tag in steps)
    return tuple(f"B-{tag[2:]}" if start else tag for start, tag in zip(starts, tags, strict=True))


def _sentences(content, separator):
    for filled, rows in groupby(content.split("\n"), key=bool):
        if filled:
            yield [row.split(separator) for row in rows]


def _tags(*types):
    return ("O", *(f"{mark}-{name}" for name in types for mark in "BI"))


TAGGED = (
    Corpus(
        name="conll2003",
        description="English news with named entities (persons, places, organisations, others), one tag a word",
        licence="Reuters text under an agreement with NIST, not to be redistributed; for evaluation",
        source="https://www.clips.uantwerpen.be/conll2003/ner/ with the Reuters corpus of NIST",
        splits=("train", "validation", "test"),
        read=read_tagged_words,
        folder="conll2003",
        files={"train": "eng.train", "validation": "eng.testa", "test": "eng.testb"},
        sha256={
            "eng.train": "bed631399cb0e859c4b446438ce57dfe0208792ca6106ef11620877355494c3a",
            "eng.testa": "aa83a45b88e4952998156583e2ff5a8be7c1f04fb9efa3a29cd87fac2c883807",
            "eng.testb": "443914daf51328868558859b28252a28caee2fd02b65e77987977d6489246c5f",
        },
        classes=_tags("LOC", "MISC", "ORG", "PER"),
    ),
    Corpus(
        name="msra-ner",
        description="Chinese sentences with named entities (persons, places, organisations), one tag a character",
        licence="research use, not openly licensed; for evaluation",
        source="https://github.com/SophonPlus/ChineseNlpCorpus (datasets/dh_msra)",
        why="not openly licensed; its archive was packed anew, and no download is equal to it",
        read=read_tagged_characters,
        folder="msra-ner",
        classes=_tags("LOC", "ORG", "PER"),
        **one_file("dh_msra.txt.tar.xz", "65d199c22fabb3cf0ff3358b937ee62c481e1814a21b260574b40f6c555f815c"),
    ),
)
