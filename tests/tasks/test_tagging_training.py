"""From tagged sentences to a tagger: what is learnt, what the words and characters are, and what cannot be."""

import numpy as np
import pytest
from gensim.models import KeyedVectors
from small_tasks import encoder, word_pieces

import lm_keras as lk
from lm_keras.data import TaggedSentence, TaggedText
from lm_keras.tasks.tagging_training import sentence_batches, vocabulary, word_model

PEOPLE, PLACES = ["Ana Smith", "Bo", "Cy Lee"], ["Rome", "Paris", "St. Ives"]
SMALL = {"embedding_dim": 12, "hidden_dim": 10, "character_dim": 6, "character_filters": 6, "word_length": 8}


def texts():
    """Names and places by their position alone."""
    found = []
    for i in range(24):
        who, where = PEOPLE[i % 3], PLACES[i // 3 % 3]
        text = f"{who} lives in {where}." if i % 2 else f"in {where} lives {who}."
        spans = [
            (text.index(name), text.index(name) + len(name), label) for name, label in ((who, "PER"), (where, "LOC"))
        ]
        found.append(TaggedText(text, spans))
    return found


@pytest.fixture(scope="module")
def tagger():
    quick = {"epochs": 25, "batch_size": 8, "learning_rate": 0.03}
    return lk.tasks.TextTagger.train(texts(), validation=texts()[:6], **quick, **SMALL)


def test_spans_are_found_again(tagger):
    found = tagger.tag(["Ana Smith lives in Paris.", "in St. Ives lives Bo.", ""])
    assert [[(span.label, span.text) for span in row] for row in found] == [
        [("PER", "Ana Smith"), ("LOC", "Paris")],
        [("LOC", "St. Ives"), ("PER", "Bo")],
        [],
    ]
    assert tagger.classes == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert tagger.history["val_loss"][-1] < 0.1 < tagger.history["loss"][0]
    report = tagger.evaluate(texts())
    assert report.f1 == 1 and report.num_texts == 24


def test_given_words_are_measured_as_they_are(tagger):
    words = ("Bo", "lives", "in", "St.", "Ives", ".")  # the tagger cuts St. into two
    assert tagger.inputs.words_of(["St. Ives"])[1] == [[(0, 2), (2, 3), (4, 8)]]
    right = TaggedSentence(words, ("B-PER", "O", "O", "B-LOC", "I-LOC", "O"))
    assert tagger.evaluate([right]).f1 == 1
    half = right._replace(tags=("B-PER", "O", "O", "B-LOC", "O", "O"))
    assert tagger.evaluate([half]).per_label[0].f1 == 0 and tagger.evaluate([half]).f1 == 0.5
    spans = [(0, 2, "PER"), (12, 14, "LOC")]  # its end is within what was found
    assert tagger.evaluate([TaggedText("Bo lives in St. Ives.", spans)]).f1 == 0.5


def test_scores_are_probabilities_of_the_chain(tagger):
    (found,) = tagger.tag("Cy Lee lives in Rome.")
    words, _ = tagger.inputs.words_of(["Cy Lee lives in Rome."])
    potentials = np.asarray(tagger.model(tagger.inputs.of_places(words, _all_places(6))))[0]
    total = np.zeros(5)
    best = []
    for tags in np.ndindex(*[5] * 6):
        score = sum(potentials[t, tags[t - 1] if t else 0, tags[t]] for t in range(6))
        best.append((score, tags))
    scores = np.array([score for score, _ in best])
    p = np.exp(scores - scores.max())
    p /= p.sum()
    sequence = best[int(scores.argmax())][1]
    total = [sum(p[i] for i, (_, tags) in enumerate(best) if tags[t] == sequence[t]) for t in range(6)]
    assert [span.score for span in found] == pytest.approx([np.mean(total[:2]), total[4]], abs=1e-4)


def _all_places(count):
    import tensorflow as tf

    return tf.RaggedTensor.from_row_lengths(np.arange(count, dtype=np.int32), [count])


def test_saved_and_loaded(tagger, tmp_path):
    tagger.save(tmp_path / "x")
    same = lk.tasks.TextTagger.load(tmp_path / "x")
    assert same.tag("Cy Lee lives in Rome.") == tagger.tag("Cy Lee lives in Rome.")
    assert same.options == tagger.options and set("Smith.") <= set(same.options["characters"])


def test_a_long_text_is_read_in_windows(tagger):
    model, tokenizer, options = tagger.model, tagger.tokenizer, tagger.options
    windows = lk.tasks.TextTagger(model, tokenizer, **{**options, "max_length": 12})
    text = "Ana Smith lives in Paris. " * 9
    found = windows.tag(text)[0]
    assert [span.text for span in found] == ["Ana Smith", "Paris"] * 9


def test_chinese_is_read_by_characters():
    sentences = [TaggedSentence(tuple("在北京的人"), ("O", "B-LOC", "I-LOC", "O", "O"))] * 4
    sentences += [TaggedSentence(tuple("人在上海"), ("O", "O", "B-LOC", "I-LOC"))] * 4
    quick = {"epochs": 12, "batch_size": 4, "learning_rate": 0.05, "embedding_dim": 8, "hidden_dim": 8}
    tagger = lk.tasks.TextTagger.train(sentences, validation=sentences[3:5], crf=False, **quick)
    assert tagger.options["characters"] is None and tagger.model.output_shape == (None, None, 3)
    assert [(span.text, span.label) for span in tagger.tag("人在北京")[0]] == [("北京", "LOC")]


def test_words_of_the_texts_come_first_then_those_of_vectors():
    vectors = KeyedVectors(2)
    vectors.add_vectors(["the", "rome", "a b", "Upper", "far"], np.eye(5, 2, dtype="float32"))
    tokenizer, trained = vocabulary(["Rome Rome x", "<unk> the"] * 600 + ["seldom"], vectors)
    assert tokenizer.tokens == ["<pad>", "<unk>", "<eos>", "rome", "x", "<", "unk", ">", "the", "far"]
    assert trained == 9


def test_vectors_are_frozen_beside_a_trained_part_of_the_words_that_texts_have():
    vectors = KeyedVectors(12)
    rows = np.random.default_rng(0).normal(size=(3, 12)).astype("float32")
    vectors.add_vectors(["rome", "zurich", "oslo"], rows)
    found = word_model([record.text for record in texts()], vectors, True, None, 0, dict(SMALL))
    model, known = found.build(5), found.tokenizer.tokens
    start, shift = (model.get_layer(name).get_weights()[0] for name in ("embedding", "trained_part"))
    np.testing.assert_array_equal(start[[known.index("rome"), known.index("zurich")]], rows[:2])
    assert known[-2:] == ["zurich", "oslo"] and shift.shape == (known.index("zurich"), 12)
    assert "embedding/embeddings" not in {weight.path for weight in model.trainable_weights}


def test_the_first_piece_of_a_word_has_its_label():
    pieces = word_pieces([record.text for record in texts()])
    model = lk.models.token_classifier(encoder(pieces), 5)
    tagger = lk.tasks.TextTagger(model, pieces, ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"])
    ((x, y),) = sentence_batches(tagger, [TaggedText("Anoma lives", [(0, 5, "LOC")])], 2, False, 0)
    one, two = (pieces.encode(word) for word in ("Anoma", "lives"))
    ids = [pieces.cls_id, *one, *two, pieces.sep_id]
    labels = [-1, 1, *[-1] * (len(one) - 1), 0, *[-1] * (len(two) - 1), -1]
    width = -(-len(ids) // 8) * 8
    filled = width - len(ids)
    assert len(one) > 1 and x["token_ids"].numpy().tolist() == [ids + [pieces.pad_id] * filled]
    assert y.numpy().tolist() == [labels + [-1] * filled]
    assert x["padding_mask"].numpy().tolist() == [[1] * len(ids) + [0] * filled]


def test_all_settings_of_the_training_are_arguments():
    settings = {"max_steps": 2, "dtype": "mixed_bfloat16", "early_stopping_patience": None}
    made = lk.tasks.TextTagger.train(texts(), **settings, **SMALL)
    assert len(made.history["loss"]) == 1
    assert {layer.compute_dtype for layer in made.model.layers} == {"float32"}


@pytest.mark.parametrize(
    "sentences, options, said",
    [
        ([], {}, "there are 0 sentences"),
        ("a text", {}, "sentences is one string"),
        (["a text"], {}, "sentence 0 is a str"),
        ([TaggedText("ab", [(0, 2, "X"), (1, 2, "Y")])] * 2, {}, "sentence 0: X 'ab' .* and Y 'b' .* share"),
        ([TaggedText("ab", [])] * 9, {}, "no sentence to train on has a span"),
        (texts(), {"encoder": "lstm"}, "encoder is 'lstm'"),
        (texts(), {"hidden": 3}, "build_bilstm_tagger has no option hidden"),
        (texts(), {"word_vectors": 3}, "word_vectors is a int"),
        (texts(), {"crf": 2}, "crf is 2"),
        (texts(), {"validation": []}, "none of validation"),
        (texts(), {"validation": 2}, "validation is 2"),
        (texts(), {"config": {"epochs": 1}}, "config is {'epochs': 1}; give a TrainingConfig"),
    ],
)
def test_what_cannot_be_learnt(sentences, options, said):
    with pytest.raises(lk.InputError, match=said):
        lk.tasks.TextTagger.train(sentences, **options)


def test_parts_that_do_not_fit(tagger):
    model, tokenizer = tagger.model, tagger.tokenizer
    for options, said in [
        ({}, "reads characters, words; give characters=..., those it was trained with"),
        ({"characters": "ab"}, "knows .* characters and 2 were given"),
        ({"characters": "aa"}, "each character once"),
    ]:
        with pytest.raises(lk.InputError, match=said):
            lk.tasks.TextTagger(model, tokenizer, tagger.classes, **options)
    english = lk.text.WordTokenizer.train(["a b c"])
    with pytest.raises(lk.InputError, match="needs a tokenizer that cuts at words"):
        lk.tasks.TextTagger(model, english, tagger.classes)
