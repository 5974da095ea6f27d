"""The reader of n-best lists: both sets of names, with and without scores and references; refusals with the line."""

import gzip
import json

import pytest

import lm_keras as lk
from lm_keras.data import Hypotheses, read_hypotheses
from lm_keras.errors import InputError

ROWS = [
    {"hypotheses": ["a b", "a"], "scores": [-1, -2.5], "reference": "a b", "id": "u1"},
    {"hyps": ["ä"], "am_score": [0.5], "ref": "", "more": 3},
    {"hypotheses": ["x", ""], "reference": "x y"},
]
LISTS = [Hypotheses("a b", ("a b", "a"), (-1.0, -2.5), "u1"), Hypotheses("", ("ä",), (0.5,)),
         Hypotheses("x y", ("x", ""))]  # fmt: skip


def test_forms_of_a_file(tmp_path):
    lines = "\n".join(map(json.dumps, ROWS))
    (tmp_path / "x.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "x.json").write_text(json.dumps(ROWS), encoding="utf-16")
    assert read_hypotheses(tmp_path / "x.jsonl") == LISTS == read_hypotheses(tmp_path / "x.jsonl.gz")
    assert read_hypotheses(tmp_path / "x.json", encoding="utf-16") == LISTS
    unknown = read_hypotheses(tmp_path / "x.jsonl", references=False)
    assert [one.reference for one in unknown] == [None] * 3 and unknown[0].texts() == ["a b", "a"]


@pytest.mark.parametrize(
    "row, said",
    [
        ("[]", "expected a JSON object"),
        ("{", "not JSON"),
        ({"hypothesis": ["a"], "reference": "a"}, "no 'hypotheses'; it has 'hypothesis', 'reference'"),
        ({"hypotheses": ["a"]}, "no 'reference'"),
        ({"hypotheses": "a", "reference": "a"}, "hypotheses is 'a'; give a list"),
        ({"hypotheses": [], "reference": "a"}, "at least one text"),
        ({"hypotheses": [1], "reference": "a"}, "it holds 1 in place of a text"),
        ({"hypotheses": ["a"], "reference": 1}, "it holds 1 in place of a text"),
        ({"hypotheses": ["a"], "reference": "a", "scores": 1}, "scores is 1; give a list"),
        ({"hypotheses": ["a"], "reference": "a", "scores": ["1"]}, "score '1' is no finite number"),
        ({"hypotheses": ["a"], "reference": "a", "scores": [float("inf")]}, "score inf is no finite number"),
        ({"hypotheses": ["a"], "reference": "a", "scores": [10**400]}, "is no finite number"),
        ({"hypotheses": ["a"], "reference": "a", "scores": [1, 2]}, "1 hypotheses and 2 scores"),
    ],
)
def test_what_is_refused_with_the_line(tmp_path, row, said):
    row = row if isinstance(row, str) else json.dumps(row)
    (tmp_path / "x.jsonl").write_text(f"{json.dumps(ROWS[0])}\n\n{row}\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"x.jsonl, line 3: .*{said}"):
        read_hypotheses(tmp_path / "x.jsonl")


def test_no_list_and_no_file(tmp_path):
    (tmp_path / "x.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no list of hypotheses"):
        read_hypotheses(tmp_path / "x.jsonl")
    with pytest.raises(lk.InputError):
        read_hypotheses(tmp_path / "nothing.jsonl")
