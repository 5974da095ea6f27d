"""`InformationExtractor.train`: a tagger and a relation extractor of texts with entities and relations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lm_keras.data.corpora.records import RelatedText
from lm_keras.data.relations import checked_related, related_pairs
from lm_keras.data.splitting import split_texts
from lm_keras.data.tagged import TaggedText
from lm_keras.errors import InputError
from lm_keras.tasks.relations import RelationExtractor
from lm_keras.tasks.tagging import TextTagger
from lm_keras.utils.checks import check_choice, check_number, check_whole

if TYPE_CHECKING:
    from lm_keras.tasks.extraction import InformationExtractor

NO_RELATION = "none"


def train_both(
    kind: type[InformationExtractor],
    texts: Iterable[RelatedText],
    *,
    validation: object,
    tagger: dict[str, Any],
    relations: dict[str, Any],
    neighbors: int,
    by_kind: bool,
    seed: int,
) -> InformationExtractor:
    """Returns a trained extractor of the class `kind`; the arguments are those of `InformationExtractor.train`."""
    check_choice("by_kind", by_kind, (True, False))
    check_whole("neighbors", neighbors, 1, 1000)
    records = _checked(texts, "texts")
    if validation is None or isinstance(validation, (int, float)):
        share = 0.1 if validation is None else check_number("validation", validation, above=0, below=1)
        if len(records) < 2:
            raise InputError("there is one text; give two or more, or validation=")
        train, held_out = split_texts(records, share, seed)
    else:
        train, held_out = records, _checked(validation, "validation")
    pairs, others = (related_pairs(part, NO_RELATION, neighbors) for part in (train, held_out))
    names = sorted({pair.label for pair in pairs} - {NO_RELATION})
    if not names or not others:
        what = "the texts have no relation" if not names else "no text of validation has two entities"
        raise InputError(f"{what}; give texts with relations between their entities")
    others = [pair for pair in others if pair.label in (*names, NO_RELATION)]
    sentences, valid = ([TaggedText(text, list(spans)) for text, spans, _ in part] for part in (train, held_out))
    made = TextTagger.train(sentences, **{"validation": valid, "seed": seed, **tagger})
    given = {"validation": others, "classes": [*names, NO_RELATION], "seed": seed, **relations}
    extractor = RelationExtractor.train(pairs, **given)
    found = kind.of(made, extractor, neighbors=neighbors, kinds=kinds_of(train) if by_kind else None)
    found.history = {"tagger": made.history, "relations": extractor.history}
    return found


def kinds_of(texts: Iterable[RelatedText]) -> dict[str, list[list[str]]]:
    """Returns the labels of entities that each relation is between, {relation: [[label, label], ...]}."""
    found: dict[str, set] = {}
    for _, spans, relations in texts:
        for first, second, label in relations:
            found.setdefault(label, set()).add((spans[first][2], spans[second][2]))
    return {name: [list(pair) for pair in sorted(pairs)] for name, pairs in sorted(found.items())}


def _checked(texts, name):
    if isinstance(texts, (str, bytes)):
        raise InputError(f"{name} is one string; of a file read them by lk.data.read_related")
    found = [checked_related(record, f"record {i} of {name}") for i, record in enumerate(texts)]
    if not found:
        raise InputError(f"there is no text in {name}; give at least one")
    return found
