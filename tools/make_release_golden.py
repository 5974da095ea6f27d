"""Makes tests/golden/saved: what release 0.1.0 saved, with the answers that it gave.

python tools/make_release_golden.py tests/golden/saved    (run with the release whose files are to be kept)

The tests load these files with the code of today: a run, saved language models of every kind of block, models of
tasks, and an export must give the same answers as when they were written.
"""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import lm_keras as lk
from lm_keras import tasks

TEXTS = [
    "The sun rose over the old harbour, and the boats went out.",
    "The old man looked at the sea and said nothing at all.",
    "In the morning the market was full of fish and voices.",
    "Nobody in the village had seen so many boats before.",
]
PROMPTS = ["The old", "In the morning the boats"]
STACK = {"embedding_dim": 6, "hidden_dim": 8, "num_layers": 2}
TRANSFORMER = {"max_length": 24, "hidden_dim": 8, "num_layers": 2, "num_heads": 2}
FAMILIES = {
    "feedforward": ("build_feedforward_lm", {"context_length": 4, "embedding_dim": 6, "hidden_dims": (8, 9)}),
    "rnn": ("build_rnn_lm", {**STACK, "skip": 2}),
    "gru": ("build_gru_lm", STACK),
    "lstm": ("build_lstm_lm", STACK),
    "attention_rnn": ("build_attention_rnn_lm", {"max_length": 24, **STACK, "hidden_dim": 12}),
    "cnn": ("build_cnn_lm", STACK),
    "gpt2": ("build_gpt2", TRANSFORMER),
    "llama": ("build_llama", {**TRANSFORMER, "hidden_dim": 16, "num_heads": 4, "num_kv_heads": 2}),
}
BERT = {"max_length": 32, "hidden_dim": 8, "num_layers": 2, "num_heads": 2, "seed": 0}


