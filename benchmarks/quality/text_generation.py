"""Texts by prompt and by fine-tuning: news, blog posts and mails; how varied they are, and a sheet for judges.

LM_KERAS_DATA=... python benchmarks/quality/text_generation.py MODEL --out runs/text_generation
python benchmarks/quality/text_generation.py --out runs/text_generation      # prints again what is there

MODEL: the GGUF file of SmolLM2-135M-Instruct, or its name, smollm2-135m-instruct; it is asked by its template. Beside
it a GPT of 4 layers of 128, trained on the Wikipedia excerpt and then, with the topic as its context, on the 8,000
items of the AG News sample; and as many items of the test part, which people wrote. 25 news texts of each of four
topics. Blog posts and mails are asked for alone: there is no set of them to fine-tune on here. Each part is kept in
the folder as soon as it is there. `sheet.html` has 30 pairs for `lk.tasks.read_judgements`; nobody has filled it in.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import lm_keras as lk
from lm_keras.generation.chat import chat_ids, reply_config
from lm_keras.generation.generate import continued

TOPICS = {"World": "world politics", "Sports": "sports", "Business": "business", "Sci/Tech": "science and technology"}
NEWS = "Write a news report about {}, in one or two sentences. Give only the text."
ASKED = {
    "blog": "Write the beginning of a blog post about {}.",
    "mail": "Write a short e-mail {}.",
}
SUBJECTS = {
    "blog": (
        *("baking bread", "learning the piano", "a week in Lisbon", "growing tomatoes", "running a marathon"),
        *("working from home", "old cameras", "a walk in the snow", "reading to children", "repairing a bicycle"),
    ),
    "mail": (
        *("to a colleague: the meeting is moved to Friday", "to a customer: the order is late by a week"),
        *("to a neighbor, to thank him for help", "to a teacher: my son is ill today"),
        *("to a shop: the lamp arrived broken", "to a friend: come to dinner on Sunday"),
        *("to the landlord: the heating does not work", "to the team: well done", "to a hotel, to book a room"),
        *("to a library: I have lost my card",),
    ),
}
EACH = 25  # news texts of a topic
SAMPLING = {"temperature": 0.8, "top_p": 0.95}
NEWS_TOKENS, OTHER_TOKENS = 64, 96
WORDS = 25  # of each text, for distinct-n: it falls with the amount of text
SIZES = {"hidden_dim": 128, "num_layers": 4, "num_heads": 4, "max_length": 128, "dropout": 0.1}
LENGTH, BATCH, VOCABULARY = 64, 16, 4000
WIKIPEDIA_EPOCHS, NEWS_EPOCHS = 2, 3


def prompted(model):
    """`{kind: {topic: texts}}` of a model that was trained on conversations."""
    lm = lk.models.load_pretrained(model)

    def replies(contents, tokens):
        """The replies to several messages at once, each with a seed of its own."""
        config = reply_config(lm.tokenizer, lk.GenerationConfig(max_new_tokens=tokens, **SAMPLING))
        rows = [chat_ids(lm.writer, [{"role": "user", "content": content}], tokens) for content in contents]
        made = continued(lm.writer.starting(rows, False), rows, list(range(len(rows))), config)
        return [one.text.strip() for one in made]

    made = {"news": {name: replies([NEWS.format(topic)] * EACH, NEWS_TOKENS) for name, topic in TOPICS.items()}}
    for kind, asked in ASKED.items():
        texts = replies([asked.format(subject) for subject in SUBJECTS[kind]], OTHER_TOKENS)
        made[kind] = {subject: [text] for subject, text in zip(SUBJECTS[kind], texts, strict=True)}
    return made


def fine_tuned():
    """The same of news, from a model that is trained here."""
    wiki, news = lk.data.load("wiki-excerpt", "train"), lk.data.texts_by_context("ag-news", "train")
    tokenizer = lk.text.BPETokenizer.train(
        [*wiki, *(text for texts in news.values() for text in texts)], vocab_size=VOCABULARY
    )
    lm = lk.LanguageModel(lk.models.build_gpt2(tokenizer.vocab_size, **SIZES, seed=0), tokenizer)
    windows = lk.data.lm_windows(wiki, tokenizer, length=LENGTH, batch_size=BATCH, seed=0)
    lk.fit(lm.model, windows, config=lk.TrainingConfig(epochs=WIKIPEDIA_EPOCHS, learning_rate=2e-3, seed=0))
    model = lk.contexts.ConditionalLM(lm, news, "vector", drop=0.1, seed=0)
    windows = lk.data.context_windows(news, tokenizer, LENGTH, BATCH, whole_texts=True, seed=0)
    lk.fit(model, windows, config=lk.TrainingConfig(epochs=NEWS_EPOCHS, learning_rate=2e-3, seed=0))
    test = lk.data.texts_by_context("ag-news", "test")
    table = model.perplexities({name: texts[:200] for name, texts in test.items()})
    print(f"perplexity a token in the right topic: {np.exp(np.log(np.diag(table.perplexities)).mean()):.1f}")
    options = {"max_new_tokens": NEWS_TOKENS, "num_return_sequences": EACH, "seed": 0, **SAMPLING}
    made = {name: model.generate([""], context=name, **options) for name in TOPICS}
    return {"news": {name: [one.text.strip() for one in found] for name, found in made.items()}}


def of_people():
    """News of the test part, as many."""
    texts = lk.data.texts_by_context("ag-news", "test")
    return {"news": {name: texts[name][:EACH] for name in TOPICS}}


def topic_classifier():
    """Logistic regression on TF-IDF: a function from texts to the names of topics."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    news = lk.data.texts_by_context("ag-news", "train")
    rows = [(text, name) for name, texts in news.items() for text in texts]
    made = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000)
    )
    return made.fit(*zip(*rows, strict=True)).predict


