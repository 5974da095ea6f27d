"""`lm-keras evaluate`, `score` and `generate`: what a trained model makes of text."""

import dataclasses
import json
import types

from lm_keras.cli import classification, labelled, reports, retrieval, tagging, tasks, text_to_text
from lm_keras.cli.options import Commands, add_import, flag_of, number
from lm_keras.cli.train import default_unit, evaluation_windows, load_texts, read_run
from lm_keras.errors import InputError
from lm_keras.generation.config import GenerationConfig, options_of
from lm_keras.models.pretrained.named import resolved
from lm_keras.utils import quiet
from lm_keras.utils.atomic_files import path_of
from lm_keras.utils.quiet import load_tensorflow
from lm_keras.utils.saved_kinds import RUN, kind_of, refusal

TASK_OPTIONS = ("limit", "shots", "seed", "begin")
MODELS = "run folder, pretrained folder or name (lm-keras models list), or .gguf file"


def add_commands(commands: Commands) -> None:
    """Adds `evaluate`, `score` and `generate` to the commands of `lm-keras`."""
    said = "perplexity of a model on text, its accuracy on a task, or the report of a classifier or tagger"
    evaluating = commands.add_parser("evaluate", help=said)
    evaluating.set_defaults(call=evaluate)
    evaluating.add_argument("run", help=f"{MODELS}; of a classifier: {tasks.RUNS}")
    what = evaluating.add_mutually_exclusive_group(required=True)
    files = "text file (.gz, .bz2, .xz), folder or known set; of a classifier or tagger as for train-task"
    what.add_argument("--data", metavar="PATH|NAME", help=files)
    what.add_argument(
        "--task", metavar="T", help="piqa, lambada, blimp, or a file of JSON lines, as lm-evaluation-harness counts"
    )
    add_task_options(evaluating)
    evaluating.add_argument("--split", help="part of a known set (default: test, else validation)")
    evaluating.add_argument(
        "--encoding", default="utf-8", metavar="E", help="of the file, e.g. utf-16, latin-1, gb18030"
    )
    columns = evaluating.add_argument_group("of a classifier", "columns of --data (default: as in the training)")
    labelled.add_columns(columns, dict.fromkeys(labelled.COLUMNS))
    pages = f"{classification.PICTURE} and {classification.MISTAKES}, the surest mistakes"
    written = f"new folder for {reports.REPORT}; of a classifier {pages}; of a tagger {tagging.MISTAKES}"
    columns.add_argument("--report", metavar="FOLDER", help=written)
    tagging.add_columns(
        evaluating.add_argument_group("of a tagger", "columns of --data"), dict.fromkeys(tagging.COLUMNS)
    )
    retrieval.add_columns(
        evaluating.add_argument_group("of a retriever", "columns of --data"), dict.fromkeys(retrieval.COLUMNS)
    )
    text_to_text.add_pair_options(
        evaluating.add_argument_group("of a translator or summarizer", "where the pairs are")
    )
    scoring = commands.add_parser("score", help="log-probability of one text")
    scoring.set_defaults(call=score)
    scoring.add_argument("run", help=MODELS)
    scoring.add_argument("--text", required=True)
    add_generation_options(scoring, ["begin"])
    for command in (evaluating, scoring):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    generating = commands.add_parser("generate", help="continue a prompt")
    generating.set_defaults(call=generate)
    generating.add_argument("run", help=MODELS)
    generating.add_argument("--prompt", required=True)
    add_generation_options(generating)
    generating.add_argument(
        "--choices", nargs="+", metavar="TEXT", help="no new text: which of these follows, with its probability"
    )
    generating.add_argument("--stream", action="store_true", help="print the text while it is made")
    for command in (evaluating, scoring, generating):
        add_import(command)


def add_task_options(parser):
    """The flags of `--task`; without it each of them is refused."""
    limits = {"type": number(int, 1), "metavar": "N"}
    parser.add_argument("--limit", help="of a task: its first N items (of each set of blimp)", **limits)
    parser.add_argument("--shots", help="of a task: K examples before each item", **limits | {"metavar": "K"})
    parser.add_argument("--seed", help="of a task: draws the examples", type=number(int, 0), metavar="N")
    for flag, meaning in (("--begin", "with"), ("--no-begin", "without")):
        said = f"of a task: {meaning} the begin mark before every text, whatever lm-evaluation-harness does"
        parser.add_argument(flag, dest="begin", action="store_const", const=flag == "--begin", help=said)


def evaluate_task(options):
    given = {name: getattr(options, name) for name in TASK_OPTIONS if getattr(options, name) is not None}
    language_model = load_model(options.run)
    from lm_keras.prompting import evaluate_task

    result = dataclasses.asdict(evaluate_task(language_model, options.task, **given)) | {"right": None}
    _print({name: value for name, value in result.items() if value is not None}, options.json)


