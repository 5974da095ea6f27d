"""The workers of a run meet: whoever comes first, whoever goes again, whoever else calls."""

import json
import socket
import threading
import time

import pytest
from multi_worker_child import free_addresses

from lm_keras.errors import InputError
from lm_keras.training.distributed.workers import GO, meet


def test_workers_meet_whoever_comes_first():
    addresses, met = free_addresses(3), []
    threads = [
        threading.Thread(target=lambda i=i: (meet(addresses, i, timeout=20), met.append(i))) for i in (2, 0, 1)
    ]
    for thread in threads:
        thread.start()
        thread.join(0.3)
        assert not met or thread is threads[-1]
    for thread in threads:
        thread.join(20)
    assert sorted(met) == [0, 1, 2]


def test_who_is_missing_is_named():
    addresses = free_addresses(2)
    with pytest.raises(InputError, match=f"workers have not come within 0.3 seconds: 1 \\({addresses[1]}\\)"):
        meet(addresses, 0, timeout=0.3)
    with pytest.raises(InputError, match=f"worker 1 has not met the chief at {addresses[0]}"):
        meet(addresses, 1, timeout=0.3)


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"cannot listen at {address}"):
            meet([address, "127.0.0.1:9"], 0, timeout=1)


def test_a_worker_of_another_cluster_is_turned_away():
    addresses = free_addresses(2)
    chief = threading.Thread(target=lambda: pytest.raises(InputError, meet, addresses, 0, timeout=1))
    chief.start()
    with pytest.raises(InputError, match="knows other workers"):
        meet([addresses[0], *free_addresses(1)], 1, timeout=20)
    chief.join()


def call(address, index, cluster):
    caller = socket.create_connection(("127.0.0.1", int(address.split(":")[1])), timeout=5)
    caller.sendall(json.dumps({"index": index, "cluster": cluster}).encode() + b"\n")
    return caller


def meeting(addresses, timeout):
    """The chief waiting in a thread, and the list of what it comes to."""
    came = []

    def wait():
        try:
            meet(addresses, 0, timeout)
            came.append("all")
        except InputError as error:
            came.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    return thread, came


def test_a_worker_that_has_gone_again_is_waited_for():
    addresses = free_addresses(3)
    chief, came = meeting(addresses, 20)
    call(addresses[0], 1, addresses).close()
    with call(addresses[0], 2, addresses) as second:
        chief.join(0.5)
        assert not came
        with call(addresses[0], 1, addresses) as first:
            chief.join(20)
            assert came == ["all"]
            assert first.recv(50) == second.recv(50) == GO


def test_a_worker_that_has_gone_is_named():
    addresses = free_addresses(4)  # the last never comes, else the chief might go before it sees that one has gone
    chief, came = meeting(addresses, 1)
    with call(addresses[0], 2, addresses):
        call(addresses[0], 1, addresses).close()
        chief.join(20)
    assert f"not come within 1 seconds: 1 ({addresses[1]}), 3 ({addresses[3]});" in came[0]


def test_strangers_neither_hold_the_chief_up_nor_stay():
    addresses = free_addresses(2)
    begun, (chief, came) = time.monotonic(), meeting(addresses, 1)
    with call(addresses[0], 7, addresses) as stranger:
        assert stranger.recv(1) == b""  # hung up on
    with socket.create_connection(("127.0.0.1", int(addresses[0].split(":")[1]))):  # says nothing
        chief.join(20)
    assert "have not come within 1 seconds" in came[0]
    assert time.monotonic() - begun < 2.5
