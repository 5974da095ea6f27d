"""What a server answers equals what the text model of each task answers, in every batch; no bytes break it."""

import json
import re
from pathlib import Path

import pytest
from served_requests import NEW_TOKENS, SAMPLE, beginnings, completions, requests, written
from small_tasks import MAKE

import lm_keras as lk
from lm_keras.tasks.extraction import relations_as_json
from lm_keras.tasks.relations import PLACES
from lm_keras.tasks.tagging import as_json

pytestmark = pytest.mark.usefixtures("warm_check")


def classes(bundle, texts):
    found = bundle.classify(texts)
    scores = [list(one.scores.values()) for one in found]
    outputs = {"label": [one.label for one in found], "score": [one.score for one in found], "scores": scores}
    names = getattr(bundle, "classes", None) or bundle.contexts
    return {"classify": ({"text": texts}, outputs | {"classes": [names] * len(texts)})}


def labels(bundle, texts):
    """Several classes a text: `labels` is a JSON list of all that it has."""
    ((inputs, outputs),) = classes(bundle, texts).values()
    found = [json.dumps(one.labels, ensure_ascii=False) for one in bundle.classify(texts)]
    return {"classify": (inputs, outputs | {"labels": found})}


def of_pairs(bundle, texts):
    ((_, outputs),) = classes(bundle, list(zip(texts, texts[::-1], strict=True))).values()
    return {"classify": ({"text": texts, "text_pair": texts[::-1]}, outputs)}


def tags(bundle, texts):
    return {"tag": ({"text": texts}, {"spans": [as_json(found) for found in bundle.tag(texts)]})}


def of_spans(bundle, texts):
    """Of each text that has two words or more, the relation of its first word and of one further on."""
    records = []
    for i, text in enumerate(texts):
        words = [found.span() for found in re.finditer(r"[^\W_]+", text)]
        if len(words) > 1:
            both = (words[0], words[1 + i % min(len(words) - 1, 30)])
            records.append(lk.data.Relation(text, *(both if i % 2 else both[::-1])))
    ((_, outputs),) = classes(bundle, records).values()
    columns = zip(*((row.text, *row.first, *row.second) for row in records), strict=True)
    return {"relation": (dict(zip(("text", *PLACES), map(list, columns), strict=True)), outputs)}


def extracted(bundle, texts):
    found = bundle.extract(texts)
    entities, relations = (
        [as_json(one.entities) for one in found],
        [relations_as_json(one.relations) for one in found],
    )
    return {"extract": ({"text": texts}, {"entities": entities, "relations": relations})}


def moderated(bundle, texts):
    found = bundle.moderate(texts)
    reasons = [json.dumps(one.reasons, ensure_ascii=False) for one in found]
    outputs = {"allowed": [one.allowed for one in found], "reasons": reasons}
    outputs |= {"spans": [as_json(one.spans) for one in found], "score": [one.score for one in found]}
    return {"moderate": ({"text": texts}, outputs)}


def summaries(bundle, texts):
    """Documents of a few of the texts, each a sentence or cut further."""
    documents = ["\x1e\n"[i % 2].join(texts[i : i + 7]) for i in range(len(texts))]
    found = bundle.summarize(documents)
    places = [one.places + [-1] * (bundle.num_sentences - len(one.places)) for one in found]
    outputs = {"summary": [one.text for one in found], "score": [one.score for one in found], "places": places}
    return {"summarize": ({"document": documents}, outputs)}


def answers(bundle, texts):
    questions = texts[::-1]
    rows = bundle.answer(questions, texts)
    outputs = {"answer": [a.text for a in rows], "score": [a.score for a in rows]}
    places = {"start": [a.start for a in rows], "end": [a.end for a in rows]}
    return {"answer": ({"question": questions, "context": texts}, outputs | places)}


def in_contexts(bundle, texts):
    """A text in each context and in one that is none; guided rows beside others."""
    names = [[*bundle.contexts, "nowhere"][i % 4] for i in range(len(texts))]
    known = [name if name in bundle.contexts else None for name in names]
    scores = [one._asdict() for one in bundle.score(texts, known)]
    scored = {output: [one[output] for one in scores] for output in ("log_prob", "num_tokens", "perplexity")}
    guidance = [(0.0, 1.5, 0.0, 0.5, 3.0)[i % 5] for i in range(len(texts))]
    counts = {"prompt": texts, "context": names, "guidance": guidance, "max_new_tokens": [NEW_TOKENS] * len(texts)}
    drawn = counts | {name: [value] * len(texts) for name, value in SAMPLE.items()}
    drawn["seed"] = list(range(len(texts)))
    made = [
        [
            bundle.generate(text, context=name, guidance=g, max_new_tokens=NEW_TOKENS, seed=seed, **options)[0]
            for seed, (text, name, g) in enumerate(zip(texts, known, guidance, strict=True))
        ]
        for options in ({"temperature": 0}, SAMPLE)
    ]
    return {
        "score": ({"text": texts, "context": names}, scored),
        "generate": (counts, written(made[0])),
        "sample": (drawn, written(made[1])),
        **classes(bundle, texts),
    }


