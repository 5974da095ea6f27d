"""Evaluations against sums over one pass of the whole model for each text alone, counted by hand."""

import json
import math

import numpy as np
import pytest
from learned import changed
from small_models import KINDS_OF_STATE, log_probs, tiny_lm

import lm_keras as lk
from lm_keras.data.corpora.records import MinimalPair, MultipleChoice
from lm_keras.errors import InputError
from lm_keras.prompting import evaluate_task, harness
from lm_keras.prompting.harness_items import PAIR, Item, Task, read_task, with_examples
from lm_keras.text.tokenizers.base import tokenizer_kinds

TOKENIZER = lk.text.BPETokenizer.train(["a b c d e abc bcd cde Question: Answer: " * 3], vocab_size=280)
CHOICES = [
    {"prompt": "abc b", "choices": ["a", "bcd c d"], "answer": 1},
    {"prompt": "", "choices": ["é b", "d"], "answer": "d"},
    {"prompt": "e e a ", "choices": ["a a", "b", "c d e"], "answer": 0},
    {"prompt": "Question: abc\nAnswer:", "choices": ["cde", "bcd"], "answer": 0},
    {"prompt": "abc b", "choices": ["a", "c"], "answer": 0},
]
PAIRS = [("a b c", "a c b"), ("bcd e", "bcd"), ("a b c", "a b d"), ("é", "e"), ("a", "a")]


@pytest.fixture(scope="module", params=KINDS_OF_STATE)
def lm(request):
    return tiny_lm(request.param, TOKENIZER, 0.5, max_length=64)


def written(folder, records):
    path = folder / "items.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def token_log_probs(lm, before, more, mark):
    """[(log p, whether it is the likeliest)] of the tokens of `more`, as the harness encodes both."""
    spaces = before[len(before.rstrip()) :]
    before, more = before.rstrip(), spaces + more
    start = [lm.tokenizer.bos_id] if mark else []
    ids = [*start, *lm.tokenizer.encode(before + more)]
    first = max(len(start) + len(lm.tokenizer.encode(before)), 1)
    table = log_probs(lm.model, [ids[:-1]])[0]
    return [(table[i - 1, ids[i]], table[i - 1].argmax() == ids[i]) for i in range(first, len(ids))]


def total(lm, before, more, mark):
    return sum(log_prob for log_prob, _ in token_log_probs(lm, before, more, mark))


# === What is counted ===
def test_multiple_choice(lm, tmp_path):
    path = written(tmp_path, CHOICES)
    for begin in (None, True):
        right = np.zeros([3, len(CHOICES)])
        for i, item in enumerate(CHOICES):
            choices, label = item["choices"], item["answer"]
            label = choices.index(label) if isinstance(label, str) else label
            mark = begin or not item["prompt"]
            sums = np.array([total(lm, item["prompt"], " " + choice, mark) for choice in choices])
            characters, size = [len(one) for one in choices], [len(one.encode()) for one in choices]
            for row, value in enumerate((sums, sums / characters, sums / size)):
                right[row, i] = value.argmax() == label
        made = evaluate_task(lm, path, begin=begin)
        assert (made.acc, made.acc_norm, made.acc_bytes) == pytest.approx(right.mean(1))
        errors = right.std(1, ddof=1) / math.sqrt(len(CHOICES))
        assert (made.acc_stderr, made.acc_norm_stderr, made.acc_bytes_stderr) == pytest.approx(errors)
        assert (made.kind, made.count, made.perplexity) == ("multiple choice", 5, None)
        np.testing.assert_array_equal(made.right, right[0])
        assert made.begin == ("all" if begin else "2 of 11")


