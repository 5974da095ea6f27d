"""A C program, tests/serving/ask.c, asks an export: no Python, XLA off, TensorFlow's C API alone."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf
from served_requests import sample_inputs

TENSORFLOW = Path(tf.__file__).parent
COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
TYPES = {"string": str, "int32": int, "int64": int, "float32": float, "bool": bool}

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler: cc, gcc or clang"),
    pytest.mark.skipif(
        not all((TENSORFLOW / library).exists() for library in LIBRARIES), reason="TensorFlow is no Linux wheel"
    ),
]

TEXTS = ["The fire is out.", "", "今天天气很好 – naïve", "a\tb\\x41\nc", "The", "a\x00b"]
COUNTS = [12, 3, 0, 5, 40, 7]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "ask"
    linker = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []  # 2 s, where the usual one takes 8
    flags = [
        "-std=c11",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-I",
        TENSORFLOW / "include",
        "-L",
        TENSORFLOW,
        *linker,
    ]
    libraries = [*(f"-l:{library}" for library in LIBRARIES), f"-Wl,-rpath,{TENSORFLOW}"]
    subprocess.run([COMPILER, *flags, Path(__file__).with_name("ask.c"), "-o", path, *libraries], check=True)
    return path


def run(program, *words, lines=""):
    """(exit code, replies, complaints): a reply is {output: rows}."""
    done = subprocess.run(
        [program, *words], input=lines.encode(), capture_output=True, timeout=60, env={"TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    replies = [{}]
    for line in done.stdout.decode().removesuffix("\n").split("\n"):
        if line:
            name, dtype, shape, *values = line.split("\t")
            assert shape == str(len(values))  # all outputs of these signatures are [B]
            replies[-1][name] = [TYPES[dtype](unescaped(value)) for value in values]
        else:
            replies.append({})
    return done.returncode, replies, [s for s in done.stderr.decode().splitlines() if s.startswith("ask: ")]


def request(signature, **inputs):
    fields = [signature, *(f"{name}={escaped(value)}" for name, values in inputs.items() for value in values)]
    return "\t".join(fields) + "\n"


def escaped(value):
    return re.sub(r"[\x00-\x1f\\]", lambda found: f"\\x{ord(found[0]):02x}", str(value))


def unescaped(text):
    return re.sub(r"\\x(..)", lambda found: chr(int(found[1], 16)), text)


SAMPLE = {
    "temperature": [1.0, 0.7, 0.0, 1.3, 1.0, 2.0],
    "top_k": [0, 5, 0, 20, 0, 3],
    "top_p": [1.0, 1.0, 0.9, 0.8, 0.5, 1.0],
    "seed": [0, 1, 2, 3, 2**31 - 1, 5],
}


@pytest.fixture(scope="module")
def replies(program, exported):
    """One run of many requests; those that are wrong are complained about and the next ones answered."""
    language_model, version = exported
    lines = [
        request("score", text=TEXTS),
        request("generate", prompt=TEXTS, max_new_tokens=COUNTS),
        request("translate", text=TEXTS),
        request("generate", max_new_tokens=COUNTS, prompt=TEXTS[:2]),
        request("generate", prompt=["The"], max_new_tokens=["3x"]),
        request("score", text=["The"], language=["en"]),
        request("sample", **sample_inputs(prompt=TEXTS, max_new_tokens=COUNTS, **SAMPLE)),
        *(
            request("generate", prompt=[text], max_new_tokens=[count])
            for text, count in zip(TEXTS, COUNTS, strict=True)
        ),
    ]
    code, answers, complaints = run(program, version, lines="".join(lines))
    assert code == 1 and len(answers) == len(lines) + 1
    return language_model, answers, complaints


def test_score_generate_and_sample_are_the_language_models(replies):
    language_model, (score, generate, _, _, _, _, sample, *_), _ = replies
    expected = language_model.score(TEXTS)
    for name in ("log_prob", "num_tokens", "perplexity"):
        assert score[name] == pytest.approx([getattr(s, name) for s in expected], rel=1e-4)
    rows = list(zip(TEXTS, COUNTS, strict=True))
    greedy = [language_model.generate(text, max_new_tokens=count, temperature=0)[0] for text, count in rows]
    assert generate["completion"] == [made.text for made in greedy]
    assert generate["num_new_tokens"] == [len(made.token_ids) for made in greedy]
    assert generate["log_prob"] == pytest.approx([sum(made.log_probs) for made in greedy], rel=1e-4, abs=1e-5)
    options = [dict(zip(SAMPLE, row, strict=True)) for row in zip(*SAMPLE.values(), strict=True)]
    drawn = [
        language_model.generate(text, max_new_tokens=count, **option)[0]
        for (text, count), option in zip(rows, options, strict=True)
    ]
    assert sample["completion"] == [made.text for made in drawn]
    assert len({*sample["completion"], *generate["completion"]}) > len(TEXTS)  # else equality would say little


def test_a_row_alone_is_answered_as_in_its_batch(replies):
    _, (_, generate, *_), _ = replies
    alone = replies[1][7:-1]
    assert [answer["completion"] for answer in alone] == [[text] for text in generate["completion"]]


def test_each_wrong_request_is_a_line_and_an_empty_reply(replies):
    _, answers, complaints = replies
    assert [i for i, answer in enumerate(answers[:-1]) if not answer] == [2, 3, 4, 5]
    for complaint, word in zip(complaints, ("translate", "values", "3x", "no input"), strict=True):
        assert word in complaint


def test_a_request_as_words_and_what_cannot_be_asked(program, char_model, char_version, tmp_path):
    code, answers, complaints = run(program, char_version, "score", "text=The fire", "text=今天")
    assert (code, complaints) == (0, [])
    expected = [score.log_prob for score in char_model.score(["The fire", "今天"])]
    assert answers[0]["log_prob"] == pytest.approx(expected, rel=1e-4)
    for words, word in (
        ((char_version, "translate", "text=a"), "translate"),
        ((tmp_path, "score", "text=a"), "SavedModel"),
    ):
        code, answers, complaints = run(program, *words)
        assert code == 1 and not any(answers) and len(complaints) == 1 and word in complaints[0]