def evaluate(options):
    of_tasks = ("report", *tasks.FLAGS)
    of_classifier = [name for name in of_tasks if getattr(options, name) is not None]
    if kind_of(resolved(options.run)) == "task" and options.task is None:
        for name in TASK_OPTIONS:
            if getattr(options, name) is not None:
                raise InputError(f"--{name} is about --task; leave it out with --data")
        tasks.evaluate(options)
        return
    if of_classifier:
        flag = flag_of(of_classifier[0])
        raise InputError(f"{flag} is for a classifier, and {options.run} is none; leave it out")
    if options.task is not None:
        if options.split is not None or options.encoding != "utf-8":
            raise InputError("--split and --encoding are about --data; leave them out with --task")
        evaluate_task(options)
        return
    for name in TASK_OPTIONS:
        if getattr(options, name) is not None:
            raise InputError(f"--{name} is about --task; leave it out with --data")
    language_model = load_model(options.run)
    from lm_keras import evaluate

    run = path_of(options.run) / RUN
    settings = {"length": 35, "batch_size": 32, "contiguous": False, "unit": None}
    if run.exists():
        settings |= read_run(run)
    elif language_model.model.context_length is not None:
        settings["length"] = min(settings["length"], language_model.model.context_length)
    tokenizer = language_model.tokenizer
    unit = settings["unit"] or default_unit(tokenizer.kind)
    texts = load_texts(options.data, unit, options.split, ("test", "validation", "all"), encoding=options.encoding)
    windows = evaluation_windows(texts, tokenizer, types.SimpleNamespace(**settings))
    _print(evaluate(language_model, windows), options.json)


def score(options):
    _print(load_model(options.run).score([options.text], begin=options.begin)[0]._asdict(), options.json)


def _print(result, as_json):
    if as_json:  # JSON has no NaN
        print(json.dumps({key: None if value != value else value for key, value in result.items()}))
        return
    width = max(14, *map(len, result))
    for key, value in result.items():
        if isinstance(value, dict):
            longest = max(map(len, value))
            for name, accuracy in value.items():
                print(f"{name:<{longest}} {accuracy:.4f}")
        else:
            shown = f"{value:.4f}" if isinstance(value, float) else value if isinstance(value, str) else f"{value:,}"
            print(f"{key:<{width}} {shown}")


def generate(options):
    language_model = load_model(options.run)
    if options.choices:
        for choice in language_model.choose(options.prompt, options.choices, begin=options.begin)[0]:
            print(f"{choice.probability:.4f} {choice.answer}")
        return
    known = options_of()
    config = GenerationConfig(**{name: value for name, value in vars(options).items() if name in known})
    if options.stream:
        for name in config.changed():
            if not known[name].stream:
                flag = f"--{name.replace('_', '-')}"
                raise InputError(
                    f"--stream does not go with {flag}, which is about whole texts; leave one of them out"
                )
        pieces = language_model.stream(options.prompt, config)
        print(options.prompt, end="", flush=True)
        for piece in pieces:
            quiet.check()
            print(piece, end="", flush=True)
        print()
    else:
        for made in language_model.generate(options.prompt, config):
            print(options.prompt + made.text)


def load_model(path):
    """The language model that a command works with: of a run, of a checkpoint of other libraries, or a named one."""
    path = resolved(path)
    return _checked(path, _loaded(path))


def load_text_model(path):
    """What an export takes: a language model, a text model of `lm_keras.tasks`, or a sentence encoder's embedder."""
    path = resolved(path)
    if kind_of(path) == "task":
        load_tensorflow()
        from lm_keras import tasks

        return tasks.load(path)
    loaded = _loaded(path)
    if getattr(loaded, "text_length", None) is None or loaded.tokenizer is None:
        return _checked(path, loaded)
    from lm_keras import tasks

    return tasks.TextEmbedder(loaded)


def _loaded(path):
    """A language model, or an encoder."""
    kind = kind_of(path)
    if kind not in ("language model", "pretrained", "gguf"):
        raise refusal(path, kind)
    load_tensorflow()
    from lm_keras import LanguageModel, models

    return LanguageModel.load(path) if kind == "language model" else models.load_pretrained(path)


def _checked(path, loaded):
    """A language model with its tokenizer; InputError for another model."""
    from lm_keras import LanguageModel

    if not isinstance(loaded, LanguageModel):
        raise InputError(
            f"{path} is an encoder ({loaded.name}), which scores and writes no text; lk.models.load_pretrained reads "
            "it, and a head of lk.models with a bundle of lk.tasks makes a task of it"
        )
    if loaded.tokenizer is None:
        raise InputError(
            f"{path} has no tokenizer, so it takes no text; add the files of its tokenizer to the folder"
        )
    return loaded


def add_generation_options(parser, names=None):
    """A flag for each option of `GenerationConfig` that has one, or for those of the names."""
    for field in dataclasses.fields(GenerationConfig):
        option = field.metadata["option"]
        if option.flag == "" or (names is not None and field.name not in names):
            continue
        flag = option.flag or f"--{field.name.replace('_', '-')}"
        settings = {"dest": field.name, "default": field.default, "help": option.meaning.replace("%", "%%")}
        if isinstance(field.default, bool):
            settings["action"] = "store_false" if field.default else "store_true"
        elif isinstance(field.default, tuple):
            settings |= {"default": None, "action": "append", "metavar": option.metavar}
        else:
            settings |= {
                "metavar": "X" if isinstance(field.default, float) else "N",
                "type": _type_of(field.default, option),
            }
        parser.add_argument(flag, **settings)


def _type_of(default, option):
    """The argparse type of an option of generation."""
    if isinstance(default, float):
        bounds = (option.least, option.above, option.most)
        return float if bounds == (None, None, None) else number(float, option.least, option.most, above=option.above)
    if option.least is None:  # a seed
        return number(int, -(2**63), 2**63 - 1)
    return number(int, option.least)
