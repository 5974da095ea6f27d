"""`lm-keras train-task relations`, and `predict` and `evaluate` of what it trains: relations of entities."""

import json
from pathlib import Path

from lm_keras.cli.labelled import TABLE, rows_of
from lm_keras.cli.options import add_import, number, refuse_flags
from lm_keras.cli.reports import new_folder, show_report, write_run
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import load_tensorflow, tell

KEPT = ("data", "valid", "encoding", "encoder", "tagger_encoder", "word_vectors", "swap")  # of the run, in run.json
KEPT += ("max_length", "neighbors", "seed")
SETTINGS = ("epochs", "batch_size", "learning_rate", "max_length")
NAME, FLAGS = "relation extractor", ()
OF_TEXTS = ("tagger_encoder", "neighbors")  # flags of texts with entities and relations
SCRATCH = ("cnn", "bilstm")  # encoders that start from random weights
TAGGER = "bilstm"  # what the tagger reads with, unless it is said


def add_relations(actions) -> None:
    """Adds `train-task relations`."""
    command = actions.add_parser("relations", help="the relation of two entities; entities and relations of texts")
    command.set_defaults(call=train)
    add = command.add_argument
    files = (
        'JSON lines (.gz, .bz2, .xz) of texts with two entities, {"text", "first": [start, end], "second", "label"}, '
        'or with all of theirs, {"text", "spans", "relations"}; or known set (semeval2010-task8, conll04)'
    )
    add("--data", required=True, metavar="FILE|NAME", help=files)
    add("--valid", metavar="FILE", help="texts to measure by (default: those of the set, or a tenth of --data)")
    encoders = "cnn, bilstm; or a pretrained one: its folder or name, e.g. all-minilm-l6-v2"
    add("--encoder", default="cnn", metavar="NAME|FOLDER", help=encoders)
    of_texts = "of texts with entities: what the tagger reads with (default: bilstm)"
    add("--tagger-encoder", metavar="NAME|FOLDER", help=of_texts)
    vectors = (
        "of cnn and bilstm: what words start from, a file of GloVe's format, or glove-6b-50d-400k, which is fetched"
    )
    add("--word-vectors", metavar="FILE|NAME", help=vectors)
    turned = "learn each text with its entities exchanged, too: for labels that end in (e1,e2) and (e2,e1)"
    add("--swap", action="store_true", help=turned)
    add("--out", required=True, metavar="FOLDER", help="run folder to make")
    add("--encoding", default="utf-8", metavar="E", help="of the files, e.g. utf-16, gb18030")
    run = command.add_argument_group("training")
    run.add_argument("--epochs", type=number(int, 1), metavar="N", help="passes over --data (default: the encoder's)")
    run.add_argument("--batch-size", type=number(int, 1), metavar="N", help="default: the encoder's")
    run.add_argument("--learning-rate", type=number(float, 1e-12), metavar="X", help="default: the encoder's")
    run.add_argument(
        "--max-length", type=number(int, 16), metavar="N", help="words around both entities (default: 256)"
    )
    near = "of texts with entities: how many entities after it an entity is paired with (default: 8)"
    run.add_argument("--neighbors", type=number(int, 1, 1000), metavar="N", help=near)
    run.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, metavar="N")
    add_import(command)


# === train-task relations ===


def train(options):
    folder = path_of(options.out)
    with new_folder(folder, "--out") as made:
        records, valid, classes = _data(options)
        load_tensorflow()
        from lm_keras import data

        joint = isinstance(records[0], data.RelatedText)
        if given := [name for name in OF_TEXTS if getattr(options, name) is not None and not joint]:
            flag = given[0].replace("_", "-")
            raise InputError(f"--{flag} is for texts with entities and relations, and {options.data} has two each")
        if options.swap and joint:
            raise InputError(f"--swap is for texts with two entities each, and {options.data} has all of theirs")
        encoders = [options.encoder, *([options.tagger_encoder or TAGGER] if joint else [])]
        if options.word_vectors is not None and not set(encoders) & set(SCRATCH):
            raise InputError(
                f"--word-vectors are what cnn and bilstm start from; leave them out with {' and '.join(encoders)}"
            )
        model = _train_both(options, records, valid) if joint else _train(options, records, valid, classes)
        report = model.evaluate(valid)
        model.save(made)
        write_run(made, "relations", {name: getattr(options, name) for name in KEPT}, model.history, report)
    said = (
        f"F1 of entities {report.entity_f1:.1%}, of relations {report.relation_f1:.1%}"
        if joint
        else f"macro F1 {report.macro_f1:.1%}"
    )
    tell(f"{folder}: validation {said} over {report.num_texts:,} texts")


def _train(options, records, valid, classes):
    from lm_keras import tasks

    return tasks.RelationExtractor.train(
        records,
        validation=valid,
        classes=classes,
        swap=options.swap,
        seed=options.seed,
        **_reading(options, options.encoder, SETTINGS),
    )


def _train_both(options, records, valid):
    from lm_keras import tasks

    told = {"neighbors": options.neighbors} if options.neighbors is not None else {}
    tagger = _reading(options, options.tagger_encoder or TAGGER, SETTINGS[:3])
    relations = _reading(options, options.encoder, SETTINGS)
    return tasks.InformationExtractor.train(
        records, validation=valid, tagger=tagger, relations=relations, seed=options.seed, **told
    )


