"""statistics and language: what they count, and what they do where nothing can be told."""

import sys

import numpy as np
import pytest

import lm_keras as lk
from lm_keras.data.quality import statistics as languages
from lm_keras.data.quality.statistics import Sample, is_damaged, is_mojibake, statistics
from lm_keras.errors import InputError

SENTENCES = {
    "en": "The committee will meet again on Thursday to discuss the report.",
    "de": "Der Ausschuss trifft sich am Donnerstag erneut, um den Bericht zu besprechen.",
    "fr": "Le comité se réunira de nouveau jeudi pour discuter du rapport.",
    "es": "El comité se reunirá de nuevo el jueves para discutir el informe.",
    "ru": "Комитет снова соберётся в четверг, чтобы обсудить доклад.",
    "zh": "委员会将于星期四再次开会讨论这份报告。",
    "ja": "委員会は木曜日に再び会合を開き、報告書について話し合います。",
}


def test_counts_of_a_small_set():
    texts = ["The cat, the dog.", " the cat", "the cat ", "", "\t", "cat's\n\n3 cats\n"]
    found = statistics(texts)
    assert (found.num_texts, found.num_empty, found.num_repeated, found.num_empty_lines) == (6, 2, 1, 1)
    assert found.num_characters == sum(map(len, texts))
    assert found.top_words[:2] == [("the", 4), ("cat", 3)]
    assert (found.num_words, found.num_types, found.num_once) == (11, 6, 4)
    assert found.type_token_ratio == 6 / 11
    assert found.word_lengths.tolist() == [4, 2, 2, 0, 0, 3]
    assert found.word_counts.tolist() == [4, 3, 1, 1, 1, 1]
    assert (found.words.min, found.words.median, found.words.max) == (0, 2.0, 4)
    assert found.words.mean == pytest.approx(11 / 6)
    assert found.growth == [(0, 0), (11, 6)]
    assert found.segment_ratio is None, "fewer than 1,000 words"
    assert found.languages == {"und": 1.0} and found.num_identified == 4


def test_statistics_of_news_by_other_means():
    news = lk.data.load("lee-news")[:80]
    found = statistics(iter(news), language_sample=20)
    lengths = [len(text) for text in news]
    assert found.characters.p95 == pytest.approx(np.percentile(lengths, 95))
    assert found.character_lengths.tolist() == lengths
    words = [word.strip(".,\"'-():;?!$") for text in news for word in text.lower().split()]
    assert found.num_words == pytest.approx(sum(map(bool, words)), rel=0.02)
    assert found.growth[-1] == (found.num_words, found.num_types)
    assert all(a < b for a, b in zip(found.growth, found.growth[1:], strict=False))
    assert found.type_token_ratio < found.segment_ratio < 0.6
    assert found.word_counts.sum() == found.num_words
    assert found.languages == {"en": 1.0} and found.num_identified == 20
    assert found.scripts == {"Latin": 1.0}
    assert found.odd_characters == {}


def test_the_ratio_within_segments_does_not_fall_as_the_text_grows():
    text = " ".join(lk.data.load("lee-news")[:40])
    once, often = statistics([text], language_sample=0), statistics([text] * 8, language_sample=0)
    assert often.type_token_ratio == pytest.approx(once.type_token_ratio / 8)
    assert often.segment_ratio == pytest.approx(once.segment_ratio, rel=0.02)


@pytest.mark.parametrize("code", SENTENCES)
def test_languages_are_told_apart(code):
    assert lk.data.language(SENTENCES[code]) == code


@pytest.mark.parametrize(
    "text", ["", "!?", "1234567890 1234567890 1234567890", "ok, yes", "Da geht's los", "今天好", "x" * 19]
)
def test_what_is_too_short_is_undetermined(text):
    assert lk.data.language(text) == "und"


def test_only_the_beginning_of_a_long_text_is_looked_at(monkeypatch):
    seen = []
    known = languages._identifier()
    fake = type("Identifier", (), {"classify": lambda self, text: seen.append(text) or known.classify(text)})()
    monkeypatch.setattr(languages, "_identifier", lambda: fake)
    assert lk.data.language(SENTENCES["fr"] * 1000) == "fr"
    assert len(seen[0]) == languages.LONGEST
    assert lk.data.language("\ud800" + SENTENCES["fr"]) == "fr", "a lone surrogate is no obstacle"


def test_scripts_and_odd_characters():
    found = statistics(["ab\x07 \ufffd\u200b \ue000", "тест", "漢字", "かな", "ab\u00ad\ud800"], language_sample=0)
    assert found.scripts == pytest.approx({"Latin": 4 / 12, "Cyrillic": 4 / 12, "Han": 2 / 12, "Hiragana": 2 / 12})
    assert list(found.scripts)[:2] == ["Latin", "Cyrillic"]
    assert found.odd_characters == {"invisible": 2, "control": 1, "replacement": 1, "private use": 1, "surrogate": 1}
    assert found.num_damaged == 1


def test_damage_and_mojibake():
    assert is_damaged("a\x00b") and is_damaged("caf\ufffd") and not is_damaged("a\tb\r\n café 漢")
    for text in ("café", "it’s", "naïve"):
        assert is_mojibake(text.encode().decode("latin-1")) or is_mojibake(text.encode().decode("cp1252"))
        assert not is_mojibake(text)
    assert not is_mojibake("SÃO PAULO, Â, “quoted” – 10 €")


def test_a_sample_is_drawn_evenly_and_by_its_seed():
    counts = np.zeros(20)
    for seed in range(400):
        sample = Sample(5, seed)
        for text in range(20):
            sample.add(text)
        assert len(set(sample.texts)) == 5
        counts[sample.texts] += 1
    assert counts.min() > 60 < 140 > counts.max(), "100 each, standard deviation 8.7"


def test_bad_input_is_one_clear_line(monkeypatch):
    for texts, message in ((["a", 3], "got int"), ("one", "one string"), ([], "no text")):
        with pytest.raises(InputError, match=message):
            lk.data.statistics(texts)
    languages._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(InputError, match=r"needs py3langid: run pip install lm_keras\[analysis\]"):
        lk.data.language(SENTENCES["en"])
