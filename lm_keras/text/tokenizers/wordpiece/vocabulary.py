"""Choosing the pieces of a WordPiece vocabulary, and Hugging Face's tokenizer for it.

Hugging Face's trainer numbers the characters in the order in which a hash table yields them, and breaks ties by these
numbers: two runs give two vocabularies. Here the characters have their numbers before it starts.
"""

from collections import Counter

from lm_keras.errors import InputError
from lm_keras.text import codepoints, vocabulary
from lm_keras.text.wordpiece_characters import normalizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCAB_SIZE = 30_522  # BERT's
MAX_WORD = 100  # a longer word is unknown
_BLOCK = 10_000  # how many words the trainer is given at a time


def hugging_face(ids, lowercase, strip_accents):
    """The `tokenizers.Tokenizer` of {token: id}. It knows no special tokens: in a text they are text."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD))
    tokenizer.normalizer = normalizer(lowercase, strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def train_tokens(texts, vocab_size, min_count, lowercase):
    """Returns the list of tokens: the special ones, the characters by frequency, then pieces in order of merging.

    A character is there as itself and, if it occurs inside a word, with "##". Where `vocab_size` does not hold all
    that occur `min_count` times, the rarest are left out, and words with them teach nothing.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    vocabulary.check_size(vocab_size, len(SPECIAL_TOKENS) + 1, "5 special tokens and a character")
    vocab_size = vocab_size or VOCAB_SIZE
    words = _words(texts, lowercase)
    units = Counter()
    for word, n in words.items():
        units.update({unit: n * times for unit, times in _units(word).items()})
    tokens = vocabulary.choose(units, vocab_size, min_count, SPECIAL_TOKENS)
    if len(tokens) == len(SPECIAL_TOKENS):
        raise InputError(f"no character of the training texts occurs {min_count} times: give a smaller min_count")
    kept = set(tokens)
    words = {word: words[word] for word in sorted(words) if kept.issuperset(_units(word))}
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, min_frequency=min_count, special_tokens=tokens, show_progress=False
    )
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(_repeated(words), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.get)


def _words(texts, lowercase):
    """Counts the words. Nothing looks over a space, so what is between two is cleaned and cut once."""
    from tokenizers import pre_tokenizers

    chunks = vocabulary.count(texts, lambda text: filter(None, codepoints.valid(text).split(" ")))
    clean, cut = normalizer(lowercase, None).normalize_str, pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = Counter()
    for chunk, n in chunks.items():
        for word, _ in cut(clean(chunk)):
            if len(word) <= MAX_WORD:
                words[word] += n
    if not words:
        raise InputError("the training texts hold no tokens at all: give at least one text that is not empty")
    return words


def _units(word):
    units = Counter(word)
    units.update("##" + char for char in word[1:])
    return units


def _repeated(words):
    """Each word as often as it occurs, as texts: the trainer takes no counts."""
    for word, n in words.items():
        for start in range(0, n, _BLOCK):
            yield f"{word} " * min(_BLOCK, n - start)