@pytest.mark.parametrize("begin", [None, False])
def test_minimal_pairs(lm, tmp_path, begin):
    # Without a mark a sentence needs two tokens.
    pairs = [("a b c", "a c b"), ("bcd e", "bcd b"), ("a b c", "a b d")] if begin is False else PAIRS
    records = [{"good": good, "bad": bad, "set": "xy"[i % 2]} for i, (good, bad) in enumerate(pairs)]
    made = evaluate_task(lm, written(tmp_path, records), begin=begin)
    mark = begin is None
    right = [float(total(lm, "", " " + good, mark) >= total(lm, "", " " + bad, mark)) for good, bad in pairs]
    sets = {"x": np.mean(right[::2]), "y": np.mean(right[1::2])}
    np.testing.assert_array_equal(made.right, right)
    assert made.sets == pytest.approx(sets) and made.acc == pytest.approx(np.mean([*sets.values()]))
    assert (made.begin, made.begin_mark) == ("all" if mark else "none", TOKENIZER.tokens[TOKENIZER.bos_id])


def test_last_words(lm, tmp_path):
    texts = ["a b c abc", "e\n\nd c bcd", "d d d", "a b c a"]
    made = evaluate_task(lm, written(tmp_path, [{"text": text} for text in texts]))
    found = []
    for text in texts:
        before, _, word = text.rpartition(" ")
        found.append(token_log_probs(lm, before, " " + word, False))
    sums = np.array([sum(log_prob for log_prob, _ in row) for row in found])
    right = [all(best for _, best in row) for row in found]
    assert made.acc == np.mean(right) and made.right.tolist() == right
    assert made.perplexity == pytest.approx(math.exp(-sums.mean()), rel=1e-4)
    assert made.perplexity_stderr == pytest.approx(made.perplexity * sums.std(ddof=1) / 2, rel=1e-4)
    assert made.begin == "none"


def test_the_pooled_error_is_that_of_the_harness():
    """Three sets of 4, 3 and 2 numbers, by its formula."""
    sets = [np.array([1, 0, 1, 1.0]), np.array([0, 0, 1.0]), np.array([1, 0.0])]
    errors = [one.std(ddof=1) / math.sqrt(len(one)) for one in sets]
    variance = sum((len(one) - 1) * error**2 * len(one) for one, error in zip(sets, errors, strict=True)) / 6
    made = harness.pooled_error(np.array(errors), np.array([4, 3, 2]))
    assert made == pytest.approx(math.sqrt(variance / 9))
    assert math.isnan(harness.standard_error([1.0]))


# === Limits, prompts, long texts ===
def test_limit_is_of_each_set(tmp_path):
    lm = tiny_lm("lstm", TOKENIZER, 0.5)
    records = [{"good": "a b", "bad": "b a", "set": name} for name in "xxxyyz"]
    path = written(tmp_path, records)
    assert evaluate_task(lm, path, limit=2).count == 5
    assert evaluate_task(lm, path, limit=1).sets.keys() == {"x", "y", "z"}
    assert evaluate_task(lm, written(tmp_path, CHOICES), limit=2).count == 2


def test_a_prompt_stands_before_every_text(tmp_path):
    lm = tiny_lm("llama", TOKENIZER, 0.5, max_length=64)
    plain = [{"text": "abc d " + text} for text in ("a b c abc", "d c bcd")]
    expected = evaluate_task(lm, written(tmp_path, plain))
    made = evaluate_task(lm.with_prompt("abc d "), written(tmp_path, [{"text": one["text"][6:]} for one in plain]))
    assert made.perplexity == pytest.approx(expected.perplexity, rel=1e-5)


def test_what_is_too_long_is_cut_from_the_left(tmp_path):
    lm = tiny_lm("gpt2", TOKENIZER, 0.5, max_length=12)
    text = " ".join("abcde" * 5)
    made = evaluate_task(lm, written(tmp_path, [{"text": text}, {"text": "a b"}]))
    ids = lm.tokenizer.encode(text)
    table = log_probs(lm.model, [ids[-13:-1]])[0]
    other = log_probs(lm.model, [lm.tokenizer.encode("a")])[0]
    word = lm.tokenizer.encode(" b")
    assert len(word) == 1 and len(lm.tokenizer.encode(" e")) == 1
    mean = (table[-1, ids[-1]] + other[-1, word[0]]) / 2
    assert made.perplexity == pytest.approx(math.exp(-mean), rel=1e-4)
    assert made.cut == 1
    with pytest.raises(InputError, match=r"line 1: .* longer than the 12 tokens"):
        evaluate_task(lm, written(tmp_path, [{"text": "a " + "x" * 30}]))


