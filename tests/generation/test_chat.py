"""LanguageModel.chat: the ids of messages, what of a long history stays, and where a reply ends."""

import pytest
import tensorflow as tf
from chats import chat_tokenizer, conversation, message
from learned import KINDS, changed, log_probs_after
from small_models import KINDS_OF_STATE, log_softmax, tiny_lm

import lm_keras as lk
from lm_keras import InputError
from lm_keras.generation.chat import chat_ids, reply_ends
from lm_keras.generation.generate import words_before

GREEDY = {"max_new_tokens": 6, "temperature": 0}


@pytest.fixture(scope="module")
def tokenizer():
    return chat_tokenizer()


@pytest.fixture(scope="module")
def lm(tokenizer):
    return tiny_lm("llama", tokenizer, 0.4, max_length=96)


# === The ids and the reply ===
@pytest.mark.parametrize("family", KINDS_OF_STATE)
def test_the_reply_is_the_text_after_the_ids_of_the_chat(family, tokenizer):
    """The ids of a chat begin with a mark that no text has: `generate` goes on from the same ids without a chat."""
    lm = tiny_lm(family, tokenizer, 0.5, max_length=200)
    messages = conversation(3, turns=2)
    ids = tokenizer.encode_chat(messages)
    made = lm.chat(messages, **GREEDY)
    table = _log_probs(lm, [*ids, *made.token_ids])[len(ids) - 1 :]
    assert made.token_ids == table[: len(made.token_ids)].argmax(-1).tolist()
    assert made.log_probs == pytest.approx(table[range(len(made.token_ids)), made.token_ids], abs=1e-3)
    assert "".join(lm.stream_chat(messages, **GREEDY)) == made.text == tokenizer.decode(made.token_ids, ids[-1])
    options = {"max_new_tokens": 6, "temperature": 0.9, "top_p": 0.9, "seed": 5}
    assert "".join(lm.stream_chat(messages, **options)) == lm.chat(messages, **options).text


def _log_probs(lm, ids):
    """log p [T, V] of what follows each of the ids, by one step over all."""
    logits, _ = lm.model.step(tf.constant([ids]), lm.model.initial_state(1))
    return log_softmax(logits[0].numpy())


def test_a_reply_ends_at_the_mark_that_the_template_puts_after_an_answer(tokenizer, lm):
    assert tokenizer.end_ids == (tokenizer.eos_id,) != (tokenizer.special_tokens["<|im_end|>"],)
    assert reply_ends(tokenizer) == [tokenizer.eos_id, tokenizer.special_tokens["<|im_end|>"]]
    spoken = chat_tokenizer("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:")
    assert reply_ends(spoken) == [spoken.eos_id]
    ended = chat_tokenizer("{% for m in messages %}{{ m.content | upper }}{% endfor %}")  # no constant pieces
    assert reply_ends(ended) == [ended.eos_id]
    ends = set(reply_ends(tokenizer))
    replies = [lm.chat(conversation(i), max_new_tokens=40, seed=i) for i in range(8)]
    assert min(len(made.token_ids) for made in replies) < 40
    assert all(not ends & set(made.token_ids) for made in replies)
    assert all("<|" not in made.text for made in replies)


def test_marks_of_the_history_are_not_penalized(tokenizer, lm):
    """Else a reply would never end: an end mark stands after each turn."""
    ids = tokenizer.encode_chat(conversation(1, turns=4))
    (seen,) = words_before(lm.writer, [ids], False).numpy()
    assert set(seen.nonzero()[0]) == set(ids) - tokenizer.special_ids < set(ids)


def test_the_other_ways_of_writing(lm):
    messages = conversation(2)
    assert lm.chat(messages, max_new_tokens=5, num_beams=3).score <= 0
    assert lm.chat(messages, max_new_tokens=5, penalty_alpha=0.5, top_k=3).text
    config = lk.GenerationConfig(**GREEDY)
    assert lm.chat(messages, config) == lm.chat(messages, **GREEDY)
    assert lm.chat(messages, config, jit_compile=True).token_ids == lm.chat(messages, config).token_ids


