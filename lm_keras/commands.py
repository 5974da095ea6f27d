"""The commands of `lm-keras`; each takes the parsed options. TensorFlow is imported by those that need it."""

import contextlib
import itertools
import json
import os
import sys
import types
from pathlib import Path

from lm_keras.errors import InputError
from lm_keras.files import read_json, write_json

RUN = "run.json"  # the options a run was started with
MODEL_OPTIONS = ("embedding_dim", "hidden_dim", "num_layers", "dropout", "tie_embeddings", "init_scale", "seed")
FEW_CHUNKS = 40  # of about 64 KB
MAY_CHANGE = ("command", "resume", "out", "epochs", "logging_steps", "checkpoint_steps")


def train(options):
    folder, settings = Path(options.out), vars(options)
    _check_out(folder, options)
    texts, valid = _training_texts(options)
    load_tensorflow()
    import keras

    from lm_keras import LanguageModel, TrainingConfig, data, evaluate, fit, model_folder, models

    started = (folder / RUN).exists()
    if started:
        model, tokenizer = model_folder.build(folder)
    else:
        tokenizer = _train_tokenizer(options, _shown(texts, "vocabulary"))
        keras.utils.set_random_seed(options.seed)
        builder = getattr(models, models.BUILDERS[options.model])
        model = builder(tokenizer.vocab_size, **{name: settings[name] for name in MODEL_OPTIONS})
    windows = data.lm_windows(
        _shown(texts, "encoding"),
        tokenizer,
        options.length,
        options.batch_size,
        contiguous=options.contiguous,
        seed=options.seed,
    )
    held_out = _evaluation_windows(valid, tokenizer, options, rows=options.batch_size)
    if not started:  # all input has been read: from here on the run exists
        model_folder.save_config(model, tokenizer, folder)
        write_json(folder / RUN, {k: v for k, v in settings.items() if k not in ("command", "resume", "out")})
    names = TrainingConfig.__dataclass_fields__.keys() & settings.keys()
    config = TrainingConfig(**{name: settings[name] for name in names}, output_dir=folder)
    fit(model, windows, held_out, config)
    LanguageModel(model, tokenizer).save(folder)
    result = evaluate(model, held_out)
    print(f"{folder}: validation perplexity {result['perplexity']:.2f} over {result['tokens']:,} tokens")


def evaluate(options):
    language_model = _load(options.run)
    from lm_keras import evaluate, text

    run = Path(options.run) / RUN
    settings = {"length": 35, "batch_size": 32, "contiguous": False, **(_read_run(run) if run.exists() else {})}
    tokenizer = language_model.tokenizer
    kind = "char" if isinstance(tokenizer, text.CharTokenizer) else "word"
    texts = _texts(options.data, kind, options.split, ("test", "validation", "all"))
    windows = _evaluation_windows(texts, tokenizer, types.SimpleNamespace(**settings))
    _print(evaluate(language_model.model, windows), options.json)


def score(options):
    _print(_load(options.run).score([options.text])[0]._asdict(), options.json)


def _print(result, as_json):
    if as_json:  # JSON has no NaN
        print(json.dumps({key: None if value != value else value for key, value in result.items()}))
        return
    for key, value in result.items():
        print(f"{key:<14} {value:,}" if isinstance(value, int) else f"{key:<14} {value:.4f}")


