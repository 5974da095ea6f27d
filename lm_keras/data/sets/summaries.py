"""Documents with their summaries."""

import re

from lm_keras.data.corpus import Corpus, json_lines, one_file
from lm_keras.data.records import Summary


def read_dialogue_summaries(content: str, split: str) -> list[Summary]:
    """dialogsum: a JSON object a line; three summaries of each dialogue in the test part, else one."""
    numbers = ("1", "2", "3") if split == "test" else ("",)
    return [
        Summary(
            document=row["dialogue"],
            summaries=tuple(row[f"summary{number}"] for number in numbers),
            topics=tuple(row[f"topic{number}"] for number in numbers),
            id=row["fname"],
        )
        for row in json_lines(content)
    ]


_HEADLINE = re.compile(
    r"<doc id=(\d+)>\s*<human_label>(\d)</human_label>"
    r"\s*<summary>\s*(.*?)\s*</summary>\s*<short_text>\s*(.*?)\s*</short_text>\s*</doc>",
    re.DOTALL,
)


def read_headlines(content: str, split: str) -> list[Summary]:
    """lcsts-part3: <doc> elements, which are no XML."""
    return [
        Summary(document, (headline,), score=int(score), id=number)
        for number, score, headline, document in _HEADLINE.findall(content)
    ]


SUMMARIES = (
    Corpus(
        name="dialogsum",
        description="1,000 conversations with summaries, three of each in the test part",
        licence="CC BY-NC-SA 4.0",
        source="https://github.com/cylnlp/dialogsum (DialogSum_Data)",
        why="no address of this version of its files is known",
        splits=("validation", "test"),
        read=read_dialogue_summaries,
        folder="dialogsum",
        files={"validation": "dialogsum.dev.jsonl", "test": "dialogsum.test.jsonl"},
        sha256={
            "dialogsum.dev.jsonl": "436721e0a3571eef7072964f80e042fb151d8c6178db1a688ce8f803bbf0a13f",
            "dialogsum.test.jsonl": "6de36eca7e7b9b10975fd5ea3f47391df172d8b3c15d03d84d763cbaab015fda",
        },
    ),
    Corpus(
        name="lcsts-part3",
        description="1,106 Chinese messages with a headline and how well it fits, 1 to 5; papers test on 3 and more",
        licence="HIT gives LCSTS to those who apply, not to be redistributed; for evaluation",
        source="the Harbin Institute of Technology, Shenzhen (Hu, Chen & Zhu 2015)",
        read=read_headlines,
        folder="lcsts-part3",
        **one_file(
            "PART_III.txt", "966f1c2bc046303256af2cf32a40ea091a3be4a52063510d4846e7cca9090efa", splits=("test",)
        ),
    ),
)
