"""Runs inside the confinement: forks a process for each program, from memory that no program has touched.

Started as `python -P -s -S zygote.py SETTINGS` with frames on its two standard pipes.  A program has a process, limits
and folders of its own; when it has ended, so has everything that it started, and all that it wrote is removed.  It
holds none of our pipes, and cannot look into this process, which no debugger may attach to: it can forge no more than
its own value.  It can kill this process; then the pool sees the end of the stream and starts another.

Imports nothing of aiga, only what lies beside it: `child.py`, `broker.py`, `wipe.py`.
"""

import contextlib
import ctypes
import fcntl
import gc
import io
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import broker  # pyright: ignore[reportMissingImports]: beside this file, wherever that is
import child  # pyright: ignore[reportMissingImports]
import wipe  # pyright: ignore[reportMissingImports]

del sys.path[0]

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
SPARE = 60
"""Our own pipes stand above this number."""
LIMITS = 16
"""Kinds of them that Linux knows."""


def main() -> None:
    """Run the jobs that come, until the stream ends or a program has changed this process; one job, if not `alone`."""
    settings = json.loads(sys.argv[1])
    host = broker.Pipes(answers=_above(0), questions=_above(1))
    prepare(settings)
    pristine = condition()
    standing = {folder: wipe.stands(folder) for folder in settings["writable"]}
    while condition() == pristine:
        broker.send(host.questions, broker.READY, b"")
        program = Program(_next_job(host), settings, host)
        program.watch()
        program.end()
        broker.send(host.questions, broker.RESULT, json.dumps(program.result()).encode())
        if not settings["alone"]:
            return  # it may have left processes, which the pool ends now
        for folder, kept in standing.items():
            wipe.wipe(folder, kept)


def _above(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, SPARE)


def _next_job(host: Any) -> dict[str, Any]:
    while received := broker.receive(host.answers):
        if received[0] == broker.JOB:  # and no answer to a program that is gone
            return json.loads(received[1])
    raise SystemExit


