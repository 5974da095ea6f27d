"""`lm-keras train-task`, `predict`, and `evaluate` of a classifier: labelled texts to a run, and what it answers.

What is about taggers stands in `cli.tagging`, about relations in `cli.relations`, about answers in `cli.answers` and
`cli.retrieval`.
"""

import contextlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lm_keras.cli import answers, relations, retrieval, tagging
from lm_keras.cli.options import Commands, add_import, number
from lm_keras.errors import InputError
from lm_keras.models.pretrained.named import resolved
from lm_keras.utils.atomic_files import claimed, path_of, read_json, write_json, writing
from lm_keras.utils.quiet import load_tensorflow, tell
from lm_keras.utils.saved_kinds import RESULT, RUN, kind_of, refusal

REPORT, PICTURE, MISTAKES, HISTORY = "report.json", "confusion.png", "mistakes.html", "history.json"
COLUMNS = {"text": "text", "label": "label", "pair": None, "separator": ";"}  # of a run that does not say
TABLE = {"delimiter": None, "quotes": True}  # of a CSV or TSV
SHOWN = 12  # classes of the first line
KEPT = ("data", "valid", "encoding", "encoder", "multi_label", "class_weight", "max_length", "seed", *COLUMNS, *TABLE)
TRAINING = ("epochs", "batch_size", "learning_rate", "max_length", "seed")
RUNS = "run folder of train-task, or folder of lm_keras.tasks.save"


def add_commands(commands: Commands) -> None:
    """Adds `train-task` and `predict` to the commands of `lm-keras`."""
    actions = commands.add_parser("train-task", help="train a model of labelled texts").add_subparsers(
        dest="action", required=True
    )
    _add_classify(actions)
    tagging.add_tag(actions)
    relations.add_relations(actions)
    answers.add_answer(actions)
    retrieval.add_retrieve(actions)
    said = "classes of texts, spans in them, relations, or answers to questions, by a trained model"
    predicting = commands.add_parser("predict", help=said)
    predicting.set_defaults(call=predict)
    predicting.add_argument("run", help=RUNS)
    what = predicting.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", action="append", help="a text, or a question (may be repeated)")
    files = "CSV, TSV, JSON lines (.gz, .bz2, .xz), or another file, each line a text"
    what.add_argument("--data", metavar="FILE", help=files)
    second = "the second text of each --text; of a question the text that answers it"
    predicting.add_argument("--pair", action="append", metavar="TEXT", help=second)
    predicting.add_argument("--text-column", metavar="COL", help="of --data (default: as in the training)")
    predicting.add_argument("--pair-column", metavar="COL", help="the same for the second text")
    predicting.add_argument("--encoding", default="utf-8", metavar="E", help="of the file")
    add_table_options(predicting)
    predicting.add_argument("--json", action="store_true", help="print a JSON object for each text")
    add_import(predicting)


def _add_classify(actions):
    command = actions.add_parser("classify", help="a class, or several, of each text or pair of texts")
    command.set_defaults(call=train)
    add = command.add_argument
    files = "CSV, TSV, JSON lines (.gz, .bz2, .xz), or known set with labels"
    add("--data", required=True, metavar="FILE|NAME", help=files)
    add("--valid", metavar="FILE", help="texts to stop by (default: those of the set, or a tenth of --data)")
    encoders = "cnn, lstm, bilstm, gru, bigru, bert; or a pretrained one: its folder or name, e.g. all-minilm-l6-v2"
    add("--encoder", default="cnn", metavar="NAME|FOLDER", help=encoders)
    add("--out", required=True, metavar="FOLDER", help="run folder to make")
    columns = command.add_argument_group("columns", "names; or places from 0 on, in a CSV or TSV without names")
    add_columns(columns, COLUMNS | {"separator": None})
    columns.add_argument("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, gb18030")
    run = command.add_argument_group("training")
    run.add_argument("--multi-label", action="store_true", help="a text may have several classes, or none")
    run.add_argument("--class-weight", choices=("balanced",), help="each class weighs as much as the others")
    run.add_argument("--epochs", type=number(int, 1), metavar="N", help="at most (default: the encoder's)")
    run.add_argument("--batch-size", type=number(int, 1), metavar="N", help="default: the encoder's")
    run.add_argument("--learning-rate", type=number(float, 1e-12), metavar="X", help="default: the encoder's")
    run.add_argument("--max-length", type=number(int, 1), metavar="N", help="tokens of a text")
    run.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N")
    add_import(command)


