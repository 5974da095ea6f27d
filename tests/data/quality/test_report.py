"""The data report: one safe, self-contained page, and `lm-keras data report`."""

import base64
import gzip
import re
import sys
from html.parser import HTMLParser

import pytest

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.data.quality.report.page import example, page, table
from lm_keras.errors import InputError

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Its text, tags and attributes; fails where tags do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.links, self.texts = [], set(), [], []
        self.feed(html)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "action", "onload", "style")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)

    def rows(self):
        return dict(zip(self.texts, self.texts[1:], strict=False))


BAD = [
    "<script>alert(1)</script> & <img src=x onerror=alert(2)>",
    "write to bob@example.org or pay 4111 1111 1111 1111 " * 3,
    "a bell \x07, a mark \u202e and \ufffd",
    "Das ist nicht in Ordnung, sagte der Minister am Donnerstag in Berlin.",
    "what the fuck",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A file of news, some of it twice, with faults; its test file; and the page."""
    place = tmp_path_factory.mktemp("report")
    news = lk.data.load("lee-news")[:40]
    near = " ".join(["The"] + news[3].split()[:-1])
    lines = [*news, *BAD, "", news[5], news[5].upper(), near, BAD[0] + "!", BAD[0]]
    (place / "news.txt").write_text("\n".join(lines), encoding="utf-8")
    with gzip.open(place / "test.txt.gz", "wt", encoding="utf-8") as file:
        file.write(news[7] + "\n\nnothing of it is known\n" + BAD[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["data", "report", "news.txt", "--test", "test.txt.gz", "--out", "new/page.html"]) == 0
    return place


@pytest.fixture(scope="module")
def html(place):
    return (place / "new/page.html").read_text(encoding="utf-8")


def test_the_page_is_one_file_that_runs_and_fetches_nothing(html):
    parsed = Page(html)
    assert not parsed.tags & {"script", "iframe", "link", "object", "form", "svg"}
    assert "default-src &#x27;none&#x27;" in html
    assert parsed.links and all(link.startswith("data:image/png;base64,") for link in parsed.links)
    pictures = [base64.b64decode(link.partition(",")[2], validate=True) for link in parsed.links]
    assert len(pictures) == 5 and all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", html)


def test_texts_are_escaped_and_hold_no_personal_data(html):
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;img src=x" in html, "it is among the repeated texts"
    assert "bob@" not in html and "4111" not in html


def test_the_page_holds_what_is_true(html):
    rows = Page(html).rows()
    expected = {
        "texts": "51",
        "of them empty": "1",
        "texts that repeat an earlier one as it stands, of all": "2",
        "texts among which the following were looked for": "50",
        "the same as an earlier one but for case, white space and form of the characters": "3",
        "near-duplicates of an earlier one (Jaccard similarity of 3-word runs from 0.8 on)": "2",
        "texts with control characters or U+FFFD": "1",
        "characters: replacement": "1",
        "email": "3",
        "card": "3",
        "texts with personal data": "1",
        "texts with a word of the list": "1",
        "test texts": "3",
        "with all of theirs": "2",
    }
    assert {name: rows.get(name) for name in expected} == expected
    assert "of the texts hold what looks like personal data (email: 3, card: 3)" in html


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(
        "lm_keras.data.quality.report.report.image", lambda figure, alt: ""
    )  # they take most of the time


def test_the_command_prints_what_is_worth_a_look(place, capsys, monkeypatch, no_pictures):
    monkeypatch.chdir(place)
    assert main(["data", "report", "news.txt"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"report.html: {len(printed) - 1} things worth a look"
    assert printed[0].endswith("repeat an earlier one: lk.data.without_duplicates drops them.")
    assert "Overlap with the test set" not in (place / "report.html").read_text(encoding="utf-8")


def test_the_command_reads_tables_and_other_encodings(tmp_path, monkeypatch, no_pictures):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("review,mood\ngood film,pos\nbad film,neg\nfine,pos\n", encoding="utf-16")
    table = ["a.csv", "--text", "review", "--label", "mood", "--encoding", "utf-16"]
    assert main(["data", "report", *table, "--test", "a.csv"]) == 0
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    rows = page.rows()
    assert (rows["pos"], rows["texts"], rows["test texts"]) == ("2", "3", "3")
    (tmp_path / "b.txt").write_text("é\n\nà\n", encoding="latin-1")
    assert main(["data", "report", "b.txt", "--encoding", "latin-1"]) == 0
    assert Page((tmp_path / "report.html").read_text(encoding="utf-8")).rows()["texts"] == "3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table.csv"], "no column 'text'; its first line names 'a', 'b'"),
        (
            ["table.csv", "--text", "a", "--label", "b", "--out", "table.csv"],
            "--out table.csv is a file that is to be",
        ),
        (["latin.txt", "--encoding", "utf-99"], "encoding 'utf-99' is not known"),
        (["nothing.txt"], "nothing.txt: no such file"),
        (["unknown-set"], "neither a file nor a known set"),
        ([""], "FILE is empty"),
        (["news.txt", "--test", ""], "--test is empty"),
        (["news.txt", "--test", "nothing.txt"], "nothing.txt: no such file"),
        (["news.txt", "--out", "."], "--out . is a folder"),
        (["news.txt", "--out", "news.txt"], "--out news.txt is a file that is to be read"),
        (["test.txt.gz", "--test", "news.txt", "--out", "./news.txt"], "is a file that is to be read"),
        (["news.txt", "--split", "test"], "--split test is for known sets, and news.txt is none"),
        (["lee-news", "--split", "test"], "lee-news has no split 'test'"),
        (["blank.txt"], "it holds no text"),
        (["latin.txt"], "latin.txt: not UTF-8"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(place, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(place)
    (place / "blank.txt").write_text(" \n\n")
    (place / "table.csv").write_text("a,b\nx,y\n")
    (place / "latin.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["data", "report", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_with_many_texts_duplicates_are_looked_for_in_a_sample_and_the_page_says_so(tmp_path, no_pictures):
    texts = lk.data.load("lee-news")[:30]
    lk.data.write_report(texts, tmp_path / "a.html", compared=10)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "These are 10 of the texts, drawn at random" in page and "up to 3.0 times" in page
    assert Page(page).rows()["texts among which the following were looked for"] == "10"


def test_lines_of_every_kind(tmp_path):
    from lm_keras.cli.data import Lines
    from lm_keras.data.text_files import read_texts

    (tmp_path / "a.txt").write_text("one\r\n\n two\nthree", encoding="utf-8")
    (tmp_path / "b.txt").write_text("four\n", encoding="utf-8")
    lines = Lines(read_texts(tmp_path))
    assert list(lines) == list(lines) == ["one", "", " two", "three", "four"]


RECORDS = [
    (lk.data.Labelled("a text\nof two lines", 1), ["a text\nof two lines"]),
    (lk.data.FunctionalCase("I am a woman.", 1, "ident_neutral_nh", "women"), ["I am a woman."]),
    (lk.data.Relation("a ring of gold", (2, 6), (10, 14), 3), ["a ring of gold"]),
    (lk.data.RelatedText("Ann is in Rome", ((0, 3, "P"), (10, 14, "L")), ((0, 1, "in"),)), ["Ann is in Rome"]),
    (lk.data.TaggedSentence(("EU", "rejects"), ("B-ORG", "O"), ("NNP", "VBZ"), ("B-NP", "B-VP")), ["EU rejects"]),
    (lk.data.TaggedSentence(("希", "望"), ("O", "O")), ["希望"]),
    (
        lk.data.QuestionAnswer(
            "It is red.",
            "What?",
            (lk.data.ReferenceAnswer("red", 6), lk.data.ReferenceAnswer("red")),
            title="t",
            id="7",
        ),
        ["It is red.", "What?", "red"],
    ),
    (lk.data.QuestionAnswer("", "Who?", (), True), ["Who?"]),
    (lk.data.Translation("one", "eins", "un"), ["one", "eins", "un"]),
    (lk.data.TextPair("one", "eins"), ["one", "eins"]),
    (lk.data.Dialogue(("Hi.", "Hello."), ("greet", "greet"), ("none", "none"), "topic"), ["Hi.", "Hello."]),
    (lk.data.Summary("A document.", ("short", "brief"), ("topic",), 5, "id"), ["A document.", "short", "brief"]),
    (lk.data.Hypotheses("said", ("sad", "set"), (0.1, 0.2), "id"), ["said", "sad", "set"]),
    (lk.data.MultipleChoice("To cut bread", ("a knife", "a spoon"), 0), ["To cut bread", "a knife", "a spoon"]),
    (lk.data.MinimalPair("The cats sleep.", "The cats sleeps.", "agreement"), ["The cats sleep."]),
    (lk.data.WordPair("love", "hate", 3.0), ["love", "hate"]),
    (lk.data.Analogy("capitals", "Athens", "Greece", "Baghdad", "Iraq"), ["Athens", "Greece", "Baghdad", "Iraq"]),
]


def test_the_texts_of_every_kind_of_record():
    from lm_keras.data.corpora import records
    from lm_keras.data.corpora.records import record_texts

    for record, texts in RECORDS:
        assert record_texts([record]) == texts
    every = {kind for kind in vars(records).values() if isinstance(kind, type) and hasattr(kind, "_fields")}
    assert {type(record) for record, _ in RECORDS} == every - {records.ReferenceAnswer}
    again = [lk.data.QuestionAnswer("It is red.", question, ()) for question in ("What?", "Is it?")]
    assert record_texts(again) == ["It is red.", "What?", "Is it?"], "a context that questions share comes once"


def test_a_labelled_set_is_reported_with_its_labels(tmp_path, monkeypatch, no_pictures):
    spam = [lk.data.Labelled(f"<b>message {i}</b>\nof two lines", int(i % 4 == 0)) for i in range(8)]
    monkeypatch.setattr(lk.data, "load", lambda name, split: spam * 2 if split == "all" else spam)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "report", "sms-spam", "--test", "sms-spam"]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    parsed = Page(page)
    assert parsed.rows()["texts"] == "8" and parsed.rows()["test texts"] == "8"
    places = [place for place, text in enumerate(parsed.texts) if text in ("ham", "spam")]
    assert [parsed.texts[place : place + 3] for place in places] == [["ham", "6", "0.75"], ["spam", "2", "0.25"]]
    assert "the texts of 8 Labelled records" in page
    assert main(["data", "report", "sms-spam", "--split", "all"]) == 0
    assert "sms-spam, split all" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_parts_of_a_page():
    assert example("x" * 500) == "x" * 240 + " ..."
    assert "<td>&lt;b&gt;</td>" in table([("<b>", 3)], ("a", "n"))
    assert '<td class="number">1,234</td>' in table([(1234,)])
    assert "<title>a &amp; \\u202e</title>" in page("a & \u202e")


def test_what_a_report_cannot_be_made_of(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="reads the texts several times"):
        lk.data.write_report(iter(["a"]), tmp_path / "a.html")
    with pytest.raises(InputError, match=r"got one string; give .* read_texts\(path\)"):
        lk.data.write_report("news.txt", tmp_path / "a.html")
    with pytest.raises(InputError, match="there is no text"):
        lk.data.write_report([], tmp_path / "a.html")
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(InputError, match=r"pip install lm_keras\[analysis\]"):
        lk.data.write_report(["a b c"], tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []
