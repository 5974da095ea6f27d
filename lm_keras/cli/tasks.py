"""`lm-keras train-task`, `predict`, and `evaluate` of a classifier: labelled texts to a run, and what it answers.

What is about labelled texts stands in `cli.labelled`; taggers, relations and moderators have files of their own.
"""

import contextlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lm_keras.cli import moderation, relations, tagging
from lm_keras.cli.labelled import (
    COLUMNS,
    KEPT,
    TABLE,
    add_table_options,
    add_training,
    check_separator,
    file_options,
    labelled_parts,
    labelled_texts,
    places,
    table_options,
    trained,
)
from lm_keras.cli.options import Commands, add_import
from lm_keras.errors import InputError
from lm_keras.models.pretrained.named import resolved
from lm_keras.utils.atomic_files import claimed, path_of, read_json, write_json, writing
from lm_keras.utils.quiet import load_tensorflow, tell
from lm_keras.utils.saved_kinds import RESULT, RUN, kind_of, refusal

REPORT, PICTURE, MISTAKES, HISTORY = "report.json", "confusion.png", "mistakes.html", "history.json"
RUNS = "run folder of train-task, or folder of lm_keras.tasks.save"


def add_commands(commands: Commands) -> None:
    """Adds `train-task` and `predict` to the commands of `lm-keras`."""
    actions = commands.add_parser("train-task", help="train a model of labelled texts").add_subparsers(
        dest="action", required=True
    )
    _add_classify(actions)
    tagging.add_tag(actions)
    relations.add_relations(actions)
    moderation.add_moderate(actions)
    predicting = commands.add_parser(
        "predict", help="classes of texts, spans in them, relations, or what is allowed, by a trained model"
    )
    predicting.set_defaults(call=predict)
    predicting.add_argument("run", help=RUNS)
    what = predicting.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", action="append", help="a text (may be repeated)")
    files = "CSV, TSV, JSON lines (.gz, .bz2, .xz), or another file, each line a text"
    what.add_argument("--data", metavar="FILE", help=files)
    predicting.add_argument("--pair", action="append", metavar="TEXT", help="the second text of each --text")
    predicting.add_argument("--text-column", metavar="COL", help="of --data (default: as in the training)")
    predicting.add_argument("--pair-column", metavar="COL", help="the same for the second text")
    predicting.add_argument("--encoding", default="utf-8", metavar="E", help="of the file")
    add_table_options(predicting)
    predicting.add_argument("--json", action="store_true", help="print a JSON object for each text")
    add_import(predicting)


def _add_classify(actions):
    command = actions.add_parser("classify", help="a class, or several, of each text or pair of texts")
    command.set_defaults(call=train)
    add_training(command)
    command.add_argument("--pair", metavar="COL", help="column of the second texts, of pairs")


def refuse_flags(options, names, kind) -> None:
    """InputError where one of these options is given, which are for a run of another kind."""
    if given := [name for name in names if getattr(options, name) is not None]:
        raise InputError(f"{_flag(given[0])} is for a {kind}, and {options.run} is none; leave it out")


def _flag(name):
    return "--no-quotes" if name == "quotes" else f"--{name.replace('_', '-')}"


# === train-task classify ===


def train(options):
    folder = path_of(options.out)
    check_separator(options)
    with new_folder(folder, "--out") as made:
        parts = labelled_parts(options)
        classifier, valid = trained(options, *parts), parts[1]
        report = classifier.evaluate(valid)
        classifier.save(made)
        write_run(made, "classify", {name: getattr(options, name) for name in KEPT}, classifier.history, report)
    tell(
        f"{folder}: validation accuracy {report.accuracy:.1%}, macro F1 {report.macro_f1:.1%} "
        f"over {report.num_texts:,} texts"
    )


def write_run(folder, task, settings, history, report):
    """What stands beside a trained text model: the options of the run, its measures of each epoch and at its end."""
    write_json(folder / RUN, {"task": task} | {name: value for name, value in settings.items() if value is not None})
    write_json(folder / HISTORY, plain(history))
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


# === predict ===


def predict(options):
    classifier, settings = model_of(options.run, "predict")
    from lm_keras import tasks
    from lm_keras.serving.client.results import escaped

    if isinstance(classifier, tasks.RelationExtractor):
        relations.predict(classifier, options)
        return
    rows = _rows(options, classifier, settings)
    if isinstance(classifier, tasks.Moderator):
        moderation.predict(classifier, rows, options.json)
        return
    if isinstance(classifier, (tasks.TextTagger, tasks.InformationExtractor)):
        shown = tagging.predict if isinstance(classifier, tasks.TextTagger) else relations.predict_both
        shown(classifier, rows, options.json)
        return

    for row, found in zip(rows, classifier.classify(rows), strict=True):
        texts = row if isinstance(row, tuple) else (row,)
        if options.json:
            named = dict(zip(("text", "text_pair"), texts, strict=False))
            print(json.dumps(named | plain(found._asdict()), ensure_ascii=False))
        else:
            labels = getattr(found, "labels", None)
            shown = found.label if labels is None else ", ".join(labels) or "-"
            parts = [shown, f"{found.score:.4f}", *(" ".join(part.split()) for part in texts)]
            print("\t".join(map(escaped, parts)))


