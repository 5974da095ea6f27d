"""Commands of `lm-keras`, called in this process."""

from lm_keras.cli.parser import main


def run(capsys, *words):
    """What a command that ends well prints."""
    assert main([*map(str, words)]) in (0, None)
    return capsys.readouterr().out


def refused(capsys, *words):
    """What a command says of bad input, which ends it with the exit code 2."""
    try:
        code = main([*map(str, words)])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    return capsys.readouterr().err
