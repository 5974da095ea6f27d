"""`lm-keras data report`: a page on a file, a folder or a known set."""

from pathlib import Path

from lm_keras.errors import InputError


def add_report(commands):
    """Adds `report` to the commands of `lm-keras data`."""
    parser = commands.add_parser("report", help="lengths, languages, duplicates, personal data, ... as an HTML page")
    add = parser.add_argument
    add("file", metavar="PATH|NAME", help="text file, .gz, folder or known set; each line is a text")
    add("--split", help="part of a known set (default: train)")
    add("--test", metavar="PATH|NAME", help="test text: how much of it stands in the other?")
    add("--out", default="report.html", metavar="FILE", help="page to write")


def report(options):
    from lm_keras import data

    out = Path(options.out)
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give the file to write, such as {out / 'report.html'}")
    texts = lines_of(options.file, options.split, ("train",), "FILE", out)
    test = lines_of(options.test, None, ("test", "validation"), "--test", out) if options.test is not None else None
    against = f", tested on {options.test}" if options.test else ""
    title = f"Data report: {options.file}{against} (each line is a text)"
    notes = data.write_report(texts, out, test, title=title)
    for note in notes:
        print(note)
    print(f"{out}: {len(notes)} thing{'' if len(notes) == 1 else 's'} worth a look")


def lines_of(source, split, splits, name, out):
    """The lines of a path or of a known set, empty ones too, as often as they are asked for."""
    from lm_keras.data.files import TextFiles
    from lm_keras.train_command import load_texts

    if not source:
        raise InputError(f"{name} is empty; give a text file, a folder or a known set")
    texts = load_texts(source, "line", split, splits)
    if not isinstance(texts, TextFiles):
        return [line for record in texts for text in _strings(record) for line in text.split("\n")]
    if any(out.resolve() == file.resolve() for file in texts.files):
        raise InputError(f"--out {out} is a file that is to be read; give another")
    return Lines(texts)


class Lines:
    """Every line of the files, empty ones too; holds a block at a time."""

    def __init__(self, texts):
        self.texts = texts

    def __iter__(self):
        from lm_keras.data.files import TextFiles

        for file in self.texts.files:
            held = ""
            for chunk in TextFiles(self.texts.path, [file], "chunk"):
                *lines, held = (held + chunk).split("\n")
                yield from lines
            if held:
                yield held


def _strings(record):
    """The texts of a record of a known set: itself, its `text`, or all that it is made of."""
    if isinstance(record, str):
        return [record]
    if hasattr(record, "text"):
        return _strings(record.text)
    if isinstance(record, (tuple, list)):
        return [text for part in record for text in _strings(part)]
    return []
