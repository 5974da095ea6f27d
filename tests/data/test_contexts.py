"""Texts by context, windows that never cross one, and the report, against counts and equations written out here."""

import os
from collections import Counter

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.data.context_report import jensen_shannon, log_odds
from lm_keras.data.contexts import speeches

DATA = {"north": ["snow and ice", "ice"], "south": ["sun and sand and sun", "the sea", "sand"]}
PLAY = "FIRST:\nWho's there?\n\nSECOND VOICE:\nNay, answer me:\nstand.\n\nAn empty stage\n\nFIRST:\nLong live!\n"


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.WordTokenizer.train([text for texts in DATA.values() for text in texts], vocab_size=40)


# === Sources ===
def test_the_speeches_of_a_play():
    assert speeches(PLAY) == [
        ("Who's there?", "FIRST"),
        ("Nay, answer me:\nstand.", "SECOND VOICE"),
        ("Long live!", "FIRST"),
    ]


def test_texts_of_a_user():
    pairs = [(text, name) for name, texts in DATA.items() for text in texts]
    assert lk.data.texts_by_context(pairs) == DATA == lk.data.texts_by_context(DATA)
    assert lk.data.texts_by_context(pairs, contexts=1) == {"south": DATA["south"]}
    assert list(lk.data.texts_by_context(pairs, contexts=2)) == ["south", "north"]
    assert list(lk.data.texts_by_context(iter(pairs), contexts=["north"])) == ["north"]
    assert lk.data.texts_by_context([("a", "b"), (" ", "c")]) == {"b": ["a"]}
    news = lk.data.texts_by_context(["lee-news", "wiki-excerpt"], "validation")
    assert news["lee-news"] == lk.data.load("lee-news", "validation") and len(news["wiki-excerpt"]) > 100


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: lk.data.texts_by_context([]), "no text with a context"),
        (lambda: lk.data.texts_by_context([("a", "b", "c")]), "give pairs"),
        (lambda: lk.data.texts_by_context([("a", 3)]), "'a' and 3; give two strings"),
        (lambda: lk.data.texts_by_context({"a": "text"}), "the texts of 'a' are a str"),
        (lambda: lk.data.texts_by_context(3), "read from 3"),
        (lambda: lk.data.texts_by_context("lee-news"), r"lee-news has no labels of whole texts.*\['lee-news', ...\]"),
        (lambda: lk.data.texts_by_context(DATA, contexts=3), "contexts is 3, and there are 2"),
        (lambda: lk.data.texts_by_context(DATA, contexts=["nort"]), "no context 'nort'; did you mean 'north'"),
        (lambda: lk.data.texts_by_context(DATA, by="mood"), "by is 'mood'"),
    ],
)
def test_what_gives_no_texts_is_refused(call, said):
    with pytest.raises(lk.InputError, match=said):
        call()


@pytest.mark.skipif("LM_KERAS_DATA" not in os.environ, reason="needs the sets of $LM_KERAS_DATA")
def test_named_corpora():
    if lk.data.locate("tinyshakespeare"):
        found = lk.data.texts_by_context("tinyshakespeare", "all", contexts=6)
        assert list(found)[0] == "GLOUCESTER" and min(map(len, found.values())) > 140
        heads = Counter(lk.data.load("tinyshakespeare", "all")[0].split("\n"))
        assert len(found["ROMEO"]) <= heads["ROMEO:"] <= len(found["ROMEO"]) + 5
    if lk.data.locate("dailydialog"):
        acts = lk.data.texts_by_context("dailydialog", "test")
        turns = sum(len(record.turns) for record in lk.data.load("dailydialog", "test"))
        assert set(acts) == {"inform", "question", "directive", "commissive"}
        assert sum(map(len, acts.values())) == turns
        assert "happiness" in lk.data.texts_by_context("dailydialog", "test", by="emotion")
    if lk.data.locate("ag-news"):
        assert tuple(lk.data.texts_by_context("ag-news")) == lk.data.classes("ag-news")
    if lk.data.locate("shuihu"):
        novels = lk.data.texts_by_context(["hongloumeng", "shuihu"], "validation")
        assert set(novels) == {"hongloumeng", "shuihu"} and min(map(len, novels.values())) > 100


