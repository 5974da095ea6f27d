"""The code of docs/translation.md runs from top to bottom, and prints what the page says."""

import itertools

from guides import run_guide

ANIMALS = {"ein Hund": "a dog", "eine Katze": "a cat", "ein Vogel": "a bird", "ein Pferd": "a horse"}
VERBS = {"sieht": "sees", "hört": "hears"}


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = list(itertools.product(ANIMALS, VERBS, ANIMALS))
    sides = [" ".join(row) for row in rows], [f"{ANIMALS[a]} {VERBS[v]} {ANIMALS[b]}" for a, v, b in rows]
    for name, side in zip(("train.de", "train.en"), sides, strict=True):
        (tmp_path / name).write_text("\n".join(side), encoding="utf-8")
    names = run_guide("translation.md")
    printed = capsys.readouterr().out.splitlines()
    for line in ("a dog sees a cat", "['a', 'dog', 'sees', 'a', 'cat', '</s>']", "(6, 5)"):
        assert line in printed
    assert names["translator"].evaluate(names["pairs"]).bleu > 90
    assert (tmp_path / "alignment.png").exists() and (tmp_path / "runs" / "mine" / "task.json").exists()
