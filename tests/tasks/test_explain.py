"""`explain`: a linear model, where both methods are known; direct calls by brute force; finite differences; HTML."""

import functools
import re
from html.parser import HTMLParser

import keras
import numpy as np
import pytest
from keras import layers, ops
from small_tasks import encoder, lively, pair_classifier, word_pieces

import lm_keras as lk
from lm_keras.tasks import TextClassifier, explain
from lm_keras.tasks.explain import without
from lm_keras.text.word_offsets import word_places

TEXT = "The president said, on Monday: no war is cheap."
LEFT_OUT = ["cnn_classifier", "bert_classifier", "prompt_classifier", "masked_prompt_classifier", "conditional_token"]


def log_odds(row, place):
    row = np.float64(row)
    return np.log(row[place]) - np.log(np.delete(row, place).sum())


def bag_of_words(texts, classes=2, dim=4):
    """Logits that are sums over the words; id 0 is padding."""
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=200)
    ids = keras.Input((None,), dtype="int32")
    vectors = layers.Embedding(tokenizer.vocab_size, dim, embeddings_initializer="random_normal", name="words")(ids)
    total = ops.sum(ops.where((ids != 0)[..., None], vectors, 0.0), 1)
    model = keras.Model(ids, layers.Dense(classes, name="logits")(total))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return TextClassifier(model, tokenizer, [f"class {i}" for i in range(classes)])


@pytest.mark.parametrize("method", ["leave_one_out", "gradient_x_input"])
def test_a_linear_model(news, method):
    """With two classes the log-odds are the difference of the logits: a word's score is what it adds to that."""
    made = bag_of_words(news)
    table, kernel, _ = made.model.get_weights()
    text = news[0][:150]
    found = explain(made, text, method, target=1)
    assert found.spans == word_places(text) and found.words == [text[start:end] for start, end in found.spans]
    weights = table @ (kernel[:, 1] - kernel[:, 0])
    total = 0.0
    for word, score in zip(found.words, found.scores, strict=True):
        own = weights[made.tokenizer.encode(word)].sum()
        assert score == pytest.approx(own, abs=2e-5), word
        total += own
    bias = made.model.get_layer("logits").bias.numpy()
    assert log_odds(made.probabilities([text])[0], 1) == pytest.approx(total + bias[1] - bias[0], abs=1e-4)
    other = explain(made, text, method, target="class 0")
    np.testing.assert_allclose(other.scores, -found.scores, atol=1e-5)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_leave_one_out_is_direct_calls(task, name):
    made, text = task(name), TEXT[:30]
    found = made.explain(text)
    table = made.probabilities([text])
    place = int(table[0].argmax())
    assert (found.target, found.method) == (made.classes[place], "leave_one_out")
    assert found.probability == pytest.approx(table[0, place], rel=1e-4)
    assert made.classify(text)[0].score == pytest.approx(found.probability, rel=1e-4)
    for (start, end), score in zip(word_places(text), found.scores, strict=True):
        without_it = made.probabilities([without(text, start, end)])[0]
        assert score == pytest.approx(log_odds(table[0], place) - log_odds(without_it, place), abs=2e-3)
    assert np.abs(found.scores).max() > 0.01


def test_several_classes_have_log_odds_of_their_own(task):
    made, text = task("labels_classifier"), TEXT[:30]
    table = np.float64(made.probabilities([text, *(without(text, *span) for span in word_places(text))]))
    logits = np.log(table) - np.log1p(-table)
    for place, name in enumerate(made.classes):
        found = made.explain(text, target=name)
        np.testing.assert_allclose(found.scores, logits[0, place] - logits[1:, place], atol=2e-3)
    found, ids = made.explain(text, "gradient_x_input", target=1), made.tokenizer.encode(text)
    known = [i for i, token in enumerate(ids) if ids.count(token) == 1]
    assert len(ids) == len(found.words) and len(known) > 1
    for i in known:
        assert found.scores[i] == pytest.approx(by_differences(made, text, ids[i], 1), abs=5e-3, rel=0.03)


def test_leave_one_out_of_a_recurrent_model(model_of):
    made = model_of("rnn")
    table = made.probabilities([TEXT, *(without(TEXT, *span) for span in word_places(TEXT))])
    expected = [log_odds(table[0], 0) - log_odds(row, 0) for row in table[1:]]
    np.testing.assert_allclose(explain(made, TEXT, target="a").scores, expected, atol=1e-4)


