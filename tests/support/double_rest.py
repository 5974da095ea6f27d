"""The double's REST side: paths, status codes and HTTP, by TF Serving's RESTful API page."""

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from double_errors import wrong
from double_grpc import signature_map, status_of
from double_json import read, write
from google.protobuf.json_format import MessageToDict

WHERE = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
PREDICT = re.compile(rf"/v1/models/(?P<name>[^/:]+){WHERE}:predict", re.IGNORECASE)
STATUS = re.compile(rf"/v1/models/(?P<name>[^/:]+){WHERE}(?P<metadata>/metadata)?", re.IGNORECASE)
HTTP = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "NOT_FOUND": 404, "UNAVAILABLE": 503,
    "RESOURCE_EXHAUSTED": 429, "DEADLINE_EXCEEDED": 504, "UNIMPLEMENTED": 501,
}  # fmt: skip


def start(models, faults):
    """Returns the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", -1, True

        def do_GET(self):  # noqa: N802
            self._answer(None)

        def do_POST(self):  # noqa: N802
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body):
            if self.path == "/double":  # not the server's: the tests' switch
                told = {"requests": faults.requests, "modules": sorted({name.split(".")[0] for name in sys.modules})}
                faults.set(**json.loads(body))
                return self._send(200, json.dumps(told).encode())
            try:
                faults.meet()
                self._send(200, respond(models, self.path, body))
            except Exception as error:
                code, message = getattr(error, "code", "INTERNAL"), getattr(error, "message", repr(error))
                self._send(HTTP.get(code, 500), json.dumps({"error": message}).encode())

        def _send(self, status, body):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def respond(models, path, body):
    match = (STATUS if body is None else PREDICT).fullmatch(path)
    if not match:
        raise wrong(f"Malformed request: {'GET' if body is None else 'POST'} {path}")
    name, label = unquote(match["name"]), match["label"] and unquote(match["label"])
    version = match["version"] and int(match["version"])
    if body is None:
        return json.dumps(_about(models, name, version, label, match["metadata"])).encode()
    _, found = models.find(name, version, label)
    signature, inputs, by_row = read(body, found.signatures)
    return write(found.predict(signature, inputs), by_row)


def _about(models, name, version, label, metadata):
    options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    if not metadata:
        return MessageToDict(status_of(models.available(name, version)), **options)
    number, found = models.find(name, version, label)
    spec = {"name": name, "signature_name": "", "version": str(number)}
    return {"model_spec": spec, "metadata": {"signature_def": MessageToDict(signature_map(found), **options)}}
