"""After `import lm_keras`, Keras reads every model of this library: with what it was compiled with and its state."""

import ast
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from small_models import build, inputs_of

import lm_keras as lk
from lm_keras.utils.serializable import CLASSES


def test_every_registered_class_is_in_the_table():
    root, found = Path(lk.__file__).parent, {}
    for path in root.rglob("*.py"):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(
                "keras_serializable" in ast.unparse(d) for d in node.decorator_list
            ):
                found[node.name] = module
    assert found == CLASSES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models after an epoch of `fit`: x.keras, and what they answer."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    ids, y = rng.integers(1, 9, (6, 5)), rng.integers(0, 2, 6)
    bert = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
    config = lk.TrainingConfig(epochs=2, batch_size=2, learning_rate=0.01, schedule="constant")
    encoder = lk.models.build_bert(9, max_length=5, hidden_dim=4, num_layers=1, num_heads=1, dropout=0.0, seed=0)
    models = {
        "lstm": (lk.models.build_lstm_lm(9, embedding_dim=4, hidden_dim=4, seed=0), ids, ids),
        "classifier": (lk.models.sequence_classifier(encoder, 2, dropout=0.0, seed=0), bert, y),
    }
    for name, (model, x, labels) in models.items():
        lk.fit(model, (x, labels), config=config)
        model.save(folder / f"{name}.keras")
        np.savez(folder / f"{name}.npz", labels=labels, **(x if isinstance(x, dict) else {"ids": x}))
        np.save(folder / f"{name}.npy", model.predict(x, verbose=0))
        model.fit(x, labels, batch_size=6, epochs=1, verbose=0)  # goes on from the state of the optimizer
        np.save(folder / f"{name}_after.npy", model.predict(x, verbose=0))
    return folder


LOADS = """
import sys
{imports}
import numpy as np
for name in {names}:
    path = sys.argv[1] + "/" + name
    model = keras.models.load_model(path + ".keras")
    x = dict(np.load(path + ".npz")); y = x.pop("labels"); x = x.get("ids", x)
    np.testing.assert_allclose(model.predict(x, verbose=0), np.load(path + ".npy"), atol=1e-6)
    assert int(model.optimizer.iterations) == 6
    assert abs(float(model.optimizer.learning_rate) - 0.01) < 1e-7
    model.fit(x, y, batch_size=6, epochs=1, verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0), np.load(path + "_after.npy"), atol=1e-5)
print("equal")
"""


@pytest.mark.parametrize(
    ("imports", "names"),
    [("import lm_keras, keras", ["classifier"]), ("import keras, lm_keras", ["lstm"])],
)
def test_a_new_process_goes_on_from_a_file(folder, warm_python, imports, names):
    python = sys.executable if imports.startswith("import lm_keras") else warm_python  # which has Keras already
    code = LOADS.format(imports=imports, names=names)
    done = subprocess.run([python, "-c", code, str(folder)], capture_output=True, text=True)
    assert done.stdout.strip().endswith("equal"), done.stderr


def test_a_model_compiled_by_its_user_comes_back_compiled(tmp_path):
    family = "feedforward"
    model = build(family)
    model.compile("adam", lk.losses.CrossEntropy(), jit_compile=False)
    x = inputs_of(family, 2, 5)
    y = np.zeros((2, 5), "int32")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)
