"""What the records of the named corpora hold of running text."""

from lm_keras.data import records as kinds

_FIELDS = {
    kinds.Labelled: ("text",),
    kinds.Relation: ("text",),
    kinds.Translation: ("en", "de", "fr"),
    kinds.Dialogue: ("turns",),
    kinds.Summary: ("document", "summaries"),
    kinds.Hypotheses: ("reference", "hypotheses"),
    kinds.WordPair: ("first", "second"),
    kinds.Analogy: ("a", "b", "c", "d"),
}


def record_texts(records):
    """The texts of records, a list of str without blank ones; labels, tags, titles and ids are none.

    A context that questions in a row share comes once, as does an answer that several people gave to a question.
    """
    texts, context = [], None
    for record in records:
        if isinstance(record, kinds.QuestionAnswer):
            answers = dict.fromkeys(answer.text for answer in record.answers)
            texts += [*([record.context] if record.context != context else []), record.question, *answers]
            context = record.context
        elif isinstance(record, kinds.TaggedSentence):
            chinese = all(len(word) == 1 for word in record.words)
            texts.append(("" if chinese else " ").join(record.words))
        else:
            values = [getattr(record, name) for name in _FIELDS[type(record)]]
            texts += [text for value in values for text in ([value] if isinstance(value, str) else value)]
    return [text for text in texts if text.strip()]
