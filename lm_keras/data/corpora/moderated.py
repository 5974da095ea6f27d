"""Sets for moderation: tweets of hate and offensive language, and HateCheck, the functional tests of such models."""

import csv
import hashlib
import html
import io
import re

from lm_keras.data.corpora.corpus import Corpus, one_file
from lm_keras.data.corpora.records import FunctionalCase, Labelled

_SPLITS = ("train", "validation", "test")
_ROW = re.compile(r"^\d+,\d+,\d+,\d+,\d+,([012]),", re.MULTILINE)
_LEFT_OUT = frozenset(("rt", "user", "url"))  # words that do not make two tweets different


def read_tweets(content: str, split: str) -> list[Labelled]:
    """hate-offensive: number, votes, class, tweet; a record starts where a line starts with six numbers.

    The set has no official split: `split_of` says in which part a tweet is. No reader of CSV can be used: where an
    address at the end of a tweet was replaced, the quote that closes the field went with it.
    """
    starts = list(_ROW.finditer(content))
    ends = [start.start() for start in starts[1:]] + [len(content)]
    records = []
    for start, end in zip(starts, ends, strict=True):
        field = content[start.end() : end].strip()
        if field.startswith('"'):
            closed = (len(field) - len(field.rstrip('"'))) % 2
            field = field[1 : len(field) - closed].replace('""', '"')
        records.append(Labelled(" ".join(html.unescape(field).split()), int(start.group(1))))
    return [record for record in records if split_of(record.text) == split]


def split_of(text: str) -> str:
    """The part of a tweet by the sha256 of its words in lower case: one in ten is for test, one for validation.

    Retweets, and tweets that differ in users, addresses and marks alone, are in the same part.
    """
    words = (word for word in re.findall(r"\w+", text.casefold()) if word not in _LEFT_OUT)
    digit = int(hashlib.sha256(" ".join(words).encode()).hexdigest(), 16) % 10
    return {0: "test", 1: "validation"}.get(digit, "train")


def read_functional_cases(content: str, split: str) -> list[FunctionalCase]:
    """hatecheck: a case a row, with the function that it tests, its class, group and template."""
    return [
        FunctionalCase(
            row["test_case"].strip(),
            FUNCTIONAL.index(row["label_gold"]),
            row["functionality"],
            row["target_ident"],
            row["case_templ"].strip(),
        )
        for row in csv.DictReader(io.StringIO(content))
    ]


FUNCTIONAL = ("hateful", "non-hateful")

MODERATED = (
    Corpus(
        name="hate-offensive",
        description="24,783 tweets: hate, offensive language or neither, labelled",
        licence="MIT",
        source="https://github.com/t-davidson/hate-speech-and-offensive-language (Davidson et al. 2017),"
        " data/labeled_data.csv",
        why="user names and addresses were replaced, and no download is equal to it",
        read=read_tweets,
        folder="hate-offensive",
        classes=("hate", "offensive", "neither"),
        **one_file(
            "labeled_data.csv", "b99568197ee84a01997d44aa54128843c3d9dd363534e01e4a8f7d6d77f238e2", splits=_SPLITS
        ),
    ),
    Corpus(
        name="hatecheck",
        description="3,728 short texts that test 29 functions of a model that finds hate",
        licence="CC BY 4.0; for evaluation",
        source="https://github.com/paul-rottger/hatecheck-data (Röttger et al. 2021)",
        url="https://raw.githubusercontent.com/paul-rottger/hatecheck-data/d84302298ceeb34f4b0dde2d8a1f4932c2caa612/"
        "test_suite_cases.csv",
        read=read_functional_cases,
        folder="hatecheck",
        classes=FUNCTIONAL,
        **one_file(
            "test_suite_cases.csv",
            "ecf0dc1e93fccc90b6f880e632b19e635c0f0a68b3157915a9e20b6938f121cf",
            splits=("test",),
        ),
    ),
)
