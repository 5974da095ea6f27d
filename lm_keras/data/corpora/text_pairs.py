"""Conversations."""

from operator import attrgetter
from pathlib import PurePosixPath

from lm_keras.data.corpus import OURS, Corpus, lines, mended, one_file, parallel_lines, part
from lm_keras.data.records import Dialogue
from lm_keras.errors import InputError

ACTS = ("inform", "question", "directive", "commissive")  # 1 to 4
EMOTIONS = ("no emotion", "anger", "disgust", "fear", "happiness", "sadness", "surprise")  # 0 to 6
_LANGUAGES = {"english": "en", "chinese": "zh", "german": "de", "french": "fr"}


def read_daily(dialogues: str, acts: str, emotions: str, split: str) -> list[Dialogue]:
    """dailydialog: a dialogue a line, its turns ended by __eou__; the number of each act and emotion beside it."""
    return [
        Dialogue(
            turns=tuple(turn.strip() for turn in dialogue.split("__eou__")[:-1]),
            acts=tuple(ACTS[int(act) - 1] for act in act_row.split()),
            emotions=tuple(EMOTIONS[int(emotion)] for emotion in emotion_row.split()),
        )
        for dialogue, act_row, emotion_row in zip(lines(dialogues), lines(acts), lines(emotions), strict=True)
    ]


def read_replies(first: str, second: str, split: str) -> list[Dialogue]:
    """cornell-pairs: a file of lines and a file of their answers."""
    pairs = parallel_lines(mended(first), mended(second))
    return part([Dialogue(pair) for pair in pairs if all(pair)], split, attrgetter("turns"))


def read_conversations(members: dict[str, str], split: str) -> list[Dialogue]:
    """chatterbot-corpus: a YAML file for each language and topic."""
    try:
        import yaml
    except ImportError:
        raise InputError("this set is in YAML, which needs PyYAML: run pip install pyyaml") from None
    # The base loader leaves every turn a str: "No" and "1963" too. That in C is not built everywhere.
    try:
        from yaml import CBaseLoader as Loader
    except ImportError:
        from yaml import BaseLoader as Loader
    return part(
        [
            Dialogue(
                turns=tuple(turn.strip() for turn in turns),
                topic=PurePosixPath(name).stem,
                language=_LANGUAGES[PurePosixPath(name).parent.name],
            )
            for name, content in members.items()
            for turns in yaml.load(content, Loader)["conversations"]
            if isinstance(turns, list)  # one English question stands with its answer in one str
        ],
        split,
        attrgetter("turns"),
    )


DIALOGUES = (
    Corpus(
        name="dailydialog",
        description="2,000 conversations of daily life with the act and the emotion of each turn",
        licence="CC BY-NC-SA 4.0",
        source="http://yanran.li/dailydialog, with these files in https://github.com/HoeYeungHo/DailyDialog",
        why="no address of its six files is known",
        splits=("validation", "test"),
        read=read_daily,
        folder="dailydialog",
        files={
            split: tuple(f"dialogues_{kind}{split}.txt" for kind in ("", "act_", "emotion_"))
            for split in ("validation", "test")
        },
        sha256={
            "dialogues_validation.txt": "2ad64701fe3a4449e7a6ee7cdc6c2a71c80f77b8a34f708ac0532395f499081c",
            "dialogues_act_validation.txt": "fbeee7a1b2927c9cb33d6fdc384bb3ea55abf040928d2de4dcea57ab4a669682",
            "dialogues_emotion_validation.txt": "3d4094299a995e998bbc3492ce1755c9abc1e7f56500c840e83b12dd16580596",
            "dialogues_test.txt": "3c323651cdfb09f7b529f850eddf96a638fc6cc9b43330b77956ab248484a1a8",
            "dialogues_act_test.txt": "566649e92babfa528a77757b161deeee91e9c91fe0db71760063747e132d3f4c",
            "dialogues_emotion_test.txt": "482b7235f91a1441055a09241b2d2709bb1702f4a08d7316c27fa807cba7d3c9",
        },
    ),
    Corpus(
        name="cornell-pairs",
        description="30,000 lines from films, each with its answer",
        licence="none stated; film scripts, for research",
        source="https://github.com/tusharjayanti/TensorflowChatbot, from the Cornell Movie-Dialogs Corpus",
        splits=OURS,
        read=read_replies,
        folder="cornell-pairs",
        files=dict.fromkeys(OURS, ("test.enc", "test.dec")),
        sha256={
            "test.enc": "e7099723e42bbd3d095048072f65981b03b3427ca90752e46ed9156bbf78c1ad",
            "test.dec": "07dffaac6b065c2cc5adf7f9d77ecb33cea8c20b82477d140b1f9e6fa5c01519",
        },
        url="https://raw.githubusercontent.com/tusharjayanti/TensorflowChatbot/"
        "864eedbb8770a521be1f3ba4ac6a0886b9c8a7fd/data/",
    ),
    Corpus(
        name="chatterbot-corpus",
        description="short conversations by topic: 2,025 English, 467 Chinese, 113 German, 89 French",
        licence="BSD 3-Clause",
        source="https://github.com/gunthercox/chatterbot-corpus",
        why="its archive was packed anew, of four of the languages, and no download is equal to it",
        read=read_conversations,
        folder="chatterbot-corpus",
        **one_file(
            "chatterbot_corpus_en_zh_fr_de.tar.gz",
            "8f39b16978ff147ca0dee200dce69a2b30bb684e746a375abc0649bf50889ec4",
        ),
    ),
)
