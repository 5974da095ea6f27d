"""`lm-keras train-task translate` and `summarize`, and `predict` and `evaluate` of what they train."""

import json
from pathlib import Path

from lm_keras.cli.labelled import TABLE, add_table_options, file_options, places, rows_of, table_options
from lm_keras.cli.options import add_import, flag_of, number
from lm_keras.cli.reports import new_folder, show_report, write_run
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import load_tensorflow, tell

COLUMNS = {"source": "source", "target": "target"}  # of a run that does not say
PAIRS = ("targets", "languages", "skip_empty")  # what else says where the pairs are
NAME, FLAGS = "translator or summarizer", (*COLUMNS, *PAIRS, *TABLE)
WRITING = ("num_beams", "max_new_tokens")  # options of `predict` that are about what is written
TRAINING = (
    *("model", "tokenizer", "target_tokenizer", "vocab_size", "metric", "label_smoothing", "average_checkpoints"),
    *(
        "patience",
        "max_source_tokens",
        "max_target_tokens",
        "epochs",
        "batch_size",
        "learning_rate",
        "dropout",
        "seed",
    ),
)
KEPT = ("data", "valid", "valid_targets", "encoding", *FLAGS, *TRAINING)
REPORTS = {"translate": "bleu", "summarize": "rouge"}


def add_translate(actions) -> None:
    """Adds `train-task translate`."""
    _add(
        actions.add_parser("translate", help="a translation of each text, or another text made from it"), "translate"
    )


def add_summarize(actions) -> None:
    """Adds `train-task summarize`."""
    _add(actions.add_parser("summarize", help="a summary of each text, in words of its own"), "summarize")


def _add(command, task):
    translates = task == "translate"
    command.set_defaults(call=train, task=task)
    add = command.add_argument
    known = "multi30k, tatoeba-cmn" if translates else "dialogsum, scitldr"
    add("--data", required=True, metavar="FILE|NAME", help=f"pairs: TSV, CSV, JSON lines; or known set ({known})")
    add("--targets", metavar="FILE", help="line n of it belongs to line n of --data: two parallel text files")
    add("--valid", metavar="FILE", help="pairs to measure by (default: those of the set, or a tenth of --data)")
    add("--valid-targets", metavar="FILE", help="the same as --targets, for --valid")
    if translates:
        add("--languages", metavar="A-B", help="of a known set, from which language to which, such as de-en")
    else:
        command.set_defaults(languages=None)
    models = ("transformer", "lstm", "pointer_generator")
    add("--model", choices=models, default="transformer", help="pointer_generator copies words that it does not know")
    kinds = ("bpe", "word", "char")
    add("--tokenizer", choices=kinds, help="default: bpe, of pointer_generator word")
    own = "of the targets, where they have a vocabulary of their own (default: one for both)"
    add("--target-tokenizer", choices=kinds, help=own)
    add("--vocab-size", type=number(int, 2), default=8000, metavar="N")
    add("--hidden-dim", type=number(int, 1), metavar="N", help="width of the model (default: 128, of LSTMs 256)")
    add("--num-layers", type=number(int, 1), metavar="N", help="of each side (default: 4, of LSTMs 1)")
    add("--dropout", type=number(float, 0, 0.99), metavar="X", help="default: 0.2, of LSTMs 0.3")
    add("--out", required=True, metavar="FOLDER", help="run folder to make")
    columns = command.add_argument_group("columns", "names; or places from 0 on, in a CSV or TSV without names")
    add_columns(columns, COLUMNS)
    columns.add_argument("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, gb18030")
    add_table_options(columns)
    run = command.add_argument_group("training")
    measures = ("bleu", "chrf") if translates else ("rouge1", "rouge2", "rougeL")
    said = "measure of what is written for --valid after each epoch, by which the weights are chosen"
    run.add_argument("--metric", choices=measures, default=measures[0] if translates else "rougeL", help=said)
    smoothed = "default: 0.1, of pointer_generator 0"
    run.add_argument("--label-smoothing", type=number(float, 0, 1), metavar="X", help=smoothed)
    means = "last epochs of which the mean of the weights is tried"
    run.add_argument("--average-checkpoints", type=number(int, 1), default=5, metavar="N", help=means)
    run.add_argument(
        "--patience", type=number(int, 0), metavar="N", help="epochs without a better measure to stop at"
    )
    run.add_argument("--max-source-tokens", type=number(int, 1), metavar="N", help="that are read (default: all)")
    run.add_argument("--max-target-tokens", type=number(int, 1), metavar="N", help="that are learned (default: all)")
    run.add_argument("--epochs", type=number(int, 1), metavar="N", help="passes over --data (default: the model's)")
    run.add_argument("--batch-size", type=number(int, 1), metavar="N", help="default: the model's")
    run.add_argument("--learning-rate", type=number(float, 1e-12), metavar="X", help="default: the model's")
    run.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N")
    add_import(command)


def add_columns(group, defaults) -> None:
    """The flags of the columns of a file of pairs."""
    group.add_argument("--source", default=defaults["source"], metavar="COL", help="the sources")
    group.add_argument("--target", default=defaults["target"], metavar="COL", help="the targets")
    empty = "leave out pairs of which a side is empty"
    group.add_argument("--skip-empty", action="store_const", const=True, help=empty)


def add_pair_options(group) -> None:
    """The flags of `evaluate` that say where pairs are."""
    add_columns(group, dict.fromkeys(COLUMNS))
    group.add_argument("--targets", metavar="FILE", help="line n of it belongs to line n of --data")
    group.add_argument("--languages", metavar="A-B", help="of a known set, such as de-en")


