"""The client's answers, by REST and by gRPC, are the model's. The server is a double: see double.py."""

import numpy as np
import pytest

import lm_keras as lk
from lm_keras import InputError
from lm_keras.serving import Client, query
from lm_keras.serving.client.results import (
    Answer,
    Beams,
    Completion,
    DialogueTurn,
    Extraction,
    FoundRelation,
    Rescoring,
    Retrieval,
    Span,
    Summarization,
    Tensor,
    TextScore,
)


@pytest.fixture(scope="module")
def word(url):
    with Client(url, "word", batch_size=32) as client:
        yield client


@pytest.fixture(scope="module")
def prompts(sentences):
    """70 beginnings of sentences; some of them twice."""
    return [" ".join(sentence.split()[: 1 + i % 5]) for i, sentence in enumerate(sentences[:66])] + ["The"] * 4


def test_scores_are_the_language_models(word, word_model, sentences, switch):
    word.metadata(), switch()
    made, expected = word.score(sentences[:70]), word_model.score(sentences[:70])
    assert switch() in (3, 4)  # 70 rows by 32, and the signatures once
    assert [score.num_tokens for score in made] == [score.num_tokens for score in expected]
    for name in ("log_prob", "perplexity"):
        assert [getattr(s, name) for s in made] == pytest.approx([getattr(s, name) for s in expected], rel=1e-4)
    alone = word.score(sentences[0])[0]  # another number of rows is summed up in another order
    assert isinstance(alone, TextScore) and alone.log_prob == pytest.approx(made[0].log_prob, rel=1e-6)


def test_greedy_texts_are_the_language_models(word, word_model, prompts):
    made = word.generate(prompts, max_new_tokens=10)
    expected = word_model.generate(prompts, max_new_tokens=10, temperature=0)
    assert [one.text for one in made] == [one.text for one in expected]
    assert [one.num_new_tokens for one in made] == [len(one.token_ids) for one in expected]
    assert [one.log_prob for one in made] == pytest.approx(
        [sum(one.log_probs) for one in expected], rel=1e-4, abs=1e-5
    )
    lengths = [one.num_new_tokens for one in word.generate(["The", "A man"], max_new_tokens=[0, 2])]
    assert lengths[0] == 0 and lengths[1] <= 2


def test_samples_are_the_language_models_and_repeats_differ(word, word_model, prompts):
    options = {"max_new_tokens": 8, "temperature": 0.9, "top_k": 40, "top_p": 0.95, "seed": 7}
    made, expected = word.sample(prompts, **options), word_model.generate(prompts, **options)
    assert [one.text for one in made] == [one.text for one in expected]
    assert len({one.text for one in made[-4:]}) == 4  # of one prompt
    again = word.sample(
        "The", max_new_tokens=8, temperature=0.9, top_k=40, top_p=0.95, seed=[7 + prompts[:-4].count("The") + 3]
    )
    assert again == [made[-1]]


def test_beams_are_the_language_models(word, word_model):
    prompts = ["The", "A man"]
    expected = word_model.generate(prompts, max_new_tokens=6, num_beams=4, num_return_sequences=4, length_penalty=0.5)
    for i, made in enumerate(word.beam(prompts, max_new_tokens=6, length_penalty=0.5)):
        best, *_ = group = expected[4 * i : 4 * i + 4]
        assert made.completions == [one.text for one in group] and made.text == best.text
        assert made.scores == pytest.approx([one.score for one in group], rel=1e-4)
        assert (made.num_new_tokens, made.log_prob) == (
            len(best.token_ids),
            pytest.approx(sum(best.log_probs), rel=1e-4),
        )


def test_both_protocols_give_the_numbers_of_the_session(double, word_version, prompts, warm_check):
    answers = []
    for url in double.urls:
        with Client(url, "word") as client:
            answers.append(client.predict("generate", prompt=prompts[:20], max_new_tokens=[5, 9] * 10))
    call = {"signature": "generate", "inputs": {"prompt": prompts[:20], "max_new_tokens": [5, 9] * 10}}
    assert answers[0] == answers[1] == query(word_version, [call])["results"][0]


