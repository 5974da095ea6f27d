"""Models from .keras files: in a process that has imported nothing of the library yet, frozen or not, or damaged."""

import subprocess

import keras
import numpy as np
import pytest

import lm_keras as lk
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import write_tensors


def test_a_fresh_process_loads_a_trained_classifier(tmp_path, warm_python):
    encoder = lk.models.build_bert(31, max_length=9, hidden_dim=8, num_layers=1, num_heads=2, seed=0)
    model = lk.models.sequence_classifier(encoder, 2, pooling="mean")
    ids = np.arange(27).reshape(3, 9)
    x = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
    y = np.zeros(3, "int32")
    lk.fit(model, (x, y), config=lk.TrainingConfig(epochs=1, batch_size=2))
    model.save(tmp_path / "x.keras")
    np.savez(tmp_path / "x.npz", **x)
    code = (
        "import sys, numpy as np, lm_keras as lk; model = lk.models.load_model(sys.argv[1] + '/x.keras');"
        "np.save(sys.argv[1] + '/y.npy', model(dict(np.load(sys.argv[1] + '/x.npz'))))"
    )
    subprocess.run([warm_python, "-c", code, str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x), atol=1e-6)


def test_a_file_that_is_none_is_an_input_error(tmp_path):
    (tmp_path / "x.keras").write_text("no model")
    for path in (tmp_path / "x.keras", tmp_path, tmp_path / "missing.keras"):
        with pytest.raises(InputError, match="is no .keras file"):
            lk.models.load_model(path)


def test_what_was_thawed_stays_thawed(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(9, 4))
    model = lk.models.build_cnn_classifier(9, num_classes=2, embedding_matrix=vectors, train_embeddings=False)
    frozen = len(model.trainable_weights)
    model.get_layer("embedding").trainable = True
    model.save(tmp_path / "x.keras")
    assert len(lk.models.load_model(tmp_path / "x.keras").trainable_weights) == frozen + 1


def test_weights_that_are_no_numbers_are_named(tmp_path):
    tokenizer = lk.text.CharTokenizer.train(["ab"])
    model = lk.models.build_rnn_lm(tokenizer.vocab_size, embedding_dim=4, hidden_dim=4)
    lk.LanguageModel(model, tokenizer).save(tmp_path / "run")
    bias = model.get_layer("logits").bias
    bias.assign(np.where(np.arange(tokenizer.vocab_size) == 3, np.nan, 0.0))
    model.save(tmp_path / "x.keras")
    write_tensors(tmp_path / "run" / "model.safetensors", {w.path: np.asarray(w) for w in model.weights})
    for load, path in ((lk.models.load_model, tmp_path / "x.keras"), (lk.LanguageModel.load, tmp_path / "run")):
        with pytest.raises(lk.InputError, match="logits/bias in .* holds NaN or infinity; the training has diverged"):
            load(path)
    assert np.isnan(np.asarray(keras.models.load_model(tmp_path / "x.keras").get_layer("logits").bias)).any()


def test_steps_of_a_skip_that_no_file_has_room_for(tmp_path):
    model = lk.models.build_rnn_lm(264, embedding_dim=4, hidden_dim=4, skip=2)
    model.recipe.arguments["skip"] = 10**8
    model.save(tmp_path / "x.keras")
    with pytest.raises(lk.InputError, match="skip is 100000000, but the file"):
        lk.models.load_model(tmp_path / "x.keras")
