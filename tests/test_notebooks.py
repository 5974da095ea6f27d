"""Every notebook runs top to bottom, its exercises' solutions too, and is committed with clean outputs."""

import importlib.util
import re
import sys

import nbformat
import pytest
from paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BEFORE = """
import gc

gc.set_threshold(50_000, 20, 100)  # as in conftest.py
import tensorflow as tf

tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # for graphs that run a few times
"""
LOCAL_PATH = re.compile(r"(?<![\w.:/])/(?:home|Users|root|work|tmp|var|private|opt|usr)/|[A-Z]:\\\\?Users")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "tools" / "run_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path):
    return nbformat.read(path, as_version=4)


def solutions(notebook):
    """The code of the collapsed cells, one string a solution."""
    hidden = "".join(cell.source for cell in notebook.cells if "<details>" in cell.source)
    return re.findall(r"```python\n(.*?)```", hidden, re.DOTALL)


@pytest.mark.timeout(600)
@each_notebook
def test_runs_top_to_bottom(path, tool, warm_python, monkeypatch):
    monkeypatch.setattr(sys, "executable", warm_python)
    monkeypatch.setenv("LM_KERAS_QUICK", "1")  # notebooks that train for minutes do so for seconds
    monkeypatch.delenv("LM_KERAS_DATA", raising=False)
    notebook = read(path)
    after = ["epochs = 1  # the solutions need to run, not to train for long", *solutions(notebook)]
    notebook.cells += [nbformat.v4.new_code_cell(code) for code in after]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(BEFORE))
    tool.execute(notebook)  # raises at the first error


@each_notebook
def test_outputs_are_committed(path):
    notebook = read(path)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run tools/run_notebooks.py"
    for cell in cells:
        assert cell.outputs or "print(" not in cell.source and "plt.show" not in cell.source, cell.source
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs) >= 2


@each_notebook
def test_no_path_of_this_machine(path):
    found = LOCAL_PATH.search(path.read_text(encoding="utf-8"))
    assert not found, f"a local path near {found[0]!r}"


@each_notebook
def test_header_and_exercises(path):
    notebook = read(path)
    header, *_ = notebook.cells
    assert header.cell_type == "markdown" and header.source.startswith("# ")
    for part in ("**Goal.**", "**Time.**", "**Data.**"):
        assert part in header.source
    exercises = next(cell.source for cell in notebook.cells if cell.source.startswith("## Exercises"))
    assert len(re.findall(r"^\d\. ", exercises, re.MULTILINE)) == len(solutions(notebook)) == 3


def test_there_are_notebooks():
    assert NOTEBOOKS
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{i:02d}" for i in range(1, len(NOTEBOOKS) + 1)]


def test_failure_leaves_the_file_alone(tool, tmp_path, capsys):
    path = tmp_path / "broken.ipynb"
    tool.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    assert tool.main([path]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
