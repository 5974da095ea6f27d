"""Waiting for the other workers, before TensorFlow does.

TensorFlow's chief would wait without end and deaf to Ctrl-C, and would not say for whom. So the workers first meet at
the chief's address by plain sockets: each says its index and the cluster it knows, and stays until the chief says go.
"""

import contextlib
import json
import socket
import time

from lm_keras.errors import InputError

GO = b"lm_keras: go\n"
PAUSE = 0.2  # seconds between two tries to reach the chief


def meet(addresses, index, timeout):
    """Returns when all workers are there. InputError after `timeout` seconds, or where the own port is taken."""
    until = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listen(addresses[index]))  # so that its port is known to be free
        if index:
            server.close()
            _call_chief(addresses, index, until, timeout)
        else:
            _await_others(addresses, server, until, timeout, stack)


def _listen(address):
    port = int(address.rpartition(":")[2])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
        return socket.create_server(("", port), backlog=1024)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"a worker cannot listen at {address} ({error}); give it a free port of this machine"
        ) from None


def _await_others(addresses, server, until, timeout, stack):
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


def _hear(caller, addresses):
    """The index that a worker of this cluster tells; None of a stranger."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError), caller.makefile("rb") as lines:
        told = json.loads(lines.readline(1 << 20))
        if told["cluster"] != addresses:
            caller.sendall(b"lm_keras: another cluster\n")
        elif 0 < told["index"] < len(addresses):
            return told["index"]
    return None


def _stays(caller):
    """Whether a worker that has called is still there: it says nothing more, and its end would be read as b""."""
    caller.settimeout(0)
    try:
        return caller.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _call_chief(addresses, index, until, timeout):
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
