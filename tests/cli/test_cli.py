"""`lm-keras`: what it does, and that bad input costs one line and nothing else."""

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lm_keras as lk
from lm_keras.cli.parser import main, parser
from lm_keras.utils.atomic_files import claimed, read_json, write_json

PROGRAM = [sys.executable, "-m", "lm_keras"]
SMALL = [
    *("--embedding-dim", "8", "--hidden-dim", "16", "--length", "10"),
    *("--batch-size", "8", "--epochs", "1", "--vocab-size", "400"),
]
CHINESE = "今天天气很好，我们去公园散步。\n语言模型可以预测下一个词。\n"


def train(data, out, *more, tokenizer="word"):
    return [
        "train",
        "--model",
        "lstm",
        "--tokenizer",
        tokenizer,
        "--data",
        str(data),
        "--out",
        str(out),
        *SMALL,
        *more,
    ]


def contents(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else None for p in Path(folder).rglob("*")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of texts, good and bad, with a trained run in it."""
    place = tmp_path_factory.mktemp("cli")
    text = "\n".join(lk.data.load("lee-news")[:12])
    (place / "news.txt").write_text(text, encoding="utf-8")
    with gzip.open(place / "news.txt.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    (place / "chinese.txt").write_text(CHINESE * 30, encoding="utf-8")
    (place / "empty.txt").write_text("")
    (place / "short.txt").write_text("one two three")
    (place / "latin.txt").write_bytes("é ü\n".encode("latin-1") * 50)
    (place / "wide.txt").write_text(text, encoding="utf-16")
    (place / "table.jsonl").write_text('{"text": "a", "label": "b"}')
    (place / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (place / "textless").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(train("news.txt", "run")) == 0
    return place


def terminal():
    """The environment of a program that is started in a terminal: other tests may have set TensorFlow's log level."""
    return {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


@pytest.fixture(scope="module", autouse=True)
def too_large(place, tmp_path_factory):
    """A training that has no memory, begun before all tests: TensorFlow waits ten seconds for some."""
    folder = tmp_path_factory.mktemp("too_large")
    shutil.copy(place / "news.txt", folder)
    command = [*PROGRAM, *train("news.txt", "new", "--embedding-dim", "2000000000")]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, cwd=folder, env=terminal()) as process:
        yield process, folder
        process.kill()


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)


def output(capsys, *arguments):
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 0
    return capsys.readouterr().out


# === What it does ===
def test_evaluate_score_and_generate_print_what_the_library_gives(capsys, loaded_once):
    language_model = lk.LanguageModel.load("run")
    result = json.loads(output(capsys, "evaluate", "run", "--data", "news.txt", "--json"))
    again = json.loads(output(capsys, "evaluate", "run", "--data", "news.txt.gz", "--json"))
    assert result == again
    assert {"loss", "perplexity", "bits_per_byte", "tokens"} <= result.keys()
    windows = lk.data.lm_windows("news.txt", language_model.tokenizer, 10, 8, shuffle=False)
    assert result == pytest.approx(lk.evaluate(language_model.model, windows))
    assert "perplexity" in output(capsys, "evaluate", "run", "--data", "news.txt")

    wide = ("--data", "wide.txt", "--encoding", "utf-16", "--json")
    assert output(capsys, "evaluate", "run", *wide) == output(
        capsys, "evaluate", "run", "--data", "news.txt", "--json"
    )
    scored = json.loads(output(capsys, "score", "run", "--text", "The fire", "--json"))
    assert scored == pytest.approx(language_model.score(["The fire"])[0]._asdict())
    assert json.loads(output(capsys, "score", "run", "--text", "", "--json"))["bits_per_byte"] is None

    command = ["generate", "run", "--prompt", "The fire", "--max-new-tokens", 12, "--seed", 4]
    expected = "The fire" + language_model.generate("The fire", max_new_tokens=12, seed=4)[0].text + "\n"
    assert output(capsys, *command) == output(capsys, *command, "--stream") == expected
    greedy = output(capsys, *command, "--temperature", 0, "--stream")
    beams = output(capsys, *command, "--num-beams", 3)
    assert beams == "The fire" + language_model.generate("The fire", max_new_tokens=12, num_beams=3)[0].text + "\n"
    assert greedy == "The fire" + language_model.generate("The fire", max_new_tokens=12, temperature=0)[0].text + "\n"


