"""How well the words of a topic go together."""

from typing import NamedTuple

from lm_keras.errors import InputError
from lm_keras.tasks.terms import term_lists
from lm_keras.utils.checks import check_choice

MEASURES = ("c_npmi", "c_v", "u_mass", "c_uci")


class Coherence(NamedTuple):
    """The coherence of each topic, and their mean. Larger is better: c_npmi -1 to 1, c_v 0 to 1, u_mass to 0."""

    mean: float
    topics: list[float]


def topic_coherence(topics, texts, measure="c_npmi", *, language="en"):
    """The coherence of topics, lists of words, by how the words occur together in `texts`: gensim's figures.

    "c_npmi", "c_uci": in windows of 10 of their content words; "c_v": of 110 (both Röder, Both & Hinneburg 2015);
    "u_mass": in texts (Mimno et al. 2011). Words of a topic that no text holds do not count. `texts` as in
    `train_topics`: those of training, or better, of a larger corpus. In few texts c_v takes rare words for coherent:
    of 10 topics of 300 news items it is 0.37 to 0.57, five seeds, and of words at random 0.52, where c_npmi is
    -0.13 to 0.02 and -0.52. InputError where fewer than two words of a topic occur in the texts.
    """
    check_measure(measure)
    from gensim.corpora import Dictionary
    from gensim.models import CoherenceModel

    lists = [words for words in term_lists(texts, language) if words]
    dictionary = Dictionary(lists)
    topics = list(topics)
    if any(isinstance(topic, str) for topic in topics):
        raise InputError("topics are lists of words, got a string: give [[word, word], [word, word]]")
    topics = [[word for word in dict.fromkeys(topic) if word in dictionary.token2id] for topic in topics]
    if not topics or min(map(len, topics)) < 2:
        raise InputError("a topic has fewer than two words that occur in the texts; give texts of its kind, or more")
    longest = max(map(len, topics))
    found = CoherenceModel(
        topics=topics, texts=lists, dictionary=dictionary, coherence=measure, topn=longest, processes=1
    ).get_coherence_per_topic()
    found = [float(value) for value in found]
    return Coherence(sum(found) / len(found), found)


def check_measure(measure: str) -> None:
    """Raises InputError for an unknown measure."""
    check_choice("measure", measure, MEASURES)