# === Windows ===
def rows_of(dataset):
    return [
        (int(context), ids[ids >= 0].tolist(), y[y >= 0].tolist(), ids.tolist(), y.tolist())
        for x, labels in dataset
        for context, ids, y in zip(x["context"].numpy(), x["ids"].numpy(), labels.numpy(), strict=True)
    ]


@pytest.mark.parametrize("length", [1, 3, 20])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_token_is_a_target_once_and_in_its_context(tokenizer, length, shuffle):
    windows = lk.data.context_windows(DATA, tokenizer, length, batch_size=2, shuffle=shuffle)
    rows, bos, eos = rows_of(windows), tokenizer.bos_id, tokenizer.eos_id
    streams = []
    for texts in DATA.values():
        ids = [bos]
        for text in texts:
            ids += [*tokenizer.encode(text), eos] + ([bos] if bos != eos else [])
        streams.append(ids)
    expected = [
        (context, ids[at : at + length + 1][:-1], ids[at : at + length + 1][1:])
        for context, ids in enumerate(streams)
        for at in range(0, len(ids) - 1, length)
    ]
    found = [row[:3] for row in rows]
    assert (sorted(found) if shuffle else found) == (sorted(expected) if shuffle else expected)
    for _, ids, y, padded, labels in rows:  # behind the end of a row nothing is read or counts
        assert padded == ids + [-1] * (length - len(ids)) and labels == y + [-1] * (length - len(y))
    assert windows.num_tokens == sum(len(ids) - 1 for ids in streams) == sum(len(row[2]) for row in rows)
    assert windows.num_bytes == sum(len(text) for texts in DATA.values() for text in texts)
    assert (windows.batch_size, windows.contiguous) == (2, False)
    assert int(windows.cardinality()) == -(-len(expected) // 2)


def test_whole_texts_each_begin_a_window(tokenizer):
    windows = lk.data.context_windows(DATA, tokenizer, 4, batch_size=3, whole_texts=True, shuffle=False)
    found = [(row[0], row[1], row[2]) for row in rows_of(windows)]
    expected = []
    for context, texts in enumerate(DATA.values()):
        for text in texts:
            ids = [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]
            pieces = [ids[at : at + 5] for at in range(0, len(ids) - 1, 4)]
            expected += [(context, piece[:-1], piece[1:]) for piece in pieces]
    assert found == expected
    assert windows.num_tokens == sum(len(row[2]) for row in expected)


def test_the_order_is_the_seed_s_and_goes_on_from_any_step(tokenizer):
    def order(seed):
        windows = lk.data.context_windows(DATA, tokenizer, 2, batch_size=2, seed=seed)
        return [row[1] for row in rows_of(windows)], [row[1] for row in rows_of(windows)], windows

    first, second, windows = order(0)
    assert first != second and sorted(first) == sorted(second) and order(0)[0] == first != order(1)[0]
    steps = int(windows.cardinality())
    assert [row[1] for row in rows_of(windows.stream(0).take(2 * steps))] == first + second
    assert [row[1] for row in rows_of(windows.stream(steps + 1).take(1))] == second[2:4]


def test_contexts_have_the_numbers_of_the_model(tokenizer):
    names = ["sky", "south", "north"]
    windows = lk.data.context_windows({**DATA, None: ["the sand"]}, tokenizer, 30, 9, contexts=names, shuffle=False)
    assert [row[0] for row in rows_of(windows)] == [2, 1, -1]
    for call, said in [
        (lambda: lk.data.context_windows(DATA, tokenizer, 3, 2, contexts=["north"]), "no context 'south'"),
        (lambda: lk.data.context_windows({"a": []}, tokenizer, 3, 2), "'a' has no text"),
        (lambda: lk.data.context_windows({3: ["sun"]}, tokenizer, 3, 2), "a context is called 3"),
        (lambda: lk.data.context_windows(DATA, tokenizer, 3, 2, contexts=3), "contexts is 3; give a list of names"),
        (lambda: lk.data.context_windows({"a": ["sun"]}, tokenizer, 3, 2, contexts="a"), "give a list of names"),
        (lambda: lk.data.context_windows(DATA, tokenizer, 3, 2, contexts=["a", "a"]), "two contexts 'a'"),
        (lambda: lk.data.context_windows({"a": [3]}, tokenizer, 3, 2), "must be a str"),
        (lambda: lk.data.context_windows(["a"], tokenizer, 3, 2), "takes {context: texts}"),
        (lambda: lk.data.context_windows(DATA, tokenizer, 0, 2), "length is 0"),
    ]:
        with pytest.raises(lk.InputError, match=said):
            call()


# === The report ===
def test_log_odds_are_those_of_monroe_colaresi_and_quinn():
    counts, a0 = np.array([[5.0, 1, 0, 4], [1, 1, 7, 3], [2, 0, 0, 3]]), 6.0
    found = log_odds(counts, a0)
    for c in range(3):
        y_i, y_j = counts[c], counts.sum(0) - counts[c]
        n_i, n_j = y_i.sum(), y_j.sum()
        for w in range(4):
            a = a0 * counts[:, w].sum() / counts.sum()
            odds_i = (y_i[w] + a) / (n_i + a0 - y_i[w] - a)
            odds_j = (y_j[w] + a) / (n_j + a0 - y_j[w] - a)
            z = (np.log(odds_i) - np.log(odds_j)) / np.sqrt(1 / (y_i[w] + a) + 1 / (y_j[w] + a))
            assert found[c, w] == pytest.approx(z)


def test_divergence_is_the_mean_of_two_relative_entropies():
    counts = np.array([[5.0, 1, 0, 4], [1, 1, 7, 3], [0, 0, 9, 0]])
    p = counts / counts.sum(1, keepdims=True)

    def kl(a, b):
        return sum(x * np.log2(x / y) for x, y in zip(a, b, strict=True) if x > 0)

    for i in range(3):
        for j in range(3):
            middle = (p[i] + p[j]) / 2
            expected = (kl(p[i], middle) + kl(p[j], middle)) / 2
            assert jensen_shannon(counts)[i, j] == pytest.approx(expected, abs=1e-12)
    assert jensen_shannon(np.array([[1.0, 0], [0, 3]]))[0, 1] == pytest.approx(1)  # nothing in common


def test_the_report_counts_and_names():
    report = lk.data.context_report(DATA, num_words=2, prior_words=5)
    assert report.contexts == ("north", "south") and report.num_texts == (2, 3)
    assert report.num_words == (4, 8) and report.num_types == (3, 5)
    assert report.num_bytes == tuple(sum(map(len, texts)) for texts in DATA.values())
    assert report.distinctive["north"][0][0] == "ice"
    assert {word for word, _ in report.distinctive["south"]} == {"sand", "sun"}
    assert report.divergence[0, 1] == report.divergence[1, 0] > report.divergence[0, 0] == 0
    shown = str(report)
    assert "ice" in shown and "Jensen-Shannon" in shown and f"{report.divergence[0, 1]:.3f}" in shown
    chinese = lk.data.context_report({"a": ["雪，雪"], "b": ["Don't go, go!"]})
    assert chinese.num_words == (2, 3) and chinese.distinctive["a"][0][0] == "雪"
    with np.errstate(all="raise"):
        assert lk.data.context_report({"a": ["go"], "b": ["go go"]}).distinctive == {"a": [], "b": []}
    split = lk.data.context_report(DATA, split=list)
    assert split.num_words == report.num_bytes
    for call, said in [
        (lambda: lk.data.context_report({"a": ["b"]}), "two contexts or more"),
        (lambda: lk.data.context_report({"a": ["b"], "c": ["!"]}), "'c' has no word"),
    ]:
        with pytest.raises(lk.InputError, match=said):
            call()
