"""Classes, tags, answers and vectors of texts, against plain loops over one text at a time."""

import numpy as np
import pytest

import lm_keras as lk
from lm_keras import tasks
from lm_keras.tasks.tagging import spans
from lm_keras.text.word_offsets import word_places


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def marked(tokenizer, first, second=None):
    """BERT's inputs of one text or two, as token ids, with the marks."""
    ids = [tokenizer.cls_id, *first, tokenizer.sep_id]
    segments = [0] * len(ids)
    if second is not None:
        ids += [*second, tokenizer.sep_id]
        segments += [1] * (len(second) + 1)
    inputs = {"token_ids": ids, "segment_ids": segments, "padding_mask": [1] * len(ids)}
    return {name: np.array([row], "int32") for name, row in inputs.items()}


def by_words(tokenizer, text):
    """(place of a word, id) of each token."""
    return [(place, i) for place in word_places(text) for i in tokenizer.encode(text[slice(*place)])]


@pytest.mark.parametrize("name", ["bert_classifier", "cnn_classifier"])
def test_the_class_of_a_text_is_the_models_for_that_text_alone(name, task, passages):
    classifier = task(name)
    model, tokenizer = classifier.model, classifier.tokenizer
    found = classifier.classify(passages)
    assert len({one.label for one in found}) > 1
    for text, one in zip(passages, found, strict=True):
        ids = tokenizer.encode(text)
        inputs = marked(tokenizer, ids[:30]) if name == "bert_classifier" else np.array([ids or [0]], "int32")
        expected = softmax(np.asarray(model(inputs)))[0]
        np.testing.assert_allclose(list(one.scores.values()), expected, atol=1e-5)
        assert one.label == classifier.classes[expected.argmax()] and one.score == max(one.scores.values())
    assert classifier.classify(passages[3])[0].label == found[3].label  # one string is a list of one