def test_every_kind_of_task(tasks):
    assert tasks.generate(["ä", "b"], max_new_tokens=3) == [Completion("ä>3", 3, -1.0), Completion("b>3", 3, -1.0)]
    assert tasks.beam("x", max_new_tokens=3, length_penalty=0.5) == [Beams("x>3", 3, -1.0, ["x>3", "x"], [0.5, -0.5])]
    made = tasks.sample(["p", "q", "p"], max_new_tokens=[1, 2, 3], temperature=0.5, top_p=0.75, top_k=9, seed=4)
    assert [one.text for one in made] == [f"{p}|0.50|0.75|9|{seed}>{n}" for p, seed, n in
                                          (("p", 4, 1), ("q", 4, 2), ("p", 5, 3))]  # fmt: skip
    long, short = tasks.classify(["abcdefghijklmn", "abc"])
    assert (long.label, short.label) == ("long", "short") and list(long.scores) == ["long", "short"]
    assert long.score == max(long.scores.values()) and sum(short.scores.values()) == pytest.approx(1, abs=1e-6)
    assert tasks.tag(["Größe!", ""]) == [[Span(0, 4, "A", 0.5, "Größ"), Span(5, 6, "B", 1.0, "!")], []]
    (found, empty) = tasks.extract(["Größe!", ""])
    assert found == ([Span(0, 4, "A", 0.5, "Größ"), Span(5, 6, "B", 1.0, "!")], [FoundRelation(1, 0, "R", 0.25)])
    assert isinstance(found, Extraction) and empty == ([], [])
    assert [one.scores for one in tasks.relation(["a", "b"], [(0, 1), (2, 4)], (7, 4))] == [
        {"long": 0.25, "short": -0.75}, {"long": 0.5, "short": -0.75}
    ]  # fmt: skip
    assert tasks.relation("a", (0, 3), [(1, 1)])[0].scores == {"long": 0.75, "short": 0.0}
    assert tasks.relation([], [], []) == []
    assert tasks.rescore(["a\x1eb", "c"], [-1, 2.5]) == [Rescoring("ab", 8.0, 0)]
    assert tasks.rescore([["a", "b"], [], ["ä"]], [[0.5, -3], [], None]) == [
        Rescoring("a", 8.0, 0), Rescoring("", 0.0, 0), Rescoring("ä", 0.0, 0)
    ]  # fmt: skip
    for hypotheses, scores, said in (
        ("a", None, "hypotheses is 'a'; give a list"),
        ([["a"], "b"], None, "of an utterance are 'b'"),
        ([["a"]], [[float("nan")]], r"scores of an utterance are \[nan\]"),
        ([["a", "b"]], [[1.0]], "2 hypotheses and 1 scores"),
        ([["a"], ["b"]], [[1.0]], "2 lists of hypotheses and 1 of scores"),
    ):
        with pytest.raises(InputError, match=said):
            tasks.rescore(hypotheses, scores)
    half = float(np.float32(0.3))
    assert tasks.answer(["who", "why"], "because") == [Answer("bec", half, 0, 3)] * 2
    assert tasks.answer("who", ["because", "so"]) == [
        Answer("bec", half, 0, 3),
        Answer("so", np.float32(0.2), 0, 2),
    ]
    assert tasks.retrieve(["what", "天"]) == [
        Retrieval("what", np.float32(0.4), True, "what"),
        Retrieval("", np.float32(0.1), False, "天"),
    ]
    assert tasks.summarize(["天气x", "a", ""]) == [
        Summarization("天气", 0.375, [0, 3]),
        Summarization("a", 0.125, [0]),
        Summarization("", 0.0, []),
    ]