def report(parts):
    """A table of each kind, and three texts of each."""
    topics_of = topic_classifier()
    columns = ("", "texts", "words each", "distinct-1", "distinct-2", "repetition (4)", "of the topic, %")
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name, part in parts.items():
        for kind, by_topic in part.items():
            texts = [text for some in by_topic.values() for text in some]
            first = [" ".join(text.split()[:WORDS]) for text in texts]
            cells = [f"{kind}, {name}", len(texts), f"{np.mean([len(text.split()) for text in texts]):.1f}"]
            cells += [f"{lk.tasks.distinct_n(first, n):.3f}" for n in (1, 2)] + [f"{lk.tasks.repetition(texts):.3f}"]
            asked = [topic for topic, some in by_topic.items() for _ in some]
            hits = int((topics_of(texts) == np.array(asked)).sum()) if kind == "news" else 0
            ends = " to ".join(f"{100 * end:.0f}" for end in lk.tasks.wilson(hits, len(texts)))
            cells.append(f"{100 * hits / len(texts):.0f} ({ends})" if kind == "news" else "")
            print(f"| {' | '.join(map(str, cells))} |")
    for name, part in parts.items():
        for kind, by_topic in part.items():
            for topic, texts in list(by_topic.items())[:3]:
                print(f"\n{kind}, {name}, {topic}:\n    {texts[0]}")


def sheet(parts, path):
    """30 pairs of news of the same topic, in the order in which they were made."""
    rows = [
        (f"News about {topic}", *(parts[part]["news"][name][i] for part in ("prompt", "fine-tuned")))
        for i in range(8)
        for name, topic in TOPICS.items()
    ][:30]
    question = "Which would you rather read as the beginning of a news report?"
    lk.tasks.comparison_sheet(path, *zip(*rows, strict=True), names=("prompt", "fine-tuned"), question=question)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--out", type=Path, default=Path("runs/text_generation"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    makers = {"fine-tuned": fine_tuned, "prompt": lambda: prompted(options.model), "people": of_people}
    parts = {}
    for name, make in makers.items():
        path = options.out / f"{name}.json"
        if not path.exists():
            if name == "prompt" and not options.model:
                sys.exit("give the model that is asked, such as smollm2-135m-instruct")
            start, cpu = time.perf_counter(), time.process_time()
            path.write_text(json.dumps(make(), ensure_ascii=False, indent=1), encoding="utf-8")
            seconds = time.process_time() - cpu, time.perf_counter() - start
            print(f"{name}: {seconds[0]:.0f} s of one core, {seconds[1]:.0f} s on the clock", flush=True)
        parts[name] = json.loads(path.read_text(encoding="utf-8"))
    report({name: parts[name] for name in ("prompt", "fine-tuned", "people")})
    sheet(parts, options.out / "sheet.html")


if __name__ == "__main__":
    main()
