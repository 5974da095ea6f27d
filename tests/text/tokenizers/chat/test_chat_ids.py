"""Token ids of chats: a mark is what the template writes, and never what a user has typed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import GOLDEN

import lm_keras as lk
from lm_keras import InputError
from lm_keras.text import Content

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "<|user|>"]
GIVEN = json.loads((GOLDEN / "chat" / "templates.json").read_text(encoding="utf-8"))
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STRIPS = "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content | trim }}<|im_end|> {% endfor %}<s>"
ROLES = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.name + m.content }}<|im_{{ 'end|>' }}{% endfor %}"
# What a user may type: marks, their parts, and the characters with which they are told apart.
TYPED = st.lists(
    st.sampled_from(
        [*SPECIAL, *"<|im_start|>", "<|im_", "start|>", "|>", "<|", "user", "im_end", " ", "\n", "a", "é", "é北", '"']
        + ["\U0010fff0", "\U0010fff1", "\U0010fff2", "\U0010fff0<|im_end|>\U0010fff1", "{{ 1 }}", "\u2003"]
    ),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module")
def tokenizer():
    trained = lk.text.BPETokenizer.train(
        ["some turns of a chat, user and assistant, and so on\n"] * 3, vocab_size=300
    )
    tokens = [*SPECIAL, *(token for token in trained.tokens if token not in SPECIAL)]
    return lk.text.BPETokenizer(tokens, merges=trained.merges, special_tokens=SPECIAL)


def written(tokenizer, ids):
    """The rendered text of ids: runs of text decoded together, marks by name."""
    names, made, run = {i: token for token, i in tokenizer.special_tokens.items()}, "", []
    for i in [*ids, None]:
        if i is None or i in names:
            made += tokenizer.decode(run) + ("" if i is None else names[i])
            run = []
        else:
            run.append(i)
    return made


def plain(text):
    """A user's text without the three characters that are replaced."""
    return "".join("\ufffd" if "\U0010fff0" <= c <= "\U0010fff2" else c for c in text)


@pytest.mark.parametrize("template", [CHATML, STRIPS, ROLES])
@given(contents=st.lists(TYPED, min_size=1, max_size=3), name=TYPED)
def test_marks_are_those_of_the_template(tokenizer, template, contents, name):
    tokenizer.chat_template = template
    chat = [{"role": "user", "content": content, "name": name} for content in contents]
    ids = tokenizer.encode_chat(chat)
    harmless = [{"role": "user", "content": "x", "name": "x"} for _ in contents]
    marks = [i for i in ids if i in tokenizer.special_ids]
    assert marks == [i for i in tokenizer.encode_chat(harmless) if i in tokenizer.special_ids]
    rendered = tokenizer.apply_chat_template([{k: plain(v) for k, v in message.items()} for message in chat])
    assert written(tokenizer, ids) == rendered


def test_the_ids_are_those_of_the_text_between_the_marks(tokenizer):
    tokenizer.chat_template = CHATML
    start, end = (tokenizer.special_tokens[name] for name in SPECIAL[1:3])
    ids = tokenizer.encode_chat([{"role": "user", "content": "so <|im_end|> on"}])
    assert ids == [
        *(start, *tokenizer.encode("user\nso <|im_end|> on"), end, *tokenizer.encode("\n")),
        *(start, *tokenizer.encode("assistant\n")),
    ]
    assert tokenizer.encode_chat([], add_generation_prompt=False) == []


def test_contents_are_lists_too(tokenizer):
    tokenizer.chat_template = (
        "{% for m in messages %}{% for part in m.content %}{{ part.text }}<s>{% endfor %}{% endfor %}"
    )
    mark = tokenizer.special_tokens["<s>"]
    ids = tokenizer.encode_chat([{"role": "user", "content": [{"text": "<s>"}, {"text": "a"}]}])
    assert ids == [*tokenizer.encode("<s>"), mark, *tokenizer.encode("a"), mark]


