"""Sets with labels: a class of each text, a relation of two entities, a tag of each word."""

import json
import re
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from lm_keras.data.corpora.corpus import OURS, Corpus, csv_rows, lines, one_file, part
from lm_keras.data.corpora.records import Labelled, Relation, TaggedSentence

_text = attrgetter("text")  # two texts that are equal are copies, whatever their labels


def read_polarity(negative: str, positive: str, split: str) -> list[Labelled]:
    """mr: one file of each class, a sentence a line."""
    sides = enumerate((negative, positive))
    return part([Labelled(line, label) for label, side in sides for line in lines(side)], split, _text)


def read_messages(content: str, split: str) -> list[Labelled]:
    """sms-spam: class TAB message."""
    records = (line.split("\t", 1) for line in lines(content))
    return part([Labelled(text, ("ham", "spam").index(label)) for label, text in records], split, _text)


def read_news(content: str, split: str) -> list[Labelled]:
    """ag-news: class, title, description; the training sample has a header and no titles, so none is read."""
    rows = csv_rows(content)[split == "train" :]
    # A backslash stands for the end of a line, and before a "$".
    return [Labelled(" ".join(row[-1].replace("\\", " ").split()), int(row[0]) - 1) for row in rows]


def read_reviews(content: str, split: str) -> list[Labelled]:
    """chnsenticorp-hotel: class, review; with a header."""
    rows = csv_rows(content)[1:]
    return part([Labelled(text.strip(), int(label)) for label, text in rows if text.strip()], split, _text)


def read_relations(content: str, split: str) -> list[Relation]:
    """semeval2010-task8: number TAB "sentence with <e1>marks</e1>", the relation, a comment, an empty line."""
    records = []
    for block in content.strip().split("\n\n"):
        sentence, relation = block.split("\n")[:2]
        before, first, between, second, after = re.split("</?e[12]>", sentence.split("\t", 1)[1].strip()[1:-1])
        one, two = len(before), len(before + first + between)
        records.append(
            Relation(
                text=before + first + between + second + after,
                first=(one, one + len(first)),
                second=(two, two + len(second)),
                label=RELATIONS.index(relation),
            )
        )
    return records


def read_intents(content: str, domains: str, split: str) -> list[Labelled]:
    """clinc150: {split: [query, intent]} and {domain: intents}; queries out of scope, of no domain, are left out."""
    domain_of = {intent: place for place, some in enumerate(json.loads(domains).values()) for intent in some}
    name = {"validation": "val"}.get(split, split)
    return [Labelled(query, domain_of[intent]) for query, intent in json.loads(content)[name]]


_DIRECTED = (
    *("Cause-Effect", "Component-Whole", "Content-Container", "Entity-Destination", "Entity-Origin"),
    *("Instrument-Agency", "Member-Collection", "Message-Topic", "Product-Producer"),
)
RELATIONS = (*(f"{name}({pair})" for name in _DIRECTED for pair in ("e1,e2", "e2,e1")), "Other")

LABELLED = (
    Corpus(
        name="mr",
        description="5,331 negative and 5,331 positive sentences of film reviews, labelled",
        licence="research use (Pang & Lee 2005)",
        source="https://github.com/yoonkim/CNN_sentence, or rt-polaritydata.tar.gz of the authors",
        splits=OURS,
        read=read_polarity,
        folder="mr",
        files=dict.fromkeys(OURS, ("rt-polarity.neg", "rt-polarity.pos")),
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
        read=read_messages,
        folder="sms-spam",
        url="https://raw.githubusercontent.com/justmarkham/DAT8/master/data/sms.tsv",
        classes=("ham", "spam"),
        **one_file("SMSSpamCollection", "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"),
    ),
    Corpus(
        name="ag-news",
        description="8,000 training and 7,600 test items of news in four topics, the descriptions, labelled",
        licence="non-commercial research",
        source="https://github.com/mhjabreel/CharCnn_Keras (data/ag_news_csv/test.csv) and"
        " https://github.com/HenryPengZou/JointMatch (data/ag_news/dev.csv, as train_sample_8000.csv)",
        splits=("train", "test"),
        read=read_news,
        folder="ag-news",
        files={"train": "train_sample_8000.csv", "test": "test.csv"},
        sha256={
            "train_sample_8000.csv": "3a1469963a5c884e4c4fda7259933ec427247277cfc971b934b001acd0846efb",
            "test.csv": "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
        },
        classes=("World", "Sports", "Business", "Sci/Tech"),
    ),
    Corpus(
        name="chnsenticorp-hotel",
        description="2,443 negative and 5,322 positive reviews of hotels in Chinese, labelled",
        licence="none stated",
        source="https://github.com/SophonPlus/ChineseNlpCorpus",
        read=read_reviews,
        folder="chnsenticorp-hotel",
        url="https://raw.githubusercontent.com/SophonPlus/ChineseNlpCorpus/4ef366aa97c927f5bd69e1d97dc88461590174fd/"
        "datasets/ChnSentiCorp_htl_all/ChnSentiCorp_htl_all.csv",
        classes=("negative", "positive"),
        **one_file("ChnSentiCorp_htl_all.csv", "1d414b9c65caf3a836abdb4efded621968502ad3338e1a9d885ae131c86083f0"),
    ),
    Corpus(
        name="clinc150",
        description="15,000 requests to an assistant in ten domains, labelled; those out of scope left out",
        licence="CC BY 3.0",
        source="https://github.com/clinc/oos-eval (Larson et al. 2019), data/data_small.json and data/domains.json",
        why="its file of requests was packed anew, and no download is equal to it",
        splits=("train", "validation", "test"),
        read=read_intents,
        folder="clinc150",
        files=dict.fromkeys(("train", "validation", "test"), ("data_small.json.gz", "domains.json")),
        sha256={
            "data_small.json.gz": "eb54e9fcc8c55229c478b4d34e200dd9e8ba5384e6138fb03fc7df8ab70de505",
            "domains.json": "b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
        },
        classes=(
            *("banking", "credit_cards", "kitchen_and_dining", "home", "auto_and_commute", "travel", "utility"),
            *("work", "small_talk", "meta"),
        ),
    ),
    Corpus(
        name="semeval2010-task8",
        description="10,717 sentences with the relation of two nouns, one of 19, labelled",
        licence="CC BY 3.0",
        source="SemEval2010_task8_all_data of Hendrickx et al. 2010, also in https://github.com/unik00/textCNN-pytorch",
        why="no address of its two files is known",
        splits=("train", "test"),
        read=read_relations,
        folder="semeval2010-task8",
        files={"train": "TRAIN_FILE.TXT", "test": "TEST_FILE_FULL.TXT"},
        sha256={
            "TRAIN_FILE.TXT": "2feda6f8819463e495a14c3cd563f3fa33b576e97ca7b717e021362e02c1fdad",
            "TEST_FILE_FULL.TXT": "9ec7a35d5582b4da0fb72aa55a6121bc414ade573459e1dcf68bf189f8c18ae8",
        },
        classes=RELATIONS,
    ),
)


# === Named entities: a tag for each word or character ===


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
    """IOB1, where B- stands only between neighbors of one type, to BIO, where every entity starts with B-."""
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
