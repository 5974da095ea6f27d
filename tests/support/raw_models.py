"""SavedModels of raw operations: one with a signature of each kind that a client knows, one of two versions."""

import tensorflow as tf

SPANS = '[{"start": 0, "end": 4, "label": "A", "score": 0.5, "text": "%s"}, {"start": 5, "end": 6, "label": "B", '
SPANS += '"score": 1.0, "text": "!"}]'


PLACES = ("first_start", "first_end", "second_start", "second_end")


def rows(*named):
    return [tf.TensorSpec([None], dtype, name) for name, dtype in named]


def size(text):
    return tf.strings.length(text, "UTF8_CHAR")


def completed(source, max_new_tokens):
    """Completions that show what came in."""
    told = tf.strings.join([source, tf.strings.as_string(max_new_tokens)], ">")
    log_prob = -tf.cast(max_new_tokens, tf.float32) / 3.0
    return {"completion": told, "num_new_tokens": max_new_tokens, "log_prob": log_prob}


def beam(source, max_new_tokens, length_penalty):
    made = completed(source, max_new_tokens)
    made["completions"] = tf.stack([made["completion"], source], 1)
    made["scores"] = tf.stack([length_penalty, length_penalty - 1.0], 1)
    return made


def sample(prompt, max_new_tokens, temperature, top_k, top_p, seed):
    given = [tf.strings.as_string(x, 2) for x in (temperature, top_p)] + list(
        map(tf.strings.as_string, (top_k, seed))
    )
    return completed(tf.strings.join([prompt, *given], "|"), max_new_tokens)


def chat(messages, *options):
    told = sample(messages, *options)
    return {"reply": told["completion"], "num_new_tokens": told["num_new_tokens"], "log_prob": told["log_prob"]}


def classify(text):
    scores = tf.nn.softmax(tf.stack([tf.cast(size(text), tf.float32) / 7.0, tf.ones_like(size(text), tf.float32)], 1))
    classes = tf.tile([["long", "short"]], [tf.shape(text)[0], 1])
    label = tf.gather(classes, tf.argmax(scores, 1), batch_dims=1)
    return {"label": label, "score": tf.reduce_max(scores, 1), "scores": scores, "classes": classes}


def tag(text):
    first, last = SPANS.split("%s")
    spans = tf.strings.join([first, tf.strings.substr(text, 0, 4, "UTF8_CHAR"), last])
    return {"spans": tf.where(size(text) > 0, spans, "[]")}


def relation(text, first_start, first_end, second_start, second_end):
    """The lengths of both spans in quarters, so that each of the four places shows."""
    scores = tf.stack([first_end - first_start, second_end - second_start], 1)
    found = classify(text)
    return found | {"scores": tf.cast(scores, tf.float32) / 4.0}


def extract(text):
    relations = '[{"first": 1, "second": 0, "label": "R", "score": 0.25}]'
    return {"entities": tag(text)["spans"], "relations": tf.where(size(text) > 0, relations, "[]")}


def answer(question, context):
    end = tf.minimum(size(question), size(context))
    text = tf.strings.substr(context, tf.zeros_like(end), end, "UTF8_CHAR")
    return {"answer": text, "score": tf.cast(end, tf.float32) / 10.0, "start": tf.zeros_like(end), "end": end}


def retrieve(question):
    answered = size(question) > 3
    score = tf.cast(size(question), tf.float32) / 10.0
    return {"answer": tf.where(answered, question, ""), "score": score, "answered": answered, "matched": question}


def summarize(document):
    """The first two characters; the second is not there in a document of one."""
    first = tf.strings.substr(document, 0, 2, "UTF8_CHAR")
    places = tf.stack([tf.minimum(size(document), 1) - 1, tf.where(size(document) > 1, 3, -1)], 1)
    return {"summary": first, "score": tf.cast(size(document), tf.float32) / 8.0, "places": places}


def rescore(hypotheses, scores):
    """The first hypothesis, and how many bytes there are of scores."""
    return {
        "best": tf.strings.split(hypotheses, "\x1e").to_tensor("")[:, 0],
        "score": tf.cast(tf.strings.length(scores), tf.float32),
        "place": tf.zeros_like(tf.strings.length(scores)),
    }


def respond(messages):
    """A reply that shows what came in."""
    answered = size(messages) > 3
    return {
        "reply": messages,
        "act": tf.where(answered, "inform", ""),
        "probability": tf.cast(answered, tf.float32) / 4.0,
        "state": tf.where(answered, "hello", ""),
        "slots": tf.where(answered, '{"day": "Friday"}', "{}"),
        "handed_over": ~answered,
        "reasons": tf.where(answered, "[]", '["unsure"]'),
    }


def embed(text):
    length = tf.cast(size(text), tf.float32)
    return {"vector": tf.stack([length / 3.0, -length, length * 1e20], 1)}


def types(x, n, yes, raw):
    nonfinite = tf.where(yes, x / 0.0, x)
    return {
        "x": nonfinite,
        "n": n * 2,
        "yes": tf.logical_not(yes),
        "raw_bytes": raw,
        "half": tf.cast(n, tf.float64) / 3.0,
    }


OPTIONS = (
    *(("max_new_tokens", tf.int32), ("temperature", tf.float32), ("top_k", tf.int32), ("top_p", tf.float32)),
    ("seed", tf.int32),
)
SIGNATURES = {
    "generate": (completed, rows(("source", tf.string), ("max_new_tokens", tf.int32))),
    "beam": (beam, rows(("source", tf.string), ("max_new_tokens", tf.int32), ("length_penalty", tf.float32))),
    "sample": (sample, rows(("prompt", tf.string), *OPTIONS)),
    "chat": (chat, rows(("messages", tf.string), *OPTIONS)),
    "classify": (classify, rows(("text", tf.string))),
    "tag": (tag, rows(("text", tf.string))),
    "relation": (relation, rows(("text", tf.string), *((name, tf.int32) for name in PLACES))),
    "extract": (extract, rows(("text", tf.string))),
    "answer": (answer, rows(("question", tf.string), ("context", tf.string))),
    "retrieve": (retrieve, rows(("question", tf.string))),
    "summarize": (summarize, rows(("document", tf.string))),
    "rescore": (rescore, rows(("hypotheses", tf.string), ("scores", tf.string))),
    "respond": (respond, rows(("messages", tf.string))),
    "embed": (embed, rows(("text", tf.string))),
    "types": (types, rows(("x", tf.float32), ("n", tf.int64), ("yes", tf.bool), ("raw", tf.string))),
    "same": (lambda x: {"y": x}, [tf.TensorSpec([None, 2], tf.float32, "x")]),
    "total": (lambda x: {"y": tf.reduce_sum(x)[None]}, rows(("x", tf.float32))),
}  # fmt: skip


def save(folder, signatures):
    functions = {name: tf.function(body, input_signature=spec) for name, (body, spec) in signatures.items()}
    tf.saved_model.save(tf.Module(), str(folder), functions)


def save_tasks(folder):
    save(folder / "1", SIGNATURES)
    return folder


def save_two_versions(folder):
    """Each says its number; the second has another signature beside."""
    for number in (1, 2):
        which = (lambda text, number=number: {"version": tf.fill(tf.shape(text), number)}, rows(("text", tf.string)))
        save(folder / str(number), {"serving_default": which} | ({"new": which} if number == 2 else {}))
    return folder
