"""The code of docs/chat.md runs from top to bottom, with a small model in the place of the pretrained one."""

import pytest
from chats import chat_tokenizer
from guides import run_guide
from small_models import tiny_lm

pytestmark = pytest.mark.usefixtures("warm_check")


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run_guide("chat.md", lm=tiny_lm("llama", chat_tokenizer(), 0.4, max_length=256))
    printed = capsys.readouterr().out
    assert "is ready to serve" in printed and "<|user|>\nHello!" in printed
    assert names["talk"].messages == [] and names["talk"].system == "You are a poet."
