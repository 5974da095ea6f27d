"""`InformationExtractor.train`: a tagger and a relation extractor of texts with entities and relations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras

from lm_keras.data.corpora.records import RelatedText
from lm_keras.data.relations import checked_related, pairs_of, related_pairs
from lm_keras.data.splitting import split_texts
from lm_keras.data.tagged import TaggedText
from lm_keras.errors import InputError
from lm_keras.tasks.relations import NONE, RelationExtractor
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
    tagger: Mapping[str, Any],
    relations: Mapping[str, Any],
    neighbors: int,
    by_kind: bool,
    seed: int,
) -> InformationExtractor:
    """Returns a trained extractor of the class `kind`; the arguments are those of `InformationExtractor.train`."""
    check_choice("by_kind", by_kind, (True, False))
    check_whole("neighbors", neighbors, 1, 1000)
    _check_arguments(tagger, relations)
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
    found = kind.of(made, extractor, neighbors=neighbors, kinds=kinds_of(train, neighbors) if by_kind else None)
    found.history = {"tagger": made.history, "relations": extractor.history}
    return found


def kinds_of(texts: Iterable[RelatedText], neighbors: int) -> dict[str, list[list[str]]]:
    """Returns the labels of entities that each relation is between, {relation: [[label, label], ...]}.

    Args:
        texts: Checked texts.
        neighbors: As in `pairs_of`; the relations of other pairs are left out.
    """
    found: dict[str, set] = {}
    for _, spans, relations in texts:
        near = set(pairs_of(len(spans), neighbors))
        for first, second, label in relations:
            if (first, second) in near:
                found.setdefault(label, set()).add((spans[first][2], spans[second][2]))
    return {name: [list(pair) for pair in sorted(pairs)] for name, pairs in sorted(found.items())}


def _check_arguments(tagger, relations):
    for name, given in (("tagger", tagger), ("relations", relations)):
        if not isinstance(given, Mapping):
            raise InputError(f"{name} is {given!r:.60}; give a dict of arguments of its training")
    encoder = tagger.get("encoder")
    if isinstance(encoder, keras.Model) and encoder is relations.get("encoder"):
        raise InputError(
            "tagger and relations have one encoder, and the second training would change what the first has learnt; "
            "give each a model of its own"
        )


def _checked(texts, name):
    if isinstance(texts, (str, bytes)):
        raise InputError(f"{name} is one string; of a file read them by lk.data.read_related")
    if not isinstance(texts, Iterable):
        raise InputError(f"{name} is a {type(texts).__name__}; give a list of lk.data.RelatedText")
    found = [checked_related(record, f"record {i} of {name}") for i, record in enumerate(texts)]
    if not found:
        raise InputError(f"there is no text in {name}; give at least one")
    if label := next((row[2] for record in found for row in record.relations if row[2].lower() in NONE), None):
        raise InputError(
            f"a relation is called {label!r}, as pairs without one are; leave these out of relations, or rename it"
        )
    return found