def test_char_model_of_chinese_text_from_gzip_to_a_checked_export(
    place, capsys, loaded_once, warm_server, monkeypatch
):
    monkeypatch.setattr(sys, "executable", warm_server)  # as warm_check does for whole files
    with gzip.open("chinese.txt.gz", "wt", encoding="utf-8") as file:
        file.write(CHINESE * 30)
    arguments = train("chinese.txt.gz", "zh", "--language", "zh", "--valid", "chinese.txt", tokenizer="char")
    assert "validation perplexity" in output(capsys, *arguments)
    assert json.loads(output(capsys, "evaluate", "zh", "--data", "chinese.txt", "--json"))["tokens"] > 800
    assert output(capsys, "generate", "zh", "--prompt", "今天", "--max-new-tokens", 5).startswith("今天")
    options = ("--licence", "CC0-1.0", "--num-beams", 2, "--quantize", "int8")
    assert output(capsys, "export", "zh", "saved/zh", *options) == "saved/zh/1\n"
    card = json.loads(Path("saved/zh/1/assets.extra/model_card.json").read_text())
    assert (card["licence"], card["num_beams"], card["training_data"]["data"]) == ("CC0-1.0", 2, "chinese.txt.gz")
    assert card["metrics"]["validation"]["perplexity"] > 1 and card["quantization"] == ["Int8QuantizationConfig"]
    assert output(capsys, "check", "saved/zh/1") == "saved/zh/1: ready to serve\n"
    before = contents("saved")
    assert main(["export", "zh", "saved/zh/1"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert contents("saved") == before

    (place / "saved/zh/1/assets.extra/tf_serving_warmup_requests").write_bytes(b"")
    assert main(["check", "saved/zh/1"]) == 1
    assert capsys.readouterr().out == "the warm-up file holds no request\n"


def test_data_list_names_the_known_sets(capsys):
    lines = output(capsys, "data", "list").splitlines()
    assert [line.split()[0] for line in lines] == list(lk.data.available())


def test_resume_of_a_finished_run_changes_nothing_but_may_add_epochs(capsys):
    shutil.copytree("run", "more")
    weights = Path("more/model.safetensors").read_bytes()
    settings = json.loads(Path("more/run.json").read_text())
    del settings["accumulate_steps"], settings["encoding"]  # as a run of a version without those options
    Path("more/run.json").write_text(json.dumps(settings))
    output(capsys, *train("news.txt", "more", "--resume"))
    assert Path("more/model.safetensors").read_bytes() == weights
    output(capsys, *train("news.txt", "more", "--resume", "--epochs", "2"))
    assert Path("more/model.safetensors").read_bytes() != weights
    assert len(Path("more/metrics.csv").read_text().splitlines()) >= 2


# === Bad input ===
BAD = {
    "missing file": (train("none.txt", "new"), "none.txt"),
    "empty file": (train("empty.txt", "new"), "no text"),
    "Latin-1": (train("latin.txt", "new"), "not UTF-8 at byte 0"),
    "UTF-16": (train("wide.txt", "new"), 'give encoding="utf-16" (--encoding utf-16 on the command line)'),
    "unknown encoding": (train("news.txt", "new", "--encoding", "utf-99"), "encoding 'utf-99' is not known"),
    "wrong encoding": (train("latin.txt", "new", "--encoding", "ascii"), "not ASCII at byte 0"),
    "resume in another encoding": (train("news.txt", "run", "--resume", "--encoding", "latin-1"), "not latin-1"),
    "user dictionary of characters": (
        train("news.txt", "new", "--user-dict", "x", tokenizer="char"),
        "--user-dict is for",
    ),
    "user dictionary of English": (train("news.txt", "new", "--user-dict", "news.txt"), "for language 'zh'"),
    "no user dictionary": (
        train("news.txt", "new", "--language", "zh", "--user-dict", "none"),
        "none: cannot be read",
    ),
    "table": (
        train("table.jsonl", "new"),
        "a table of records, no running text; read texts and labels by lk.data.read_l",
    ),
    "a picture": (train("picture.png", "new"), "not a text file"),
    "no text in a folder": (train("textless", "new"), "no text files"),
    "unknown set": (train("tinyshake", "new"), "neither a file nor a known set"),
    "set of records": (train("wordsim353", "new"), "wordsim353 holds WordPair records, no running text"),
    "too short": (train("short.txt", "new"), "fewer than one window"),
    "empty validation": (train("news.txt", "new", "--valid", "empty.txt"), "empty.txt"),
    "recomputing without blocks": (train("news.txt", "new", "--recompute"), "no two transformer blocks"),
    "unknown model": (train("news.txt", "new", "--model", "xlnet"), "xlnet"),
    "vocabulary of 1": (train("news.txt", "new", "--vocab-size", "1"), "--vocab-size"),
    "length 0": (train("news.txt", "new", "--length", "0"), "--length"),
    "longer than the text": (train("news.txt", "new", "--length", "1000000"), "length=1000000"),
    "more rows than words": (train("news.txt", "new", "--contiguous", "--batch-size", "99999"), "batch_size"),
    "no number": (train("news.txt", "new", "--learning-rate", "fast"), "'fast'"),
    "infinite rate": (train("news.txt", "new", "--learning-rate", "inf"), "'inf'"),
    "negative seed": (train("news.txt", "new", "--seed", "-1"), "--seed"),
    "huge seed": (train("news.txt", "new", "--seed", str(2**32)), "--seed"),
    "unknown language": (train("news.txt", "new", "--language", "klingon"), "klingon"),
    "small char vocabulary": (train("news.txt", "new", "--vocab-size", "100", tokenizer="char"), "100"),
    "folder of another run": (train("news.txt", "run"), "not empty"),
    "a file as folder": (train("news.txt", "news.txt.gz"), "is a file"),
    "folder that cannot be made": (train("news.txt", "/proc/none/run"), "/proc/none"),
    "resume with other sizes": (
        train("news.txt", "run", "--resume", "--hidden-dim", "17"),
        "16, not 17",
    ),
    "resume of no run": (train("news.txt", "textless/..", "--resume"), "no run"),
    "evaluate nothing": (["evaluate", "none", "--data", "news.txt"], "none is not a folder"),
    "evaluate no run": (["evaluate", "textless", "--data", "news.txt"], "no config.json"),
    "evaluate on nothing": (["evaluate", "run", "--data", "empty.txt"], "no text"),
    "score of no run": (["score", "textless", "--text", "x"], "no config.json"),
    "temperature below 0": (["generate", "run", "--prompt", "x", "--temperature", "-1"], "--temperature"),
    "top-p above 1": (["generate", "run", "--prompt", "x", "--top-p", "1.5"], "at most 1"),
    "huge top-k": (["generate", "run", "--prompt", "x", "--top-k", "99999999999"], "--top-k"),
    "huge generation seed": (["generate", "run", "--prompt", "x", "--seed", "9" * 30], "--seed"),
    "empty stop": (["generate", "run", "--prompt", "x", "--stop", ""], "stop string is"),
    "empty stop, streaming": (["generate", "run", "--prompt", "x", "--stop", "", "--stream"], "stop string is"),
    "export of no run": (["export", "textless", "saved/x"], "no config.json"),
    "export below a file": (["export", "run", "news.txt/name"], "is a file"),
    "export where nothing can be": (["export", "run", "/proc/none/name"], "/proc/none"),
    "check of no export": (["check", "textless"], "version folder"),
    "check of nothing": (["check", "none"], "version folder"),
    "unknown data set": (["data", "fetch", "nothing"], "nothing"),
    "no command": ([], "COMMAND"),
    "unknown command": (["trane"], "trane"),
}


def refused(arguments, capsys):
    """The one line on stderr; nothing in the folder may change."""
    before = contents(".")
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    assert code == 2
    assert contents(".") == before
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("lm-keras") and "Traceback" not in line
    return line


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_harms_nothing(case, capsys):
    arguments, words = BAD[case]
    assert words in refused(arguments, capsys)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_run_is_refused(name, tmp_path, capsys):
    run = shutil.copytree("run", tmp_path / "run")
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 2])
    for command in (["evaluate", str(run), "--data", "news.txt"], ["export", str(run), str(tmp_path / "saved")]):
        assert name in refused(command, capsys)
    (run / name).unlink()
    assert name in refused(["score", str(run), "--text", "x"], capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_weights_of_another_model_are_refused(tmp_path, capsys):
    run = shutil.copytree("run", tmp_path / "run")
    config = read_json(run / "config.json")
    config["arguments"]["hidden_dim"] = 8
    write_json(run / "config.json", config)
    assert "model.safetensors does not hold" in refused(["score", str(run), "--text", "x"], capsys)


def test_a_damaged_checkpoint_is_not_resumed(tmp_path, capsys):
    run = shutil.copytree("run", tmp_path / "run")
    content = (run / "checkpoint.safetensors").read_bytes()
    (run / "checkpoint.safetensors").write_bytes(content[: len(content) // 2])
    before = contents(run)
    assert main(train("news.txt", run, "--resume", "--epochs", "2")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "checkpoint.safetensors is damaged" in line
    assert contents(run) == before


# === As a program ===


def run(*arguments, **options):
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=terminal(), **options)


def test_tensorflow_adds_no_line_when_memory_is_too_small(too_large):
    process, folder = too_large
    printed, errors = process.communicate(timeout=120)
    assert (process.returncode, printed, len(errors.splitlines())) == (2, "", 1)
    assert "memory" in errors
    assert [path.name for path in folder.iterdir()] == ["news.txt"]


def test_tensorflow_adds_no_line_to_the_error_of_a_cut_file(tmp_path):
    folder = shutil.copytree("run", tmp_path / "run")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    done = run("evaluate", folder, "--data", "news.txt")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "model.safetensors is damaged" in done.stderr


def wait_until_free(folder):
    """A warm Python is killed a moment after its client."""
    for _ in range(1000):
        with contextlib.suppress(lk.InputError), claimed(folder):
            return
        time.sleep(0.01)


def test_a_killed_training_is_refused_and_then_resumed(place, capsys, warm_python):
    """Killed, a run is not complete: the other commands say so, and --resume ends it."""
    command = train("news.txt", "killed", "--checkpoint-steps", "1", "--epochs", "3")
    program = [warm_python, *PROGRAM[1:], *command]
    child = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and not Path("killed/checkpoint.safetensors").exists():
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not Path("killed/model.safetensors").exists(), "it ended before it was killed"
    wait_until_free("killed")
    for arguments in (["evaluate", "killed", "--data", "news.txt"], ["export", "killed", "saved/killed"]):
        assert "--resume" in refused(arguments, capsys)
    assert "--resume" in refused(command, capsys)
    output(capsys, *command, "--resume")
    assert "\n" in output(capsys, "generate", "killed", "--prompt", "The", "--max-new-tokens", 2)


def test_ctrl_c_and_a_closed_pipe_end_quietly(warm_python):
    generate = ["generate", "run", "--prompt", "The\n", "--max-new-tokens", "100000", "--temperature", "0"]
    program = [warm_python, *PROGRAM[1:], *generate, "--stream"]
    piped = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert piped.stdout.readline() == b"The\n"
    piped.stdout.close()  # what `| head -1` does
    assert piped.stderr.read() == b"" and piped.wait(60) == 1

    listed = subprocess.Popen([*PROGRAM, "data", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    listed.stdout.close()
    assert listed.stderr.read() == b"" and listed.wait(60) == 1

    stopped = subprocess.Popen([*PROGRAM, *generate, "--stream"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert stopped.stdout.readline() == b"The\n"
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait(60) == 130
    assert stopped.stderr.read().decode().splitlines() == ["lm-keras: interrupted"]


def test_a_prompt_that_is_no_text_is_printed_with_a_mark(capsys):
    not_text = os.fsdecode(b"a\xff")  # as it comes from the command line
    assert output(capsys, "generate", "run", "--prompt", not_text, "--max-new-tokens", 0) == "a?\n"


def test_help_needs_no_tensorflow():
    commands = ["train", "evaluate", "score", "generate", "export", "check", "data"]
    script = (
        "import contextlib, io, sys\nfrom lm_keras.cli.parser import main\n"
        f"for command in [[], *([c] for c in {commands})]:\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as text:\n"
        "        try: main([*command, '--help'])\n"
        "        except SystemExit as end: assert end.code == 0\n"
        "    assert 'usage: lm-keras' in text.getvalue()\n"
        "print(sorted(m for m in ('tensorflow', 'keras', 'numpy', 'nltk', 'gensim') if m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert all(command in parser().format_help() for command in commands)


@pytest.mark.parametrize("size", [5_000, 66_000, 100_000, 202_187])
def test_a_character_model_validates_on_a_tenth_of_a_small_file(place, size):
    from lm_keras.cli import parser as cli
    from lm_keras.cli import train as train_command

    text = ("a line of text that has no end mark of its own\n" * 5000)[:size]
    (place / "small.txt").write_text(text, encoding="utf-8")
    options = ["train", "--model", "lstm", "--tokenizer", "char", "--data", "small.txt", "--out", "run"]
    train, valid = train_command._training_texts(cli.parser().parse_args(options), "char")
    assert "".join(train) + "".join(valid) == text
    assert len("".join(valid)) == pytest.approx(size / 10, rel=0.1)
