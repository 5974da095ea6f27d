"""`client.py SOCKET ARGUMENTS`: has server.py run `python ARGUMENTS` here, with these streams; ends as it ends."""

import json
import os
import select
import socket
import sys

address, *arguments = sys.argv[1:]
folder = os.getcwd()  # noqa: PTH109 (pathlib takes as long to import as all else here)
job = json.dumps({"arguments": arguments, "folder": folder, "environment": dict(os.environ)}).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect(address)
    socket.send_fds(server, [len(job).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(job)
    parent = os.getppid()
    while not select.select([server], [], [], 1)[0]:
        if os.getppid() != parent:  # whoever waits for us is gone
            os._exit(1)
    code = int(server.recv(16) or 1)
if code < 0:
    os.kill(os.getpid(), -code)
os._exit(code)
