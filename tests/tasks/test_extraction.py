"""Entities and relations from one text: pairs, constraints, the graph, measures by hand, training."""

import json

import numpy as np
import pytest
import tensorflow as tf
from small_tasks import extraction, relations, word_tagger

import lm_keras as lk
from lm_keras import tasks
from lm_keras.data import RelatedText
from lm_keras.data.relations import pairs_of, related_pairs
from lm_keras.errors import InputError
from lm_keras.serving.client.results import Extraction, FoundRelation, Span
from lm_keras.tasks.extraction import relations_as_json, tf_pairs
from lm_keras.tasks.extraction_metrics import extraction_report
from lm_keras.tasks.extraction_training import kinds_of


@pytest.fixture(scope="module")
def extractor(news):
    return extraction(news[:60])


@pytest.mark.parametrize("neighbors", [1, 2, 9])
def test_pairs_in_the_graph(neighbors):
    counts = [0, 3, 1, 0, 5, 2]
    text = np.repeat(np.arange(len(counts)), counts)
    expected, at = [], 0
    for count in counts:
        expected += [(at + i, at + j) for i, j in pairs_of(count, neighbors)]
        at += count
    first, second = tf_pairs(tf.constant(text, tf.int64), neighbors)
    assert list(zip(first.numpy().tolist(), second.numpy().tolist(), strict=True)) == expected
    assert tf.size(tf_pairs(tf.constant([], tf.int64), neighbors)[0]) == 0


def test_relations_are_between_entities_of_their_kinds(extractor, news):
    texts = [text[:300] for text in news[:30]]
    found = extractor.extract(texts)
    relation_of = [row for one in found for row in one.relations]
    assert len(relation_of) > 20 and {row.label for row in relation_of} == {
        "Kill",
        "Live_In(e1,e2)",
        "Live_In(e2,e1)",
    }
    for one in found:
        for first, second, label, score in one.relations:
            kinds = [one.entities[first].label, one.entities[second].label]
            assert kinds in extractor.kinds[label] and 0 < abs(first - second) <= 3 and 0 < score <= 1
    free = tasks.InformationExtractor.of(extractor.tagger, extractor.relations, neighbors=3)
    others = [
        (row.label, [one.entities[at].label for at in row[:2]])
        for one in free.extract(texts)
        for row in one.relations
    ]
    assert any(kinds not in extractor.kinds[label] for label, kinds in others)


def test_the_graph_answers_as_python(extractor, news):
    texts = [*(text[: 10 + 20 * i] for i, text in enumerate(news[:14])), "", " ", "天气 Paris", '\x00"quoted"\n']
    expected = extractor.extract(texts)
    call = extractor.signatures().signatures["extract"]
    for size in (len(texts), 1):
        for start in range(0, len(texts), size):
            made = call(tf.constant(texts[start : start + size]))
            for one, entities, found in zip(
                expected[start:], made["entities"].numpy(), made["relations"].numpy(), strict=False
            ):
                assert [(s["start"], s["end"], s["label"]) for s in json.loads(entities)] == [
                    s[:3] for s in one.entities
                ]
                found = json.loads(found)
                assert [(r["first"], r["second"], r["label"]) for r in found] == [tuple(r[:3]) for r in one.relations]
                np.testing.assert_allclose([r["score"] for r in found], [r.score for r in one.relations], atol=1e-4)
                assert json.loads(relations_as_json(one.relations)) == [r._asdict() for r in one.relations]
    made = call(tf.constant([""]))  # no word, no entity, no pair
    assert made["relations"].numpy().tolist() == [b"[]"]


def test_it_is_saved_and_loaded(extractor, news, tmp_path):
    extractor.save(tmp_path / "x")
    again = tasks.load(tmp_path / "x")
    assert again.options == extractor.options and again.kinds == extractor.kinds
    assert again.extract(news[:5]) == extractor.extract(news[:5])


def span(text, part, label):
    start = text.index(part)
    return Span(start, start + len(part), label, 0.5, part)


def test_measures_by_hand():
    text = "Ann and Bob live in Paris"
    ann, bob, paris = (span(text, part, label) for part, label in (("Ann", "P"), ("Bob", "P"), ("Paris", "L")))
    gold = RelatedText(text, (ann[:3], bob[:3], paris[:3]), ((0, 2, "Live"), (1, 2, "Live"), (0, 1, "Love")))
    wrong = ann._replace(label="L")
    found = Extraction([wrong, bob, paris], [FoundRelation(0, 2, "Live", 1.0), FoundRelation(1, 2, "Live", 1.0)])
    report = extraction_report([gold, RelatedText("x", ())], [found, Extraction([], [])])
    assert report.totals["entities"][1:] == (2 / 3, 2 / 3, 2 / 3, 3)
    assert report.totals["relations"][1:] == (1 / 2, 1 / 3, pytest.approx(2 / 5), 3)
    assert report.totals["relations_by_ends"][1:] == (1, 2 / 3, pytest.approx(4 / 5), 3)
    assert [(each.name, each.support) for each in report.per_relation] == [("Live", 2), ("Love", 1)]
    assert report.per_entity[0][:4] == ("L", 1 / 2, 1, pytest.approx(2 / 3))
    told = report.as_dict()
    assert told["relation_f1"] == report.relation_f1 and len(told["intervals"]["entities"]) == 2
    assert "relation F1 40.0 %" in str(report) and json.dumps(told)


