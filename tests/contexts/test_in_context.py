"""Loss by what was read before, and the head that copies, against one pass over each text and plain loops."""

import numpy as np
import pytest
from small_models import KINDS_OF_STATE, log_probs, tiny_lm

import lm_keras as lk
from lm_keras.contexts import copying_scores, loss_by_examples, loss_by_position

TOKENIZER = lk.text.BPETokenizer.train(["the cat sat on the mat: a b c d e " * 3], vocab_size=280)
TEXTS = ["the cat sat on the mat", "a b c", "d e", "é the the the"]


@pytest.fixture(scope="module", params=KINDS_OF_STATE)
def lm(request):
    return tiny_lm(request.param, TOKENIZER, 0.5, max_length=64)


def token_losses(lm, row, first):
    """-log p of the tokens of a row from a place on, and whether each is the likeliest, by one whole pass."""
    found = log_probs(lm.model, [row])[0]
    wanted = row[first:]
    at = range(first - 1, len(row) - 1)
    losses = [-found[i, token] for i, token in zip(at, wanted, strict=True)]
    return losses, [found[i].argmax() == token for i, token in zip(at, wanted, strict=True)]


def test_loss_by_position(lm):
    for prompted in (lm, lm.with_prompt("on ")):
        curve = loss_by_position(prompted, TEXTS)
        before = [lm.tokenizer.bos_id, *lm.tokenizer.encode(prompted.prompt)]
        rows = [[lm.tokenizer.bos_id, *lm.tokenizer.encode(prompted.prompt + text)] for text in TEXTS]
        parts = [token_losses(lm, row, len(before)) for row in rows]
        for k in range(len(curve.nats)):
            losses = [part[0][k] for part in parts if len(part[0]) > k]
            assert curve.count[k] == len(losses)
            assert curve.nats[k] == pytest.approx(np.mean(losses), abs=1e-4)
            assert curve.accuracy[k] == np.mean([part[1][k] for part in parts if len(part[1]) > k])
            if len(losses) > 1:
                assert curve.stderr[k] == pytest.approx(np.std(losses, ddof=1) / len(losses) ** 0.5, abs=1e-4)
            else:
                assert np.isnan(curve.stderr[k])
        assert len(curve.nats) == max(len(part[0]) for part in parts)
    assert len(loss_by_position(lm, TEXTS, length=3).nats) == 3


SERIES = [[("a:", " b"), ("c:", " d e"), ("e:", " the")], [("cat:", " mat"), ("d:", " a"), ("b:", " cat sat")]]


def test_loss_by_examples(lm):
    curve = loss_by_examples(lm, SERIES, separator=" | ")
    losses, right = np.zeros((2, 3)), np.zeros((2, 3))
    for i, row in enumerate(SERIES):
        text = ""
        for k, (question, answer) in enumerate(row):
            before, whole = text + question, text + question + answer
            text = whole + " | "
            ids = [lm.tokenizer.bos_id, *lm.tokenizer.encode(whole)]
            found, likeliest = token_losses(lm, ids, 1 + len(lm.tokenizer.encode(before)))
            losses[i, k], right[i, k] = sum(found), all(likeliest)
    np.testing.assert_allclose(curve.nats, losses.mean(0), atol=1e-4)
    np.testing.assert_allclose(curve.accuracy, right.mean(0))
    np.testing.assert_array_equal(curve.count, [2, 2, 2])


def test_the_head_that_copies():
    rng = np.random.default_rng(0)
    model = lk.models.build_gpt2(9, max_length=12, hidden_dim=8, num_heads=2, num_layers=3, initializer_range=0.7)
    ids = rng.integers(0, 9, (3, 12)).astype("int32")
    ids[1, 9:] = -1
    weights = [np.asarray(layer) for layer in model.attention_weights(ids)]
    wanted = np.zeros((3, 2))
    for layer in range(3):
        for head in range(2):
            found = []
            for row in range(3):
                for t in range(12):
                    places = [s for s in range(1, t + 1) if ids[row, t] >= 0 and ids[row, s - 1] == ids[row, t]]
                    if places:
                        found.append(weights[layer][row, head, t, places].sum())
            wanted[layer, head] = np.mean(found)
    np.testing.assert_allclose(copying_scores(model, ids), wanted, rtol=1e-5)


def test_refused():
    lm = tiny_lm("gpt2", TOKENIZER, 0.5, max_length=16)
    with pytest.raises(lk.InputError, match="different length"):
        loss_by_examples(lm, [[("a", "b")], []])
    with pytest.raises(lk.InputError, match=r"row 0: the answer '' has no token"):
        loss_by_examples(lm, [[("a", "")]])
    with pytest.raises(lk.InputError, match="sees 16; give fewer examples"):
        loss_by_examples(lm, [[("a b c d", " e")] * 9])
    with pytest.raises(lk.InputError, match="has no token"):
        loss_by_position(lm, ["a", ""])
    with pytest.raises(lk.InputError, match="length is -1"):
        loss_by_position(lm, ["a"], length=-1)
    with pytest.raises(lk.InputError, match="comes a second time"):
        copying_scores(lm.model, np.arange(8)[None])
    with pytest.raises(lk.InputError, match="has no attention"):
        copying_scores(tiny_lm("lstm", TOKENIZER, 0.5).model, np.ones((1, 8), "int32"))
