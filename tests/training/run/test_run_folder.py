"""The folder of a run: one writer at a time from the first look to the last file, and a run for the command line."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

import lm_keras as lk
from lm_keras.cli import train as train_command
from lm_keras.cli.parser import main
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import claimed, write_json
from lm_keras.utils.saved_kinds import CHECKPOINT

X = np.random.default_rng(0).integers(3, 9, (8, 5)).astype("int32")
TOKENIZER = lk.text.WordTokenizer.train(["a b c d e f g a b c d"], vocab_size=9, language=None)
QUICK = {"batch_size": 4, "warmup_steps": 0, "epochs": 1}
HOLDER = """
import sys
from lm_keras.utils.atomic_files import claimed
with claimed(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def small(seed=0, **sizes):
    sizes = {"context_length": 2, "embedding_dim": 4, "hidden_dim": (5,), **sizes}
    return lk.models.build_feedforward_lm(TOKENIZER.vocab_size, seed=seed, **sizes)


def gpt2():
    return lk.models.build_gpt2(9, max_length=8, hidden_dim=8, num_layers=1, num_heads=1)


def fit(model, folder, *, tokenizer=None, callbacks=(), **settings):
    config = lk.TrainingConfig(output_dir=folder, **{**QUICK, **settings})
    return lk.fit(model, (X, X), config=config, callbacks=callbacks, tokenizer=tokenizer)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def in_thread(function):
    """What `function` returns in another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(120)
    return results[0]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for name, words in (("one", "the cat sat on the mat and "), ("other", "a dog ran to some red door or ")):
        (folder / f"{name}.txt").write_text("\n".join([words * 3] * 12), encoding="utf-8")
    return folder


def train(text, out):
    sizes = ["--embedding-dim", "4", "--hidden-dim", "5", "--context-length", "2", "--length", "5", "--epochs", "1"]
    command = ["train", "--model", "feedforward", "--tokenizer", "word", "--language", "none", *sizes]
    return [*command, "--data", str(text), "--out", str(out)]


# === One writer ===
def test_a_second_train_is_refused_while_the_first_still_reads(texts, tmp_path, monkeypatch, capsys):
    """The first has looked at the empty folder and reads; one that trains there meanwhile would be overwritten."""
    out, codes, read = tmp_path / "run", [], train_command._training_texts

    def slow(*arguments):
        if not codes:
            codes.append(None)
            codes.append(in_thread(lambda: main(train(texts / "one.txt", out))))
        return read(*arguments)

    monkeypatch.setattr(train_command, "_training_texts", slow)
    codes.append(main(train(texts / "other.txt", out)))
    assert codes[1:] == [2, 0]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{out} is in use: another process trains or saves there" in line
    assert json.loads((out / "run.json").read_text())["data"] == str(texts / "other.txt")
    assert "dog" in lk.LanguageModel.load(out).tokenizer.tokens


def test_nothing_is_written_where_another_process_holds_the_folder(texts, tmp_path, capsys):
    out = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert main(train(texts / "one.txt", out)) == 2
        for attempt in (
            lambda: fit(small(), out),
            lambda: lk.LanguageModel(small(), TOKENIZER).save(out),
            lambda: lk.models.save_pretrained(gpt2(), out),
        ):
            with pytest.raises(InputError, match="in use"):
                attempt()
        assert list(out.iterdir()) == []
        holder.stdin.close()
        assert holder.wait(60) == 0
    assert not out.exists()  # it made the folder, and left nothing in it
    assert main(train(texts / "one.txt", out)) == 0
    assert capsys.readouterr().err.count("in use") == 1


def test_a_run_that_ends_just_before_the_lock_is_seen(tmp_path, monkeypatch):
    lock = fcntl.flock

    def late(handle, operation):
        if operation & fcntl.LOCK_EX:
            (tmp_path / CHECKPOINT).write_bytes(b"of another run")
        return lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(InputError, match="already holds a run"):
        fit(small(), tmp_path)
    assert contents(tmp_path) == {Path(CHECKPOINT): b"of another run"}


def test_a_callback_may_save_into_the_folder_of_its_run(tmp_path):
    model = small()
    save = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: lk.LanguageModel(model, TOKENIZER).save(tmp_path)
    )
    fit(model, tmp_path, callbacks=[save])
    loaded = lk.LanguageModel.load(tmp_path).model.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(loaded, model.get_weights(), strict=True))


def test_a_folder_that_a_refused_command_made_is_removed_again(tmp_path):
    with pytest.raises(RuntimeError), claimed(tmp_path / "a" / "b"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="cannot be written"), claimed(tmp_path / "a" / ("x" * 300)):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with claimed(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").exists()


@pytest.mark.parametrize("replaced", range(4))
def test_a_save_that_is_cut_off_leaves_no_mixture(replaced, tmp_path, monkeypatch):
    """Killed after any of its renames, what is there is one of the two models, or refused."""
    other = lk.text.WordTokenizer.train(["q r s t u v w"], vocab_size=9, language=None)
    models = [lk.LanguageModel(small(seed), words) for seed, words in ((0, TOKENIZER), (1, other))]
    models[0].save(tmp_path)
    scores, rename, done = [model.score("a b c")[0] for model in models], Path.replace, []

    def cut(self, target):
        if Path(target).parent == tmp_path:
            if len(done) == replaced:
                raise KeyboardInterrupt
            done.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", cut)
    try:
        models[1].save(tmp_path)
    except KeyboardInterrupt:
        pass
    else:
        assert replaced == 3
    monkeypatch.undo()
    try:
        found = lk.LanguageModel.load(tmp_path).score("a b c")[0]
    except InputError:
        assert replaced < 3
    else:
        assert found in scores
    models[1].save(tmp_path)
    assert lk.LanguageModel.load(tmp_path).score("a b c")[0] == scores[1]
    assert len(list(tmp_path.iterdir())) == 3


# === What a save would spoil ===
def spoiled(model):
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])


def classifier():
    model = lk.models.build_cnn_classifier(9, num_classes=2, embedding_dim=4, num_filters=3, kernel_sizes=(2,))
    return lk.tasks.TextClassifier(model, TOKENIZER, ["x", "y"])


SAVES = {
    "language model": (lambda: lk.LanguageModel(small(), TOKENIZER), lambda lm, folder: lm.save(folder)),
    "pretrained": (lambda: lk.LanguageModel(gpt2(), None), lk.models.save_pretrained),
    "task": (classifier, lk.tasks.save),
}


@pytest.mark.parametrize("kind", SAVES)
def test_weights_that_no_load_would_take_replace_nothing(kind, tmp_path):
    make, save = SAVES[kind]
    saved = make()
    save(saved, tmp_path)
    before = contents(tmp_path)
    spoiled(saved.model)
    with pytest.raises(InputError, match="holds NaN or infinity; .* nothing was written"):
        save(saved, tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("there", "kind"),
    [
        ("task", "language model"),
        ("task", "pretrained"),
        ("language model", "task"),
        ("language model", "pretrained"),
    ],
)
def test_a_folder_of_another_kind_is_not_saved_into(there, kind, tmp_path):
    """It would hold both, of which one can be loaded."""
    make, save = SAVES[there]
    save(make(), tmp_path)
    before = contents(tmp_path)
    make, save = SAVES[kind]
    with pytest.raises(InputError, match=r"is a saved (text|language) model.*; give another folder"):
        save(make(), tmp_path)
    assert contents(tmp_path) == before


def test_what_is_told_of_a_run_is_of_its_weights(tmp_path):
    lm = lk.LanguageModel(small(), TOKENIZER)
    lm.save(tmp_path)
    write_json(tmp_path / "result.json", {"validation": {"perplexity": 2.0}})
    lm.save(tmp_path)
    assert train_command.told_by(tmp_path)["metrics"] == {"validation": {"perplexity": 2.0}}
    lk.LanguageModel(small(1), TOKENIZER).save(tmp_path)
    assert "metrics" not in train_command.told_by(tmp_path)


# === A run for the command line ===
def printed(capsys, *arguments):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_a_language_model_brings_its_tokenizer(tmp_path):
    lm = lk.LanguageModel(small(), TOKENIZER)
    fit(lm, tmp_path)
    loaded = lk.LanguageModel.load(tmp_path)
    assert loaded.tokenizer.tokens == TOKENIZER.tokens
    assert np.array_equal(loaded.model.get_weights()[0], lm.model.get_weights()[0])


def test_an_output_dir_with_a_tokenizer_is_a_run(tmp_path, capsys):
    lm = lk.LanguageModel(small(), TOKENIZER)
    fit(lm.model, tmp_path, tokenizer=TOKENIZER)
    scored = json.loads(printed(capsys, "score", tmp_path, "--text", "a b", "--json"))
    assert scored == pytest.approx(lm.score("a b")[0]._asdict())
    text = lm.generate("a", max_new_tokens=4, seed=3)[0].text
    assert printed(capsys, "generate", tmp_path, "--prompt", "a", "--max-new-tokens", 4, "--seed", 3) == f"a{text}\n"
    assert main(train("x.txt", tmp_path)[:-2] + ["--out", str(tmp_path), "--resume"]) == 2
    assert "is a saved language model" in capsys.readouterr().err


def test_evaluate_takes_windows_that_the_model_can_read(tmp_path, texts, capsys):
    fit(gpt2(), tmp_path, tokenizer=TOKENIZER)
    told = json.loads(printed(capsys, "evaluate", tmp_path, "--data", texts / "one.txt", "--json"))
    assert told["tokens"] > 200


def test_a_run_with_a_tokenizer_that_was_cut_off_is_named_and_resumed(tmp_path, capsys):
    def stop(batch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            small(),
            tmp_path,
            tokenizer=TOKENIZER,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=stop)],
        )
    assert main(["score", str(tmp_path), "--text", "a"]) == 2
    assert "go on with lk.fit and TrainingConfig(resume=True)" in capsys.readouterr().err
    other = lk.text.WordTokenizer.train(["q r s t u v w"], vocab_size=9, language=None)
    with pytest.raises(InputError, match=r"tokenizer.json is there already and of another"):
        fit(small(), tmp_path, tokenizer=other, resume=True)
    fit(small(), tmp_path, tokenizer=TOKENIZER, resume=True)
    assert lk.LanguageModel.load(tmp_path).tokenizer.tokens == TOKENIZER.tokens


def test_without_a_tokenizer_the_way_to_a_run_is_named(tmp_path, capsys):
    model = small()
    fit(model, tmp_path)
    assert main(["score", str(tmp_path), "--text", "a"]) == 2
    assert "an lk.fit without a tokenizer, so it takes no text; save the model there" in capsys.readouterr().err
    lk.LanguageModel(model, TOKENIZER).save(tmp_path)
    assert "perplexity" in printed(capsys, "score", tmp_path, "--text", "a")


def test_a_model_that_is_there_already_is_not_trained_over(tmp_path):
    lk.LanguageModel(small(), TOKENIZER).save(tmp_path)
    before = contents(tmp_path)
    for tokenizer, resume in ((None, False), (TOKENIZER, False), (TOKENIZER, True)):
        with pytest.raises(InputError, match=r"holds a model \(model.safetensors\) and no checkpoint.safetensors"):
            fit(small(), tmp_path, tokenizer=tokenizer, resume=resume)
    assert contents(tmp_path) == before


def test_a_config_of_ones_own_is_not_overwritten(tmp_path):
    write_json(tmp_path / "config.json", {"lr": 3})
    with pytest.raises(InputError, match="config.json is there already"):
        fit(small(), tmp_path, tokenizer=TOKENIZER)
    assert contents(tmp_path) == {Path("config.json"): b'{\n "lr": 3\n}\n'}
    fit(small(), tmp_path)  # without a tokenizer it writes no such file


def test_a_tokenizer_that_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    ids = keras.Input((None,), dtype="int32")
    plain = keras.Model(ids, keras.layers.Dense(9)(keras.layers.Embedding(9, 2)(ids)), name="plain")
    larger = lk.text.CharTokenizer.train(["abc"])
    for model, tokenizer, said in (
        (plain, TOKENIZER, "plain is no language model of lm_keras.models.build_"),
        (small(), larger, "the model scores 9 words and the tokenizer has"),
    ):
        with pytest.raises(InputError, match=said):
            fit(model, tmp_path / "run", tokenizer=tokenizer)
    assert not (tmp_path / "run").exists()


def test_a_run_that_goes_on_without_its_tokenizer_ends_as_a_run(tmp_path):
    fit(small(), tmp_path, tokenizer=TOKENIZER)
    model = small()
    fit(model, tmp_path, resume=True, epochs=3)
    assert lk.LanguageModel.load(tmp_path).score("a b") == lk.LanguageModel(model, TOKENIZER).score("a b")


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fit(small(), "~/run")
    loads = (lk.LanguageModel.load, lambda folder: lk.models.load_pretrained(folder, tokenizer=False), lk.tasks.load)
    for (kind, (make, save)), load in zip(SAVES.items(), loads, strict=True):
        save(make(), f"~/{kind}")
        load(f"~/{kind}")
    small().save(tmp_path / "model.keras")
    lk.models.load_model("~/model.keras")
    assert {*os.listdir(tmp_path)} == {"run", "model.keras", *SAVES}  # noqa: PTH208


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", 5, None], ids=("long", "NUL", "number", "None"))
def test_what_is_no_path_is_one_line(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for load in (lk.LanguageModel.load, lk.models.load_pretrained, lk.tasks.load, lk.models.load_model):
        with pytest.raises(InputError):
            load(path)
    for make, save in SAVES.values():
        with pytest.raises(InputError):
            save(make(), path)
    if path is not None:
        with pytest.raises(InputError):
            fit(small(), path)
    assert contents(tmp_path) == {}


def test_what_is_no_tokenizer_is_one_line(tmp_path):
    for wrong in ("char", tmp_path, lk.LanguageModel(small(), TOKENIZER)):
        with pytest.raises(InputError, match=r"tokenizer is .*; give one of lm_keras.text"):
            fit(small(), tmp_path, tokenizer=wrong)
