"""Makes tests/golden/chat: what `transformers` makes of chats by their templates.

python tools/make_chat_golden.py tests/golden/chat    (needs transformers; the tests do not)

templates.json is written by hand: templates as checkpoints have them, and chats. expected.json: {template: [text, or
null where the template refuses the chat, ...]}, for each chat with and without a prompt for the answer.

own.json: of this library's own templates, the first 10 digits of the sha256 of 200 chats, every second of them with a
prompt for the answer: {template: digests in one string}; "chats" are those of the chats themselves.
"""

import hashlib
import json
import runpy
import sys
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parent.parent


def main():
    folder = Path(sys.argv[1])
    given = json.loads((folder / "templates.json").read_text(encoding="utf-8"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])), **given["tokens"])
    made = {}
    for name, template in given["templates"].items():
        made[name] = []
        for chat in given["chats"]:
            for prompt in (False, True):
                options = {"chat_template": "".join(template), "add_generation_prompt": prompt, "tokenize": False}
                try:
                    made[name].append(tokenizer.apply_chat_template(chat, **options))
                except Exception as error:  # noqa: BLE001 whatever the template runs into
                    print(f"{name}: {error}")
                    made[name].append(None)
    text = json.dumps(made, ensure_ascii=False, indent=1)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")
    text = json.dumps(own(tokenizer), indent=1)
    (folder / "own.json").write_text(text + "\n", encoding="utf-8")


def own(tokenizer):
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    from chats import conversation

    # By its path, for lm_keras.text needs what transformers does not.
    templates = runpy.run_path(ROOT / "lm_keras" / "text" / "tokenizers" / "chat" / "templates.py")["CHAT_TEMPLATES"]
    chats = [conversation(i) for i in range(200)]
    made = {"chats": "".join(digest(json.dumps(chat)) for chat in chats)}
    for name, template in templates.items():
        texts = [
            tokenizer.apply_chat_template(
                chat, chat_template=template, add_generation_prompt=i % 2 == 0, tokenize=False
            )
            for i, chat in enumerate(chats)
        ]
        made[name] = "".join(map(digest, texts))
    return made


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:10]


if __name__ == "__main__":
    main()
