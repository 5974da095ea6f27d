"""Servers that mean harm, or are broken: one ServingError, in time, in little memory, and nothing given away.

They listen on this machine alone. `answering` is a REST server whose every answer a test writes byte by byte;
`grpc_answering` a gRPC server whose answers are any bytes.
"""

import contextlib
import gc
import gzip
import itertools
import json
import logging
import math
import socket
import socketserver
import threading
import time
import tracemalloc
from concurrent import futures

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_keras import InputError
from lm_keras.cli import parser
from lm_keras.serving import Client, ServingError
from lm_keras.serving.client import results

SECRET = "s3cret-prompt"
FLOAT, TEXT = "DT_FLOAT", "DT_STRING"


# === A server of any bytes ===
@contextlib.contextmanager
def answering(script):
    """A server that sends what `script(path, number of the request)`, bytes or pieces of bytes, gives.

    Yields its address; its `requests` are (request line and headers, body).
    """

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                while self.rfile.peek(1):
                    head = b"".join(iter(self.rfile.readline, b"\r\n"))
                    fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:])
                    server.requests.append((head, self.rfile.read(int(fields.get(b"content-length", 0)))))
                    made = script(head.split()[1].decode(), len(server.requests))
                    if isinstance(made, bytes):
                        self.wfile.write(made)
                        continue
                    for piece in made:
                        self.wfile.write(piece)
                    return  # the connection ends with the pieces

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close, allow_reuse_address = True, False, True

        def process_request(self, line, address):
            lines.append(line)
            super().process_request(line, address)

        def handle_error(self, *_):
            pass

    server, lines = Server(("127.0.0.1", 0), Handler), []
    server.requests, server.url = [], f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown(), server.server_close()
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


def http(body, status="200 OK", *headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def tensor(dtype, *sizes):
    return {"dtype": dtype, "tensor_shape": {"dim": [{"size": str(size)} for size in sizes], "unknown_rank": False}}


def signatures(**outputs):
    one = {"inputs": {"text": tensor(TEXT, -1)}, "outputs": outputs}
    return {
        "metadata": {"signature_def": {"signature_def": dict.fromkeys(("score", "tag", "classify", "embed"), one)}}
    }


SCORE = {"log_prob": tensor(FLOAT, -1), "num_tokens": tensor("DT_INT32", -1), "perplexity": tensor(FLOAT, -1)}
SCORED = {"outputs": {"log_prob": [-1.0], "num_tokens": [2], "perplexity": [1.5]}}


def serving(answer, outputs=SCORE):
    """A script: the metadata, and `answer` to requests."""
    return lambda path, number: http(signatures(**outputs)) if path.endswith("metadata") else answer


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(results, "FIRST_WAIT", 0.001)


def refused(call, *words):
    """The ServingError of a call, after what every one must be: short, one line, without control characters."""
    with pytest.raises(ServingError) as raised:
        call()
    told = str(raised.value)
    assert len(told) < 600 and told.isprintable(), told
    for word in words:
        assert word in told
    return raised.value


# === Time ===
def forever(*start):
    """The pieces of `start`, then a byte every twentieth of a second."""
    yield from start
    for _ in itertools.count():
        time.sleep(0.05)
        yield b"1"


@pytest.mark.parametrize(
    "start",
    [
        (b"HTTP/1.1 200 OK\r\nX: ",),
        (b"HTTP/1.1 ",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",),
    ],
)
def test_a_byte_now_and_then_does_not_hold_the_client(start):
    with answering(lambda *_: forever(*start)) as server, Client(server.url, "m", timeout=0.3) as client:
        began = time.monotonic()
        error = refused(client.status, "did not answer in 0.3 s")
        assert time.monotonic() - began < 1.5 and error.code == "DEADLINE_EXCEEDED" and len(server.requests) == 1


def test_a_server_that_reads_nothing_does_not_hold_the_client():
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0)), mute.listen()
        with Client(f"http://127.0.0.1:{mute.getsockname()[1]}", "m", timeout=0.3) as client:
            client._known = {"score": {"inputs": {"text": None}, "outputs": {}}}
            began = time.monotonic()
            body = ({"text": ["a" * 10**7]}, {"outputs": {}})
            refused(lambda: client._request("score", *body), "did not answer in 0.3 s")
            assert time.monotonic() - began < 1.5