def prepare(settings: dict[str, Any]) -> None:
    """What is done once, for all programs."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever started us may have ignored them (nohup, &)
        signal.signal(number, signal.SIG_DFL)
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_DUMPABLE, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    sys.path += settings["path"]
    for module in settings["preload"]:
        __import__(module)
    for name, fd in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(fd, "w", closefd=False)
        setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True))
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):  # what we have to say at the end is for the pool's log
        os.dup2(nothing, fd)
    os.close(nothing)
    gc.collect()
    gc.freeze()


def condition() -> Any:
    """What a program could change of this process, whose user id it has."""
    limits = [resource.getrlimit(which) for which in range(LIMITS)]
    return limits, os.sched_getaffinity(0), os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)


class Program:
    """A program that runs, seen from outside."""

    def __init__(self, job: dict[str, Any], settings: dict[str, Any], host: Any) -> None:
        self._host, self._alone = host, settings["alone"]
        self._seconds, self._used, self._since = job["seconds"], 0.0, time.monotonic()
        self._open = 0
        self._most = job["output_kb"] << 10
        self._longest = {broker.VALUE: self._most, broker.FAILED: 8}
        if job["serves"]:
            self._longest[broker.ASK] = broker.LONGEST + broker.NUMBER.size
        self._said = bytearray()
        self._outcome, self._value, self._status = "", b"", 0
        pipes = [os.pipe() for _ in range(4)]
        (answers, self._answers), (self._questions, questions), (out, its_out), (err, its_err) = pipes
        self._pid = os.fork()
        if self._pid == 0:
            child.live(job, settings, broker.Pipes(answers, questions), (its_out, its_err))
        for fd in (answers, questions, its_out, its_err):
            os.close(fd)
        self._outputs = {out: bytearray(), err: bytearray()}
        self._process = os.pidfd_open(self._pid)

    def watch(self) -> None:
        """Return when the program has given its value, has ended, or has used its time."""
        poller = select.poll()
        for fd in (*self._outputs, self._questions, self._process, self._host.answers):
            poller.register(fd, select.POLLIN)
        while not self._outcome:
            ready = poller.poll(None if self._open else 1000 * (self._seconds - self._used))
            self._tick()
            for fd, _ in ready:
                if not self._read(fd):
                    poller.unregister(fd)

    def _tick(self) -> None:
        now = time.monotonic()
        if not self._open:
            self._used += now - self._since
            if self._used >= self._seconds:
                self._outcome = "timeout"
        self._since = now

    def _read(self, fd: int) -> bool:
        """Take a piece of what is there; False when nothing more can come."""
        if fd == self._host.answers:
            self._answer()
        elif fd == self._process:
            self._outcome = self._outcome or "ended"
        else:
            piece = os.read(fd, 1 << 16)
            if fd == self._questions:
                self._said += piece
                self._listen()
            else:
                kept = self._outputs[fd]
                kept += piece[: self._most - len(kept)]
            return bool(piece)
        return True

    def _answer(self) -> None:
        received = broker.receive(self._host.answers)
        if received is None:
            self.end()
            raise SystemExit
        self._open -= 1
        with contextlib.suppress(BrokenPipeError):
            broker.send(self._answers, *received)

    def _listen(self) -> None:
        """Take apart what the program has said, which may be anything."""
        while len(self._said) >= broker.HEAD.size:
            kind, length = broker.HEAD.unpack_from(self._said)
            if length > self._longest.get(kind, -1) or self._open == broker.MOST_OPEN:
                self._outcome = "forged"
                return
            end = broker.HEAD.size + length
            if len(self._said) < end:
                return
            payload = bytes(self._said[broker.HEAD.size : end])
            del self._said[:end]
            self._hear(kind, payload)

    def _hear(self, kind: bytes, payload: bytes) -> None:
        if kind == broker.ASK:
            self._open += 1
            broker.send(self._host.questions, kind, payload)
        elif kind == broker.VALUE:
            self._outcome, self._value = "ok", payload
        else:
            self._outcome = "memory" if payload == b"memory" else "error"
            self._status = (int(payload) if payload.isdigit() else 1) % 256 << 8

    def end(self) -> None:
        """Kill the program and all that it has started, then take what is left in its pipes."""
        if self._alone:
            reaped = self._killed()
        else:
            signal_to(-self._pid)
            reaped = os.waitpid(self._pid, os.WNOHANG)[1]
        for fd in (self._questions, *self._outputs):
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                while self._read(fd):
                    pass
        if self._outcome == "ended":
            self._status = reaped
            self._outcome = self._how_it_ended()
        for fd in (self._questions, self._answers, self._process, *self._outputs):
            os.close(fd)

    def _killed(self) -> int:
        """Kill whoever is in here besides us; the wait status of the program's own process."""
        status = 0
        while True:
            signal_to(-1)
            try:
                pid, found = os.waitpid(-1, 0)
            except ChildProcessError:
                return status
            if pid == self._pid:
                status = found

    def _how_it_ended(self) -> str:
        if os.WIFSIGNALED(self._status):
            return "timeout" if os.WTERMSIG(self._status) == signal.SIGXCPU else "killed"
        return "forged" if self._said else "error"

    def result(self) -> dict[str, Any]:
        """What the pool is told."""
        stdout, stderr = (bytes(kept).decode(errors="replace") for kept in self._outputs.values())
        code = -signal.SIGKILL if self._outcome in ("timeout", "forged") else os.waitstatus_to_exitcode(self._status)
        value = self._value.decode(errors="replace")
        return {
            "outcome": self._outcome,
            "value": value,
            "stdout": stdout,
            "stderr": stderr,
            "code": code,
            "seconds": self._used,
        }


def signal_to(processes: int) -> None:
    """End them, if they are there and ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(processes, signal.SIGKILL)


if __name__ == "__main__":
    main()
