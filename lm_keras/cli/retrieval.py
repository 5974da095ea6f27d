"""`lm-keras train-task retrieve`, and `predict` and `evaluate` of what it makes: answers of a knowledge base."""

import json

from lm_keras.cli.labelled import TABLE, add_table_options, places, rows_of, table_options
from lm_keras.cli.options import add_import, number
from lm_keras.cli.reports import new_folder, show_report, write_run
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import load_tensorflow, tell

COLUMNS = {"question": "question", "answer": "answer"}  # of a run that does not say
KEPT = ("data", "valid", "encoding", "method", "encoder", "k1", "b", "separator", *COLUMNS, "delimiter", "quotes")
ENCODER = "all-minilm-l6-v2"  # of --method embedder, unless another is named
NAME, FLAGS = "retriever", ("separator", *COLUMNS, *TABLE)
REFUSED = "[does not know]"


def add_retrieve(actions) -> None:
    """Adds `train-task retrieve`."""
    command = actions.add_parser("retrieve", help="the answer to a question from known ones, or that there is none")
    command.set_defaults(call=train)
    add = command.add_argument
    add("--data", required=True, metavar="FILE", help="questions and answers: CSV, TSV, JSON lines (.gz, .bz2, .xz)")
    chosen = "other questions, without an answer where they are out of scope: the threshold is chosen by them"
    add("--valid", metavar="FILE", help=chosen)
    methods = "tfidf, bm25: by words; embedder: by vectors of an encoder (default: tfidf)"
    add("--method", choices=("tfidf", "bm25", "embedder"), default="tfidf", help=methods)
    encoders = f"of embedder: a folder or name (default: {ENCODER})"
    add("--encoder", metavar="NAME|FOLDER", help=encoders)
    least = "least score of an answer (default: chosen by --valid, else that of the method)"
    add("--threshold", type=number(float, 0, 1), metavar="X", help=least)
    add("--unknown", default="", metavar="TEXT", help="what is answered below the threshold (default: nothing)")
    add("--k1", type=number(float, 0), metavar="X", help="of bm25 (default: 1.2)")
    add("--b", type=number(float, 0, 1), metavar="X", help="of bm25 (default: 0.75)")
    add("--out", required=True, metavar="FOLDER", help="run folder to make")
    columns = command.add_argument_group("columns", "names; or places from 0 on, in a CSV or TSV without names")
    add_columns(columns, COLUMNS)
    several = "between several questions of a row (default: each row has one)"
    columns.add_argument("--separator", metavar="S", help=several)
    add_table_options(columns)
    columns.add_argument("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, gb18030")
    add_import(command)


def add_columns(group, defaults) -> None:
    """The flags of the columns of a file of questions and answers."""
    group.add_argument("--question", default=defaults["question"], metavar="COL", help="the questions")
    group.add_argument("--answer", default=defaults["answer"], metavar="COL", help="the answers")


def read(options, path, settings, *, unanswered):
    """The entries of a file, by a command's options, else by those of the training."""
    from lm_keras import data
    from lm_keras.data.labelled import is_json_name

    given = {name: getattr(options, name) for name in (*COLUMNS, "separator")}
    named = {name: settings.get(name, COLUMNS.get(name)) if value is None else value for name, value in given.items()}
    form = table_options(options, settings)
    return data.read_knowledge(
        path,
        *places([named["question"], named["answer"]]),
        separator=named["separator"],
        unanswered=unanswered,
        encoding=options.encoding,
        **({} if is_json_name(path) else form),
    )


def train(options):
    folder = path_of(options.out)
    if options.encoder is not None and options.method != "embedder":
        raise InputError(f"--encoder is for --method embedder, not for {options.method}; leave it out")
    numbers = {name: getattr(options, name) for name in ("k1", "b") if getattr(options, name) is not None}
    if numbers and options.method != "bm25":
        raise InputError(f"--{next(iter(numbers))} is for --method bm25, not for {options.method}; leave it out")
    with new_folder(folder, "--out") as made:
        entries = read(options, options.data, {}, unanswered=False)
        valid = read(options, options.valid, {}, unanswered=True) if options.valid else None
        load_tensorflow()
        from lm_keras import tasks

        retriever = tasks.Retriever.train(
            entries,
            validation=valid if options.threshold is None else None,
            method=options.method,
            embedder=(options.encoder or ENCODER) if options.method == "embedder" else None,
            threshold=options.threshold,
            unknown=options.unknown,
            **numbers,
        )
        report = retriever.evaluate(valid) if valid else None
        retriever.save(made)
        write_run(made, "retrieve", {name: getattr(options, name) for name in KEPT}, {}, report)
    by = "given" if options.threshold is not None else "chosen" if valid else "of the method; --valid chooses one"
    told = f"{folder}: {len(entries):,} questions, {options.method}, threshold {retriever.threshold:.4f} ({by})"
    if report is not None and report.num_known and report.num_unknown:
        shares = report.shares
        told += f"; validation: {shares['answered_rightly']:.1%} answered rightly, "
        told += f"{shares['refused_rightly']:.1%} of those out of scope refused"
    tell(told)


def predict(options, retriever, settings) -> None:
    """Prints the answer to each question with its score, the known question that is nearest, and the question."""
    from lm_keras.serving.client.results import escaped

    questions = rows_of(options, settings | {"text": settings.get("question", COLUMNS["question"])})
    for question, found in zip(questions, retriever.retrieve(questions), strict=True):
        if options.json:
            row = {name: value for name, value in found._asdict().items() if name != "candidates"}
            print(json.dumps({"question": question} | row, ensure_ascii=False))
            continue
        answer = found.answer if found.answered else f"{REFUSED} {found.answer}"
        cells = (answer, f"{found.score:.4f}", found.matched, question)
        print("\t".join(escaped(" ".join(cell.split())) for cell in cells))


def evaluate(options, retriever, settings):
    """`lm-keras evaluate RUN --data FILE` where the run is a retriever."""
    if options.split is not None:
        raise InputError(f"--split {options.split} is for known sets, and {options.data} is none; leave it out")

    def measured():
        return retriever.evaluate(read(options, options.data, settings, unanswered=True))

    show_report(options, measured)
