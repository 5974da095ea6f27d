"""What `train-task` and `evaluate` write: run folders and reports, whole or not at all."""

import contextlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import claimed, path_of, write_json, writing
from lm_keras.utils.saved_kinds import RESULT, RUN

REPORT, HISTORY = "report.json", "history.json"


def write_run(folder, task, settings, history, report):
    """What stands beside a trained text model: the options of the run, its measures of each epoch and at its end.

    A report of None, where nothing was measured, leaves out the last of them.
    """
    write_json(folder / RUN, {"task": task} | {name: value for name, value in settings.items() if value is not None})
    write_json(folder / HISTORY, plain(history))
    if report is None:
        return
    numbers = {name: value for name, value in report.as_dict().items() if isinstance(value, (int, float))}
    write_json(folder / RESULT, {"validation": plain(numbers)})


@contextlib.contextmanager
def new_folder(folder: Path, flag: str) -> Iterator[Path]:
    """Yields a folder to write to, which takes the place of `folder` when the block ends well.

    Raises InputError where `folder` holds anything, which stays as it is.
    """
    with claimed(folder), writing(folder):
        if any(folder.iterdir()):
            raise InputError(f"{flag} {folder} is not empty; give a new folder")
        folder = folder.absolute()
        start = f".{folder.name}-"
        for left in folder.parent.glob(f"{start}*.tmp"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=start, suffix=".tmp", dir=folder.parent) as place:
            made = Path(place) / folder.name
            made.mkdir()
            yield made
            made.replace(folder)


def show_report(options, measure: Callable, write_more: Callable = lambda report, *found, folder: None) -> None:
    """Measures, prints the report, and writes it where there is --report.

    Args:
        options: Of the command.
        measure: Returns the report, or a tuple of the report and what it was made of.
        write_more: `write_more(report, ..., folder=folder)` of that tuple writes what stands beside report.json.
    """

    def measured():
        found = measure()
        return found if isinstance(found, tuple) else (found,)

    if options.report is None:
        report, *_ = measured()
    else:
        with new_folder(path_of(options.report), "--report") as made:
            report, *found = measured()
            write_json(made / REPORT, plain(report.as_dict()))
            write_more(report, *found, folder=made)
    print(json.dumps(plain(report.as_dict())) if options.json else report)


def plain(value):
    """A value for JSON, which has no NaN."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
