"""A language model behind a moderator: prompts, replies, streams, chats, and the export of all."""

import json

import pytest
from chats import chat_tokenizer, conversation
from small_models import tiny_lm
from small_tasks import cnn_classifier

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.tasks import ModeratedLM, Moderator
from lm_keras.tasks.moderated_export import asked, tf_asked
from lm_keras.tasks.moderated_lm import ModeratedStream, asked_in, settled
from lm_keras.text.tokenizers.chat.joined import joined
from lm_keras.text.word_offsets import word_places

LONG = {"max_new_tokens": 24, "seed": 3}


@pytest.fixture(scope="module")
def lm():
    return tiny_lm("lstm", chat_tokenizer(), 0.6)


def word_of_reply(lm, prompt):
    """A word of the lm's answer to a prompt, which is in no prompt below."""
    (made,) = lm.generate(prompt, **LONG)
    words = [made.text[start:end] for start, end in word_places(made.text)]
    return next(word for word in words if word.lower() not in "an assistant! so on some turns")


def test_prompts_and_replies_are_judged(lm):
    word = word_of_reply(lm, "so on")
    moderated = ModeratedLM.of(lm, Moderator.of(words={"bad": ["assistant", word]}), refusal="No.")
    prompts = ["an Assistant!", "so on", "so on", "some turns", "assistant"]
    found, plain = moderated.generate(prompts, **LONG), lm.generate(prompts, **LONG)
    assert (
        (found[0].text, found[0].reasons) == ("No.", ["prompt: word list: bad"]) == (found[4].text, found[4].reasons)
    )
    assert found[1] == ("No.", 0, 0.0, False, ["reply: word list: bad"])
    for one, made in zip(found[1:4], plain[1:4], strict=True):
        judged = moderated.moderator.moderate(made.text)[0].allowed
        assert one.allowed == judged and one.text == (made.text if judged else "No."), "seeds as of lm.generate"
    assert [one.allowed for one in moderated.generate("assistant", num_return_sequences=3, **LONG)] == [False] * 3
    assert moderated.generate([]) == []


def test_a_stream_gives_what_is_judged():
    moderated = ModeratedLM.of(
        tiny_lm("lstm", chat_tokenizer()), Moderator.of(words=["bad word", "x"]), refusal="No."
    )

    def streamed(pieces, prompt=""):
        stream = ModeratedStream(moderated, prompt, iter(pieces))
        return [*stream], stream.allowed, stream.reasons

    assert streamed(["One two. ", "Three", " four"]) == (["One two", ". Three four"], True, [])
    assert streamed(["a"], "x!") == (["No."], False, ["prompt: word list: words"])
    assert streamed(["Good start. The ba", "d. ", "bad", " word", "s. Bad", " word. More"]) == (
        ["Good start", ". The bad", ". bad words", "No."],
        False,
        ["reply: word list: words"],
    )
    assert streamed(["A bad. ", "word"]) == (["A bad", ". word"], True, []), "a mark is a word between them"
    assert streamed(["A bad\n", "word"]) == (["A ", "No."], False, ["reply: word list: words"])
    assert streamed([]) == ([], True, [])
    assert settled("one two three", 3) == 4 and settled("one", 3) == 0 and settled("one two", 1) == 7


def test_a_stream_is_what_generate_gives(lm):
    word = word_of_reply(lm, "so on")
    moderated = ModeratedLM.of(lm, Moderator.of(words=[word, "user and assistant"]), refusal="No.")
    for seed in range(6):
        options = {"max_new_tokens": 24, "seed": seed}
        (made,) = moderated.generate("some turns", **options)
        stream = moderated.stream("some turns", **options)
        text = "".join(stream)
        assert (stream.allowed, stream.reasons) == (made.allowed, made.reasons)
        if made.allowed:
            assert text == made.text
        else:
            (plain,) = lm.generate("some turns", **options)
            given = text.removesuffix("No.")
            assert plain.text.startswith(given) and moderated.moderator.moderate(given)[0].allowed
    with pytest.raises(InputError, match="num_beams"):
        moderated.stream("a", num_beams=3)


def test_a_chat_is_judged_by_all_that_the_user_says(lm):
    moderated = ModeratedLM.of(lm, Moderator.of(words=["secret"]))
    turns = [{"role": "user", "content": "a SECRET"}, {"role": "assistant", "content": "secret"}]
    turns += [{"role": "user", "content": "and so on"}]
    found = moderated.chat(turns, **LONG)
    assert (found.allowed, found.text) == (False, "I cannot answer this.")
    assert "".join(moderated.stream_chat(turns, **LONG)) == found.text
    made = lm.chat(turns[2:], **LONG)
    assert moderated.chat(turns[2:], **LONG)[:2] == (made.text, len(made.token_ids))
    assert "".join(moderated.stream_chat(turns[2:], **LONG)) == made.text
    rows = [joined(conversation(seed)) for seed in range(8)] + [
        "",
        "user",
        "user\x1fa\x1fb\x1eno\x1euser\x1f",
        "\x1f\x1e",
    ]
    assert [row.decode() for row in tf_asked(rows).numpy()] == [asked(row) for row in rows]
    assert asked(joined(turns)) == asked_in(turns) == "a SECRET\nand so on\n"


@pytest.mark.usefixtures("warm_check")
def test_an_export_judges_as_python_does(lm, news, tmp_path):
    judge = Moderator.of(cnn_classifier(news[:60]), ["the turns"], refused=["war"], threshold=0.7)
    moderated = ModeratedLM.of(lm.with_prompt("some "), judge, refusal="No, 不.")
    folder = tmp_path / "saved"
    moderated.save(folder)
    again = ModeratedLM.load(folder)
    prompts = ["so on", "the turns", "user and assistant", "", "of a chat"]
    assert again.generate(prompts, temperature=0) == moderated.generate(prompts, temperature=0)
    plain = ModeratedLM.of(lm, judge)
    rows = [joined(conversation(seed)) for seed in range(4)] + ["user"]
    options = {"max_new_tokens": 6, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0}
    options = {name: [value] * 5 for name, value in options.items()}
    asked = {"chat": {"messages": rows, **options}, "generate": {"prompt": prompts, "max_new_tokens": [6] * 5}}
    served, requests = plain.signatures(max_new_tokens_limit=16), []
    assert list(served.signatures) == ["generate", "sample", "chat"]
    for name, inputs in asked.items():
        expected = served.answer(name, inputs)
        assert set(expected["allowed"]) == {True, False}, "else equality would say little"
        refused = [row for row in zip(*expected.values(), strict=True) if not row[3]]
        assert {row[:3] for row in refused} == {("I cannot answer this.", 0, 0.0)}
        assert all(json.loads(row[4]) for row in refused)
        requests.append({"signature": name, "inputs": inputs, "outputs": expected})
    version = lk.export(plain, tmp_path / "export", max_new_tokens_limit=16)
    assert lk.check(version, requests) == []


def test_what_it_cannot_be_made_of(lm, news):
    judge = Moderator.of(words=["a"])
    with pytest.raises(InputError, match="got a Moderator; give a LanguageModel"):
        ModeratedLM.of(judge, lm)
    with pytest.raises(InputError, match="refusal is ' '"):
        ModeratedLM.of(lm, judge, refusal=" ")
    with pytest.raises(InputError, match="no tokenizer"):
        ModeratedLM.of(lk.LanguageModel(lm.model, None), judge)
    with pytest.raises(InputError, match="does not hold a language model and a classifier"):
        ModeratedLM(lm.model, lm.tokenizer, cnn_classifier(news[:60]).tokenizer, classes=["a", "b"])