def test_a_handshake_ends_at_the_deadline():
    with answering(lambda *_: forever()) as server:
        url = server.url.replace("http:", "https:")
        began = time.monotonic()
        refused(Client(url, "m", timeout=0.3).status, "did not answer in 0.3 s")
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("retries", [3, 10**6])
def test_all_tries_together_end_at_the_deadline(retries, monkeypatch):
    monkeypatch.setattr(results, "FIRST_WAIT", 0.1)
    with answering(lambda *_: http({"error": "busy"}, "503 Busy")) as server:
        began = time.monotonic()
        refused(Client(server.url, "m", timeout=0.3, retries=retries).status)
        assert time.monotonic() - began < 1.5 and 2 <= len(server.requests) <= 5


# === Size ===
def endless(head, piece):
    yield head
    yield from itertools.repeat(piece)


BLOCK = b"[" * 65536
LONG = {
    "declared": lambda: http(b"x" * 100)[:-100].replace(b": 100", b": 1000000000000"),
    "without end": lambda: endless(b"HTTP/1.1 200 OK\r\n\r\n", BLOCK),
    "chunked": lambda: endless(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + BLOCK + b"\r\n"
    ),
    "one chunk": lambda: endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", BLOCK),
}


@contextlib.contextmanager
def peak():
    """The most bytes that Python held within it; nothing is traced after it, whatever fails."""
    gc.collect()  # nothing of an earlier test is let go of within it, by functions that may take memory for that
    gc.disable()
    tracemalloc.start()
    most = []
    try:
        yield most
        most.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
        gc.enable()


@pytest.mark.parametrize("kind", LONG)
def test_an_answer_without_end_is_left(kind):
    with answering(lambda *_: LONG[kind]()) as server:
        client = Client(server.url, "m", timeout=5, max_response_bytes=10**6)
        least = math.inf  # of three tries: what other threads of the tests take meanwhile is traced too
        for tries in range(1, 4):
            with peak() as most:
                error = refused(client.status, "larger than max_response_bytes, 1,000,000")
            assert error.code == "RESOURCE_EXHAUSTED" and len(server.requests) == tries
            least = min(least, most[0])
        assert least < 5e6


def test_what_is_compressed_is_not_expanded():
    bomb = gzip.compress(b"[" * 10**7)
    with answering(lambda *_: http(bomb, "200 OK", "Content-Encoding: gzip")) as server:
        refused(Client(server.url, "m").status, "compressed, by gzip, which was not asked for")
        assert b"Accept-Encoding: identity" in server.requests[0][0]


def test_headers_without_end_are_left():
    with answering(lambda *_: endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")) as server:
        refused(Client(server.url, "m", timeout=5).status, "not an answer of TF Serving's")
    with answering(lambda *_: endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 4096)) as server:
        refused(Client(server.url, "m", timeout=5).status, "not an answer of TF Serving's")


# === Other addresses, and secrets ===
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_no_redirect_is_followed(status):
    with answering(lambda *_: http(SCORED)) as elsewhere:
        to = f"Location: {elsewhere.url.replace('//', '//user:pass@')}/"
        with answering(serving(http(b"", status, to))) as server, Client(server.url, "m") as client:
            refused(lambda: client.score(SECRET), "a redirect to http://***@127.0.0.1", "which is not followed")
            assert SECRET.encode() in server.requests[-1][1] and len(server.requests) == 2
        assert elsewhere.requests == []