@pytest.mark.parametrize("begin", [None, True, False])
def test_after_a_learned_prompt(tmp_path, begin):
    """What is predicted from its state alone does not count, as in `score`."""
    lm = tiny_lm("llama", lk.text.WordTokenizer.train(["a b c d e"]), 0.5, max_length=24)
    tuned = changed(lk.prompting.PromptTuning(lm, 4))
    pairs = [("a b c", "a c b"), ("d b e", "e b d")]
    made = evaluate_task(tuned, written(tmp_path, [{"good": good, "bad": bad} for good, bad in pairs]), begin=begin)
    scores = [tuned.score(pair, begin=begin is not False, end=False) for pair in pairs]
    assert made.acc == np.mean([good.log_prob >= bad.log_prob for good, bad in scores])
    rows = harness.encode_requests(tuned.writer, [("", " " + text, "") for text in pairs[0]], begin)
    found = [log_prob for log_prob, _ in harness._scored(tuned.writer, rows, "", progress=False)]
    assert found == pytest.approx([one.log_prob for one in scores[0]], rel=1e-5)


@pytest.mark.parametrize("kind", ["char", "word", "wordpiece"])
def test_tokenizers_of_all_kinds(tmp_path, kind):
    tokenizer = tokenizer_kinds()[kind].train(["a b c d e abc"])
    lm = tiny_lm("lstm", tokenizer, 0.5)
    made = evaluate_task(lm, written(tmp_path, [{"text": "a b c"}, {"text": "d e"}]))
    found = [token_log_probs(lm, before, " " + word, False) for before, word in (("a b", "c"), ("d", "e"))]
    assert made.perplexity == pytest.approx(math.exp(-np.mean([sum(p for p, _ in row) for row in found])), rel=1e-4)
    assert made.begin == "none"


# === Examples ===
def test_examples_are_other_items(tmp_path):
    task = read_task(written(tmp_path, CHOICES))
    texts = with_examples(task, task.items, 2, seed=7)
    written_out = [f"{item.text} {item.choices[item.label]}\n\n" for item in task.items]
    for i, (item, text) in enumerate(zip(task.items, texts, strict=True)):
        assert text.endswith(item.text)
        shown = text.removesuffix(item.text) if item.text else text
        others = [one for j, one in enumerate(written_out) if j != i]
        assert shown in {one + two for one in others for two in others if one != two}
    assert with_examples(task, task.items[:3], 2, seed=7) == texts[:3]
    assert with_examples(task, task.items, 2, seed=8) != texts
    lm = tiny_lm("gru", TOKENIZER, 0.5)
    made = evaluate_task(lm, written(tmp_path, CHOICES), shots=2, seed=7)
    assert (made.shots, made.seed) == (2, 7)
    right = []
    for item, text in zip(task.items, texts, strict=True):
        sums = [total(lm, text, " " + choice, False) for choice in item.choices]
        right.append(np.argmax(sums) == item.label)
    assert made.acc == pytest.approx(np.mean(right))


def test_examples_of_last_words_have_the_delimiter_of_the_harness(tmp_path):
    task = read_task(written(tmp_path, [{"text": "a b"}, {"text": "c d"}]))
    assert with_examples(task, task.items, 1, seed=0) == ["c  d\n\na", "a  b\n\nc"]


