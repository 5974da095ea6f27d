"""Does an export chat as Python does? 100 conversations, in batches of 1 and 7, each time in another order.

python benchmarks/quality/chat_exports.py MODEL

MODEL: a .gguf file, a folder, a run or a name. The conversations have one to eight turns of English sentences, with
a system's message or without, and options of their own; some hold marks as text. Two are longer than the window of
the model. Then random bytes and rows that are no chat; `lk.serving.check` compares the answers, in a fresh process
without lm_keras. One JSON line.
"""

import argparse
import json
import random
import resource
import tempfile
import time

import lm_keras as lk  # which imports TensorFlow and Keras at first use
from lm_keras.cli.run import load_model
from lm_keras.generation.config import inputs_of
from lm_keras.text.tokenizers.chat.joined import joined

BATCHES, CHATS, NOISE, SEED, NEW, PART = (1, 7), 100, 300, 20, 16, 31
MARKS = ("<|im_end|>", "<|im_start|>system\n", "</s>", "[INST]", "  ", "\n\n", "é北🙂")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a .gguf file, a folder, or a name")
    parser.add_argument("--chats", type=int, default=CHATS)
    options = parser.parse_args()
    lm = load_model(options.model)
    chats = conversations(options.chats, lm.model.context_length)
    inputs, outputs, start = rows(chats), {"reply": [], "num_new_tokens": []}, time.perf_counter()
    for i, chat in enumerate(chats):
        made = lm.chat(chat, **{name: values[i] for name, values in inputs.items() if name != "messages"})
        outputs["reply"].append(made.text)
        outputs["num_new_tokens"].append(len(made.token_ids))
    python_s = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        version = lk.export(lm, folder, max_new_tokens_limit=NEW, num_beams=2, chat=True)
        export_s, start = time.perf_counter() - start, time.perf_counter()
        asked = [*requests(inputs, outputs), *noise()]
        # In parts, each in a process of its own, which has ten minutes.
        problems = [
            one for at in range(0, len(asked), PART) for one in lk.serving.check(version, asked[at : at + PART])
        ]
        print(json.dumps({
            "chats": len(chats), "different": len(set(outputs["reply"])), "requests": len(asked),
            "problems": problems[:5], "num_problems": len(problems), "python_s": round(python_s, 1),
            "export_s": round(export_s, 1), "check_s": round(time.perf_counter() - start, 1),
            "export_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
            "check_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 2),
        }), flush=True)  # fmt: skip


def conversations(count, window):
    """Messages; two of them are longer than the window, where there is one."""
    rng = random.Random(SEED)
    sentences = [part for text in lk.data.load("wiki-excerpt")[:200] for part in lk.text.sentences(text)]

    def text(length=1):
        parts = rng.choices(sentences, k=length) + [rng.choice(MARKS)] * (rng.random() < 0.3)
        return " ".join(parts)[: 300 * length]

    made = []
    for i in range(count):
        long = window is not None and i in (count // 3, count // 2)
        turns = 1 + (window // 300 if long else rng.randrange(8) if i % 3 else 0)
        chat = [{"role": "system", "content": text()}] * (rng.random() < 0.5)
        for _ in range(turns - 1):
            chat += [{"role": "user", "content": text(1 + 9 * long)}, {"role": "assistant", "content": text()}]
        made.append([*chat, {"role": "user", "content": text()}])
    return made


def rows(chats):
    """The inputs of the signature: every second row is greedy."""
    chances = {
        "temperature": lambda i: (0.0, 0.8)[i % 2],
        "top_k": lambda i: (0, 40)[i % 3 == 0],
        "top_p": lambda i: (0.95, 1.0)[i % 5 == 0],
        "seed": lambda i: i,
    }
    inputs = {"messages": [joined(chat) for chat in chats], "max_new_tokens": [NEW] * len(chats)}
    inputs |= {name: [of(i) for i in range(len(chats))] for name, of in chances.items()}
    assert list(inputs)[1:] == list(inputs_of("chat"))
    return inputs


def requests(inputs, outputs):
    """Requests of each batch size, with the answers that are wanted."""
    rng, size = random.Random(SEED), len(inputs["messages"])
    for batch in BATCHES:
        order = rng.sample(range(size), size)
        for at in range(0, size, batch):
            chosen = order[at : at + batch]
            sides = {"inputs": inputs, "outputs": outputs}
            yield {"signature": "chat"} | {
                side: {name: [values[i] for i in chosen] for name, values in of.items()} for side, of in sides.items()
            }


def noise():
    """Random bytes, separators and roles; any answer in UTF-8 will do."""
    rng = random.Random(SEED)
    parts = [b"user", b"system", b"assistant", b"\x1e", b"\x1f", b"user\x1f", b"<|im_end|>", b"\0", b""]
    texts = [
        rng.randbytes(rng.randrange(20)) + b"".join(rng.choices(parts, k=rng.randrange(6))) for _ in range(NOISE)
    ]
    for at in range(0, NOISE, 50):
        part = texts[at : at + 50]
        defaults = {name: [value] * len(part) for name, value in inputs_of("chat").items()}
        yield {"signature": "chat", "inputs": {"messages": part, **defaults, "max_new_tokens": [2] * len(part)},
               "outputs": {}}  # fmt: skip


if __name__ == "__main__":
    main()
