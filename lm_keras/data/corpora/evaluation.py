"""Sets that show what a language model knows: choices between answers, minimal pairs, last words."""

from lm_keras.data.corpora.corpus import Corpus, json_lines, lines, one_file
from lm_keras.data.corpora.records import MinimalPair, MultipleChoice


def read_solutions(items: str, labels: str, split: str) -> list[MultipleChoice]:
    """piqa: a goal with two ways to reach it a line; the place of the right one in a file beside it."""
    return [
        MultipleChoice(item["goal"], (item["sol1"], item["sol2"]), int(label))
        for item, label in zip(json_lines(items), lines(labels), strict=True)
    ]


def read_passages(content: str, split: str) -> list[str]:
    """lambada: a passage a line."""
    return [item["text"] for item in json_lines(content)]


def read_minimal_pairs(members: dict[str, str], split: str) -> list[MinimalPair]:
    """blimp: a file for each set of pairs, beside what an operating system left."""
    names = sorted(name for name in members if name.startswith("data/") and name.endswith(".jsonl"))
    return [
        MinimalPair(
            item["sentence_good"],
            item["sentence_bad"],
            set=item["UID"],
            field=item["field"],
            phenomenon=item["linguistics_term"],
        )
        for name in names
        for item in json_lines(members[name])
    ]


EVALUATION = (
    Corpus(
        name="piqa",
        description="1,838 goals of everyday life, each with two ways to reach it, one of which works",
        licence="AFL 3.0, by its data card; its repository states none",
        source="https://yonatanbisk.com/piqa (Bisk et al. 2020), in https://github.com/ybisk/ybisk.github.io",
        url="https://raw.githubusercontent.com/ybisk/ybisk.github.io/master/piqa/data/",
        splits=("validation",),
        read=read_solutions,
        folder="piqa",
        files={"validation": ("valid.jsonl", "valid-labels.lst")},
        sha256={
            "valid.jsonl": "93503cc97c679e459b065c3d13e848282e44b2a25213985bed3e5d458abef72d",
            "valid-labels.lst": "b4192dc3a2a0363d9d60ccf79800cbbe2f32ebb17726efdde6970e0b8131bceb",
        },
    ),
    Corpus(
        name="lambada",
        description="5,153 passages whose last word follows from all of them, as OpenAI wrote them anew",
        licence="CC BY 4.0",
        source="https://zenodo.org/records/2630551 (Paperno et al. 2016), in https://github.com/cybertronai/bflm",
        url="https://raw.githubusercontent.com/cybertronai/bflm/master/lambada_test.jsonl",
        read=read_passages,
        folder="lambada",
        **one_file(
            "lambada_test.jsonl",
            "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226",
            splits=("test",),
        ),
    ),
    Corpus(
        name="blimp",
        description="67 sets of 1,000 minimal pairs: a sentence of English and one that breaks a rule of its grammar",
        licence="CC BY 4.0",
        source="https://github.com/alexwarstadt/blimp (Warstadt et al. 2020)",
        url="https://raw.githubusercontent.com/alexwarstadt/blimp/master/BLiMP.zip",
        read=read_minimal_pairs,
        folder="blimp",
        **one_file("BLiMP.zip", "172a1a714d72e72a89e8384dd531483f3d0f8a9aee3d33dccaf7992d8cecbb73", splits=("test",)),
    ),
)