def its_own(bundle):
    """The examples that a text model has itself: what a task is asked that is not below."""
    served = bundle.signatures()
    return {name: (inputs, served.answer(name, inputs)) for name, inputs in served.examples.items()}


ASKED = {  # what says more than that
    "cnn_classifier": classes,
    "bert_classifier": classes,
    "labels_classifier": labels,
    "pair_classifier": of_pairs,
    "prompt_classifier": classes,
    "masked_prompt_classifier": classes,
    "conditional_token": in_contexts,
    "conditional_vector": in_contexts,
    "tagger": tags,
    "word_tagger": tags,
    "relation_cnn": of_spans,
    "marked_relations": of_spans,
    "extraction": extracted,
    "moderator_cnn": moderated,
    "answers": answers,
    "summarizer": summaries,
    "embedding_summarizer": summaries,
    "embedder": lambda bundle, texts: {"embed": ({"text": texts}, {"vector": bundle.embed(texts).tolist()})},
    "pointer_generator": lambda bundle, texts: completions(bundle, "source", texts, 4),
    "seq2seq_lstm": lambda bundle, texts: completions(bundle, "source", texts, 4),
    "seq2seq_transformer": lambda bundle, texts: completions(bundle, "source", texts, 4),
}


@pytest.mark.parametrize("name", MAKE)
def test_an_export_answers_as_the_model_does(name, news, sentences, tmp_path):
    bundle = MAKE[name](news[:60])
    told = {"training_data": "none: random weights", "licence": "Apache-2.0", "metrics": {"accuracy": 0.25}}
    version = lk.export(bundle, tmp_path / name, model_card=told)
    if name in ASKED:
        asked, least = ASKED[name](bundle, [*beginnings(sentences)[:-1], " ".join(news[0].split()[:90])]), 10
    else:
        asked, least = its_own(bundle), 1
    for _, outputs in asked.values():
        assert len(set(map(str, zip(*outputs.values(), strict=True)))) > least  # else equality would say little
    assert lk.check(version, requests(asked)) == []
    card = json.loads(Path(version, "assets.extra", "model_card.json").read_text())
    assert told.items() <= card.items() and card["signatures"] == list(asked)
    if name in ASKED and name != "summarizer":  # whose scorer is of no family
        families = (
            "bert",
            "bert_pretrainer",
            "bilstm_tagger",
            "cnn_classifier",
            "gpt2",
            "lstm",
            "relation_rnn",
            "rnn_classifier",
            name,
        )
        sizes = card["sizes"].get("encoder", card["sizes"])
        assert card["family"] in families and sizes["num_filters" if "cnn" in name else "hidden_dim"]


def test_a_model_by_itself_is_no_text_model(news, tmp_path):
    model = MAKE["cnn_classifier"](news[:5]).model
    with pytest.raises(lk.InputError, match="TextClassifier"):
        lk.export(model, tmp_path / "x")
    with pytest.raises(lk.InputError, match="for JSON"):
        lk.export(MAKE["cnn_classifier"](news[:5]), tmp_path / "x", model_card={"a": {1, 2}})
    with pytest.raises(lk.InputError, match="'classes', which the model shows"):
        lk.export(MAKE["cnn_classifier"](news[:5]), tmp_path / "x", model_card={"classes": 3})
    with pytest.raises(lk.InputError, match="writes no text; leave out num_beams"):
        lk.export(MAKE["cnn_classifier"](news[:5]), tmp_path / "x", num_beams=4)
    for sizes in ({"num_beams": 1}, {"num_beams": 10**6}, {"max_new_tokens_limit": 2**31}):
        with pytest.raises(lk.InputError, match="a whole number of at least"):
            lk.export(MAKE["seq2seq_lstm"](news[:5]), tmp_path / "x", **sizes)
    assert not (tmp_path / "x").exists()
