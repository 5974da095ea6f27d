"""Trains the packaged English Punkt model: `python tools/train_punkt.py` writes lm_keras/text/punkt_en.json.

NLTK's own model (punkt_tab) has to be downloaded, and nothing here may need the network; so NLTK's trainer
learns abbreviations, collocations and sentence starters from the two corpora that come with gensim.
"""

import argparse
import json
from pathlib import Path

from nltk.tokenize.punkt import PunktTrainer

import lm_keras as lk

# Common abbreviations that half a million words may not show often enough. Not "no.", "in.", "am.", "mar.", "sun.",
# "sat.", which are mostly whole words at the end of a sentence.
SUPPLEMENT = """
mr mrs ms messrs dr prof rev hon gen col lt sgt capt cmdr adm maj pvt gov sen rep pres supt st mt ft jr sr esq
ph.d m.d b.a m.a b.sc m.sc d.c u.s u.k u.n e.u u.s.a u.s.s.r a.m p.m a.d b.c n.y l.a
e.g i.e viz cf ca approx vs v etc al ibid op cit ed eds vol vols pp p fig figs ch sec nos est
inc ltd co corp bros dept univ assn ave blvd rd hwy jan feb apr jun jul aug sep sept oct nov dec mon tue tues wed
thu thur thurs fri
"""
# What the trainer found that is none.
NOT_ABBREVIATIONS = {"binnie", "rattlesnake", "xii", "kev", "h−", "č", "η", "no", "in", "am", "is", "it"}

# Flags of nltk.tokenize.punkt: seen in lower case anywhere; seen in upper case in the middle of a sentence.
LOWER_CASE, MIDDLE_UPPER_CASE = 16 + 32 + 64, 4


def train(min_word_count):
    """Returns the model as what JSON can hold."""
    trainer = PunktTrainer()
    trainer.ABBREV = 0.5  # NLTK's default 0.3 takes words such as "album" for abbreviations
    for name in ("wiki-excerpt", "lee-news"):
        trainer.train("\n".join(lk.data.load(name, "all")), finalize=False)
    trainer.finalize_training()
    params = trainer.get_params()
    # The context of a word only decides whether it starts a sentence after an abbreviation; that takes a word
    # seen in lower case and never in upper case in mid-sentence. All other words are "unknown" without it.
    starters = sorted(
        word
        for word, flags in params.ortho_context.items()
        if flags & LOWER_CASE and not flags & MIDDLE_UPPER_CASE and word.isalpha()
        if trainer._type_fdist[word] >= min_word_count
    )
    return {
        "language": "en",
        "abbreviations": sorted((params.abbrev_types | set(SUPPLEMENT.split())) - NOT_ABBREVIATIONS),
        "collocations": sorted(map(list, params.collocations)),
        "sentence_starters": sorted(params.sent_starters),
        "lower_case_words": " ".join(starters),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(lk.__file__).parent / "text" / "punkt_en.json")
    parser.add_argument("--min-word-count", type=int, default=3)
    arguments = parser.parse_args()
    model = train(arguments.min_word_count)
    arguments.out.write_text(json.dumps(model, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes, {len(model['abbreviations'])} abbreviations")
