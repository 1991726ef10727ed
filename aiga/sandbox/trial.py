"""The self-test: a small hostile program, which a rung has to hold before anything else may run on it.

It does no harm where it is not held.
"""

import json
import os
import secrets
import socket
import subprocess
import tempfile
from pathlib import Path

from aiga.sandbox.launch import Launch, Rung, end, private_folder
from aiga.sandbox.protocol import Limits

PATIENCE = 30.0
PROCESSES = 8
HOSTILE = """
import ctypes, errno, json, os, signal, socket, sys
port, secret, parent, variable = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
libc = ctypes.CDLL(None, use_errno=True)
held = {}

def refused(name, attempt):
    try:
        attempt()
        held[name] = False
    except OSError:
        held[name] = True

def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    held[name] = result < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS)

with open("own", "w") as file:
    file.write("works")
refused("network", lambda: socket.create_connection(("127.0.0.1", port), 1))
refused("files read", lambda: open(secret).read())
refused("files written", lambda: open(secret, "a"))
refused("signals", lambda: os.kill(parent, 0))
held["environment"] = variable not in os.environ
call("unshare", 0x10000000)
call("ptrace", 16, 0, 0, 0)
call("mount", b"none", b"/nowhere", b"tmpfs", 0, None)
children = []
try:
    while len(children) < 40:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
    held["number of processes"] = False
except OSError:
    held["number of processes"] = True
for child in children:
    os.kill(child, signal.SIGKILL)
print(json.dumps(held))
"""


def escapes(rung: Rung) -> list[str]:
    """What the rung did not hold, or why its program did not run; an empty list: it holds."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        tempfile.TemporaryDirectory(prefix="aiga-trial-") as outside,
        private_folder() as folder,
    ):
        Path(outside).chmod(0o755)
        secret = Path(outside, "secret")
        secret.write_text(secrets.token_hex())
        secret.chmod(0o666)
        words = [str(server.getsockname()[1]), str(secret), str(os.getpid()), _variable()]
        limits = Limits(processes=PROCESSES)
        with rung.wrap(["python", "-I", "-c", HOSTILE, *words], folder, limits) as launch:
            process = _start(launch)
        return _outcome(process, launch)


def _variable() -> str:
    """Some variable of ours that the program must not see."""
    return next((name for name in os.environ if name not in ("PATH", "HOME", "TMPDIR", "LANG", "PWD")), "USER")


def _start(launch: Launch) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        launch.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=launch.env,
        cwd=launch.cwd,
        pass_fds=launch.pass_fds,
        start_new_session=True,
    )


def _outcome(process: "subprocess.Popen[bytes]", launch: Launch) -> list[str]:
    with process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return [f"it did not end within {PATIENCE:.0f} seconds"]
        finally:
            end(process, launch)
    try:
        return [name for name, held in json.loads(out).items() if not held]
    except ValueError:
        words = " ".join(err.decode(errors="replace").split())
        return [f"its program did not run: {words[-300:] or process.returncode}"]
