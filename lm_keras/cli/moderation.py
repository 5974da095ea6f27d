"""`lm-keras train-task moderate`, and `predict` and `evaluate` of what it trains: which texts are allowed."""

import json
from pathlib import Path

from lm_keras.cli import labelled
from lm_keras.cli.options import number
from lm_keras.cli.reports import new_folder, show_report, write_run
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import load_tensorflow, tell

NAME, FLAGS = "moderator", tuple(name for name in (*labelled.COLUMNS, *labelled.TABLE) if name != "pair")


def add_moderate(actions) -> None:
    """Adds `train-task moderate`."""
    command = actions.add_parser("moderate", help="whether a text is allowed: by its class, by lists of words")
    command.set_defaults(call=train, pair=None)
    labelled.add_training(command)
    group = command.add_argument_group("what is not allowed")
    listed = "words and phrases, each on a line (may be repeated); the list has the name of the file"
    group.add_argument("--words", action="append", metavar="FILE", help=listed)
    classes = "a class (may be repeated; default: hate and offensive)"
    group.add_argument("--refuse", action="append", metavar="CLASS", help=classes)
    least = "least probability of these classes at which a text is refused (default: 0.5)"
    group.add_argument("--threshold", type=number(float, above=0, most=1), default=0.5, metavar="X", help=least)


def train(options):
    folder = path_of(options.out)
    labelled.check_separator(options)
    with new_folder(folder, "--out") as made:
        train_part, valid, classes = labelled.labelled_parts(options)
        load_tensorflow()
        from lm_keras import tasks
        from lm_keras.tasks.moderation import REFUSED, check_refused

        refused = check_refused(options.refuse or REFUSED, classes)
        words = _word_lists(options)
        classifier = labelled.trained(options, train_part, valid, classes)
        moderator = tasks.Moderator.of(classifier, words, refused, options.threshold)
        report = moderator.evaluate(valid)
        moderator.save(made)
        kept = (*labelled.KEPT, "words", "refuse", "threshold")
        write_run(made, "moderate", {name: getattr(options, name) for name in kept}, classifier.history, report)
    tell(
        f"{folder}: validation, refused {_percent(report.refused_right)} of the texts to refuse, allowed "
        f"{_percent(report.harmless_right)} of the harmless ones, of {report.num_texts:,} texts"
    )


def _word_lists(options):
    """{name of the file: words} of --words, or None."""
    from lm_keras.data.text_files import plain_name
    from lm_keras.tasks import read_words
    from lm_keras.tasks.listed_words import ListedWords

    lists = {}
    for path in options.words or ():
        name = Path(plain_name(path_of(path))).stem
        if name in lists:
            raise InputError(
                f"--words has two files of the name {name}; a reason could be either; give them two names"
            )
        lists[name] = read_words(path, encoding=options.encoding)
    return ListedWords(lists).lists if lists else None


# === predict and evaluate ===


def predict(options, moderator, settings) -> None:
    """Prints whether each text is allowed, its score, the reasons, and the text with its listed words in brackets."""
    from lm_keras.data import TaggedText
    from lm_keras.serving.client.results import escaped

    texts = labelled.rows_of(options, settings)
    for text, found in zip(texts, moderator.moderate(texts), strict=True):
        if options.json:
            row = {"text": text, **found._asdict(), "spans": [span._asdict() for span in found.spans]}
            print(json.dumps(row, ensure_ascii=False))
            continue
        marked = TaggedText(text, _apart(found.spans)).marked()
        reasons = ", ".join(found.reasons) or "-"
        parts = ("allowed" if found.allowed else "refused", f"{found.score:.4f}", reasons, " ".join(marked.split()))
        print("\t".join(map(escaped, parts)))


def _apart(spans):
    """(start, end, label) of the spans; of two that overlap the first one."""
    kept, end = [], 0
    for span in spans:
        if span.start >= end:
            kept.append((span.start, span.end, span.label))
            end = span.end
    return kept


def evaluate(options, moderator, settings):
    """`lm-keras evaluate RUN --data FILE|NAME` where the run is a moderator."""
    show_report(options, lambda: _measured(options, moderator, settings))


def _measured(options, moderator, settings):
    """The report by function for functional cases, else that of labelled texts."""
    from lm_keras import data, tasks

    known = not Path(options.data).exists() and options.data in data.available()
    if known and options.data == "hatecheck":
        cases = data.load(options.data, options.split or "test")
        return tasks.hatecheck_report(cases, moderator.moderate([case.text for case in cases]))
    several = moderator.classifier is not None and moderator.classifier.multi_label
    if options.separator is not None and not several:
        raise InputError(f"--separator is not for {options.run}, which is of one class a row; leave it out")
    named = {
        name: getattr(options, name) or settings.get(name, default) for name, default in labelled.COLUMNS.items()
    }
    named |= {"pair": None, "encoding": options.encoding, "split": options.split, "multi_label": several}
    named |= labelled.table_options(options, settings)
    return moderator.evaluate(labelled.labelled_texts(options.data, ("test", "validation", "all"), **named))


def _percent(share):
    return "-" if share != share else f"{share:.1%}"
