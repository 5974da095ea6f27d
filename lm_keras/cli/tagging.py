"""`lm-keras train-task tag`, and `predict` and `evaluate` of a tagger: sentences with tags to spans in text."""

import json
from pathlib import Path

from lm_keras.cli.labelled import rows_of
from lm_keras.cli.options import add_import, number
from lm_keras.cli.reports import new_folder, show_report, write_run
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import load_tensorflow, tell

NAME, FLAGS = "tagger", ("word", "tag", "columns", "comment")
MISTAKES = "mistakes.txt"
COLUMNS = {"word": 0, "tag": -1, "columns": None, "comment": None}  # of a run that does not say
KEPT = ("data", "valid", "encoding", "encoder", "word_vectors", "crf", "max_length", "seed", *COLUMNS)
TRAINING = ("epochs", "batch_size", "learning_rate", "max_length", "seed")
JSON = (".jsonl", ".ndjson", ".json")


def add_tag(actions) -> None:
    """Adds `train-task tag`."""
    command = actions.add_parser("tag", help="names, places and other spans in texts")
    command.set_defaults(call=train)
    add = command.add_argument
    files = (
        "columns of words and tags (CoNLL), JSON lines of texts and spans (.gz, .bz2, .xz), or known set with tags"
    )
    add("--data", required=True, metavar="FILE|NAME", help=files)
    add("--valid", metavar="FILE", help="sentences to measure by (default: those of the set, or a tenth of --data)")
    encoders = "bilstm; or a pretrained one: its folder or name, e.g. all-minilm-l6-v2"
    add("--encoder", default="bilstm", metavar="NAME|FOLDER", help=encoders)
    vectors = "of bilstm: what its words start from, a file of GloVe's format, or glove-6b-50d-400k, which is fetched"
    add("--word-vectors", metavar="FILE|NAME", help=vectors)
    add("--no-crf", dest="crf", action="store_false", help="of bilstm: each tag for itself, no chain of tags")
    add("--out", required=True, metavar="FOLDER", help="run folder to make")
    columns = command.add_argument_group("columns", "of a file of words and tags, from 0 on; -1 is the last")
    add_columns(columns, COLUMNS)
    columns.add_argument("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, gb18030")
    run = command.add_argument_group("training")
    run.add_argument("--epochs", type=number(int, 1), metavar="N", help="passes over --data (default: the encoder's)")
    run.add_argument("--batch-size", type=number(int, 1), metavar="N", help="default: the encoder's")
    run.add_argument("--learning-rate", type=number(float, 1e-12), metavar="X", help="default: the encoder's")
    run.add_argument("--max-length", type=number(int, 1), metavar="N", help="tokens of a window (default: 256)")
    run.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N")
    add_import(command)


def add_columns(group, defaults) -> None:
    """The flags of the columns of a file of words and tags."""
    group.add_argument("--word", type=number(int, -(2**31)), default=defaults["word"], metavar="N", help="the words")
    group.add_argument("--tag", type=number(int, -(2**31)), default=defaults["tag"], metavar="N", help="the tags")
    between = "between two columns, e.g. tab (default: white space)"
    group.add_argument("--columns", default=defaults["columns"], metavar="S", help=between)
    comment = "what a line begins with that is no word"
    group.add_argument("--comment", default=defaults["comment"], metavar="S", help=comment)


# === train-task tag ===


def train(options):
    folder = path_of(options.out)
    with new_folder(folder, "--out") as made:
        sentences, valid = _data(options)
        load_tensorflow()
        from lm_keras import tasks

        given = {name: getattr(options, name) for name in TRAINING if getattr(options, name) is not None}
        tagger = tasks.TextTagger.train(
            sentences,
            encoder=options.encoder,
            word_vectors=options.word_vectors,
            crf=options.crf,
            validation=valid,
            **given,
        )
        report = tagger.evaluate(valid)
        tagger.save(made)
        write_run(made, "tag", {name: getattr(options, name) for name in KEPT}, tagger.history, report)
    tell(f"{folder}: validation F1 of spans {report.f1:.1%} over {report.num_texts:,} sentences")