def add_writing_options(command) -> None:
    """The flags of `predict` that are about what is written."""
    command.add_argument("--num-beams", type=number(int, 1), metavar="N", help="of a translator: beams of its search")
    command.add_argument(
        "--max-new-tokens", type=number(int, 1), metavar="N", help="of a translator: the most tokens"
    )


# === Pairs ===


def pairs_of(options, source, targets, splits, settings, *, split=None):
    """The (sources, references) of a file, of two parallel ones, or of a part of a known set.

    References are a list of one or several strings for each source. `settings` are those of the training, for what
    the options leave open.
    """
    from lm_keras import data

    if not source:
        raise InputError("--data is empty; give a file of pairs, or a known set")
    known = not Path(source).exists() and source in data.available()
    if not Path(source).exists() and not known and "." not in Path(source).name:
        raise InputError(f"{source!r} is neither a file nor a known set; known: {', '.join(data.available())}")
    if split and not known:
        raise InputError(f"--split {split} is for known sets, and {source} is none; leave it out")
    if known:
        if targets:
            raise InputError(f"--targets belongs to a text file, and {source} is a known set; leave it out")
        has = data.splits(source)
        records = data.load(source, split or next((name for name in splits if name in has), has[0]))
        return _of_records(source, records, options.languages or settings.get("languages"))
    skip = {"skip_empty": bool(options.skip_empty), "encoding": options.encoding}
    if targets:
        rows = data.read_parallel(source, targets, **skip)
    else:
        given = {name: getattr(options, name) for name in COLUMNS}
        named = [settings.get(name, COLUMNS[name]) if value is None else value for name, value in given.items()]
        form = file_options(source, table_options(options, settings))
        rows = data.read_pairs(source, *places(named), **skip, **form)
    return [pair.source for pair in rows], [[pair.target] for pair in rows]


def _of_records(name, records, languages):
    from lm_keras import data

    first = records[0]
    if isinstance(first, data.Summary):
        return [record.document for record in records], [list(record.summaries) for record in records]
    sides = first._fields if isinstance(first, (data.Translation, data.TextPair)) else ()
    if not sides:
        raise InputError(f"{name} holds other records; give multi30k, tatoeba-cmn, dialogsum or a file")
    wanted = (languages or "").split("-")
    if isinstance(first, data.TextPair) and not languages:
        wanted = list(sides)
    if len(wanted) != 2 or not set(wanted) <= set(sides) or wanted[0] == wanted[1]:
        raise InputError(f"--languages is {languages!r}; {name} has {', '.join(sides)}: give two, such as de-en")
    return [getattr(row, wanted[0]) for row in records], [[getattr(row, wanted[1])] for row in records]


def _flat(sources, references):
    """Pairs to train on: a source with several references is one with each."""
    from lm_keras.data import TextPair

    return [
        TextPair(source, target)
        for source, some in zip(sources, references, strict=True)
        for target in some
        if target
    ]


# === Training ===


def train(options):
    folder = path_of(options.out)
    if options.valid_targets and not options.valid:
        raise InputError("--valid-targets belongs to --valid; give both")
    with new_folder(folder, "--out") as made:
        from lm_keras import data

        pairs = pairs_of(options, options.data, options.targets, ("train", "validation"), {})
        known = not Path(options.data).exists()
        if options.valid:
            valid = pairs_of(options, options.valid, options.valid_targets, ("validation",), {})
        else:
            valid = None
            if known and {"train", "validation"} <= set(data.splits(options.data)):
                valid = pairs_of(options, options.data, None, ("validation",), {})
        load_tensorflow()
        from lm_keras import tasks
        from lm_keras.tasks.text_to_text_training import train_and_held_out

        held_out = _flat(*valid) if valid else None
        train_pairs, held_out = train_and_held_out(_flat(*pairs), None, held_out, options.seed)
        tell(f"{len(train_pairs):,} pairs to train on and {len(held_out):,} to measure by")
        given = {name: getattr(options, name) for name in TRAINING if getattr(options, name) is not None}
        model = tasks.TextToText.train(train_pairs, validation=held_out, **given)
        report = model.evaluate(*(valid or (held_out,)), metric=REPORTS[options.task])
        model.save(made)
        write_run(made, options.task, {name: getattr(options, name) for name in KEPT}, model.history, report)
    tell(f"{folder}: validation\n{report}")


# === predict and evaluate ===


def predict(options, model, settings) -> None:
    """Prints what is written for each source, a line each; or a JSON object."""
    from lm_keras.serving.client.results import escaped

    sources = rows_of(options, settings | {"text": settings.get("source", COLUMNS["source"])})
    given = {name: getattr(options, name) for name in WRITING if getattr(options, name) is not None}
    if "max_new_tokens" not in given and settings.get("max_target_tokens"):
        given["max_new_tokens"] = settings["max_target_tokens"]
    for source, found in zip(sources, model.generate(sources, **given), strict=True):
        if options.json:
            print(json.dumps({"source": source, "target": found.text, "score": found.score}, ensure_ascii=False))
        else:
            print(escaped(" ".join(found.text.split())))


def evaluate(options, model, settings) -> None:
    """`lm-keras evaluate RUN --data FILE|NAME` where the run writes texts from texts."""

    def measured():
        splits = ("test", "validation", "all")
        pairs = pairs_of(options, options.data, options.targets, splits, settings, split=options.split)
        return model.evaluate(*pairs, metric=REPORTS.get(settings.get("task"), "bleu"))

    show_report(options, measured)


def refuse_writing_options(options) -> None:
    """InputError where an option about what is written is given for a model that writes nothing."""
    if given := [name for name in WRITING if getattr(options, name) is not None]:
        raise InputError(f"{flag_of(given[0])} is for a {NAME}, and {options.run} is none; leave it out")
