"""The sheet for judges, what it gives away, what is read of it, and what judges prefer."""

import base64
import hashlib
import json
import math

import pytest
from lxml import html
from sklearn.metrics import cohen_kappa_score

import lm_keras as lk
from lm_keras.tasks import comparison_sheet, preference_report, read_judgements

lxml = pytest.importorskip("lxml.html")
SOURCES = [
    "say hello",
    "<script>alert(1)</script> & </fieldset>",
    "",
    "ترجم هذه الجملة",
    "翻译这句话",
    "a\x00b\ud800",
]
FIRST = [f"good {i} <b>" for i in range(6)]
SECOND = ["bad <img src=x onerror=alert(2)>", "سيئ", "不好", "", "bad\nlines", "bad"]
NAMES = ("prompt", "fine-tuned")


@pytest.fixture
def sheet(tmp_path):
    """The page, parsed, and the path of its key."""
    key = comparison_sheet(tmp_path / "sheet.html", SOURCES, FIRST, SECOND, names=NAMES, question="A & b?", seed=1)
    return html.fromstring((tmp_path / "sheet.html").read_bytes().decode()), key


def shown(item):
    """Source, left and right text of an item."""
    pair = item.find_class("pair")[0]
    source = [div.text_content() for div in item.findall("div") if div.get("dir") == "auto"]
    return (source or [""])[0], *(side.findall("div")[0].text_content() for side in pair)


def saved(page, path, judge, choose):
    """Writes what the button saves where a judge chooses by `choose(source, left, right)`; None judges nothing."""
    choices = {str(i): choose(*shown(item)) for i, item in enumerate(page.iter("fieldset"), 1)}
    choices = {number: choice for number, choice in choices.items() if choice}
    path.write_text(json.dumps({"sheet": page.forms[0].get("data-sheet"), "judge": judge, "choices": choices}))
    return path


def likes_good(source, left, right):
    return "left" if left.startswith("good") else "right"


# === The page ===
def test_the_page_is_one_file_that_runs_one_script(sheet, tmp_path):
    page, _ = sheet
    (script,) = page.iter("script")
    allowed = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    policy = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    assert policy.startswith("default-src 'none'") and f"script-src 'sha256-{allowed}'" in policy
    assert {element.tag for element in page.iter() if isinstance(element.tag, str)}.isdisjoint(
        {"img", "link", "iframe"}
    )
    assert not page.xpath("//@src | //@href | //@onerror | //@onclick")


def test_the_page_shows_each_text_as_it_is(sheet):
    page, _ = sheet
    shows = {"": "(empty)", "a\x00b\ud800": "a\ufffdb\ufffd"}
    expected = [
        (source and shows.get(source, source), *sorted(shows.get(text, text) for text in pair))
        for source, *pair in zip(SOURCES, FIRST, SECOND, strict=True)
    ]
    found = [(source, *sorted(pair)) for source, *pair in map(shown, page.iter("fieldset"))]
    assert sorted(found) == sorted(expected)
    assert len(page.xpath("//input[@type='radio']")) == 18 and page.xpath("//label[input[@value='tie']]")


def test_order_and_sides_are_drawn_and_the_page_does_not_say_which_is_whose(sheet, tmp_path):
    page, key = sheet
    text = (tmp_path / "sheet.html").read_text()
    assert not any(name in text for name in NAMES)
    rows = [shown(item) for item in page.iter("fieldset")]
    assert sum(left.startswith("good") for _, left, _ in rows) == 3, "each is on the left as often"
    orders = []
    for seed in range(3):
        comparison_sheet(tmp_path / f"{seed}.html", SOURCES, FIRST, SECOND, seed=seed)
        other = html.fromstring((tmp_path / f"{seed}.html").read_text())
        orders.append([shown(item) for item in other.iter("fieldset")])
    assert orders[0] != orders[1] != orders[2] and orders[1] == rows


def test_a_key_that_judgements_need_is_kept(sheet, tmp_path):
    _, key = sheet
    again = {"names": NAMES, "question": "A & b?", "seed": 1}
    assert comparison_sheet(tmp_path / "sheet.html", SOURCES, FIRST, SECOND, **again) == key
    before = key.read_text()
    with pytest.raises(lk.InputError, match="the key of another sheet"):
        comparison_sheet(tmp_path / "sheet.html", SOURCES, SECOND, FIRST, **again)
    assert key.read_text() == before


# === Judgements ===
def test_who_likes_one_system_is_found_whatever_the_side(sheet, tmp_path):
    page, key = sheet
    report = preference_report(read_judgements(saved(page, tmp_path / "a.json", " Ada ", likes_good), key))
    assert (report.wins, report.losses, report.ties, report.win_rate) == (6, 0, 0, 1.0)
    assert report.win_rate_interval == lk.tasks.wilson(6, 6) and report.p_value == pytest.approx(2 / 2**6)
    assert report.left == 0.5 and report.agreements == []
    rows = read_judgements([tmp_path / "a.json"], key).rows
    assert sorted(row.item for row in rows) == list(range(6)) and {row.better for row in rows} == {"prompt"}
    always_left = preference_report(read_judgements(saved(page, tmp_path / "l.json", "Lee", lambda *_: "left"), key))
    assert (always_left.win_rate, always_left.left, always_left.p_value) == (0.5, 1.0, 1.0)