def test_what_is_left_of_a_text():
    text = "One two, three"
    assert [without(text, *span) for span in word_places(text)] == [
        "two, three",
        "One, three",
        "One two three",
        "One two,",
    ]
    assert [without("今天好", *span) for span in word_places("今天好")] == ["天好", "今好", "今天"]


# === Gradients, by finite differences: each token's vector is made a little longer ===
def recurrent(texts):
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=300)
    ids = keras.Input((None,), dtype="int32")
    vectors = layers.Embedding(tokenizer.vocab_size, 6, mask_zero=True)(ids)
    states = layers.Bidirectional(layers.LSTM(5))(vectors)
    model = keras.Model(ids, layers.Dense(3)(states))
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(0, 0.7, w.shape) for w in model.get_weights()])
    return TextClassifier(model, tokenizer, ["a", "b", "c"])


def bert(texts):
    pieces = word_pieces(texts)
    return TextClassifier(lively(lk.models.sequence_classifier(encoder(pieces), 3)), pieces, ["a", "b", "c"])


def two_channels(texts):
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=300)
    start = np.random.default_rng(2).normal(0, 1, (tokenizer.vocab_size, 6)).astype("float32")
    sizes = {"num_classes": 3, "kernel_sizes": (2, 3), "num_filters": 6, "embedding_matrix": start, "seed": 0}
    model = lk.models.build_cnn_classifier(tokenizer.vocab_size, **sizes, two_channel=True)
    return TextClassifier(lively(model), tokenizer, ["a", "b", "c"])


MODELS = {"cnn": two_channels, "rnn": recurrent, "bert": bert}


@pytest.fixture(scope="module")
def model_of(news):
    return functools.cache(lambda name: MODELS[name](news))


def by_differences(made, text, token, place, step=2e-3):
    """The slope of the log-odds when all vectors of a token are made longer."""
    tables = [layer.embeddings for layer in made.model._flatten_layers() if isinstance(layer, layers.Embedding)]
    tables = [table for table in tables if table.shape[0] == made.tokenizer.vocab_size]
    found, before = [], [table.numpy() for table in tables]
    for factor in (1 + step, 1 - step):
        for table, values in zip(tables, before, strict=True):
            values = values.copy()
            values[token] *= factor
            table.assign(values)
        row = made.probabilities([text])[0]
        found.append(log_odds([row[place], 1 - row[place]], 0) if made.multi_label else log_odds(row, place))
    for table, values in zip(tables, before, strict=True):
        table.assign(values)
    return (found[0] - found[1]) / (2 * step)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_x_input_is_a_slope(model_of, name):
    made = model_of(name)
    found = explain(made, TEXT, "gradient_x_input", target=2)
    tokens = [made.tokenizer.encode(word) for word in found.words]
    assert sum(tokens, []) == made.tokenizer.encode(TEXT)
    several = [i for i, ids in enumerate(tokens) if len(ids) > 1]
    assert several or name != "bert"
    checked = 0
    for ids, score in zip(tokens, found.scores, strict=True):
        if all(sum(tokens, []).count(token) == 1 for token in ids) and checked < 5:
            slopes = [by_differences(made, TEXT, token, 2) for token in ids]
            assert score == pytest.approx(sum(slopes), abs=5e-3, rel=0.02)
            checked += 1
    assert checked >= 3 and np.abs(found.scores).max() > 0.05


def pair_of_words(texts):
    """A classifier of pairs of ids, with the end mark between both."""
    single = recurrent(texts)
    return TextClassifier(single.model, single.tokenizer, single.classes, pairs=True)


@pytest.mark.parametrize("make", [pair_classifier, pair_of_words])
def test_words_of_both_texts_of_a_pair(news, make):
    made, pair = make(news), ("On Monday the president said", "no war is cheap")
    found = made.explain(pair, "gradient_x_input", target=1)
    assert found.names == ("first", "second") and found.places.tolist() == [0] * 5 + [1] * 4
    encode = made.tokenizer.encode
    every = encode(pair[0]) + encode(pair[1])
    slopes = {
        word: sum(by_differences(made, pair, token, 1) for token in encode(word))
        for word in ("president", "war", "cheap")
        if all(every.count(token) == 1 for token in encode(word))
    }
    assert slopes
    for word, slope in slopes.items():
        assert found.scores[found.words.index(word)] == pytest.approx(slope, abs=5e-3, rel=0.02)
    left = explain(made, pair, target=1)
    table = made.probabilities([pair, (pair[0], "no is cheap")])
    assert left.scores[6] == pytest.approx(log_odds(table[0], 1) - log_odds(table[1], 1), abs=1e-4)


