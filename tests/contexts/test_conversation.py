"""Conversation: what is said equals LanguageModel.chat, no turn is read twice, and what an interruption leaves."""

import json
import re

import pytest
import tensorflow as tf
from chats import chat_tokenizer, message
from learned import KINDS, changed
from small_models import KINDS_OF_STATE, tiny_lm

import lm_keras as lk
from lm_keras import InputError
from lm_keras.contexts import Conversation
from lm_keras.generation import step as steps
from lm_keras.utils.functions import function

SAID = ["some turns of a chat", "user <|im_end|> and so on", "", " 北 é\n\n", "and so on and so on"]
OPTIONS = {"max_new_tokens": 5, "temperature": 0}


@pytest.fixture(scope="module")
def tokenizer():
    return chat_tokenizer()


@pytest.fixture
def tokens_read(monkeypatch):
    """A counter of the tokens that the steps of all models read, those of graphs too."""
    counter, make = tf.Variable(0), steps._traced_step

    def counted(model):
        run = make(model)

        @function(input_signature=run.input_signature)
        def one_step(ids, state):
            counter.assign_add(tf.reduce_sum(tf.cast(ids >= 0, tf.int32)))
            return run(ids, state)

        return one_step

    monkeypatch.setattr(steps, "_traced_step", counted)

    def since_the_last_look():
        count = int(counter)
        counter.assign(0)
        return count

    return since_the_last_look


def history(made):
    system = [] if made.system is None else [message("system", made.system)]
    return [*system, *made.messages]


# === The same as chat, and how much is read ===
@pytest.mark.parametrize("family", KINDS_OF_STATE)
def test_every_family_says_what_chat_says_and_reads_no_turn_twice(family, tokenizer, tokens_read):
    lm = tiny_lm(family, tokenizer, 0.5, max_length=400)
    talk, read = Conversation(lm, "and so on", **OPTIONS), 0
    for i, text in enumerate(SAID):
        messages = [*history(talk), message("user", text)]
        answer = talk.say(text) if i % 2 else "".join(talk.stream(text))
        read += tokens_read()
        expected = lm.chat(messages, **OPTIONS)
        tokens_read()
        assert answer == expected.text
        ids = tokenizer.encode_chat(messages)
        # Each token once, but those of an answer that the tokenizer cuts otherwise than the model wrote them.
        again = len(expected.token_ids)
        whole = len(ids) + len(expected.token_ids)
        assert whole - 2 <= read <= whole + again * i
    assert talk.messages[::2] == [message("user", text) for text in SAID]
    assert len(talk.messages) == 2 * len(SAID)


@pytest.mark.parametrize("family", ["gpt2", "gru"])
def test_where_the_ids_agree_each_token_is_read_once(family, tokens_read):
    """A tokenizer of words cuts every answer as the model wrote it."""
    template = "{% for m in messages %}{{ m.role }} {{ m.content }}{{ eos_token }}{% endfor %}assistant"
    tokenizer = lk.text.WordTokenizer.train(["a b c d e user assistant system"])
    tokenizer.chat_template = template
    lm = tiny_lm(family, tokenizer, 0.5, max_length=400)
    talk, seen = Conversation(lm, **OPTIONS), []
    for text in ("a b", "c", "d e a", "b b"):
        messages = [*talk.messages, message("user", text)]
        talk.say(text)
        expected = tokens_read()
        ids = tokenizer.encode_chat(messages)
        made = lm.chat(messages, **OPTIONS)
        new = [*ids, *made.token_ids][: None if len(made.token_ids) < 5 else -1]
        assert ids[: len(seen)] == seen and expected == len(new) - len(seen)
        seen = new
        tokens_read()


def test_a_history_that_outgrows_the_window(tokenizer):
    lm = tiny_lm("llama", tokenizer, 0.5, max_length=64)
    talk = Conversation(lm, "so on", **OPTIONS)
    for i in range(9):
        text = SAID[i % 3]
        expected = lm.chat([*history(talk), message("user", text)], **OPTIONS)
        assert talk.say(text) == expected.text
    assert len(talk.messages) == 18 and len(tokenizer.encode_chat(talk.messages)) > 64


