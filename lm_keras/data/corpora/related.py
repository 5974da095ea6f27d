"""A set with entities and the relations between them."""

import ast

from lm_keras.data.corpora.corpus import Corpus
from lm_keras.data.corpora.records import RelatedText
from lm_keras.data.tagged import tag_spans


def read_related_words(content: str, split: str) -> list[RelatedText]:
    """conll04: number, word, entity, relations, and the word at the end of the second entity of each relation."""
    return [_sentence(block) for block in content.split("#doc")[1:]]


def _sentence(block):
    """A text of words with spaces between; a relation whose words end no entity is left out (there is none)."""
    _, words, tags, relations, heads = zip(*(line.split("\t") for line in block.split("\n")[1:] if line), strict=True)
    text, places = "", []
    for word in words:
        text += " " if text else ""
        places.append((len(text), len(text) + len(word)))
        text += word
    spans = tag_spans(tags)
    entity = {end - 1: i for i, (_, end, _) in enumerate(spans)}
    found = []
    for at, (names, seconds) in enumerate(zip(relations, heads, strict=True)):
        for name, second in zip(ast.literal_eval(names), ast.literal_eval(seconds), strict=True):
            if name != "N" and at in entity and second in entity:
                found.append((entity[at], entity[second], name))
    named = tuple((places[start][0], places[end - 1][1], label) for start, end, label in spans)
    return RelatedText(text, named, tuple(found))


RELATED = (
    Corpus(
        name="conll04",
        description="English news with named entities and five relations between them",
        licence="none stated for the text, MIT for this form; for evaluation",
        source="Roth & Yih 2004, in https://github.com/bekou/multihead_joint_entity_relation_extraction",
        why="no address of exactly these files could be tried",
        splits=("train", "validation", "test"),
        read=read_related_words,
        folder="conll04",
        files={"train": "train.txt", "validation": "dev.txt", "test": "test.txt"},
        sha256={
            "train.txt": "0f560fdaa150133fc4843f72e2a8e707e7f74f06a3a3095d4b9921f8d0ce3614",
            "dev.txt": "99e854fd2a7d19247230c3ed8c304f79022380c9d21b58f25e7ffc5fe3884e2d",
            "test.txt": "d172819deff771c059c9c6688d67c3ff2bdaa25cf71ec56b1f7e8c6705f96700",
        },
        classes=("Kill", "Live_In", "Located_In", "OrgBased_In", "Work_For"),
    ),
)
