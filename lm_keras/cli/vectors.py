"""`lm-keras vectors`: how well the word vectors of a file do in the usual tests."""

import dataclasses
import json
import math
import warnings
from pathlib import Path

from lm_keras.cli.options import Commands
from lm_keras.errors import InputError
from lm_keras.utils.quiet import complain

METHODS = {"3cosadd": "3CosAdd", "3cosmul": "3CosMul"}
SET = "glove-6b-50d"  # of lk.data.available(), the one of word vectors
PAIRS = {"wordsim353": "WordSim-353", "simlex999": "SimLex-999"}


def add_commands(commands: Commands) -> None:
    """Adds `vectors` to the commands of `lm-keras`."""
    parser = commands.add_parser("vectors", help="word similarity and analogies of a file of word vectors")
    parser.set_defaults(call=vectors)
    parser.add_argument("file", metavar="FILE|NAME", help=f"word vectors, plain, .gz or .zip, or {SET}, a known set")
    parser.add_argument("--format", choices=("glove", "word2vec", "fasttext"), help="default: its first bytes decide")
    parser.add_argument("--member", metavar="NAME", help="which file of a .zip that holds several")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def vectors(options):
    """Prints word similarity (Spearman, the pairs that have vectors) and the share of analogies answered."""
    if options.file == SET and not Path(SET).exists():
        from lm_keras import data

        options.file = str(data.fetch(SET))
    loaded = _load(options)
    result = {
        "file": options.file,
        "words": len(loaded.index_to_key),
        "dim": loaded.vector_size,
        **_evaluated(loaded),
    }
    if options.json:
        print(json.dumps(_plain(result), ensure_ascii=False))
    else:
        _print(result)


def _load(options):
    from lm_keras import embeddings

    kind = options.format or _kind(options.file, options.member)
    with warnings.catch_warnings(record=True) as found:  # of damage that the loaders get along with
        warnings.simplefilter("always")
        loaded = getattr(embeddings, f"load_{kind}")(options.file, member=options.member)
    for message in dict.fromkeys(str(one.message) for one in found if one.category is UserWarning):
        complain(f"lm-keras: warning: {' '.join(message.split())}")
    return loaded


def _kind(path, member):
    """The format that the first bytes of a file show: fastText's .bin, word2vec's binary, or text."""
    from lm_keras.embeddings.io.fasttext_format import MAGIC
    from lm_keras.embeddings.io.streams import opened
    from lm_keras.embeddings.io.vector_files import is_text

    with opened(path, member) as (stream, _, _):
        head = stream.read(1 << 16)
    if head.startswith(MAGIC):
        return "fasttext"
    return "glove" if is_text(head) else "word2vec"  # GloVe's reader takes a first line of counts, too


def _evaluated(loaded):
    from lm_keras import data, embeddings

    made = {name: embeddings.word_similarity(loaded, data.load(name, split="all")) for name in PAIRS}
    questions = data.load("word-analogies", split="all")
    made["analogies"] = {method: embeddings.analogies(loaded, questions, method) for method in METHODS}
    if not any(made[name].pairs for name in PAIRS) and not made["analogies"]["3cosadd"].total.questions:
        raise InputError("none of the English words of the tests has a vector; give vectors of English words")
    return made


def _plain(value):
    """Dataclasses as dicts, with the accuracy; JSON has no NaN."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        value = ({"accuracy": value.accuracy} if hasattr(value, "accuracy") else {}) | fields
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _print(result):
    print(f"{result['file']}: {result['words']:,} words, {result['dim']} dimensions\n")
    print(f"{'similarity':<30}{'Spearman':>10}{'pairs':>10}{'missed':>10}")
    for name, title in PAIRS.items():
        told = result[name]
        print(f"{title:<30}{_number(told.spearman, '.4f'):>10}{told.pairs:>10,}{told.missed:>10,}")
    found = result["analogies"]
    titles = "".join(f"{title:>10}" for title in (*METHODS.values(), "asked", "missed"))
    print(f"\n{'analogies':<30}{titles}")
    for section in found["3cosadd"].sections:
        _print_row(section, [told.sections[section] for told in found.values()])
    for name in ("semantic", "syntactic", "total"):
        _print_row(name, [getattr(told, name) for told in found.values()])


def _print_row(name, parts):
    shares = "".join(f"{_number(part.accuracy, '.1%'):>10}" for part in parts)
    print(f"{name:<30}{shares}{parts[0].questions:>10,}{parts[0].missed:>10,}")


def _number(value, form):
    return "-" if math.isnan(value) else format(value, form)
