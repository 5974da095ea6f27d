"""What a client makes of a server that is slow, absent or refuses, and of wrong use."""

import socket
import subprocess
import sys
import threading
import time
from concurrent import futures

import pytest

from lm_keras import InputError
from lm_keras.serving import Client, ServingError


# === Troubles ===
def test_an_unavailable_server_is_asked_again(tasks, url, switch, hasty):
    tasks.metadata()
    switch(unavailable=2)
    assert tasks.generate("a", max_new_tokens=1) and switch(unavailable=2) >= 3
    with Client(url, "tasks", retries=1) as client, pytest.raises(ServingError, match="unavailable") as raised:
        client.status()
    assert raised.value.code == "UNAVAILABLE" and switch() == 2


def test_what_the_server_refuses_is_asked_once(url, switch):
    for options, code in (({"version": 7}, "NOT_FOUND"), ({"label": "no"}, "INVALID_ARGUMENT")):
        with pytest.raises(ServingError) as raised:
            Client(url, "two", **options).metadata()
        assert raised.value.code == code and "\n" not in str(raised.value) and url in str(raised.value)
    with pytest.raises(ServingError, match="none"):
        Client(url, "none").status()
    assert switch() == 3


def test_a_slow_server_is_given_up(url, switch):
    switch(delay=1.0)
    began = time.monotonic()
    with pytest.raises(ServingError, match=r"did not answer in 0.2 s") as raised:
        Client(url, "two", timeout=0.2).status()
    assert raised.value.code == "DEADLINE_EXCEEDED" and time.monotonic() - began < 0.9
    assert switch() == 1


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_no_server_is_one_line(scheme, double, hasty):
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ServingError, match="cannot be reached: connection refused") as raised:
            Client(f"{scheme}://127.0.0.1:{taken.getsockname()[1]}", "two").status()
    assert raised.value.code == "UNAVAILABLE"


def test_the_wrong_side_of_the_server_is_one_line(double, hasty):
    for url in (f"http://{double.grpc}", f"grpc://{double.rest}"):
        with pytest.raises(ServingError) as raised:
            Client(url, "two", timeout=2, retries=1).status()
        assert "\n" not in str(raised.value)
    with pytest.raises(ServingError, match="not an answer of TF Serving's|Malformed"):
        Client(f"http://{double.rest}/elsewhere", "two").status()


def test_a_server_that_starts_late_is_found(double):
    import double_grpc
    import grpc
    from double import Faults
    from tensorflow_serving.apis import model_service_pb2_grpc

    class Models:
        def available(self, name, version):
            return [3]

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    server = grpc.server(futures.ThreadPoolExecutor(1))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(double_grpc.ModelStatus(Models(), Faults()), server)
    timer = threading.Timer(0.5, lambda: (server.add_insecure_port(address), server.start()))
    timer.start()
    assert [one.version for one in Client(f"grpc://{address}", "any", retries=6).status()] == [3]
    timer.join(), server.stop(None)


def test_signatures_are_asked_for_again_when_a_request_does_not_fit(url, monkeypatch):
    with Client(url, "two") as client, Client(url, "two", version=1) as older:
        told = iter([older.metadata(), client.metadata(), older.metadata(), client.metadata()])
        monkeypatch.setattr(client, "metadata", lambda: next(told))
        assert client.predict("serving_default", text="a") == {"version": [2]}
        assert client.predict("new", text="a") == {"version": [2]}  # of a version loaded since
        with pytest.raises(InputError, match="has no signature 'none'; it has"):
            client.predict("none")


