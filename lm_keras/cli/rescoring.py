"""`lm-keras train-task rescore`, `predict` and `evaluate` of what it makes: the best of a recognizer's list."""

import json
from pathlib import Path

from lm_keras.cli.labelled import TABLE
from lm_keras.cli.options import add_import, number, refuse_flags
from lm_keras.cli.reports import new_folder, show_report, write_run
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import load_tensorflow, tell

KEPT = ("data", "split", "valid", "encoding", "model", "ngrams", "order", "seed")  # of the run, in run.json
NAME, FLAGS = "rescorer", ()
MEASURED = 0.2  # of --data, where there is no --valid
LISTS = 'n-best lists, JSON lines (.gz, .bz2, .xz): {"hypotheses": [best first, ...], "scores": [...], "reference"}'


def add_rescore(actions) -> None:
    """Adds `train-task rescore`."""
    command = actions.add_parser("rescore", help="the best of a speech recognizer's guesses, by language models")
    command.set_defaults(call=train)
    add = command.add_argument
    add("--data", required=True, metavar="FILE|NAME", help=f"{LISTS}; or known set (hyporadise-nbest)")
    add("--split", metavar="S", help="part of a known set (default: train)")
    measured = "lists to measure by (default: a fifth of --data); the weights are searched on the others"
    add("--valid", metavar="FILE", help=measured)
    models = "a language model: its folder, or that of an NGramLM (may be repeated)"
    add("--model", action="append", default=[], metavar="FOLDER", help=models)
    add("--ngrams", metavar="FILE", help="count the n-grams of its lines as a language model beside")
    add("--order", type=number(int, 1, 10), metavar="N", help="words of the longest n-grams (default: 3)")
    add("--out", required=True, metavar="FOLDER", help="run folder to make")
    add("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, gb18030")
    add("--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N", help="of what is measured by")
    add_import(command)


def train(options):
    folder = path_of(options.out)
    if not options.model and options.ngrams is None:
        raise InputError("there is no language model; give --model FOLDER, or --ngrams FILE of texts to count")
    if options.order is not None and options.ngrams is None:
        raise InputError("--order is of the n-grams of --ngrams; leave it out")
    with new_folder(folder, "--out") as made:
        lists, measured = _parts(options)
        load_tensorflow()
        from lm_keras import data, tasks, text_model

        models = [text_model.TextModel.load(path) for path in options.model]
        if options.ngrams is not None:
            texts = [line for line in data.read_texts(options.ngrams, encoding=options.encoding) if line.strip()]
            models.append(tasks.NGramLM.train(texts, order=options.order or 3))
        rescorer = tasks.Rescorer.of(models)
        found = rescorer.fit_weights(lists)
        rescorer = rescorer.with_weights(**found.weights)
        report = rescorer.evaluate(measured)
        rescorer.save(made)
        tried = [{**one.weights, "wer": one.wer} for one in found.path]
        write_run(made, "rescore", {name: getattr(options, name) for name in KEPT}, tried, report)
    weights = ", ".join(f"{weight:.4g}" for weight in rescorer.weights_lm)
    tell(
        f"{folder}: weights of language models {weights}, of a word {rescorer.weight_length:.4g}, by {len(lists):,} "
        f"lists; word error rate of {len(measured):,} others {report.first.wer:.2%} -> {report.wer:.2%} "
        f"(oracle {report.oracle.wer:.2%})"
    )


def _parts(options):
    """The lists to search weights by, and those to measure by."""
    from lm_keras import data

    lists = nbest_records(options.data, encoding=options.encoding, split=options.split, default="train")
    if options.valid:
        return lists, nbest_records(options.valid, encoding=options.encoding)
    said = list(dict.fromkeys(one.reference for one in lists))
    if len(said) < 2:
        raise InputError(f"{options.data} holds lists of one text; give more, or those to measure by with --valid")
    _, others = map(set, data.split_texts(said, validation=MEASURED, seed=options.seed))
    return tuple([one for one in lists if (one.reference in others) == side] for side in (False, True))


def nbest_records(source, *, encoding="utf-8", split=None, default="test", references=True):
    """The lists of a file, or of a part of a known set."""
    from lm_keras import data

    if not source:
        raise InputError("--data is empty; give a file of n-best lists, or a known set")
    if not Path(source).exists() and source in data.available():
        known = data.splits(source)
        records = data.load(source, split or (default if default in known else known[0]))
        if not isinstance(records[0], data.Hypotheses):
            raise InputError(f"{source} holds other records; give hyporadise-nbest or a file")
        return records
    if not Path(source).exists() and "." not in Path(source).name:
        raise InputError(f"{source!r} is neither a file nor a known set; known: {', '.join(data.available())}")
    if split:
        raise InputError(f"--split {split} is for known sets, and {source} is none; leave it out")
    return data.read_hypotheses(source, encoding=encoding, references=references)


# === predict and evaluate ===


def predict(options, rescorer, settings) -> None:
    """Prints the best hypothesis of each list with its score and its place; of --text, those of one utterance."""
    from lm_keras.serving.client.results import escaped

    refuse_flags(options, ("pair", "text_column", "pair_column", *TABLE), "classifier")
    if options.data is None:
        found = rescorer.rescore(options.text)
    else:
        found = rescorer.rescore(nbest_records(options.data, encoding=options.encoding, references=False))
    for one in found:
        if options.json:
            print(json.dumps(one._asdict(), ensure_ascii=False))
        else:
            print("\t".join(map(escaped, (" ".join(one.text.split()), f"{one.score:.4f}", str(one.place)))))


def evaluate(options, rescorer, settings):
    """`lm-keras evaluate RUN --data FILE|NAME` where the run is a rescorer."""

    def measured():
        return rescorer.evaluate(nbest_records(options.data, encoding=options.encoding, split=options.split))

    show_report(options, measured)
