"""The signature `chat`: what a server answers equals LanguageModel.chat, and each row depends on itself alone."""

import json
from pathlib import Path

import pytest
import tensorflow as tf
from chats import CHATML, chat_tokenizer, conversation, message
from learned import KINDS, changed
from small_models import tiny_lm

import lm_keras as lk
from lm_keras import InputError
from lm_keras.serving.export.chat import chat_answers
from lm_keras.text.tokenizers.chat.by_role import ChatByRole
from lm_keras.text.tokenizers.chat.joined import joined, parted

SPOKEN = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}assistant:"  # without any mark
LLAMA2 = (
    "{% set s = '' %}{% if messages[0].role == 'system' %}"
    "{% set s = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>' %}"
    "{% set messages = messages[1:] %}{% endif %}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '<|im_start|>[INST] ' + (s if loop.first else '') + m.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' <|im_end|>' }}{% endif %}{% endfor %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
TEMPLATES = {"chatml": CHATML, "spoken": SPOKEN, "llama2": LLAMA2, "no system": NO_SYSTEM}
# What is no chat: it has an empty reply.
NO_CHATS = [
    *("", "user", "user\x1f", "\x1e", "\x1f", "user\x1fa\x1e", "\x1euser\x1fa", "assistant\x1fa", "system\x1fa"),
    *("user\x1fa\x1fb", "User\x1fa", "user\x1fa\x1euser\x1fb", "user\x1fa\x1eassistant\x1fb", "tool\x1fa"),
    *("system\x1fa\x1eassistant\x1fb", "user\x1fa\x1esystem\x1fb\x1euser\x1fc", "user \x1fa", "a" * 50),
]
OPTIONS = ("max_new_tokens", "temperature", "top_k", "top_p", "seed")


def rows_of(messages):
    """Requests with options of their own a row: every third is greedy."""
    return {
        "messages": messages,
        "max_new_tokens": [3 + i % 5 for i in range(len(messages))],
        "temperature": [float(i % 3) / 2 for i in range(len(messages))],
        "top_k": [(0, 7)[i % 2] for i in range(len(messages))],
        "top_p": [(1.0, 0.9)[i % 2] for i in range(len(messages))],
        "seed": list(range(len(messages))),
    }


def same(answer, expected):
    assert [text.decode() for text in answer["reply"].numpy()] == expected["reply"]
    assert answer["num_new_tokens"].numpy().tolist() == expected["num_new_tokens"]
    assert answer["log_prob"].numpy() == pytest.approx(expected["log_prob"], rel=1e-4, abs=1e-4)


# === The ids ===
@pytest.mark.parametrize("name", TEMPLATES)
def test_the_ids_in_a_graph_are_those_of_encode_chat(name):
    tokenizer = chat_tokenizer(TEMPLATES[name])
    by_role = ChatByRole(tokenizer)
    assert by_role.takes_system == (name != "no system")
    chats = [conversation(i, system=None if by_role.takes_system else False) for i in range(40)]
    for chat in chats:
        assert by_role.encode(chat) == tokenizer.encode_chat(chat)
    contents = [m["content"] for chat in chats for m in chat]
    kinds = []
    for chat in chats:
        roles = ["", *(m["role"] for m in chat)]
        order = [("", "system"), ("", "user"), ("system", "user"), ("user", "assistant"), ("assistant", "user")]
        kinds += [order.index(pair) for pair in zip(roles, roles[1:], strict=False)]
    rows = [i for i, chat in enumerate(chats) for _ in chat]
    ids = by_role.tf_encode(
        tf.constant(contents), tf.constant(kinds), tf.constant(rows, tf.int64), tf.constant(40, tf.int64)
    )
    assert ids.to_list() == [tokenizer.encode_chat(chat) for chat in chats]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "no chat template"),
        ("{{ strftime_now('%d') }}" + CHATML, "writes the date of today"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "changes the contents"),
        ("{{ messages[-1].content }}", "does not write system, user once each"),
        ("{{ messages | length }}" + CHATML, "does not always write the same between no message and"),
        ("{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}", "does not always write the same"),
        ("{% for m in messages %}{% if m.content %}a{{ m.content }}{% endif %}{% endfor %}", "around the contents"),
        ("{% for m in messages %}{{ m.content.split('</think>')[-1] }}|{% endfor %}", "around the contents"),
    ],
)
def test_templates_that_have_no_constant_pieces_are_refused_by_name(template, said):
    lm = tiny_lm("gru", chat_tokenizer(template))
    assert "chat" not in lm.signatures().signatures
    with pytest.raises(InputError, match=f"there can be no signature chat: .*{said}"):
        lm.signatures(chat=True)
    assert "chat" not in lm.signatures(chat=False).signatures