# === Wrong use ===
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda c: c.score("a"), "tasks has no signature 'score'; it has answer, beam"),
        (lambda c: c.predict("tag", prompt="a"), r"tag of tasks takes text \(string\); got prompt"),
        (lambda c: c.predict("tag"), r"got nothing"),
        (
            lambda c: c.generate(["a", "b"], max_new_tokens=[1, 2, 3]),
            r"different numbers of rows \(source 2, max_new_tokens 3\)",
        ),
        (lambda c: c.generate(["a", 5]), "source is 5; the model takes string there"),
        (lambda c: c.generate(None), "source is None"),
        (lambda c: c.generate("a", max_new_tokens=2**31), "max_new_tokens is 2147483648; the model takes int32"),
        (lambda c: c.generate("a", max_new_tokens=1.0), "max_new_tokens is 1.0; the model takes int32"),
        (lambda c: c.generate("a", max_new_tokens=True), "max_new_tokens is True"),
        (lambda c: c.beam("a", length_penalty=1e39), "length_penalty is 1e"),
        (lambda c: c.beam("a", length_penalty="x"), "length_penalty is 'x'"),
        (lambda c: c.beam("a", length_penalty=10**400), "length_penalty is 1000"),
        (lambda c: c.sample(["a"] * 2, seed=2**31 - 1), "seed is 2147483648"),
        (lambda c: c.tag([["a"]]), r"text is \['a'\]; the model takes string there"),
        (lambda c: c.relation("a", (0, 1), (2, 3, 4)), r"second has 2; give \(start, end\) in characters"),
        (lambda c: c.relation("a", 3, (2, 3)), "first has 3; give"),
        (lambda c: c.relation("a", (0, 1), (2, 2.5)), "second_end is 2.5; the model takes int32"),
        (lambda c: c.relation(["a", "b"], [(0, 1)] * 3, (2, 3)), "different numbers of rows"),
        (lambda c: c.predict("same", x=[1.0]), "x is 1.0; the model takes float32 lists there"),
    ],
)
def test_wrong_input_is_refused_before_it_is_sent(tasks, call, message, switch):
    tasks.metadata(), switch()
    with pytest.raises(InputError, match=message):
        call(tasks)
    assert switch() <= 2  # the signatures


def test_a_signature_without_a_row_for_each_row(tasks):
    with pytest.raises(ServingError, match="total of tasks gave no value of y for each row"):
        tasks.predict("total", x=[1.0, 2.0])
    with pytest.raises((ServingError, InputError)):
        tasks.predict("same", x=[[1.0, 2.0], [1.0]])


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (("localhost:8501", "m"), {}, "not the address of a server alone; give e.g. http://localhost:8501"),
        (("http://localhost:port", "m"), {}, "not the address"),
        (("http://", "m"), {}, "not the address"),
        ((None, "m"), {}, "None is not the address"),
        (("http://localhost:8501/v1/models/m", "m"), {}, "the model's name beside it"),
        (("grpc://localhost:8500/m", "m"), {}, "the model's name beside it"),
        (("http://localhost:8501", ""), {}, "model is ''"),
        (("http://localhost:8501", "m"), {"version": 1, "label": "stable"}, "version and label are both given"),
        (("http://localhost:8501", "m"), {"version": "1"}, "version is '1'; it must be a whole number"),
        (("http://localhost:8501", "m"), {"label": ""}, "label is ''"),
        (("http://localhost:8501", "m"), {"timeout": 0}, "timeout is 0; it must be a number above 0"),
        (("http://localhost:8501", "m"), {"retries": -1}, "retries is -1"),
        (("http://localhost:8501", "m"), {"batch_size": 0}, "batch_size is 0"),
        (("http://localhost:8501", "m"), {"max_response_bytes": 2**31}, "max_response_bytes is 2147483648"),
        (("http://localhost:8501", "m"), {"version": 2**63}, "version is 9223372036854775808"),
        (("http://localhost:8501", "\ud800"), {}, "model is"),
        (("http://localhost:8501/a b", "m"), {}, "not the address"),
    ],
)
def test_wrong_settings(arguments, options, message):
    with pytest.raises(InputError, match=message):
        Client(*arguments, **options)


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(InputError, match="needs tensorflow-serving-api: pip install"):
        Client("grpc://localhost:8500", "m")


def test_rest_needs_no_tensorflow(double):
    code = f"""if True:
        import sys
        sys.modules["tensorflow"] = sys.modules["keras"] = None
        from lm_keras.serving import Client
        print(Client({double.urls[0]!r}, "tasks").generate(["a"], max_new_tokens=2)[0].text)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "a>2\n", done.stderr
