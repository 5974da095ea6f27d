"""The records of the named corpora: one type for each task, with the words of the field.

Each is a named tuple with a method `texts()`: what it holds of running text, a list of str. Labels, tags, titles and
ids are none.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Labelled(NamedTuple):
    """A text and its class; `label` is the place in the set's `classes`."""

    text: str
    label: int

    def texts(self) -> list[str]:
        """The text."""
        return [self.text]


class FunctionalCase(NamedTuple):
    """A text that tests one function of a model: where one of such texts goes wrong says what the model cannot do.

    Attributes:
        text: The text.
        label: Its class, the place in the set's `classes`.
        function: What it tests, such as "negate_neg_nh": a negated statement of hate, which is not hateful.
        target: The group of people that it names, or "".
        template: The text with [..] in the place of the group; texts of one template differ in the group alone.
    """

    text: str
    label: int
    function: str
    target: str = ""
    template: str = ""

    def texts(self) -> list[str]:
        """The text."""
        return [self.text]


class Relation(NamedTuple):
    """Two entities of a text, each by its `(start, end)` in characters, and their relation.

    `label` is its name, or its place in `classes`; None where it is not known.
    """

    text: str
    first: tuple[int, int]
    second: tuple[int, int]
    label: int | str | None = None

    def texts(self) -> list[str]:
        """The text."""
        return [self.text]

    def marked(self) -> str:
        """The text with its entities in marks: `The <e1>author</e1> uses a <e2>disassembler</e2>.`"""
        marks = [(*self.first, "e1"), (*self.second, "e2")]
        ends = [(end, 0, -start, f"</{mark}>") for start, end, mark in marks]
        starts = [(start, 1, -end, f"<{mark}>") for start, end, mark in marks]
        parts, before = [], 0
        for at, _, _, mark in sorted(ends + starts):
            parts += [self.text[before:at], mark]
            before = at
        return "".join([*parts, self.text[before:]])


class RelatedText(NamedTuple):
    """A text, its entities and the relations between them.

    Attributes:
        text: The text.
        spans: `(start, end, label)` of each entity, in characters.
        relations: `(first, second, label)` of each relation: the places of two entities in `spans`, and its name.
    """

    text: str
    spans: tuple[tuple[int, int, str], ...]
    relations: tuple[tuple[int, int, str], ...] = ()

    def texts(self) -> list[str]:
        """The text."""
        return [self.text]


class TaggedSentence(NamedTuple):
    """Words (in Chinese characters) and the tag of each, one of `classes`: O, or B- and I- before an entity's type.

    `parts_of_speech` and `chunks` have one tag a word too, or are () where the set has none.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    parts_of_speech: tuple[str, ...] = ()
    chunks: tuple[str, ...] = ()

    def texts(self) -> list[str]:
        """The words, with spaces between them; in Chinese without."""
        return [self.space().join(self.words)]

    def space(self) -> str:
        """What stands between two words: nothing where each is one character, as in Chinese."""
        characters = all(len(word) == 1 for word in self.words) and not all(map(str.isascii, self.words))
        return "" if characters else " "


class ReferenceAnswer(NamedTuple):
    """An answer; `context[start : start + len(text)] == text`, and `start` is None where it is no part of a text."""

    text: str
    start: int | None = None


class QuestionAnswer(NamedTuple):
    """A question on a context ("" where the set gives none) and its answers, one from each person asked.

    `is_impossible`: the context does not answer the question, and `answers` is ().
    `title`: the article, or the task; `supporting`: the lines of the context that lead to the answer, from 0.
    """

    context: str
    question: str
    answers: tuple[ReferenceAnswer, ...]
    is_impossible: bool = False
    title: str = ""
    id: str = ""
    supporting: tuple[int, ...] = ()

    def texts(self) -> list[str]:
        """The context, the question, and the answers, each once."""
        return [self.context, self.question, *dict.fromkeys(answer.text for answer in self.answers)]


class Translation(NamedTuple):
    """One sentence in three languages."""

    en: str
    de: str
    fr: str

    def texts(self) -> list[str]:
        """The sentence in each language."""
        return list(self)


class TextPair(NamedTuple):
    """A text and what is to be written from it: its translation, its summary, its answer."""

    source: str
    target: str

    def texts(self) -> list[str]:
        """Both."""
        return list(self)


class Dialogue(NamedTuple):
    """The turns of a conversation, in order; `acts` and `emotions` name those of each turn, or are ()."""

    turns: tuple[str, ...]
    acts: tuple[str, ...] = ()
    emotions: tuple[str, ...] = ()
    topic: str = ""
    language: str = "en"

    def texts(self) -> list[str]:
        """The turns."""
        return list(self.turns)


class Summary(NamedTuple):
    """A document and its summaries, one from each writer; `topics` of each, `score` of a single one, where given.

    Where a set has them: `sentences` of the document, and `oracle`, the places of those that fit the summaries best.
    """

    document: str
    summaries: tuple[str, ...]
    topics: tuple[str, ...] = ()
    score: int | None = None
    id: str = ""
    sentences: tuple[str, ...] = ()
    oracle: tuple[int, ...] = ()

    def texts(self) -> list[str]:
        """The document and its summaries."""
        return [self.document, *self.summaries]


class Hypotheses(NamedTuple):
    """What a speech recognizer heard, its best guess first, with its scores (or ()), and what was said, if known."""

    reference: str | None
    hypotheses: tuple[str, ...]
    scores: tuple[float, ...] = ()
    id: str = ""

    def texts(self) -> list[str]:
        """What was said, if it is known, and the guesses."""
        return [*([] if self.reference is None else [self.reference]), *self.hypotheses]


class WordPair(NamedTuple):
    """Two words and how similar people find them, 0 to 10."""

    first: str
    second: str
    score: float

    def texts(self) -> list[str]:
        """The two words."""
        return [self.first, self.second]


class Analogy(NamedTuple):
    """a is to b as c is to d."""

    section: str
    a: str
    b: str
    c: str
    d: str

    def texts(self) -> list[str]:
        """The four words."""
        return list(self[1:])


class MultipleChoice(NamedTuple):
    """A question and answers to choose from; `label` is the place of the right one."""

    question: str
    choices: tuple[str, ...]
    label: int

    def texts(self) -> list[str]:
        """The question and the answers."""
        return [self.question, *self.choices]


class MinimalPair(NamedTuple):
    """Two sentences that differ in one point of grammar, by which the second one is wrong.

    `set` is the set of pairs, `phenomenon` what it is about, `field` the part of grammar.
    """

    good: str
    bad: str
    set: str = ""
    field: str = ""
    phenomenon: str = ""

    def texts(self) -> list[str]:
        """The good sentence."""
        return [self.good]


def record_texts(records: Iterable[NamedTuple]) -> list[str]:
    """Returns the texts of records, without blank ones. A context that questions in a row share comes once."""
    texts, context = [], None
    for record in records:
        found = record.texts()
        if isinstance(record, QuestionAnswer):
            found = found[1:] if record.context == context else found
            context = record.context
        texts += found
    return [text for text in texts if text.strip()]
