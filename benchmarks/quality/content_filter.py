"""Precision and recall of the content filter on SMS Spam, and what the word list drops of other sets.

LM_KERAS_DATA=... python benchmarks/quality/content_filter.py
"""

import argparse

import lm_keras as lk


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    train, valid = (lk.data.load("sms-spam", split) for split in ("train", "validation"))
    # Many messages of the set are copies; a validation message that repeats another proves nothing.
    found = lk.data.duplicates([record.text for record in train + valid])
    repeated = {pair.index - len(train) for pair in found}
    print(f"sms-spam: {len(valid)} validation messages, {sum(place >= 0 for place in repeated)} repeat another one")
    valid = [record for place, record in enumerate(valid) if place not in repeated]
    for precision in (0.9, 0.95, 0.99):
        content = lk.data.train_content_filter(*zip(*train, strict=True), words=(), precision=precision)
        dropped = [record.label for record in valid if content.reason(record.text)]
        spam = sum(record.label for record in valid)
        print(
            f"sms-spam, precision {precision:.0%} asked: on the texts the threshold was chosen by"
            f" {content.measured['precision']:.1%} / recall {content.measured['recall']:.1%}; on the validation split"
            f" {sum(dropped)}/{len(dropped)} = {sum(dropped) / len(dropped):.1%}"
            f" / recall {sum(dropped)}/{spam} = {sum(dropped) / spam:.1%} (of {len(valid)} messages); threshold"
            f" {content.threshold:.3f}"
        )
    words = lk.data.ContentFilter()
    every = lk.data.load("sms-spam", "all")
    for label, name in enumerate(lk.data.classes("sms-spam")):
        texts = [record.text for record in every if record.label == label]
        print(f"word list: {sum(map(bool, map(words.reason, texts)))} of {len(texts):,} {name} messages")
    for name in ("lee-news", "wiki-excerpt", "mr", "ptb", "tinyshakespeare", "hongloumeng", "tang-poems"):
        split = "all" if "all" in lk.data.splits(name) else "train"
        texts = [getattr(record, "text", record) for record in lk.data.load(name, split)]
        lines = [line for text in texts for line in text.split("\n") if line.strip()]
        dropped = []
        list(words.filter(lines, dropped))
        print(f"word list: {len(dropped)} of {len(lines):,} lines of {name}", [d.text[:60] for d in dropped[:3]])


if __name__ == "__main__":
    main()
