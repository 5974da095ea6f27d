"""`python server.py SOCKET CODE` runs CODE, which imports; then each command it is sent, in a fork of itself.

What was only imported, and not used, is in the fork as it is in a new process. The commands are what Python takes:
`[-I] FILE ARGUMENTS`, `-c CODE ARGUMENTS` and `-m MODULE ARGUMENTS`; client.py sends them. It ends with its standard
input.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from pathlib import Path


def main(address, code):
    exec(code, {})
    gc.collect()
    gc.freeze()  # the forks share these pages as long as nobody writes to them
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            if 0 in select.select([0, listener], [], [])[0]:
                break
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                attend(connection)
            connection.close()
            while reaped():
                pass
    while reaped(0):  # their time counts as this process's
        pass


def reaped(options=os.WNOHANG):
    try:
        return os.waitpid(-1, options)[0]
    except ChildProcessError:
        return 0


def attend(connection):
    """Runs one command, kills it if the client goes away, tells the client how it ended, and exits."""
    size, fds, _, _ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as file:
        job = json.loads(file.read(int.from_bytes(size, "big")))
    child = os.fork()
    if child == 0:
        connection.close()
        os._exit(run(fds, **job))
    for fd in fds:
        os.close(fd)
    ended = os.pidfd_open(child)
    if ended not in select.select([connection, ended], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(str(status).encode())
    os._exit(0)


def run(fds, arguments, folder, environment):
    """The exit code of `python ARGUMENTS` with those standard streams."""
    for stream, fd in enumerate(fds):
        os.dup2(fd, stream)
        os.close(fd)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    isolated = arguments[0] == "-I"
    kind, *rest = arguments[isolated:]
    sys.argv = rest if kind == "-m" else [kind, *rest[kind == "-c" :]]
    sys.path[:1] = [] if isolated else [{"-c": "", "-m": folder}.get(kind, str(Path(kind).parent))]
    code = 0
    try:
        if kind == "-c":
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        elif kind == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    main(*sys.argv[1:])
