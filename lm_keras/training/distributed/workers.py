"""The processes of one training run: who they are (`TF_CONFIG`), and what they tell each other."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from lm_keras.errors import InputError, WorkerLostError
from lm_keras.utils.quiet import load_tensorflow

if TYPE_CHECKING:
    import tensorflow as tf

_started = []  # the Workers of this process: TensorFlow lets a process join once
PACK = 32 << 20  # bytes sent together: small enough to start while the gradient is still being computed
FEW, MANY = 1 << 10, 1 << 20  # numbers sent together outside of the training step


class Workers:
    """This process (`index`, 0 is the chief) among the `count` of a run, and what all of them do together.

    Each method that says "together" must be called by every worker, in the same order.
    """

    def __init__(self, strategy: tf.distribute.Strategy, index: int, count: int):
        self.strategy, self.index, self.count = strategy, index, count
        self.is_chief = index == 0
        self._functions = {}

    def add(self, arrays: Iterable) -> list[np.ndarray]:
        """Together: the sums over the workers of NumPy arrays that have the same shapes everywhere."""
        return [self._add(np.asarray(array)) for array in arrays]

    def _add(self, array):
        kind = "int64" if array.dtype.kind in "iub" else "float64" if array.dtype == "float64" else "float32"
        size = FEW if array.size <= FEW else MANY  # few sizes, so that few functions are traced
        pieces = np.zeros((-(-array.size // size), size), kind)
        pieces.ravel()[: array.size] = array.ravel()
        sums = np.concatenate([self._add_piece(piece) for piece in pieces] or [pieces.ravel()])
        return sums[: array.size].reshape(array.shape).astype(array.dtype)

    def _add_piece(self, piece):
        import tensorflow as tf

        if piece.dtype not in self._functions:

            def all_reduce(vector):  # the identity is an op with a device, which tf.distribute asks for
                return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(vector))

            self._functions[piece.dtype] = tf.function(
                lambda vector: self.strategy.run(all_reduce, [vector]), autograph=False
            )
        return self._functions[piece.dtype](tf.constant(piece)).numpy()

    def from_chief(self, arrays: list) -> list[np.ndarray]:
        """Together: the chief's arrays, of the same shapes as the worker's own."""
        return self.add(arrays if self.is_chief else [np.zeros_like(array) for array in arrays])

    def agree(self, chief_does: Callable[[], object]) -> object:
        """Together: the JSON value that `chief_does()` gives at the chief; its InputError is raised everywhere."""
        text = b""
        if self.is_chief:
            try:
                text = json.dumps({"value": chief_does()}).encode()
            except InputError as error:
                text = json.dumps({"error": str(error)}).encode()
        (size,) = self.from_chief([np.array([len(text)])])
        own = np.frombuffer(text, np.uint8).astype(np.int64) if self.is_chief else np.zeros(size, np.int64)
        answer = json.loads(self.from_chief([own])[0].astype(np.uint8).tobytes())
        if "error" in answer:
            raise InputError(answer["error"])
        return answer["value"]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """What TensorFlow says when a worker is gone, as one WorkerLostError."""
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            told = re.search(r"Collective ops is aborted by: ?(.*)", error.message, re.DOTALL)
            if not told:
                raise
            task = re.search(r"/job:(\w+)(?:/replica:0)?/task:(\d+)", told[1])
            who = f"{task[1]} {task[2]}" if task else "a worker"
            reason = re.sub(r"Error reported from \S+ |:$", "", told[1].split("\n")[0])
            raise WorkerLostError(
                f"{who} is gone ({reason}), and with it the run; start all workers again with resume=True "
                "(--resume), and it goes on from its last checkpoint"
            ) from None


def multi_worker(start_timeout: float = 3600) -> Workers:
    """Joins the run that `TF_CONFIG` describes.

    To be called before TensorFlow has computed anything (made a tensor, a model or a dataset): it names the
    process's devices. Called again it returns the same.

    Args:
        start_timeout: The seconds to wait for the other workers.

    Returns:
        This process's place among the workers.

    Raises:
        InputError: For a missing or wrong TF_CONFIG, for a late call and for workers that do not come.
    """
    if _started:
        return _started[0]
    jobs, job, number = cluster()
    addresses = jobs.get("chief", []) + jobs["worker"]
    index = number if job == "chief" else number + len(jobs.get("chief", []))
    load_tensorflow(compute=False)
    import tensorflow as tf

    if _has_begun():
        raise InputError(
            "strategy='multi_worker' comes too late: TensorFlow has computed something already; call "
            "lm_keras.training.multi_worker() first in the program, before any model, tensor or dataset is made"
        )
    meet(addresses, index, start_timeout)
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=PACK)
    with _own_handler(signal.SIGTERM):
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    if strategy.num_replicas_in_sync != len(addresses):
        raise InputError(
            f"worker {index} sees {strategy.num_replicas_in_sync // len(addresses)} accelerators; start one process "
            "for each, with CUDA_VISIBLE_DEVICES set to one of them and its own address in TF_CONFIG"
        )
    _started.append(Workers(strategy, index, len(addresses)))
    return _started[0]


def _has_begun() -> bool:
    """Whether TensorFlow has computed something: from then on it refuses to change the number of its threads."""
    import tensorflow as tf

    threads = tf.config.threading.get_inter_op_parallelism_threads()
    try:
        tf.config.threading.set_inter_op_parallelism_threads(threads + 1)
    except RuntimeError:
        return True
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return False


@contextlib.contextmanager
def _own_handler(number: int) -> Iterator[None]:
    """Takes back what the block installs for a signal: TensorFlow would note SIGTERM, and go on."""
    before = signal.getsignal(number)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, before)


def cluster() -> tuple[dict[str, list[str]], str, int]:
    """`(addresses by job, own job, own number in it)` of TF_CONFIG; InputError where it is missing or wrong."""
    text = os.environ.get("TF_CONFIG")
    example = json.dumps({"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}})
    if not text:
        raise InputError(f"strategy='multi_worker' needs TF_CONFIG in the environment, such as {example}")
    try:
        told = json.loads(text)
    except ValueError as error:
        raise InputError(f"TF_CONFIG is not JSON ({error}); give it as {example}") from None
    jobs = told.get("cluster") if isinstance(told, dict) else None
    if not isinstance(jobs, dict) or not isinstance(jobs.get("worker"), list) or not jobs["worker"]:
        raise InputError(f"TF_CONFIG names no workers; give it as {example}")
    if not set(jobs) <= {"chief", "worker"}:
        raise InputError(f"TF_CONFIG has the jobs {', '.join(sorted(jobs))}; this trains with chief and worker only")
    for job, addresses in jobs.items():
        if not isinstance(addresses, list):
            raise InputError(f"TF_CONFIG has {addresses!r} as the addresses of {job}; give a list of host:port")
    for address in (address for addresses in jobs.values() for address in addresses):
        if not isinstance(address, str) or not re.fullmatch(r".+:\d{1,5}", address):
            raise InputError(f"TF_CONFIG has the address {address!r}; give host:port")
    task = told.get("task") if isinstance(told.get("task"), dict) else {}
    job, number = task.get("type"), task.get("index")
    if job not in jobs:
        raise InputError(f"TF_CONFIG has the task type {job!r}; it must be one of {', '.join(sorted(jobs))}")
    if isinstance(number, bool) or not str(number).isdecimal() or int(number) >= len(jobs[job]):
        raise InputError(f"TF_CONFIG has the task index {number!r}; {job} has the indices 0 to {len(jobs[job]) - 1}")
    return jobs, job, int(number)


# === Waiting for the other workers, before TensorFlow does ===
# TensorFlow's chief would wait without end and deaf to Ctrl-C, and would not say for whom. So the workers first
# meet at the chief's address by plain sockets: each says its index and the cluster it knows, and stays until the
# chief says go.

GO = b"lm_keras: go\n"
PAUSE = 0.2  # seconds between two tries to reach the chief


def meet(addresses: list[str], index: int, timeout: float) -> None:
    """Returns when all workers are there. InputError after `timeout` seconds, or where the own port is taken."""
    until = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listen(addresses[index]))  # so that its port is known to be free
        if index:
            server.close()
            _call_chief(addresses, index, until, timeout)
        else:
            _await_others(addresses, server, until, timeout, stack)


def _listen(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
        return socket.create_server(("", port), backlog=1024)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"a worker cannot listen at {address} ({error}); give it a free port of this machine"
        ) from None


def _await_others(
    addresses: list[str], server: socket.socket, until: float, timeout: float, stack: contextlib.ExitStack
) -> None:
    """Waits at the chief until each of the others has called, and says go."""
    there = {}
    stack.callback(lambda: [caller.close() for caller in there.values()])
    while True:
        for index in [i for i, caller in there.items() if not _stays(caller)]:
            there.pop(index).close()
        if len(there) == len(addresses) - 1:
            break
        server.settimeout(max(until - time.monotonic(), 0.01))
        try:
            caller = server.accept()[0]
        except TimeoutError:
            missing = [i for i in range(1, len(addresses)) if i not in there or not _stays(there[i])]
            who = ", ".join(f"{i} ({addresses[i]})" for i in missing[:8]) + ", ..." * (len(missing) > 8)
            raise InputError(
                f"workers have not come within {timeout:g} seconds: {who}; start one process for each address of "
                f"TF_CONFIG, which reaches this one at {addresses[0]}"
            ) from None
        caller.settimeout(min(5, max(until - time.monotonic(), 0.01)))
        index = _hear(caller, addresses)
        if index is None:
            caller.close()
        else:
            there[index], before = caller, there.get(index)  # the same worker again: it was started anew
            if before:
                before.close()
    for caller in there.values():
        with contextlib.suppress(OSError):
            caller.settimeout(5)
            caller.sendall(GO)


def _hear(caller: socket.socket, addresses: list[str]) -> int | None:
    """The index that a worker of this cluster tells; None of a stranger."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError), caller.makefile("rb") as lines:
        told = json.loads(lines.readline(1 << 20))
        if told["cluster"] != addresses:
            caller.sendall(b"lm_keras: another cluster\n")
        elif 0 < told["index"] < len(addresses):
            return told["index"]
    return None


def _stays(caller: socket.socket) -> bool:
    """Whether a worker that has called is still there: it says nothing more, and its end would be read as b""."""
    caller.settimeout(0)
    try:
        return caller.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _call_chief(addresses: list[str], index: int, until: float, timeout: float) -> None:
    """Calls the chief until it says go."""
    host, _, port = addresses[0].rpartition(":")
    while time.monotonic() < until:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host.strip("[]"), int(port)), timeout=5) as chief,
        ):
            chief.sendall(json.dumps({"index": index, "cluster": addresses}).encode() + b"\n")
            chief.settimeout(max(until - time.monotonic(), 0.01))
            answer = chief.makefile("rb").readline(100)
            if answer == GO:
                return
            if answer.startswith(b"lm_keras"):
                raise InputError(f"the chief at {addresses[0]} knows other workers; give all the same cluster")
        time.sleep(PAUSE)
    raise InputError(
        f"worker {index} has not met the chief at {addresses[0]} and all others within {timeout:g} seconds; "
        "start one process for each address of TF_CONFIG"
    )
