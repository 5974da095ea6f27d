"""The code of docs/prompting.md runs from top to bottom, with a small model in the place of the pretrained one."""

import pytest
from guides import page_of, run_guide

import lm_keras as lk

CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>{% endfor %}assistant:"

pytestmark = [
    pytest.mark.usefixtures("warm_check"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.timeout(600),
]


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tokenizer = lk.text.BPETokenizer.train([page_of("prompting.md")], vocab_size=400)
    tokenizer.set_chat_template(CHAT)
    model = lk.models.build_llama(
        tokenizer.vocab_size, max_length=512, hidden_dim=16, num_layers=2, num_heads=2, seed=0, name="small"
    )
    names = run_guide("prompting.md", lm=lk.LanguageModel(model, tokenizer))
    printed = capsys.readouterr().out
    assert "is ready to serve" in printed and (tmp_path / "prompts.png").stat().st_size > 10_000
    assert "user: Review: It moved me to tears.\nIs it positive" in printed
    assert names["near"].classify(names["new"])[0].label in names["verbalizer"].classes
