"""How many operations a TensorFlow function is made of."""

import collections
from collections.abc import Callable, Iterator

import tensorflow as tf


def operations_of(work: Callable, *signature: object) -> int:
    """The number of operations in the graph that is traced of `work` for the tensors of `signature`.

    Each node counts as one: constants, reads of variables, the placeholders of arguments and of the variables that
    the graph captures. A node that calls functions (a call, a loop, a branch, a function that XLA compiles) counts
    as one and as all nodes of those functions, each time that one is named; the body of a loop once. The arguments
    of such a function do not count again. It is the graph as traced, before TensorFlow's own optimizer.
    """
    return sum(kinds_of_operations(work, *signature).values())


def kinds_of_operations(work: Callable, *signature: object) -> collections.Counter:
    """The same by the kind of operation, such as "MatMul"."""
    graph = tf.function(work, autograph=False).get_concrete_function(*signature).graph.as_graph_def()
    bodies = {function.signature.name: function.node_def for function in graph.library.function}
    return collections.Counter(_kinds(graph.node, bodies))


def _kinds(nodes, bodies: dict) -> Iterator[str]:
    for node in nodes:
        yield node.op
        for called in _called(node):
            yield from _kinds(bodies[called], bodies)


def _called(node) -> Iterator[str]:
    """The functions that a node calls, by name."""
    for name in sorted(node.attr):
        value = node.attr[name]
        for function in (value.func, *value.list.func):
            if function.name:
                yield function.name


def signature_of(inputs: object) -> object:
    """A TensorSpec for each input of a functional Keras model, in the same structure."""
    return tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), inputs)
