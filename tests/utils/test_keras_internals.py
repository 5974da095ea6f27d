"""The private names of Keras that are used: a test fails where Keras renames one."""

import threading
import warnings

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, saved_model_pb2
from tensorflow.python.eager import context

from lm_keras.utils.keras_internals import (
    SHUFFLE,
    OwnClipping,
    WrappedDataset,
    flatten_layers,
    fresh_names,
    is_stateful,
    mask_of,
    no_shuffle_warning,
    source_of,
    with_mask,
    without_grappler,
    write_fingerprint,
)


def test_flatten_layers_gives_the_layers_within_layers():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="inner")])
    x = keras.Input((2,))
    model = keras.Model(x, inner(x))
    found = flatten_layers(model)
    assert found[0] is model
    assert {"inner", inner.name} <= {layer.name for layer in found}


def test_fresh_names_count_from_the_first():
    keras.layers.Dense(2), keras.layers.Dense(2)
    with fresh_names():
        assert [keras.layers.Dense(2).name for _ in range(2)] == ["dense", "dense_1"]
        with fresh_names():
            names = [keras.layers.Dense(2).name for _ in range(500)]
            assert names[0] == "dense_2"
    assert keras.layers.Dense(2).name not in names


def test_source_of_gives_the_last_layer():
    x = keras.Input((2,))
    dense = keras.layers.Dense(2)
    assert source_of(keras.Model(x, dense(x)).outputs[0]) is dense
    assert source_of(keras.ops.softmax(dense(x))) is not dense


def test_a_mask_goes_along_with_a_tensor():
    ids = tf.constant([[1, 0]])
    embedded = keras.layers.Embedding(2, 3, mask_zero=True)(ids)
    assert mask_of(embedded).numpy().tolist() == [[True, False]]
    assert mask_of(ids) is None
    seen = keras.layers.GlobalAveragePooling1D()(with_mask(tf.constant([[[2.0], [4.0]]]), mask_of(embedded)))
    assert seen.numpy().tolist() == [[2.0]]


def test_a_fingerprint_is_that_of_the_file_as_it_is(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    before = tf.saved_model.experimental.read_fingerprint(str(tmp_path))
    (tmp_path / "fingerprint.pb").unlink()
    write_fingerprint(tmp_path)
    after = tf.saved_model.experimental.read_fingerprint(str(tmp_path))
    assert after.saved_model_checksum == before.saved_model_checksum > 0


def test_clip_has_the_gradients_of_the_update():
    class Halved(OwnClipping, keras.optimizers.SGD):
        def clip(self, grads):
            return [grad / 2 for grad in grads]

    for steps in (None, 2):
        weight = keras.Variable([1.0])
        optimizer = Halved(1.0, gradient_accumulation_steps=steps)
        for _ in range(steps or 1):
            optimizer.apply([keras.ops.convert_to_tensor([1.0])], [weight])
        assert float(weight[0]) == 0.5


def test_a_wrapped_dataset_is_a_dataset():
    options = tf.data.Options()
    options.deterministic = False
    wrapped = WrappedDataset(tf.data.Dataset.range(3).with_options(options))
    assert isinstance(wrapped, tf.data.Dataset)
    assert list(wrapped.map(lambda i: 2 * i).as_numpy_iterator()) == [0, 2, 4]
    assert wrapped.options().deterministic is False
    assert wrapped.element_spec == tf.TensorSpec([], tf.int64)
    assert int(wrapped.cardinality()) == 3


def test_the_warning_of_shuffle_is_silent_for_a_class_alone():
    class Ours(WrappedDataset):
        pass

    x, model = np.zeros((2, 1), "float32"), keras.Sequential([keras.layers.Dense(1)])
    plain = tf.data.Dataset.from_tensors((x, x))
    model.compile("sgd", "mse")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        for _ in range(2):
            no_shuffle_warning(Ours)
        assert warnings.filters[1:] == before
        model.fit(Ours(plain), verbose=0)
        assert not [w for w in caught if "shuffle=True" in str(w.message)]
        model.fit(plain, verbose=0)
        warnings.warn(SHUFFLE, stacklevel=1)
    assert len([w for w in caught if "shuffle=True" in str(w.message)]) == 2


def test_a_changed_saved_model_gets_its_fingerprint(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    tf.saved_model.save(module, str(tmp_path), {"a": module.double})
    before = tf.saved_model.experimental.read_fingerprint(str(tmp_path))
    path = tmp_path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    signatures["b"].CopyFrom(signatures["a"])
    path.write_bytes(saved.SerializeToString(deterministic=True))
    write_fingerprint(str(tmp_path))
    after = tf.saved_model.experimental.read_fingerprint(str(tmp_path))
    assert after.signature_def_hash != before.signature_def_hash
    assert after.checkpoint_hash == before.checkpoint_hash


def test_operations_that_do_more_than_to_compute_are_known():
    assert all(
        map(is_stateful, ("Assert", "AssignVariableOp", "StatefulPartitionedCall", "RandomUniform", "no such"))
    )
    assert not any(map(is_stateful, ("MatMul", "Const", "StatelessWhile", "PartitionedCall")))


def test_without_grappler_functions_are_called_as_they_were_traced_in_this_thread_alone():
    def off():
        config = config_pb2.ConfigProto.FromString(context.context().function_call_options.config_proto_serialized)
        return config.graph_options.rewrite_options.disable_meta_optimizer

    double, elsewhere = tf.function(lambda x: 2 * x, autograph=False), []
    assert not off()
    with without_grappler():
        assert off()
        assert double(tf.constant(2)).numpy() == 4
        thread = threading.Thread(target=lambda: elsewhere.append(off()))
        thread.start()
        thread.join()
    assert not off()
    assert elsewhere == [False]


def test_without_grappler_everything_else_is_as_it_was():
    """A layer that asks for a device that is not there computes on one that is, as in any other call."""

    @tf.function(autograph=False)
    def on_a_device(x):
        with tf.device("/GPU:9"):
            return x + 1

    def options():
        return config_pb2.ConfigProto.FromString(context.context().function_call_options.config_proto_serialized)

    wanted = options()
    wanted.graph_options.rewrite_options.disable_meta_optimizer = True
    with without_grappler():
        assert options() == wanted
        assert on_a_device(tf.constant(1)).numpy() == 2