# === The pieces around the contents ===
def test_pieces(tokenizer):
    start, end, last = (tokenizer.special_tokens[name] for name in SPECIAL[1:4])
    chat = [{"role": "system", "content": "<s>"}, {"role": "user", "content": ""}]
    tokenizer.chat_template = CHATML
    assert tokenizer.chat_pieces(chat) == [
        *(start, "system\n", Content(0), end, "\n", start, "user\n", Content(1), end, "\n", start, "assistant\n")
    ]
    tokenizer.chat_template = STRIPS
    first = [start, "system ", Content(0, lstrip=True, rstrip=True), end, " "]
    assert tokenizer.chat_pieces(chat, False) == [*first, start, "user ", Content(1, True, True), end, " ", last]
    assert Content(0).cut(" a ") == " a " and Content(0, True, True).cut(" a ") == "a"
    assert (Content(0, lstrip=True).cut(" a "), Content(0, rstrip=True).cut(" a ")) == ("a ", " a")


@pytest.mark.parametrize(
    "template", [CHATML, STRIPS, *("".join(GIVEN["templates"][n]) for n in ("smollm2", "llama3"))]
)
@given(contents=st.lists(TYPED, min_size=1, max_size=3))
def test_pieces_and_contents_are_the_chat(tokenizer, template, contents):
    tokenizer.set_chat_template(template, {"bos_token": "<s>"})
    chat = [{"role": "user", "content": content} for content in contents]
    names, made = {i: token for token, i in tokenizer.special_tokens.items()}, ""
    for piece in tokenizer.chat_pieces(chat):
        made += (
            piece.cut(contents[piece.index])
            if isinstance(piece, Content)
            else piece
            if isinstance(piece, str)
            else names[piece]
        )
    assert made == tokenizer.apply_chat_template(chat)
    tokenizer.set_chat_template(None)


@pytest.mark.parametrize(
    "content", ["m.content | upper", "m.content[:5]", "m.content | tojson", "m.content.lstrip('\n')", "m.content | e"]
)
def test_a_template_that_changes_contents_has_no_pieces(tokenizer, content):
    tokenizer.chat_template = "{% for m in messages %}{{ " + content + " }}{% endfor %}"
    with pytest.raises(InputError, match="changes the contents of messages, so it has no constant pieces"):
        tokenizer.chat_pieces([{"role": "user", "content": "Hello"}])
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}])
    with pytest.raises(InputError, match="message 0 has no content that is a text"):
        tokenizer.chat_pieces([{"role": "user"}])


PARTS = (
    "{% for m in messages %}{% for part in m.content %}"
    "{% if part.type == 'text' %}{{ part.text }}<|im_end|>{% endif %}{% endfor %}{% endfor %}"
)


def test_the_kind_of_a_part_is_no_part_of_a_mark(tokenizer):
    """The word "text" stands within "<|endoftext|>", and a template compares it."""
    tokenizer.chat_template = PARTS
    chat = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    assert written(tokenizer, tokenizer.encode_chat(chat)) == tokenizer.apply_chat_template(chat) == "Hello<|im_end|>"


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ([{"role": "<|im_end|>"}], {}),
        ([{"type": "<|im_end|>"}], {}),
        ([{"<|im_end|>": 1}], {}),
        ("", {"documents": [{"text": "<|im_end|>"}]}),
        ("", {"documents": ("<|im_end|>",)}),
        ("", {"documents": "<|im_end|>"}),
    ],
)
def test_a_mark_in_any_text_that_is_given_is_text(tokenizer, content, options):
    tokenizer.chat_template = "{{ messages[0].content | tojson }}{{ documents | tojson }}<|im_start|>"
    ids = tokenizer.encode_chat([{"role": "user", "content": content}], **options)
    assert [i for i in ids if i in tokenizer.special_tokens.values()] == [tokenizer.special_tokens["<|im_start|>"]]


def test_a_mark_in_a_role_is_text(tokenizer):
    tokenizer.chat_template = CHATML
    ids = tokenizer.encode_chat([{"role": "user<|im_end|>", "content": ""}], add_generation_prompt=False)
    assert ids.count(tokenizer.special_tokens["<|im_end|>"]) == 1
