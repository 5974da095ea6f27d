"""Every kind of file that the library reads: what makes small valid folders of it, and what reads one."""

import contextlib
import json
import shutil

TEXTS = ["The cat sat on the mat.", "A dog ran to the door, and barked."] * 4
SMALL = {"max_length": 8, "hidden_dim": 8, "num_layers": 1, "num_heads": 2}


def language_models(folder):
    import lm_keras as lk

    chars = lk.text.CharTokenizer.train(TEXTS)
    for family in ("lstm", "gpt2", "llama"):
        sizes = {"embedding_dim": 4, "hidden_dim": 8} if family == "lstm" else SMALL
        model = getattr(lk.models, lk.models.BUILDERS[family])(chars.vocab_size, seed=0, **sizes)
        lk.LanguageModel(model, chars).save(folder / family)
        if family != "llama":
            lk.quantize(lk.LanguageModel(model, chars), "int8" if family == "lstm" else "int4").save(
                folder / f"{family}-quantized"
            )


def learned_prompts(folder):
    import lm_keras as lk

    chars = lk.text.CharTokenizer.train(TEXTS)
    lm = lk.LanguageModel(lk.models.build_gpt2(chars.vocab_size, seed=0, **SMALL), chars)
    for name, kind in (("vectors", lk.prompting.PromptTuning), ("state", lk.prompting.PrefixTuning)):
        (folder / name).mkdir()
        kind(lm, 3).save(folder / name / "p.safetensors")


def text_models(folder):
    import lm_keras as lk

    words, pieces = lk.text.WordTokenizer.train(TEXTS), lk.text.WordPieceTokenizer.train(TEXTS, 60, lowercase=True)
    encoder = lk.models.build_bert(pieces.vocab_size, **SMALL, seed=0)
    cnn = lk.models.build_cnn_classifier(
        words.vocab_size, num_classes=2, embedding_dim=4, kernel_sizes=(2,), num_filters=3
    )
    seq2seq = lk.models.build_seq2seq_lstm(words.vocab_size, embedding_dim=4, hidden_dim=8, num_layers=1)
    tagger = lk.models.token_classifier(encoder, 2)
    made = {
        "classifier": lk.tasks.TextClassifier(cnn, words, ["a", "b"]),
        "seq2seq": lk.tasks.TextToText(seq2seq, words),
    }
    made |= {
        "tagger": lk.tasks.TextTagger(tagger, pieces, ["O", "B-X"]),
        "embedder": lk.tasks.TextEmbedder(encoder, pieces),
    }
    for name, model in made.items():
        lk.tasks.save(model, folder / name)


def prompt_classifiers(folder):
    import lm_keras as lk

    pieces, chars = lk.text.WordPieceTokenizer.train(TEXTS, 60, lowercase=True), lk.text.CharTokenizer.train(TEXTS)
    masked = lk.models.bert_pretrainer(lk.models.build_bert(pieces.vocab_size, **SMALL, seed=0), next_sentence=False)
    lstm = lk.models.build_lstm_lm(chars.vocab_size, embedding_dim=4, hidden_dim=8, seed=0)
    words, make = {"a": ["cat", "c"], "b": "dog"}, lk.prompting.PromptClassifier
    made = {
        "causal": make(lk.LanguageModel(lstm, chars).with_prompt("A cat"), "{text} is a ", words, "contextual"),
        "masked": make(masked, "{text} {mask}", words, "batch", tokenizer=pieces).calibrate(TEXTS),
    }
    made["examples"] = made["causal"].with_examples((TEXTS[:2], ["a", "b"]))
    for name, model in made.items():
        model.save(folder / name)


def keras_files(folder):
    text_models(folder)
    for path in list(folder.iterdir()):
        (path / "model.keras").rename(folder / "x.keras")
        shutil.rmtree(path)
        path.mkdir()
        (folder / "x.keras").rename(path / "x.keras")


def checkpoints(folder):
    import lm_keras as lk

    byte_pairs = lk.text.BPETokenizer.train(TEXTS, 300)
    for name, bias in (("llama", False), ("qwen2", True)):
        model = lk.models.build_llama(byte_pairs.vocab_size, **SMALL, qkv_bias=bias, seed=0)
        lk.models.save_pretrained(lk.LanguageModel(model, byte_pairs), folder / name)
    lk.models.save_pretrained(lk.models.build_gpt2(300, **SMALL, seed=0), folder / "gpt2")
    pieces = lk.text.WordPieceTokenizer.train(TEXTS, 60, lowercase=True)
    bert = lk.models.build_bert(pieces.vocab_size, **SMALL, seed=0)
    bert.tokenizer = pieces
    lk.models.save_pretrained(bert, folder / "bert")
    shutil.copytree(folder / "llama", folder / "shards")
    (folder / "shards" / "model.safetensors").rename(folder / "shards" / "a.safetensors")
    names = json.loads((folder / "shards" / "a.safetensors").read_bytes()[8:].partition(b"}}")[0] + b"}}")
    weights = {"weight_map": {name: "a.safetensors" for name in names if name != "__metadata__"}}
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps(weights))