def _rows(options, classifier, settings):
    """The texts, or pairs, that are to be classified."""
    pairs = getattr(classifier, "pairs", False)
    if options.data is None:
        about = ("text_column", "pair_column", *TABLE)
        if given := [name for name in about if getattr(options, name) is not None]:
            raise InputError(f"{_flag(given[0])} is about --data; leave it out with --text")
        if not pairs and options.pair:
            raise InputError(f"{options.run} reads single texts; leave --pair out")
        if pairs and len(options.pair or ()) != len(options.text):
            raise InputError(f"{options.run} reads pairs of texts; give a --pair for each --text")
        return list(zip(options.text, options.pair, strict=True)) if pairs else options.text
    if options.pair:
        raise InputError("--pair is the second of --text; with --data give --pair-column")
    from lm_keras import data
    from lm_keras.data.labelled import is_table_name, read_columns

    if options.delimiter is None and not is_table_name(options.data):
        if pairs:
            raise InputError(f"{options.run} reads pairs of texts; give a .csv, .tsv or .jsonl file with both")
        return list(data.read_texts(options.data, encoding=options.encoding))
    columns = [options.text_column or settings.get("text", COLUMNS["text"])]
    columns += [options.pair_column or settings.get("pair") or "pair"] if pairs else []
    form = file_options(options.data, table_options(options, settings))
    found = read_columns(options.data, places(columns), encoding=options.encoding, **form)
    return [tuple(row) if pairs else row[0] for row in found]


def model_of(run, command):
    """A classifier or tagger, and the settings that its run was trained with; InputError for anything else."""
    path = resolved(run)
    if (kind := kind_of(path)) != "task":
        raise refusal(path, kind, f"{command} takes a run of `lm-keras train-task`, or a saved classifier")
    load_tensorflow()
    from lm_keras import tasks

    model = tasks.load(path)
    kinds = (tasks.TextTagger, tasks.InformationExtractor, tasks.Moderator)
    if not hasattr(model, "classify") and not isinstance(model, kinds):
        raise InputError(f"{command} takes a classifier or a tagger, and {path} is a saved {type(model).__name__}")
    settings = read_json(path / RUN) if (path / RUN).exists() else {}
    return model, settings if isinstance(settings, dict) else {}


# === evaluate, of a classifier ===


def evaluate(options):
    """`lm-keras evaluate RUN --data FILE|NAME` where the run is a classifier, a tagger, or one of relations."""
    model, settings = model_of(options.run, "evaluate")
    from lm_keras import tasks

    if isinstance(model, (tasks.RelationExtractor, tasks.InformationExtractor)):
        refuse_flags(options, (*COLUMNS, *TABLE, *tagging.COLUMNS), "classifier or tagger")
        relations.evaluate(options, model)
        return
    if isinstance(model, tasks.Moderator):
        refuse_flags(options, ("pair", *tagging.COLUMNS), "classifier of pairs or tagger")
        moderation.evaluate(options, model, settings)
        return
    tags = isinstance(model, tasks.TextTagger)
    other, kind = ((*COLUMNS, *TABLE), "classifier") if tags else (tagging.COLUMNS, "tagger")
    refuse_flags(options, other, kind)
    if tags:
        tagging.evaluate(options, model, settings)
    else:
        _evaluate_classifier(options, model, settings)


def _evaluate_classifier(options, classifier, settings):
    if options.report is not None:
        with new_folder(path_of(options.report), "--report") as made:
            report, *answered = _evaluated(options, classifier, settings)
            _write_report(report, *answered, made)
    else:
        report, *_ = _evaluated(options, classifier, settings)
    print(json.dumps(plain(report.as_dict())) if options.json else report)


def _evaluated(options, classifier, settings):
    """The report; and the classifier, the texts, their labels and probabilities."""
    from lm_keras import tasks
    from lm_keras.tasks.labels import ambiguous

    if not isinstance(classifier, tasks.TextClassifier):
        raise InputError(f"evaluate takes a TextClassifier, and {options.run} is a saved {type(classifier).__name__}")
    kinds = (("pair", classifier.pairs, "one text"), ("separator", classifier.multi_label, "one class"))
    for flag, is_so, has in kinds:
        if getattr(options, flag) is not None and not is_so:
            raise InputError(f"--{flag} is not for {options.run}, which is of {has} a row; leave it out")
    columns = {name: getattr(options, name) or settings.get(name, default) for name, default in COLUMNS.items()}
    if classifier.pairs and columns["pair"] is None:
        raise InputError(f"{options.run} reads pairs of texts; give --pair, the column of the second ones")
    if not classifier.pairs:
        columns["pair"] = None
    named = {"encoding": options.encoding, "split": options.split, "multi_label": classifier.multi_label}
    named |= table_options(options, settings)
    if ambiguous(classifier.classes):  # a file of the numbers alone would be one of numbers
        named["classes"] = classifier.classes
    found = labelled_texts(options.data, ("test", "validation", "all"), **columns, **named)
    texts, y = classifier.labelled(found)
    labels = y if classifier.multi_label else [classifier.classes[place] for place in y]
    probabilities = classifier.probabilities(texts)
    report = tasks.classification_report(labels, probabilities, classifier.classes)
    return report, classifier, texts, labels, probabilities


def _write_report(report, classifier, texts, labels, probabilities, folder):
    """report.json, the picture of the confusion, and the page of the surest mistakes."""
    import matplotlib as mpl

    from lm_keras.tasks.mistakes import mistakes_page

    write_json(folder / REPORT, plain(report.as_dict()))
    with mpl.rc_context({"backend": "Agg"}):
        report.plot_confusion().savefig(folder / PICTURE, dpi=120, bbox_inches="tight")
    mistakes_page(classifier, texts, labels, folder / MISTAKES, probabilities=probabilities)


def plain(value):
    """A value for JSON, which has no NaN."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
