"""Templates of chats: what transformers makes of them, where they are read from, and what they may not do."""

import hashlib
import json

import pytest
from chats import conversation
from paths import GOLDEN

import lm_keras as lk
from lm_keras import InputError
from lm_keras.text import CHAT_TEMPLATES
from lm_keras.text.tokenizers.chat.budget import SIZE
from lm_keras.text.tokenizers.chat.by_role import ChatByRole

GIVEN = json.loads((GOLDEN / "chat" / "templates.json").read_text(encoding="utf-8"))
OWN = json.loads((GOLDEN / "chat" / "own.json").read_text(encoding="utf-8"))
EXPECTED = json.loads((GOLDEN / "chat" / "expected.json").read_text(encoding="utf-8"))
HELLO = [{"role": "user", "content": "Hello"}]


def with_template(template, tokens=None):
    tokenizer = lk.text.CharTokenizer.train(["Hello"])
    tokenizer.set_chat_template(template, tokens)
    return tokenizer


@pytest.mark.parametrize("name", GIVEN["templates"])
def test_the_text_is_that_of_transformers(name):
    tokenizer = with_template("".join(GIVEN["templates"][name]), GIVEN["tokens"])
    expected = iter(EXPECTED[name])
    for chat in GIVEN["chats"]:
        for prompt in (False, True):
            text = next(expected)
            if text is None:
                with pytest.raises(InputError, match="the chat template does not take these messages"):
                    tokenizer.apply_chat_template(chat, add_generation_prompt=prompt)
            else:
                assert tokenizer.apply_chat_template(chat, add_generation_prompt=prompt) == text


@pytest.mark.parametrize("name", CHAT_TEMPLATES)
def test_our_own_templates_write_in_transformers_what_they_write_here(name):
    def digests(texts):
        return "".join(hashlib.sha256(text.encode()).hexdigest()[:10] for text in texts)

    chats = [conversation(i) for i in range(200)]
    assert digests(map(json.dumps, chats)) == OWN["chats"]
    tokenizer = with_template(CHAT_TEMPLATES[name], GIVEN["tokens"])
    texts = [tokenizer.apply_chat_template(chat, i % 2 == 0) for i, chat in enumerate(chats)]
    assert digests(texts) == OWN[name]


TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi "},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]
WRITTEN = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\n"
    "Hello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    "llama2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST]",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "zephyr": "<|system|>\nBe brief.</s>\n<|user|>\nHi </s>\n<|assistant|>\nHello.</s>\n<|user|>\nBye</s>\n"
    "<|assistant|>\n",
}


@pytest.mark.parametrize("name", CHAT_TEMPLATES)
def test_our_own_templates_write_what_their_makers_describe(name):
    tokenizer = with_template(CHAT_TEMPLATES[name], {"bos_token": "<s>", "eos_token": "</s>"})
    assert tokenizer.apply_chat_template(TALK) == WRITTEN[name]
    takes = ChatByRole(tokenizer)  # so that an export has the signature `chat`
    assert takes.takes_system and takes.encode(TALK) == tokenizer.encode_chat(TALK)
    if name == "llama2":
        with pytest.raises(InputError, match="a system's message is the first one"):
            tokenizer.apply_chat_template([*TALK, TALK[0]])


def test_options_are_variables_of_the_template():
    tokenizer = with_template("{{ tools | tojson }} {{ thinking }} {{ bos_token }}{{ eos_token }}{{ sep_token }}")
    assert tokenizer.apply_chat_template(HELLO, tools=[{"a": 1}], thinking=True) == '[{"a": 1}] True <eos><eos>'
    assert len(with_template("{{ strftime_now('%d %b %Y') }}").apply_chat_template(HELLO)) == 11


def test_the_callers_messages_stay_as_they_are():
    chat = [{"role": "user", "content": "a", "name": None}]
    assert with_template("{% if 'name' in messages[0] %}1{% endif %}").apply_chat_template(chat) == ""
    assert chat == [{"role": "user", "content": "a", "name": None}]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("Hello", "messages is 'Hello'; give a list"),
        (HELLO[0], "give a list"),
        (iter(HELLO), "give a list"),
        (["Hello"], "message 0 is 'Hello'; give {'role'"),
        ([{"content": "Hello"}], "message 0 is"),
        ([{"role": 1, "content": "Hello"}], "message 0 is"),
        ([{"role": "user", "content": object()}], "cannot be given to a chat template"),
        ([{"role": "user"}], "has no attribute 'content'"),
        ([{"role": "user", "content": 3}], "does not take these messages"),
    ],
)
def test_what_are_no_messages(messages, message):
    tokenizer = with_template("{% for m in messages %}{{ m.role + m.content }}{% endfor %}")
    for call in (tokenizer.apply_chat_template, tokenizer.encode_chat):
        with pytest.raises(InputError, match=message):
            call(messages)