def texts_of_people():
    people, towns = ["Ann", "Bob", "Eve", "Max", "Tom", "Kim"], ["Paris", "Rome", "Oslo", "Bonn"]
    for i in range(24):
        one, two, town = people[i % 6], people[(i * 5 + 1) % 6], towns[i % 4]
        if i % 2:
            text = f"{one} lives in {town} ."
            yield RelatedText(text, (span(text, one, "P")[:3], span(text, town, "L")[:3]), ((0, 1, "Live"),))
        else:
            text = f"{one} called {two} from {town} ." if one != two else f"{one} called from {town} ."
            names = [span(text, name, label)[:3] for name, label in ((one, "P"), (two, "P"), (town, "L"))]
            yield RelatedText(text, tuple(dict.fromkeys(names)), ())


def test_what_training_reads_of_texts():
    texts = list(texts_of_people())
    assert kinds_of(texts, 2) == {"Live": [["P", "L"]]}
    pairs = related_pairs(texts, "none", 2)
    assert {pair.label for pair in pairs} == {"Live", "none"}
    assert sum(pair.label == "Live" for pair in pairs) == 12
    assert len(pairs) == sum(len(pairs_of(len(text.spans), 2)) for text in texts)


def acquainted(*labels):
    """Texts of three entities; the relations of the first to the second, and of the first to the third."""
    for name, town in [("Ann", "Rome"), ("Bob", "Oslo"), ("Eve", "Bonn"), ("Kim", "Lima")]:
        text = f"{name} and Max from {town}"
        spans = tuple(span(text, *row)[:3] for row in ((name, "P"), ("Max", "P"), (town, "L")))
        yield RelatedText(text, spans, tuple((0, i, label) for i, label in enumerate(labels, 1)))


def test_a_relation_that_is_only_between_entities_far_apart_is_left_out():
    """Of kinds as of pairs: a kind of a relation that no pair has would be refused when both trainings are over."""
    texts = list(acquainted("Knows", "Live"))
    assert kinds_of(texts, 2) == {"Knows": [["P", "P"]], "Live": [["P", "L"]]}
    assert kinds_of(texts, 1) == {"Knows": [["P", "P"]]}
    assert {pair.label for pair in related_pairs(texts, "none", 1)} == {"Knows", "none"}


@pytest.mark.parametrize("character", "\x0b\x0c\x1c\x1f\x85")
def test_an_entity_may_be_of_what_only_python_calls_white_space(extractor, character):
    """Of the words' cut it is a character like others, so a tagger may find it."""
    text = f"Ann {character} Rome"
    entities = [[Span(0, 3, "PER", 1.0, "Ann"), Span(4, 5, "LOC", 1.0, character)]]
    (found,) = extractor.between([text], entities)
    assert found.entities == entities[0]


def test_refusals(extractor, news):
    tagger, other = word_tagger(news[:9]), relations(news[:9])
    named = tasks.RelationExtractor(other.model, other.tokenizer, ["a", "b", "c", "d"])
    of, train = tasks.InformationExtractor.of, tasks.InformationExtractor.train
    text = RelatedText("a b", ((0, 1, "x"), (2, 3, "x")))
    for call, message in [
        (lambda: of(tagger, named), "name that of pairs without a relation none"),
        (lambda: named.with_tagger(tagger), "name that of pairs without a relation none"),
        (lambda: of(tagger, other, neighbors=0), "neighbors is 0"),
        (lambda: of(tagger, other, kinds={"x": []}), "kinds has 'x'"),
        (lambda: of(tagger, other, kinds={"Kill": [["PER", "x"]]}), "kinds of Kill has"),
        (lambda: extractor.with_model(tagger.model), "does not hold a tagger and a relation model"),
        (lambda: train("x"), "texts is one string"),
        (lambda: train([]), "no text in texts"),
        (lambda: train([text]), "there is one text"),
        (lambda: train([text, text]), "the texts have no relation"),
        (lambda: train([("a", 1)]), "record 0 of texts is a tuple"),
        (lambda: train(3), "texts is a int"),
        (lambda: train([RelatedText("a b", 3)]), "record 0 of texts: spans is 3; give a list"),
        (lambda: train([RelatedText("a b", (3,))]), "record 0 of texts: the span is 3"),
        (lambda: train([RelatedText("a b", (), None)]), "record 0 of texts: relations is None; give a list"),
        (
            lambda: train([RelatedText("a  b", ((1, 2, "x"),))]),
            r"record 0 of texts: the entity \(1, 2, 'x'\) is white",
        ),
        (lambda: train(acquainted("Other")), "a relation is called 'Other'"),
        (lambda: train(acquainted("none")), "a relation is called 'none'"),
        (lambda: train(acquainted("R"), tagger="bilstm"), "tagger is 'bilstm'; give a dict of arguments"),
        (lambda: train(acquainted("R"), relations=3), "relations is 3; give a dict of arguments"),
        (
            lambda: train(acquainted("R"), tagger={"encoder": other.model}, relations={"encoder": other.model}),
            "tagger and relations have one encoder",
        ),
        (lambda: extractor.evaluate([]), "0 texts"),
        (lambda: extractor.between(["a b"], [[Span(0, 1, "x", 1.0, "a")]]), "an entity is a 'x'"),
        (lambda: extractor.between(["a b"], [[], []]), "1 texts and entities of 2"),
        (
            lambda: extractor.between(["a b"], [[(0, 1, "PER")]]),
            "entities of text 0 have a tuple; give lk.tasks.Span",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            call()
    assert lk.tasks.RelationExtractor(other.model, other.tokenizer, other.classes).with_tagger(tagger).neighbors == 8
