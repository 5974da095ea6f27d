"""`lm-keras train --max-steps`: the run ends there, within an epoch too, and goes on with more of them."""

from lm_keras.cli.parser import main
from lm_keras.training.run.log import read_rows


def test_train_stops_after_max_steps_and_goes_on(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("to be, or not to be\n" * 40)
    command = [
        "train",
        "--data",
        str(tmp_path / "a.txt"),
        "--valid",
        str(tmp_path / "a.txt"),
        "--out",
        str(tmp_path / "run"),
    ]
    sizes = ["--length", "10", "--batch-size", "8", "--hidden-dim", "4", "--embedding-dim", "4", "--num-layers", "1"]
    every = ["--tokenizer", "char", "--model", "lstm", "--logging-steps", "1", *sizes]
    for more, steps in ([], 3), (["--resume"], 5):
        assert main([*command, *every, "--max-steps", str(steps), *more]) == 0
        rows = [row["step"] for row in read_rows(tmp_path / "run" / "metrics.csv") if "loss" in row]
        assert rows == list(range(1, steps + 1))
    assert "validation perplexity" in capsys.readouterr().out
