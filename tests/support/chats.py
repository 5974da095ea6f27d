"""Small language models that chat, and conversations with what people may type."""

import random

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = ["some", "turns", "of a chat", "user", "assistant", "and so on", "é 北", "🙂", "\n\n", "  ", "<|im_end|>", ""]


def chat_tokenizer(template=CHATML, vocab_size=300):
    import lm_keras as lk  # not above: tools/make_chat_golden.py makes conversations where it is not installed

    texts = ["some turns of a chat, user and assistant, system and so on\n"] * 3
    trained = lk.text.BPETokenizer.train(texts, vocab_size=vocab_size)
    tokens = [*MARKS, *(token for token in trained.tokens if token not in MARKS)]
    made = lk.text.BPETokenizer(tokens, merges=trained.merges, special_tokens=MARKS)
    made.chat_template = template
    return made


def message(role, content):
    return {"role": role, "content": content}


def conversation(seed, turns=None, system=None):
    """Messages that end with the user's, of different numbers of turns, with a system's message or without."""
    rng = random.Random(seed)

    def text():
        return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(5)))

    turns = rng.randrange(1, 6) if turns is None else turns
    system = rng.random() < 0.5 if system is None else system
    made = [message("system", text())] if system else []
    for _ in range(turns - 1):
        made += [message("user", text()), message("assistant", text())]
    return [*made, message("user", text())]
