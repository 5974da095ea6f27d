"""`lm-keras chat`: piped lines are turns, commands, Ctrl-C, and what is refused."""

import io
import json

import pytest
from chats import chat_tokenizer
from small_models import tiny_lm

import lm_keras as lk
from lm_keras.cli.parser import main
from lm_keras.contexts import Conversation

GREEDY = ["--max-new-tokens", "6", "--temperature", "0"]


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    lm = tiny_lm("llama", chat_tokenizer(), 0.4, max_length=96)
    lm.save(folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield lm


@pytest.fixture
def chat(monkeypatch, capsys, lm):
    """Runs the command with lines on standard input: (exit code, what it printed, what it complained of)."""

    def run(lines, *arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        code = main(["chat", "run", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def said(lm, *texts, system=None, **options):
    talk = Conversation(lm, system, **{"max_new_tokens": 6, "temperature": 0, **options})
    return [talk.say(text) for text in texts]


def test_each_line_is_a_turn(lm, chat):
    code, out, err = chat(["some turns", "", "  and so on "], *GREEDY)
    assert (code, err) == (0, "")
    assert out == "".join(f"{answer}\n" for answer in said(lm, "some turns", "and so on"))


def test_options_and_the_system(lm, chat):
    options = ["--top-p", "0.9", "--seed", "4", "--max-new-tokens", "5", "--stop", "o"]
    _, out, _ = chat(["some turns"], "--system", "so on", *options)
    (answer,) = said(lm, "some turns", system="so on", temperature=1.0, top_p=0.9, seed=4, max_new_tokens=5, stop="o")
    assert out == f"{answer}\n"


def test_without_options_an_answer_has_half_of_the_window(lm, chat):
    _, out, _ = chat(["some"], "--temperature", "0")
    assert out == f"{said(lm, 'some', max_new_tokens=48)[0]}\n"


def test_commands(lm, chat, tmp_path):
    file = tmp_path / "talk.json"
    code, out, err = chat(
        ["some turns", "/reset", "some turns", "/system so on", "user", f"/save {file}", "/quit", "and so on"],
        *GREEDY,
    )
    first, again, after, *rest = out.splitlines(keepends=True)
    assert (code, err, rest) == (0, "", [])
    assert first == again == f"{said(lm, 'some turns')[0]}\n"
    talk = Conversation.load(file, lm)
    assert talk.system == "so on" and len(talk.messages) == 4
    assert after == f"{talk.messages[-1]['content']}\n"
    options = json.loads(file.read_text())["options"]
    assert options == {"max_new_tokens": 6, "temperature": 0.0}
    _, out, _ = chat(["and so on"], "--load", str(file))
    assert out == f"{talk.say('and so on')}\n"
    talk = Conversation.load(file, lm)
    _, out, _ = chat(["and so on"], "--load", str(file), "--max-new-tokens", "2")
    assert out == f"{talk.say('and so on', max_new_tokens=2)}\n"


def test_mistakes_cost_one_line_and_the_talk_goes_on(lm, chat, tmp_path):
    lines = ["/zebra", "/save", f"/save {tmp_path}", "some turns " * 60, "some turns"]
    code, out, err = chat(lines, *GREEDY)
    assert code == 0 and out == f"{said(lm, 'some turns')[0]}\n"
    assert len(err.splitlines()) == 4
    assert err.splitlines()[0].startswith("/reset forgets the messages")
    assert "the last turn" in err or "the chat has" in err


def test_ctrl_c_ends_the_answer_and_not_the_program(lm, chat, monkeypatch):
    decode, calls = type(lm.tokenizer).decode, []

    def pressed(self, *arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return decode(self, *arguments)

    monkeypatch.setattr(type(lm.tokenizer), "decode", pressed)
    code, out, err = chat(["some turns", "/save talk.json", "and so on"], *GREEDY)
    monkeypatch.undo()
    (whole,) = said(lm, "some turns")
    shown, after = out.splitlines()
    assert (code, err) == (0, "") and whole.startswith(shown) and whole != shown
    talk = Conversation.load("talk.json", lm)
    assert [message["content"] for message in talk.messages] == ["some turns", shown]
    assert after == talk.say("and so on")


def test_a_terminal_has_a_prompt_and_ctrl_c_there_begins_a_new_line(lm, monkeypatch, capsys):
    typed = iter(["some turns", KeyboardInterrupt, "/reset", EOFError])

    def read(prompt):
        print(end=prompt)
        line = next(typed)
        if not isinstance(line, str):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    assert main(["chat", "run", *GREEDY]) == 0
    help, first, second, third, *rest = capsys.readouterr().out.splitlines()
    assert help.startswith("/reset") and first == f"> {said(lm, 'some turns')[0]}"
    assert (second, third, rest) == ("> ", "> > ", [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plain"], "plain: the tokenizer of this language model has no chat template"),
        (["nothing"], "nothing is not a folder"),
        (["run", "--load", "none.json"], "none.json does not exist"),
        (["run", "--temperature", "-1"], "--temperature"),
        (["run", "--stop-token", "zebra"], "'zebra'"),
        (["run", "--num-beams", "2"], "--num-beams"),
    ],
)
def test_what_is_refused_costs_one_line(lm, arguments, said, capsys, monkeypatch):
    plain = chat_tokenizer()
    plain.chat_template = None
    lk.LanguageModel(lm.model, plain).save("plain")
    monkeypatch.setattr("sys.stdin", io.StringIO("some\n"))
    try:
        code = main(["chat", *arguments])
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    (line,) = printed.err.splitlines()
    assert said in line
