"""`lm-keras data`: the known sets, and a page on a file, a folder or a set."""

from collections import Counter
from pathlib import Path

from lm_keras.cli.options import Commands
from lm_keras.errors import InputError


def add_commands(commands: Commands) -> None:
    """Adds `data list`, `data fetch` and `data report` to the commands of `lm-keras`."""
    actions = commands.add_parser("data", help="known data sets").add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="names, licences and where they are")
    listing.set_defaults(call=list_sets)
    fetching = actions.add_parser("fetch", help="download a set")
    fetching.set_defaults(call=fetch)
    fetching.add_argument("name")
    _add_report(actions)


def list_sets(options):
    from lm_keras import data

    for name in data.available():
        print(data.describe(name))


def fetch(options):
    from lm_keras import data

    print(data.fetch(options.name))


def _add_report(actions):
    parser = actions.add_parser("report", help="lengths, languages, duplicates, personal data, ... as an HTML page")
    parser.set_defaults(call=report)
    add = parser.add_argument
    add("file", metavar="PATH|NAME", help="text file (.gz, .bz2, .xz), CSV, TSV, JSON lines, folder or known set")
    add("--split", help="part of a known set (default: train)")
    add("--test", metavar="PATH|NAME", help="test text: how much of it stands in the other?")
    add("--text", default="text", metavar="COLUMN", help="CSV, TSV, JSON lines: the column of the texts (text)")
    add("--label", default="label", metavar="COLUMN", help="the same for the labels (label)")
    add("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, latin-1, gb18030")
    add("--out", default="report.html", metavar="FILE", help="page to write")


def report(options):
    from lm_keras import data

    out = Path(options.out)
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give the file to write, such as {out / 'report.html'}")
    texts, kind, labels = texts_of(options.file, options.split, ("train",), "FILE", options)
    test, against = None, ""
    if options.test is not None:
        test, *_ = texts_of(options.test, None, ("test", "validation"), "--test", options)
        against = f", tested on {options.test}"
    split = f", split {options.split}" if options.split else ""
    title = f"Data report: {options.file}{split}{against} ({kind})"
    notes = data.write_report(texts, out, test, title=title, labels=labels)
    for note in notes:
        print(note)
    print(f"{out}: {len(notes)} thing{'' if len(notes) == 1 else 's'} worth a look")


def texts_of(source, split, splits, name, options):
    """`(texts, kind, labels)` of a path or of a known set; `texts` can be iterated again and again.

    Running text: its lines, empty ones too. Records: all their texts, and `labels` {class: number} if they have any.
    A table: its column of texts, and the labels beside it.
    """
    from lm_keras import data
    from lm_keras.cli.train import load_texts
    from lm_keras.data.corpora.records import record_texts
    from lm_keras.data.text_files import TABLES, TextFiles, plain_name

    if not source:
        raise InputError(f"{name} is empty; give a text file, a folder or a known set")
    out, encoding = Path(options.out), options.encoding
    if plain_name(Path(source)).endswith(TABLES):
        _check_out(out, [Path(source)])
        found = data.read_labelled(source, options.text, options.label, encoding=encoding)
        return found.texts, f"each row of column {options.text} is a text", found.counts()
    found = load_texts(source, "line", split, splits, records=True, encoding=encoding)
    if isinstance(found, TextFiles):
        _check_out(out, found.files)
        return Lines(found), "each line is a text", None
    if isinstance(found[0], str):
        return [line for text in found for line in text.split("\n")], "each line is a text", None
    kind = f"the texts of {len(found):,} {type(found[0]).__name__} records"
    labels = None
    if hasattr(found[0], "label"):
        names = data.classes(source)
        labels = Counter(names[record.label] for record in found)
    return record_texts(found), kind, labels


def _check_out(out, files):
    if any(out.resolve() == file.resolve() for file in files):
        raise InputError(f"--out {out} is a file that is to be read; give another")


class Lines:
    """Every line of the files, empty ones too; holds a block at a time."""

    def __init__(self, texts):
        self.texts = texts

    def __iter__(self):
        from lm_keras.data.text_files import TextFiles

        for file in self.texts.files:
            held = ""
            for chunk in TextFiles(self.texts.path, [file], "chunk", self.texts.encoding):
                *lines, held = (held + chunk).split("\n")
                yield from lines
            if held:
                yield held
