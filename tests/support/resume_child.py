"""The run that test_resume.py kills: `python resume_child.py FOLDER KIND [STEP]` kills itself after update STEP."""

import os
import signal
import sys

import keras

import lm_keras as lk

KINDS = {"shuffled": {"contiguous": False}, "contiguous": {"contiguous": True}}
EPOCHS = 3


def run(folder, kind, callbacks=(), resume=False, **settings):
    """Trains a small LSTM with dropout on four news items; returns (model, History)."""
    texts = lk.data.load("lee-news")[:4]
    # Words between spaces: NLTK would be imported anew in every process.
    tokenizer = lk.text.WordTokenizer.train(texts, vocab_size=4000, language=None)
    windows = lk.data.lm_windows(texts, tokenizer, length=8, batch_size=8, seed=3, **KINDS[kind])
    # A dataset of its own: to iterate a shuffled one moves it on to its next order.
    held_out = lk.data.lm_windows(texts[:1], tokenizer, length=8, batch_size=8, shuffle=False)
    # A hidden size that makes a checkpoint take a while, so that it can be hit.
    model = lk.models.build_lstm_lm(tokenizer.vocab_size, embedding_dim=64, hidden_dim=160, dropout=0.3, seed=1)
    config = lk.TrainingConfig(
        **{
            "epochs": EPOCHS, "learning_rate": 0.01, "warmup_steps": 4, "logging_steps": 3, "checkpoint_steps": 5,
            "early_stopping_patience": 5, "output_dir": folder, "resume": resume, **settings,
        }
    )  # fmt: skip
    return model, lk.fit(model, windows, held_out, config, callbacks)


class KillAt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder, kind, *step = sys.argv[1:]
    run(folder, kind, [KillAt(int(s)) for s in step], resume=True)