@pytest.mark.parametrize("name", ["piqa", "blimp"])
def test_the_delimiter_stands_in_known_tasks_too(name, monkeypatch):
    records = {"piqa": [MultipleChoice("a", ("b", "c"), 1)], "blimp": [MinimalPair("a b", "b a")]}
    monkeypatch.setattr("lm_keras.prompting.harness_items.load", lambda task, split: records[task])
    for delimiter in (" ", "", "\n"):
        task = read_task(name, delimiter)
        assert task.continuations(task.items[0]) == [delimiter + choice for choice in task.items[0].choices]


@pytest.mark.parametrize(
    "options, said",
    [({"shots": 5}, "fewer shots"), ({"limit": 0}, "limit is 0"), ({"shots": -1}, "shots is -1")],
)
def test_wrong_options(tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        evaluate_task(tiny_lm("rnn", TOKENIZER), written(tmp_path, CHOICES), **options)
    with pytest.raises(InputError, match="no examples before them"):
        with_examples(Task("x", PAIR, [Item("", ("a", "b"))] * 9), [], 1, 0)


# === Files ===
GOOD = json.dumps(CHOICES[0])


@pytest.mark.parametrize(
    "lines, said",
    [
        ([GOOD, "{"], "line 2: no JSON"),
        ([GOOD, "", "[1]"], "line 3: list where an object"),
        ([GOOD, '{"good": "a", "bad": "b"}'], "line 2: these are minimal pairs, the lines before multiple choice"),
        (['{"prompt": "a", "choices": ["b"]}'], "line 1: the keys are 'prompt', 'choices'; give"),
        (['{"prompt": "a", "choices": ["b"], "answer": 0}'], "two or more strings"),
        (['{"prompt": "a", "choices": ["b", ""], "answer": 0}'], "none empty"),
        (['{"prompt": "a", "choices": ["b", "c"], "answer": 2}'], "'answer' is 2; give the place .* 0 to 1"),
        (['{"prompt": "a", "choices": ["b", "c"], "answer": true}'], "'answer' is True"),
        (['{"prompt": "a", "choices": ["b", "b"], "answer": "b"}'], "'answer' is 'b'"),
        (['{"prompt": 3, "choices": ["b", "c"], "answer": 0}'], "'prompt' is 3; give a string"),
        (['{"good": "", "bad": "b"}'], "a sentence is empty"),
        (['{"text": "word"}'], "no word after a space"),
        (['{"text": "word "}'], "no word after a space"),
        (["", " "], "holds no line"),
    ],
)
def test_wrong_lines_are_named(tmp_path, lines, said):
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    with pytest.raises(InputError, match=said):
        read_task(path)


def test_what_is_no_task(tmp_path):
    with pytest.raises(InputError, match="no task 'hellaswag'; give piqa, lambada, blimp, or a file"):
        read_task("hellaswag")
    with pytest.raises(InputError, match="where a file is expected"):
        read_task(tmp_path)


def test_an_answer_without_a_token_is_named(tmp_path):
    lm = tiny_lm("lstm", TOKENIZER)
    path = written(tmp_path, [{"good": "a", "bad": "b"}])
    with pytest.raises(InputError, match=r"line 1: ' a' has no token of its own; .* begin=True"):
        evaluate_task(lm, path, begin=False)


# === Known sets ===
def test_the_texts_of_the_known_sets(monkeypatch):
    records = {
        ("piqa", "validation"): [lk.data.MultipleChoice("Open it", ("Pull ", "Eat"), 1)],
        ("lambada", "test"): ["He said\n\n yes"],
        ("blimp", "test"): [lk.data.MinimalPair("It is.", "It are.", "verbs", "f", "t")],
    }
    monkeypatch.setattr("lm_keras.prompting.harness_items.load", lambda *which: records[which])
    expected = {
        "piqa": ("Question: Open it\nAnswer:", [" Pull ", " Eat"], 1, ""),
        "lambada": ("He said\n\n", [" yes"], 0, ""),
        "blimp": ("", [" It is.", " It are."], 0, "verbs"),
    }
    for name, wanted in expected.items():
        task = read_task(name)
        (item,) = task.items
        assert (item.text, task.continuations(item), item.label, item.set) == wanted
