"""A cost model of a decoded token, against what decoding takes.

    python benchmarks/speed/token_cost.py

    seconds a token = bytes of the weights / rate of one-row products
                    + bytes of keys and values / rate of one-row attention
                    + other operations that run / operations a second

None of the three constants is fitted: each is measured with a few lines of plain TensorFlow at the sizes of the
model, in turns with the decoding. The products: one row times matrices of the model's shapes, one after the other.
Attention: two products and a softmax a layer. The rest: what the norms, reshapes, residuals and GELUs of a block
written by hand add to the time of those products, over their number (alone they would find all data in the
processor's caches). Attention uses the kernels that the decoding uses, of which TensorFlow has two.
The operations that run are counted: those that a Session executes for a token of the export's `generate`, after
TensorFlow's own optimizer. Decoding: greedy, one row, random weights; the time is the difference of two answers over
the difference of their tokens. Aim: predicted within a fifth of measured. With --cpu all runs in one thread, whose
own time counts: what the machine does beside makes little difference to it.
"""

import argparse
import collections
import dataclasses
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

from lm_keras.utils.quiet import load_tensorflow

load_tensorflow(compute=False)

import tensorflow as tf  # noqa: E402

import lm_keras as lk  # noqa: E402

v1 = tf.compat.v1
tf.get_logger().setLevel("ERROR")  # a Session reads an export as the server does, which TensorFlow calls deprecated
PROMPT, SHORT, LONG = 32, 16, 80  # tokens: of the prompt with its begin mark, and new ones
ROOM = PROMPT + SHORT + LONG  # an answer of n tokens reads PROMPT + n slots a token; the difference of two, so many
THREADS = {}  # settings of a Session; empty: TensorFlow's own
PRODUCTS = ("MatMul", "Einsum", "Softmax")  # kinds of operations whose time is in the two rates; not LogSoftmax


@dataclasses.dataclass(frozen=True)
class Size:
    """A model, and what its arithmetic needs: the shapes of the products of a block are (inputs, outputs)."""

    build: Callable
    words: int
    layers: int
    width: int
    heads: int
    kept: int  # heads of keys and values
    products: tuple

    @property
    def weight_bytes(self):
        return 4 * (self.layers * sum(k * n for k, n in self.products) + self.words * self.width)

    @property
    def cache_bytes(self):
        return 4 * 2 * self.layers * self.kept * ROOM * (self.width // self.heads)


def gpt2(words, layers, width, heads):
    sizes = {"num_layers": layers, "hidden_dim": width, "num_heads": heads}
    products = ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width))
    return Size(lambda: lk.models.build_gpt2(words, seed=0, **sizes), words, layers, width, heads, heads, products)


def llama(words, layers, width, heads, kept, inner):
    sizes = {"num_layers": layers, "hidden_dim": width, "num_heads": heads, "num_kv_heads": kept}
    side = width // heads * (heads + 2 * kept)
    products = ((width, side), (width, width), (width, inner), (width, inner), (inner, width))
    build = lambda: lk.models.build_llama(words, feed_forward_dim=inner, seed=0, **sizes)  # noqa: E731
    return Size(build, words, layers, width, heads, kept, products)


