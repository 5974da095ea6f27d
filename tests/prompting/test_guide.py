"""The code of docs/prompting.md runs from top to bottom, with a small model in the place of the pretrained one."""

import re

import pytest
from paths import ROOT

import lm_keras as lk

PAGE = (ROOT / "docs" / "prompting.md").read_text(encoding="utf-8")
FETCHED = 'lm = lk.models.load_pretrained("smollm2-135m-instruct")\n'
CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>{% endfor %}assistant:"

pytestmark = [
    pytest.mark.usefixtures("warm_check"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.timeout(600),
]


def test_the_code_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 12 and FETCHED in blocks[0]
    tokenizer = lk.text.BPETokenizer.train([PAGE], vocab_size=400)
    tokenizer.set_chat_template(CHAT)
    model = lk.models.build_llama(
        tokenizer.vocab_size, max_length=512, hidden_dim=16, num_layers=2, num_heads=2, seed=0, name="small"
    )
    code = "\n".join(blocks).replace(FETCHED, "")
    assert "load_pretrained" not in code  # nothing is fetched
    names = {"lm": lk.LanguageModel(model, tokenizer)}
    exec(compile(code, "docs/prompting.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "is ready to serve" in printed and (tmp_path / "prompts.png").stat().st_size > 10_000
    assert "user: Review: It moved me to tears.\nIs it positive" in printed
    assert names["near"].classify(names["new"])[0].label in names["verbalizer"].classes
