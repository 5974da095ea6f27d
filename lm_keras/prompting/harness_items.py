"""What a model is asked in an evaluation: items of known sets and of JSON-lines files, and examples before them."""

import dataclasses
import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path

from lm_keras.data.corpora.registry import load
from lm_keras.data.text_files import as_path, check_file, decoded_blocks
from lm_keras.errors import InputError

CHOICE, PAIR, LAST_WORD = "multiple choice", "minimal pairs", "last word"
KEYS = {CHOICE: ("prompt", "choices", "answer"), PAIR: ("good", "bad"), LAST_WORD: ("text",)}
FORMS = " | ".join("{" + ", ".join(f'"{key}"' for key in keys) + "}" for keys in KEYS.values())
KNOWN = {"piqa": "validation", "lambada": "test", "blimp": "test"}
BETWEEN_EXAMPLES = "\n\n"


@dataclasses.dataclass(frozen=True)
class Item:
    """A text, and what may follow it: the first of `choices` where only one is asked for.

    `label` is the place of the right choice, `set` the name of the part that is counted by itself, and `where` says
    in an error which item it is.
    """

    text: str
    choices: tuple[str, ...]
    label: int = 0
    set: str = ""
    where: str = ""


@dataclasses.dataclass(frozen=True)
class Task:
    """Items of one kind. `delimiter` stands between a text and a choice, in examples too."""

    name: str
    kind: str
    items: Sequence[Item]
    delimiter: str = " "

    def continuations(self, item: Item) -> list[str]:
        """The choices as they follow the text. A last word has its space already."""
        return [self.joint(item.text, choice) + choice for choice in item.choices]

    def joint(self, text: str, choice: str) -> str:
        """What stands between a text and a choice."""
        return "" if self.kind == LAST_WORD else self.delimiter

    def example(self, item: Item) -> str:
        """An item with its answer, before another one."""
        # The harness puts its delimiter before the space of a last word too.
        return item.text + self.delimiter + item.choices[item.label] + BETWEEN_EXAMPLES


def read_task(task: str | Path, delimiter: str = " ") -> Task:
    """The Task of a known set, or of a JSON-lines file, with `delimiter` between its texts and choices.

    Raises:
        InputError: There is neither, or the file is not as it should be.
    """
    if task in KNOWN:
        records = load(task, KNOWN[task])
        return Task(task, *_OF_SETS[task](records), delimiter)
    path = as_path(task)
    if not path.exists():
        raise InputError(f"there is no task {str(task)!r}; give {', '.join(KNOWN)}, or a file of JSON lines: {FORMS}")
    return read_file(path, delimiter)


def _solutions(records):
    return CHOICE, [
        Item(f"Question: {record.question}\nAnswer:", record.choices, record.label, where=f"piqa, item {i + 1}")
        for i, record in enumerate(records)
    ]


def _pairs(records):
    return PAIR, [
        Item("", (record.good, record.bad), set=record.set, where=f"blimp, pair {i + 1}")
        for i, record in enumerate(records)
    ]


def _passages(texts):
    return LAST_WORD, [_without_last_word(text, f"lambada, passage {i + 1}") for i, text in enumerate(texts)]


_OF_SETS = {"piqa": _solutions, "lambada": _passages, "blimp": _pairs}


def _without_last_word(text, where):
    before, space, word = text.rpartition(" ")
    if not before or not word:
        raise InputError(f"{where}: {text[-40:]!r} has no word after a space at its end; give a text that has")
    return Item(before, (space + word,), where=where)


# === JSON-lines files ===
def read_file(path: Path, delimiter: str = " ") -> Task:
    """The Task of a file with one JSON object a line, whose keys say what kind it is; InputError names the line."""
    check_file(path)
    kind, items = None, []
    lines = "".join(decoded_blocks(path, "utf-8-sig")).split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        record = _object(line, where)
        found = next((known for known, keys in KEYS.items() if set(keys) <= set(record)), None)
        if found is None:
            raise InputError(f"{where}: the keys are {', '.join(map(repr, record)) or 'none'}; give {FORMS}")
        if kind not in (None, found):
            raise InputError(f"{where}: these are {found}, the lines before {kind}; make two files of it")
        kind = found
        items.append(_READERS[kind](record, where))
    if not items:
        raise InputError(f"{path}: it holds no line; give JSON lines: {FORMS}")
    return Task(path.name, kind, items, delimiter)


def _object(line, where):
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: no JSON ({error}); give one object a line") from None
    if not isinstance(record, dict):
        raise InputError(f"{where}: {type(record).__name__} where an object is expected; give {FORMS}")
    return record


def _text(record, key, where):
    value = record[key]
    if not isinstance(value, str):
        raise InputError(f"{where}: {key!r} is {value!r:.40}; give a string")
    return value


def _choice(record, where):
    choices, answer = record["choices"], record["answer"]
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(one, str) and one for one in choices):
        raise InputError(f"{where}: 'choices' is {choices!r:.60}; give a list of two or more strings, none empty")
    if isinstance(answer, str) and choices.count(answer) == 1:
        answer = choices.index(answer)
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise InputError(
            f"{where}: 'answer' is {answer!r:.40}; give the place of the right one in 'choices', 0 to "
            f"{len(choices) - 1}, or the choice itself"
        )
    return Item(_text(record, "prompt", where), tuple(choices), answer, where=where)


def _pair(record, where):
    good, bad = _text(record, "good", where), _text(record, "bad", where)
    if not good or not bad:
        raise InputError(f"{where}: a sentence is empty; give two")
    return Item("", (good, bad), set=str(record.get("set", "")), where=where)


_READERS = {
    CHOICE: _choice,
    PAIR: _pair,
    LAST_WORD: lambda record, where: _without_last_word(_text(record, "text", where), where),
}


# === Examples ===
def with_examples(task: Task, items: Sequence[Item], shots: int, seed: int) -> list[str]:
    """The texts of items of a task, each after `shots` other items with their answers.

    As in lm-evaluation-harness (`ContextSampler`), one generator draws for all items in turn, of all items of the
    task, one more than is wanted; an item is left out of its own examples, and so are equal ones.

    Raises:
        InputError: There are too few items, or they are minimal pairs, which take no examples.
    """
    if not shots:
        return [item.text for item in items]
    if task.kind == PAIR:
        raise InputError("minimal pairs are compared as whole texts, with no examples before them; leave shots out")
    if shots >= len(task.items):
        raise InputError(f"{task.name} has {len(task.items):,} items; give fewer shots than that, not {shots:,}")
    draw, texts = random.Random(seed), []
    for item in items:
        drawn = [other for other in draw.sample(task.items, shots + 1) if not _equal(other, item)]
        texts.append("".join(map(task.example, itertools.islice(drawn, shots))) + item.text)
    return texts


def _equal(one, other):
    return (one.text, one.choices, one.label) == (other.text, other.choices, other.label)
