"""Texts of three voices that share some words and have others of their own, and small models of them."""

import functools

import numpy as np

import lm_keras as lk

OWN = {
    "cats": ["meow", "purr", "fur"],
    "dogs": ["woof", "bark", "fetch"],
    "birds": ["tweet", "wing", "sky"],
}
SHARED = ["the", "a", "and", "so"]


def texts(count, seed=0, own=OWN, words=6):
    """`{voice: texts}`: every second word is one of its own, on average."""
    rng = np.random.default_rng(seed)

    def word(voice):
        return rng.choice(OWN[voice] if rng.random() < 0.5 else SHARED)

    return {voice: [" ".join(word(voice) for _ in range(words)) for _ in range(count)] for voice in own}


@functools.cache
def tokenizer():
    return lk.text.WordTokenizer.train([text for some in texts(120).values() for text in some], vocab_size=60)


def untrained(family="lstm", by="vector", seed=0, **options):
    """A ConditionalLM of a small model of that family, its context vectors not 0."""
    sizes = {
        "lstm": {"embedding_dim": 8, "hidden_dim": 12, "num_layers": 1},
        "gpt2": {"max_length": 12, "hidden_dim": 8, "num_layers": 1, "num_heads": 2, "initializer_range": 0.4},
    }
    builder = getattr(lk.models, lk.models.BUILDERS[family])
    lm = lk.LanguageModel(builder(tokenizer().vocab_size, **sizes[family], seed=seed), tokenizer())
    conditional = lk.contexts.ConditionalLM(lm, list(OWN), by, seed=seed, **options)
    rng = np.random.default_rng(seed)
    weights = [w + rng.normal(0, 0.4, w.shape).astype("float32") for w in conditional.model.get_weights()]
    conditional.model.set_weights(weights)
    return conditional


shared = functools.cache(untrained)  # for tests that change no weight


@functools.cache
def trained(by="vector", **options):
    """A small LSTM with the voices as contexts, after six epochs of 360 texts."""
    data = texts(120)
    model = lk.models.build_lstm_lm(tokenizer().vocab_size, embedding_dim=16, hidden_dim=24, num_layers=1, seed=0)
    conditional = lk.contexts.ConditionalLM(lk.LanguageModel(model, tokenizer()), data, by, **options)
    windows = lk.data.context_windows(data, tokenizer(), length=8, batch_size=16, whole_texts=True)
    lk.fit(conditional, windows, config=lk.TrainingConfig(epochs=6, learning_rate=0.02, warmup_steps=0))
    return conditional