def test_what_is_no_template():
    tokenizer = with_template("{% for x in y")
    with pytest.raises(InputError, match="does not take these messages .unexpected end of template"):
        tokenizer.apply_chat_template(HELLO)
    for template, tokens in ((3, None), ("", 3), ("", {"bos_token": 1})):
        with pytest.raises(InputError, match="chat_(template|tokens) is .*; give "):
            tokenizer.set_chat_template(template, tokens)
    tokenizer.chat_template = None
    for call in (tokenizer.apply_chat_template, tokenizer.encode_chat, tokenizer.chat_pieces):
        with pytest.raises(InputError, match="has no chat template"):
            call(HELLO)


# === A template of a stranger ===
LOOP = "{% for i in range(99) %}"
REACHES = [
    "''.__class__.__mro__[1].__subclasses__()",
    "cycler.__init__.__globals__",
    "strftime_now.__globals__['os']",
    "raise_exception.__globals__.os",
    "messages | attr('__class__')",
    "namespace.__init__.__globals__",
    "self.__init__.__globals__",
    "'{0.__class__.__init__}'.format_map({'0': 1})",
    "messages.append(1)",
    "messages[0].update(a=1)",
    "messages[0].pop('role')",
    "environment()",
    "namespace(__class__=1)",
]
LARGE = [
    "{{ 'a' * 10 ** 10 }}",
    "{{ (10 ** 9) ** (10 ** 9) }}",
    "{{ 10 ** 10 * ['a'] }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% if 0 %}x{% endif %}{% endfor %}{% endfor %}",
    "{% for i in range(10 ** 9) %}{% endfor %}",
    f"{{% set n = namespace(x='aaaa') %}}{LOOP}{{% set n.x = n.x + n.x %}}{{% endfor %}}",
    f"{{% set n = namespace(x='aaaa') %}}{LOOP}{{% set n.x = n.x ~ n.x %}}{{% endfor %}}",
    f"{{% set n = namespace(x='aaaa') %}}{LOOP}{{% set n.x %}}{{{{ n.x }}}}{{{{ n.x }}}}{{% endset %}}{{% endfor %}}",
    f"{{% set n = namespace(x=0) %}}{LOOP}{{% set n.x = [n.x, n.x] %}}{{% endfor %}}{{{{ n.x }}}}",
    f"{{% set n = namespace(x=0) %}}{LOOP}{{% set n.x = {{1: n.x, 2: n.x}} %}}{{% endfor %}}{{{{ n.x | tojson }}}}",
    f"{{% set n = namespace(x=0) %}}{LOOP}{{% set n.x = dict(a=n.x, b=n.x) %}}{{% endfor %}}{{{{ n.x == n.x }}}}",
    f"{{% set n = namespace(x=0) %}}{LOOP}{{% set n.x = (n.x, n.x) %}}{{% endfor %}}{{{{ n.x | string }}}}",
    f"{{% set n = namespace() %}}{LOOP}{{% set n.x = namespace(a=n, b=n) %}}{{% endfor %}}{{{{ n }}}}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(100) }}",
    "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% for m in messages recursive %}{{ loop(messages) }}{{ loop(messages) }}{% endfor %}",
    "{{ 'x' | center(10 ** 9) }}",
    "{{ 'x'.center(10 ** 9) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{:{}}'.format(1, 1000000000) }}",
    "{{ ('{0}' * 99999).format('x' * 99999) }}",
    "{{ lipsum(10 ** 9) }}",
    "{{ (5).to_bytes(10 ** 9, 'big') }}",
    "{{ ('a' * 999999).replace('a', 'b' * 999999) }}",
    "{{ ('a' * 999999) | replace('a', 'b' * 999999) }}",
    "{{ ('b' * 999999).join(['a'] * 99999) }}",
    "{{ (['a'] * 99999) | join('b' * 999999) }}",
    "{{ ('\n' * 999999) | indent(999999) }}",
    "{{ ('\n' * 999999) | indent('x' * 999999) }}",
    "{{ [[[1]]] | tojson(indent=999999999) }}",
    "{{ 1.5 | round(10 ** 9, 'ceil') }}",
    "{{ strftime_now('%1000000000d') }}",
    "{{ range(99999) | map('string') | map('replace', '1', 'x' * 99999) | list }}",
    "{% set x %}{% for i in range(99999) %}" + "x" * 9999 + "{% endfor %}{% endset %}",
    "{% for i in range(99999) %}" + "x" * 9999 + "{% endfor %}",
    "x" * 300_000,
    "{{ " + "-" * 100_000 + "1 }}",
    "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
]


@pytest.mark.parametrize("expression", REACHES)
def test_a_template_does_not_reach_the_system(expression):
    with pytest.raises(InputError, match="the chat template (is stopped|does not take)"):
        with_template("{{ " + expression + " }}").apply_chat_template(HELLO)


