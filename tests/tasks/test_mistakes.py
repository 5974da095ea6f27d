"""The surest mistakes: which they are, and the page of them."""

from html.parser import HTMLParser

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.tasks import mistakes_page, surest_mistakes

CLASSES = ["sport", "war", "weather", "wealth"]


class Page(HTMLParser):
    """The text of a page, its tags, and the colors of its words."""

    def __init__(self, path):
        super().__init__()
        self.text, self.tags, self.styles = "", [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.styles += [value for name, value in attributes if name == "style" and tag == "span"]
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attributes)

    def handle_data(self, data):
        self.text += data


def test_the_surest_stand_first():
    table = [[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]
    found = surest_mistakes(table, ["a", "a", "b", "a"], ["a", "b"])
    assert [(one.place, one.label, one.answer, one.target) for one in found] == [
        (1, "a", "b", "b"),
        (3, "a", "b", "b"),
    ]
    assert [(one.probability, one.label_probability) for one in found] == [(0.9, 0.1), (0.7, pytest.approx(0.3))]
    assert surest_mistakes(table, [0, 0, 1, 0], ["a", "b"], 1) == found[:1]
    assert surest_mistakes(table, [0, 1, 1, 1], ["a", "b"]) == []


def test_of_several_classes_the_surest_wrong_decision_counts():
    table = [[0.9, 0.8, 0.1], [0.4, 0.02, 0.3], [0.9, 0.1, 0.1]]
    found = surest_mistakes(table, [[1, 0, 1], [0, 1, 0], [1, 0, 0]], ["a", "b", "c"])
    assert [one[:3] for one in found] == [(1, "b", "(none)"), (0, "a, c", "a, b")]
    assert [one.target for one in found] == ["b", "c"]
    assert [one.probability for one in found] == pytest.approx([0.98, 0.9])
    assert [one.label_probability for one in found] == pytest.approx([0.02, 0.1])


def test_the_page_has_text_label_answer_and_probability(tmp_path):
    texts = ["one & <script>alert(1)</script>", "two\nlines 战争\ud800", ("first", "second <b>")]
    table = np.array([[0.9, 0.1], [0.2, 0.8], [0.75, 0.25]])
    path = tmp_path / "deep" / "mistakes.html"
    shown = mistakes_page(table, texts, [1, 0, 1], path, classes=["<ham>", "spam"])
    assert shown == surest_mistakes(table, [1, 0, 1], ["<ham>", "spam"])
    page = Page(path)
    assert "script" not in page.tags and page.tags.count("article") == 3 and not page.styles
    for said in ("\n3 mistakes on 3 texts", texts[0], "two\nlines 战争\ufffd", "first: first", "second <b>",
                 "1. text 1: <ham> 90.0%, labelled spam 10.0%"):  # fmt: skip
        assert said in page.text, said
    assert "<ham>2" in page.text.replace("\n", "") or "spam<ham>2" in page.text  # the most frequent confusion
    assert [file.name for file in path.parent.iterdir()] == ["mistakes.html"]


@pytest.mark.parametrize("by", ["gradient_x_input", "leave_one_out", None])
def test_words_are_colored(task, news, tmp_path, by):
    made, texts = task("cnn_classifier"), [text[:60] for text in news[:6]]
    wrong = (made.probabilities(texts).argmax(1) + 1) % 4
    shown = mistakes_page(made, texts, wrong, tmp_path / "a.html", count=4, explain_by=by)
    page = Page(tmp_path / "a.html")
    assert len(shown) == page.tags.count("article") == 4 and "4 surest of 6 mistakes" in page.text
    if by is None:
        assert not page.styles
        return
    words = sum(len(made.explain(texts[one.place]).words) for one in shown)
    assert len(page.styles) == words + 3  # and the legend
    why = made.explain(texts[shown[0].place], by, shown[0].target)
    assert why.colored() in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_known_probabilities_make_the_same_page(task, news, tmp_path):
    made, texts = task("cnn_classifier"), [text[:60] for text in news[:6]]
    found = made.probabilities(texts)
    wrong = (found.argmax(1) + 1) % 4
    mistakes_page(made, texts, wrong, tmp_path / "a.html")
    mistakes_page(made, texts, wrong, tmp_path / "b.html", probabilities=found)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    mistakes_page(made, texts, wrong, tmp_path / "c.html", probabilities=np.eye(4)[(wrong + 1) % 4])
    assert "100.0%" in (tmp_path / "c.html").read_text(encoding="utf-8")  # those that are given count


def test_other_classifiers_are_not_colored_unless_asked(task, tmp_path):
    made = task("prompt_classifier")
    wrong = [(int(place) + 1) % 3 for place in made.probabilities(["one two"]).argmax(1)]
    mistakes_page(made, ["one two"], wrong, tmp_path / "plain.html")
    mistakes_page(made, ["one two"], wrong, tmp_path / "colored.html", explain_by="leave_one_out")
    assert not Page(tmp_path / "plain.html").styles and len(Page(tmp_path / "colored.html").styles) == 2 + 3


@pytest.mark.parametrize("name", ["pair_classifier", "labels_classifier"])
def test_pairs_and_several_classes(task, news, tmp_path, name):
    made = task(name)
    texts = [text[:40] for text in news[:3]]
    texts = [(text, "another one") for text in texts] if made.pairs else texts
    found = made.probabilities(texts)
    wrong = (found < 0.5).astype(int) if made.multi_label else (found.argmax(1) + 1) % 3
    mistakes_page(made, texts, wrong, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert page.tags.count("article") == 3 and page.styles
    assert ("second: another one" in page.text) == made.pairs


def test_names_from_right_to_left_and_empty_texts(tmp_path):
    texts = ["הסרט היה נהדר", "", ("one", "הסרט היה נהדר.")]
    mistakes_page([[0.9, 0.1]] * 3, texts, [1, 1, 1], tmp_path / "page.html", classes=["תקין", "spam"])
    content = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<b class="wrong"><bdi>תקין</bdi></b> 90.0%' in content
    assert content.count("(empty)") == 1
    assert "<bdi>הסרט היה נהדר.</bdi>" in content  # beside its name, "second:"


def test_without_a_mistake(tmp_path):
    assert mistakes_page([[1.0, 0.0]], ["a"], [0], tmp_path / "none.html", classes=["x", "y"]) == []
    assert "No mistakes on 1 text" in Page(tmp_path / "none.html").text


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (([[1.0, 0.0]], ["a", "b"], [0, 0]), {"classes": CLASSES[:2]}, "2 texts and probabilities of 1"),
        (([[1.0, 0.0]], ["a"], [0]), {}, "none of the classes|places from 0"),
        (([[1.0, 0.0]], ["a"], [2]), {"classes": CLASSES[:2]}, "places from 0 to 1"),
        (([[1.0, 0.0]], ["a"], [0]), {"classes": CLASSES[:2], "count": 0}, "count is 0"),
        (([[1.0, 0.0]], ["a"], [0]), {"classes": CLASSES[:2], "explain_by": "lime"}, "explain_by is 'lime'"),
        (([[3.0, 0.0]], ["a"], [0]), {"classes": CLASSES[:2]}, "not logits"),
        (([[1.0, 0.0]], ["a"], [0]), {"classes": CLASSES[:2], "probabilities": [[1.0, 0.0]]}, "given twice"),
    ],
)
def test_what_is_refused(tmp_path, arguments, options, says):
    with pytest.raises(lk.InputError, match=says):
        mistakes_page(*arguments, tmp_path / "page.html", **options)
    assert not list(tmp_path.iterdir())
