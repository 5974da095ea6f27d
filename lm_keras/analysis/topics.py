"""What texts are about: topic models by gensim, and their coherence."""

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gensim.matutils import dirichlet_expectation
from gensim.models.ldamodel import LdaModel, update_dir_prior
from tqdm import tqdm

from lm_keras.analysis.terms import term_lists, vocabulary
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import write_tensors
from lm_keras.utils.checks import check_choice, check_positive, check_seed, check_sizes
from lm_keras.utils.saved_kinds import read_kind

ITERATIONS = 100  # at most, for one text; gensim stops earlier where it has converged
_KIND = "topic model"


class TopicModel:
    """Latent Dirichlet allocation (Blei, Ng & Jordan 2003), trained by `train_topics`.

    Args:
        words: The V words.
        statistics: float32 [K, V], the expected counts of training.
        alpha: float32 [K], the prior of the topics.
        language: Of texts that are strings.
        seed: From which `document_topics` starts.

    Attributes:
        num_topics: K.
        weights: float32 [K, V], the probability of each word in each topic; rows sum to 1.
    """

    def __init__(
        self,
        words: Sequence[str],
        statistics: np.ndarray,
        alpha: np.ndarray,
        *,
        language: str | None = "en",
        seed: int = 0,
    ) -> None:
        self.words, self.statistics, self.alpha = list(words), statistics, alpha
        self.language, self.seed = language, seed
        self.num_topics = len(statistics)
        counts = statistics + np.float32(1 / self.num_topics)  # gensim's prior of the words
        self.weights = counts / counts.sum(1, keepdims=True)
        self._ids = {word: i for i, word in enumerate(self.words)}

    def topics(self, num_words: int = 10) -> list[list[tuple[str, float]]]:
        """Returns the most probable words of each topic, a list of (word, probability)."""
        check_sizes(num_words=num_words)
        best = np.argsort(-self.weights, axis=1, kind="stable")[:, :num_words]
        rows = zip(best.tolist(), self.weights, strict=True)
        return [[(self.words[i], float(row[i])) for i in some] for some, row in rows]

    def document_topics(self, texts: Iterable[str | Sequence[str]]) -> np.ndarray:
        """Returns the share of each topic in each text, float32 [N, K]; rows sum to 1.

        A row depends on its text alone, and is the same at every call. A text of new words gets the prior.

        Args:
            texts: Strings, or lists of words.
        """
        lists = term_lists(texts, self.language)
        rows = np.empty((len(lists), self.num_topics), "float32")
        for i, words in enumerate(lists):  # one by one, each from the same random start
            self._lda.random_state = np.random.RandomState(self.seed)
            rows[i] = self._lda.inference([bag(words, self._ids)])[0][0]
        return rows / rows.sum(1, keepdims=True)

    def coherence(
        self, texts: Iterable[str | Sequence[str]], measure: str = "c_npmi", num_words: int = 10
    ) -> "Coherence":
        """Returns the `topic_coherence` of the first words of each topic.

        Args:
            texts: Where the words are counted.
            measure: As for `topic_coherence`.
            num_words: How many words of each topic.
        """
        topics = [[word for word, _ in topic] for topic in self.topics(num_words)]
        return topic_coherence(topics, texts, measure, language=self.language)

    def save(self, path: str | os.PathLike) -> None:
        """Writes one safetensors file, which `load` reads."""
        facts = {"kind": _KIND, "words": self.words, "language": self.language, "seed": self.seed}
        write_tensors(path, {"statistics": self.statistics, "alpha": self.alpha}, facts)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "TopicModel":
        """Reads the file that `save` wrote; InputError for another file."""
        tensors, facts = read_kind(path, _KIND, "TopicModel.load")
        try:
            statistics, alpha, words = tensors["statistics"], tensors["alpha"], facts["words"]
            if facts["kind"] != _KIND or statistics.shape != (len(alpha), len(words)):
                raise KeyError("kind")
            return cls(words, statistics, alpha, language=facts["language"], seed=facts["seed"])
        except (KeyError, TypeError):
            raise InputError(f"{path} is no topic model; give a file that TopicModel.save wrote") from None

    @functools.cached_property
    def _lda(self):
        lda = _gensim(None, self.words, num_topics=self.num_topics, alpha=self.alpha)
        lda.state.sstats[...] = self.statistics
        lda.sync_state()
        return lda


