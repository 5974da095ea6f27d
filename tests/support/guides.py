"""Pages of docs/ whose code runs from top to bottom."""

import re

from paths import ROOT

FETCHED = 'lm = lk.models.load_pretrained("smollm2-135m-instruct")\n'


def page_of(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def run_guide(name, **names):
    """Runs the code of a page, with `lm` in the place of a pretrained model, and returns all its names."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page_of(name), re.DOTALL | re.MULTILINE))
    if "lm" in names:
        assert code.count(FETCHED) == 1
        code = code.replace(FETCHED, "")
    assert code and "load_pretrained" not in code  # nothing is fetched
    exec(compile(code, f"docs/{name}", "exec"), names)
    return names
