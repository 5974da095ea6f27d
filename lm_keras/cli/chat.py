"""`lm-keras chat`: a conversation with a model in a terminal, or one line of standard input a turn."""

import contextlib
import sys

from lm_keras.cli.options import Commands, add_import
from lm_keras.cli.run import MODELS, add_generation_options, load_model
from lm_keras.errors import InputError, naming
from lm_keras.generation.config import GenerationConfig, options_of
from lm_keras.utils import quiet

NEW_TOKENS = 256  # of an answer, or half of what the model sees
HELP = "/reset forgets the messages, /system TEXT sets the system's message, /save FILE writes all, /quit ends"


def add_commands(commands: Commands) -> None:
    """Adds `chat` to the commands of `lm-keras`."""
    chatting = commands.add_parser("chat", help="talk with a model that has a chat template")
    chatting.set_defaults(call=chat)
    chatting.add_argument("run", help=MODELS)
    chatting.add_argument("--system", metavar="TEXT", help="the system's message")
    chatting.add_argument("--load", metavar="FILE", help="go on with a conversation that /save wrote")
    taken = [name for name, option in options_of().items() if option.stream and name != "begin"]
    add_generation_options(chatting, taken)
    # Of a saved conversation what was given then holds, unless it is given again.
    chatting.set_defaults(**dict.fromkeys(taken))
    add_import(chatting)


def chat(options):
    given = {name: value for name in options_of() if (value := getattr(options, name, None)) is not None}
    language_model = load_model(options.run)
    from lm_keras.contexts import Conversation

    window = language_model.model.context_length
    default = {"max_new_tokens": NEW_TOKENS if window is None else min(NEW_TOKENS, window // 2)}
    if options.load is not None:
        talk = Conversation.load(options.load, language_model)
        talk.config = GenerationConfig(**default | talk.config.changed() | given)
    else:
        with naming(options.run):
            talk = Conversation(language_model, **default | given)
    if options.system is not None:
        talk.system = options.system
    for line in _lines():
        if line.startswith("/"):
            if not _command(talk, *line.partition(" ")[::2]):
                return
        elif line:
            _answer(talk, line)


def _answer(talk, text):
    """Prints the reply while it is made; Ctrl-C ends it, and what was printed is what the model has said."""
    try:
        with contextlib.closing(talk.stream(text)) as pieces:
            for piece in pieces:
                quiet.check()
                print(piece, end="", flush=True)
    except KeyboardInterrupt:
        quiet.watch()  # which forgets that it was pressed
    except InputError as error:
        quiet.complain(f"lm-keras: {error}")
        return
    print(flush=True)


def _command(talk, name, text):
    """Whether the program goes on after a command."""
    if name == "/quit":
        return False
    if name == "/reset":
        talk.reset()
    elif name == "/system":
        talk.system = text.strip() or None
    elif name == "/save" and text.strip():
        try:
            talk.save(text.strip())
        except InputError as error:
            quiet.complain(f"lm-keras: {error}")
    else:
        quiet.complain(HELP)
    return True


def _lines():
    """The lines that are typed or piped, without white space around them; Ctrl-C at a prompt begins a new one."""
    if hasattr(sys.stdin, "reconfigure"):
        with contextlib.suppress(OSError, ValueError):
            sys.stdin.reconfigure(errors="replace")
    if not (sys.stdin.isatty() and quiet.on_terminal()):
        for line in sys.stdin:
            yield line.strip()
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  `input` then edits lines and remembers them
    print(HELP)
    while True:
        try:
            yield input("> ").strip()
        except KeyboardInterrupt:
            quiet.watch()
            print()
        except EOFError:
            print()
            return
