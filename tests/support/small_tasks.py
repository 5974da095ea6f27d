"""Small text models of every task with large random weights, so that their answers differ from text to text."""

import contextlib
from collections import Counter

import keras
import numpy as np
from small_models import tiny_lm

import lm_keras as lk
from lm_keras import contexts, prompting, tasks
from lm_keras.tasks.sentence_scorer import build_sentence_scorer, summarizer_model, word_weights
from lm_keras.text.word_offsets import joined_word_places

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
MAX_LENGTH = 32


@contextlib.contextmanager
def policy(name):
    """What is built inside computes in that precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def word_pieces(texts):
    return lk.text.WordPieceTokenizer.train(texts, vocab_size=500, lowercase=True)


def encoder(tokenizer, seed=0):
    sizes = {"max_length": MAX_LENGTH, "hidden_dim": 16, "num_layers": 1, "num_heads": 2}
    return lk.models.build_bert(tokenizer.vocab_size, **sizes, initializer_range=0.5, seed=seed)


def lively(model, scale=1.0):
    """The same model; its last layer, which heads start near 0, gets large weights."""
    last = model.layers[-1] if model.layers[-1].weights else model.get_layer("span")
    rng = np.random.default_rng(0)
    last.set_weights([rng.normal(0, scale, w.shape).astype("float32") for w in last.get_weights()])
    return model


def text_to_text(tokenizer, kind="lstm"):
    sizes = {"hidden_dim": 16, "num_layers": 1, "seed": 1}
    if kind == "lstm":
        sizes |= {"embedding_dim": 8, "initializer_range": 1.0}
    model = getattr(lk.models, f"build_seq2seq_{kind}")(tokenizer.vocab_size, **sizes)
    if kind == "transformer":
        model.set_weights([3 * weights for weights in model.get_weights()])
    return tasks.TextToText(model, tokenizer)


def pointer_generator(texts):
    """A model that copies; most of the words of texts are not in its vocabulary."""
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=60)
    sizes = {
        "copy_slots": 6,
        "embedding_dim": 8,
        "hidden_dim": 12,
        "initializer_range": 1.0,
        "coverage": 1.0,
        "bidirectional": False,
    }
    model = lk.models.build_pointer_generator(tokenizer.vocab_size, **sizes, seed=1)
    return tasks.TextToText(model, tokenizer)


def cnn(vocab_size, num_classes):
    """A model of ids [B, T] -> numbers [B, num_classes]."""
    sizes = {"embedding_dim": 8, "kernel_sizes": (2, 3), "num_filters": 6, "seed": 0}
    return lively(lk.models.build_cnn_classifier(vocab_size, num_classes=num_classes, **sizes), 5.0)


def cnn_classifier(texts):
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=300)
    return tasks.TextClassifier(cnn(tokenizer.vocab_size, 4), tokenizer, ["sport", "war", "weather", "wealth"])


def labels_classifier(texts):
    """Several classes a text, by a recurrent model."""
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=300)
    sizes = {"embedding_dim": 8, "hidden_dim": 5, "cell": "gru", "seed": 0}
    model = lively(lk.models.build_rnn_classifier(tokenizer.vocab_size, num_classes=4, **sizes), 3.0)
    return tasks.TextClassifier(model, tokenizer, ["sport", 'the "war"', "天气", "wealth"], multi_label=True)


def pair_classifier(texts):
    model = lively(lk.models.sequence_classifier(encoder(pieces := word_pieces(texts)), 3))
    return tasks.TextClassifier(model, pieces, ["a", "b", "c"], pairs=True)


PROMPTED = {"up": [" risen", " more"], "down": [" fallen", " less than"], "same": " in"}


def prompt_classifier(texts):
    """Three words after two examples and a text, by a small GPT-2."""
    tokenizer = lk.text.BPETokenizer.train(texts, vocab_size=500)
    lm = tiny_lm("gpt2", tokenizer, 0.4, max_length=96).with_prompt("Today: ")
    options = {"calibration": "contextual", "normalize": "tokens"}
    made = prompting.PromptClassifier(lm, "News: {text}\n\nThe number has", PROMPTED, **options)
    return made.with_examples(([text[:20] for text in texts[:2]], ["down", "up"]))


def masked_prompt_classifier(texts):
    """Three words at [MASK], by a small BERT."""
    pieces = word_pieces(texts)
    model = lk.models.bert_pretrainer(encoder(pieces), next_sentence=False, seed=0)
    made = prompting.PromptClassifier(model, "{text} {mask} {[SEP]}!", PROMPTED, "batch", tokenizer=pieces)
    return made.calibrate([text[:60] for text in texts[:9]])


def single_words(texts):
    """A tokenizer of the words that are most frequent, each by itself."""
    counts = Counter(text[a:b].lower() for text in texts for a, b in joined_word_places(text))
    tokens = ["<pad>", "<unk>", "<eos>", *(word for word, _ in counts.most_common(300))]
    return lk.text.WordTokenizer(tokens, language=None, lowercase=True)


def random_weights(model, scale=0.7):
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, scale, w.shape).astype("float32") for w in model.get_weights()])
    return model


RELATIONS = ["Kill", "Live_In(e1,e2)", "Live_In(e2,e1)", "none"]


def relations(texts, kind="cnn"):
    tokenizer = single_words(texts)
    sizes = {"embedding_dim": 8, "position_dim": 4, "max_distance": 6, "hidden_dim": 6, "seed": 0}
    builder = getattr(lk.models, f"build_relation_{kind}")
    model = builder(tokenizer.vocab_size, num_classes=len(RELATIONS), **sizes)
    return tasks.RelationExtractor(random_weights(model), tokenizer, RELATIONS, max_length=24)


def marked_relations(texts):
    """By marks around the spans, in word pieces."""
    model = lk.models.relation_classifier(encoder(pieces := word_pieces(texts)), len(RELATIONS))
    rng = np.random.default_rng(0)
    for name in ("text", "span", "logits"):
        layer = model.get_layer(name)
        layer.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in layer.get_weights()])
    return tasks.RelationExtractor(model, pieces, RELATIONS)


def extraction(texts):
    kinds = {
        "Kill": [["PER", "PER"]],
        "Live_In(e1,e2)": [["PER", "LOC"], ["LOC", "LOC"]],
        "Live_In(e2,e1)": [["LOC", "PER"]],
    }
    return tasks.InformationExtractor.of(word_tagger(texts), relations(texts, "rnn"), neighbors=3, kinds=kinds)


def moderator(texts):
    """Classes and lists of words, some of which are in the texts."""
    lists = {"news": ["the", "said the"], '"odd"\n': ["Größe", "of . the", "发票", "and"]}
    return tasks.Moderator.of(cnn_classifier(texts), lists, refused=["war", "weather"], threshold=0.6)


def moderated_lm(texts):
    """A small LSTM behind classes and lists of words."""
    lm = tiny_lm("lstm", lk.text.BPETokenizer.train(texts, vocab_size=300), 0.6)
    return tasks.ModeratedLM.of(lm, moderator(texts), refusal='Not "here".')


def word_tagger(texts):
    """Tags as a chain, by words and characters; some words and characters are not known."""
    tokenizer = single_words(texts)
    characters = "etaoinshrdlucmfwygpbvkETAOINSH.,'-0123"
    sizes = {"embedding_dim": 8, "hidden_dim": 6, "character_dim": 4, "character_filters": 5, "word_length": 8}
    model = lk.models.build_bilstm_tagger(
        tokenizer.vocab_size, num_classes=len(TAGS), num_characters=len(characters) + 2, **sizes, seed=0
    )
    return tasks.TextTagger(random_weights(model), tokenizer, TAGS, characters=characters, max_length=24)


CONTEXTS = ["north", "south", "sea and sky"]


def conditional(texts, family, by, **sizes):
    """A language model with three contexts, whose vectors are large and lie apart."""
    tokenizer = lk.text.BPETokenizer.train(texts, vocab_size=400)
    lm = tiny_lm(family, tokenizer, 0.4, **sizes)
    made = contexts.ConditionalLM(lm, CONTEXTS, by, prior={"north": 2, "south": 1, "sea and sky": 1})
    table = np.random.default_rng(5).normal(0, 1.5, made.model.table.shape)
    made.model.table.assign(table.astype("float32"))
    return made


def retriever(texts, method="bm25"):
    """Sentences of texts as questions; some of them have the same answer."""
    entries = [(text[:60].strip(), f"Antwort „{i % 7}“ 天") for i, text in enumerate(texts[:25])]
    embedder = tasks.TextEmbedder(encoder(p := word_pieces(texts)), p) if method == "embedder" else None
    return tasks.Retriever.of(entries, method=method, embedder=embedder, threshold=0.5, unknown="unknown")


def summarizer(texts, encoded=False):
    """The two best sentences by random weights."""
    pieces = word_pieces(texts)
    scorer = random_weights(build_sentence_scorer(16 if encoded else None, hidden_dim=8, seed=0))
    rows = [lk.text.document_sentences(text) for text in texts[:30]]
    model = summarizer_model(scorer, word_weights(pieces, rows), encoder(pieces) if encoded else None)
    return tasks.ExtractiveSummarizer(model, pieces, num_sentences=2, max_sentences=9)


def rescorer(texts):
    """Counts and a small LSTM after a prompt."""
    ngrams = tasks.NGramLM.train(texts, tokenizer=lk.text.WordTokenizer.train(texts, vocab_size=200))
    lm = tiny_lm("lstm", lk.text.BPETokenizer.train(texts, vocab_size=300), 0.6).with_prompt("So: ")
    return tasks.Rescorer.of([ngrams, lm], weight_recognizer=2.0, weights_lm=[0.3, 0.1], weight_length=0.5)


def table_policy():
    """A few states; slots of listed words and of a tagger's label."""
    state, step = tasks.State, tasks.Transition
    return tasks.Policy(
        [
            state("start", 'Which "day"? {{x}}'),
            state("check", "On {day} in {LOC}?"),
            state("where", "Where?"),
            state("done", "Until {day}!"),
        ],
        [
            step("start", None, "check", needs=["day", "LOC"]),
            step("start", "war", "where"),
            step("start", "sport", "start"),
            step("where", None, "check", needs=["day", "LOC"]),
            step("where", "wealth", "start"),
            step("check", "war", "done"),
            step("check", "sport", "start", clears=["day"]),
            step("check", "wealth", "check"),
            step("done", "war", "done"),
        ],
        start="start",
        slots={"day": {'the "first"': ["said the", "the"], "second": ["of", "and", "in"]}, "LOC": {}},
    )