# === What stays of a long history ===
def fewest(lm, messages, room):
    """The ids after the fewest oldest turns are left out, one after the other."""
    head = [m for m in messages if m["role"] == "system"]
    rest = [m for m in messages if m["role"] != "system"]
    while len(ids := lm.tokenizer.encode_chat([*head, *rest])) > room:
        rest = rest[1:]
        while rest[0]["role"] != "user":
            rest = rest[1:]
    return ids


@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("turns", [1, 2, 7, 30])
def test_the_fewest_oldest_turns_are_left_out(lm, turns, system):
    for seed in range(4):
        messages = conversation(seed, turns, system)
        if len(lm.tokenizer.encode_chat([*messages[:system], messages[-1]])) + 6 > 96:
            continue
        assert chat_ids(lm.writer, messages, 6) == fewest(lm, messages, 96 - 6)


def test_other_orders_of_messages(lm):
    user, answer = message("user", "some turns " * 12), message("assistant", "and so on " * 3)
    greeted = [answer, user, answer, user]  # the greeting is a turn of its own
    assert chat_ids(lm.writer, greeted, 6) == lm.tokenizer.encode_chat(greeted[-1:])
    ends_with_answer = [user, answer, user, answer]
    assert chat_ids(lm.writer, ends_with_answer, 6) == lm.tokenizer.encode_chat(ends_with_answer[2:])
    late = [user, answer, message("system", "on"), user]
    assert chat_ids(lm.writer, late, 6) == lm.tokenizer.encode_chat(late[2:])


def test_what_does_not_fit_is_refused_with_its_size(lm):
    messages = [message("system", "some turns " * 9), message("user", "a"), message("assistant", "b")]
    messages.append(message("user", "user and so on " * 20))
    size = len(lm.tokenizer.encode_chat([messages[0], messages[-1]]))
    with pytest.raises(
        InputError, match=rf"system's message, has {size} tokens, and llama sees 96.*max_new_tokens=6"
    ):
        lm.chat(messages, **GREEDY)
    with pytest.raises(InputError, match="the chat has .* tokens"):
        lm.chat(messages[-1:], **GREEDY)
    with pytest.raises(InputError, match="max_new_tokens=96"):
        lm.chat([message("user", "a")], max_new_tokens=96)


# === Prompts, and what is refused ===
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("family", ["llama", "lstm"])
def test_a_learned_prompt_stands_before_all(kind, family, tokenizer):
    lm = tiny_lm(family, tokenizer, 0.4, max_length=96)
    learned = changed(KINDS[kind](lm, num_tokens=3), 3.0).learned
    prompted, messages = lm.with_prompt(learned), conversation(5, turns=1)
    made, ids = prompted.chat(messages, **GREEDY), tokenizer.encode_chat(messages)
    table = log_probs_after(learned, lm.model, [*ids, *made.token_ids])
    assert made.token_ids
    assert made.log_probs == pytest.approx(
        [table[len(ids) - 1 + i, token] for i, token in enumerate(made.token_ids)], abs=1e-3
    )
    assert abs(made.score - lm.chat(messages, **GREEDY).score) > 2e-3
    assert "".join(prompted.stream_chat(messages, **GREEDY)) == made.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_return_sequences": 2}, "num_return_sequences"),
        ({"begin": False}, "leave begin out"),
        ({"max_tokens": 2}, "did you mean max_new_tokens"),
        ({"stop_tokens": ["zebra"]}, "'zebra'"),
    ],
)
def test_options_that_a_chat_does_not_take(lm, options, message):
    for call in (lm.chat, lm.stream_chat):
        with pytest.raises(InputError, match=message):
            call(conversation(0), **options)


def test_what_is_refused(lm):
    with pytest.raises(InputError, match="stream gives a text while it is made and takes no num_beams"):
        lm.stream_chat(conversation(0), num_beams=2)
    with pytest.raises(InputError, match='a prompt of text.*the role "system"'):
        lm.with_prompt("some").chat(conversation(0))
    with pytest.raises(InputError, match="no chat template"):
        tiny_lm("lstm", chat_tokenizer(None)).chat(conversation(0))
    with pytest.raises(InputError, match="give a list"):
        lm.chat("Hello")
    with pytest.raises(InputError, match="makes no token"):
        tiny_lm("lstm", chat_tokenizer("{{ '' }}")).chat(conversation(0))
