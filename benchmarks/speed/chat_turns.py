"""The time of a reply at turn 10 beside one at turn 1, with the state that a conversation keeps and without it.

python benchmarks/speed/chat_turns.py MODEL --rounds 3

MODEL: a .gguf file, a folder, a run or a name. `kept`: Conversation.stream, which reads the new message alone;
`anew`: `lm.stream_chat` of the same messages, which reads all of them. Both say the same; medians of the rounds, in
which both take turns, after one that is not counted. Seconds of a reply, and of its first piece.
"""

import argparse
import json
import statistics
import time

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.cli.run import load_model

TURNS, NEW = 10, 24
SAID = (
    *("Tell me about the river Rhine.", "Where does it begin?", "Which cities lie on it?", "How long is it?"),
    *("Which countries does it pass?", "What is shipped on it?", "When did it flood?", "What fish live in it?"),
    *("Who wrote of it?", "Where does it end?"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a .gguf file, a folder, or a name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new", type=int, default=NEW, help="tokens of a reply")
    options = parser.parse_args()
    lm = load_model(options.model)
    seconds = {}  # (side, what, turn) -> list
    for turn in range(options.rounds + 1):
        sides = ["kept", "anew"] if turn % 2 else ["anew", "kept"]
        said = {side: talk(lm, side, options.new, seconds if turn else {}) for side in sides}
        assert said["kept"] == said["anew"]
    for side in ("kept", "anew"):
        for what in ("first", "whole"):
            times = [statistics.median(seconds[side, what, turn]) for turn in range(TURNS)]
            print(json.dumps({
                "side": side, "what": what, "turn 1, s": round(times[0], 3), "turn 10, s": round(times[-1], 3),
                "ratio": round(times[-1] / times[0], 2),
            }), flush=True)  # fmt: skip


def talk(lm, side, new, seconds):
    """The messages of one conversation; the times of its turns are added to `seconds`."""
    options = {"max_new_tokens": new, "min_new_tokens": new, "temperature": 0}
    conversation, messages = lk.contexts.Conversation(lm, **options), []
    for turn, text in enumerate(SAID):
        messages.append({"role": "user", "content": text})
        start, first, reply = time.perf_counter(), None, ""
        pieces = conversation.stream(text) if side == "kept" else lm.stream_chat(messages, **options)
        for piece in pieces:
            first = first or time.perf_counter() - start
            reply += piece
        whole = time.perf_counter() - start
        messages.append({"role": "assistant", "content": reply})
        for what, value in (("first", first or whole), ("whole", whole)):
            seconds.setdefault((side, what, turn), []).append(value)
    return messages


if __name__ == "__main__":
    main()