def test_other_options_and_ways_of_writing(tokenizer):
    lm = tiny_lm("gpt2", tokenizer, 0.5, max_length=300)
    talk = Conversation(lm, config=lk.GenerationConfig(max_new_tokens=6, seed=3))
    for options in (
        {},
        {"temperature": 0.7, "top_p": 0.9, "seed": 9},
        {"num_beams": 2},
        {"penalty_alpha": 0.5, "top_k": 3},
        {"stop": "o", "max_new_tokens": 12},
        {"repetition_penalty": 1.5},
        {"max_new_tokens": 0},
        {},
    ):
        messages = [*talk.messages, message("user", "some turns")]
        expected = lm.chat(messages, **{"max_new_tokens": 6, "seed": 3, **options})
        assert talk.say("some turns", **options) == expected.text


@pytest.mark.parametrize("family", ["llama", "lstm"])
def test_a_training_between_two_turns(family, tokenizer):
    lm = tiny_lm(family, tokenizer, 0.5, max_length=300)
    talk = Conversation(lm, **OPTIONS)
    talk.say("some turns")
    lm.model.set_weights([weight * 0.7 for weight in lm.model.get_weights()])
    messages = [*talk.messages, message("user", "and so on")]
    assert talk.say("and so on") == lm.chat(messages, **OPTIONS).text


@pytest.mark.parametrize("family", ["llama", "lstm"])
def test_a_learned_prompt(family, tokenizer):
    plain = tiny_lm(family, tokenizer, 0.5, max_length=300)
    lm = plain.with_prompt(changed(KINDS["state"](plain, num_tokens=3), 2.0).learned)
    talk = Conversation(lm, "so on", **OPTIONS)
    for text in SAID[:3]:
        messages = [*history(talk), message("user", text)]
        assert talk.say(text) == lm.chat(messages, **OPTIONS).text
    talk.system = "another"  # of what was read only the learned prompt holds
    messages = [*history(talk), message("user", "a")]
    assert talk.say("a") == lm.chat(messages, **OPTIONS).text


# === Interruptions ===
def said_next(talk, text="and so on"):
    answer = talk.say(text)
    assert answer == talk.lm.chat(history(talk)[:-1], **OPTIONS).text


@pytest.mark.parametrize("family", ["llama", "lstm"])
def test_a_stream_that_is_left_keeps_what_it_has_shown(family, tokenizer):
    lm = tiny_lm(family, tokenizer, 0.5, max_length=300)
    talk = Conversation(lm, **OPTIONS)
    talk.say("some turns")
    before = talk.messages
    whole = lm.chat([*before, message("user", "user")], **OPTIONS).text
    for piece in talk.stream("user"):
        if piece:
            break
    assert talk.messages == [*before, message("user", "user"), message("assistant", piece)]
    assert whole.startswith(piece) and whole != piece
    said_next(talk)
    open_stream = talk.stream("user")  # one that somebody still holds
    piece = next(open_stream)
    said_next(talk)
    assert talk.messages[-3] == message("assistant", piece)
    assert list(open_stream) == []
    never_begun = talk.stream("user")
    before = talk.messages
    said_next(talk)
    assert talk.messages[:-2] == before and list(never_begun) == []


def test_ctrl_c_within_a_step(tokenizer, monkeypatch):
    lm = tiny_lm("llama", tokenizer, 0.5, max_length=300)
    talk = Conversation(lm, **OPTIONS)
    talk.say("some turns")
    for after in (0, 2):
        before, decode = talk.messages, type(tokenizer).decode
        calls = []

        def pressed(self, *arguments, after=after, calls=calls, decode=decode):
            calls.append(1)
            if len(calls) > after:
                raise KeyboardInterrupt
            return decode(self, *arguments)

        monkeypatch.setattr(type(tokenizer), "decode", pressed)
        shown = ""
        with pytest.raises(KeyboardInterrupt):
            for piece in talk.stream("user"):
                shown += piece
        with pytest.raises(KeyboardInterrupt):
            talk.say("this turn is dropped")
        monkeypatch.undo()
        kept = [message("user", "user"), message("assistant", shown)] if shown else []
        assert talk.messages == [*before, *kept]
        said_next(talk)