def add_columns(group, defaults):
    """The flags of the columns of a file with labels."""
    group.add_argument("--text", default=defaults["text"], metavar="COL", help="the texts")
    group.add_argument("--label", default=defaults["label"], metavar="COL", help="the classes")
    group.add_argument("--pair", default=defaults["pair"], metavar="COL", help="the second texts, of pairs")
    several = "between the classes of a text, where it may have several (default: ;)"
    group.add_argument("--separator", default=defaults["separator"], metavar="S", help=several)
    add_table_options(group)


def add_table_options(group):
    """The flags of a table whose form its name does not tell; None: as in the training, or as its name tells."""
    group.add_argument("--delimiter", metavar="D", help='between two columns, such as ";" in a CSV')
    plain = "a double quote is a character like any other"
    group.add_argument("--no-quotes", dest="quotes", action="store_const", const=False, help=plain)


def table_options(options, settings):
    """`delimiter` and `quotes` of a command's options, else those of the training."""
    from lm_keras.data.labelled import is_json_name

    given = {name: getattr(options, name) for name in TABLE}
    if any(value is not None for value in given.values()) and options.data and is_json_name(options.data):
        raise InputError(f"--delimiter and --no-quotes are about tables, and {options.data} is JSON; leave them out")
    return {name: settings.get(name, TABLE[name]) if value is None else value for name, value in given.items()}


def refuse_flags(options, names, kind) -> None:
    """InputError where one of these options is given, which are for a run of another kind."""
    if given := [name for name in names if getattr(options, name) is not None]:
        raise InputError(f"{_flag(given[0])} is for a {kind}, and {options.run} is none; leave it out")


def _flag(name):
    return "--no-quotes" if name == "quotes" else f"--{name.replace('_', '-')}"


def _table(source, options):
    """The `options` of a table that are for this file: JSON has none."""
    from lm_keras.data.labelled import is_json_name

    return {} if is_json_name(source) else options


# === train-task classify ===


def train(options):
    folder = path_of(options.out)
    if options.separator is not None and not options.multi_label:
        raise InputError("--separator is between several classes of a text; give --multi-label, or leave it out")
    with new_folder(folder, "--out") as made:
        train_part, valid, classes = _data(options)
        load_tensorflow()
        from lm_keras import tasks
        from lm_keras.tasks.encoders import check_encoder

        check_encoder(options.encoder)
        tell(summary(train_part, valid))

        given = {name: getattr(options, name) for name in TRAINING if getattr(options, name) is not None}
        classifier = tasks.TextClassifier.train(
            train_part,
            encoder=options.encoder,
            classes=classes,
            validation=valid,
            multi_label=options.multi_label,
            class_weight=options.class_weight,
            **given,
        )
        report = classifier.evaluate(valid)
        classifier.save(made)
        write_run(made, "classify", {name: getattr(options, name) for name in KEPT}, classifier.history, report)
    tell(
        f"{folder}: validation accuracy {report.accuracy:.1%}, macro F1 {report.macro_f1:.1%} "
        f"over {report.num_texts:,} texts"
    )


def write_run(folder, task, settings, history, report):
    """What stands beside a trained text model: the options of the run, its measures of each epoch and at its end.

    Without a history, or a report, there is no file of it.
    """
    write_json(folder / RUN, {"task": task} | {name: value for name, value in settings.items() if value is not None})
    if history:
        write_json(folder / HISTORY, plain(history))
    if report is None:
        return
    numbers = {name: value for name, value in report.as_dict().items() if isinstance(value, (int, float))}
    write_json(folder / RESULT, {"validation": plain(numbers)})


def summary(train_part, valid):
    """What was read, in a line: texts, classes with their counts, and how many texts are empty."""
    counts = train_part.counts().most_common()
    shown = ", ".join(f"{name} {count:,}" for name, count in counts[:SHOWN])
    more = f", and {len(counts) - SHOWN:,} more" if len(counts) > SHOWN else ""
    empty = sum(not "".join(text).strip() for text in train_part.texts)
    noted = f"; {empty:,} of the texts to train on have no word" if empty else ""
    parts = f"{len(train_part.texts):,} texts to train on and {len(valid.texts):,} to stop by"
    return f"{parts}; {len(counts)} classes: {shown}{more}{noted}"


