"""The options of generated text, for `generate`, `stream`, exports, the client and `lm-keras generate`.

A new option of sampling is

1. a field of `GenerationConfig`, with its default, its bounds and what it means, and its line among the `Args`;
2. its line in `GenerationOptions`, which shows it to an editor (and in `RequestOptions`, if an export takes it);
3. a function of its name in `lm_keras/generation/sampling.py` with `@sampling_filter` above it.

CONTRIBUTING.md has an example.
"""

import dataclasses
import difflib
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, TypedDict

from lm_keras.errors import InputError, naming
from lm_keras.utils.atomic_files import path_of, read_json, write_json
from lm_keras.utils.checks import MAX_INT32, check_number, check_whole

LARGEST = 3e38  # of a float32
Strings: TypeAlias = str | Sequence[str] | None
Words: TypeAlias = int | str | Sequence[int | str] | None


@dataclasses.dataclass(frozen=True)
class Option:
    """What holds for an option beside its name and its default.

    Args:
        meaning: What it does, in a few words: for the command line, and for the message about a wrong value.
        least: The smallest value.
        above: A number that it is greater than.
        most: The largest value.
        limit: A size beyond which all values mean the same; they are accepted and cut.
        stream: Whether `stream` takes it. False: it is about a text that is known as a whole.
        source: Whether models of sequence to sequence take it.
        signatures: The signatures of an export that have it as an input, int32 or float32 as its default is.
        examples: Four values that an export is tried with when it is written and checked.
        flag: Its name on the command line, None: made from its own; "": it has none.
        metavar: What stands for its value in the help of the command line.
    """

    meaning: str
    least: float | None = None
    above: float | None = None
    most: float | None = None
    limit: float | None = None
    stream: bool = True
    source: bool = True
    signatures: tuple[str, ...] = ()
    examples: tuple = ()
    flag: str | None = None
    metavar: str = "TEXT"

    def checked(self, name: str, value: object, default: object) -> object:
        """Returns `value` in the type of the default; InputError for what the option called `name` cannot be."""
        if isinstance(default, bool):
            if value not in (True, False):
                raise InputError(f"{name} is {value!r:.40}; it must be True or False")
            return bool(value)
        if isinstance(default, tuple):
            if value is None or isinstance(value, (str, numbers.Integral)):
                return () if value is None else (value,)
            if not isinstance(value, Iterable):
                raise InputError(f"{name} is {value!r:.40}; give one, or a list of several")
            return tuple(value)
        if self.limit is not None and isinstance(value, numbers.Real) and not isinstance(value, bool):
            value = max(min(value, self.limit), -self.limit) if value == value else value
        try:
            if isinstance(default, int):
                return check_whole(name, value, self.least, self.most)
            return check_number(name, value, least=self.least, above=self.above, most=self.most)
        except InputError as error:
            raise InputError(f"{error} ({self.meaning})") from None


