"""The recipes of CONTRIBUTING.md do what they say: their code is written where they say, and their commands run."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from paths import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SECTIONS = dict(re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
COPIED = (
    "lm_keras",
    "tests/conftest.py",
    "tests/support",
    "setup.cfg",
    "docs/corpora.md",
    "tests/generation/test_config.py",
    "tests/data/corpora/test_corpora_page.py",
)


def blocks(section: str, language: str) -> list[str]:
    """The code of a section's blocks in one language, in order."""
    return [textwrap.dedent(code) for _, found, code in BLOCK.findall(section) if found == language]


def write(folder: Path, code: str) -> None:
    """Writes one block, whose first line says where.

    `# FILE`, `# FILE, below NAME`, `# FILE, last in NAME` or `# FILE, in the Args of NAME below ARGUMENT`.
    """
    comment, code = code.split("\n", 1)
    path, _, place = comment.removeprefix("# ").partition(", ")
    path = folder / path
    if place.startswith("in the Args of "):
        insert_argument(path, *place.removeprefix("in the Args of ").split(" below "), code)
    elif place:
        insert(path, *re.fullmatch(r"(below|last in) ([\w.]+)", place).groups(), code)
    else:
        assert not path.exists()
        path.write_text(code, encoding="utf-8")


def insert(path: Path, how: str, name: str, code: str) -> None:
    """Puts lines below a function or a field, or after the last element of a tuple."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    node = ast.parse("".join(lines))
    for part in name.split("."):
        (node,) = (child for child in node.body if part == name_of(child))
    if how == "last in":
        node, code = node.value.elts[-1], code.rstrip() + ",\n"
    space = "\n\n" if isinstance(node, ast.FunctionDef) else ""
    lines.insert(node.end_lineno, space + textwrap.indent(code, " " * node.col_offset))
    path.write_text("".join(lines), encoding="utf-8")


def insert_argument(path: Path, name: str, argument: str, code: str) -> None:
    """Puts the line of an argument into the docstring of a class, below that of another one."""
    text = path.read_text(encoding="utf-8")
    before, after = text.split(f"class {name}:\n")
    (line,) = re.findall(rf"^ +{argument}: .*\n", after.split("Args:\n")[1].split("Example:\n")[0], re.MULTILINE)
    space = re.match(" +", line)[0]
    after = after.replace(line, line + textwrap.indent(code, space), 1)
    path.write_text(f"{before}class {name}:\n{after}", encoding="utf-8")


def write_row(path: Path, name: str, row: str) -> None:
    """Puts a row below the row of that name."""
    before = re.search(rf"^\| {name} .*\n", path.read_text(encoding="utf-8"), re.MULTILINE)[0]
    path.write_text(path.read_text(encoding="utf-8").replace(before, before + row), encoding="utf-8")


def name_of(node: ast.stmt) -> str | None:
    """What a statement defines."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return getattr(node, "name", None) or getattr(target, "id", None)


@pytest.fixture
def folder(tmp_path):
    """A copy of what the recipes change; modules and tests of their own are written into it, too."""
    for name in COPIED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for name in ("text", "data", "models", "generation", "tasks"):
        (tmp_path / "tests" / name).mkdir(exist_ok=True)
    return tmp_path