def _data(options):
    """The LabelledTexts to train on and those to stop by, and the names of all classes."""
    from lm_keras import data
    from lm_keras.tasks.labels import classes_of

    columns = {name: getattr(options, name) or default for name, default in COLUMNS.items()}
    arguments = {"encoding": options.encoding, "multi_label": options.multi_label, **columns}
    arguments |= table_options(options, {})
    texts = labelled_texts(options.data, ("train",), **arguments)
    classes = classes_of(texts.labels, options.multi_label, None, texts.classes or None)
    if options.valid:
        valid = labelled_texts(options.valid, ("validation", "test"), classes=texts.classes, **arguments)
    elif not Path(options.data).exists() and "validation" in data.splits(options.data):
        valid = labelled_texts(options.data, ("validation",), **arguments)
    else:
        texts, valid = data.split_texts(texts, validation=0.1, seed=options.seed)
    return texts, valid, classes


def labelled_texts(
    source, splits, *, text="text", label="label", pair=None, separator=";", encoding="utf-8", delimiter=None,
    quotes=True, multi_label=False, classes=None, split=None,
):  # fmt: skip
    """The `LabelledTexts` of a file, or of a part of a known set: `split`, or the first of `splits` that it has."""
    import numpy as np

    from lm_keras import data
    from lm_keras.data.labelled import is_table_name

    if not source:
        raise InputError("--data is empty; give a file with texts and labels, or a known set")
    if not Path(source).exists() and source in data.available():
        known = data.splits(source)
        records = data.load(source, split or next((name for name in splits if name in known), known[0]))
        if not isinstance(records[0], data.Labelled) or multi_label or pair:
            what = "texts with a class each" if isinstance(records[0], data.Labelled) else "other records"
            raise InputError(f"{source} holds {what}; train-task takes a set of them, or a file with these columns")
        labels = np.array([record.label for record in records], "int32")
        return data.LabelledTexts([record.text for record in records], labels, data.classes(source))
    if not Path(source).exists() and not is_table_name(source):
        raise InputError(f"{source!r} is neither a file nor a known set; known: {', '.join(data.available())}")
    if split:
        raise InputError(f"--split {split} is for known sets, and {source} is none; leave it out")
    text, label, *pair = places([text, label] if pair is None else [text, label, pair])
    more = {"pair": pair[0] if pair else None, "separator": separator if multi_label else None}
    more |= _table(source, {"delimiter": delimiter, "quotes": quotes})
    return data.read_labelled(source, text, label, classes=classes, encoding=encoding, **more)


def places(columns):
    """Names of columns; or numbers, where all of them are such."""
    return [int(name) for name in columns] if all(name.isdecimal() for name in columns) else columns


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
    if isinstance(classifier, tasks.QuestionAnswerer):
        columns = {"text": "question", "pair": "context"}
        answers.predict(classifier, _rows(options, columns, True), options.json)
        return
    if isinstance(classifier, tasks.Retriever):
        settings = settings | {"text": settings.get("question", retrieval.COLUMNS["question"])}
        retrieval.predict(classifier, _rows(options, settings, False), options.json)
        return
    rows = _rows(options, settings, getattr(classifier, "pairs", False))
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


def _rows(options, settings, pairs):
    """The texts, or pairs, that are to be classified."""
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
    form = _table(options.data, table_options(options, settings))
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
    others = (tasks.TextTagger, tasks.InformationExtractor, tasks.QuestionAnswerer, tasks.Retriever)
    if not hasattr(model, "classify") and not isinstance(model, others):
        what = "a classifier, a tagger or what answers questions"
        raise InputError(f"{command} takes {what}, and {path} is a saved {type(model).__name__}")
    settings = read_json(path / RUN) if (path / RUN).exists() else {}
    return model, settings if isinstance(settings, dict) else {}


# === evaluate, of a classifier ===


def evaluate(options):
    """`lm-keras evaluate RUN --data FILE|NAME` where the run is one of `train-task`."""
    model, settings = model_of(options.run, "evaluate")
    from lm_keras import tasks

    if isinstance(model, tasks.Retriever):
        refuse_flags(options, ("text", "label", "pair", *tagging.COLUMNS), "classifier or tagger")
        retrieval.evaluate(options, model, settings)
        return
    refuse_flags(options, retrieval.COLUMNS, "retriever")
    if isinstance(model, (tasks.RelationExtractor, tasks.InformationExtractor)):
        refuse_flags(options, (*COLUMNS, *TABLE, *tagging.COLUMNS), "classifier or tagger")
        relations.evaluate(options, model)
        return
    if isinstance(model, tasks.QuestionAnswerer):
        refuse_flags(options, (*COLUMNS, *TABLE, *tagging.COLUMNS), "classifier or tagger")
        answers.evaluate(options, model)
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
