"""What no answer needs is not exported: brute force over the functions of a SavedModel."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import lm_keras as lk
from lm_keras.serving import Served, signature
from lm_keras.serving.export.unused import remove_unused


def read(folder):
    return SavedModel.FromString((folder / "saved_model.pb").read_bytes())


def functions(saved):
    return {function.signature.name: function for function in saved.meta_graphs[0].graph_def.library.function}


class Module(tf.Module):
    """Functions with a chain of operations that nothing reads, within a loop too, and with a side effect."""

    def __init__(self):
        self.calls = tf.Variable(0)
        self.weight = tf.Variable([2.0, 3.0])

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")], autograph=False)
    def answer(self, x):
        self.calls.assign_add(1)
        with tf.control_dependencies([tf.debugging.assert_less(x, 100.0, "x is too large")]):
            kept = x * 2
        unread = kept
        for _ in range(5):
            unread = tf.cos(unread)

        def body(i, y):
            unread = y
            for _ in range(5):
                unread = tf.sin(unread)
            return i + 1, y * self.weight[1]

        return {"y": tf.while_loop(lambda i, _: i < 3, body, [0, kept])[1]}


def test_unread_operations_go_and_answers_and_side_effects_stay(tmp_path):
    module = Module()
    tf.saved_model.save(module, tmp_path, {"serving_default": module.answer.get_concrete_function()})
    saved = read(tmp_path)
    assert remove_unused(saved) >= 10
    ops = [node.op for function in functions(saved).values() for node in function.node_def]
    assert not {"Cos", "Sin"}.intersection(ops) and {"AssignAddVariableOp", "While", "Assert"} <= {*ops}
    assert remove_unused(saved) == 0
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    loaded = tf.saved_model.load(str(tmp_path))
    answer = loaded.signatures["serving_default"]
    for calls, x in enumerate((1.0, 0.5), 1):
        np.testing.assert_allclose(answer(x=tf.constant(x))["y"], x * 2 * 27)
        assert int(loaded.calls) == calls
    with pytest.raises(tf.errors.InvalidArgumentError, match="x is too large"):
        answer(x=tf.constant(100.0))


def test_a_signature_is_traced_once(tmp_path, warm_check):
    traced = []

    class Loud(lk.TextModel):
        def signatures(self):
            return Served(
                signatures={"shout": signature(self.shout, ("text", tf.string))},
                examples={"shout": {"text": ["a", "b"]}},
                answer=lambda name, inputs: {"loud": [text.upper() for text in inputs["text"]]},
            )

        def shout(self, text):
            traced.append(text)
            return {"loud": tf.strings.upper(text)}

    model = lk.models.build_gpt2(262, max_length=4, hidden_dim=8, num_heads=2, num_layers=1)
    version = lk.export(Loud(model, {}), tmp_path / "model")
    assert len(traced) == 1 and lk.check(version) == []


def test_an_export_holds_nothing_that_no_answer_needs(tmp_path, warm_check):
    tokenizer = lk.text.BPETokenizer.train(["to be or not to be"], vocab_size=262)
    model = lk.models.build_llama(tokenizer.vocab_size, max_length=16, hidden_dim=8, num_heads=2, num_layers=1)
    version = lk.export(lk.LanguageModel(model, tokenizer), tmp_path / "model", max_new_tokens_limit=4)
    saved = read(tmp_path / "model" / "1")
    assert remove_unused(saved) == 0
    for function in functions(saved).values():
        read_names = {name.removeprefix("^").split(":")[0] for node in function.node_def for name in node.input}
        read_names |= {name.split(":")[0] for name in (*function.ret.values(), *function.control_ret.values())}
        unread = {node.name: node.op for node in function.node_def if node.name not in read_names}
        assert not {"MatMul", "BatchMatMulV2", "AddV2", "Mul", "Reshape"}.intersection(unread.values()), unread
    assert lk.check(version) == []
