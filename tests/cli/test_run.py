"""`lm-keras generate`: each option prints what the library gives."""

import pytest
from small_models import tiny_lm

import lm_keras as lk
from lm_keras.cli.parser import main

PROMPT = ["generate", "run", "--prompt", "a b", "--max-new-tokens", "5"]


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generate")
    lm = tiny_lm("lstm", lk.text.WordTokenizer.train(["a b c d e f g h"]))
    lm.save(folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield lm


@pytest.mark.parametrize(
    "arguments, options",
    {
        "--min-p 0.4 --seed 2": {"min_p": 0.4, "seed": 2},
        "--min-new-tokens 5 --stop-token c": {"min_new_tokens": 5, "stop_tokens": ["c"]},
        "--num-return-sequences 3": {"num_return_sequences": 3},
        "--num-beams 4 --num-return-sequences 4 --length-penalty -1": {
            "num_beams": 4,
            "num_return_sequences": 4,
            "length_penalty": -1,
        },
        "--penalty-alpha 0.6 --top-k 3": {"penalty_alpha": 0.6, "top_k": 3},
    }.items(),
)
def test_options_print_what_the_library_gives(lm, capsys, arguments, options):
    assert main([*PROMPT, *arguments.split()]) == 0
    texts = [f"a b{made.text}\n" for made in lm.generate("a b", max_new_tokens=5, **options)]
    assert capsys.readouterr().out == "".join(texts)
    if len(texts) == 1 and "penalty_alpha" not in options:
        assert main([*PROMPT, *arguments.split(), "--stream"]) == 0
        assert capsys.readouterr().out == texts[0]


def test_choices_are_printed_best_first_with_their_probabilities(lm, capsys):
    assert main([*PROMPT, "--choices", "c", "d e", "f"]) == 0
    lines = [f"{choice.probability:.4f} {choice.answer}" for choice in lm.choose("a b", ["c", "d e", "f"])[0]]
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize("arguments, message", [
    ("--min-p 2", "--min-p"), ("--min-new-tokens 6", "above max_new_tokens=5"), ("--stop-token zebra", "'zebra'"),
    ("--num-beams 2 --stream", "--num-beams"), ("--penalty-alpha 0.5 --top-k 2 --stream", "--penalty-alpha"),
    ("--num-return-sequences 2 --stream", "--num-return-sequences"), ("--length-penalty nan", "length_penalty"),
    ("--penalty-alpha 0.5", "top_k"), ("--choices", "--choices"),
])  # fmt: skip
def test_mistakes_cost_one_line(lm, capsys, arguments, message):
    try:
        code = main([*PROMPT, *arguments.split()])
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    (line,) = printed.err.splitlines()
    assert message in line
