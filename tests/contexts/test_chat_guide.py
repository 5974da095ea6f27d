"""The code of docs/chat.md runs from top to bottom, with a small model in the place of the pretrained one."""

import re

import pytest
from chats import chat_tokenizer
from paths import ROOT
from small_models import tiny_lm

PAGE = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
FETCHED = 'lm = lk.models.load_pretrained("smollm2-135m-instruct")\n'

pytestmark = pytest.mark.usefixtures("warm_check")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4 and FETCHED in blocks[0]
    code = "\n".join(blocks).replace(FETCHED, "")
    assert "load_pretrained" not in code  # nothing is fetched
    names = {"lm": tiny_lm("llama", chat_tokenizer(), 0.4, max_length=256)}
    exec(compile(code, "docs/chat.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "is ready to serve" in printed and "<|user|>\nHello!" in printed
    assert names["talk"].messages == [] and names["talk"].system == "You are a poet."
