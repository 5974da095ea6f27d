"""Text for these tests: the embedded corpora, several languages, and characters on which tokenizers break."""

import functools
from random import Random

from hypothesis import strategies as st
from nltk.tokenize.destructive import NLTKWordTokenizer

import lm_keras as lk

LANGUAGES = [
    "L'été dernier, « les élèves » n'ont pas pu venir : c'était trop loin !",
    "Die Straße ist 3,5 km lang. „Größe“, sagte er, zählt nicht.",
    "Он сказал: «Привет, мир!» — и ушёл.",
    "Ο Οδυσσέας είπε «ναι»· ΟΔΥΣΣΕΥΣ.",
    "قال الرجل: «مرحبا بالعالم»، ثم ذهب؟",
    "यह एक वाक्य है। क्या तुम '१२,५' पढ़ सकते हो?",
    "他说：“你好，世界！”然后走了。我用Python写程序。",
    "彼は「こんにちは」と言った。ｶﾀｶﾅも。",
    'I ❤️ 🦊🏳️‍🌈👩‍👩‍👧 — don\'t you? ’tis (not) "so"...',
    "e\u0301 and \u00e9; İstanbul ıs ſo Kelvin \u212a; zero\u200bwidth\u200d; nul\x00; bell\x07",
    "",
    " ",
    "'",
    "...",
]

# What the rules of NLTK's tokenizer look at, and neighbours that are almost that.
_PARTS = [
    *"ab Z19é_²ſıİ\u0301क\u0663\x00", *"'\"`’‘“”„«»", *".,:;?!*&%$#@-–—", *"()[]{}<>",
    *" \t\n\r\x0b\x1c\x1f\x85\xa0\u2003\u3000\U0001f98a", "''", "``", "...", "--", ". ", "' ", " '", ",,",
    "cannot", "d'ye", "gimme", "gımme", "gonna", "gotta", "Lemme", "more'n", "wanna", "'tis", "'twas", "n't",
    "N'T", "n'T", "'s", "'S", "'ll", "'Ll", "'re", "'ve", "'d", "'m", "'n", "'l", "'v", "'ſ", "x", "xx",
    "<unk>", "<eos>", "<pad>",
]  # fmt: skip


def tricky_texts(n=12_000, seed=0):
    """Many of them, faster than hypothesis makes them."""
    random = Random(seed)
    return ["".join(random.choices(_PARTS, k=random.randint(0, 16))) for _ in range(n)]


tricky = st.lists(st.sampled_from(_PARTS), max_size=16).map("".join)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
texts = st.one_of(tricky, any_text)


@functools.cache
def paragraphs():
    return [*lk.data.load("wiki-excerpt", "all"), *lk.data.load("lee-news", "all")]


nltk_words = functools.cache(NLTKWordTokenizer().tokenize)  # two test files compare with it on the same texts


@functools.cache
def sentences():
    return [sentence for paragraph in paragraphs() for sentence in lk.text.sentences(paragraph)]