def run(command: str, folder: Path, python: str) -> None:
    """Runs a line of a shell block: Python, or lm-keras."""
    program, *rest = shlex.split(command, comments=True)
    arguments = rest if program == "python" else ["-m", "lm_keras", *rest]
    assert program in ("python", "lm-keras")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run([python, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_there_are_five_recipes_of_five_steps():
    assert list(SECTIONS) == ["A model family", "A sampling option", "A tokenizer", "A task", "A data set"]
    for section in SECTIONS.values():
        assert re.findall(r"^(\d)\. ", section, re.MULTILINE) == list("12345")


@pytest.mark.parametrize("title", SECTIONS)
def test_recipe(title, folder, warm_python):
    section = SECTIONS[title]
    for code in [*blocks(section, "python"), *blocks(section, "text")]:
        write(folder, code)
    for row in blocks(section, "markdown"):
        write_row(folder / "docs/corpora.md", re.search(r"docs/corpora.md, here below (`[\w-]+`)", section)[1], row)
    commands = [line for block in blocks(section, "sh") for line in block.splitlines()]
    assert sum("pytest" in command for command in commands) == 1
    for command in commands:
        run(command, folder, warm_python)


def test_said_number_of_files_is_right():
    """ "One file and its test": what the blocks of a recipe write to."""
    numbers = {"One": 1, "Two": 2}
    for section in SECTIONS.values():
        files = {block.split("\n", 1)[0].removeprefix("# ").partition(",")[0] for block in blocks(section, "python")}
        tests = {file for file in files if Path(file).name.startswith("test_")}
        assert len(tests) == 1
        assert len(files - tests) == numbers[section.split()[0]]


HOMES = {
    "one_gru": "lm_keras/models",
    "space_tokenizer": "lm_keras/text/tokenizers",
    "grader": "lm_keras/tasks",
}
LOADED = """
import lm_keras as lk

assert lk.text.load_tokenizer("runs/space").kind == "space"
assert lk.TextModel.load("runs/grader").best == 5.0
"""
SAVED = """
import keras, lm_keras as lk

tokenizer = lk.text.SpaceTokenizer.train(["a b c"])
tokenizer.save("runs/space")
model = keras.Sequential([keras.Input((None,)), keras.layers.Embedding(9, 1, mask_zero=True)])
lk.tasks.Grader(model, tokenizer, best=5.0).save("runs/grader")
"""


# The contract tests that a family joins by itself: all that run over the table of families.
FAMILY = (
    "tests/models/test_builders.py",
    "tests/models/test_negative_ids.py",
    "tests/models/test_signatures.py",
    "tests/models/test_quantization.py",
    "tests/models/test_operations.py",
    "tests/training/test_batches.py",
    "tests/generation/test_every_family.py",
    "tests/generation/test_step.py",
    "tests/generation/test_shared_prompts.py",
    "tests/generation/test_begin.py",
    "tests/generation/test_answers.py",
    "tests/generation/test_prefix_tree.py",
    "tests/prompting/test_harness.py",
    "tests/prompting/test_tuning.py",
    "tests/prompting/test_tuning_training.py",
    "tests/prompting/test_classifier.py",
    "tests/prompting/test_saving.py",
    "tests/prompting/test_lora.py",
    "tests/generation/test_chat.py",
    "tests/contexts/test_conversation.py",
    "tests/contexts/test_conditional_model.py",
    "tests/contexts/test_in_context.py",
    "tests/cli/test_families.py",
)


def test_the_page_names_the_contract_tests_of_a_family():
    assert tuple(re.findall(r"^- `(tests/\S+?)`", PAGE.partition("A family then runs")[2], re.MULTILINE)) == FAMILY
    names = "CAUSAL|BUILDERS|KINDS_OF_STATE"
    table = re.compile(rf"^from (?:small_models|lm_keras\.models) import [^\n]*\b(?:{names})\b", re.MULTILINE)
    tests = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in ROOT.glob("tests/*/test_*.py")}
    over = {name for name, code in tests.items() if table.search(code)}
    assert over | {"tests/models/test_signatures.py"} == set(FAMILY)


def test_into_the_package(folder, warm_python):
    """The three files, moved and made public as the page says, need no import of their own; the contract holds."""
    for section in SECTIONS.values():
        comment, code = blocks(section, "python")[0].split("\n", 1)
        name = comment.removeprefix("# ").removesuffix(".py")
        if name in HOMES:
            (folder / HOMES[name] / f"{name}.py").write_text(code, encoding="utf-8")
    rows = re.findall(r"^((?:lm_keras|tests)/\S+?)(?:, (\w+))?  +(.+)$", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for path, table, line in rows:
        text = (folder / path).read_text(encoding="utf-8")
        text = text.replace(f"{table} = {{\n", f"{table} = {{\n    {line}\n") if table else f"{text}{line}\n"
        (folder / path).write_text(text, encoding="utf-8")
    contracts = FAMILY[:3]  # the others take longer
    (folder / "tests/serving").mkdir()
    serving = ("tests/serving/conftest.py", "tests/serving/test_every_task.py")
    for test in (*contracts, "tests/test_package.py", *serving):
        shutil.copy(ROOT / test, folder / test)
    run(f"python -m pytest {' '.join(contracts)} -k one_gru", folder, warm_python)
    run("python -m pytest tests/test_package.py -k 'stub_declares or every_public_name'", folder, warm_python)
    run("python -m pytest tests/serving/test_every_task.py -k grader", folder, warm_python)
    for code in (SAVED, LOADED):  # in processes of their own
        run(f"python -c {shlex.quote(code)}", folder, warm_python)
