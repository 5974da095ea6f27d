"""Labelled texts on the command line: flags of files and of a training, the texts, and the classifier of them."""

from pathlib import Path

from lm_keras.cli.options import add_import, flag_of, number
from lm_keras.errors import InputError
from lm_keras.utils.quiet import load_tensorflow, tell

COLUMNS = {"text": "text", "label": "label", "pair": None, "separator": ";"}  # of a run that does not say
TABLE = {"delimiter": None, "quotes": True}  # of a CSV or TSV
SHOWN = 12  # classes of the first line
KEPT = ("data", "valid", "encoding", "encoder", "multi_label", "class_weight", "max_length", "seed", *COLUMNS, *TABLE)
TRAINING = ("epochs", "batch_size", "learning_rate", "max_length", "seed")


def add_training(command):
    """The flags of a training of labelled texts, but for `--pair`."""
    add = command.add_argument
    files = "CSV, TSV, JSON lines (.gz, .bz2, .xz), or known set with labels"
    add("--data", required=True, metavar="FILE|NAME", help=files)
    add("--valid", metavar="FILE", help="texts to stop by (default: those of the set, or a tenth of --data)")
    encoders = "cnn, lstm, bilstm, gru, bigru, bert; or a pretrained one: its folder or name, e.g. all-minilm-l6-v2"
    add("--encoder", default="cnn", metavar="NAME|FOLDER", help=encoders)
    add("--out", required=True, metavar="FOLDER", help="run folder to make")
    columns = command.add_argument_group("columns", "names; or places from 0 on, in a CSV or TSV without names")
    add_columns(columns, COLUMNS | {"separator": None}, pairs=False)
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


def add_columns(group, defaults, pairs=True):
    """The flags of the columns of a file with labels."""
    group.add_argument("--text", default=defaults["text"], metavar="COL", help="the texts")
    group.add_argument("--label", default=defaults["label"], metavar="COL", help="the classes")
    if pairs:
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


def file_options(source, options):
    """The `options` of a table that are for this file: JSON has none."""
    from lm_keras.data.labelled import is_json_name

    return {} if is_json_name(source) else options


# === Training ===


def check_separator(options):
    """InputError for --separator without --multi-label."""
    if options.separator is not None and not options.multi_label:
        raise InputError("--separator is between several classes of a text; give --multi-label, or leave it out")


def trained(options, train_part, valid, classes):
    """A TextClassifier of `labelled_parts`."""
    load_tensorflow()
    from lm_keras import tasks
    from lm_keras.tasks.encoders import check_encoder

    check_encoder(options.encoder)
    tell(summary(train_part, valid))
    given = {name: getattr(options, name) for name in TRAINING if getattr(options, name) is not None}
    return tasks.TextClassifier.train(
        train_part,
        encoder=options.encoder,
        classes=classes,
        validation=valid,
        multi_label=options.multi_label,
        class_weight=options.class_weight,
        **given,
    )


def summary(train_part, valid):
    """What was read, in a line: texts, classes with their counts, and how many texts are empty."""
    counts = train_part.counts().most_common()
    shown = ", ".join(f"{name} {count:,}" for name, count in counts[:SHOWN])
    more = f", and {len(counts) - SHOWN:,} more" if len(counts) > SHOWN else ""
    empty = sum(not "".join(text).strip() for text in train_part.texts)
    noted = f"; {empty:,} of the texts to train on have no word" if empty else ""
    parts = f"{len(train_part.texts):,} texts to train on and {len(valid.texts):,} to stop by"
    return f"{parts}; {len(counts)} classes: {shown}{more}{noted}"


# === Texts and labels ===


def labelled_parts(options):
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
    more |= file_options(source, {"delimiter": delimiter, "quotes": quotes})
    return data.read_labelled(source, text, label, classes=classes, encoding=encoding, **more)


def places(columns):
    """Names of columns; or numbers, where all of them are such."""
    return [int(name) for name in columns] if all(name.isdecimal() for name in columns) else columns


# === Texts that are to be answered ===


def rows_of(options, settings, pairs=False):
    """The texts of --text or --data, or pairs; `settings` names the columns of the training."""
    if options.data is None:
        about = ("text_column", "pair_column", *TABLE)
        if given := [name for name in about if getattr(options, name) is not None]:
            raise InputError(f"{flag_of(given[0])} is about --data; leave it out with --text")
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
