"""Sets of texts that belong together: turns of talk, translations, guesses of a speech recognizer, summaries."""

import re
from operator import attrgetter
from pathlib import PurePosixPath

from lm_keras.data.corpora.corpus import OURS, Corpus, json_lines, lines, mended, one_file, parallel_lines, part
from lm_keras.data.corpora.records import Dialogue, Hypotheses, Summary, TextPair, Translation
from lm_keras.errors import InputError

# === Conversations ===

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


# === Sentences in several languages; what a speech recognizer heard, and what was said ===


def read_translations(english: str, german: str, french: str, split: str) -> list[Translation]:
    """multi30k: a file for each language, a sentence a line."""
    return [Translation(*row) for row in parallel_lines(english, german, french)]


def read_sentence_pairs(content: str, split: str) -> list[TextPair]:
    """tatoeba-cmn: an English and a Chinese sentence a line, with a TAB between them; each pair once."""
    rows = (line.split("\t") for line in lines(content))
    found = dict.fromkeys(TextPair(row[0].strip(), row[1].strip()) for row in rows if len(row) > 1)
    return part([pair for pair in found if all(pair)], split, attrgetter("source"))


def read_hypotheses(content: str, split: str) -> list[Hypotheses]:
    """hyporadise-nbest: a JSON object a line."""
    return [
        Hypotheses(row["ref"], tuple(row["hyps"]), tuple(row.get("am_score", ())), row.get("id", ""))
        for row in json_lines(content)
    ]


def read_spoken(content: str, split: str) -> list[Hypotheses]:
    """spoken-nbest: the same with the names of `lk.data.read_hypotheses`."""
    return [
        Hypotheses(row["reference"], tuple(row["hypotheses"]), tuple(row["scores"]), row["id"])
        for row in json_lines(content)
    ]


_PARTS = {"train": "train", "validation": "val", "test": "test_2016_flickr", "test-2017": "test_2017_flickr"}

PAIRS = (
    Corpus(
        name="multi30k",
        description="captions of 32,014 pictures in English, German and French",
        licence="CC BY-NC-SA 4.0",
        source="https://github.com/multi30k/dataset",
        splits=tuple(_PARTS),
        read=read_translations,
        folder="multi30k",
        files={
            split: tuple(f"{part}.{language}.gz" for language in ("en", "de", "fr")) for split, part in _PARTS.items()
        },
        sha256={
            "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
            "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
            "train.fr.gz": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
            "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
            "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
            "val.fr.gz": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
            "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
            "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
            "test_2016_flickr.fr.gz": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
            "test_2017_flickr.en.gz": "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
            "test_2017_flickr.de.gz": "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee",
            "test_2017_flickr.fr.gz": "3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496",
        },
        url="https://raw.githubusercontent.com/multi30k/dataset/c9be912dc05a3ebf9ae5bb5f7f58c1791cda43ab/data/task1/raw/",
    ),
    Corpus(
        name="tatoeba-cmn",
        description="20,000 short English sentences with their Chinese translations",
        licence="CC BY 2.0 FR, as Tatoeba states; the copy states none",
        source="https://github.com/pjgao/seq2seq_keras (data/cmn.txt), from https://tatoeba.org",
        why="no fixed address of this copy is known",
        read=read_sentence_pairs,
        folder="tatoeba-cmn",
        **one_file("cmn.txt", "74bd3c04dfe0ec75aaaf165597b2a83c6a733d34f46b184fc21ca6b552c268d3"),
    ),
    Corpus(
        name="hyporadise-nbest",
        description="the five best guesses of a speech recognizer: ATIS with scores, LibriSpeech test-clean without",
        licence="MIT for the guesses; the words of ATIS are the LDC's, not to be redistributed; for evaluation",
        source="https://github.com/rithiksachdev/PostASR-Correction-SLT2024 (HyPoradise-v0)",
        why="converted from the released JSON to a line of JSON each: hyps, ref, id, am_score",
        splits=("train", "test", "test-ls-clean"),
        read=read_hypotheses,
        folder="hyporadise-nbest",
        files={"train": "train_atis.jsonl", "test": "test_atis.jsonl", "test-ls-clean": "test_ls_clean.jsonl"},
        sha256={
            "train_atis.jsonl": "4f7cc9039634902940008d56a9eaedf024af7df51b06087162629f85564059e5",
            "test_atis.jsonl": "1d4a8d4a89248adcadff89d527d04f158b3a989c9d5f44ad2aba6d97abe4050c",
            "test_ls_clean.jsonl": "c995f0b70f27ef78b67fe78cc29dea8fc10e7f1c5ca9676efad7ceffbf0d4051",
        },
    ),
    Corpus(
        name="spoken-nbest",
        description="200 sentences of Sherlock Holmes, spoken by a program, and Whisper tiny.en's guesses; embedded",
        licence="Apache-2.0; the text is in the public domain",
        source="lm_keras, made by tools/spoken_nbest.py",
        splits=("test",),
        read=read_spoken,
        embedded="lm_keras/data/corpora/spoken_nbest.jsonl",
    ),
)


# === Documents with their summaries ===


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


def read_abstracts(content: str, split: str) -> list[Summary]:
    """scitldr: a JSON object a line, with the sentences of the abstract; several summaries in the later parts."""
    found = []
    for row in json_lines(content):
        sentences = tuple(" ".join(sentence.split()) for sentence in row["source"])
        found.append(
            Summary(
                document=" ".join(sentences),
                summaries=tuple(row["target"]),
                id=row["paper_id"],
                sentences=sentences,
                oracle=tuple(i for i, label in enumerate(row["source_labels"]) if label),
            )
        )
    return found


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
        name="scitldr",
        description="abstracts of 3,229 papers of machine learning, in sentences, with summaries of one sentence",
        licence="Apache-2.0",
        source="https://github.com/allenai/scitldr (SciTLDR-A)",
        splits=("train", "validation", "test"),
        read=read_abstracts,
        folder="scitldr",
        files={"train": "train.jsonl", "validation": "dev.jsonl", "test": "test.jsonl"},
        sha256={
            "train.jsonl": "b222771d387be585cfdf5ae957b36757138415a352e0a3e3b23f73f87c3b1119",
            "dev.jsonl": "3191fa98ccc09521332b7a1cd63b1930be4e8df125a235ccd31e40329709525e",
            "test.jsonl": "fb42dd6cd4f4a1928ae8a01a189456fbfe994a07e938bd49f68653933f6503c9",
        },
        why="no address of this version of its files is known",
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
