"""read_labelled: texts and labels of CSV, TSV and JSON files, and one clear line for every file that is none."""

import bz2
import csv
import gzip
import importlib
import json
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lm_keras as lk
from lm_keras.data import read_labelled
from lm_keras.errors import InputError

ROWS = [('He said "no",\nand left', "neg"), ("good, very", "pos"), ("是 é 😀", "pos"), ("", "neutral")]


def write(path, data, encoding="utf-8"):
    path.write_bytes(data if isinstance(data, bytes) else data.encode(encoding))
    return path


def table(rows, delimiter=","):
    """The text of a table as Python's own writer makes it, with a column that nobody asks for."""
    quoted = ['"' + field.replace('"', '""') + '"' for row in [("id", "text", "label"), *rows] for field in row]
    return "".join(delimiter.join(quoted[i : i + 3]) + "\r\n" for i in range(0, len(quoted), 3))


NUMBERED = [(str(i), *row) for i, row in enumerate(ROWS)]
FORMS = {
    "a.csv": table(NUMBERED).encode(),
    "b.tsv": table(NUMBERED, "\t").encode("utf-8-sig"),
    "c.jsonl": "".join(json.dumps({"label": y, "text": x}) + "\n\n" for x, y in ROWS).encode(),
    "d.json": json.dumps([{"text": x, "label": y, "more": [1]} for x, y in ROWS], ensure_ascii=False).encode(),
    "E.CSV.GZ": gzip.compress(table(NUMBERED).encode()),
    "f.jsonl.bz2": bz2.compress("".join(json.dumps({"label": y, "text": x}) + "\n" for x, y in ROWS).encode()),
    "g.tsv.xz": lzma.compress(table(NUMBERED, "\t").encode()),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same(tmp_path, name):
    texts, labels, classes = found = read_labelled(write(tmp_path / name, FORMS[name]))
    assert list(zip(texts, (classes[label] for label in labels), strict=True)) == ROWS
    assert classes == ("neg", "neutral", "pos"), "sorted"
    assert labels.dtype == np.int32 and labels.tolist() == [0, 2, 2, 1]
    assert found.counts() == {"pos": 2, "neg": 1, "neutral": 1}


FIELDS = st.text(st.sampled_from('ab,;\t"\n é是'), max_size=8)


@given(
    st.lists(st.tuples(FIELDS, st.sampled_from(["x", "y z", "1"])), min_size=1, max_size=6), st.sampled_from(",;\t")
)
def test_what_pythons_writer_wrote_is_read(tmp_path_factory, rows, delimiter):
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([("text", "label"), *rows])
    texts, labels, classes = read_labelled(path, delimiter=delimiter)
    assert texts == [text for text, _ in rows]
    assert [classes[i] if classes else str(i) for i in labels] == [label for _, label in rows]


def test_columns_classes_and_delimiter_are_given(tmp_path):
    path = write(tmp_path / "a.csv", 'stars;review\ngood;A film\nbad;"Another; film"\n')
    found = read_labelled(path, "review", "stars", classes=["good", "bad", "none"], delimiter=";")
    assert (found.texts, found.labels.tolist()) == (["A film", "Another; film"], [0, 1])
    assert found.classes == ("good", "bad", "none")
    bare = write(tmp_path / "b.txt", 'pos|it\'s 5" wide\nneg|"so\n')
    found = read_labelled(bare, 1, 0, delimiter="|", quotes=False)
    assert (found.texts, found.classes) == (["it's 5\" wide", '"so'], ("neg", "pos"))


@pytest.mark.parametrize(
    ("labels", "expected", "classes"),
    [
        (["1", "5", "-1", "+3"], [1, 5, -1, 3], ()),
        (["0.5", "2", "-1e-3"], np.float32([0.5, 2, -0.001]).tolist(), ()),
        (["01", "10"], [0, 1], ("01", "10")),
        (["1", "one"], [0, 1], ("1", "one")),
        (["nan", "inf"], [1, 0], ("inf", "nan")),
        (["9e9", "10000000001.5"], np.float32([9e9, 1e10]).tolist(), ()),
        ([" a", "a ", "A"], [1, 1, 0], ("A", "a")),
    ],
)
def test_numbers_stay_and_names_are_numbered(tmp_path, labels, expected, classes):
    path = write(tmp_path / "a.csv", "text,label\n" + "".join(f"t,{label}\n" for label in labels))
    found = read_labelled(path)
    assert (found.labels.tolist(), found.classes) == (expected, classes)
    is_float = labels[0] in ("0.5", "9e9")
    assert found.labels.dtype == (np.float32 if is_float else np.int32)
    assert found.counts().total() == (0 if is_float else len(labels))


def test_numbers_and_names_of_json(tmp_path):
    for labels, expected, classes in (
        ([3, 1], [3, 1], ()),
        ([0.5, 1], [0.5, 1.0], ()),
        (["3", "1"], [1, 0], ("1", "3")),
        ([True, False], [1, 0], ("false", "true")),
    ):
        found = read_labelled(write(tmp_path / "a.json", json.dumps([{"text": "t", "label": y} for y in labels])))
        assert (found.labels.tolist(), found.classes) == (expected, classes)


def test_what_no_utf8_can_hold_is_marked(tmp_path):
    lines = ['{"text": "a \\ud800", "label": "\\udfff"}', '{"text": "\\ud83d\\ude00", "label": "y"}']
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    assert read_labelled(path).texts == ["a \ufffd", "\U0001f600"] and read_labelled(path).classes == ("y", "\ufffd")


def test_numbers_may_be_names_when_classes_are_given(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\na,5\nb,1\n")
    assert read_labelled(path, classes=("1", "3", "5")).labels.tolist() == [2, 0]
    assert read_labelled(path, classes=read_labelled(path).classes).labels.tolist() == [5, 1]


def test_encodings(tmp_path):
    for encoding in ("utf-16", "latin-1", "gb18030"):
        text = "café" if encoding == "latin-1" else "是 café"
        path = write(tmp_path / "a.csv", f"text,label\r\n{text},é\r\n", encoding)
        assert read_labelled(path, encoding=encoding)[::2] == ([text], ("é",))
        with pytest.raises(InputError, match="encoding="):
            read_labelled(path)


BAD = [
    (
        "a.csv",
        "review,label\na,b\n",
        {},
        "no column 'text'; its first line names 'review', 'label'; say which column it is",
    ),
    (
        "a.csv",
        "text;label\na;b\n",
        {},
        "'text;label'; if these are several, ',' does not separate them: give delim",
    ),
    ("a.csv", "text,text,label\na,b,c\n", {}, "two columns are named 'text'"),
    ("a.csv", "text,label\na,b\n\nc,d,e\n", {}, "line 4: 3 fields, but the first line has 2"),
    ("a.csv", 'text,label\n"a\nb",c\nd\n', {}, "line 4: 1 fields, but the first line has 2"),
    ("a.csv", 'text,label\na,b\n"c" d,e\n', {}, "line 3: no valid row .*quotes=False"),
    ("a.csv", 'text,label\na,b\n"c,d\ne,f\n', {}, "line 3: no valid row .*quotes=False"),
    ("a.csv", "text,label\na,b\nc, \n", {}, "line 3: the label is empty"),
    ("a.csv", "text,label\n", {}, "no rows"),
    ("a.csv", "", {}, "no rows"),
    ("a.csv", "text,label\na,b\n", {"classes": ["x", "y"]}, "line 2: the label 'b' is none of the classes 'x', 'y'"),
    ("a.csv", "text,label\na,3000000000\n", {}, "line 2: the label 3000000000 is no number of 32 bits"),
    ("a.csv", "text,label\na,b\n", {"classes": ["x", "x"]}, "classes are a list of different names"),
    ("a.csv", "text,label\na,b\n", {"classes": "xy"}, "classes are a list of different names"),
    ("a.csv", "text,label\na,b\n", {"classes": {"b", "c"}}, "classes are a list of different names"),
    ("a.csv", "text,label\na,1\n", {"classes": [0, 1]}, "classes are a list of different names"),
    ("a.csv", "text,label\na,b\n", {"classes": 5}, "classes are a list of different names"),
    ("a.csv", "text,label\na,b\n", {"classes": [["b"]]}, "classes are a list of different names"),
    ("a.csv", "text,label\na,1\nb,one\n", {"classes": ()}, "line 3: the label 'one' is a name"),
    ("a.jsonl", '{"text": "a", "label": "1"}\n', {"classes": ()}, "line 1: the label '1' is a name"),
    ("a.csv", "text,label\na,10000000001\nb,10000000002\n", {}, "line 2: the label 10000000001 is no number"),
    ("a.csv", "text,label\na,0.5\nb,nan\n", {}, "line 3: the label nan is no number"),
    ("a.csv", "text,label\na,1\nb,-Infinity\n", {}, "line 3: the label -inf is no number"),
    ("a.jsonl", '{"text": "a", "label": 1e39}\n', {}, "line 1: the label 1e.39 is no number"),
    ("a.jsonl", '{"text": "a", "label": 1' + "0" * 400 + "}\n", {}, "line 1: the label 1000.* is no number"),
    ("a.csv", "text,label\na,b\n", {"delimiter": ",,"}, "delimiter is one character"),
    ("a.csv", "text,label\na,b\n", {"text": 0}, "names of two columns, or places"),
    ("a.csv", "text,label\na,b\n", {"text": "label"}, "names of two columns, or places"),
    ("a.csv", "text,label\na,b\n", {"text": 0, "label": 2}, "no column 2; the first line has 2"),
    ("a.csv", "text,label\na,b\n", {"encoding": "utf-99"}, "encoding 'utf-99' is not known"),
    ("a.csv", "text,label\na\0,b\n", {}, "NUL at byte 12"),
    ("a.txt", "text,label\na,b\n", {}, "neither .csv, .tsv, .jsonl nor .json; give its delimiter="),
    ("a.jsonl", '{"text": "a", "label": "b"}\n\n{"text": "a"}\n', {}, "line 3: no 'label'; it has 'text'"),
    ("a.jsonl", '{"text": "a", "label": "b"}\n{"text": \n', {}, "line 2: not JSON"),
    ("a.jsonl", "[1]\n", {}, r"line 1: expected a JSON object, got \[1\]"),
    ("a.jsonl", "[" * 100_000 + "\n", {}, "line 1: not JSON"),
    ("a.jsonl", '{"text": 5, "label": "b"}\n', {}, "line 1: the text is 5, no string"),
    ("a.jsonl", '{"text": "a", "label": null}\n', {}, "line 1: the label is empty"),
    ("a.jsonl", '{"text": "a", "label": ["b"]}\n', {}, r"line 1: the label is \['b'\]; give names alone"),
    (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text": "a", "label": "b"}\n',
        {},
        "line 2: the label is 'b'; give names",
    ),
    ("a.jsonl", '{"text": "a", "label": NaN}\n', {}, "line 1: the label nan is no number"),
    ("a.jsonl", '{"text": "a", "label": ' + "9" * 5000 + "}\n", {}, "line 1: not JSON|no number of 32 bits"),
    (
        "a.jsonl",
        '{"text": "a", "label": 1}\n',
        {"classes": ["1"]},
        "its labels are numbers, such as 1; leave classes",
    ),
    ("a.jsonl", '{"text": "a", "label": 1}\n', {"text": 0, "label": 1}, "in JSON columns are names"),
    ("a.json", '{"text": ["a"]}', {}, "a JSON dict; expected a list of objects"),
    ("a.json", '[{"text": "a", "label": "b"}, 7]', {}, "record 2: expected a JSON object, got 7"),
]


@pytest.mark.parametrize(("name", "content", "options", "says"), BAD)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path, name, content, options, says):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=says) as error:
        read_labelled(path, **options)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400 + len(str(path))


