"""`TextToText.train` and `evaluate`: pairs in, a model chosen by what it writes out."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk
from lm_keras.data import TextPair
from lm_keras.errors import InputError
from lm_keras.tasks import TextToText
from lm_keras.tasks.text_to_text_training import train_and_held_out

DIGITS = {"0": "zero", "2": "two", "3": "three", "7": "seven"}
PAIRS = [TextPair(" ".join(row), " ".join(map(DIGITS.get, row))) for row in itertools.product("370", repeat=4)]
SMALL = {"hidden_dim": 32, "num_layers": 1, "feed_forward_dim": 64, "dropout": 0.0}
QUICK = {"tokenizer": "word", "learning_rate": 0.01, "warmup_steps": 0, "batch_size": 16, "average_checkpoints": 3}


@pytest.fixture(scope="module")
def translator():
    return TextToText.train(PAIRS, validation=0.2, epochs=30, **SMALL, **QUICK)


def test_numbers_are_translated_into_words(translator, capsys):
    assert translator.generate("7 3 0 0")[0].text == "seven three zero zero"
    report = translator.evaluate(PAIRS, num_beams=2)
    assert report.bleu > 95 and report.texts == len(PAIRS)
    assert translator.evaluate([pair.source for pair in PAIRS], [pair.target for pair in PAIRS]).bleu > 95
    assert translator.evaluate(PAIRS[:9], metric="rouge").rouge1 > 95


def test_an_alignment_says_what_each_word_looks_at(translator):
    found = translator.alignment("7 3 0 0")
    assert found.source == ["7", "3", "0", "0"] and found.target == ["seven", "three", "zero", "zero", "</s>"]
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-5)
    ids = translator.sources.encode("7 3 0 0"), [translator.target_tokenizer.bos_id]
    ids[1].extend(translator.target_tokenizer.encode("seven three zero zero"))
    (weights,) = translator.model.attention_weights(*(np.array([row]) for row in ids))
    np.testing.assert_allclose(found.weights, np.asarray(weights)[0].mean(0), rtol=1e-5)
    axes = found.plot().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == found.target
    assert translator.alignment("7", "seven three").weights.shape == (3, 1)
    with pytest.raises(InputError, match="no token"):
        translator.alignment("")
    with pytest.raises(InputError, match="layer is 4"):
        translator.alignment("7", layer=4)


def test_the_weights_that_are_kept_are_the_best_that_were_measured(translator):
    _, held_out = train_and_held_out(PAIRS, None, 0.2, 0)
    values = translator.history["val_bleu"]
    assert len(values) == 30 == len(translator.history["loss"]) and values[0] < values[-1]
    written = translator.evaluate(held_out).bleu
    assert written >= max(values) - 1e-9  # the mean of the last weights may be better than each of them


def test_the_mean_of_the_last_weights_is_tried_and_taken_where_it_is_better(capsys, monkeypatch):
    from lm_keras.tasks import text_to_text_training

    kept = []
    before = text_to_text_training.BestByWriting.on_epoch_end

    def watched(self, epoch, logs=None):
        before(self, epoch, logs)
        kept.append((self, self.model.get_weights()))

    monkeypatch.setattr(text_to_text_training.BestByWriting, "on_epoch_end", watched)
    made = TextToText.train(PAIRS, validation=PAIRS[:8], epochs=5, **SMALL, **QUICK)
    chosen, _ = kept[0]
    means = [np.mean(parts, 0) for parts in zip(*(weights for _, weights in kept[-3:]), strict=True)]
    best = kept[int(np.argmax(chosen.values))][1]
    expected = means if chosen.averaged >= max(chosen.values) else best
    for weight, value in zip(made.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-5, atol=1e-7)
    told = capsys.readouterr().out
    assert told.count("→") == 5 and f"[{PAIRS[0].target}]" in told  # a text of each epoch beside its reference


def test_it_stops_when_the_measure_gets_no_better():
    made = TextToText.train(
        PAIRS, validation=PAIRS[:4], epochs=40, patience=1, metric="chrf", learning_rate=1e-9, **SMALL,
        **{name: value for name, value in QUICK.items() if name != "learning_rate"},
    )  # fmt: skip
    assert len(made.history["val_chrf"]) == 3  # the first is the best, and two after it are no better


def test_an_lstm_with_two_vocabularies_cut_sources_and_a_folder(tmp_path):
    made = TextToText.train(
        [pair.source for pair in PAIRS],
        [pair.target for pair in PAIRS],
        model="lstm", tokenizer="char", target_tokenizer="word", embedding_dim=16, hidden_dim=32,
        max_source_tokens=3, max_target_tokens=2, validation=0.1, epochs=12, metric="rougeL",
        **{name: value for name, value in QUICK.items() if name != "tokenizer"},
    )  # fmt: skip
    assert made.source_tokenizer is not made.target_tokenizer and made.options == {"max_source_tokens": 3}
    asked = ["3 7 0 0", "3 7 3 7", "3 7"]
    texts = [found.text for found in made.generate(asked, max_new_tokens=2)]
    assert texts == ["three seven"] * 3  # of a source the first three characters are read, of a target two words
    made.save(tmp_path / "run")
    again = TextToText.load(tmp_path / "run")
    assert [found.text for found in again.generate(asked, max_new_tokens=2)] == texts
    served = again.signatures().signatures["generate"]
    out = served(tf.constant(asked), tf.constant([2, 2, 2]))
    assert [text.decode() for text in out["completion"].numpy()] == texts


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"sources": "a"}, "lists of strings, got one string"),
        ({"sources": [("a", "b")] * 3}, "all pairs have one source"),
        ({"model": "gru"}, "model is 'gru'; give 'transformer', 'lstm', 'pointer_generator' or a Seq2SeqLM"),
        ({"tokenizer": "unigram"}, "tokenizer"),
        ({"metric": "meteor"}, "metric"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"average_checkpoints": 0}, "average_checkpoints"),
        ({"validation": 1.5}, "validation"),
        ({"validation": [("a", 2)]}, "validation source 0"),
        ({"width": 3}, "width"),
        ({"output_dir": "x"}, "output_dir"),
    ],
)
def test_what_cannot_be_is_refused(changed, message):
    arguments = {"sources": PAIRS[:4], "epochs": 1, **SMALL, **QUICK, **changed}
    with pytest.raises(InputError, match=message):
        TextToText.train(arguments.pop("sources"), **arguments)


def test_a_source_stands_on_one_side_of_the_split():
    doubled = [TextPair(pair.source, other) for pair in PAIRS for other in (pair.target, pair.target.upper())]
    train, held_out = train_and_held_out(doubled, None, 0.25, 3)
    assert len(train) + len(held_out) == len(doubled) and len(held_out) == 2 * len(PAIRS) // 4
    assert not {pair.source for pair in train} & {pair.source for pair in held_out}
    assert lk.data.pairs(held_out, None, lk.text.CharTokenizer.train(["a"])).batch_size == 64