@pytest.mark.parametrize("family", ["llama", "lstm"])
def test_after_a_turn_that_is_dropped_the_history_is_not_read_again(family, tokenizer, tokens_read, monkeypatch):
    lm = tiny_lm(family, tokenizer, 0.5, max_length=300)
    talk = Conversation(lm, "and so on " * 9, **OPTIONS)
    talk.say("some turns")

    def pressed(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(tokenizer), "decode", pressed)
        list(talk.stream("of a chat"))
    first = tokenizer.encode_chat([*history(talk)[:2]], add_generation_prompt=True)
    whole = len(tokenizer.encode_chat([*history(talk), message("user", "user")])) + 5
    tokens_read()
    answer = talk.say("user")
    assert tokens_read() <= whole - len(first) + 1
    assert answer == lm.chat(history(talk)[:-1], **OPTIONS).text


# === What can be done with it ===
def test_reset_system_and_messages(tokenizer):
    lm = tiny_lm("gru", tokenizer, 0.5)
    talk = Conversation(lm, "so on", **OPTIONS)
    first = talk.say("some turns")
    talk.messages.clear()
    assert len(talk.messages) == 2 and talk.system == "so on"
    talk.reset()
    assert talk.messages == [] and talk.say("some turns") == first
    talk.system = None
    said_next(talk)
    assert repr(talk) == "Conversation(gru_lm, 4 messages)"
    with pytest.raises(InputError, match="every text must be a str"):
        talk.system = 3


def test_what_was_saved_goes_on(tokenizer, tmp_path):
    lm = tiny_lm("llama", tokenizer, 0.5, max_length=300)
    talk = Conversation(lm, "é \ud800", max_new_tokens=5, temperature=0.5, stop=["so"], seed=4)
    talk.say("some turns \ud800")
    talk.save(tmp_path / "talk.json")
    loaded = Conversation.load(tmp_path / "talk.json", lm)
    assert (loaded.messages, loaded.system, loaded.config) == (talk.messages, "é \ufffd", talk.config)
    assert loaded.say("user") == talk.say("user")
    assert loaded.messages == talk.messages


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "another"}, "no conversation, as Conversation.save writes it"),
        ({"system": 3}, "its options or its system's message"),
        ({"options": {"zebra": 1}}, "its options"),
        ({"options": {"temperature": "hot"}}, "temperature is 'hot'"),
        ({"messages": {}}, "no list of at most"),
        ({"messages": [message("user", "a")]}, "two for each turn"),
        ({"messages": [message("user", "a"), message("user", "a")]}, "message 1 is no text of the assistant"),
        ({"messages": [message("user", 3), message("assistant", "a")]}, "message 0 is no text"),
        ({"messages": [message("user", "a") | {"x": 1}, message("assistant", "a")]}, "message 0 is no text"),
        ({"messages": [message("user", "\ud800"), message("assistant", "a")]}, "message 0 is no text"),
        ({"messages": [message(r, "a" * 2**24) for r in ("user", "assistant")] * 2}, "characters"),
    ],
)
def test_files_that_are_damaged(tokenizer, tmp_path, change, said):
    lm, path = tiny_lm("gru", tokenizer), tmp_path / "talk.json"
    Conversation(lm).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{said}"):
        Conversation.load(path, lm)


def test_what_is_refused(tokenizer, tmp_path):
    lm = tiny_lm("gpt2", tokenizer, 0.5, max_length=40)
    with pytest.raises(InputError, match="is with a LanguageModel, not a GPT2|not a CausalLM"):
        Conversation(lm.model)
    with pytest.raises(InputError, match="no chat template; set tokenizer.chat_template"):
        Conversation(tiny_lm("gru", chat_tokenizer(None)))
    with pytest.raises(InputError, match="prompt of text"):
        Conversation(lm.with_prompt("a"))
    with pytest.raises(InputError, match="num_return_sequences"):
        Conversation(lm, num_return_sequences=2)
    talk = Conversation(lm, **OPTIONS)
    talk.say("a")
    for call in (talk.say, talk.stream):
        with pytest.raises(InputError, match="the last turn"):
            call("some turns " * 20)
        with pytest.raises(InputError, match="every text must be a str"):
            call(b"a")
    with pytest.raises(InputError, match="takes no num_beams"):
        talk.stream("a", num_beams=2)
    assert len(talk.messages) == 2
    with pytest.raises(InputError, match="does not exist"):
        Conversation.load(tmp_path / "none.json", lm)
