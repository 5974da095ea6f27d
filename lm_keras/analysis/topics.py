"""What texts are about: topic models by gensim."""

import functools
import os

import numpy as np
from tqdm import tqdm

from lm_keras.errors import InputError
from lm_keras.files import write_tensors
from lm_keras.saved_kinds import read_kind
from lm_keras.tasks.coherence import check_measure, topic_coherence
from lm_keras.tasks.terms import term_lists, vocabulary
from lm_keras.utils.checks import check_positive, check_seed, check_sizes

ITERATIONS = 100  # at most, for one text; gensim stops earlier where it has converged
_KIND = "topic model"


class TopicModel:
    """Latent Dirichlet allocation (Blei, Ng & Jordan 2003), trained by `train_topics`.

    `words`: the V words; `weights` float32 [K, V]: the probability of each word in each topic, rows sum to 1;
    `alpha` float32 [K]: the prior of the topics. `statistics` [K, V] are the expected counts of training.
    """

    def __init__(self, words, statistics, alpha, *, language="en", seed=0):
        self.words, self.statistics, self.alpha = list(words), statistics, alpha
        self.language, self.seed = language, seed
        self.num_topics = len(statistics)
        counts = statistics + np.float32(1 / self.num_topics)  # gensim's prior of the words
        self.weights = counts / counts.sum(1, keepdims=True)
        self._ids = {word: i for i, word in enumerate(self.words)}

    def topics(self, num_words=10):
        """For each topic its most probable words, a list of (word, probability)."""
        check_sizes(num_words=num_words)
        best = np.argsort(-self.weights, axis=1, kind="stable")[:, :num_words]
        rows = zip(best.tolist(), self.weights, strict=True)
        return [[(self.words[i], float(row[i])) for i in some] for some, row in rows]

    def document_topics(self, texts):
        """The share of each topic in each text, float32 [N, K], rows sum to 1; the prior for a text of new words.

        A row depends on its text alone, and is the same at every call.
        """
        lists = term_lists(texts, self.language)
        rows = np.empty((len(lists), self.num_topics), "float32")
        for i, words in enumerate(lists):  # one by one, each from the same random start
            self._lda.random_state = np.random.RandomState(self.seed)
            rows[i] = self._lda.inference([bag(words, self._ids)])[0][0]
        return rows / rows.sum(1, keepdims=True)

    def coherence(self, texts, measure="c_npmi", num_words=10):
        """`topic_coherence` of the first `num_words` words of each topic, counted in `texts`."""
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
    texts,
    num_topics=10,
    *,
    language="en",
    min_count=5,
    max_share=0.5,
    vocab_size=None,
    alpha="symmetric",
    passes=20,
    batch_size=100,
    seed=0,
    progress=True,
):
    """Trains a TopicModel on texts: gensim's online variational Bayes (Hoffman, Blei & Bach 2010).

    `texts`: strings, whose content words are taken (`lk.text.words` without stop words), or lists of words. Words in
    fewer than `min_count` texts or in more than the share `max_share` are left out; `vocab_size`: at most so many.
    `alpha`: "symmetric" (1 / `num_topics`), "asymmetric", "auto" (learned, a step each pass), or a number above 0.
    `batch_size` texts a step, in an order that `seed` draws, `passes` over all. The same seed gives the same model.
    InputError where no words or texts are left.
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


def coherence_curve(texts, numbers=(2, 5, 10, 15, 20), *, measure="c_npmi", num_words=10, language="en", **options):
    """{number of topics: mean coherence} of models trained on `texts`, to choose `num_topics` by.

    `options` go to `train_topics`. The coherence is counted in the same texts. `plot_coherence` draws it.
    """
    lists = term_lists(texts, language)
    check_measure(measure)
    numbers = list(numbers)
    if not numbers:
        raise InputError("numbers is empty; give the numbers of topics to try")
    models = {number: train_topics(lists, number, language=language, **options) for number in numbers}
    return {number: model.coherence(lists, measure, num_words).mean for number, model in models.items()}


def load_topics(path: str | os.PathLike) -> TopicModel:
    """Short for `TopicModel.load(path)`."""
    return TopicModel.load(path)


def bag(words, ids):
    """The known words of a text as gensim takes them: (id, count), by id."""
    found, counts = np.unique([ids[word] for word in words if word in ids], return_counts=True)
    return list(zip(found.astype(int).tolist(), counts.tolist(), strict=True))


def _gensim(bags, words, **options):
    from lm_keras.tasks.lda import Lda

    return Lda(bags, id2word=dict(enumerate(words)), iterations=ITERATIONS, **options)
