"""Runs notebooks top to bottom and keeps their outputs: `python tools/run_notebooks.py notebooks/*.ipynb`."""

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError)


class ThisPython(AsyncKernelManager):
    """A kernel of the running interpreter, whatever kernels are installed under the name python3."""

    @property
    def kernel_spec(self):
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def execute(notebook, timeout=600):
    """Runs every cell of `notebook` (a NotebookNode) in a new kernel and returns it with its outputs.

    The working directory is a temporary folder, so that nothing is left behind. `timeout` is in seconds a cell.
    What differs from run to run (times, process numbers) is left out. Raises one of FAILURES.
    """
    with tempfile.TemporaryDirectory(prefix="notebook-", ignore_cleanup_errors=True) as folder:
        work = Path(folder, "work")
        work.mkdir()
        connection = {"connection_file": str(Path(folder, "kernel.json"))}
        if os.name == "posix":
            connection["transport"] = "ipc"  # sockets in that folder, no open port
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_manager_class=ThisPython,
            config=Config(ThisPython=connection),
            resources={"metadata": {"path": str(work)}},
            record_timing=False,
            shutdown_kernel="immediate",  # all outputs are here; to take TensorFlow down in order takes a while
        )
        # A fresh profile: no start-up files of the user's, no history written to the home folder.
        client.execute(env={**os.environ, "IPYTHONDIR": str(Path(folder, "ipython")), "MPLBACKEND": ""})
    return tidy(notebook)


def tidy(notebook):
    """Leaves out what changes without the notebook changing, so that a diff shows only what is new."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs):
    """Prints that came in pieces, by chance of time, as one piece."""
    joined = []
    for output in outputs:
        before = joined[-1] if joined else None
        if before and output.output_type == before.output_type == "stream" and output.name == before.name:
            before.text += output.text
        else:
            joined.append(output)
    return joined


def write(notebook, path):
    """Writes the file in one step: it is the old one or the new one, never half of it."""
    nbformat.validate(notebook)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def main(files):
    if not files:
        print("usage: python tools/run_notebooks.py FILE...", file=sys.stderr)
        return 2
    failed = 0
    for path in map(Path, files):
        start = time.perf_counter()
        try:
            notebook = execute(nbformat.read(path, as_version=4))
        except FAILURES as error:
            print(f"{path}: FAILED, the file is as it was\n{error}", file=sys.stderr, flush=True)
            failed += 1
            continue
        write(notebook, path)
        print(f"{path}: {time.perf_counter() - start:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