def lively(model, scale=0.5):
    """The same model with large random weights, so that its answers differ from text to text."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.trainable:
            weight.assign(rng.normal(0, scale, weight.shape))
    return model


def answers_of(model):
    """What a model of texts answers, as JSON has it."""
    if isinstance(model, lk.LanguageModel):
        return {
            "scores": [score.log_prob for score in model.score(TEXTS)],
            "greedy": [made.token_ids for made in model.generate(PROMPTS, max_new_tokens=8, temperature=0)],
            "sampled": [made.token_ids for made in model.generate(PROMPTS, max_new_tokens=8, seed=3)],
        }
    if isinstance(model, tasks.TextClassifier):
        return {"scores": np.asarray([answer.scores for answer in model.classify(TEXTS)]).tolist()}
    if isinstance(model, tasks.TextTagger):
        return {"spans": json.loads(json.dumps(model.tag(TEXTS)))}
    if isinstance(model, tasks.QuestionAnswerer):
        return {"answers": json.loads(json.dumps(model.answer(["Who looked?"] * len(TEXTS), TEXTS)))}
    if isinstance(model, tasks.TextEmbedder):
        return {"vectors": np.asarray(model.embed(TEXTS)).tolist()}
    return {"greedy": [made.text for made in model.generate(TEXTS, max_new_tokens=6)]}


def language_models(folder):
    tokenizer = lk.text.CharTokenizer.train(TEXTS)
    for name, (builder, sizes) in FAMILIES.items():
        model = lively(getattr(lk.models, builder)(tokenizer.vocab_size, seed=0, **sizes))
        lm = lk.LanguageModel(model, tokenizer)
        if name == "llama":
            lm.model.get_layer("attention_0").trainable = False  # comes back frozen
        keep(lm, folder / name, lm.save)
        if name in ("gpt2", "llama"):
            small = lk.quantize(lm, "int8")
            keep(small, folder / f"{name}_int8", small.save)


def task_models(folder):
    pieces = lk.text.WordPieceTokenizer.train(TEXTS, vocab_size=120, lowercase=True)
    words = lk.text.WordTokenizer.train(TEXTS, vocab_size=60)

    def encoder():
        return lk.models.build_bert(pieces.vocab_size, initializer_range=0.5, **BERT)

    def seq2seq(kind):
        sizes = {"embedding_dim": 6, "init_scale": 1.0} if kind == "lstm" else {"num_heads": 2}
        build = getattr(lk.models, f"build_seq2seq_{kind}")
        return lively(build(words.vocab_size, hidden_dim=8, num_layers=2, seed=0, **sizes))

    cnn = lk.models.build_cnn_classifier(
        words.vocab_size, num_classes=2, embedding_dim=6, kernel_sizes=(2, 3), num_filters=4, seed=0
    )
    models = {
        "cnn_classifier": tasks.TextClassifier(lively(cnn), words, ["sea", "land"]),
        "bert_classifier": tasks.TextClassifier(
            lively(lk.models.sequence_classifier(encoder(), 3)), pieces, ["a", "b", "c"]
        ),
        "tagger": tasks.TextTagger(lively(lk.models.token_classifier(encoder(), 3)), pieces, ["O", "B-X", "I-X"]),
        "question_answerer": tasks.QuestionAnswerer(lively(lk.models.answer_span(encoder())), pieces),
        "embedder": tasks.TextEmbedder(lively(encoder()), pieces),
        "seq2seq_lstm": tasks.TextToText(seq2seq("lstm"), words),
        "seq2seq_transformer": tasks.TextToText(seq2seq("transformer"), words),
    }
    for name, model in models.items():
        keep(model, folder / name, lambda path, model=model: tasks.save(model, path))


def keep(model, folder, save):
    save(folder)
    answers = {"answers": answers_of(model)}
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")


TRAIN = [
    *("train", "--data", "text.txt", "--model", "gpt2", "--tokenizer", "char", "--hidden-dim", "8"),
    *("--num-layers", "2", "--num-heads", "2", "--length", "16", "--batch-size", "4", "--seed", "0"),
]


def run(folder):
    """A run of `lm-keras train`, and what its second epoch came to."""
    command = [sys.executable, "-m", "lm_keras", *TRAIN, "--out", folder.name]
    text = folder.parent / "text.txt"
    text.write_text("\n".join(TEXTS * 8) + "\n", encoding="utf-8")
    subprocess.run([*command, "--epochs", "1"], check=True, cwd=folder.parent)
    answers = {"answers": answers_of(lk.LanguageModel.load(folder))}
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder / "logs")
    (folder / "learning_curve.png").unlink()
    kept = shutil.copytree(folder, folder.parent / "kept")
    subprocess.run([*command, "--epochs", "2", "--resume"], check=True, cwd=folder.parent)
    shutil.copy(folder / "metrics.csv", kept / "two_epochs.csv")
    shutil.rmtree(folder)
    kept.rename(folder)
    text.unlink()


IDS = np.arange(24, dtype="int32").reshape(4, 6) * 5 % 11


def inputs_of(model):
    """Some ids for each input of a model."""
    if not isinstance(model.input, dict):
        return IDS
    ids = {"segment_ids": np.zeros_like(IDS), "padding_mask": np.ones_like(IDS), "masked_positions": IDS[:, :2] % 6}
    return {name: ids.get(name, IDS) for name in model.input}


def outputs_of(model):
    """What a model gives for these, as JSON has it."""
    outputs = model(inputs_of(model))
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    return {name: np.asarray(values).tolist() for name, values in outputs.items()}


def keras_files(folder):
    """A .keras file of each transformer, one frozen in part, one quantized, and the order of its variables."""
    sizes = {"max_length": 8, "hidden_dim": 8, "num_layers": 2, "num_heads": 2, "dropout": 0.1, "seed": 0}
    models = {
        "gpt2": lk.models.build_gpt2(11, **sizes),
        "llama": lk.models.build_llama(11, **sizes, tie_embeddings=False, qkv_bias=True),
        "bert_pretrainer": lk.models.bert_pretrainer(lk.models.build_bert(11, **sizes), seed=0),
        "seq2seq_transformer": lk.models.build_seq2seq_transformer(11, **sizes, pre_norm=True),
    }
    models["gpt2"].get_layer("expand_1").trainable = False
    folder.mkdir(parents=True)
    for name, model in models.items():
        lively(model)
        if name == "llama":
            from lm_keras.models.quantized import weight_only  # where that release had it

            model.quantize(config=weight_only("int4"))
        file = folder / f"{name}.keras"
        model.save(file)
        file.with_suffix(".keras.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        file.unlink()
        kept = {"outputs": outputs_of(model), "variables": [v.path for v in model.variables]}
        (folder / f"{name}.json").write_text(json.dumps(kept) + "\n", encoding="utf-8")


def export(folder):
    words = lk.text.WordTokenizer.train(TEXTS, vocab_size=60)
    lm = lk.LanguageModel(lively(lk.models.build_lstm_lm(words.vocab_size, seed=0, **STACK)), words)
    lk.export(lm, folder / "1")
    calls = [
        {"signature": "score", "inputs": {"text": TEXTS}},
        {"signature": "generate", "inputs": {"prompt": PROMPTS, "max_new_tokens": [8, 8]}},
    ]
    results = lk.serving.query(folder / "1", calls)["results"]
    graph = folder / "1" / "saved_model.pb"  # a tenth of its size when it is compressed
    graph.with_suffix(".pb.gz").write_bytes(gzip.compress(graph.read_bytes(), mtime=0))
    graph.unlink()
    (folder / "answers.json").write_text(json.dumps({"answers": results}, indent=1) + "\n", encoding="utf-8")


def main(root):
    root.mkdir(parents=True, exist_ok=True)
    language_models(root / "language_models")
    task_models(root / "tasks")
    run(root / "run")
    export(root / "export")
    keras_files(root / "keras_files")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