def test_no_proxy_and_no_password_of_the_environment(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.2 login me password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with answering(lambda *_: http(b"{}")) as proxy, answering(serving(http(SCORED))) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        # 127.0.0.2 is no name for this machine that a library knows.
        listening = socket.create_server(("127.0.0.2", 0))
        threading.Thread(target=relay, args=(listening, server), daemon=True).start()
        with listening, Client(f"http://127.0.0.2:{listening.getsockname()[1]}", "m") as client:
            assert client.score("a")[0].num_tokens == 2
        assert proxy.requests == [] and b"authorization" not in server.requests[0][0].lower()


def relay(listening, server):
    """Takes the connections to one address to a server on another."""
    with contextlib.suppress(OSError):
        while True:
            server.process_request(*listening.accept())


def test_a_password_is_sent_and_never_shown(caplog, capsys):
    caplog.set_level(logging.DEBUG)
    with answering(lambda *_: http({"error": "no"}, "401 Unauthorized")) as server:
        url = server.url.replace("//", "//me:hunter2%21@")
        client = Client(url, "m")
        told = [str(refused(client.status, "//***@127.0.0.1", "no")), repr(client), str(vars(client)["_name"])]
        assert b"Authorization: Basic bWU6aHVudGVyMiE=\r\n" in server.requests[0][0]
        assert parser.main(["query", url, "m"]) == 2
    told.append(str(refused(client.status, "cannot be reached")))
    for wrong in (
        "http://me:hunter2@host:port",
        "me:hunter2@host:8501",
        "http://me:hunter2/@host",
        "grpc://me:hunter2@host:8500",
        "http://host/?token=hunter2",
        "http://me:hunt\ner2@host",
    ):
        with pytest.raises(InputError) as refusal:
            Client(wrong, "m")
        told.append(str(refusal.value))
    told += [caplog.text, *capsys.readouterr()]
    assert not [text for text in told if "hunt" in text]


# === What is said ===
@pytest.mark.parametrize(
    "body",
    [
        {"error": "x" * 10**7},
        {"error": "\x1b[2J\x1b]0;title\x07 \u202egnp.exe \x9b31m\r\n gone\x00"},
        {"error": ["x" * 10**6]},
        b"\x1b[31m<html>" + b"x" * 10**6,
        "\x1b" * 10**6,
    ],
)
def test_long_and_odd_errors_are_short_and_plain(body, capsys):
    with answering(lambda *_: http(body, "400 Bad \x1b[31m")) as server:
        refused(Client(server.url, "m").status)
        assert parser.main(["query", server.url, "m"]) == 2
    told = capsys.readouterr().err
    assert len(told) < 700 and told.count("\n") == 1 and told.strip().isprintable()


def test_names_and_texts_of_a_server_do_nothing_to_a_terminal(capsys):
    odd = "\x1b[2J\u202e\x9b"
    states = {"model_version_status": [{"version": "1", "state": odd, "status": {"error_message": odd}}]}
    known = {"inputs": {"text": tensor(TEXT, -1)}, "outputs": {odd: tensor(TEXT, -1)}}
    told = {"metadata": {"signature_def": {"signature_def": {"serving_default": known, odd: known}}}}

    def script(path, number):
        if path.endswith("metadata"):
            return http(told)
        return http({"outputs": [odd]} if path.endswith("predict") else states)

    with answering(script) as server:
        for more in ([], ["--input", "text=a"], ["--input", "text=a", "--json"], ["--json"]):
            assert parser.main(["query", server.url, "m", *more]) == 0
        assert parser.main(["query", server.url, "m", "--signature", "none", "--input", "a=b"]) == 2
    shown = "".join(capsys.readouterr())
    assert r"\u001b[2J\u202e\u009b" in shown and shown.replace("\n", "").isprintable()


# === What is no answer ===
WRONG = [
    b"", b"null", b"[]", b"3", b"\xff", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, {}, {"outputs": 3},
    {"outputs": None}, {"outputs": []}, {"outputs": {}}, {"outputs": {"log_prob": [1.0]}},
]  # fmt: skip


@pytest.mark.parametrize("body", WRONG, ids=lambda body: repr(body)[:20])
def test_what_is_no_answer_is_one_error(body):
    with answering(serving(http(body))) as server, Client(server.url, "m", retries=0) as client:
        refused(lambda: client.score("a"))
    with answering(lambda *_: http(body)) as server, Client(server.url, "m", retries=0) as client:
        for call in (client.status, client.metadata, lambda: client.score("a")):
            refused(call)


def scored(**changed):
    return {"outputs": SCORED["outputs"] | changed}


@pytest.mark.parametrize(
    "body",
    [
        scored(log_prob=1.0), scored(log_prob=[]), scored(log_prob=[1.0, 2.0]), scored(log_prob=["1"]),
        scored(log_prob=[[1.0]]), scored(log_prob=[None]), scored(log_prob=[True]), scored(log_prob=[{}]),
        scored(log_prob=[10**400]), scored(log_prob=[1e300]), scored(num_tokens=[1.5]), scored(num_tokens=[2**31]),
        scored(num_tokens=["2"]), scored(num_tokens=[float("nan")]), scored(num_tokens=[True]), scored(more=[1]),
        scored(log_prob={"0": 1.0}), scored(log_prob="1"), {"outputs": {**SCORED["outputs"], "\x1b": [1]}},
    ],
    ids=str,
)  # fmt: skip
def test_values_are_of_the_declared_types(body):
    with answering(serving(http(body))) as server, Client(server.url, "m") as client:
        error = refused(lambda: client.score("a"))
        assert error.code == "UNKNOWN" and len(server.requests) == 2


def test_numbers_that_are_not_finite_come_through():
    with answering(serving(http(scored(log_prob=[float("-inf")], perplexity=[float("nan")])))) as server:
        (made,) = Client(server.url, "m").score("a")
        assert made.log_prob == -float("inf") and made.perplexity != made.perplexity


@pytest.mark.parametrize(
    "outputs, method, answer",
    [
        ({"spans": tensor(TEXT, -1)}, "tag", ["["]),
        ({"spans": tensor(TEXT, -1)}, "tag", ["3"]),
        ({"spans": tensor(TEXT, -1)}, "tag", ["[3]"]),
        ({"spans": tensor(TEXT, -1)}, "tag", ["[{}]"]),
        ({"spans": tensor(TEXT, -1)}, "tag", ["[" * 100_000]),
        ({"spans": tensor(TEXT, -1)}, "tag", ['[{"start": "0", "end": 1, "label": "", "score": 0, "text": ""}]']),
        ({"spans": tensor(FLOAT, -1)}, "tag", [1.0]),
        ({"vector": tensor(FLOAT, -1, -1)}, "embed", [[1.0], [1.0, 2.0]]),
        ({"vector": tensor(FLOAT, -1, 3)}, "embed", [[1.0], [1.0]]),
        ({"vector": tensor(FLOAT, -1, "x")}, "embed", [[1.0], [1.0]]),
        ({"vector": {"dtype": 3, "tensor_shape": {}}}, "embed", [[1.0], [1.0]]),
        ({"vector": {"dtype": FLOAT, "tensor_shape": {"unknown_rank": True}}}, "embed", [[1.0], [1.0]]),
        ({"vector": tensor("DT_VARIANT", -1, -1)}, "embed", [[1.0], [1.0]]),
    ],
)
def test_methods_get_what_they_are_made_of(outputs, method, answer):
    with answering(serving(http({"outputs": answer}), outputs)) as server, Client(server.url, "m") as client:
        refused(lambda: getattr(client, method)(["a", "b"][: len(answer)]))


def test_classes_without_scores_are_no_answer():
    outputs = {"label": tensor(TEXT, -1), "score": tensor(FLOAT, -1)}
    outputs |= {"classes": tensor(TEXT, -1, -1), "scores": tensor(FLOAT, -1, -1)}
    answer = {"label": ["a"], "score": [0.5], "classes": [["a", "b"]], "scores": [[0.5]]}
    with answering(serving(http({"outputs": answer}), outputs)) as server:
        refused(lambda: Client(server.url, "m").classify("x"), "2 classes and 1 scores")


@pytest.mark.parametrize(
    "labels, names",
    [('["a", "\\u00e4"]', ["a", "ä"]), ("[]", []), ("x", None), ("3", None), ("[1]", None), ('{"a": 1}', None)],
)
def test_several_classes_are_a_list_of_names(labels, names):
    told, answer = KINDS["classify"]
    told, answer = told | {"labels": tensor(TEXT, -1)}, answer | {"labels": [labels]}
    with answering(serving(http({"outputs": answer}), told)) as server:
        client = Client(server.url, "m")
        if names is None:
            refused(lambda: client.classify("x"), "which is no list of names")
        else:
            expected = results.MultiLabelClassification("a", 0.5, {"a": 0.5, "b": 0.5}, names)
            assert client.classify("x") == [expected]


def test_a_pair_is_asked_for_with_both_texts():
    told, answer = KINDS["classify"]
    with answering(serving(http({"outputs": answer}), told)) as server, pytest.raises(InputError, match="takes text"):
        Client(server.url, "m").classify("x", "y")


ODD = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**400, -(10**400), float("nan"), float("inf")),
        *("", "x", "-1", "DT_HALF", "DT_BFLOAT16", "DT_RESOURCE", "9" * 400, "\x1b[2J", "\ud800"),
        *([], {}, [[]], [{}], {"": {}}, [1.0, 2.0], ["a"], [[1.0]]),
    ]
)


