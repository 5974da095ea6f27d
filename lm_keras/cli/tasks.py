"""`lm-keras train-task`, `predict`, and `evaluate` of what it trains. Each kind of model has a file of its own.

Such a file has `NAME`, what messages call the model; `FLAGS`, the options of `evaluate` that are about its data; and
`predict(options, model, settings)` and `evaluate(options, model, settings)`, settings being those of the training.
"""

from lm_keras.cli import (
    answers,
    classification,
    extractive,
    moderation,
    relations,
    rescoring,
    retrieval,
    tagging,
    text_to_text,
)
from lm_keras.cli.labelled import add_table_options
from lm_keras.cli.options import Commands, add_import, refuse_flags
from lm_keras.errors import InputError
from lm_keras.models.pretrained.named import resolved
from lm_keras.utils.atomic_files import read_json
from lm_keras.utils.quiet import load_tensorflow
from lm_keras.utils.saved_kinds import RUN, kind_of, refusal

KINDS = {  # of the classes of lk.tasks
    "TextClassifier": classification,
    "TextTagger": tagging,
    "RelationExtractor": relations,
    "InformationExtractor": relations,
    "QuestionAnswerer": answers,
    "Retriever": retrieval,
    "Moderator": moderation,
    "TextToText": text_to_text,
    "ExtractiveSummarizer": extractive,
    "Rescorer": rescoring,
}
FILES = tuple(dict.fromkeys(KINDS.values()))
FLAGS = tuple(dict.fromkeys(name for file in FILES for name in file.FLAGS))
RUNS = "run folder of train-task, or folder of lm_keras.tasks.save"


def add_commands(commands: Commands) -> None:
    """Adds `train-task` and `predict` to the commands of `lm-keras`."""
    actions = commands.add_parser(
        "train-task", help="train a model of labelled texts, or of pairs of texts"
    ).add_subparsers(dest="action", required=True)
    classification.add_classify(actions)
    tagging.add_tag(actions)
    relations.add_relations(actions)
    answers.add_answer(actions)
    retrieval.add_retrieve(actions)
    moderation.add_moderate(actions)
    text_to_text.add_translate(actions)
    text_to_text.add_summarize(actions)
    extractive.add_extract_summary(actions)
    rescoring.add_rescore(actions)
    said = "what a trained model makes of texts: classes, spans, answers, translations, summaries, best guesses, ..."
    predicting = commands.add_parser("predict", help=said)
    predicting.set_defaults(call=predict)
    predicting.add_argument("run", help=RUNS)
    what = predicting.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--text", action="append", help="a text, a question, or a guess of a recognizer (may be repeated)"
    )
    files = "CSV, TSV, JSON lines (.gz, .bz2, .xz), or another file, each line a text"
    what.add_argument("--data", metavar="FILE", help=files)
    second = "the second text of each --text; of a question the text that answers it"
    predicting.add_argument("--pair", action="append", metavar="TEXT", help=second)
    predicting.add_argument("--text-column", metavar="COL", help="of --data (default: as in the training)")
    predicting.add_argument("--pair-column", metavar="COL", help="the same for the second text")
    predicting.add_argument("--encoding", default="utf-8", metavar="E", help="of the file")
    add_table_options(predicting)
    text_to_text.add_writing_options(predicting)
    predicting.add_argument("--json", action="store_true", help="print a JSON object for each text")
    add_import(predicting)


def predict(options):
    model, file, settings = _loaded(options.run, "predict")
    if file is not text_to_text:
        text_to_text.refuse_writing_options(options)
    file.predict(options, model, settings)


def evaluate(options):
    """`lm-keras evaluate RUN --data FILE|NAME` where the run is one of `train-task`."""
    model, file, settings = _loaded(options.run, "evaluate")
    for other in FILES:
        refuse_flags(options, [name for name in other.FLAGS if name not in file.FLAGS], other.NAME)
    file.evaluate(options, model, settings)


def _loaded(run, command):
    """The text model of a run, the file of its kind, and the settings that it was trained with."""
    path = resolved(run)
    if (kind := kind_of(path)) != "task":
        raise refusal(path, kind, f"{command} takes a run of `lm-keras train-task`, or a saved classifier")
    load_tensorflow()
    from lm_keras import tasks

    model = tasks.load(path)
    named = [file for name, file in KINDS.items() if isinstance(model, getattr(tasks, name))]
    if not named and not hasattr(model, "classify"):
        kinds = ", ".join(file.NAME for file in FILES)
        raise InputError(f"{command} takes a {kinds}, and {path} is a saved {type(model).__name__}")
    settings = read_json(path / RUN) if (path / RUN).exists() else {}
    # Other classifiers, of prompts or of one's own, answer as a TextClassifier does.
    return model, named[0] if named else classification, settings if isinstance(settings, dict) else {}
