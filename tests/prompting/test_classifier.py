"""PromptClassifier against the plain model: one text, one word at a time, in NumPy."""

import functools

import keras
import numpy as np
import pytest
from small_models import log_probs, log_softmax, tiny_lm
from small_tasks import encoder as bert_encoder

import lm_keras as lk
from lm_keras.models import BUILDERS
from lm_keras.prompting import PromptClassifier, Template, Verbalizer
from lm_keras.prompting.calibration import CONTENT_FREE

CORPUS = [
    "Review: a fine film, great and good\n\nSentiment: positive negative terrible bad\n a lost hour it was " * 3
]
TEMPLATE = "Review: {text}\nSentiment:"
WORDS = {"pos": [" positive", " great and good"], "neg": [" terrible"], "so": [" a", " it was"]}
TEXTS = ["a fine film", "", "two lost hours\n", "\n\nbad", "🙂 good", "<|endoftext|>", "a " * 20]
EXAMPLES = (["a great film", "\n\nit was bad"], ["pos", 1])
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


@pytest.fixture(scope="module")
def tokenizer():
    return lk.text.BPETokenizer.train(CORPUS, vocab_size=330)


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def lm(request, tokenizer):
    return tiny_lm(request.param, tokenizer, 0.5, max_length=128)


@pytest.fixture(scope="module")
def llama(tokenizer):
    return tiny_lm("llama", tokenizer, 0.5, max_length=128, num_layers=2)


@functools.cache
def word_log_prob(lm, prompt, word, begin=True):
    """log p(word | prompt) by one pass of the whole model."""
    before, ids = [lm.tokenizer.bos_id] * begin + lm.tokenizer.encode(prompt), lm.tokenizer.encode(word)
    table = log_probs(lm.model, before + ids)
    return sum(table[len(before) + i - 1, token] for i, token in enumerate(ids))


def joined(text, examples=(), template=TEMPLATE):
    shown = "".join(f"{template.format(text=one)}{WORDS[name][0]}\n\n" for one, name in examples)
    return shown + template.format(text=text)


def oracle(lm, text, normalize=None, examples=(), **options):
    """The log-score of each class."""

    def value(word):
        found = word_log_prob(lm, joined(text, examples), word, **options)
        if normalize == "unconditional":
            found -= word_log_prob(lm, joined(""), word, **options)
        return found / (len(lm.tokenizer.encode(word)) if normalize == "tokens" else 1)

    return np.array([np.logaddexp.reduce([value(word) for word in words]) for words in WORDS.values()])


def softmax(scores):
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


# === Scores ===
def test_every_family_without_and_with_examples(lm):
    shown = [("a great film", "pos"), ("\n\nit was bad", "neg")]
    for normalize in (None, "tokens", "unconditional"):
        made = PromptClassifier(lm, TEMPLATE, WORDS, normalize=normalize)
        np.testing.assert_allclose(made.log_scores(TEXTS), [oracle(lm, text, normalize) for text in TEXTS], **CLOSE)
        few = made.with_examples(EXAMPLES)
        expected = [oracle(lm, text, normalize, shown) for text in TEXTS]
        np.testing.assert_allclose(few.log_scores(TEXTS), expected, **CLOSE)
        np.testing.assert_allclose(few.probabilities(TEXTS), softmax(np.array(expected)), **CLOSE)