def _data(options):
    """The sentences to train on and those to measure by."""
    from lm_keras import data

    named = {name: getattr(options, name) for name in (*COLUMNS, "encoding")}
    sentences = tagged_sentences(options.data, ("train",), **named)
    if options.valid:
        return sentences, tagged_sentences(options.valid, ("validation", "test"), **named)
    if not Path(options.data).exists() and "validation" in data.splits(options.data):
        return sentences, tagged_sentences(options.data, ("validation",), **named)
    if len(sentences) < 2:
        raise InputError(f"{options.data} holds one sentence; give more, or those to measure by with --valid")
    return data.split_texts(sentences, validation=0.1, seed=options.seed)


def tagged_sentences(source, splits, *, word=0, tag=-1, columns=None, comment=None, encoding="utf-8", split=None):
    """The sentences of a file, or of a part of a known set: `split`, or the first of `splits` that it has."""
    from lm_keras import data
    from lm_keras.data.text_files import plain_name

    if not source:
        raise InputError("--data is empty; give a file of tagged sentences, or a known set")
    if not Path(source).exists() and source in data.available():
        known = data.splits(source)
        records = data.load(source, split or next((name for name in splits if name in known), known[0]))
        if not isinstance(records[0], data.TaggedSentence):
            raise InputError(
                f"{source} holds other records; train-task tag takes a set of tagged sentences, or a file"
            )
        return records
    if not Path(source).exists() and "." not in Path(source).name:
        raise InputError(f"{source!r} is neither a file nor a known set; known: {', '.join(data.available())}")
    if split:
        raise InputError(f"--split {split} is for known sets, and {source} is none; leave it out")
    if Path(plain_name(path_of(source))).suffix in JSON:
        return data.read_spans(source, encoding=encoding)
    separator = {"tab": "\t", "\\t": "\t"}.get(columns, columns)
    return data.read_conll(source, word=word, tag=tag, separator=separator, comment=comment, encoding=encoding)


# === predict and evaluate, of a tagger ===


def predict(options, tagger, settings) -> None:
    """Prints each text with its spans: marked in brackets, or as a JSON object."""
    from lm_keras.data import TaggedText
    from lm_keras.serving.client.results import escaped

    texts = rows_of(options, settings)
    for text, found in zip(texts, tagger.tag(texts), strict=True):
        if options.json:
            print(json.dumps({"text": text, "spans": [span._asdict() for span in found]}, ensure_ascii=False))
        else:
            marked = TaggedText(text, [(span.start, span.end, span.label) for span in found]).marked()
            print(escaped(" ".join(marked.split())))


def evaluate(options, tagger, settings) -> None:
    """`lm-keras evaluate RUN --data FILE|NAME` where the run is a tagger."""

    def write_mistakes(report, sentences, folder):
        (folder / MISTAKES).write_text("".join(_mistakes(tagger, sentences)), encoding="utf-8")

    show_report(options, lambda: _evaluated(options, tagger, settings), write_mistakes)


def _evaluated(options, tagger, settings):
    given = {name: getattr(options, name) for name in COLUMNS}
    named = {name: settings.get(name, COLUMNS[name]) if value is None else value for name, value in given.items()}
    named |= {"encoding": options.encoding, "split": options.split}
    sentences = tagged_sentences(options.data, ("test", "validation", "all"), **named)
    return tagger.evaluate(sentences), sentences


def _mistakes(tagger, sentences):
    """Each sentence whose spans are not right, twice: as it should be and as it was found."""
    from lm_keras.data.tagged import TaggedText, as_tagged_text
    from lm_keras.serving.client.results import escaped

    texts = [as_tagged_text(record, f"sentence {i}") for i, record in enumerate(sentences)]
    for gold, found in zip(texts, tagger.tag([text.text for text in texts]), strict=True):
        answer = [(span.start, span.end, span.label) for span in found]
        if answer != [*gold.spans]:
            for name, spans in (("right", gold.spans), ("found", answer)):
                yield f"{name}: {escaped(' '.join(TaggedText(gold.text, spans).marked().split()))}\n"
            yield "\n"