def train_topics(
    texts: Iterable[str | Sequence[str]],
    num_topics: int = 10,
    *,
    language: str | None = "en",
    min_count: int = 5,
    max_share: float = 0.5,
    vocab_size: int | None = None,
    alpha: str | float = "symmetric",
    passes: int = 20,
    batch_size: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> TopicModel:
    """Trains a topic model: gensim's online variational Bayes (Hoffman, Blei & Bach 2010).

    The same seed gives the same model.

    Args:
        texts: Strings, whose content words are taken (`lk.text.words` without stop words), or lists of words.
        num_topics: K.
        language: Of the strings; None: stop words stay.
        min_count: Words in fewer texts are left out.
        max_share: Words in a larger share of the texts are left out.
        vocab_size: The most words that are kept, the most frequent ones. None: all.
        alpha: The prior of the topics: "symmetric" (1 / K), "asymmetric", "auto" (learned, a step each pass), or a
            number above 0.
        passes: How often all texts are gone through.
        batch_size: Texts of a step, in an order that `seed` draws.
        seed: Of the order and the first topics.
        progress: Whether a progress bar is shown.

    Returns:
        A `TopicModel`.

    Raises:
        InputError: Where no words or texts are left.
    """
    check_sizes(num_topics=num_topics, passes=passes, batch_size=batch_size)
    check_seed(seed)
    if not isinstance(alpha, str):
        check_positive(alpha=alpha)
    elif alpha not in ("symmetric", "asymmetric", "auto"):
        raise InputError(f"alpha={alpha!r}: give symmetric, asymmetric, auto or a number")
    lists = term_lists(texts, language)
    words = vocabulary(lists, min_count, max_share, vocab_size)
    ids = {word: i for i, word in enumerate(words)}
    bags = [some for some in (bag(text, ids) for text in lists) if some]
    np.random.default_rng(seed).shuffle(bags)  # of texts sorted by class the first batches would decide the topics
    options = {"passes": passes, "chunksize": batch_size, "random_state": seed, "eval_every": None}
    steps = {"total": passes * len(bags), "unit": " texts", "unit_scale": True}
    with tqdm(desc=f"{num_topics} topics", disable=not progress, leave=False, **steps) as bar:
        lda = _gensim(bags, words, num_topics=num_topics, alpha=alpha, bar=bar, **options)
    return TopicModel(words, lda.state.sstats, lda.alpha, language=language, seed=seed)


def coherence_curve(
    texts: Iterable[str | Sequence[str]],
    numbers: Iterable[int] = (2, 5, 10, 15, 20),
    *,
    measure: str = "c_npmi",
    num_words: int = 10,
    language: str | None = "en",
    **options: Any,
) -> dict[int, float]:
    """Returns the mean coherence of models with several numbers of topics, to choose `num_topics` by.

    The coherence is counted in the texts of training. `plot_coherence` draws the result.

    Args:
        texts: As for `train_topics`.
        numbers: The numbers of topics that are tried.
        measure: As for `topic_coherence`.
        num_words: Words of a topic that are looked at.
        language: Of texts that are strings.
        **options: Those of `train_topics`.

    Returns:
        {number of topics: mean coherence}.
    """
    lists = term_lists(texts, language)
    check_measure(measure)
    numbers = list(numbers)
    if not numbers:
        raise InputError("numbers is empty; give the numbers of topics to try")
    models = {number: train_topics(lists, number, language=language, **options) for number in numbers}
    return {number: model.coherence(lists, measure, num_words).mean for number, model in models.items()}


def load_topics(path: str | os.PathLike) -> TopicModel:
    """Returns the `TopicModel` that its `save` wrote.

    Raises:
        InputError: For another file.
    """
    return TopicModel.load(path)


def bag(words: Iterable[str], ids: Mapping[str, int]) -> list[tuple[int, int]]:
    """The known words of a text as gensim takes them: (id, count), by id."""
    found, counts = np.unique([ids[word] for word in words if word in ids], return_counts=True)
    return list(zip(found.astype(int).tolist(), counts.tolist(), strict=True))


def _gensim(bags, words, **options):
    return Lda(bags, id2word=dict(enumerate(words)), iterations=ITERATIONS, **options)


# === How well the words of a topic go together ===

MEASURES = ("c_npmi", "c_v", "u_mass", "c_uci")


class Coherence(NamedTuple):
    """How well the words of topics go together. Larger is better: c_npmi -1 to 1, c_v 0 to 1, u_mass to 0.

    Attributes:
        mean: Of all topics.
        topics: Of each topic.
    """

    mean: float
    topics: list[float]


def topic_coherence(
    topics: Iterable[Sequence[str]],
    texts: Iterable[str | Sequence[str]],
    measure: str = "c_npmi",
    *,
    language: str | None = "en",
) -> Coherence:
    """Measures how well the words of topics go together, by how they occur together in texts: gensim's figures.

    In few texts c_v takes rare words for coherent: of 10 topics of 300 news items it is 0.37 to 0.57, five seeds, and
    of words at random 0.52, where c_npmi is -0.13 to 0.02 and -0.52.

    Args:
        topics: Lists of words. Those that no text holds do not count.
        texts: As in `train_topics`: those of training, or better, of a larger corpus.
        measure: "c_npmi", "c_uci": in windows of 10 of the content words; "c_v": of 110 (Röder, Both & Hinneburg
            2015); "u_mass": in texts (Mimno et al. 2011).
        language: Of texts that are strings.

    Returns:
        A `Coherence`.

    Raises:
        InputError: Where fewer than two words of a topic occur in the texts.
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


# === gensim's model, with each text of equal weight ===


class Lda(LdaModel):
    """LdaModel, for batches of any size, the last one of a pass too, which holds what is left.

    gensim lets each batch, however small, stand for the whole corpus: of 101 texts in batches of 100 the last one
    would make up a fifth of the topics, and lead a learned alpha to where it fits that text alone.
    `bar`, of tqdm, is told the number of texts of each batch.
    """

    def __init__(self, *args: Any, bar: Any = None, **options: Any) -> None:
        self._gammas, self._bar = [], bar
        super().__init__(*args, **options)

    def do_mstep(self, rho: float, other: Any, extra_pass: bool = False) -> None:
        """Weighs a batch by its number of texts."""
        super().do_mstep(rho * other.numdocs / min(self.chunksize, self.state.numdocs), other, extra_pass)
        if self._bar is not None:
            self._bar.update(other.numdocs)

    def update_alpha(self, gammat: np.ndarray, rho: float) -> np.ndarray:
        """One Newton step for a pass, over all its texts (Blei, Ng & Jordan 2003, A.4.2), in float64.

        In float32 the step divides by 0 where one topic has nearly all of alpha; of one topic it always does.
        """
        self._gammas.append(gammat)
        if self.num_topics > 1 and sum(map(len, self._gammas)) == self.state.numdocs:
            logs = dirichlet_expectation(np.concatenate(self._gammas).astype("float64")).mean(0)
            alpha = update_dir_prior(self.alpha.astype("float64"), self.state.numdocs, logs, rho)
            self.alpha, self._gammas = alpha.astype(self.dtype), []
        return self.alpha
