"""What `TextClassifier.train` made answers in an export as in Python, alone and in batches, for any bytes."""

import json

import numpy as np
import pytest
import tensorflow as tf

import lm_keras as lk

SIZES = {"embedding_dim": 6, "epochs": 1, "batch_size": 16, "learning_rate": 0.05}
ODD = ["", " \u3000\n", "a\0b", "cafe\u0301 😀 \ufeff", "[CLS] <eos> <pad>", "market " * 60]


def made(name, texts):
    """A classifier, and what it is asked."""
    firsts = [f"{i} {text}" for i, text in enumerate(texts)]
    if name == "pairs":
        rows = list(zip(firsts, texts[::-1], strict=True))
        sizes = {"kernel_sizes": (1, 3), "num_filters": 5, "max_length": 19}
        labels = [["no", "yes"][i % 2] for i in range(len(rows))]
        return lk.tasks.TextClassifier.train(rows[:64], labels[:64], encoder="cnn", **sizes, **SIZES), rows
    labels = [[["a"], [], ["b", 'the "c"'], ["a", "b"]][i % 4] for i in range(len(texts))]
    options = {"multi_label": True, "encoder": "bilstm", "hidden_dim": 4}
    return lk.tasks.TextClassifier.train(firsts[:64], labels[:64], **options, **SIZES), firsts


@pytest.mark.parametrize("name", ["pairs", "several"])
def test_an_export_answers_as_python_alone_and_in_batches(name, news, tmp_path):
    texts = [*(text[: 40 + 3 * i] for i, text in enumerate(news[:114])), *ODD]
    classifier, rows = made(name, texts)
    served = tf.saved_model.load(str(lk.export(classifier, tmp_path / name))).signatures["classify"]

    def ask(some):
        sides = zip(*some, strict=True) if classifier.pairs else [some]
        inputs = zip(("text", "text_pair"), sides, strict=False)
        return {
            output: value.numpy() for output, value in served(**{k: tf.constant(list(v)) for k, v in inputs}).items()
        }

    said, expected = classifier.classify(rows), classifier.probabilities(rows)
    assert np.ptp(expected, axis=0).max() > 0.05  # else equality would say little
    for size in (1, 7, 64):
        parts = [ask(rows[i : i + size]) for i in range(0, len(rows), size)]
        found = {output: np.concatenate([part[output] for part in parts]) for output in parts[0]}
        np.testing.assert_allclose(found["scores"], expected, atol=1e-5)
        assert [label.decode() for label in found["label"]] == [one.label for one in said]
        if classifier.multi_label:
            assert [json.loads(labels) for labels in found["labels"]] == [one.labels for one in said]
    rng = np.random.default_rng(0)
    junk = [(rng.bytes(i % 50), rng.bytes(i % 7)) if classifier.pairs else rng.bytes(i % 50) for i in range(200)]
    scores = ask(junk)["scores"]
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(ask(junk[7:8])["scores"], scores[7:8], atol=1e-5)