def changed(data, value):
    """The value with something else in one place of it."""
    if not isinstance(value, (dict, list)) or not value or data.draw(st.integers(0, 4)) == 0:
        return data.draw(ODD)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = data.draw(st.sampled_from(keys))
    if isinstance(value, dict) and data.draw(st.integers(0, 4)) == 0:
        return {name: each for name, each in value.items() if name != key}
    made = dict(value) if isinstance(value, dict) else list(value)
    made[key] = changed(data, value[key])
    return made


SPANS = '[{"start": 0, "end": 1, "label": "A", "score": 0.5, "text": "a"}]'
KINDS = {
    "score": (SCORE, SCORED["outputs"]),
    "tag": ({"spans": tensor(TEXT, -1)}, [SPANS]),
    "embed": ({"vector": tensor(FLOAT, -1, 2)}, [[1.0, 2.0]]),
    "classify": (
        {"label": tensor(TEXT, -1), "score": tensor(FLOAT, -1), "scores": tensor(FLOAT, -1, -1),
         "classes": tensor(TEXT, -1, -1)},
        {"label": ["a"], "score": [0.5], "scores": [[0.5, 0.5]], "classes": [["a", "b"]]},
    ),
}  # fmt: skip


@given(st.data())
def test_anything_in_any_place_is_an_answer_or_one_error(data):
    method = data.draw(st.sampled_from(sorted(KINDS)))
    outputs, answer = KINDS[method]
    told, given_back = signatures(**outputs), {"outputs": answer}
    if data.draw(st.booleans()):
        told = changed(data, told)
    else:
        given_back = changed(data, given_back)
    script = lambda path, _: http(told if path.endswith("metadata") else given_back)  # noqa: E731
    with answering(script) as server, Client(server.url, "m", timeout=5, retries=0) as client:
        try:
            assert len(getattr(client, method)("a")) == 1
        except InputError:
            pass  # a signature that is not there, or takes something else
        except ServingError as error:
            assert len(str(error)) < 600 and str(error).isprintable()


