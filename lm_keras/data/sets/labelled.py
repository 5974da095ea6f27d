"""Texts with a class each, and two entities of a text with their relation."""

from lm_keras.data.corpus import OURS, Corpus, lines, one_file, part
from lm_keras.data.records import Labelled


def polarity(negative, positive, split):
    sides = enumerate((negative, positive))
    return part([Labelled(line, label) for label, side in sides for line in lines(side)], split)


def messages(content, split):
    records = (line.split("\t", 1) for line in lines(content))
    return part([Labelled(text, ("ham", "spam").index(label)) for label, text in records], split)


LABELLED = (
    Corpus(
        name="mr",
        description="5,331 negative and 5,331 positive sentences of film reviews, labelled",
        licence="research use (Pang & Lee 2005)",
        source="https://github.com/yoonkim/CNN_sentence, or rt-polaritydata.tar.gz of the authors",
        splits=OURS,
        texts=polarity,
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
        texts=messages,
        folder="sms-spam",
        url="https://raw.githubusercontent.com/justmarkham/DAT8/master/data/sms.tsv",
        classes=("ham", "spam"),
        **one_file("SMSSpamCollection", "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"),
    ),
)
