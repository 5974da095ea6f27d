"""Operations of a SavedModel whose results nothing reads, such as the logits of a prompt that is only read.

A server does not compute them, but its optimizer removes only the last of a chain of them in each of its rounds over
the whole graph: those that read a prompt took half of the time that a server needed for its first answer.
"""

from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from lm_keras.utils.keras_internals import is_stateful


def remove_unused(saved: SavedModel) -> int:
    """Takes what no output and no side effect needs out of the functions of a SavedModel.

    Args:
        saved: The SavedModel, which is changed in place. What its functions give stays the same.

    Returns:
        How many operations were removed.
    """
    graphs = [meta.graph_def.library for meta in saved.meta_graphs]
    own = {function.signature.name: function.signature.is_stateful for lib in graphs for function in lib.function}
    return sum(_remove(function, own) for library in graphs for function in library.function)


def _remove(function: FunctionDef, own: dict[str, bool]) -> int:
    nodes = {node.name: node for node in function.node_def}
    waiting = [*map(_node, function.ret.values()), *function.control_ret.values()]
    waiting += [name for name, node in nodes.items() if own.get(node.op) or is_stateful(node.op)]
    needed = set()
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in needed:  # else it is an argument
            needed.add(name)
            waiting += map(_node, nodes[name].input)
    kept = [node for node in function.node_def if node.name in needed]
    removed = len(nodes) - len(kept)
    if removed:
        del function.node_def[:]
        function.node_def.extend(kept)
    return removed


def _node(tensor: str) -> str:
    """The name of the node, or of the argument, that gives a tensor of a function."""
    return tensor.removeprefix("^").partition(":")[0]
