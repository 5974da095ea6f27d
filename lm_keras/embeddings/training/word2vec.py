"""Word vectors of your own texts: word2vec and fastText, trained by gensim."""

from tqdm import tqdm

from lm_keras.embeddings.training.encoded_sentences import EncodedSentences
from lm_keras.errors import InputError
from lm_keras.utils.checks import check_choice, check_number, check_positive, check_seed, check_sizes

ALGORITHMS = ("skip-gram", "cbow")


def train_word2vec(
    sentences,
    embedding_dim=100,
    window=5,
    min_count=5,
    algorithm="skip-gram",
    negatives=5,
    epochs=5,
    seed=0,
    progress=True,
    *,
    language="en",
    learning_rate=0.025,
    subsample=1e-3,
    workers=1,
):
    """Trains word2vec (Mikolov et al. 2013) with negative sampling -> KeyedVectors, the most frequent word first.

    `sentences`: any iterable, read once, of lists of words, or of strings, which `lm_keras.text.words` splits in
    `language`; for a file `lm_keras.data.read_texts(path)`. Left out are words that occur fewer than `min_count`
    times. "skip-gram" tells the words within `window` from a word, "cbow" the word from those around it; `negatives`
    noise words to each true one. Frequent words are dropped at random, those above the share `subsample` of the text
    (None: none). The learning rate falls linearly. The same seed gives the same vectors with one worker, a thread;
    not with more.
    Raises InputError for empty input, one string or path, no word that is frequent enough, and impossible sizes.
    """
    from gensim.models import Word2Vec

    told = _arguments(embedding_dim, window, algorithm, negatives, seed, learning_rate, subsample, workers)
    return _trained(Word2Vec, told, sentences, language, min_count, epochs, progress)


def train_fasttext(
    sentences,
    embedding_dim=100,
    window=5,
    min_count=5,
    min_n=3,
    max_n=6,
    algorithm="skip-gram",
    negatives=5,
    epochs=5,
    seed=0,
    progress=True,
    *,
    buckets=200_000,
    language="en",
    learning_rate=0.025,
    subsample=1e-3,
    workers=1,
):
    """Trains fastText (Bojanowski et al. 2017) -> FastTextKeyedVectors, which have a vector for every word.

    A word's vector is the mean of its own and those of its n-grams of `min_n` to `max_n` characters, with marks at
    both ends; n-grams share `buckets` vectors by a hash. The paper has 2,000,000 of them, 800 MB at 100 dimensions;
    a text of some millions of words has fewer n-grams than the 200,000 here. To keep them, and so the vectors of
    unseen words: `save_vectors(vectors, "my.bin", format="fasttext")`. All else: `train_word2vec`.
    """
    from gensim.models import FastText

    check_sizes(min_n=min_n, max_n=max_n, buckets=buckets)
    if min_n > max_n:
        raise InputError(f"min_n is {min_n} and max_n {max_n}; min_n must not be above max_n")
    told = _arguments(embedding_dim, window, algorithm, negatives, seed, learning_rate, subsample, workers)
    told |= {"min_n": min_n, "max_n": max_n, "bucket": buckets}
    return _trained(FastText, told, sentences, language, min_count, epochs, progress)


def _arguments(embedding_dim, window, algorithm, negatives, seed, learning_rate, subsample, workers):
    """What gensim calls them. Its `hashfxn` is not used any more: where vectors start depends on the seed alone."""
    check_choice("algorithm", algorithm, ALGORITHMS)
    check_sizes(embedding_dim=embedding_dim, window=window, negatives=negatives, workers=workers)
    check_seed(seed)
    check_positive(learning_rate=learning_rate)
    if subsample is not None:
        check_number("subsample", subsample, above=0, below=1)
    return {
        "vector_size": embedding_dim,
        "window": window,
        "sg": int(algorithm == "skip-gram"),
        "negative": negatives,
        "seed": seed,
        "alpha": learning_rate,
        "min_alpha": min(1e-4, learning_rate),
        "sample": subsample or 0,
        "workers": workers,
    }


def _trained(make, told, sentences, language, min_count, epochs, progress):
    check_sizes(min_count=min_count, epochs=epochs)
    corpus = EncodedSentences(sentences, language, progress)
    corpus.frequent(min_count)  # or an InputError
    model = make(min_count=min_count, **told)
    counts = dict(zip(corpus.words, corpus.counts.tolist(), strict=True))
    model.build_vocab_from_freq(counts)
    with tqdm(
        total=epochs * corpus.num_words, desc=make.__name__, unit=" words", unit_scale=True, disable=not progress
    ) as bar:
        watched = _Watched(corpus, bar)
        model.train(watched, total_words=corpus.num_words, epochs=epochs)
    if watched.error:
        raise watched.error
    return model.wv


class _Watched:
    """The sentences, as often as they are asked for; tells the progress bar."""

    def __init__(self, corpus, bar):
        self.corpus, self.bar, self.error = corpus, bar, None

    def __iter__(self):
        try:
            for words in self.corpus:
                yield words
                self.bar.update(len(words))
        except Exception as error:  # noqa: BLE001 gensim reads in a thread: should that die, the others wait for ever
            self.error = error