SIZES = {
    "gpt2-124m": gpt2(50257, 12, 768, 12),
    "llama-135m": llama(49152, 30, 576, 9, 3, 1536),
    "gpt2-6x384": gpt2(1000, 6, 384, 6),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--kinds", action="store_true", help="print the kinds of operations of a token too")
    parser.add_argument("--cpu", action="store_true", help="one thread, and its own time in place of the clock's")
    options = parser.parse_args()
    if options.cpu:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        THREADS.update(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, use_per_session_threads=True)
    rows = []
    for name in options.sizes:
        keras_clear()
        rows.append({"name": name, **measure(SIZES[name], options)})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    clock = "of one thread" if options.cpu else f"by the clock, {os.cpu_count()} cores"
    print(f"ms a token {clock}, medians of {options.rounds} rounds\n")
    print(
        "| | weights, MB | GB/s | products | keys and values, MB | GB/s | attention | operations | µs each "
        "| dispatch | predicted | measured | ratio | `lm.generate` |"
    )
    print("|---|" + "---|" * 13)
    for row in rows:
        print(
            f"| {row['name']} | {row['weights']:.0f} | {row['product rate']:.1f} | {row['products']:.2f} "
            f"| {row['caches']:.1f} | {row['attention rate']:.1f} | {row['attention']:.2f} "
            f"| {row['operations']:,.0f} | {row['each']:.2f} | {row['dispatch']:.2f} "
            f"| {row['predicted']:.2f} | {row['measured']:.2f} | {row['predicted'] / row['measured']:.2f} "
            f"| {row['generate']:.2f} |"
        )


def keras_clear():
    import gc

    import keras

    keras.backend.clear_session()
    gc.collect()


def measure(size, options):
    """What a row of the table says; times in ms, rates in GB/s."""
    lm = language_model(size)
    prompt = " ".join(f"word{i}" for i in range(PROMPT - 1))
    with tempfile.TemporaryDirectory() as folder:
        served = Served(lk.export(lm, f"{folder}/{lm.model.name}/1"), prompt)
    operations = served.operations()
    if options.kinds:
        print("\n".join(f"{count:8.1f} {kind}" for kind, count in operations.most_common()), file=sys.stderr)
    others = sum(count for kind, count in operations.items() if not is_product(kind))
    constants = Constants(size, operations)
    parts = {
        "measured": lambda: a_token(served.answer, SHORT, LONG),
        "generate": lambda: a_token(functools.partial(our_answer, lm, prompt), SHORT, LONG),
        "products": lambda: constants.seconds(constants.products),
        "attention": lambda: constants.seconds(constants.attention),
        "each": constants.of_one_operation,
    }
    times = {name: [] for name in parts}
    for turn in range(options.rounds + 1):
        for name, part in parts.items():
            seconds = part()
            if turn:  # the first is not counted
                times[name].append(seconds)
    ms = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    dispatch = others * ms["each"]
    return {
        **ms,
        "each": 1e3 * ms["each"],
        "operations": others,
        "dispatch": dispatch,
        "weights": size.weight_bytes / 1e6,
        "product rate": size.weight_bytes / ms["products"] / 1e6,
        "caches": size.cache_bytes / 1e6,
        "attention rate": size.cache_bytes / ms["attention"] / 1e6,
        "predicted": ms["products"] + ms["attention"] + dispatch,
    }


def language_model(size):
    tokenizer = lk.text.WordTokenizer.train([" ".join(f"word{i}" for i in range(size.words))], vocab_size=size.words)
    assert tokenizer.vocab_size == size.words
    return lk.LanguageModel(size.build(), tokenizer)


# === Decoding ===


def a_token(answer, short, long):
    """Seconds of a token: the difference of two answers."""
    clock = time.process_time if THREADS else time.perf_counter
    start = clock()
    answer(short)
    middle = clock()
    answer(long)
    return (clock() - middle - (middle - start)) / (long - short)


def our_answer(lm, prompt, new):
    (made,) = lm.generate(prompt, max_new_tokens=new, min_new_tokens=new, temperature=0)
    assert len(made.token_ids) == new


class Served:
    """The signature `generate` of an export, in a Session as the server's."""

    def __init__(self, version, prompt):
        self.session, self.prompt = session(), prompt
        with self.session.graph.as_default():
            signatures = v1.saved_model.loader.load(self.session, ["serve"], str(version)).signature_def
        self.signature = signatures["generate"]

    def answer(self, new, **options):
        inputs = self.signature.inputs
        given = {inputs["prompt"].name: [self.prompt], inputs["max_new_tokens"].name: [new]}
        made = self.session.run(self.signature.outputs["num_new_tokens"].name, given, **options)
        if made[0] != new:
            raise SystemExit(f"the text has ended after {made[0]} of {new} tokens; its time says nothing")

    def operations(self):
        """How many operations of each kind run for a token."""
        self.answer(SHORT)
        short, long = (executed(functools.partial(self.answer, new)) for new in (SHORT, LONG))
        return collections.Counter({kind: (n - short[kind]) / (LONG - SHORT) for kind, n in long.items()})


def executed(run):
    """How many operations of each kind a Session executes in `run(**options)`."""
    told = v1.RunMetadata()
    run(options=v1.RunOptions(trace_level=v1.RunOptions.FULL_TRACE), run_metadata=told)
    # A label is "name = Kind(inputs)", of operations in called functions too.
    labels = [node.timeline_label for device in told.step_stats.dev_stats for node in device.node_stats]
    return collections.Counter(label.partition(" = ")[2].partition("(")[0] or label for label in labels)


def is_product(kind):
    return any(part in kind for part in PRODUCTS) and "LogSoftmax" not in kind


def session():
    return v1.Session(graph=tf.Graph(), config=v1.ConfigProto(**THREADS))


# === The constants, each by a few lines of plain TensorFlow ===


class Constants:
    """Three loops in a Session, whose turn is a token: the products of a model, those with small operations between
    them, and its attention.

    Attention uses the kernels that the decoding uses, which `operations` tells: TensorFlow has two for each part.
    """

    def __init__(self, size, operations):
        self.session, self.count = session(), None
        with self.session.graph.as_default():
            self.count = v1.placeholder(tf.int32, [])
            shapes = [*(shape for _ in range(size.layers) for shape in size.products), (size.width, size.words)]
            matrices = [tf.Variable(tf.random.normal(shape, 0.0, 0.02)) for shape in shapes[:-1]]
            words = tf.Variable(tf.random.normal([size.words, size.width], 0.0, 0.02))
            scale = tf.Variable(tf.ones([size.width]))
            self.products = self._loop(lambda x: products(x, matrices, words), size)
            self.with_others = self._loop(lambda x: products(x, matrices, words, small_operations(size, scale)), size)
            self.attention = self._loop(attention(size, operations), size)
            initialize = v1.global_variables_initializer()
        self.session.run(initialize)
        more, fewer = (self._operations(loop) for loop in (self.with_others, self.products))
        self.others = more - fewer

    def _loop(self, body, size):
        shapes = [tf.TensorShape([]), tf.TensorShape([None, size.width])]  # the number of rows is not known before
        loop = [0, v1.placeholder_with_default(tf.ones([1, size.width]), [None, size.width])]
        return tf.while_loop(
            lambda i, _: i < self.count, lambda i, x: [i + 1, body(x)], loop, shape_invariants=shapes
        )[1]

    def _run(self, loop, turns, **options):
        self.session.run(loop, {self.count: turns}, **options)

    def _operations(self, loop):
        self._run(loop, 1)
        few, many = (executed(functools.partial(self._run, loop, turns)).total() for turns in (1, 3))
        return (many - few) / 2

    def seconds(self, loop, turns=16):
        """Seconds of a turn."""
        return a_token(functools.partial(self._run, loop), 1, 1 + turns)

    def of_one_operation(self):
        """Seconds of a small operation between products: what they add to the products alone."""
        return (self.seconds(self.with_others) - self.seconds(self.products)) / self.others


def products(x, matrices, words, between=lambda x: x):
    """x [1, D] times each matrix, one after the other, as far as it is wide enough for the next; and the words'."""
    for matrix in matrices:
        x = tf.matmul(between(x[:, : matrix.shape[0]]), matrix)
    logits = tf.matmul(x, words, transpose_b=True)
    return x + logits[:, :1]


def small_operations(size, scale):
    """What a plain block does between its products: a norm, the heads apart and together, a residual; GELU."""
    heads, dim = size.heads, size.width // size.heads

    def between(x):
        if x.shape[1] > size.width:
            return 0.5 * x * (1.0 + tf.tanh(0.797885 * (x + 0.044715 * x * x * x)))
        rows = tf.shape(x)[0]
        y = x - tf.reduce_mean(x, -1, keepdims=True)
        y = y * tf.math.rsqrt(tf.reduce_mean(tf.square(y), -1, keepdims=True) + 1e-5) * scale + scale
        y = tf.transpose(tf.reshape(y, tf.stack([rows, 1, heads, dim])), [0, 2, 1, 3])
        y = tf.where(tf.range(rows)[:, None, None, None] >= 0, y, 0.0)
        return x + tf.reshape(tf.transpose(y, [0, 2, 1, 3]), tf.stack([rows, size.width]))

    return between


def attention(size, operations):
    """x [1, D] -> x after softmax(q K^T) V of one token for each layer, over caches of their own."""
    group, dim = size.heads // size.kept, size.width // size.heads
    caches = [
        [tf.Variable(tf.random.normal([1, size.kept, ROOM, dim])) for _ in ("keys", "values")]
        for _ in range(size.layers)
    ]
    product, softmax = tf.matmul, tf.nn.softmax
    if operations["BatchMatMulV3"]:

        def product(x, y, transpose_b=False):
            return tf.raw_ops.BatchMatMulV3(x=x, y=y, Tout=tf.float32, adj_y=transpose_b)

    if not any(kind.endswith("Softmax") and "Log" not in kind for kind in operations):

        def softmax(x):
            return tf.exp(tf.nn.log_softmax(x))

    def turn(x):
        query = tf.reshape(x, [1, size.kept, group, dim])
        for keys, values in caches:
            query = product(softmax(product(query, keys, transpose_b=True)), values)
        return tf.reshape(query, [-1, size.width])

    return turn


if __name__ == "__main__":
    main()