def option(default: object, meaning: str, **facts: object) -> object:
    """A field of `GenerationConfig`: its default, and the arguments of `Option`."""
    return dataclasses.field(default=default, metadata={"option": Option(meaning, **facts)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """The options of `generate` and `stream`; each has a default and can be given by itself.

    A config is checked when it is made: what cannot be is an InputError of one line.

    Args:
        max_new_tokens: The most tokens of a text. An export has a limit of its own beside it.
        min_new_tokens: No end mark or stop token is chosen before this many tokens; a stop string ends a text anyway.
        temperature: Logits are divided by it before a word is drawn. 0: the likeliest word each time (greedy).
        top_k: A word is drawn from the `top_k` likeliest (Fan et al. 2018). 0: from all.
        top_p: ... from the smallest set of likeliest words that holds this probability (Holtzman et al. 2020).
        min_p: ... from words of at least `min_p` times the best word's probability (Nguyen et al. 2024).
        repetition_penalty: Above 1, the words of the prompt and of the text become less likely (Keskar et al. 2019):
            before the temperature, positive logits are divided by it and negative ones multiplied. Special tokens
            stay as they are: the turns of a chat would keep its reply from ending. (transformers takes them for
            words.) Of a model of sequence to sequence, the words of the target alone.
        num_beams: Above 1: beam search of that width in place of sampling.
        length_penalty: A beam's score is log p / length ** length_penalty, the end mark counted in both.
        penalty_alpha: Above 0: contrastive search (Su et al. 2022) among the `top_k` likeliest words.
        num_return_sequences: Texts for each prompt: samples, or the best ones of a beam search.
        stop: Strings (one, or several) before the first of which a text ends.
        stop_tokens: Tokens (ids, or strings of the vocabulary) that end a text, beside the tokenizer's `end_ids`.
        seed: Of the draws, any whole number. The k-th repeat of a prompt takes `seed + k`.
        top_logprobs: So many of the likeliest words are given beside each token.
        begin: Whether the begin mark stands before the prompt, as in training here. A GPT-2 of transformers has none.
        jit_compile: Greedy text by a loop that XLA compiles, once for each number of rows and length (rounded up).

    Example:

    ```python
    config = lk.GenerationConfig(max_new_tokens=40, temperature=0.8, top_k=40)
    lm.generate("The fire", config)
    lm.generate("The fire", config, seed=1)  # options replace the config's
    config.save("runs/name/generation.json")
    ```
    """

    max_new_tokens: int = option(
        50, "the most tokens of a text", least=0, most=MAX_INT32, signatures=("generate", "sample", "beam", "chat"),
        examples=(8, 0, 3, 16),
    )  # fmt: skip
    min_new_tokens: int = option(0, "no end mark before", least=0, most=MAX_INT32)
    temperature: float = option(
        1.0, "0 is greedy", least=0, limit=1e4, signatures=("sample", "chat"), examples=(1.0, 0.7, 0.0, 1.3)
    )
    top_k: int = option(
        0, "0 keeps all words", least=0, limit=MAX_INT32, signatures=("sample", "chat"), examples=(0, 5, 0, 20)
    )
    top_p: float = option(
        1.0, "1 keeps all words", above=0, most=1, signatures=("sample", "chat"), examples=(1.0, 1.0, 0.9, 0.8)
    )
    min_p: float = option(0.0, "least share of the best word's p", least=0, most=1)
    repetition_penalty: float = option(1.0, "1 changes nothing", above=0, limit=LARGEST)
    num_beams: int = option(1, "beam search with N > 1", least=1, most=MAX_INT32, stream=False)
    length_penalty: float = option(
        0.0, "beam scores: log p / length^X", stream=False, signatures=("beam",), examples=(0.0, 1.0, 0.5, 1.0)
    )
    penalty_alpha: float = option(
        0.0, "contrastive search among the top_k likeliest words", least=0, most=1, stream=False, source=False
    )
    num_return_sequences: int = option(
        1, "texts of a prompt, one after another", least=1, most=MAX_INT32, stream=False
    )
    stop: Strings = option((), "end before this text (may be repeated)")
    stop_tokens: Words = option(
        (), "end at this word of the vocabulary (may be repeated)", flag="--stop-token", metavar="WORD"
    )
    seed: int = option(0, "another one gives another text", signatures=("sample", "chat"), examples=(0, 1, 2, 3))
    top_logprobs: int = option(
        0, "so many likeliest words beside each token", least=0, most=MAX_INT32, stream=False, flag=""
    )
    begin: bool = option(
        True, "no begin mark (GPT-2: <|endoftext|>) before the text", source=False, flag="--no-begin"
    )
    jit_compile: bool = option(False, "greedy decoding by XLA", stream=False, source=False, flag="")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = options_of(type(self))[field.name].checked(field.name, getattr(self, field.name), field.default)
            object.__setattr__(self, field.name, value)
        for text in self.stop:
            if not isinstance(text, str) or not text:
                raise InputError(f"a stop string is {text!r}; give a string of at least one character")
        for token in self.stop_tokens:
            if not isinstance(token, (str, numbers.Integral)):
                raise InputError(f"a stop token is {token!r:.40}; give an id or a string of the vocabulary")
        tokens = (token if isinstance(token, str) else int(token) for token in self.stop_tokens)
        object.__setattr__(self, "stop_tokens", tuple(tokens))
        _check_together(self)

    def changed(self) -> dict[str, object]:
        """The options that differ from their defaults, by name."""
        values = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    def save(self, path: str | os.PathLike) -> None:
        """Writes the options to a JSON file."""
        write_json(path_of(path), dataclasses.asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "GenerationConfig":
        """Reads a file that `save` wrote; options that it lacks have their defaults.

        Raises:
            InputError: The file is missing or damaged, or holds something that is no option, or cannot be.
        """
        path = path_of(path)
        values = read_json(path)
        with naming(path):
            if not isinstance(values, dict):
                raise InputError("no options of generation, as GenerationConfig.save writes them")
            return merged(cls(), values)


class GenerationOptions(TypedDict, total=False):
    """The options of `generate` and `stream` as keywords; `GenerationConfig` says what each means."""

    max_new_tokens: int
    min_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    num_beams: int
    length_penalty: float
    penalty_alpha: float
    num_return_sequences: int
    stop: Strings
    stop_tokens: Words
    seed: int
    top_logprobs: int
    begin: bool
    jit_compile: bool


class RequestOptions(TypedDict, total=False):
    """The options that a request to an export has as inputs: one value for all rows, or a value a row."""

    max_new_tokens: int | Sequence[int]
    temperature: float | Sequence[float]
    top_k: int | Sequence[int]
    top_p: float | Sequence[float]
    length_penalty: float | Sequence[float]
    seed: int | Sequence[int]


def options_of(config: type[GenerationConfig] = GenerationConfig) -> dict[str, Option]:
    """The `Option` of each field, by name."""
    return {field.name: field.metadata["option"] for field in dataclasses.fields(config)}


def inputs_of(signature: str) -> dict[str, object]:
    """The options that an export's signature has as inputs, in order: {name: default}."""
    fields = dataclasses.fields(GenerationConfig)
    return {field.name: field.default for field in fields if signature in field.metadata["option"].signatures}


def merged(
    config: GenerationConfig | None, options: Mapping[str, object], default: GenerationConfig | None = None
) -> GenerationConfig:
    """The config of a call: `config`, or the default one, with the options given beside it in place of its own.

    Raises:
        InputError: For what is no config, and for an option that there is not; the message names the likeliest one.
    """
    config = (default or GenerationConfig()) if config is None else config
    if not isinstance(config, GenerationConfig):
        if isinstance(config, numbers.Integral):
            raise InputError(f"{config!r} stands where a GenerationConfig may; write max_new_tokens={config!r}")
        raise InputError(f"config is {config!r:.40}; give a GenerationConfig, and options by name")
    check_names(options, type(config))
    return dataclasses.replace(config, **options) if options else config


def check_names(names: Iterable[str], config: type[GenerationConfig] = GenerationConfig) -> None:
    """Raises InputError for the name of no option; the message names the likeliest one."""
    known = options_of(config)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise InputError(f"there is no option {str(name)!r:.60}; {advice}")


def check_taken(config: GenerationConfig, by: str) -> None:
    """Raises InputError where an option is set that `stream`, or a model of sequence to sequence, does not take.

    Args:
        config: The options.
        by: "stream" or "source", as the facts of an `Option` are called.
    """
    what = {"stream": "stream gives a text while it is made", "source": "this model writes after a source"}[by]
    for name in config.changed():
        if not getattr(options_of(type(config))[name], by):
            raise InputError(f"{what} and takes no {name}; leave it out")


def _check_together(config):
    search = "num_beams > 1" if config.num_beams > 1 else "penalty_alpha > 0" if config.penalty_alpha > 0 else None
    if config.min_new_tokens > config.max_new_tokens:
        raise InputError(f"min_new_tokens is {config.min_new_tokens}, above max_new_tokens={config.max_new_tokens}")
    if search and config.repetition_penalty != 1:
        raise InputError(f"repetition_penalty does not go with {search}; leave one of them out")
    if config.penalty_alpha > 0:
        if config.num_beams > 1:
            raise InputError("penalty_alpha > 0 does not go with num_beams > 1; leave one of them out")
        if config.top_k < 1:
            raise InputError("penalty_alpha > 0 chooses among the top_k likeliest words; give top_k, e.g. 4")
    if config.jit_compile and (
        search or config.temperature > 0 or config.repetition_penalty != 1 or config.top_logprobs
    ):
        raise InputError("jit_compile compiles greedy decoding alone; give temperature=0 and no other way to choose")
    several = config.num_return_sequences
    if config.num_beams > 1 and several > config.num_beams:
        raise InputError(f"num_return_sequences is {several}, above num_beams={config.num_beams}")
    if several > 1 and config.num_beams == 1 and (config.temperature == 0 or config.penalty_alpha > 0):
        what = "penalty_alpha > 0" if config.penalty_alpha > 0 else "temperature=0"
        raise InputError(
            f"num_return_sequences is {several}, and {what} has one text; sample or search with num_beams"
        )
