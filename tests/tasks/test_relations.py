"""Relations of two spans: what a model reads, Python and graph alike; answers, training, refusals."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tasks import RELATIONS, marked_relations, relations, single_words

import lm_keras as lk
from lm_keras import tasks
from lm_keras.data import Relation, relation_of_marks
from lm_keras.errors import InputError
from lm_keras.tasks.relation_inputs import tf_word_spans, word_spans
from lm_keras.text.word_offsets import joined_word_places, tf_joined_word_places, word_places

EQUAL = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def by_words(news):
    return relations(news)


@pytest.fixture(scope="module")
def by_marks(news):
    return marked_relations(news)


# === Spans: the words that they touch ===


def touched(text, start, end):
    """By brute force: the words that share a character with the span, else the place between two words."""
    places = joined_word_places(text)
    inside = [i for i, (a, b) in enumerate(places) if a < end and b > start]
    before = sum(b <= start for _, b in places)
    return (inside[0], inside[-1] + 1) if inside else (before, before)


@tf.function(
    input_signature=[
        tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 4], tf.int32), tf.TensorSpec([None], tf.int32)
    ]
)  # fmt: skip
def in_graph(texts, spans, rows):
    words, starts, ends = tf_joined_word_places(texts)
    return tf_word_spans(words.row_splits, starts.flat_values, ends.flat_values, spans, rows)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("a b.1\u5929\t", max_size=9), min_size=1, max_size=4), st.data())
def test_words_of_spans_in_python_and_in_the_graph(texts, data):
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=5))
    spans = []
    for at in rows:
        ends = [sorted(data.draw(st.tuples(*[st.integers(0, len(texts[at]))] * 2))) for _ in range(2)]
        spans.append([(start, max(end, start + 1)) for start, end in ends])
    pairs = zip(rows, spans, strict=True)
    expected = np.array([[at for span in pair for at in touched(texts[row], *span)] for row, pair in pairs])
    found = word_spans([joined_word_places(text) for text in texts], spans, rows)
    np.testing.assert_array_equal(found, expected.reshape(-1, 4))
    flat = tf.constant(np.array(spans, np.int32).reshape(-1, 4))
    np.testing.assert_array_equal(in_graph(tf.constant(texts), flat, tf.constant(rows, tf.int32)), found)


# === What a model reads ===


def read(extractor, *records):
    rows = extractor.rows([*records])
    return {name: part.numpy() for name, part in extractor.inputs.dense(rows).items()}


def test_words_and_distances(by_words):
    record = Relation("the U.S. said 5,000 of the people", (4, 8), (20, 33))
    found = read(by_words, record, Relation("the people", (0, 3), (4, 10)))
    words = ["the", "u.s.", "said", "5,000", "of", "the", "people"]
    known = [by_words.tokenizer.tokens.index(word) if word in by_words.tokenizer.tokens else 1 for word in words]
    assert found["words"][0].tolist() == known
    assert (found["first"][0] - 7).tolist() == [-1, 0, 1, 2, 3, 4, 5]
    assert (found["second"][0] - 7).tolist() == [-4, -3, -2, -1, 0, 0, 0]
    assert found["words"][1, 2:].tolist() == found["first"][1, 2:].tolist() == [0] * 5
    far = read(by_words, Relation("a " * 20, (0, 1), (38, 39)))  # the largest distance is 6
    assert (far["first"][0] - 7).tolist() == [*range(7), *[6] * 13]


def test_marks_around_spans(by_marks):
    tokenizer = by_marks.tokenizer
    dollar, sharp = (tokenizer.encode(mark)[0] for mark in "$#")
    found = read(by_marks, relation_of_marks("the <e1>people</e1> of <e2>New York</e2>"))
    pieces = [tokenizer.encode(part) for part in ("the", "people", "of", "New York")]
    the, people, of, new_york = pieces
    row = [tokenizer.cls_id, *the, dollar, *people, dollar, *of, sharp, *new_york, sharp, tokenizer.sep_id]
    assert found["token_ids"][0].tolist() == row
    first = [0] * (1 + len(the)) + [1] * (len(people) + 2)
    second = [0] * (len(first) + len(of)) + [1] * (len(new_york) + 2) + [0]
    assert found["first"][0].tolist() == first + [0] * (len(row) - len(first))
    assert found["second"][0].tolist() == second
    assert found["padding_mask"].all() and not found["segment_ids"].any()


@pytest.mark.parametrize(
    "text",
    ["<e2>a</e2><e1>.</e1> b", "a <e1>b <e2>c</e2></e1> d", "<e2><e1>a</e1> b</e2>", "<e1>a <e2>b</e1> c</e2>"],
)
def test_spans_that_touch_or_overlap(by_marks, text):
    record = relation_of_marks(text)
    found = read(by_marks, record)
    marks = [by_marks.tokenizer.encode(mark)[0] for mark in "$#"]
    ids = found["token_ids"][0]
    for mark, name in zip(marks, ("first", "second"), strict=True):
        places = np.flatnonzero(ids == mark)
        assert len(places) == 2
        assert np.flatnonzero(found[name][0]).tolist() == list(range(places[0], places[1] + 1))
    plain = [i for i in ids.tolist()[1:-1] if i not in marks]
    assert plain == by_marks.tokenizer.encode(record.text)


@pytest.mark.parametrize("kind", ["by_words", "by_marks"])
def test_of_a_long_text_what_is_around_the_spans_is_read(kind, request):
    extractor = request.getfixturevalue(kind)
    words = [f"w{i % 7}" for i in range(400)]
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    for first, second in ((0, 3), (200, 204), (399, 396), (10, 390)):
        spans = [(int(starts[i]), int(starts[i]) + 2) for i in (first, second)]
        found = read(extractor, Relation(" ".join(words), *spans))
        width = found["first"].shape[1]
        assert width <= extractor.inputs.max_length
        if abs(first - second) < 9 and kind == "by_words":
            assert (found["first"] == 7).sum() == (found["second"] == 7).sum() == 1
        if abs(first - second) < 9 and kind == "by_marks":
            assert found["first"].sum() >= 3 and found["second"].sum() >= 3


@pytest.mark.parametrize("kind", ["by_words", "by_marks"])
def test_answers_do_not_depend_on_the_batch(kind, request, news):
    extractor = request.getfixturevalue(kind)
    records = []
    for i, text in enumerate(news[:40]):
        text = text[: 40 + 7 * i]
        places = word_places(text)
        records.append(Relation(text, places[i % len(places)], places[-1 - i % 5]))
    together = extractor.probabilities(records)
    alone = np.concatenate([extractor.probabilities(record) for record in records])
    np.testing.assert_allclose(together, alone, **EQUAL)
    np.testing.assert_allclose(together.sum(1), 1, rtol=1e-5)
    assert len({one.label for one in extractor.classify(records)}) > 1
    assert extractor.probabilities([]).shape == (0, len(RELATIONS))


def test_the_graph_takes_any_places(by_words, by_marks):
    """A server is sent what it is sent: beyond the text, the end before the start, no word at all."""
    texts = ["", " ", "a b c", "a b c", "天气", "a" * 30, "x"]
    places = [[0, 0, 0, 0], [-5, 9, 1, 1], [4, 1, 2, 0], [-(2**31), 2**31 - 1, 2**31 - 1, -(2**31)],
              [0, 1, 1, 2], [3, 4, 90, 99], [1, 1, 1, 1]]  # fmt: skip
    for extractor in (by_words, by_marks):
        call = extractor.signatures().signatures["relation"]
        columns = [tf.constant(column, tf.int32) for column in zip(*places, strict=True)]
        scores = call(tf.constant(texts), *columns)["scores"].numpy()
        assert np.isfinite(scores).all() and np.allclose(scores.sum(1), 1, atol=1e-5)
        for i, text in enumerate(texts):
            alone = call(tf.constant([text]), *(tf.constant([place], tf.int32) for place in places[i]))
            np.testing.assert_allclose(alone["scores"][0], scores[i], **EQUAL)


# === Training ===

RECORDS = [
    relation_of_marks(text.format(*names))._replace(label=label)
    for names in [("flood", "rain"), ("fire", "heat"), ("noise", "wind"), ("crash", "ice")]
    for text, label in (
        ("The <e1>{}</e1> was caused by the <e2>{}</e2> .", "Cause-Effect(e2,e1)"),
        ("A <e2>{}</e2> came after the <e1>{}</e1> .", "Cause-Effect(e1,e2)"),
        ("We saw <e1>{}</e1> and <e2>{}</e2> .", "Other"),
    )
]


@pytest.mark.parametrize("encoder", ["cnn", "bilstm"])
def test_a_trained_extractor_tells_directions_apart_and_is_saved(encoder, tmp_path):
    sizes = {"hidden_dim": 16, "dropout": 0.2, "embedding_dim": 12}
    made = tasks.RelationExtractor.train(
        RECORDS, encoder=encoder, validation=RECORDS, epochs=25, batch_size=4, learning_rate=0.02, **sizes
    )
    report = made.evaluate(RECORDS)
    assert report.macro_f1 == 1 and report.none == "Other" == made.none and len(made.history["loss"]) <= 25
    assert made.classify("The <e1>flood</e1> was caused by the <e2>ice</e2> .")[0].label == "Cause-Effect(e2,e1)"
    turned = [record._replace(first=record.second, second=record.first) for record in RECORDS[:1]]
    assert made.classify(turned)[0].label != made.classify(RECORDS[:1])[0].label
    made.save(tmp_path / "x")
    again = tasks.load(tmp_path / "x")
    np.testing.assert_array_equal(again.probabilities(RECORDS), made.probabilities(RECORDS))


def test_word_vectors_and_names_of_labels():
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(6)
    words = ["flood", "rain", "storm", "saw"]
    vectors.add_vectors(words, np.random.default_rng(0).normal(size=(4, 6)).astype("float32"))
    numbers = [record._replace(label=i % 3) for i, record in enumerate(RECORDS)]
    names = ["b", "none", "a"]
    made = tasks.RelationExtractor.train(
        numbers, classes=names, word_vectors=vectors, epochs=1, batch_size=8, num_filters=4, hidden_dim=4
    )
    assert made.classes == names and made.none == "none"
    tokens = made.tokenizer.tokens
    assert "storm" in tokens  # of the vectors alone
    table = np.asarray(made.model.get_layer("embedding").embeddings)
    np.testing.assert_array_equal(table[tokens.index("storm")], vectors["storm"])
    assert made.model.get_layer("trained_part").embeddings.shape[0] == tokens.index("storm")


def test_of_several_names_for_no_relation_the_plainest_is_it(by_words):
    for names, none in (
        (["Other", "R", "S", "none"], "none"),
        (["None", "Other", "no_relation", "R"], "no_relation"),
    ):
        assert tasks.RelationExtractor(by_words.model, by_words.tokenizer, names).none == none


def test_an_encoder_is_trained_on(by_marks):
    encoder = lk.models.build_bert(
        by_marks.tokenizer.vocab_size, max_length=32, hidden_dim=8, num_layers=1, num_heads=2, seed=0
    )
    encoder.tokenizer = by_marks.tokenizer
    settings = {"batch_size": 8, "max_steps": 2, "dtype": "mixed_bfloat16"}
    made = tasks.RelationExtractor.train(RECORDS, encoder=encoder, dropout=0.0, **settings)
    assert {layer.compute_dtype for layer in made.model.layers} == {"float32"}
    assert made.inputs.max_length == 32 and made.evaluate(RECORDS).num_texts == len(RECORDS)


def test_a_class_may_weigh_more():
    """Nothing but the weight of a relation says which of two answers a text has."""
    first = RECORDS[0]
    records = [first._replace(label=label) for label in ("A", "Other") for _ in range(6)]
    settings = {"max_steps": 60, "learning_rate": 0.1, "embedding_dim": 4, "dropout": 0.0, "validation": records}
    made = tasks.RelationExtractor.train(records, class_weight={"Other": 4.0}, **settings)
    assert made.classify([first])[0].scores["Other"] == pytest.approx(0.8, abs=0.05)


def test_exchanged_entities_are_the_other_direction():
    """No record to train on is of the other direction; the extractor has learnt it all the same."""
    names = ["C(e1,e2)", "C(e2,e1)", "Other"]
    texts = [("ice brings floods", "C(e1,e2)"), ("ice without floods", 2), ("rain brings storms", 0)] * 4
    records = [
        Relation(text, (0, text.index(" ")), (text.rindex(" ") + 1, len(text)), label) for text, label in texts
    ]
    settings = {"max_steps": 60, "learning_rate": 0.05, "embedding_dim": 6, "dropout": 0.0, "validation": records}
    made = tasks.RelationExtractor.train(records, classes=names, swap=True, **settings)
    turned = [row._replace(first=row.second, second=row.first) for row in records[:3]]
    assert [row.label for row in made.classify(records[:3])] == ["C(e1,e2)", "Other", "C(e1,e2)"]
    assert [row.label for row in made.classify(turned)] == ["C(e2,e1)", "Other", "C(e2,e1)"]


def test_refusals(by_words, by_marks, news):
    train, first = tasks.RelationExtractor.train, RECORDS[0]
    plain = [row._replace(label="ab"[: 1 + i % 2]) for i, row in enumerate(RECORDS)]
    for call, message in [
        (lambda: train("x"), "records is one string"),
        (lambda: train([]), "no record in records"),
        (lambda: train([first] * 3), "a classifier needs two classes or more"),
        (lambda: train([first._replace(label=None)]), "record 0 of records has no label"),
        (lambda: train([Relation("a b", (0, 9), (2, 3), "R")]), r"record 0: first, \(0, 9\), is not within"),
        (lambda: train([first, first._replace(label="R")]), "all records are of one text"),
        (lambda: train(RECORDS, encoder="lstm"), "neither a folder nor one of"),
        (lambda: train(RECORDS, num_heads=2), "build_relation_cnn has no option num_heads"),
        (lambda: train(RECORDS, word_vectors=3), "word_vectors is a int"),
        (lambda: train(RECORDS, validation=2.0), "validation is 2.0"),
        (lambda: train(RECORDS, class_weight={"Z": 2}), "class_weight has 'Z'"),
        (lambda: train(RECORDS, swap=2), "swap is 2"),
        (lambda: train(plain, swap=True), "'ab?' has no such other direction"),
        (lambda: train(RECORDS, config={"epochs": 1}), "config is {'epochs': 1}; give a TrainingConfig"),
        (lambda: by_words.classify(3), "records is a int"),
        (lambda: by_words.classify(["a <e1>b</e1>"]), "lacks <e2>"),
        (lambda: by_words.classify([("a", 1)]), "record 0 is a tuple"),
        (lambda: by_words.evaluate([first]), "which is none of the classes"),
        (lambda: tasks.RelationExtractor(by_words.model, by_words.tokenizer, ["a"]), "4 classes apart"),
        (lambda: train(RECORDS, max_length=3, epochs=1), "max_length is 3"),
        (lambda: tasks.RelationExtractor(by_words.model, by_marks.tokenizer, RELATIONS), "give a WordTokenizer"),
        (lambda: tasks.RelationExtractor(by_marks.model, by_words.tokenizer, RELATIONS), "give a WordPieceTokenizer"),
        (lambda: by_words.with_model(by_marks.model), "give a WordPieceTokenizer"),
        (
            lambda: tasks.RelationExtractor(
                lk.models.build_cnn_classifier(9, num_classes=4), single_words(news[:1]), RELATIONS
            ),
            "does not read inputs by name|knows 9 tokens",
        ),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            call()