@pytest.mark.parametrize("name", ["messages", "raise_exception", "namespace", "joiner()", "loop"])
def test_attributes_of_python_are_nothing(name):
    template = "{% for m in messages %}{{ " + name + ".__class__ }}{% endfor %}"
    assert with_template(template).apply_chat_template(HELLO) == ""


@pytest.mark.parametrize("template", LARGE, ids=range(len(LARGE)))
def test_a_template_does_not_take_all_time_or_memory(template):
    """Without the bounds these run for days, or make gigabytes."""
    with pytest.raises(InputError, match="the chat template (is stopped|does not take)") as caught:
        with_template(template).apply_chat_template(HELLO)
    assert str(caught.value).isprintable()


def test_a_long_chat_is_no_large_template():
    template = "".join(GIVEN["templates"]["llama3"])
    chat = [{"role": "user", "content": "word " * 20_000}, {"role": "assistant", "content": "yes"}] * 20
    assert 3 * len(json.dumps(chat)) > SIZE / 6
    assert len(with_template(template).apply_chat_template(chat)) > 20 * 99_999


# === Where a template comes from ===
def test_a_template_is_kept_in_the_file_and_older_files_have_none(tmp_path):
    tokenizer = lk.text.BPETokenizer.train(["a chat of two"], vocab_size=260)
    assert "chat_template" not in tokenizer.get_config()
    tokenizer.save(tmp_path / "old")
    assert lk.text.load_tokenizer(tmp_path / "old").chat_template is None
    tokenizer.set_chat_template("{{ bos_token }}{{ messages[0].content }}", {"bos_token": "<b>"})
    tokenizer.save(tmp_path / "new")
    loaded = lk.text.load_tokenizer(tmp_path / "new")
    assert loaded.get_config() == tokenizer.get_config()
    assert loaded.apply_chat_template(HELLO) == tokenizer.apply_chat_template(HELLO) == "<b>Hello"
    content = json.loads((tmp_path / "new" / "tokenizer.json").read_text())
    (tmp_path / "new" / "tokenizer.json").write_text(json.dumps(content | {"chat_template": 3}))
    with pytest.raises(InputError, match="chat_template is 3; give a string"):
        lk.text.load_tokenizer(tmp_path / "new")


@pytest.fixture
def checkpoint(tmp_path):
    """The golden Llama's folder, whose tokenizer_config.json is as given."""

    def made(more, jinja=None):
        for path in (GOLDEN / "llama").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        path = tmp_path / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
        if jinja is not None:
            (tmp_path / "chat_template.jinja").write_bytes(jinja)
        return tmp_path

    return made


@pytest.mark.parametrize(
    ("more", "jinja", "text"),
    [
        ({"chat_template": "{{ bos_token }}{{ messages[0].content }}"}, None, "<|begin|>Hello"),
        ({"chat_template": "one"}, "{{ eos_token }}é".encode(), "<|end|>é"),
        ({"chat_template": [{"name": "tool", "template": "a"}, {"name": "default", "template": "b"}]}, None, "b"),
        ({"chat_template": "{{ bos_token }}", "bos_token": {"content": "<|end|>"}}, None, "<|end|>"),
    ],
)
def test_of_a_checkpoint_and_back(checkpoint, tmp_path, more, jinja, text):
    lm = lk.models.load_pretrained(checkpoint(more, jinja))
    assert lm.tokenizer.apply_chat_template(HELLO) == text
    lm.save(tmp_path / "ours")
    assert lk.LanguageModel.load(tmp_path / "ours").tokenizer.apply_chat_template(HELLO) == text
    lk.models.save_pretrained(lm, tmp_path)  # over the file that would come first
    assert lk.models.load_pretrained(tmp_path).tokenizer.apply_chat_template(HELLO) == text


@pytest.mark.parametrize(
    "more, jinja", [({"chat_template": 3}, None), ({}, b"\xff"), ({"chat_template": [3, {"name": []}]}, None)]
)
def test_a_damaged_template_of_a_checkpoint(checkpoint, more, jinja):
    if isinstance(more.get("chat_template"), list):
        assert lk.models.load_pretrained(checkpoint(more)).tokenizer.chat_template is None
        return
    with pytest.raises(InputError, match=r"(chat_template is 3|cannot be read as UTF-8).*tokenizer=False"):
        lk.models.load_pretrained(checkpoint(more, jinja))


def test_a_template_of_many_bytes_is_not_read(checkpoint):
    folder = checkpoint({}, b"")
    with (folder / "chat_template.jinja").open("wb") as file:
        file.truncate(2**28)
    with pytest.raises(InputError, match="chat_template.jinja cannot be read .*more than 128 MB"):
        lk.models.load_pretrained(folder)