def test_ties_count_half_and_two_judges_are_compared(sheet, tmp_path):
    page, key = sheet

    def unsure(source, left, right):
        return {"": None, "say hello": "tie", "翻译这句话": "tie"}.get(source, likes_good(source, left, right))

    files = [saved(page, tmp_path / "a.json", "Ada", likes_good), saved(page, tmp_path / "b.json", "Bo", unsure)]
    judgements = read_judgements(files, key)
    report = preference_report(judgements)
    said = {judge: {r.item: r.better or "" for r in judgements.rows if r.judge == judge} for judge in ("Ada", "Bo")}
    both = sorted(said["Bo"])
    assert len(both) == 5 and len(judgements.rows) == 11
    (agreement,) = report.agreements
    assert agreement.judges == ("Ada", "Bo") and agreement.items == 5
    assert agreement.kappa == pytest.approx(
        cohen_kappa_score([said["Ada"][i] for i in both], [said["Bo"][i] for i in both])
    )
    assert (report.wins, report.losses, report.ties, report.win_rate) == (9, 0, 2, pytest.approx(5.5 / 6))
    assert report.win_rate_interval == pytest.approx(lk.tasks.wilson(5.5, 6))
    assert report.p_value == pytest.approx(2 / 2**6), "of each item more judges are for the first"
    text = str(report)
    assert "11 judgements of 6 items by 2 judges: 9 for prompt, 0 for fine-tuned, 2 ties" in text
    assert "Ada and Bo: 5 items judged by both, 60% alike" in text and "a tie is half a win" in text
    assert json.loads(json.dumps(report.as_dict()))["agreements"][0]["items"] == 5


def test_only_ties_are_no_preference(sheet, tmp_path):
    page, key = sheet
    files = [saved(page, tmp_path / f"{name}.json", name, lambda *_: "tie") for name in ("a", "b")]
    report = preference_report(read_judgements(files, key))
    assert (report.win_rate, report.p_value, report.left) == (0.5, 1.0, None)
    assert report.agreements[0].kappa is None and "not defined" in str(report)


def test_the_sign_test_by_its_sum():
    rows = [lk.tasks.Judgement("a", i, "x" if i < 8 else "y" if i < 10 else None, "left") for i in range(12)]
    report = preference_report(lk.tasks.Judgements(("x", "y"), "?", rows))
    assert report.p_value == pytest.approx(2 * sum(math.comb(10, k) for k in range(3)) / 2**10)
    assert report.win_rate == pytest.approx(9 / 12)


# === Refusals ===
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [], []), "no texts to compare"),
        ((["a"], ["b"], []), "1, 1, 0 texts"),
        (("a", ["b"], ["c"]), "sources is one string"),
        ((["a"], ["b"], [None]), "a text is a NoneType"),
    ],
)
def test_what_cannot_be_compared_is_an_error(tmp_path, arguments, message):
    with pytest.raises(lk.InputError, match=message):
        comparison_sheet(tmp_path / "s.html", *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", [("a", "a"), ("a",), ("a", ""), ("a", "b\n"), "ab", (1, 2), None, ("a", "b" * 99)])
def test_names_are_two_that_differ(tmp_path, names):
    with pytest.raises(lk.InputError, match="give two different strings"):
        comparison_sheet(tmp_path / "s.html", ["a"], ["b"], ["c"], names=names)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: [],
        lambda content: {**content, "choices": [1]},
        lambda content: {**content, "choices": {"7": "left"}},
        lambda content: {**content, "choices": {"0": "left"}},
        lambda content: {**content, "choices": {"١": "left"}},
        lambda content: {**content, "choices": {"1": "both"}},
        lambda content: {**content, "choices": {"1": ["left"]}},
        lambda content: {**content, "judge": "a\x1b[2J"},
        lambda content: {**content, "judge": None},
        lambda content: {**content, "judge": " "},
        lambda content: {**content, "sheet": "another"},
        lambda content: {name: content[name] for name in ("judge", "choices")},
        lambda content: "{",
    ],
)
def test_a_hostile_file_gives_one_line(sheet, tmp_path, change):
    page, key = sheet
    file = saved(page, tmp_path / "a.json", "Ada", likes_good)
    changed = change(json.loads(file.read_text()))
    file.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(lk.InputError, match=r"a\.json") as error:
        read_judgements([file], key)
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["a", "a"]},
        {"items": [[0, "prompt"]] * 6},
        {"items": [[0, "prompt", 3]]},
        {"items": 3},
        {"items": [[[], "prompt"]]},
        {"items": [[i, ["prompt"]] for i in range(6)]},
        {"question": None},
    ],
)
def test_a_hostile_key_gives_one_line(sheet, tmp_path, change):
    page, key = sheet
    file = saved(page, tmp_path / "a.json", "Ada", likes_good)
    key.write_text(json.dumps(json.loads(key.read_text()) | change))
    with pytest.raises(lk.InputError, match="is no key of a comparison sheet"):
        read_judgements(file, key)


def test_a_judge_counts_once(sheet, tmp_path):
    page, key = sheet
    files = [saved(page, tmp_path / f"{i}.json", "Ada", likes_good) for i in range(2)]
    with pytest.raises(lk.InputError, match="are of the same judge, 'Ada'"):
        read_judgements(files, key)
    with pytest.raises(lk.InputError, match="there are no judgements"):
        preference_report(read_judgements(saved(page, tmp_path / "n.json", "No", lambda *_: None), key))
