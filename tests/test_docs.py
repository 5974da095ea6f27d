"""What the documents say of the code is there."""

import importlib.util
import re
import subprocess

import pytest
from paths import ROOT

import lm_keras as lk
from lm_keras.cli.parser import main

PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FOLDERS = "benchmarks|docs|lm_keras|notebooks|saved_models|tests|tools"
PATHS = re.compile(rf"(?<![\w./-])((?:{FOLDERS})/[\w./-]*\w)(?:::(\w+))?")
TARGETS = re.compile(r"\]\(([\w./-]+)\)")
COMMANDS = re.compile(r"(?:^ *|`)lm-keras ([a-z][^`\n]*)", re.MULTILINE)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_pages_name_files_and_commands():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert all(len(pattern.findall(text)) > 20 for pattern in (PATHS, TARGETS, COMMANDS))


def text_of(page):
    """The page, without the files that the recipes of CONTRIBUTING.md have one write."""
    text = page.read_text(encoding="utf-8")
    own = re.findall(r"^ *# ([\w/]+\.py)\n", text, re.MULTILINE) if page.name == "CONTRIBUTING.md" else []
    for path in own:
        text = text.replace(path, "")
    return text


@each_page
def test_files_and_tests_that_a_page_names_exist(page):
    text = text_of(page)
    for path, test in PATHS.findall(text):
        if path.startswith("saved_models/"):  # what an example exports
            continue
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"
    for target in TARGETS.findall(text):
        assert (page.parent / target).exists(), target


def test_files_that_a_notebook_names_exist():
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        for path in re.findall(r"(?:benchmarks|docs|tests|tools)/[\w/]+\.\w+", notebook.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{notebook.name}: {path}"


def test_every_equation_has_its_test():
    rows = [line for line in (ROOT / "docs/equations.md").read_text(encoding="utf-8").splitlines() if "| `" in line]
    assert len(rows) > 15
    assert all("`tests/" in row or "as for" in row for row in rows)


def names_of(text):
    """The dotted names of the library in a page, as tuples: lk.a.b, lm_keras.a.b, and `models.gpt2.SIZES` alone."""
    for name in re.findall(r"(?<!-m )\b(?:lk|lm_keras)((?:\.[A-Za-z]\w*)+)", text):
        yield tuple(name[1:].split("."))
    for name in re.findall(r"`((?:data|embeddings|generation|models|serving|tasks|text|training)(?:\.\w+)+)", text):
        yield tuple(name.split("."))


@each_page
def test_names_that_a_page_uses_are_there(page):
    for name in set(names_of(page.read_text(encoding="utf-8"))):
        found = lk
        for part in name:
            if part in ("py", "git", "config"):  # a file
                break
            assert hasattr(found, part), ".".join(name)
            found = getattr(found, part)


@each_page
def test_commands_of_a_page_are_there(page, capsys):
    text = re.sub(r"\\\n\s*", "", text_of(page))  # a command of several lines
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"(?:^ *|`)make ([a-z]+)", text, re.MULTILINE):
        assert target in targets, target
    for module in re.findall(r"-m (lm_keras[\w.]*\w)", text):
        assert importlib.util.find_spec(module), module
    for line in COMMANDS.findall(text):
        if "--import" in line:  # a module of a recipe, which test_contributing.py runs
            continue
        words = line.split("#")[0].split()
        command = words[: 2 if words[0] in ("data", "models", "train-task") else 1]
        family = re.findall(r"--model \w+", line)  # its options are in its help
        with pytest.raises(SystemExit) as ended:
            main([*command, *" ".join(family).split(), "--help"])
        shown = capsys.readouterr().out
        assert ended.value.code == 0 and shown.startswith("usage: lm-keras " + " ".join(command)), line
        for flag in re.findall(r"(?<=\s)--[a-z][\w-]*", line):
            assert flag in shown, line


def test_modules_are_there_without_an_import_of_their_own(warm_python):
    code = "import lm_keras as lk; assert lk.models.gpt2.SIZES['gpt2']['num_layers'] == 12; lk.models.bert.SIZES"
    subprocess.run([warm_python, "-c", code], check=True, capture_output=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lk.models.nothing
