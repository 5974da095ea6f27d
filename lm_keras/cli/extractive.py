"""`lm-keras train-task extract-summary`, and `predict` and `evaluate` of what it trains: summaries by sentences."""

import json
from pathlib import Path

from lm_keras.cli.labelled import TABLE, add_table_options, rows_of
from lm_keras.cli.options import add_import, number
from lm_keras.cli.reports import new_folder, show_report, write_run
from lm_keras.cli.text_to_text import COLUMNS, add_columns, pairs_of
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import load_tensorflow, tell

FILES = (*COLUMNS, "targets", "skip_empty", *TABLE)
NAME, FLAGS = "summarizer of sentences", FILES
TRAINING = ("learn", "num_sentences", "max_sentences", "epochs", "batch_size", "learning_rate", "seed")
KEPT = ("data", "valid", "valid_targets", "encoding", "encoder", *FILES, *TRAINING)


def add_extract_summary(actions) -> None:
    """Adds `train-task extract-summary`."""
    command = actions.add_parser("extract-summary", help="a summary of each text: the best of its own sentences")
    command.set_defaults(call=train, languages=None)
    add = command.add_argument
    files = "documents and summaries: TSV, CSV, JSON lines; or known set (scitldr, dialogsum)"
    add("--data", required=True, metavar="FILE|NAME", help=files)
    add("--targets", metavar="FILE", help="line n of it belongs to line n of --data: two parallel text files")
    add("--valid", metavar="FILE", help="documents to measure by (default: those of the set, or a tenth of --data)")
    add("--valid-targets", metavar="FILE", help="the same as --targets, for --valid")
    encoders = "what gives a sentence a vector: a folder or name, e.g. all-minilm-l6-v2 (default: words by TF-IDF)"
    add("--encoder", metavar="NAME|FOLDER", help=encoders)
    add(
        "--num-sentences", type=number(int, 1, 1000), default=1, metavar="K", help="of a summary at most (default: 1)"
    )
    add(
        "--max-sentences", type=number(int, 1, 10_000), metavar="N", help="of a document that are read (default: 200)"
    )
    aims = "the most ROUGE of one sentence, or the sentences of the oracle (default: rouge)"
    add("--learn", choices=("rouge", "oracle"), default="rouge", help=aims)
    add("--out", required=True, metavar="FOLDER", help="run folder to make")
    columns = command.add_argument_group("columns", "names; or places from 0 on, in a CSV or TSV without names")
    add_columns(columns, COLUMNS)
    columns.add_argument("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, gb18030")
    add_table_options(columns)
    run = command.add_argument_group("training")
    run.add_argument("--epochs", type=number(int, 1), metavar="N", help="passes over --data (default: 15)")
    run.add_argument("--batch-size", type=number(int, 1), metavar="N", help="documents (default: 32)")
    run.add_argument("--learning-rate", type=number(float, 1e-12), metavar="X", help="default: 0.002")
    run.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N")
    add_import(command)


def documents_in(options, source, targets, splits, settings, *, split=None):
    """The (documents, summaries) of a file, of two parallel ones, or of a part of a known set, in sentences if it is.

    `settings` are those of the training, for what the options leave open.
    """
    from lm_keras import data

    if source and not Path(source).exists() and source in data.available() and not targets:
        has = data.splits(source)
        records = data.load(source, split or next((name for name in splits if name in has), has[0]))
        if not isinstance(records[0], data.Summary):
            raise InputError(f"{source} holds other records; give scitldr, dialogsum, lcsts-part3 or a file")
        return [row.sentences or row.document for row in records], [row.summaries for row in records]
    return pairs_of(options, source, targets, splits, settings, split=split)


def train(options):
    folder = path_of(options.out)
    if options.valid_targets and not options.valid:
        raise InputError("--valid-targets belongs to --valid; give both")
    with new_folder(folder, "--out") as made:
        from lm_keras import data

        documents, summaries = documents_in(options, options.data, options.targets, ("train", "validation"), {})
        known = not Path(options.data).exists()
        if options.valid:
            valid = documents_in(options, options.valid, options.valid_targets, ("validation",), {})
        elif known and {"train", "validation"} <= set(data.splits(options.data)):
            valid = documents_in(options, options.data, None, ("validation",), {})
        else:
            if len(documents) < 2:
                raise InputError(f"{options.data} holds one document; give more, or those to measure by with --valid")
            sides = data.split_texts(list(range(len(documents))), validation=0.1, seed=options.seed)
            kept, valid = (([documents[i] for i in side], [summaries[i] for i in side]) for side in sides)
            documents, summaries = kept
        load_tensorflow()
        from lm_keras import tasks

        tell(f"{len(documents):,} documents to train on and {len(valid[0]):,} to measure by")
        given = {name: getattr(options, name) for name in TRAINING if getattr(options, name) is not None}
        model = tasks.ExtractiveSummarizer.train(
            documents, summaries, encoder=options.encoder, validation=valid, **given
        )
        report = model.evaluate(*valid)
        model.save(made)
        settings = {name: getattr(options, name) for name in KEPT}
        write_run(made, "extract-summary", settings, model.history, report)
    tell(f"{folder}: validation\n{report}")


# === predict and evaluate ===


def predict(options, model, settings) -> None:
    """Prints the summary of each document, a line each; or a JSON object."""
    from lm_keras.serving.client.results import escaped

    documents = rows_of(options, settings | {"text": settings.get("source", COLUMNS["source"])})
    for document, found in zip(documents, model.summarize(documents), strict=True):
        if options.json:
            row = {"document": document, "summary": found.text, "score": found.score, "places": found.places}
            print(json.dumps(row, ensure_ascii=False))
        else:
            print(escaped(found.text))


def evaluate(options, model, settings) -> None:
    """`lm-keras evaluate RUN --data FILE|NAME` where the run summarizes by sentences."""

    def measured():
        splits = ("test", "validation", "all")
        rows = documents_in(options, options.data, options.targets, splits, settings, split=options.split)
        return model.evaluate(*rows)

    show_report(options, measured)