def window_of(place, length, room):
    """The start of the window that tells about a token: where it is nearest to the middle."""
    stride = room // 2
    starts = [0]
    while starts[-1] + room < length:
        starts.append(starts[-1] + stride)
    return starts[max(0, min((place - room // 4) // stride, len(starts) - 1))]


def test_tags_are_those_of_first_tokens_in_overlapping_windows(task, passages):
    tagger = task("tagger")
    assert sum(map(len, tagger.tag(passages))) > 50
    for text, found in zip(passages, tagger.tag(passages), strict=True):
        tokens = by_words(tagger.tokenizer, text)
        ids, tags, scores, places, seen = [i for _, i in tokens], [], [], [], {}
        for n, (place, _) in enumerate(tokens):
            if n and tokens[n - 1][0] == place:
                continue
            start = window_of(n, len(ids), 30)
            if start not in seen:
                seen[start] = np.asarray(tagger.model(marked(tagger.tokenizer, ids[start : start + 30])))[0]
            p = softmax(seen[start][1 + n - start])
            places.append(place)
            tags.append(tagger.classes[p.argmax()])
            scores.append(p.max())
        expected = spans(text, places, tags, scores)
        assert [span[:3] for span in found] == [span[:3] for span in expected]
        assert [span.text for span in found] == [text[span.start : span.end] for span in expected]
        np.testing.assert_allclose([s.score for s in found], [s.score for s in expected], atol=1e-5)


def brute_force(answerer, question, context):
    """(probability, start, end) of the best span over all windows and all pairs of places."""
    asked = answerer.tokenizer.encode(question)[: min(64, 29 // 2)]
    tokens = by_words(answerer.tokenizer, context)
    room, best, start = 29 - len(asked), (0.0, 0, 0), 0
    while True:
        piece = tokens[start : start + room]
        logits = answerer.model(marked(answerer.tokenizer, asked, [i for _, i in piece]))
        first, last = (softmax(np.asarray(logits[name], "float64"))[0, 2 + len(asked) :] for name in ("start", "end"))

        def begins(n, tokens=tokens, start=start):
            """Does a word begin at token n of the window?"""
            return start + n in (0, len(tokens)) or tokens[start + n][0] != tokens[start + n - 1][0]

        for i in range(len(piece)):
            for j in range(i, min(i + answerer.max_answer_tokens, len(piece))):
                if begins(i) and begins(j + 1) and first[i] * last[j] > best[0] + 1e-9:
                    best = (first[i] * last[j], piece[i][0][0], piece[j][0][1])
        if start + room >= len(tokens):
            return best
        start += room // 2


def test_an_answer_is_the_best_span_of_all_windows(task, passages):
    answerer = task("answers")
    questions = [text[-40:] for text in reversed(passages)]
    found = answerer.answer(questions, passages)
    assert len({answer.text for answer in found}) > 5  # some are below the threshold
    for question, context, answer in zip(questions, passages, found, strict=True):
        probability, start, end = brute_force(answerer, question, context)
        start, end = (start, end) if probability >= answerer.threshold else (0, 0)
        assert (answer.start, answer.end) == (start, end)
        assert answer.text == context[start:end]
        assert answer.score == pytest.approx(probability, rel=1e-4, abs=1e-9)


def test_a_long_question_leaves_room_for_the_context(task, news):
    (answer,) = task("answers").answer([news[0]], ["Sydney is in Australia."])
    assert answer.score > 0 and answer.text in "Sydney is in Australia."


def test_vectors_are_the_sentence_embeddings(task, passages):
    embedder = task("embedder")
    vectors = embedder.embed(passages)
    expected = lk.models.sentence_embeddings(embedder.model, passages, tokenizer=embedder.tokenizer)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert embedder.embed([]).shape == (0, 16)


def test_no_text_gives_no_answer(task):
    assert task("bert_classifier").classify([]) == task("tagger").tag([]) == task("answers").answer([], []) == []


def test_parts_that_do_not_fit_are_refused(task, news):
    classifier, tagger, answerer = task("bert_classifier"), task("tagger"), task("answers")
    words, pieces = task("cnn_classifier").tokenizer, classifier.tokenizer
    other = lk.text.WordPieceTokenizer.train(news[:3], vocab_size=200)
    wrong = [
        (lambda: tasks.TextClassifier(classifier.model, pieces, ["a", "b"]), "tells 3 classes apart and 2 names"),
        (lambda: tasks.TextClassifier(classifier.model, pieces, ["a", "b", "b"]), "a different string"),
        (lambda: tasks.TextClassifier(classifier.model, words, ["a", "b", "c"]), "give a WordPieceTokenizer"),
        (lambda: tasks.TextClassifier(classifier.model, other, ["a", "b", "c"]), "knows 500 tokens"),
        (lambda: tasks.TextClassifier(classifier.model, pieces, ["a", "b", "c"], max_length=99), "at most 32"),
        (lambda: tasks.TextClassifier(tagger.model, pieces, tagger.classes), r"must be logits \[B, C\]"),
        (lambda: tasks.TextClassifier(answerer.model, pieces, ["a", "b"]), "has 2 outputs"),
        (lambda: tasks.TextTagger(classifier.model, pieces, ["a", "b", "c"]), r"must be logits \[B, T, C\]"),
        (lambda: tasks.QuestionAnswerer(classifier.model, pieces), "give a model of `answer_span`"),
        (lambda: tasks.QuestionAnswerer(answerer.model, pieces, max_answer_tokens=0), "max_answer_tokens is 0"),
        (lambda: answerer.answer(["a"], ["b", "c"]), "1 questions and 2 contexts"),
        (lambda: tasks.TextEmbedder(classifier.model, pieces), "no sequence_output"),
        (lambda: tasks.TextToText(task("cnn_classifier").model, words), "encodes no source"),
        (lambda: tasks.TextToText(task("seq2seq_lstm").model, pieces), "reads 300 words"),
        (lambda: classifier.classify([b"bytes"]), "give strings"),
    ]
    for attempt, said in wrong:
        with pytest.raises(lk.InputError, match=said):
            attempt()
