"""What of a data report is worth a look before training, as sentences."""


def findings(measured):
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