def dialogue_manager(texts):
    """Acts, a tagger's places, and a moderator of classes and words."""
    lists = {"news": ["fire", "police", "Größe"]}
    judge = tasks.Moderator.of(labels_classifier(texts), lists, refused=["wealth", "sport"], threshold=0.99)
    options = {"moderator": judge, "tagger": word_tagger(texts), "threshold": 0.6}
    return tasks.DialogueManager.of(table_policy(), cnn_classifier(texts), **options, max_stays=1)


MAKE = {
    "cnn_classifier": cnn_classifier,
    "bert_classifier": lambda texts: tasks.TextClassifier(
        lively(lk.models.sequence_classifier(encoder(p := word_pieces(texts)), 3)), p, ["a", "b", "c"]
    ),
    "labels_classifier": labels_classifier,
    "pair_classifier": pair_classifier,
    "tagger": lambda texts: tasks.TextTagger(
        lively(lk.models.token_classifier(encoder(p := word_pieces(texts)), len(TAGS))), p, TAGS
    ),
    "word_tagger": word_tagger,
    "relation_cnn": relations,
    "marked_relations": marked_relations,
    "extraction": extraction,
    "moderator_cnn": moderator,
    "word_lists": lambda texts: tasks.Moderator.of(words=["the", "said the", "Größe"]),
    "moderated_lm": moderated_lm,
    "answers": lambda texts: tasks.QuestionAnswerer(
        lively(lk.models.answer_span(encoder(p := word_pieces(texts)))), p, max_answer_tokens=6, threshold=0.006
    ),
    "embedder": lambda texts: tasks.TextEmbedder(encoder(p := word_pieces(texts)), p),
    "prompt_classifier": prompt_classifier,
    "masked_prompt_classifier": masked_prompt_classifier,
    "conditional_token": lambda texts: conditional(texts, "gpt2", "token", max_length=48),
    "conditional_vector": lambda texts: conditional(texts, "lstm", "vector"),
    "pointer_generator": pointer_generator,
    "seq2seq_lstm": lambda texts: text_to_text(lk.text.WordTokenizer.train(texts, vocab_size=300)),
    "seq2seq_transformer": lambda texts: text_to_text(lk.text.CharTokenizer.train(texts), "transformer"),
    "retriever": retriever,
    "summarizer": summarizer,
    "embedding_summarizer": lambda texts: summarizer(texts, True),
    "ngrams": lambda texts: tasks.NGramLM.train(texts),
    "rescorer": rescorer,
    "dialogue": dialogue_manager,
    "embedding_retriever": lambda texts: retriever(texts, "embedder"),
}
