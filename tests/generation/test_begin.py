"""Without a begin mark before the text: generate, stream, score, choose, in every family, and the command line."""

import json
import math

import numpy as np
import pytest
from paths import GOLDEN
from safetensors.numpy import load_file
from small_models import KINDS_OF_STATE, log_probs, tiny_lm

import lm_keras as lk
from lm_keras.cli.parser import main

EXACT = 1e-4
TOKENIZERS = {
    "word": lambda: lk.text.WordTokenizer.train(["a b c d e"]),
    "char": lambda: lk.text.CharTokenizer.train(["abc"]),
    "bpe": lambda: lk.text.BPETokenizer.train(["a b c d e"], vocab_size=260),
}


@pytest.fixture(scope="module", params=KINDS_OF_STATE)
def lm(request):
    return tiny_lm(request.param, TOKENIZERS["word"]())


def greedy(lm, ids, count):
    """The likeliest words one after the other, by the whole model."""
    tokenizer, made = lm.tokenizer, []
    banned = [i for i in (tokenizer.pad_id, tokenizer.unk_id) if i is not None]
    for _ in range(count):
        scores = log_probs(lm.model, [*ids, *made])[-1]
        scores[banned] = -np.inf
        if scores.argmax() == tokenizer.eos_id:
            break
        made.append(int(scores.argmax()))
    return made


def test_greedy_text_and_scores_without_a_mark(lm):
    ids = lm.tokenizer.encode("a c b")
    made = lm.generate("a c b", max_new_tokens=4, temperature=0, begin=False)[0]
    assert made.token_ids == greedy(lm, ids, 4)
    assert "".join(lm.stream("a c b", max_new_tokens=4, temperature=0, begin=False)) == made.text
    table = log_probs(lm.model, [*ids, lm.tokenizer.eos_id])
    each = [table[i, token] for i, token in enumerate([*ids[1:], lm.tokenizer.eos_id])]
    for end in (True, False):
        score = lm.score(["a c b", "d e"], begin=False, end=end)[0]
        assert score.num_tokens == len(each) - (not end)
        assert score.log_prob == pytest.approx(sum(each[: score.num_tokens]), abs=EXACT)
        assert math.isnan(score.bits_per_byte)
    (choice, _), *_ = lm.choose("a c", ["b", "d"], begin=False)
    first = lm.tokenizer.encode(choice.answer)[0]
    assert choice.log_prob == pytest.approx(log_probs(lm.model, ids[:2])[-1, first], abs=EXACT)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_text_must_have_a_token_then(kind):
    lm = tiny_lm("feedforward", TOKENIZERS[kind]())
    for call in (lm.generate, lm.stream):
        with pytest.raises(lk.InputError, match=r"the prompt '' has no token to go on from"):
            call("", begin=False)
    with pytest.raises(lk.InputError, match=r"the prompt '' has no token"):
        lm.choose("", ["a"], begin=False)
    with pytest.raises(lk.InputError, match=r"the text '' has no token after its first one"):
        lm.score("", begin=False)
    with pytest.raises(lk.InputError, match=r"the text 'a' has no token after its first one"):
        lm.score(["a b", "a"], begin=False, end=False)
    made = lm.generate("a", max_new_tokens=3, temperature=0, begin=False)[0]
    assert made.token_ids == greedy(lm, lm.tokenizer.encode("a"), 3)
    assert lm.score("", end=True)[0].num_tokens == 1


def test_the_other_ways_of_writing_start_from_the_prompt_too():
    lm = tiny_lm("lstm", TOKENIZERS["word"]())
    ids = lm.tokenizer.encode("a c")
    expected = log_probs(lm.model, ids)[-1]
    for options in ({"num_beams": 2}, {"penalty_alpha": 0.3, "top_k": 2}, {"repetition_penalty": 1.5}, {"seed": 4}):
        made = lm.generate("a c", max_new_tokens=2, min_new_tokens=1, begin=False, **options)[0]
        assert made.log_probs[0] == pytest.approx(expected[made.token_ids[0]], abs=EXACT)
    # The first word of a prompt is one of its words: the penalty counts it.
    bias = lm.model.get_layer("logits").bias
    scores = np.zeros(lm.tokenizer.vocab_size, "float32")
    scores[lm.tokenizer.encode("a b")] = 60, 50
    bias.assign(scores)
    assert lm.generate("a", max_new_tokens=1, temperature=0, begin=False)[0].text.strip() == "a"
    assert (
        lm.generate("a", max_new_tokens=1, temperature=0, repetition_penalty=2.0, begin=False)[0].text.strip() == "b"
    )


def test_a_checkpoint_writes_what_transformers_does():
    """The golden logits are of ids without a mark: here after the longest run of them that is a text."""
    lm, there = lk.models.load_pretrained(GOLDEN / "gpt2"), load_file(GOLDEN / "gpt2" / "expected.safetensors")
    for row, logits in zip(there["ids"], there["logits"], strict=True):
        for n in range(len(row), 0, -1):
            text = lm.tokenizer.decode(row[:n].tolist())
            if lm.tokenizer.encode(text) == row[:n].tolist():
                made = lm.generate(text, max_new_tokens=1, temperature=0, min_new_tokens=1, begin=False)[0]
                best = logits[n - 1].copy()
                best[lm.tokenizer.eos_id] = -np.inf
                assert made.token_ids == [best.argmax()]
                break


def test_command_line(tmp_path, capsys):
    lm = tiny_lm("feedforward", TOKENIZERS["word"]())
    lm.save(tmp_path)
    run = str(tmp_path)
    greedy = ["--temperature", "0", "--max-new-tokens", "3"]
    assert main(["generate", run, "--prompt", "a c", "--no-begin", *greedy]) == 0
    assert (
        capsys.readouterr().out == f"a c{lm.generate('a c', max_new_tokens=3, temperature=0, begin=False)[0].text}\n"
    )
    assert main(["generate", run, "--prompt", "a c", "--no-begin", "--choices", "b", "d"]) == 0
    best = lm.choose("a c", ["b", "d"], begin=False)[0]
    assert capsys.readouterr().out.splitlines() == [f"{choice.probability:.4f} {choice.answer}" for choice in best]
    assert main(["score", run, "--text", "a c", "--no-begin", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["log_prob"] == lm.score("a c", begin=False)[0].log_prob
    assert printed["bits_per_byte"] is None
    for command in (["generate", run, "--prompt", ""], ["score", run, "--text", ""]):
        assert main([*command, "--no-begin"]) == 2
        assert "has no token" in capsys.readouterr().err
