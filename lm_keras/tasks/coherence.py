"""How well the words of a topic go together."""

from typing import NamedTuple

from lm_keras.errors import InputError
from lm_keras.tasks.terms import term_lists

MEASURES = ("c_npmi", "c_v", "u_mass", "c_uci")


class Coherence(NamedTuple):
    """The coherence of each topic, and their mean. Larger is better: c_npmi -1 to 1, c_v 0 to 1, u_mass below 0."""

    mean: float
    topics: list[float]


def topic_coherence(topics, texts, measure="c_npmi", *, language="en"):
    """The coherence of topics, lists of words, by how the words occur together in `texts`: gensim's figures.

    "c_npmi", "c_uci": in windows of 10 words; "c_v": in windows of 110 (both Röder, Both & Hinneburg 2015); "u_mass":
    in texts (Mimno et al. 2011). In few texts c_v takes rare words for coherent: on 300 news items it is 0.57
    for topics and 0.52 for words at random, where c_npmi is 0.02 and -0.51. `texts` as in `train_topics`: those of
    training, or better, of a larger corpus. InputError where fewer than two words of a topic occur in them.
    """
    if measure not in MEASURES:
        raise InputError(f"measure={measure!r}: give one of {', '.join(MEASURES)}")
    from gensim.corpora import Dictionary
    from gensim.models import CoherenceModel

    lists = [words for words in term_lists(texts, language) if words]
    dictionary = Dictionary(lists)
    topics = [[word for word in topic if word in dictionary.token2id] for topic in topics]
    if not topics or min(map(len, topics)) < 2:
        raise InputError("a topic has fewer than two words that occur in the texts; give texts of its kind, or more")
    longest = max(map(len, topics))
    found = CoherenceModel(
        topics=topics, texts=lists, dictionary=dictionary, coherence=measure, topn=longest, processes=1
    ).get_coherence_per_topic()
    found = [float(value) for value in found]
    return Coherence(sum(found) / len(found), found)
