"""How the file of each kind of set becomes records, on small samples of its format."""

import pytest

from lm_keras.data import load
from lm_keras.data.sets import words
from lm_keras.errors import InputError


def test_word_pairs_and_analogies():
    content = "# from here\n# Word 1\tWord 2\tMean\nold\tnew\t1.58\ncarbon dating\tfossil\t10.00\n"
    assert words.word_pairs(content, "all") == [("old", "new", 1.58), ("carbon dating", "fossil", 10.0)]
    content = ": capitals\nAthens Greece Oslo Norway\n: gram1-adverb\ncalm calmly rapid rapidly\n"
    assert words.analogies(content, "all") == [
        ("capitals", "Athens", "Greece", "Oslo", "Norway"),
        ("gram1-adverb", "calm", "calmly", "rapid", "rapidly"),
    ]


def test_the_embedded_word_sets():
    pairs, similar, analogies = (load(name, "all") for name in ("wordsim353", "simlex999", "word-analogies"))
    assert (len(pairs), len(similar), len(analogies)) == (353, 999, 19_544)
    assert pairs[0] == ("love", "sex", 6.77) and similar[0] == ("old", "new", 1.58)
    assert all(0 <= pair.score <= 10 for pair in pairs + similar)
    assert len({analogy.section for analogy in analogies}) == 14
    assert sum(analogy.section.startswith("gram") for analogy in analogies) == 10_675
    with pytest.raises(InputError, match="wordsim353 has no split 'train'; choose from all"):
        load("wordsim353")