# === Tries ===
@pytest.mark.parametrize(
    "status, tries",
    [("502 Bad Gateway", 3), ("503 Busy", 3), ("504 Timeout", 3), ("429 Many", 3), ("413 Too Large", 1),
     ("400 Bad", 1), ("401 Who", 1), ("404 None", 1), ("500 Broken", 1), ("418 Teapot", 1)],
)  # fmt: skip
def test_only_what_may_get_through_is_sent_again(status, tries):
    with answering(lambda *_: http({"error": "no"}, status)) as server:
        refused(Client(server.url, "m", retries=2).status, "no")
        assert len(server.requests) == tries


def test_a_gateway_that_recovers_is_asked_again():
    answers = [http(b"<html>", "502 Bad Gateway"), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", http(SCORED)]

    def script(path, number):
        return http(signatures(**SCORE)) if path.endswith("metadata") else iter([answers[number - 2]])

    with answering(script) as server:
        assert Client(server.url, "m").score("a")[0].num_tokens == 2
        assert len(server.requests) == 4


def test_a_connection_that_the_server_has_closed_is_no_failure():
    with answering(lambda *_: http(signatures(**SCORE))) as server, Client(server.url, "m", retries=0) as client:
        client.metadata()
        client._transport._connection()._line._line.shutdown(socket.SHUT_RDWR)
        assert "score" in client.metadata() and len(server.requests) == 2


# === gRPC ===
@contextlib.contextmanager
def grpc_answering(answer, **options):
    """A gRPC server that answers every request to Predict by `answer(context)`, any bytes, the others as a double."""
    grpc = pytest.importorskip("grpc")
    apis = pytest.importorskip("tensorflow_serving.apis.get_model_metadata_pb2")
    asked = []

    def metadata(request, context):
        found, response = apis.SignatureDefMap(), apis.GetModelMetadataResponse()
        one = found.signature_def["score"]
        for side, name, dtype in (
            (one.inputs, "text", 7), (one.outputs, "log_prob", 1), (one.outputs, "num_tokens", 3),
            (one.outputs, "perplexity", 1),
        ):  # fmt: skip
            side[name].dtype = dtype
            side[name].tensor_shape.dim.add(size=-1)
        response.metadata["signature_def"].Pack(found)
        return response.SerializeToString()

    def predict(request, context):
        asked.append(request)
        return answer(context)

    handlers = {"Predict": predict, "GetModelMetadata": metadata}
    handlers = {name: grpc.unary_unary_rpc_method_handler(each) for name, each in handlers.items()}
    server = grpc.server(futures.ThreadPoolExecutor(2), **options)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", handlers)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}", asked
    finally:
        server.stop(None)


def predicted(**changed):
    """The bytes of an answer to `score`; `changed`: TensorProtos."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    response = predict_pb2.PredictResponse()
    right = {"log_prob": tf.constant([-1.0]), "num_tokens": tf.constant([2]), "perplexity": tf.constant([1.5])}
    for name, value in (right | changed).items():
        if value is not None:
            proto = value if not tf.is_tensor(value) else tf.make_tensor_proto(value)
            response.outputs[name].CopyFrom(proto)
    return response.SerializeToString()


def claiming(dtype, *sizes, **values):
    from tensorflow.core.framework import tensor_pb2

    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


def wrong_messages():
    import tensorflow as tf

    return {
        "no message": b"\xff" * 50,
        "nothing": b"",
        "a shape of a terabyte": predicted(log_prob=claiming(1, 2**40, float_val=[1.0])),
        "many sizes": predicted(log_prob=claiming(1, *[2**20] * 30, float_val=[1.0])),
        "a negative size": predicted(log_prob=claiming(1, -1, float_val=[1.0])),
        "no type": predicted(log_prob=claiming(0, 1, float_val=[1.0])),
        "an unknown type": predicted(log_prob=claiming(9999, 1, float_val=[1.0])),
        "a resource": predicted(log_prob=claiming(20, 1)),
        "less bytes than claimed": predicted(log_prob=claiming(1, 1, tensor_content=b"ab")),
        "text": predicted(log_prob=tf.constant(["a"])),
        "another type": predicted(num_tokens=tf.constant([1.5])),
        "more dimensions": predicted(log_prob=tf.constant([[1.0]])),
        "a scalar": predicted(log_prob=tf.constant(1.0)),
        "more rows": predicted(log_prob=tf.constant([1.0, 2.0])),
        "less outputs": predicted(log_prob=None),
        "more outputs": predicted(more=tf.constant([1.0])),
    }


def test_what_is_no_answer_by_grpc_is_one_error(caplog, capfd):
    messages = wrong_messages()
    current = []
    with grpc_answering(lambda _: messages[current[-1]]) as (url, asked), Client(url, "m", timeout=5) as client:
        client.metadata()
        with peak() as most:
            for name in messages:
                current.append(name)
                assert refused(lambda: client.score("a")).code == "UNKNOWN", name
        assert most[0] < 2e7
        assert len(asked) == len(messages)
    assert "Traceback" not in caplog.text + capfd.readouterr().err


def test_large_and_compressed_messages_are_left():
    grpc = pytest.importorskip("grpc")
    import tensorflow as tf

    large = predicted(log_prob=tf.zeros([10**6]))
    with grpc_answering(lambda _: large) as (url, asked):
        error = refused(
            lambda: Client(url, "m", max_response_bytes=10**6).score("a"), "max_response_bytes is 1,000,000"
        )
        assert error.code == "RESOURCE_EXHAUSTED" and len(asked) == 1
    bomb = b"\x00" * 3 * 10**7

    def answer(context):
        context.set_compression(grpc.Compression.Gzip)
        return bomb

    with grpc_answering(answer) as (url, asked):
        refused(lambda: Client(url, "m", max_response_bytes=10**6).score("a"))
        assert len(asked) == 1


def test_grpc_sends_again_what_may_get_through():
    grpc = pytest.importorskip("grpc")
    for code, told, tries in (
        ("RESOURCE_EXHAUSTED", "Received message larger than max (5 vs. 4)", 1),
        ("RESOURCE_EXHAUSTED", "too many requests in the queue", 3),
        ("UNAVAILABLE", "\x1b[2J" * 500, 3),
        ("INTERNAL", "broken", 1),
    ):
        with grpc_answering(lambda c, code=code, told=told: c.abort(getattr(grpc.StatusCode, code), told)) as (
            url,
            asked,
        ):
            error = refused(lambda url=url: Client(url, "m", retries=2).score("a"))
            assert error.code == code and len(asked) == tries


def test_a_closed_client_says_so():
    pytest.importorskip("grpc")
    client = Client("grpc://127.0.0.1:9", "m")
    client.close()
    with pytest.raises(InputError, match="closed"):
        client.status()