def test_words_behind_the_cut_say_nothing(news):
    pieces = word_pieces(news)
    model = lively(lk.models.sequence_classifier(encoder(pieces), 3))
    made = TextClassifier(model, pieces, ["a", "b", "c"], max_length=10)
    text = " ".join(news[0].split()[:40])
    read = 8  # beside the two marks
    for method in ("gradient_x_input", "leave_one_out"):
        found = made.explain(text, method)
        seen = sum(len(pieces.encode(text[:end])) <= read for _, end in found.spans)
        assert 0 < seen < len(found.words) and (found.scores[seen + 1 :] == 0).all() and found.scores[:seen].any()


def test_a_model_without_a_table_of_words_is_refused(news):
    tokenizer = lk.text.WordTokenizer.train(news, vocab_size=50)
    ids = keras.Input((None,), dtype="int32")
    counts = ops.sum(ops.one_hot(ids, 50) * ops.cast(ids != 0, "float32")[..., None], 1)
    made = TextClassifier(keras.Model(ids, layers.Dense(2)(counts)), tokenizer, ["a", "b"])
    with pytest.raises(lk.InputError, match="no keras.layers.Embedding .* give method='leave_one_out'"):
        made.explain(TEXT, "gradient_x_input")
    assert made.explain(TEXT).scores.any()


# === Other texts and classifiers ===
class Lengths:
    """A classifier of pairs by the numbers of their letters, or of dicts."""

    classes = ("short", "long")
    multi_label = True

    def probabilities(self, texts):
        rows = [list(text.values()) if isinstance(text, dict) else text for text in texts]
        return np.array([[1 / (1 + np.exp(-len(row[0]) / 9)), 1 - 1e-9 * len(row[1])] for row in rows])


@pytest.mark.parametrize("text", [("one two", "three, 4"), {"a": "one two", "b": "three, 4"}])
def test_pairs_fields_and_several_classes(text):
    found = explain(Lengths(), text, target="short")
    assert found.words == ["one", "two", "three", ",", "4"] and found.places.tolist() == [0, 0, 1, 1, 1]
    assert found.names == (("first", "second") if isinstance(text, tuple) else ("a", "b"))
    np.testing.assert_allclose(found.scores, [4 / 9, 4 / 9, 0, 0, 0], atol=1e-9)
    assert np.isfinite(explain(Lengths(), text, target=1).scores).all()


def test_words_by_jieba_and_by_a_function(task):
    made = task("cnn_classifier")
    found = explain(made, "我喜欢 北京。", segment="jieba")
    assert found.words == ["我", "喜欢", "北京", "。"] and found.spans[2] == (4, 6)
    assert explain(made, "ab cd", segment=lambda text: [(0, 2)]).words == ["ab"]
    chinese = lk.text.WordTokenizer.train(["我喜欢北京。"], language="zh")
    own = TextClassifier(task("cnn_classifier").model, task("cnn_classifier").tokenizer, made.classes)
    assert explain(own, "北京").words == ["北", "京"]
    own.tokenizer = chinese
    own.probabilities = lambda texts: np.array([[0.7, 0.1, 0.1, 0.1]] * len(texts))
    assert explain(own, "我喜欢北京").words == ["我", "喜欢", "北京"]


def test_a_text_without_words(task):
    for text in ("", "  \n"):
        for method in ("leave_one_out", "gradient_x_input"):
            found = task("cnn_classifier").explain(text, method)
            assert found.words == [] and found.scores.shape == (0,) and "no words" in str(found)
            assert "no words" in found.html()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((TEXT, "shap"), "method is 'shap'"),
        ((TEXT, "leave_one_out", "peace"), "target is 'peace'; give one of sport, war"),
        ((TEXT, "leave_one_out", 4), "target is 4"),
        ((["a", "b", "c"],), "give one string"),
        ((3,), "give one string"),
    ],
)
def test_what_is_refused(task, arguments, says):
    with pytest.raises(lk.InputError, match=says):
        explain(task("cnn_classifier"), *arguments)
    with pytest.raises(lk.InputError, match="gradient_x_input is for a TextClassifier, not a PromptClassifier"):
        explain(task("prompt_classifier"), "a", "gradient_x_input")