def test_chats(tasks):
    hello, both = [{"role": "user", "content": "a\x1fb\x1e北"}], [{"role": "system", "content": "s"}]
    both += [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}, *hello]
    (made,) = tasks.chat(hello, max_new_tokens=3, temperature=0.5, top_k=7, seed=2)
    assert made == ("user\x1fab北|0.50|1.00|7|2>3", 3, pytest.approx(-1.0))
    texts = [one.text for one in tasks.chat([both, tuple(hello), hello], max_new_tokens=[1, 2, 3], top_p=0.25)]
    assert texts[0] == "system\x1fs\x1euser\x1fx\x1eassistant\x1f\x1euser\x1fab北|1.00|0.25|0|0>1"
    assert texts[1:] == [f"user\x1fab北|1.00|0.25|0|{seed}>{seed + 2}" for seed in (0, 1)]  # a repeat
    config = lk.GenerationConfig(max_new_tokens=4)
    assert tasks.chat(hello, config)[0].text.endswith("|1.00|1.00|0|0>4") and tasks.chat([]) == []
    for wrong in ("Hi", hello[0], both[:3], [hello, "Hi"], [{"role": "user"}], 3, [[]]):
        with pytest.raises(InputError, match="give a list such as|messages are of|message 0 is"):
            tasks.chat(wrong)
    with pytest.raises(InputError, match="chat of tasks takes"):
        tasks.chat(hello, length_penalty=1.0)


def test_turns_of_a_dialogue(tasks):
    hello = [{"role": "user", "content": "Hi"}]
    (found,) = tasks.respond(hello)
    assert found == DialogueTurn("user\x1fHi", "inform", 0.25, "hello", {"day": "Friday"}, False, [])
    assert [turn.reply for turn in tasks.respond([hello, hello])] == ["user\x1fHi"] * 2
    with pytest.raises(InputError, match="give a list such as"):
        tasks.respond("Hi")


def test_vectors_are_arrays(tasks):
    vectors = tasks.embed(["a", "abc"])
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, np.float32([[np.float32(1) / 3, -1, 1e20], [1, -3, np.float32(3) * 1e20]]))
    assert tasks.embed([]).shape == (0, 3)


def test_no_row_is_no_request(tasks, switch):
    tasks.metadata(), switch()
    assert tasks.generate([]) == tasks.tag(()) == [] and tasks.predict("embed", text=[]) == {"vector": []}
    assert switch() <= 1


def test_types_and_odd_values_come_back(tasks):
    raw = [b"\xff\x00", "text", "a\x00\udcff\ud800"]  # half a character is U+FFFD, as a model in Python reads it
    made = tasks.predict(
        "types", x=np.array([1.5, -2, 0.1]), n=[1, -(2**40), 3], yes=[False, True, np.True_], raw=raw
    )
    assert made["x"] == [1.5, -np.inf, np.inf] and made["n"] == [2, -(2**41), 6]
    assert made["yes"] == [True, False, False] and made["raw_bytes"] == [
        b"\xff\x00",
        b"text",
        "a\x00\ufffd\ufffd".encode(),
    ]
    assert made["half"] == [1 / 3, -(2**40) / 3, 1.0]
    (nan,) = tasks.predict("types", x=float("nan"), n=0, yes=False, raw="")["x"]
    assert nan != nan
    assert tasks.predict("same", x=[[1, 2], [3, 4.5]]) == {"y": [[1, 2], [3, 4.5]]}  # one input, one output


def test_versions_and_labels(url):
    for options, number in (({}, 2), ({"version": 1}, 1), ({"label": "stable"}, 1), ({"label": "canary"}, 2)):
        with Client(url, "two", **options) as client:
            assert client.predict("serving_default", text=["a", "b"]) == {"version": [number] * 2}
            assert ("new" in client.metadata()) == (number == 2)
    assert [tuple(one) for one in Client(url, "two").status()] == [(2, "AVAILABLE", ""), (1, "AVAILABLE", "")]
    assert [one.version for one in Client(url, "two", version=1).status()] == [1]


def test_metadata_tells_types_and_shapes(tasks):
    parts = tasks.metadata()["same"]
    assert parts == {"inputs": {"x": Tensor("float32", [None, 2])}, "outputs": {"y": Tensor("float32", [None, 2])}}
    types = {name: tensor.dtype for name, tensor in tasks.metadata()["types"]["outputs"].items()}
    assert types == {"x": "float32", "n": "int64", "yes": "bool", "raw_bytes": "string", "half": "float64"}