def test_where_the_signature_is(tmp_path):
    lm = tiny_lm("gru", chat_tokenizer())
    assert "chat" in lm.signatures().signatures
    assert "chat" not in lm.signatures(chat=False).signatures
    assert "chat" not in lm.with_prompt("a").signatures().signatures
    with pytest.raises(InputError, match="no signature chat: .*a prompt of text"):
        lk.export(lm.with_prompt("a"), tmp_path / "lm", chat=True)
    with pytest.raises(InputError, match="chat is 3"):
        lk.export(lm, tmp_path / "lm", chat=3)


# === The string of a chat ===
def test_messages_as_one_string():
    chat = [message("system", "a\x1e\x1fb"), message("user", "")]
    assert joined(chat) == "system\x1fab\x1euser\x1f"
    assert parted(joined(chat)) == [message("system", "ab"), message("user", "")]
    for i in range(30):
        assert parted(joined(conversation(i))) == conversation(i)
    assert [parted(text) for text in NO_CHATS if text != "user\x1f"] == [None] * (len(NO_CHATS) - 1)
    for wrong in ("Hi", [], ["Hi"], [{"role": "user"}], [message("user", "a")] * 2, [message("tool", "a")], 3):
        with pytest.raises(InputError, match="messages is|message 0 is|messages are of .*; give a system's message"):
            joined(wrong)


# === The answers ===
@pytest.fixture(scope="module")
def lm():
    return tiny_lm("llama", chat_tokenizer(), 0.4, max_length=96)


@pytest.fixture(scope="module")
def chats():
    return [joined(conversation(i)) for i in range(12)] + [joined(conversation(9, turns)) for turns in (8, 20)]


@pytest.mark.parametrize("name", ["llama", "gru", "learned", "spoken"])
def test_the_signature_answers_as_python_does(name, chats, lm):
    if name == "gru":
        lm = tiny_lm("gru", chat_tokenizer(), 0.5)
    if name == "learned":
        lm = lm.with_prompt(changed(KINDS["state"](lm, num_tokens=3), 2.0).learned)
    if name == "spoken":
        lm = tiny_lm("llama", chat_tokenizer(SPOKEN), 0.4, max_length=96)
    inputs = rows_of([*chats, *NO_CHATS, joined([message("user", "some turns " * 60)])])
    expected = chat_answers(lm, inputs)
    answered = [bool(parted(text)) for text in inputs["messages"]]
    assert sum(n > 0 for n in expected["num_new_tokens"]) > 10 and sum(answered) > 14
    chat = lm.signatures(max_new_tokens_limit=8).signatures["chat"]
    same(chat(*(tf.constant(values) for values in inputs.values())), expected)
    for i in (3, 13, 20):  # alone
        same(
            chat(*(tf.constant(values[i : i + 1]) for values in inputs.values())),
            {k: v[i : i + 1] for k, v in expected.items()},
        )
    some = {key: values[2:9] for key, values in inputs.items()}
    same(chat(*(tf.constant(values) for values in some.values())), {k: v[2:9] for k, v in expected.items()})


def test_odd_rows(lm):
    chat = lm.signatures(max_new_tokens_limit=8).signatures["chat"]
    texts = [b"user\x1f\xff\xfe", b"\xffuser\x1fa", b"user\x1fa", b"user\x1f\x00a"]
    inputs = rows_of(texts)
    inputs["max_new_tokens"], inputs["temperature"] = [-3, 4, 2**31 - 1, 4], [0.0, 0.0, float("nan"), -1.0]
    made = chat(*(tf.constant(values) for values in inputs.values()))
    assert made["num_new_tokens"].numpy()[:2].tolist() == [0, 0] and made["num_new_tokens"].numpy()[2] <= 8
    expected = lm.chat([message("user", "\x00a")], max_new_tokens=4, temperature=0)
    assert made["reply"].numpy()[3].decode() == expected.text
    bad = lm.chat([message("user", "\ufffd\ufffd")], max_new_tokens=4, temperature=0)
    inputs["max_new_tokens"] = [4] * 4
    assert chat(*(tf.constant(values) for values in inputs.values()))["reply"].numpy()[0].decode() == bad.text


@pytest.mark.usefixtures("warm_check")
def test_an_export_that_chats_passes_the_check(lm, chats, tmp_path):
    version = lk.export(lm, tmp_path / "lm", max_new_tokens_limit=8, num_beams=2, max_text_bytes=3000)
    card = json.loads(Path(version, "assets.extra", "model_card.json").read_text())
    assert card["signatures"] == ["score", "generate", "sample", "beam", "chat"]
    long = joined([message("system", "a"), message("user", "b" * 3000)])  # nothing of it is read
    inputs = rows_of([*chats[:6], long, "user"])
    expected = chat_answers(lm, inputs)
    expected = {name: [*values[:-2], *values[-1:] * 2] for name, values in expected.items()}
    assert lk.check(version, [{"signature": "chat", "inputs": inputs, "outputs": expected}]) == []