# === HTML ===
class Page(HTMLParser):
    """The text, the tags and the colored words of a page."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags, self.colors, self.open = "", [], {}, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = re.search(r"background:(#\w+)", dict(attributes).get("style", ""))
        self.open = found.group(1) if tag == "span" and found else None
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attributes)

    def handle_data(self, data):
        self.text += data
        if self.open:
            self.colors.setdefault(data, self.open)

    def handle_endtag(self, tag):
        self.open = None


def test_the_page_shows_the_text_and_escapes_it(task, tmp_path):
    text = 'a <script>alert("1")</script> & <b>war</b> 战争\ud800 \x00'
    found = task("cnn_classifier").explain(text)
    found.save(tmp_path / "why.html")
    content = (tmp_path / "why.html").read_text(encoding="utf-8")
    page = Page(content)
    assert "script" not in page.tags and "b" in page.tags and "<script" not in content
    assert text.replace("\ud800", "\ufffd").replace("\x00", "\ufffd") in page.text
    assert content.startswith("<!DOCTYPE html>") and f"for {found.target}" in page.text
    assert found._repr_html_() in content and [path.name for path in tmp_path.iterdir()] == ["why.html"]


def test_colors_say_sign_and_size():
    scores = np.array([2.0, -2.0, 0.5, 0.0])
    spans = [(0, 1), (2, 3), (4, 5), (6, 7)]
    made = lk.tasks.Explanation(
        ("a b c d",), ("",), list("abcd"), np.zeros(4, int), spans, scores, "<sport>", 0.75, "leave_one_out"
    )
    page = Page(made.html())
    red, blue, pale, white = (page.colors[word] for word in "abcd")
    rgb = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in (red, blue, pale)]
    assert rgb[0][0] > rgb[0][2] and rgb[1][2] > rgb[1][0] and white == "#ffffff"
    assert rgb[0][1] < rgb[2][1] < 255
    assert page.colors["for <sport>"] == red and page.colors["against <sport>"] == blue
    assert made.top(2) == [("a", 2.0), ("b", -2.0)]
    assert str(made) == "<sport> (75.0%) by leave-one-out: a +2.00, b -2.00, c +0.50, d +0.00"


def made_of(text, words, target="spam"):
    """An Explanation of a text whose words have the scores 1, 2, 3, ..."""
    spans = [(text.index(word), text.index(word) + len(word)) for word in words]
    scores = np.arange(1.0, len(words) + 1)
    places = np.zeros(len(words), int)
    return lk.tasks.Explanation((text,), ("",), words, places, spans, scores, target, 0.75, "leave_one_out")


def test_a_long_word_is_whole_in_the_text_and_short_in_the_list():
    word = "http" + "a" * 400
    made = made_of(f"see {word}", ["see", word])
    page, said = Page(made.html()), f"http{'a' * 35}… +2.00"
    assert said in page.text and said in str(made) and page.text.count(word) == 1
    assert "overflow-wrap:anywhere" in made._repr_html_().split(">")[0]  # of all in it, names of classes too


def test_words_from_right_to_left_do_not_turn_what_stands_beside_them():
    made = made_of("הסרט היה נהדר", ["הסרט", "נהדר"], target="תקין")
    content = made.html()
    for said in ("<bdi>הסרט</bdi> +1.00", "<b><bdi>תקין</bdi></b> 75.0%"):
        assert said in content
    assert '<div dir="auto"' in content


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_text_is_said_to_be_empty(text):
    assert Page(made_of(text, []).html()).text.count("(empty)") == 1


def test_a_page_has_its_own_colors_in_a_dark_browser():
    content = made_of("one", ["one"]).html()
    assert '<meta name="color-scheme" content="only light">' in content
    style = re.search('<div style="([^"]*)"', content)[1]
    assert {"color-scheme:only light", "background:#fff", "color:#111"} <= set(style.split(";"))