def _reading(options, encoder, settings):
    """The arguments of one training."""
    given = {name: getattr(options, name) for name in settings if getattr(options, name) is not None}
    if encoder in SCRATCH and options.word_vectors is not None:
        given["word_vectors"] = options.word_vectors
    return {"encoder": encoder, **given}


def _data(options):
    """The records to train on and those to measure by, and the names of the classes, where a set has them."""
    from lm_keras import data

    records = relation_records(options.data, ("train",), encoding=options.encoding)
    known = not Path(options.data).exists() and isinstance(records[0], data.Relation)
    classes = data.classes(options.data) if known else None
    if options.valid:
        valid = relation_records(options.valid, ("validation", "test"), encoding=options.encoding)
        if type(valid[0]) is not type(records[0]):
            raise InputError(f"{options.valid} holds other records than {options.data}; give both of one kind")
        return records, valid, classes
    if not Path(options.data).exists() and "validation" in data.splits(options.data):
        return records, relation_records(options.data, ("validation",)), classes
    texts = list(dict.fromkeys(record.text for record in records))
    if len(texts) < 2:
        raise InputError(f"{options.data} holds one text; give more, or those to measure by with --valid")
    _, others = map(set, data.split_texts(texts, validation=0.1, seed=options.seed))
    parts = ([record for record in records if (record.text in others) == side] for side in (False, True))
    return *parts, classes


def relation_records(source, splits, *, encoding="utf-8", split=None):
    """The records of a file, or of a part of a known set: `split`, or the first of `splits` that it has.

    A label is always a name: a known set and a file may have their classes in different orders.
    """
    from lm_keras import data
    from lm_keras.data.relations import holds_related

    if not source:
        raise InputError("--data is empty; give a file of texts with entities and relations, or a known set")
    if not Path(source).exists() and source in data.available():
        known = data.splits(source)
        records = data.load(source, split or next((name for name in splits if name in known), known[0]))
        if not isinstance(records[0], (data.Relation, data.RelatedText)):
            raise InputError(f"{source} holds other records; give semeval2010-task8, conll04 or a file")
        if isinstance(records[0], data.RelatedText):
            return records
        names = data.classes(source)
        return [record._replace(label=names[record.label]) for record in records]
    if not Path(source).exists() and "." not in Path(source).name:
        raise InputError(f"{source!r} is neither a file nor a known set; known: {', '.join(data.available())}")
    if split:
        raise InputError(f"--split {split} is for known sets, and {source} is none; leave it out")
    reader = data.read_related if holds_related(source, encoding=encoding) else data.read_relations
    return reader(source, encoding=encoding)


# === predict and evaluate ===


def predict(options, model, settings) -> None:
    """Prints what a model of relations answers."""
    from lm_keras import tasks

    if isinstance(model, tasks.InformationExtractor):
        _predict_both(options, model, rows_of(options, settings))
    else:
        _predict_relations(options, model)


def _predict_relations(options, model):
    """Prints the relation of each text with two entities in marks, or with their places in a file of JSON lines."""
    from lm_keras import data
    from lm_keras.data.labelled import is_json_name
    from lm_keras.serving.client.results import escaped
    from lm_keras.tasks.relations import relations_of

    refuse_flags(options, ("pair", "text_column", "pair_column", *TABLE), "classifier")
    if options.data is not None and is_json_name(options.data):
        records = data.read_relations(options.data, encoding=options.encoding, labels=False)
    else:
        lines = options.text if options.data is None else data.read_texts(options.data, encoding=options.encoding)
        records = relations_of(list(lines))
    for record, found in zip(records, model.classify(records), strict=True):
        if options.json:
            row = {"text": record.text, "first": record.first, "second": record.second, **found._asdict()}
            print(json.dumps(row, ensure_ascii=False))
        else:
            print("\t".join(map(escaped, (found.label, f"{found.score:.4f}", " ".join(record.marked().split())))))


def _predict_both(options, model, texts):
    """Prints each text with its entities, and a line for each relation; or a JSON object."""
    from lm_keras.data import TaggedText
    from lm_keras.serving.client.results import escaped

    for text, found in zip(texts, model.extract(texts), strict=True):
        if options.json:
            entities, relations = ([row._asdict() for row in part] for part in found)
            print(json.dumps({"text": text, "entities": entities, "relations": relations}, ensure_ascii=False))
            continue
        marked = TaggedText(text, [(span.start, span.end, span.label) for span in found.entities]).marked()
        print(escaped(" ".join(marked.split())))
        for first, second, label, score in found.relations:
            names = (" ".join(found.entities[at].text.split()) for at in (first, second))
            print("\t".join(map(escaped, ("", label, f"{score:.4f}", *names))))


def evaluate(options, model, settings):
    """`lm-keras evaluate RUN --data FILE|NAME` where the run has relations."""
    from lm_keras import data, tasks

    def measured():
        records = relation_records(
            options.data, ("test", "validation", "all"), encoding=options.encoding, split=options.split
        )
        both = isinstance(model, tasks.InformationExtractor)
        if isinstance(records[0], data.RelatedText) != both:
            wanted = "texts with entities and relations" if both else "texts with two entities each"
            raise InputError(f"{options.run} is measured on {wanted}, and {options.data} has others")
        return model.evaluate(records)

    show_report(options, measured)