def test_what_a_classification_says(llama):
    made = PromptClassifier(llama, TEMPLATE, WORDS)
    table = made.probabilities(TEXTS)
    for one, row in zip(made.classify(TEXTS), table.tolist(), strict=True):
        assert one.label == list(WORDS)[int(np.argmax(row))] and one.score == max(row)
        assert one.scores == dict(zip(WORDS, row, strict=True))
    assert made.classify([]) == [] and made.classify("x") == made.classify(["x"])
    assert table.dtype == np.float32 and table.sum(1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert len(set(map(tuple, table.tolist()))) == len(TEXTS)


def test_a_row_depends_on_its_text_alone(lm):
    few = PromptClassifier(lm, TEMPLATE, WORDS, "contextual").with_examples(EXAMPLES)
    together = few.probabilities(TEXTS * 11)
    np.testing.assert_allclose(together, np.tile(together[: len(TEXTS)], (11, 1)), **CLOSE)
    np.testing.assert_allclose(together[: len(TEXTS)], [few.probabilities(text)[0] for text in TEXTS], **CLOSE)


def test_without_a_begin_mark(llama):
    made = PromptClassifier(llama, TEMPLATE, WORDS, begin=False)
    np.testing.assert_allclose(made.log_scores(TEXTS), [oracle(llama, text, begin=False) for text in TEXTS], **CLOSE)
    with pytest.raises(lk.InputError, match="no token before its field"):
        PromptClassifier(llama, "{text}", WORDS, begin=False)
    marked = PromptClassifier(llama, "{<|endoftext|>}" + TEMPLATE, WORDS)  # the template brings it
    plain = PromptClassifier(llama, TEMPLATE, WORDS)
    np.testing.assert_allclose(marked.log_scores(TEXTS), plain.log_scores(TEXTS), **CLOSE)
    twice = PromptClassifier(llama, "{<|endoftext|>}" + TEMPLATE, WORDS, begin=True)
    assert np.abs(twice.log_scores(TEXTS) - plain.log_scores(TEXTS)).max() > 1e-3


def test_a_prompt_of_the_language_model_stands_before_all(lm):
    made = PromptClassifier(lm.with_prompt("a fine film, great\n\n"), TEMPLATE, WORDS)
    whole = PromptClassifier(lm, "a fine film, great\n\n" + TEMPLATE, WORDS)
    np.testing.assert_allclose(made.log_scores(TEXTS), whole.log_scores(TEXTS), **CLOSE)


# === What is read once ===
def test_the_end_of_the_beginning_that_a_text_changes():
    """Two line ends are one token at the end of a text and two before a word: the ids say what was read."""
    tokenizer = lk.text.BPETokenizer.train([*CORPUS, *["good\n\n"] * 9], vocab_size=330)
    lm = tiny_lm("llama", tokenizer, 0.5, max_length=128)
    template = Template("it was good and it was bad and it was great and good and a lost hour:\n\n{text}")
    made = PromptClassifier(lm, template, WORDS)
    begun = made._labels.cache(made._encoder)
    assert begun is not None and int(begun.num_read) >= 16
    rows = made._encoder.encode_batch([{"text": text} for text in TEXTS])
    assert len({row[len(begun.ids)] for row in rows}) > 1
    for text, found in zip(TEXTS, made.log_scores(TEXTS), strict=True):
        prompt = template.render(text=text)
        expected = [
            np.logaddexp.reduce([word_log_prob(lm, prompt, word) for word in words]) for words in WORDS.values()
        ]
        np.testing.assert_allclose(found, expected, **CLOSE)


def test_the_beginning_is_read_once_and_again_after_a_training(tokenizer):
    lm = tiny_lm("gpt2", tokenizer, 0.5, max_length=128)
    few = PromptClassifier(lm, TEMPLATE, WORDS, "contextual").with_examples(EXAMPLES)
    first = few.probabilities(TEXTS)
    assert few._labels.cache(few._encoder) is few._labels.cache(few._encoder)
    rng = np.random.default_rng(1)
    lm.model.set_weights([rng.normal(0, 0.5, w.shape) for w in lm.model.get_weights()])
    second = few.probabilities(TEXTS)
    assert np.abs(first - second).max() > 0.01
    again = PromptClassifier(lm, TEMPLATE, WORDS, "contextual").with_examples(EXAMPLES)
    np.testing.assert_allclose(second, again.probabilities(TEXTS), **CLOSE)


# === Calibration ===
def test_contextual_calibration(llama):
    made = PromptClassifier(llama, TEMPLATE, WORDS, "contextual", "tokens")
    free = softmax(np.array([oracle(llama, text, "tokens") for text in CONTENT_FREE])).mean(0)
    for text, found in zip(TEXTS, made.probabilities(TEXTS), strict=True):
        divided = softmax(oracle(llama, text, "tokens")) / free
        np.testing.assert_allclose(found, divided / divided.sum(), **CLOSE)
    assert CONTENT_FREE == ("N/A", "", "[MASK]")


def test_batch_calibration_is_estimated_once(llama):
    made = PromptClassifier(llama, TEMPLATE, WORDS, "batch")
    with pytest.raises(lk.InputError, match="call calibrate"):
        made.classify("x")
    assert made.calibrate(TEXTS) is made
    plain = softmax(np.array([oracle(llama, text) for text in TEXTS]))
    found = made.probabilities(TEXTS)
    divided = plain / plain.mean(0)
    np.testing.assert_allclose(found, divided / divided.sum(1, keepdims=True), **CLOSE)
    np.testing.assert_allclose(made.probabilities(TEXTS[0])[0], found[0], **CLOSE)
    with pytest.raises(lk.InputError, match="call calibrate"):
        made.with_examples(EXAMPLES).classify("x")  # that was the prior of another prompt
    for wrong, said in [(PromptClassifier(llama, TEMPLATE, WORDS), "calibration is None")]:
        with pytest.raises(lk.InputError, match=said):
            wrong.calibrate(TEXTS)
    with pytest.raises(lk.InputError, match="no text to calibrate"):
        made.calibrate([])


# === Masked models ===
@pytest.fixture(scope="module")
def masked():
    pieces = lk.text.WordPieceTokenizer.train(CORPUS, vocab_size=90, lowercase=True)
    return lk.models.bert_pretrainer(bert_encoder(pieces), next_sentence=False, seed=0), pieces


MASKED = {"pos": ["good", "fine film"], "neg": ["bad and lost"]}


def masked_oracle(model, tokenizer, text, word):
    """log p of the word's tokens at as many masks, each given all of them."""
    before, after = (tokenizer.encode(part) for part in (f"{text} it was ", " good."))
    ids, mask = tokenizer.encode(word), tokenizer.mask_id
    row = [tokenizer.cls_id, *before, *[mask] * len(ids), *after, tokenizer.sep_id]
    places = 1 + len(before) + np.arange(len(ids))
    inputs = {"token_ids": [row], "segment_ids": [[0] * len(row)], "padding_mask": [[1] * len(row)]}
    inputs = {name: np.array(value, "int32") for name, value in {**inputs, "masked_positions": [places]}.items()}
    table = log_softmax(np.asarray(model(inputs)["masked_lm"])[0])
    return table[np.arange(len(ids)), ids].sum()


def test_a_masked_model(masked):
    model, pieces = masked
    lengths = {len(pieces.encode(word)) for words in MASKED.values() for word in words}
    assert len(lengths) == 3
    made = PromptClassifier(model, "{text} it was {mask} good.", MASKED, tokenizer=pieces)
    texts = ["a great film", "", "[MASK] was bad", "two"]
    expected = [
        [
            np.logaddexp.reduce([masked_oracle(model, pieces, text, word) for word in words])
            for words in MASKED.values()
        ]
        for text in texts
    ]
    np.testing.assert_allclose(made.log_scores(texts), expected, **CLOSE)
    np.testing.assert_allclose(made.log_scores(texts[0]), expected[:1], **CLOSE)
    assert len(made._encoder.encode(text="good " * 90)) == 32  # what the encoder reads
    shown = made.with_examples((["great film", "lost"], ["pos", "neg"]))
    assert shown._encoder.render(text="new") == (
        "great film it was good good.\n\nlost it was bad and lost good.\n\nnew it was "
        + "[MASK]" * max(lengths)
        + " good."
    )


def test_masked_training_data_is_what_fit_takes(masked):
    pieces = masked[1]
    model = lk.models.bert_pretrainer(bert_encoder(pieces), next_sentence=False, seed=0)
    made = PromptClassifier(model, "{text} it was {mask}.", {"neg": "bad and lost", "pos": "good"}, tokenizer=pieces)
    texts, y = ["a great film", "two lost hours"] * 8, ["pos", "neg"] * 8
    x, labels = made.training_data(texts, y)
    for i, name in enumerate(y):
        word = pieces.encode(made.verbalizer.words[name][0])
        assert labels["masked_lm"][i].tolist() == word + [-1] * (len(labels["masked_lm"][i]) - len(word))
        places = x["masked_positions"][i, : len(word)]
        assert (x["token_ids"][i, places] == pieces.mask_id).all()
        assert (x["token_ids"][i] == pieces.mask_id).sum() == len(word)
    before = made.evaluate(texts, y)["loss"]
    model.compile(keras.optimizers.Adam(0.01), {"masked_lm": lk.losses.CrossEntropy()})
    model.fit(x, labels, epochs=12, verbose=0)
    assert made.evaluate(texts, y)["loss"] < before / 2


# === Training data of causal models ===
def test_training_data_counts_the_label_word_alone(llama):
    made = PromptClassifier(llama, TEMPLATE, WORDS).with_examples(EXAMPLES)
    x, y = made.training_data(TEXTS, [0, 1, 2, "pos", "neg", "so", 0])
    names = ["pos", "neg", "so", "pos", "neg", "so", "pos"]
    shown = [("a great film", "pos"), ("\n\nit was bad", "neg")]
    for ids, labels, text, name in zip(x, y, TEXTS, names, strict=True):
        word = llama.tokenizer.encode(WORDS[name][0])
        whole = [llama.tokenizer.bos_id, *llama.tokenizer.encode(joined(text, shown)), *word]
        assert ids[ids >= 0].tolist() == whole[:-1] and labels[labels >= 0].tolist() == word
        assert np.flatnonzero(labels >= 0)[-1] == len(whole) - 2
        table = log_softmax(np.asarray(llama.model(ids[None]))[0])
        places = np.flatnonzero(labels >= 0)
        expected = word_log_prob(llama, joined(text, shown), WORDS[name][0])
        assert table[places, labels[places]].sum() == pytest.approx(expected, rel=1e-4)


def test_fit_learns_the_labels(tokenizer, tmp_path):
    lm = lk.LanguageModel(lk.models.build_cnn_lm(tokenizer.vocab_size, embedding_dim=16, seed=0), tokenizer)
    made = PromptClassifier(lm, TEMPLATE, {"pos": " good", "neg": " bad"})
    texts, y = ["a great film", "a lost hour", "great", "lost"] * 4, [0, 1, 0, 1] * 4
    before = made.evaluate(texts, y)
    config = lk.TrainingConfig(output_dir=tmp_path / "run", epochs=20, learning_rate=0.03, batch_size=8)
    lk.fit(lm.model, made.training_data(texts, y), config=config)
    after = made.evaluate(texts, y)
    assert after["accuracy"] == 1 and after["loss"] < before["loss"] / 3


# === Evaluation ===
def test_measures(llama):
    made = PromptClassifier(llama, TEMPLATE, WORDS)
    table, y = made.probabilities(TEXTS), [0, 1, 2, 0, 1, 2, 0]
    found = table.argmax(1)
    right = (found == y).astype(float)
    measures = made.evaluate(TEXTS, [list(WORDS)[place] for place in y])
    f1 = []
    for place in sorted({*y, *found.tolist()}):
        hits = sum(a == b == place for a, b in zip(y, found, strict=True))
        f1.append(2 * hits / (y.count(place) + found.tolist().count(place)))
    assert measures == pytest.approx(
        {
            "loss": -np.log(table[np.arange(7), y]).mean(),
            "accuracy": right.mean(),
            "standard_error": right.std(ddof=1) / np.sqrt(7),
            "macro_f1": np.mean(f1),
            "examples": 7,
        },
        rel=1e-5,
    )


# === Several fields ===
def test_several_fields(llama):
    made = PromptClassifier(llama, "{a} and {b}:", WORDS)
    rows = [{"a": "good", "b": "bad"}, {"b": "x", "a": ""}]
    assert made.classify(rows[0]) == made.classify(rows[:1]) == made.classify([dict(reversed(rows[0].items()))])
    expected = [[
        np.logaddexp.reduce([word_log_prob(llama, "{a} and {b}:".format(**row), word) for word in words])
        for words in WORDS.values()
    ] for row in rows]  # fmt: skip
    np.testing.assert_allclose(made.log_scores(rows), expected, **CLOSE)
    for wrong, said in [("x", "the fields a, b; give a dict"), ({"a": "x"}, "give a string for each of a, b")]:
        with pytest.raises(lk.InputError, match=said):
            made.classify([wrong])


# === What cannot be ===
def test_what_does_not_fit_together(llama, masked, tokenizer):
    model, pieces = masked
    for arguments, said in [
        ((llama, TEMPLATE, {"a": " x"}), "two classes or more"),
        ((llama, TEMPLATE, {"a": " x", "b": []}), "give a string or a list"),
        ((llama, TEMPLATE, {"a": " x", "b": ["", " y"]}), "with a letter"),
        ((llama, TEMPLATE, {"a": " x", "b": " x"}), "stands twice"),
        ((llama, "Review:", WORDS), "has no field"),
        ((llama, "{text} is {mask}", WORDS), "which a causal model does not know"),
        ((llama, TEMPLATE, WORDS, "other"), "calibration is 'other'"),
        ((llama, TEMPLATE, WORDS, None, "bytes"), "normalize is 'bytes'"),
        ((llama.model, TEMPLATE, WORDS), "no tokenizer"),
        (("lm", TEMPLATE, WORDS), "takes a LanguageModel or a masked"),
    ]:
        with pytest.raises(lk.InputError, match=said):
            PromptClassifier(*arguments)
    for given, template, said in [
        (model, "{text}", "has 0 {mask}; a masked model needs one"),
        (model, "{mask} {text} {mask}", "has 2 {mask}"),
        (model.layers[0], "{text} {mask}", "takes a LanguageModel or a masked"),
        (bert_encoder(pieces), "{text} {mask}", "guesses no masked words"),
    ]:
        with pytest.raises(lk.InputError, match=said):
            PromptClassifier(given, template, MASKED, tokenizer=pieces)
    with pytest.raises(lk.InputError, match="brings its tokenizer"):
        PromptClassifier(llama, TEMPLATE, WORDS, tokenizer=tokenizer)
    with pytest.raises(lk.InputError, match="has a part that the tokenizer does not know"):
        PromptClassifier(model, "{text} {mask}", {"a": "中", "b": "x"}, tokenizer=pieces)
    with pytest.raises(lk.InputError, match="are the same tokens"):
        Verbalizer({"a": "good", "b": "Good"}).tokens(pieces)


def test_texts_and_labels_that_are_none(llama):
    made = PromptClassifier(llama, TEMPLATE, WORDS)
    for wrong, said in [(3, "give a string or a list"), ([b"x"], "a text is a bytes"), ([None], "is a NoneType")]:
        with pytest.raises(lk.InputError, match=said):
            made.classify(wrong)
    for y, said in [(["pos"], "2 texts and 1 classes"), (["pos", 3], "class 3 is none"), ([True, 0], "True is none")]:
        with pytest.raises(lk.InputError, match=said):
            made.evaluate(["x", "y"], y)
    for y in ("pos", b"pos", 1):
        with pytest.raises(
            lk.InputError, match="the classes are .*give a list of names or places, one for each text"
        ):
            made.evaluate(["x", "y", "z"], y)
    for wrong in (3, ["x"], (["x"], [0], [1])):
        with pytest.raises(lk.InputError, match=r"two lists, \(texts, classes\)"):
            made.with_examples(wrong)
    for method in (made.evaluate, made.training_data):
        with pytest.raises(lk.InputError, match="there is no text"):
            method([], [])


def test_examples_that_leave_no_room(tokenizer):
    made = PromptClassifier(tiny_lm("gpt2", tokenizer, max_length=40), TEMPLATE, WORDS)
    with pytest.raises(lk.InputError, match=r"take \d+ tokens where there is room for 3\d; give a shorter template"):
        made.with_examples((["good " * 30], [0]))


# === Long texts ===
def test_a_long_text_is_cut_and_its_template_stays(tokenizer):
    lm = tiny_lm("gpt2", tokenizer, 0.5, max_length=48)
    made = PromptClassifier(lm, TEMPLATE, WORDS)
    long = "a fine film and " * 30
    ids = made._encoder.encode(text=long)
    most = 48 - max(len(tokenizer.encode(word)) for words in WORDS.values() for word in words)
    assert most - 3 <= len(ids) <= most
    end = tokenizer.encode("\nSentiment:")
    assert ids[-len(end) :] == end
    kept = [n for n in range(len(tokenizer.encode(long))) if len(encoded(tokenizer, long, n)) == len(ids) - 1]
    texts = [tokenizer.decode(tokenizer.encode(long)[:n]) for n in kept]
    assert any(np.allclose(made.log_scores(long)[0], oracle(lm, text), **CLOSE) for text in texts)


def encoded(tokenizer, text, n):
    return tokenizer.encode(TEMPLATE.format(text=tokenizer.decode(tokenizer.encode(text)[:n])))
