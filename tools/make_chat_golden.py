"""Makes tests/golden/chat: what `transformers` makes of chats by their templates.

python tools/make_chat_golden.py tests/golden/chat    (needs transformers; the tests do not)

templates.json is written by hand: templates as checkpoints have them, and chats. expected.json: {template: [text, or
null where the template refuses the chat, ...]}, for each chat with and without a prompt for the answer.
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast


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


if __name__ == "__main__":
    main()
