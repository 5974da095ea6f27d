"""A page of HTML on which people judge, without knowing whose is whose, which of two outputs is better."""

import base64
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lm_keras.errors import InputError
from lm_keras.tasks.explanation import escaped, text_line
from lm_keras.utils.atomic_files import path_of, read_json, write_json, write_text
from lm_keras.utils.checks import check_seed, check_text, check_texts

CHOICES = {"left": "Left is better", "tie": "No difference", "right": "Right is better"}
LONGEST_NAME = 60  # characters of a system's or a judge's name

STYLE = """
:root { color-scheme: light dark }
body { background: Canvas; color: CanvasText; font: 1em/1.5 system-ui, sans-serif; max-width: 70em; margin: 1em auto;
  padding: 0 1em 5em; overflow-wrap: anywhere }
fieldset { border: 1px solid GrayText; border-radius: .4em; margin: 1em 0; padding: .6em 1em }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1em; margin: .6em 0 }
.pair > div { border: 1px solid GrayText; border-radius: .4em; padding: .4em .6em }
.pair h2 { font-size: .9em; margin: 0; opacity: .8 }
label { display: inline-block; padding: .3em 1em .3em 0 }
footer { position: fixed; inset: auto 0 0; background: Canvas; border-top: 1px solid GrayText; padding: .5em 1em }
input, button { font: inherit }
@media (max-width: 40em) { .pair { grid-template-columns: 1fr } }
"""

SCRIPT = """
"use strict";
const form = document.forms[0], judge = document.getElementById("judge"), state = document.getElementById("state");
const items = Array.from(document.querySelectorAll("fieldset")), place = "comparison sheet " + form.dataset.sheet;

function judgements() {
  const choices = {};
  for (const item of items) {
    const chosen = item.querySelector("input:checked");
    if (chosen) choices[chosen.name] = chosen.value;
  }
  return { sheet: form.dataset.sheet, judge: judge.value.trim(), choices };
}

function show() {
  state.textContent = Object.keys(judgements().choices).length + " of " + items.length + " judged";
}

function keep() { // so that nothing is lost when the page is closed; some browsers refuse it for files
  try { localStorage.setItem(place, JSON.stringify(judgements())); } catch { }
  show();
}

try {
  const kept = JSON.parse(localStorage.getItem(place));
  judge.value = kept.judge;
  for (const input of form.querySelectorAll("input[type=radio]"))
    input.checked = kept.choices[input.name] === input.value;
} catch { }
show();
form.addEventListener("input", keep);
form.addEventListener("submit", event => event.preventDefault());

document.addEventListener("keydown", event => {
  const value = { 1: "left", 2: "tie", 3: "right" }[event.key];
  if (!value || event.target === judge || event.ctrlKey || event.altKey || event.metaKey) return;
  const item = document.activeElement.closest("fieldset") || items.find(one => !one.querySelector("input:checked"));
  if (!item) return;
  item.querySelector("input[value=" + value + "]").checked = true;
  const next = items[items.indexOf(item) + 1] || item;
  (next.querySelector("input:checked") || next.querySelector("input")).focus();
  next.scrollIntoView({ block: "center" });
  keep();
});

document.getElementById("save").addEventListener("click", () => {
  if (!judge.value.trim()) { judge.setCustomValidity("Your name, please"); judge.reportValidity(); return; }
  const text = JSON.stringify(judgements(), null, 1);
  const link = document.createElement("a");
  link.href = "data:application/json;charset=utf-8," + encodeURIComponent(text);
  link.download = "judgements_" + judge.value.trim().replace(/[^\\p{L}\\p{N}]+/gu, "_") + ".json";
  document.body.append(link);
  link.click();
  link.remove();
});
judge.addEventListener("input", () => judge.setCustomValidity(""));
"""