def generate(options):
    language_model = _load(options.run)
    names = ("max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "stop", "seed")
    chosen = {name: getattr(options, name) for name in names}
    if options.stream and options.num_beams > 1:
        raise InputError("--stream does not go with --num-beams: a search knows its text at the end")
    if options.stream:
        pieces = language_model.stream(options.prompt, **chosen)
        print(options.prompt, end="", flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
    else:
        (made,) = language_model.generate(options.prompt, num_beams=options.num_beams, **chosen)
        print(options.prompt + made.text)


def export(options):
    language_model = _load(options.run)
    from lm_keras import export

    print(export(language_model, options.target))


def check(options):
    load_tensorflow()
    from lm_keras import check

    problems = check(options.version)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{options.version}: ready to serve")
    return 1 if problems else 0


def data(options):
    from lm_keras import data

    if options.action == "fetch":
        print(data.fetch(options.name))
    else:
        for name in data.available():
            print(data.describe(name))


# === Parts ===
def load_tensorflow():
    """Imports TensorFlow without the lines its libraries print before any log level is known."""
    sys.stderr.flush()
    with contextlib.ExitStack() as stack, Path(os.devnull).open("w") as nowhere:
        kept = os.dup(2)
        stack.callback(lambda: (os.dup2(kept, 2), os.close(kept)))
        os.dup2(nowhere.fileno(), 2)
        import tensorflow as tf

        tf.constant(0)


def _run_folder(path):
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give a run folder that `lm-keras train` made")
    return folder


def _load(path):
    _run_folder(path)
    load_tensorflow()
    from lm_keras import LanguageModel

    return LanguageModel.load(path)


def _check_out(folder, options):
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file; give a new folder")
    if not options.resume:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"--out {folder} is not empty; give a new folder, or --resume to go on with its run")
        return
    if not (folder / RUN).exists():  # killed before its first step, or not there: it starts anew
        begun = ("config.json", "tokenizer.json")
        if folder.exists() and any(p.name not in begun and p.name[0] != "." for p in folder.iterdir()):
            raise InputError(f"--out {folder} holds no run to resume; give the folder of a run, or a new one")
        return
    before = _read_run(folder / RUN)
    for name, value in vars(options).items():
        if name not in MAY_CHANGE and before.get(name) != value:
            flag = "--" + name.replace("_", "-")
            raise InputError(
                f"the run in {folder} was started with {flag} {before.get(name)}, not {value}; give the same"
            )


def _read_run(path):
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise InputError(f"{path} holds no settings of a run; the file is damaged")
    return settings


def _texts(source, tokenizer, split, splits):
    """The texts of a path or of a known set: the wanted split, or the first of `splits` that it has."""
    from lm_keras import data

    if not source:
        raise InputError("--data is empty; give a text file, a folder or a known set")
    if not Path(source).exists() and source in data.available():
        known = data.splits(source)
        return data.load(source, split or next((name for name in splits if name in known), known[0]))
    if not Path(source).exists() and "/" not in source and "." not in source:
        raise InputError(f"{source!r} is neither a file nor a known set; known: {', '.join(data.available())}")
    return data.read_texts(source, unit="chunk" if tokenizer == "char" else "line")


def _training_texts(options):
    from lm_keras import data

    texts = _texts(options.data, options.tokenizer, None, ("train",))
    if options.valid:
        return texts, _texts(options.valid, options.tokenizer, None, ("validation",))
    if not Path(options.data).exists() and "validation" in data.splits(options.data):
        return texts, data.load(options.data, "validation")
    if options.tokenizer == "char":  # a small file is a few chunks: a tenth of them may be nothing, or a third
        chunks = list(itertools.islice(texts, FEW_CHUNKS + 1))
        if len(chunks) <= FEW_CHUNKS:
            texts = ["".join(chunks)]
    return data.split_texts(texts, validation=0.1, seed=options.seed)


def _shown(texts, what):
    """The same texts, with a progress bar on a terminal."""
    from tqdm import tqdm

    return tqdm(texts, desc=what, unit=" texts", disable=None, leave=False)


def _train_tokenizer(options, texts):
    from lm_keras import text

    language = None if options.language == "none" else options.language
    common = {"min_count": options.min_count, "language": language, "lowercase": options.lowercase}
    if options.tokenizer == "char":
        return text.CharTokenizer.train(texts, vocab_size=options.vocab_size, **common)
    return text.WordTokenizer.train(texts, vocab_size=options.vocab_size or 10_000, **common)


def _evaluation_windows(texts, tokenizer, options, rows=1):
    """Every token once: `rows` streams with the state carried along them, or windows as in training."""
    from lm_keras import data

    if options.contiguous:
        return data.lm_windows(texts, tokenizer, options.length, rows, contiguous=True)
    return data.lm_windows(texts, tokenizer, options.length, options.batch_size, shuffle=False)
