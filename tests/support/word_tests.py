"""Word pairs and analogies from gensim's own test files, and small vectors to try them on."""

import numpy as np

from lm_keras.data.corpora.running_text import gensim_file
from lm_keras.embeddings.io.table import Table

FILES = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt", "word-analogies": "questions-words.txt"}


def path_of(name):
    return gensim_file(f"test/test_data/{FILES[name]}")


def read_pairs(name):
    lines = path_of(name).read_text(encoding="utf-8").splitlines()
    parts = [line.split("\t") for line in lines if not line.startswith("#")]
    return [(first, second, float(score)) for first, second, score in parts]


def read_questions(each=None):
    """`each`: how many of every section, spread over it."""
    sections = {}
    for line in path_of("word-analogies").read_text(encoding="utf-8").splitlines():
        if line.startswith(": "):
            section = sections.setdefault(line[2:], [])
        else:
            section.append(line.split())
    if each:
        sections = {name: rows[:: len(rows) // each][:each] for name, rows in sections.items()}
    return [(name, *row) for name, rows in sections.items() for row in rows]


def write_questions(path, questions):
    with path.open("w", encoding="utf-8") as file:
        for i, (section, *words) in enumerate(questions):
            if not i or section != questions[i - 1][0]:
                file.write(f": {section}\n")
            file.write(" ".join(words) + "\n")
    return str(path)


def made(words, table):
    """KeyedVectors with the compact words that the loaders of lm_keras give them."""
    rows = Table(np.shape(table)[1])
    rows.add([word.encode() for word in words], table)
    return rows.vectors("made")


def half_right(questions, dim=12, seed=0):
    """Vectors that answer some of the questions, their words in one or two cases, some words missing."""
    rng = np.random.default_rng(seed)
    words = sorted({word for _, *asked in questions for word in asked})
    row = {word: i for i, word in enumerate(words)}
    table = rng.normal(size=(len(words), dim))
    for i in rng.permutation(len(questions)):
        a, b, c, d = (row[word] for word in questions[i][1:])
        table[d] = table[b] + table[c] - table[a] + rng.normal(0, 0.3, dim)
    spelt, vectors = [], []
    for word in words:
        cases = [[word.lower()], [word.lower(), word.capitalize()], [word.upper(), word.lower()], []]
        for case in cases[rng.choice(4, p=[0.6, 0.2, 0.15, 0.05])]:
            spelt.append(case)
            vectors.append(table[row[word]] + rng.normal(0, 0.2, dim))
    order = [i for i in rng.permutation(len(spelt)) if spelt[i] not in spelt[:i]]
    return made([spelt[i] for i in order], np.array(vectors)[order])