def gguf_files(folder):
    import gguf
    import numpy as np

    import lm_keras as lk

    byte_pairs = lk.text.BPETokenizer.train(TEXTS, 288)
    for name, kind in (("f32", gguf.GGMLQuantizationType.F32), ("q8", gguf.GGMLQuantizationType.Q8_0)):
        (folder / name).mkdir()
        writer = gguf.GGUFWriter(folder / name / "m.gguf", "llama")
        for key, value in {
            "context_length": 8, "embedding_length": 32, "block_count": 1, "feed_forward_length": 64, "head_count": 2,
            "head_count_kv": 2, "layer_norm_rms_eps": 1e-5, "rope_freq_base": 1e4, "tokenizer_model": "gpt2",
            "tokenizer_pre": "gpt-2", "token_list": byte_pairs.tokens,
            "token_types": [3] + [1] * (byte_pairs.vocab_size - 1),
            "token_merges": [" ".join(pair) for pair in byte_pairs.merges], "eos_token_id": 0,
        }.items():  # fmt: skip
            getattr(writer, f"add_{key}")(value)
        shapes = {
            "token_embd": (byte_pairs.vocab_size, 32),
            "output_norm": (32,),
            "blk.0.attn_norm": (32,),
            "blk.0.ffn_norm": (32,),
        }
        shapes |= {f"blk.0.attn_{part}": (32, 32) for part in ("q", "k", "v", "output")}
        shapes |= {"blk.0.ffn_gate": (64, 32), "blk.0.ffn_up": (64, 32), "blk.0.ffn_down": (32, 64)}
        for tensor, shape in shapes.items():
            used = kind if len(shape) == 2 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(f"{tensor}.weight", gguf.quantize(np.ones(shape, "f4"), used), raw_dtype=used)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ m.role ~ ': ' + m['content'] | trim }}{% if not loop.last %}"
    "{{ 'a' * 3 }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '%s:' % 'assistant' }}{% endif %}"
)


def tokenizers(folder):
    import lm_keras as lk

    for name in ("Char", "Word", "BPE", "WordPiece"):
        kwargs = {"vocab_size": 300} if name == "BPE" else {"vocab_size": 60} if name == "WordPiece" else {}
        made = getattr(lk.text, f"{name}Tokenizer").train(TEXTS, **kwargs)
        if name == "Char":
            made.set_chat_template(CHAT, {"bos_token": "<eos>"})
        made.save(folder / name)


def use_tokenizer(folder):
    import lm_keras as lk

    tokenizer = lk.text.load_tokenizer(folder)
    assert isinstance(tokenizer.decode(tokenizer.encode(TEXTS[0])), str)
    if tokenizer.chat_template is not None:
        assert isinstance(tokenizer.encode_chat([{"role": "user", "content": TEXTS[0]}]), list)


def vectors(kind):
    name, form, load = {
        "vectors-glove": ("v.txt", "glove", "load_glove"),
        "vectors-word2vec-text": ("v.txt", "word2vec", "load_word2vec"),
        "vectors-word2vec-bin": ("v.bin", "word2vec-binary", "load_word2vec"),
        "vectors-fasttext-vec": ("v.vec", "word2vec", "load_fasttext"),
        "vectors-fasttext-bin": ("v.bin", "fasttext", "load_fasttext"),
    }[kind]

    def make(folder):
        from lm_keras import embeddings

        sentences, options = [text.split() for text in TEXTS], {"min_count": 1, "epochs": 1, "progress": False}
        train = embeddings.train_fasttext if form == "fasttext" else embeddings.train_word2vec
        options |= {"buckets": 20} if form == "fasttext" else {}
        (folder / "v").mkdir()
        embeddings.save_vectors(train(sentences, embedding_dim=4, **options), folder / "v" / name, form)

    def read(folder):
        from lm_keras import embeddings

        found = getattr(embeddings, load)(folder / name)
        assert found.vectors.ndim == 2
        if form == "fasttext":
            with contextlib.suppress(KeyError):  # of a model without n-grams, as of any mapping
                found["neverseen"]  # its n-grams are read from the file now

    return make, read, (name,)


def resumed(folder):
    import numpy as np

    import lm_keras as lk

    model = lk.models.build_gpt2(20, **SMALL, seed=0)
    ids = np.arange(64, dtype="int32").reshape(8, 8) % 20
    config = lk.TrainingConfig(epochs=1, batch_size=4, output_dir=folder, resume=True, jit_compile=False)
    lk.fit(model, (ids, ids), (ids, ids), config=config)


def runs(folder):
    (folder / "run").mkdir()
    resumed(folder / "run")
    shutil.rmtree(folder / "run" / "logs")
    (folder / "run" / "learning_curve.png").unlink()


def load(name, *, file=None):
    """A reader: the public function of lm_keras with that name."""

    def read(folder):
        import lm_keras

        function = lm_keras
        for part in name.split("."):
            function = getattr(function, part)
        function(folder / file if file else folder)

    return read


KINDS = {  # name: what makes valid folders, what reads one, the files that are changed (None: all)
    "run": (language_models, load("LanguageModel.load"), None),
    "task": (text_models, load("tasks.load"), None),
    "prompt": (prompt_classifiers, load("tasks.load"), None),
    "keras": (keras_files, load("models.load_model", file="x.keras"), None),
    "safetensors": (checkpoints, load("models.load_pretrained"), None),
    "gguf": (gguf_files, load("models.load_pretrained", file="m.gguf"), None),
    "tokenizer": (tokenizers, use_tokenizer, None),
    "learned": (learned_prompts, load("prompting.LearnedPrompt.load", file="p.safetensors"), None),
    **{f"vectors-{form}": vectors(f"vectors-{form}") for form in ("glove", "word2vec-text", "word2vec-bin")},
    **{f"vectors-{form}": vectors(f"vectors-{form}") for form in ("fasttext-vec", "fasttext-bin")},
    "checkpoint": (runs, resumed, ("checkpoint.safetensors",)),
    "metrics": (runs, resumed, ("metrics.csv",)),
}
