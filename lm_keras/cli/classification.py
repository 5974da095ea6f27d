"""`lm-keras train-task classify`, and `predict` and `evaluate` of what it trains: classes of texts."""

import json

from lm_keras.cli.labelled import (
    COLUMNS,
    KEPT,
    TABLE,
    add_training,
    check_separator,
    labelled_parts,
    labelled_texts,
    rows_of,
    table_options,
    trained,
)
from lm_keras.cli.reports import new_folder, plain, show_report, write_run
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import tell

NAME, FLAGS = "classifier", (*COLUMNS, *TABLE)
PICTURE, MISTAKES = "confusion.png", "mistakes.html"


def add_classify(actions) -> None:
    """Adds `train-task classify`."""
    command = actions.add_parser("classify", help="a class, or several, of each text or pair of texts")
    command.set_defaults(call=train)
    add_training(command)
    command.add_argument("--pair", metavar="COL", help="column of the second texts, of pairs")


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


# === predict and evaluate ===


def predict(options, classifier, settings) -> None:
    """Prints the class of each text, or its classes, with the score and the text; or a JSON object."""
    from lm_keras.serving.client.results import escaped

    rows = rows_of(options, settings, getattr(classifier, "pairs", False))
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


def evaluate(options, classifier, settings) -> None:
    """`lm-keras evaluate RUN --data FILE|NAME` where the run is a classifier."""
    show_report(options, lambda: _evaluated(options, classifier, settings), _write_pages)


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


def _write_pages(report, classifier, texts, labels, probabilities, folder):
    """The picture of the confusion, and the page of the surest mistakes."""
    import matplotlib as mpl

    from lm_keras.tasks.mistakes import mistakes_page

    with mpl.rc_context({"backend": "Agg"}):
        report.plot_confusion().savefig(folder / PICTURE, dpi=120, bbox_inches="tight")
    mistakes_page(classifier, texts, labels, folder / MISTAKES, probabilities=probabilities)
