"""A quantized Llama in a GGUF file against an independent reading of the same bytes in plain NumPy.

LM_KERAS_DATA=... python benchmarks/quality/pretrained_gguf.py SmolLM2-135M-Instruct.Q4_1.gguf [--python PYTHON]

`lm-keras models fetch smollm2-135m-instruct` prints the path of that file. The reading below shares no
code with lm_keras: it parses the file, decodes the numbers and computes the network by itself, in llama.cpp's own
order of features. Printed: both greedy continuations, both perplexities of 500 tokens of Penn Treebank test text,
seconds and memory. PYTHON: an interpreter with transformers, gguf and torch, whose token ids are compared too.
"""

import argparse
import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))
from _common import memory_bytes  # noqa: E402

PROMPT = "The capital of France is"
TOKENS = 500
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--python")
    options = parser.parse_args()

    from lm_keras.utils.quiet import load_tensorflow

    load_tensorflow()
    import lm_keras as lk

    lk.models.build_llama(11, hidden_dim=8, num_layers=1, num_heads=2)  # imports what is imported at first use
    before, start = memory_bytes() / 2**20, time.perf_counter()
    lm = lk.models.load_pretrained(options.path)
    size = lm.model.count_params() * 4 / 2**20
    print(f"load_pretrained: {time.perf_counter() - start:.1f} s; weights {size:.0f} MiB in float32")
    print(
        f"peak memory grew by {memory_bytes() / 2**20 - before:.0f} MiB, from {before:.0f} MiB with TensorFlow alone",
        flush=True,
    )

    text = "\n".join(lk.data.load("ptb", "test")[:100])
    ids = lm.tokenizer.encode(text)[: TOKENS + 1]
    if options.python:
        print("token ids equal those of transformers:", reference_ids(options, text)[: TOKENS + 1] == ids)
    start = time.perf_counter()
    ours = np.asarray(lm.model(np.array([ids[:-1]])))[0]
    seconds = time.perf_counter() - start
    model = Reading(options.path)
    start = time.perf_counter()
    theirs = model.logits(ids[:-1])
    print(f"{TOKENS} tokens: lm_keras {seconds:.1f} s, NumPy {time.perf_counter() - start:.1f} s with decoding")
    print(f"largest difference of logits {np.abs(ours - theirs).max():.1e}, largest logit {np.abs(theirs).max():.1f}")
    a, b = perplexity(ours, ids[1:]), perplexity(theirs, ids[1:])
    print(f"perplexity a token: lm_keras {a:.4f}, NumPy {b:.4f}, {abs(a / b - 1):.1e} apart", flush=True)

    prompt = lm.tokenizer.encode(PROMPT)
    following = int(model.logits(prompt)[-1].argmax())
    print(f"NumPy: {PROMPT!r} -> {lm.tokenizer.decode([following])!r}")
    for number in (1, 2):
        start = time.perf_counter()
        (made,) = lm.generate(PROMPT, max_new_tokens=32, temperature=0)
        print(f"lm_keras, call {number}, {time.perf_counter() - start:.1f} s: {made.text!r}", flush=True)


def perplexity(logits, ids):
    """exp of the mean of -log p, each token given all before it; the first is not predicted."""
    logits = logits.astype("float64")
    log_sum = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
    return np.exp(np.mean(log_sum - logits[np.arange(len(ids)), ids]))


