"""Activations that are computed again in the backward pass instead of kept (Chen et al. 2016)."""

import contextlib

import keras
import tensorflow as tf
from keras import tree

from lm_keras.errors import InputError
from lm_keras.layers.attention import SelfAttention
from lm_keras.utils.keras_internals import flatten_layers


@contextlib.contextmanager
def recomputing(model):
    """While it lasts, the gradient of `model` keeps of each transformer block no more than what enters it.

    A block reaches from where least is alive before its self-attention to that place before the next. The last one is
    kept: the gradient begins with it, so nothing would be gained. Dropout draws the same numbers in both passes.
    InputError for a model without two such blocks.
    """
    plans = [(graph, plan) for graph in _graphs(model) if (plan := _Plan(graph)).blocks]
    if not plans:
        raise InputError(f"{model.name} has no two transformer blocks to compute again; leave recompute out")
    try:
        for graph, plan in plans:
            vars(graph)["_run_through_graph"] = plan  # past Keras' __setattr__
        yield
    finally:
        for graph, _ in plans:
            vars(graph).pop("_run_through_graph", None)


def _graphs(model):
    """`model` and the models within it, as far as they are graphs of layers."""
    return [layer for layer in flatten_layers(model) if hasattr(layer, "_nodes_by_depth")]


def _in_order(graph):
    """The nodes of a functional model, those first that no gradient reaches: masks, positions."""
    by_depth = graph._nodes_by_depth
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]
    whole = {id(x) for x in graph.inputs if not _is_float(x)}
    first = set()
    for node in nodes:
        if all(id(x) in whole for x in node.input_tensors) and not any(_is_float(x) for x in node.outputs):
            whole.update(id(x) for x in node.outputs)
            first.add(id(node))
    return sorted(nodes, key=lambda node: id(node) not in first)


def _is_float(x):
    return keras.backend.is_float_dtype(x.dtype)


class _Plan:
    """The nodes of a functional model in their order, and which of them, [start, end), are blocks to recompute."""

    def __init__(self, graph):
        self.graph = graph
        self.nodes = _in_order(graph)
        made = {id(x): i for i, node in enumerate(self.nodes) for x in node.outputs}
        # What each node makes is alive up to the last node that reads it; outputs of the model to the end.
        self.last_read = {id(x): i for i, node in enumerate(self.nodes) for x in node.input_tensors}
        self.last_read.update({id(x): len(self.nodes) for x in graph.outputs})
        alive = [0] * (len(self.nodes) + 1)  # before each node: how many tensors that a gradient passes through
        for node in self.nodes:
            for x in node.outputs:
                if _is_float(x):
                    for i in range(made[id(x)] + 1, self.last_read.get(id(x), -1) + 1):
                        alive[i] += 1
        places = [i for i, node in enumerate(self.nodes) if isinstance(node.operation, SelfAttention)]
        starts, before = [], 0
        for place in places:
            starts.append(min(range(place, before, -1), key=alive.__getitem__, default=place))
            before = place
        self.blocks = dict(zip(starts, starts[1:], strict=False))

    def __call__(self, inputs, operation_fn=lambda op: op, call_fn=None):
        """What Keras' own method does: the graph's outputs for `inputs`."""
        if not tf.inside_function() or any(isinstance(x, keras.KerasTensor) for x in tree.flatten(inputs)):
            return type(self.graph)._run_through_graph(self.graph, inputs, operation_fn, call_fn)
        tensors = {id(x): value for x, value in zip(self.graph.inputs, tree.flatten(inputs), strict=True)}
        start = 0
        while start < len(self.nodes):
            end = self.blocks.get(start, start + 1)
            run = self._run_block if start in self.blocks else self._run
            run(start, end, tensors, operation_fn)
            start = end
        return tree.pack_sequence_as(self.graph._outputs_struct, [tensors[id(x)] for x in self.graph.outputs])

    def _run(self, start, end, tensors, operation_fn):
        for node in self.nodes[start:end]:
            args, kwargs = node.arguments.fill_in(tensors)
            outputs = operation_fn(node.operation)(*args, **kwargs)
            tensors.update((id(x), y) for x, y in zip(node.outputs, tree.flatten(outputs), strict=True))

    def _run_block(self, start, end, tensors, operation_fn):
        block = self.nodes[start:end]
        made = {id(x) for node in block for x in node.outputs}
        read = {id(x) for node in block for x in node.input_tensors} - made
        # Masks and positions have no gradient: the block reads them where they are.
        entering = [key for key in read if tensors[key].dtype.is_floating]
        leaving = [key for key in made if self.last_read.get(key, -1) >= end]
        draws = _Draws(node.operation for node in block)

        def run(*values):
            inner = {**tensors, **dict(zip(entering, values, strict=True))}
            with draws:
                self._run(start, end, inner, operation_fn)
            return [inner[key] for key in leaving]

        values = tf.recompute_grad(run)(*[tensors[key] for key in entering])
        tensors.update(zip(leaving, values, strict=True))


class _Draws:
    """Within it, the seeds that layers draw: new ones the first time, then always those of the first time."""

    def __init__(self, operations):
        layers = [layer for op in operations if isinstance(op, keras.Layer) for layer in op._flatten_layers()]
        found = {id(s): s for layer in layers for s in getattr(layer, "_seed_generators", ())}
        self.generators, self.drawn = list(found.values()), None

    def __enter__(self):
        again = self.drawn is not None
        self.drawn = self.drawn or [[] for _ in self.generators]
        for generator, drawn in zip(self.generators, self.drawn, strict=True):
            left, draw = iter(drawn), generator.next

            def following(ordered=True, *, drawn=drawn, left=left, draw=draw):
                if not again:
                    drawn.append(draw(ordered))
                return drawn[-1] if not again else next(left)

            vars(generator)["next"] = following

    def __exit__(self, *_):
        for generator in self.generators:
            del vars(generator)["next"]
