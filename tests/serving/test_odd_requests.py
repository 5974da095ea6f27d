"""No request breaks a server: every input has a defined answer."""

import math
import random

import pytest
from served_requests import sample_inputs

import lm_keras as lk
from lm_keras.serving import query

LIMIT = 256  # the exported cap on new tokens
LARGEST, SMALLEST = 2**31 - 1, -(2**31)
TEXTS = [
    *("", " ", "\n\n", "\x00", "a\x00b\x00", "<eos> <unk> <pad>", "zzqx qqzx xxzq"),
    *("今天天气很好", "\U0001f600 e\u0301 \u202e", b"\xff\xfe\xff", b"ok \xc3", b"\xed\xa0\x80", "a" * 500),
]
LONG = "word and " * 11_112  # 100,008 characters
LONG_PROMPT = LONG[:20_007]  # in words or characters hundreds of the pieces in which a prompt is read
TOP_P = [0.0, 2.0, math.nan, -1.0, math.inf, 1.0, 1.0, 1.0, 1.0]
TOP_K = [0, 0, 0, -5, LARGEST, SMALLEST, 0, 0, 0]
TEMPERATURES = [1.0, 1.0, 1.0, math.nan, math.inf, -1.0, 1e-30, 1e30, -math.inf]
SEEDS = [LARGEST, SMALLEST, -1, 0, 1, LARGEST, SMALLEST, 5, 5]


def score(texts):
    return {"signature": "score", "inputs": {"text": texts}}


def generate(prompts, counts):
    return {"signature": "generate", "inputs": {"prompt": prompts, "max_new_tokens": counts}}


def sample(prompts, counts, temperature, top_k, top_p, seed):
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    return {"signature": "sample", "inputs": sample_inputs(prompt=prompts, max_new_tokens=counts, **options)}


def random_bytes():
    rng = random.Random(3)
    return [rng.randbytes(rng.randrange(60)) for _ in range(300)]


WRONG = {
    "no such signature": {"signature": "translate", "inputs": {}},
    "no such input": {"signature": "score", "inputs": {"prompt": ["x"]}},
    "an input is missing": {"signature": "generate", "inputs": {"prompt": ["x"]}},
    "rows do not match": generate(["a", "b", "c"], [1, 2]),
}


@pytest.fixture(scope="module")
def answers(exported, warm_check):
    _, version = exported
    n, many = len(TEXTS), random_bytes()
    options = (TEMPERATURES, TOP_K, TOP_P, SEEDS)
    calls = {
        "score odd": score(TEXTS),
        "score random": score(many),
        "score long": score([LONG]),
        "score nothing": score([]),
        "generate odd": generate(TEXTS, [8] * n),
        "generate random": generate(many, [4] * len(many)),
        "generate long": generate([LONG_PROMPT], [4]),
        "generate nothing": generate([], []),
        "no tokens": generate(["The"] * 3, [0, -5, SMALLEST]),
        "many tokens": generate(TEXTS, [10**9] * n),
        "most tokens": generate(TEXTS, [LARGEST] * n),
        "sample odd": sample(TEXTS, [8] * n, [1.0] * n, [0] * n, [1.0] * n, [7] * n),
        "sample random": sample(many, [4] * 300, [2.0] * 300, [50] * 300, [0.9] * 300, list(range(300))),
        "sample long": sample([LONG_PROMPT], [4], [1.0], [0], [1.0], [0]),
        "sample nothing": sample([], [], [], [], [], []),
        "sample options": sample(["The"] * 9, [12] * 9, *options),
        "greedy": generate(["The"], [12]),
        "after all that": score(["The end"]),
        "the same again": score(["The end"]),
        **WRONG,
    }
    return dict(zip(calls, query(version, list(calls.values()))["results"], strict=True))


def test_no_request_fails_and_all_text_is_utf8(answers):
    assert {name for name, answer in answers.items() if "error" in answer} == WRONG.keys()
    right = [answers[name] for name in answers.keys() - WRONG.keys()]
    assert all(
        any(answer.get(output) for answer in right) for output in ("completion", "perplexity", "num_new_tokens")
    )
    for answer in right:
        assert all(isinstance(text, str) for text in answer.get("completion", []))  # query gives bytes if not UTF-8
        assert all(math.isfinite(x) and x <= 0 for x in answer["log_prob"])
        assert all(math.isfinite(x) and x >= 1 for x in answer.get("perplexity", []))
        assert all(0 <= count <= LIMIT for count in answer.get("num_new_tokens", []))


def test_each_row_has_an_answer_and_no_row_has_none(answers):
    for kind, size in {"odd": len(TEXTS), "random": 300, "long": 1, "nothing": 0}.items():
        for signature in ("score", "generate", "sample"):
            assert {len(values) for values in answers[f"{signature} {kind}"].values()} == {size}


def test_new_tokens_are_cut_to_the_limit(answers, exported):
    assert answers["no tokens"] == {"completion": [""] * 3, "num_new_tokens": [0] * 3, "log_prob": [0.0] * 3}
    assert answers["many tokens"] == answers["most tokens"]
    if not isinstance(exported[0].tokenizer, lk.text.CharTokenizer):  # that model ends all its texts before
        assert max(answers["many tokens"]["num_new_tokens"]) == LIMIT
    assert max(answers["sample options"]["num_new_tokens"]) <= 12


def test_strange_options_of_sample_mean_greedy_or_all_words(answers):
    texts, greedy = answers["sample options"]["completion"], answers["greedy"]["completion"][0]
    assert [texts[i] for i in (0, 2, 3, 5, 6, 8)] == [greedy] * 6  # top_p 0 and NaN; temperature NaN, <= 0, tiny
    assert texts[1] != greedy and texts[4] != greedy  # top_p 2, infinite heat


def test_an_odd_request_leaves_nothing_behind(answers, exported):
    assert answers["after all that"] == answers["the same again"]
    expected = exported[0].score(["The end"])[0].log_prob
    assert answers["after all that"]["log_prob"] == pytest.approx([expected], rel=1e-5)


def test_odd_text_scores_as_in_python(answers, exported):
    texts = [text for text in TEXTS if isinstance(text, str)]
    rows = [i for i, text in enumerate(TEXTS) if isinstance(text, str)]
    expected = exported[0].score(texts)
    assert [answers["score odd"]["num_tokens"][i] for i in rows] == [s.num_tokens for s in expected]
    assert [answers["score odd"]["log_prob"][i] for i in rows] == pytest.approx(
        [s.log_prob for s in expected], rel=1e-4
    )
    assert answers["score long"]["log_prob"] == pytest.approx([exported[0].score([LONG])[0].log_prob], rel=1e-4)


def test_a_call_that_does_not_fit_says_so(answers):
    assert "translate" in answers["no such signature"]["error"]
    for name in ("no such input", "an input is missing"):
        assert "the inputs are" in answers[name]["error"]
