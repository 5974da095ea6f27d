"""`lm-keras train-task answer`, and `predict` and `evaluate` of what it trains: answers that stand in a text."""

import json
from pathlib import Path

from lm_keras.cli.labelled import rows_of
from lm_keras.cli.options import add_import, number
from lm_keras.cli.reports import new_folder, show_report, write_run
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import load_tensorflow, tell

KEPT = ("data", "valid", "encoding", "encoder", "threshold", "max_length", "seed")  # of the run, in run.json
TRAINING = ("epochs", "batch_size", "learning_rate", "threshold", "max_length", "seed")
NAME, FLAGS = "answerer", ()
NONE = "-"  # printed for no answer


def add_answer(actions) -> None:
    """Adds `train-task answer`."""
    command = actions.add_parser("answer", help="the answer to a question where it stands in a text")
    command.set_defaults(call=train)
    add = command.add_argument
    files = (
        'JSON lines (.gz, .bz2, .xz) of {"question", "context", "answers": [{"text", "start"}]}, a file of SQuAD\'s '
        "form, or known set with questions"
    )
    add("--data", required=True, metavar="FILE|NAME", help=files)
    held_out = "questions to measure by (default: those on a tenth of the contexts of --data)"
    add("--valid", metavar="FILE", help=held_out)
    encoders = "a pretrained encoder: its folder or name"
    add("--encoder", default="all-minilm-l6-v2", metavar="NAME|FOLDER", help=encoders)
    add("--out", required=True, metavar="FOLDER", help="run folder to make")
    add("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, gb18030")
    run = command.add_argument_group("training")
    passes = "passes over --data (default: 4, of few questions more)"
    run.add_argument("--epochs", type=number(int, 1), metavar="N", help=passes)
    run.add_argument("--batch-size", type=number(int, 1), metavar="N", help="default: 16, of few questions less")
    run.add_argument("--learning-rate", type=number(float, 1e-12), metavar="X", help="default: 2e-4")
    least = "score below which a question gets no answer (default: by the questions of --valid without one; else 0)"
    run.add_argument("--threshold", type=number(float, 0, 1), metavar="X", help=least)
    run.add_argument(
        "--max-length", type=number(int, 8), metavar="N", help="tokens of question and window (default: 384)"
    )
    run.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N")
    add_import(command)


# === train-task answer ===


def train(options):
    folder = path_of(options.out)
    with new_folder(folder, "--out") as made:
        records = questions_of(options.data, ("train",), encoding=options.encoding)
        valid = questions_of(options.valid, ("validation",), encoding=options.encoding) if options.valid else None
        load_tensorflow()
        from lm_keras import tasks
        from lm_keras.tasks.qa_training import train_and_held_out

        records, valid = train_and_held_out(records, valid, options.seed)
        tell(f"{len(records):,} questions to train on and {len(valid):,} to measure by")
        given = {name: getattr(options, name) for name in TRAINING if getattr(options, name) is not None}
        answerer = tasks.QuestionAnswerer.train(records, encoder=options.encoder, validation=valid, **given)
        report = answerer.evaluate(valid)
        answerer.save(made)
        write_run(made, "answer", {name: getattr(options, name) for name in KEPT}, answerer.history, report)
    said = f"exact match {report.exact_match:.1%}, F1 {report.f1:.1%} over {report.num_questions:,} questions"
    limit = f", answers below a score of {answerer.threshold:.3g} left out" if answerer.threshold else ""
    tell(f"{folder}: validation {said}{limit}")


def questions_of(source, splits, *, encoding="utf-8", split=None):
    """The questions of a file, or of a part of a known set: `split`, or the first of `splits` that it has."""
    from lm_keras import data

    if not source:
        raise InputError("--data is empty; give a file of questions, or a known set")
    if not Path(source).exists() and source in data.available():
        known = data.splits(source)
        records = data.load(source, split or next((name for name in splits if name in known), known[0]))
        if not isinstance(records[0], data.QuestionAnswer) or not records[0].context or records[0].supporting:
            raise InputError(f"{source} holds other records; give squad2-cs224n-dev, xquad or a file")
        return records
    if not Path(source).exists() and "." not in Path(source).name:
        raise InputError(f"{source!r} is neither a file nor a known set; known: {', '.join(data.available())}")
    if split:
        raise InputError(f"--split {split} is for known sets, and {source} is none; leave it out")
    return data.read_questions(source, encoding=encoding)


# === predict and evaluate ===


def predict(options, answerer, settings) -> None:
    """Prints the answer to each (question, context) with its score, or a JSON object; a dash where there is none."""
    from lm_keras.serving.client.results import escaped

    pairs = rows_of(options, {"text": "question", "pair": "context"}, pairs=True)
    for (question, context), found in zip(pairs, answerer.answer(*zip(*pairs, strict=True)), strict=True):
        if options.json:
            row = {"question": question, "context": context, "answer": found.text}
            row |= {
                "answered": bool(found.text),
                **{name: getattr(found, name) for name in ("score", "start", "end")},
            }
            print(json.dumps(row, ensure_ascii=False))
        else:
            answer = " ".join(found.text.split()) or NONE
            print("\t".join(map(escaped, (answer, f"{found.score:.4f}", " ".join(question.split())))))


def evaluate(options, answerer, settings) -> None:
    """`lm-keras evaluate RUN --data FILE|NAME` where the run answers questions."""

    def measured():
        splits = ("test", "validation", "en", "all")
        return answerer.evaluate(questions_of(options.data, splits, encoding=options.encoding, split=options.split))

    show_report(options, measured)
