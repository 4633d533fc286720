"""`asc-mrkd` that starts warm: one process imports torch and the rest once, and forks for every command.

A recipe calls a dozen commands, and each would spend three seconds on imports, and two more on a server of its pools:
all commands share one. `command_folder` goes first on the PATH.
"""

import array
import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path

IMPORTED = (
    "asc_mrkd.cli.app",
    "asc_mrkd.engine.sweeps",
    "asc_mrkd.report",
    "asc_mrkd.submission",
    "asc_mrkd.store",
    "torch._dynamo",
)
"""Modules that commands of recipes spend most of their start on; `torch._dynamo` is imported by the first step."""

CLIENT = """\
#!{python} -IS
import array, json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
files = array.array("i", [0, 1, 2])
server.sendmsg([len(request).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
server.sendall(request)
answers = server.makefile()
process = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(process, number))
sys.exit(int(answers.readline() or 1))
"""
"""The command: it hands over its words, folder, environment and open files, and passes signals on."""


@functools.cache
def command_folder() -> Path:
    """Start the process that forks, which ends with this one, and return the folder of the command."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    address = str(folder / "socket")
    command = folder / "asc-mrkd"
    command.write_text(CLIENT.format(python=sys.executable, address=address))
    command.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, address], stdout=subprocess.PIPE)
    atexit.register(server.kill)
    assert server.stdout is not None
    server.stdout.readline()
    return folder


def warm_command_line(*arguments: object) -> list[str]:
    """Return the words that run `asc-mrkd` with the arguments in a separate process, quickly."""
    return [str(command_folder() / "asc-mrkd"), *map(str, arguments)]


def serve(address: str) -> None:
    """Import what the commands need, then fork for each of them until the parent ends."""
    for name in IMPORTED:
        import_module(name)
    start_server_of_pools()

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    listener.settimeout(1)
    while os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                answer(connection)
                os._exit(0)
            connection.close()


def start_server_of_pools() -> None:
    """Start the server process that the pools of all commands have their workers from."""
    from asc_mrkd import workers
    from asc_mrkd.engine.sweeps import SLOW_IMPORTS

    workers.PRELOADED = (*workers.PRELOADED, *SLOW_IMPORTS)
    workers.start_early()


def use_server_of_pools() -> None:
    """Let the pools of this process use that server: one that this process has not started is not started again."""
    from multiprocessing import forkserver

    from asc_mrkd import workers

    workers._server_owner = os.getpid()
    forkserver._forkserver.ensure_running = forkserver.ensure_running = lambda: None


def answer(connection: socket.socket) -> None:
    """Run one command in a further process and report its number, then its exit code; it is killed with its client."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    files = array.array("i")
    size, messages, _, _ = connection.recvmsg(8, socket.CMSG_LEN(3 * files.itemsize))
    files.frombytes(messages[0][2])
    request = connection.makefile("rb").read(int.from_bytes(size, "big"))
    process = os.fork()
    if process == 0:
        connection.close()
        run(*json.loads(request), files)
    for descriptor in (0, 1, 2, *files):
        os.close(descriptor)
    connection.sendall(f"{process}\n".encode())
    threading.Thread(target=kill_with_client, args=(process, connection), daemon=True).start()
    _, status = os.waitpid(process, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def kill_with_client(process: int, connection: socket.socket) -> None:
    """Wait for the end of the client, then kill the process."""
    connection.recv(1)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def run(arguments: list[str], folder: str, environment: dict[str, str], files: array.array) -> None:
    """Run the command in this process."""
    from asc_mrkd.cli import main

    use_server_of_pools()
    for descriptor, file in enumerate(files):
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, errors="backslashreplace")
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["asc-mrkd", *arguments]
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code)  # Python would spend a second on taking down the libraries


if __name__ == "__main__":
    serve(sys.argv[1])