def reference_ids(options, text):
    code = (
        "import sys, json; from transformers import AutoTokenizer as T; "
        "print(json.dumps(T.from_pretrained(sys.argv[1], gguf_file=sys.argv[2]).encode(json.load(sys.stdin))))"
    )
    command = [options.python, "-c", code, str(options.path.parent), options.path.name]
    done = subprocess.run(command, input=json.dumps(text), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# === The file, read by its specification ===


class Reading:
    """Metadata and tensors of a GGUF file (version 2 or 3, little-endian), and the network in it."""

    def __init__(self, path):
        self.bytes = np.memmap(path, np.uint8, "r")
        self.place = 4  # after "GGUF"
        version, tensors, fields = self.number("I"), self.number("Q"), self.number("Q")
        assert version in (2, 3)
        self.fields = {self.string(): self.value(self.number("I")) for _ in range(fields)}
        self.tensors = {}
        for _ in range(tensors):
            name, dims = self.string(), self.number("I")
            shape = [self.number("Q") for _ in range(dims)][::-1]
            self.tensors[name] = (shape, self.number("I"), self.number("Q"))
        block = self.fields.get("general.alignment", 32)
        self.start = -(-self.place // block) * block

    def number(self, kind):
        (value,) = struct.unpack_from("<" + kind, self.bytes, self.place)
        self.place += struct.calcsize("<" + kind)
        return value

    def string(self):
        length = self.number("Q")
        self.place += length
        return self.bytes[self.place - length : self.place].tobytes().decode("utf-8", "replace")

    def value(self, kind):
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            inner, length = self.number("I"), self.number("Q")
            return [self.value(inner) for _ in range(length)]
        return self.number(_NUMBERS[kind])

    def tensor(self, name):
        """Float32 of a tensor, by the blocks that ggml defines: 32 numbers of one step each."""
        shape, kind, offset = self.tensors[name]
        count = int(np.prod(shape))
        width, numbers = {0: (4, 1), 1: (2, 1), 2: (18, 32), 3: (20, 32), 8: (34, 32)}[kind]
        raw = self.bytes[self.start + offset :][: count // numbers * width].reshape(-1, width)
        if kind in (0, 1):
            return np.ascontiguousarray(raw).view("<f4" if kind == 0 else "<f2").astype("float32").reshape(shape)
        step = np.ascontiguousarray(raw[:, :2]).view("<f2").astype("float32")
        if kind == 8:
            return (np.ascontiguousarray(raw[:, 2:]).view(np.int8) * step).reshape(shape)
        packed = raw[:, 2:] if kind == 2 else raw[:, 4:]
        values = np.concatenate([packed % 16, packed // 16], 1).astype("float32")
        low = -8 * step if kind == 2 else np.ascontiguousarray(raw[:, 2:4]).view("<f2").astype("float32")
        return (values * step + low).reshape(shape)

    def logits(self, ids):
        """Float32 [T, V] of ids [T]: the whole network on one text."""
        field = {key.partition(".")[2]: value for key, value in self.fields.items() if key.startswith("llama.")}
        heads, kept = field["attention.head_count"], field["attention.head_count_kv"]
        embedding, length = self.tensor("token_embd.weight"), len(ids)
        x = embedding[np.array(ids)]
        dim = x.shape[1] // heads
        speeds = field["rope.freq_base"] ** (-np.arange(0, dim, 2) / dim)
        turn = np.exp(1j * np.outer(np.arange(length), speeds))[:, None]  # (T, 1, D / 2)
        future = np.triu(np.full((length, length), -np.inf, "float32"), 1)

        def norm(x, name):
            mean = (x.astype("float64") ** 2).mean(-1, keepdims=True) + field["attention.layer_norm_rms_epsilon"]
            return (x / np.sqrt(mean) * self.tensor(name)).astype("float32")

        def turned(x):  # a pair of neighbours is a complex number
            pairs = (x[..., ::2] + 1j * x[..., 1::2]) * turn
            return np.stack([pairs.real, pairs.imag], -1).reshape(x.shape).astype("float32")

        for i in range(field["block_count"]):
            weight = {part: self.tensor(f"blk.{i}.{part}.weight") for part in PARTS}
            y = norm(x, f"blk.{i}.attn_norm.weight")
            query = turned((y @ weight["attn_q"].T).reshape(length, heads, dim))
            key = turned((y @ weight["attn_k"].T).reshape(length, kept, dim)).repeat(heads // kept, 1)
            value = (y @ weight["attn_v"].T).reshape(length, kept, dim).repeat(heads // kept, 1)
            scores = np.einsum("thd,shd->hts", query, key) / np.sqrt(dim) + future
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = np.einsum("hts,shd->thd", scores / scores.sum(-1, keepdims=True), value)
            x = x + mixed.reshape(length, -1) @ weight["attn_output"].T
            y = norm(x, f"blk.{i}.ffn_norm.weight")
            gate = y @ weight["ffn_gate"].T
            x = x + (gate / (1 + np.exp(-gate)) * (y @ weight["ffn_up"].T)) @ weight["ffn_down"].T
        head = self.tensor("output.weight") if "output.weight" in self.tensors else embedding
        return norm(x, "output_norm.weight") @ head.T


PARTS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


if __name__ == "__main__":
    main()
