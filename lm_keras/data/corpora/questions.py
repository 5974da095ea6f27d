"""Questions with their answers: in a paragraph, after a story, or on their own."""

import json
import re

from lm_keras.data.corpora.corpus import OURS, Corpus, lines, mended, one_file, part
from lm_keras.data.corpora.records import QuestionAnswer, ReferenceAnswer


def read_squad(content: str, split: str) -> list[QuestionAnswer]:
    """The JSON of SQuAD, 1.1 and 2.0; what 2.0 calls plausible answers is not read."""
    return [
        QuestionAnswer(
            context=paragraph["context"],
            question=asked["question"].strip(),
            answers=tuple(ReferenceAnswer(answer["text"], answer["answer_start"]) for answer in asked["answers"]),
            is_impossible=asked.get("is_impossible", False),
            title=article["title"].replace("_", " "),
            id=asked["id"],
        )
        for article in json.loads(content)["data"]
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]


def read_articles(first: str, second: str, third: str, split: str) -> list[QuestionAnswer]:
    """cmu-qa: title TAB question TAB answer TAB ..., a file for each of three years."""
    answers = {}  # several people answered most questions, each in a row of its own
    for content in (first, second, third):
        # One row of 2008 is broken in two after its answer.
        for row in mended(content).replace("\n\\n\t", "\t").split("\n")[1:]:
            title, question, answer = [*row.split("\t"), "", "", ""][:3]
            if answer.strip() not in ("", "NULL"):
                answers.setdefault((title, question.strip()), []).append(ReferenceAnswer(answer.strip()))
    return part(
        [
            QuestionAnswer("", question, tuple(given), title=title.replace("_", " "))
            for (title, question), given in answers.items()
        ],
        split,
    )


def read_stories(members: dict[str, str], split: str) -> list[QuestionAnswer]:
    """babi: a file for each task; numbered lines, a question with its answer behind a tab."""
    pattern = re.compile(rf".*/(qa(\d+)_.*)_{split.partition('-')[0]}\.txt")
    tasks = sorted((int(found[2]), found[1], name) for name in members if (found := pattern.fullmatch(name)))
    return [record for _, task, name in tasks for record in _story(members[name], task)]


def _story(content, task):
    """Each question with the facts told before it; a story starts where the numbers of the lines do."""
    facts, places = [], {}
    for line in lines(content):
        number, text = line.split(" ", 1)
        if number == "1":
            facts, places = [], {}
        question, *rest = re.split(r"[\t|]", text)  # a few files have "|" for the tab
        if not rest:
            places[number] = len(facts)
            facts.append(text)
            continue
        answer, supporting = rest
        yield QuestionAnswer(
            context="\n".join(facts),
            question=question.strip(),
            answers=(ReferenceAnswer(answer),),
            title=task,
            supporting=tuple(places[number] for number in supporting.split()),
        )


QUESTIONS = (
    Corpus(
        name="squad2-cs224n-dev",
        description="6,078 questions on Wikipedia, 2,910 with an answer in the paragraph: half of SQuAD 2.0's dev",
        licence="CC BY-SA 4.0",
        source="https://github.com/chrischute/squad",
        read=read_squad,
        folder="squad2-cs224n-dev",
        url="https://raw.githubusercontent.com/chrischute/squad/4f2fd9fcd60b21e1f5fb32ac70dc50f867705de0/"
        "data/dev-v2.0.json",
        **one_file(
            "dev-v2.0.json",
            "e67e5969b6dc6c1642154740806b79263b77fc048c7c11ee60d534eb48ef81e8",
            splits=("validation",),
        ),
    ),
    Corpus(
        name="xquad",
        description="1,190 questions of SQuAD 1.1's dev with paragraphs and answers, in English and in Chinese",
        licence="CC BY-SA 4.0",
        source="https://github.com/google-deepmind/xquad",
        splits=("en", "zh"),
        read=read_squad,
        folder="xquad",
        files={"en": "xquad.en.json", "zh": "xquad.zh.json"},
        sha256={
            "xquad.en.json": "e4c57d1c9143aaa1c5d265ba5987a65f4e69528d2a98f29d6e75019b10344f29",
            "xquad.zh.json": "691d0b3359bc6b8faa8de931dfdfe21d50a65861ae348e32a0d1a0190b0c8835",
        },
        url="https://raw.githubusercontent.com/google-deepmind/xquad/master/",
    ),
    Corpus(
        name="cmu-qa",
        description="questions on Wikipedia articles with answers in words, without the articles",
        licence="CC BY-SA 3.0 and GFDL",
        source="http://www.cs.cmu.edu/~ark/QA-data (Question_Answer_Dataset_v1.2), with these files in"
        " https://github.com/lovefunCode/NLP",
        why="no address of its three files is known",
        splits=OURS,
        read=read_articles,
        folder="cmu-qa",
        files=dict.fromkeys(OURS, tuple(f"S{year}_question_answer_pairs.txt" for year in ("08", "09", "10"))),
        sha256={
            "S08_question_answer_pairs.txt": "f68d1c28e67d4fdc5f5d2b095035ec1302bc9653222243ca48f8ab87f74f9284",
            "S09_question_answer_pairs.txt": "9eb16c1f3640cabccdd1ce15f6d696a5ebb74f25a8fbf58f7ea1a349eaca404f",
            "S10_question_answer_pairs.txt": "d78a406286e786de492aafee905711bf6f51497332d79b181ef8c16bbf7b0048",
        },
    ),
    Corpus(
        name="babi",
        description="bAbI 1.2: 20 tasks of reasoning with 1,000 questions to train and to test, five with 10,000",
        licence="CC BY 3.0",
        source="https://research.facebook.com/downloads/babi (tasks_1-20_v1-2)",
        why="its two archives were packed anew, of the tasks in English, and no download is equal to them",
        splits=("train", "test", "train-10k"),
        read=read_stories,
        folder="babi",
        files={
            "train": "babi_en_1k.tar.xz",
            "test": "babi_en_1k.tar.xz",
            "train-10k": "babi_en-10k_qa1_2_6_15_20.tar.xz",
        },
        sha256={
            "babi_en_1k.tar.xz": "27fb94e56d8975c88fdb89e22b0cf1c215546ea9d045e5820dfdbac3b41ed86e",
            "babi_en-10k_qa1_2_6_15_20.tar.xz": "02a0f497406347edd947d505219bb1ee55c1e485ac7e3a3996f970f0fb6511c9",
        },
    ),
)
