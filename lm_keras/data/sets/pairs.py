"""Sentences in several languages, and what a speech recognizer heard beside what was said."""

from lm_keras.data.corpus import Corpus, json_lines, parallel_lines
from lm_keras.data.records import Hypotheses, Translation


def read_translations(english: str, german: str, french: str, split: str) -> list[Translation]:
    """multi30k: a file for each language, a sentence a line."""
    return [Translation(*row) for row in parallel_lines(english, german, french)]


def read_hypotheses(content: str, split: str) -> list[Hypotheses]:
    """hyporadise-nbest: a JSON object a line."""
    return [
        Hypotheses(row["ref"], tuple(row["hyps"]), tuple(row.get("am_score", ())), row.get("id", ""))
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
)