def comparison_sheet(
    path: str | os.PathLike,
    sources: Iterable[str],
    a: Iterable[str],
    b: Iterable[str],
    *,
    names: tuple[str, str] = ("A", "B"),
    question: str = "Which text is better?",
    seed: int = 0,
) -> Path:
    """Writes a page on which a person judges, blind, which of two outputs is better: left, right, or no difference.

    The page is one file that fetches nothing and opens in any browser: send it to several judges. The items stand in
    random order, and which system is on the left is drawn by chance, for each on one half of them. A button saves the
    judgements as a JSON file, for `read_judgements`; until then what is chosen stays in the browser. The keys 1, 2
    and 3 choose left, no difference and right. Which side is whose is in a file of its own, `<path>.key.json`, which
    the judges should not have.

    Args:
        path: Of the page, such as "sheet.html"; it is whole or not there.
        sources: What was given to both systems: the text to translate, the prompt, the topic; "" shows none.
        a: What the first system wrote for each.
        b: What the second wrote.
        names: Of the systems; they are in the key alone.
        question: What the judges are asked.
        seed: Of the order and the sides; whoever judges should not know it.

    Returns:
        The path of the key.

    Raises:
        InputError: For no text, other numbers of them, what are no strings, names that are the same, and a path where
            the key of another sheet is.
        WriteError: Where a file cannot be written.

    Example:

    ```python
    key = lk.tasks.comparison_sheet("sheet.html", topics, first, second, names=("prompt", "fine-tuned"))
    # ... the judges send back their files ...
    print(lk.tasks.preference_report(lk.tasks.read_judgements(["ada.json", "bo.json"], key)))
    ```
    """
    path, rng = path_of(path), np.random.default_rng(check_seed(seed))
    columns = [_column(texts, name) for texts, name in ((sources, "sources"), (a, "a"), (b, "b"))]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise InputError(f"sources, a and b have {lengths} texts; give as many of each")
    if not columns[0]:
        raise InputError("there are no texts to compare; give at least one source with both outputs")
    check_names(names)
    check_text(question)
    order = rng.permutation(len(columns[0])).tolist()
    swapped = (rng.permutation(len(order)) % 2).tolist()
    rows = [[column[i] for column in columns] for i in order]
    body = "\n".join(
        _item(number, len(rows), question, source, *((b, a) if swap else (a, b)))
        for number, (swap, (source, a, b)) in enumerate(zip(swapped, rows, strict=True), 1)
    )
    sheet = hashlib.sha256(body.encode()).hexdigest()[:16]
    items = [[i, names[swap]] for i, swap in zip(order, swapped, strict=True)]
    key = path.with_name(f"{path.name}.key.json")
    made = {"sheet": sheet, "question": question, "names": list(names), "items": items}
    if key.exists() and read_json(key) != made:
        raise InputError(
            f"{key} is the key of another sheet, whose judgements cannot be read without; give another path"
        )
    write_json(key, made)
    write_text(path, _page(question, sheet, body))
    return key


def check_names(names: object) -> None:
    """InputError unless `names` are two different strings that can be printed."""
    fits = isinstance(names, (tuple, list)) and len(names) == 2
    if not fits or not all(is_name(name) for name in names) or names[0] == names[1]:
        raise InputError(f"names is {names!r:.80}; give two different strings of up to {LONGEST_NAME} characters")


def is_name(name: object) -> bool:
    """Whether `name` is a string that can be printed in a line."""
    return isinstance(name, str) and bool(name.strip()) and name.isprintable() and len(name) <= LONGEST_NAME


def _column(texts, name):
    if isinstance(texts, str):
        raise InputError(f"{name} is one string; give a list with a string for each item")
    return check_texts(texts, name)


# === HTML ===
def _item(number, total, question, source, left, right):
    sides = "".join(
        f"<div><h2>{side}</h2>{text_line('', text, escaped(text))}</div>"
        for side, text in (("Left", left), ("Right", right))
    )
    radios = "".join(
        f'<label><input type="radio" name="{number}" value="{choice}"> {said}</label>'
        for choice, said in CHOICES.items()
    )
    source = text_line("", source, escaped(source)) if source else ""
    return (
        f'<fieldset><legend>{number} of {total}</legend>{source}<div class="pair">{sides}</div>'
        f'<div role="radiogroup" aria-label="{escaped(question)}">{radios}</div></fieldset>'
    )


def _page(question, sheet, body):
    allowed = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(question)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<h1 dir="auto">{escaped(question)}</h1>\n'
        "<p>Judge as many as you like, then save them and send the file back. Keys: 1 left, 2 no difference, 3 right."
        "</p>\n"
        "<noscript>The judgements can be saved with JavaScript alone; please allow it.</noscript>\n"
        f'<form data-sheet="{sheet}" autocomplete="off">\n'
        f'<p><label>Your name <input id="judge" maxlength="{LONGEST_NAME}" required></label></p>\n{body}\n'
        '<footer><button type="button" id="save">Save the judgements</button> '
        '<span id="state" role="status"></span></footer>\n</form>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
