"""A page on what a set of texts is like and what should be done before a model is trained on it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from lm_keras.data.labelled import LabelledTexts
from lm_keras.data.quality.content_filter import ContentFilter
from lm_keras.data.quality.duplicates import check_text_stream, duplicates
from lm_keras.data.quality.overlap import overlap
from lm_keras.data.quality.personal_data import scrub
from lm_keras.data.quality.report import page as plots
from lm_keras.data.quality.report.page import bullets, example, image, page, paragraph, section, side_by_side, table
from lm_keras.data.quality.statistics import Sample, Statistics, statistics
from lm_keras.errors import InputError
from lm_keras.utils.atomic_files import write_text

THRESHOLD = 0.8
COMPARED = 200_000  # texts among which near-duplicates are looked for


class Measured(NamedTuple):
    """Everything that the page shows."""

    statistics: Statistics
    compared: list  # the texts among which duplicates were looked for: all that are not empty, or a sample
    duplicates: list
    personal: Counter  # {kind: number}
    num_personal: int  # texts that hold such data
    unwanted: Counter  # {category of the word list: texts}
    overlap: object  # Overlap, or None without a test set
    labels: Counter  # {class: number}, empty without labels


def write_report(
    texts: Iterable[str] | LabelledTexts,
    path: str | Path,
    test: Iterable[str] | None = None,
    *,
    title: str = "Data report",
    labels: Mapping[str, int] | None = None,
    compared: int = COMPARED,
    seed: int = 0,
) -> list[str]:
    """Writes a report on texts as one HTML page.

    Sizes and lengths, words, languages, scripts, damaged characters, duplicates, personal data, unwanted words, the
    overlap with a test set, the shares of the classes. The page holds its pictures, needs no network, runs no script,
    and shows examples of the texts only after `scrub`. All is counted over all texts but the languages (10,000 texts
    drawn at random) and the duplicates.

    Args:
        texts: An iterable of str that can be iterated again and again, such as a list or `read_texts(path)`, or what
            `read_labelled` returns, with its labels.
        path: The page.
        test: Texts of a test set, whose 8-grams are looked for.
        title: Of the page.
        labels: {class: number}.
        compared: With more texts, duplicates are looked for among so many drawn at random, and the page says so.
        seed: Of what is drawn.

    Returns:
        What it found worth a look, a list of sentences.

    Raises:
        InputError: For no text, and where a library of the extra `analysis` is missing.
    """
    if isinstance(texts, LabelledTexts):
        texts, labels = texts.texts, labels or texts.counts()
    measured = _measure(texts, test, labels, compared, seed)
    notes = findings(measured)
    sections = (_sizes, _labels, _words, _languages, _characters, _repetition, _personal, _unwanted, _overlap)
    write_text(path, page(title, _first(notes), *(make(measured) for make in sections), _method(measured)))
    return notes


def _measure(texts, test, labels, compared, seed):
    check_text_stream(texts)
    if test is not None:
        check_text_stream(test, "test")
    if iter(texts) is texts:
        raise InputError("a report reads the texts several times; give a list, or read_texts(path)")
    counted = statistics(_shown(texts, "counting"), seed=seed)
    sample, personal, unwanted, num_personal = Sample(compared, seed), Counter(), Counter(), 0
    words = ContentFilter().words
    for text in _shown(texts, "personal data, unwanted words"):
        if text.strip():
            sample.add(text)
        found = scrub(text).found
        personal.update(found)
        num_personal += bool(found)
        if category := words.find(text):
            unwanted[category] += 1
    repeated = duplicates(sample.texts, THRESHOLD)
    shared = overlap(_shown(texts, "overlap"), test) if test is not None else None
    return Measured(counted, sample.texts, repeated, personal, num_personal, unwanted, shared, Counter(labels))


def _shown(texts, what):
    """The same texts, with a progress bar on a terminal."""
    from tqdm import tqdm

    return tqdm(texts, desc=what, unit=" texts", disable=None, leave=False)


# === Sections of the page ===
def _first(notes):
    if not notes:
        return paragraph("Nothing that this report looks for stands out.")
    return section("Worth a look", bullets(notes))


def _sizes(measured):
    found = measured.statistics
    rows = [
        ("texts", found.num_texts),
        ("of them empty", found.num_empty),
        ("characters", found.num_characters),
        ("words (in Chinese: characters)", found.num_words),
    ]
    lengths = [
        (name.replace("p", "") + " %" if name[1:].isdecimal() else name, characters, words)
        for name, characters, words in zip(found.words._fields, found.characters, found.words, strict=True)
    ]
    picture = image(plots.length_histogram(found.word_lengths, "words"), "histogram of the lengths in words")
    totals = table(rows) + table(lengths, ("length of a text", "characters", "words"))
    return section("Size and lengths", side_by_side(totals, picture))


def _labels(measured):
    found = measured.labels
    if not found:
        return ""
    shares = {name: count / found.total() for name, count in found.most_common()}
    rows = [(name, found[name], share) for name, share in shares.items()]
    classes = table(rows, ("class", "records", "share"))
    return section("Labels", side_by_side(classes, image(plots.shares(shares), "shares of the classes")))


def _words(measured):
    found = measured.statistics
    rows = [("different words (types)", found.num_types), ("of them that come once", found.num_once)]
    rows.append(("types / words", found.type_token_ratio))
    if found.segment_ratio is not None:
        rows.append(("the same within 1,000 words, mean", found.segment_ratio))
    half = (len(found.top_words) + 1) // 2
    tops = [table(part, ("word", "times")) for part in (found.top_words[:half], found.top_words[half:]) if part]
    zipf = image(plots.rank_frequency(found.word_counts), "frequency of the words by their rank")
    growth = image(plots.vocabulary_growth(found.growth), "growth of the vocabulary")
    return section("Words", side_by_side(table(rows), *tops), side_by_side(zipf, growth))


def _languages(measured):
    found = measured.statistics
    note = (
        f'{found.num_identified:,} texts were looked at, by py3langid. "und": too short (fewer than 20 Latin letters'
        " or 7 Chinese characters) or too doubtful to tell."
    )
    pictures = [
        paragraph(heading) + image(plots.shares(named), heading)
        for heading, named in (("languages of the texts", found.languages), ("scripts of the letters", found.scripts))
        if named
    ]
    return section("Languages and scripts", paragraph(note, note=True), side_by_side(*pictures))


def _characters(measured):
    found = measured.statistics
    rows = [("texts with control characters or U+FFFD", found.num_damaged)]
    rows.append(("texts that look like UTF-8 read in another encoding (mojibake)", found.num_mojibake))
    rows += [(f"characters: {kind}", count) for kind, count in found.odd_characters.items()]
    return section("Odd characters", table(rows))


def _repetition(measured):
    found, compared = measured.statistics, len(measured.compared)
    kinds = Counter(found.kind for found in measured.duplicates)
    rows = [
        ("texts that repeat an earlier one as it stands, of all", found.num_repeated),
        ("texts among which the following were looked for", compared),
        ("the same as an earlier one but for case, white space and form of the characters", kinds["exact"]),
        (f"near-duplicates of an earlier one (Jaccard similarity of 3-word runs from {THRESHOLD} on)", kinds["near"]),
    ]
    parts = [table(rows)]
    times = (found.num_texts - found.num_empty) / compared
    if times > 1:
        note = (
            f"These are {compared:,} of the texts, drawn at random: a pair is seen only if both were drawn, so the "
        )
        parts.append(paragraph(note + f"true share of duplicates is higher, up to {times:.1f} times.", note=True))
    most = Counter(found.of for found in measured.duplicates).most_common(5)
    if most:
        repeated = [(count + 1, example(measured.compared[index])) for index, count in most]
        parts.append(table(repeated, ("times", "text that is repeated most")))
    near = sorted(
        (found for found in measured.duplicates if found.kind == "near"), key=lambda found: found.similarity
    )
    if near:
        pairs = [
            (found.similarity, example(measured.compared[found.of]), example(measured.compared[found.index]))
            for found in near[:5]
        ]
        parts.append(table(pairs, ("similarity", "least alike of the near-duplicates: kept", "would go")))
    return section("Duplicates", *parts)


def _personal(measured):
    rows = [("texts with personal data", measured.num_personal), *measured.personal.most_common()]
    note = "Found by their form (lk.data.scrub); names and addresses are not looked for. Examples here are scrubbed."
    return section("Personal data", table(rows), paragraph(note, note=True))


def _unwanted(measured):
    rows = [("texts with a word of the list", measured.unwanted.total()), *measured.unwanted.most_common()]
    note = "By the word list of lk.data.ContentFilter: English and a little Chinese, whole words, no context."
    return section("Unwanted words", table(rows), paragraph(note, note=True))


def _overlap(measured):
    found = measured.overlap
    if found is None:
        return ""
    rows = [
        ("test texts", found.num_texts),
        (f"their {found.n}-grams", found.num_ngrams),
        ("of them in the training text", found.num_found),
        ("share", found.share),
        ("test texts with one such or more", found.num_touched),
        ("with at least 70 % of theirs", found.num_contaminated),
        ("with all of theirs", found.num_whole),
    ]
    worst = [(overlapping.share, example(overlapping.text)) for overlapping in found.worst]
    parts = [table(worst, ("share", "test text"))] if worst else []
    return section("Overlap with the test set", table(rows), *parts)


def _method(measured):
    from lm_keras import __version__

    text = f"Made by lm_keras {__version__} (lk.data.write_report), from {measured.statistics.num_texts:,} texts."
    return paragraph(text, note=True)


# === What is worth a look before training, as sentences ===


def findings(measured: "Measured") -> list[str]:
    """A list of sentences on what was found (`report.Measured`), each with what can be done about it."""
    found = measured.statistics
    lines = [*_repetition_findings(measured), *_character_findings(found), *_language_findings(found)]
    if measured.num_personal:
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in measured.personal.most_common())
        share = _percent(measured.num_personal, found.num_texts)
        lines.append(
            f"{share} of the texts hold what looks like personal data ({kinds}): lk.data.scrub takes it out."
        )
    if measured.unwanted:
        share = _percent(measured.unwanted.total(), found.num_texts)
        lines.append(f"{share} of the texts hold a word of the list: lk.data.ContentFilter drops them.")
    if measured.overlap is not None and measured.overlap.num_found:
        overlap = measured.overlap
        share = _percent(overlap.num_found, overlap.num_ngrams)
        lines.append(f"{share} of the test set's {overlap.n}-grams stand in the training text.")
        if overlap.num_contaminated:
            of = f"{overlap.num_contaminated:,} of {overlap.num_texts:,} test texts"
            lines.append(f"For {of} it is 70 % or more: a result on those says nothing about new text.")
    return lines


def _repetition_findings(measured):
    repeated, compared = len(measured.duplicates), len(measured.compared)
    if repeated < 0.001 * compared or not repeated:
        return []
    times = _filled(measured.statistics) / compared
    of = "non-empty texts"
    if times > 1:
        of = f"a sample of {compared:,} texts (of all, up to {times:.1f} times that share)"
    return [f"{_percent(repeated, compared)} of {of} repeat an earlier one: lk.data.without_duplicates drops them."]


def _character_findings(found):
    lines = []
    if found.num_damaged:
        share = _percent(found.num_damaged, found.num_texts)
        lines.append(f"{share} of the texts hold control characters or U+FFFD: lk.text.clean takes the first out.")
    if found.num_mojibake:
        share = _percent(found.num_mojibake, found.num_texts)
        lines.append(
            f"{share} of the texts look like UTF-8 that was read in another encoding: convert the source anew."
        )
    if found.num_empty > 0.2 * found.num_texts:
        lines.append(f"{_percent(found.num_empty, found.num_texts)} of the texts are empty.")
    return lines


def _language_findings(found):
    told = {code: share for code, share in found.languages.items() if code != "und"}
    if len(told) < 2 or max(told.values()) >= 0.95 * sum(told.values()):
        return []
    first = ", ".join(f"{code} {share:.1%}" for code, share in list(told.items())[:4])
    return [f"The texts are in several languages: {first}."]


def _filled(found):
    return found.num_texts - found.num_empty


def _percent(part, whole):
    share = part / whole
    return f"{share:.1%}" if share >= 0.001 else f"{part:,} ({share:.1g})"