def test_no_file_and_no_path(tmp_path):
    for path, says in (
        (tmp_path / "no.csv", "no such file"),
        (tmp_path, "a folder, where a file is expected"),
        (3, "got int"),
        ("", "empty"),
    ):
        with pytest.raises(InputError, match=says):
            read_labelled(path)


def test_a_long_line_takes_linear_time(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\n"' + "x" * 20_000_000 + '",a\n')
    assert len(read_labelled(path).texts[0]) == 20_000_000


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_line_that_never_ends_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(importlib.import_module("lm_keras.data.labelled"), "LONGEST_FIELD", 1 << 20)
    path = write(tmp_path / name, gzip.compress(b"text,label\n" + b"x" * (1 << 23)))
    with pytest.raises(InputError, match="a line of more than 1,048,576 characters|not JSON"):
        read_labelled(path)
    path = write(tmp_path / name, gzip.compress(b"x" * (1 << 23)))
    with pytest.raises(InputError, match="a line of more than 1,048,576 characters"):
        read_labelled(path)


def test_what_was_read_trains_a_classifier_and_fills_a_report(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\n" + "good film,pos\nbad film,neg\n" * 4)
    found = read_labelled(path)
    tokenizer = lk.text.WordTokenizer.train(found.texts, language=None)
    x, y = next(iter(lk.data.labelled(found.texts, found.labels, tokenizer, 8, shuffle=False)))
    assert x.shape == (8, 2) and y.numpy().tolist() == [1, 0] * 4
    batches = lk.data.labelled(found, tokenizer=tokenizer, batch_size=8, shuffle=False)
    assert all(np.array_equal(a, b) for a, b in zip(next(iter(batches)), (x, y), strict=True))
    model = lk.models.build_cnn_classifier(tokenizer.vocab_size, num_classes=2, embedding_dim=4, num_filters=4)
    lk.fit(model, batches, config=lk.TrainingConfig(max_steps=1, warmup_steps=0))
    classifier = lk.tasks.TextClassifier(model, tokenizer, found.classes)
    assert classifier.classify(["good film"])[0].label in ("neg", "pos")
    lk.data.write_report(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Labels</h2>" in page and "<td>pos</td>" in page


def test_other_readers_name_it(tmp_path):
    path = write(tmp_path / "a.jsonl.bz2", b"{}")
    for read in (lk.data.read_texts, lk.data.split_texts):
        with pytest.raises(InputError, match="table of records.*lk.data.read_labelled"):
            read(path)


# === Pairs of texts, several classes a row ===
def test_two_columns_are_pairs(tmp_path):
    (tmp_path / "a.csv").write_text("premise,claim,label\nIt rains,It is wet,yes\nIt rains,The sun shines,no\n")
    (tmp_path / "a.jsonl").write_text('{"premise": "It rains", "claim": "It is wet", "label": "yes"}\n')
    found = lk.data.read_labelled(tmp_path / "a.csv", "premise", "label", pair="claim")
    assert found.texts == [("It rains", "It is wet"), ("It rains", "The sun shines")]
    assert found.labels.tolist() == [1, 0] and found.classes == ("no", "yes")
    assert lk.data.read_labelled(tmp_path / "a.jsonl", "premise", pair="claim").texts == found.texts[:1]
    with pytest.raises(lk.InputError, match="no column 'hypothesis'"):
        lk.data.read_labelled(tmp_path / "a.csv", "premise", pair="hypothesis")
    with pytest.raises(lk.InputError, match="three columns"):
        lk.data.read_labelled(tmp_path / "a.csv", "premise", pair="premise")


def test_rows_with_several_classes(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\na,war; sport\nb,\nc,"sport;sport"\n')
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": ["war", "sport"]}\n{"text": "b", "label": []}\n')
    found = lk.data.read_labelled(tmp_path / "a.csv", separator=";")
    assert found.classes == ("sport", "war") and found.labels.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert found.counts() == {"sport": 2, "war": 1}
    again = lk.data.read_labelled(tmp_path / "a.jsonl", separator=";", classes=("war", "sport", "art"))
    assert again.labels.tolist() == [[1, 1, 0], [0, 0, 0]]
    with pytest.raises(lk.InputError, match="line 2: the label 'war' is none of the classes"):
        lk.data.read_labelled(tmp_path / "a.csv", separator=";", classes=("sport",))
    with pytest.raises(lk.InputError, match="separator is ' '"):
        lk.data.read_labelled(tmp_path / "a.csv", separator=" ")
