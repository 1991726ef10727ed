"""Worker processes on this machine that may be killed without loss."""

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from multiprocessing.spawn import get_preparation_data
from pathlib import Path
from typing import Any, Literal

from aiga.runs.pools import Seconds
from aiga.runs.worker import HEADER, MARK, frame
from aiga.runs.workforce import Workforce

CHUNK = 1 << 20
"""Bytes taken from a line at a time."""
SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
"""How many threads numerics have; `NPROC` is what XLA sizes its thread pool by."""
DEVICE_MEMORY = 0.75
"""What XLA takes of a device's memory, divided among the workers on it."""


class LocalPool(Workforce):
    """Worker processes on this machine, started when first needed; serves one event loop at a time.

    `workers=None` or `"auto"` takes every core that this process may use.  Workers run single-threaded numerics and,
    unless `JAX_PLATFORMS` says otherwise, JAX on the CPU; if it says `cuda` or `gpu`, the devices are divided among
    them.  A worker killed by the system is replaced and its task run again, up to `retries` times; `renew_after`:
    answers after which a worker is replaced anyway.
    """

    def __init__(
        self, workers: int | Literal["auto"] | None = None, retries: int = 3, renew_after: int | None = None
    ) -> None:
        super().__init__(cores() if workers is None or workers == "auto" else workers, retries, renew_after)
        self._seats: dict[int, Process] = {}

    def _packed(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
        return pickle.dumps((fn, args), pickle.HIGHEST_PROTOCOL)

    def _started(self, needs: Hashable) -> "tuple[Process, bool]":
        taken = {seat for seat, process in self._seats.items() if process in self._crew}
        seat = next(number for number in range(len(taken) + 1) if number not in taken)
        process = Process(self, environment(seat, self.workers))
        self._seats[seat] = process
        return process, True

    def _released(self) -> None:
        self._seats.clear()


class Process:
    """A process, and the line to it: a socket for calls and answers, and a pipe that ends with this process."""

    def __init__(self, workforce: Workforce, variables: dict[str, str]) -> None:
        preparation = get_preparation_data("aiga-worker")
        preparation["authkey"] = bytes(preparation["authkey"])  # else not picklable
        self._workforce = workforce
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outgoing = bytearray(frame(pickle.dumps(preparation)))
        self._incoming = bytearray()
        self._writing = False
        self.line, theirs = socket.socketpair()
        watch, self._lifeline = os.pipe()
        program = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"  # Ctrl-C belongs to the loop, and
            "signal.signal(signal.SIGTERM, signal.SIG_IGN);"  # what a batch system sends to all processes
            f"sys.path[:] = {sys.path!r}; from aiga.runs.worker import serve; serve({theirs.fileno()}, {watch})"
        )
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program],
                env=variables,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), watch),
            )
        except OSError:
            self.line.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(watch)
        self.line.setblocking(False)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self.line, self._read)
        self._write()

    def detach(self) -> None:
        if self._loop is not None and not self._loop.is_closed() and self.line.fileno() >= 0:
            self._loop.remove_reader(self.line)
            self._loop.remove_writer(self.line)
        self._loop, self._writing = None, False

    def give(self, calls: Sequence[bytes]) -> None:
        for number, call in enumerate(calls, 1):
            self._outgoing += frame(call, float(number < len(calls)))
        self._write()

    def kill(self) -> None:
        self.process.kill()  # `_read` meets the end of the line and reports it

    def dismiss(self) -> None:
        self.line.close()

    def bury(self, patience: Seconds) -> int | None:
        self.line.close()
        try:
            exitcode = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            exitcode = self.process.wait()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        return exitcode

    def _write(self) -> None:
        """Send what the line takes at once, and the rest when it takes more."""
        if self._loop is None:
            return
        try:
            while self._outgoing:
                del self._outgoing[: self.line.send(self._outgoing)]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self._outgoing.clear()  # `_read` meets the end of the line
        if self._outgoing and not self._writing:
            self._loop.add_writer(self.line, self._write)
        elif self._writing and not self._outgoing:
            self._loop.remove_writer(self.line)
        self._writing = bool(self._outgoing)

    def _read(self) -> None:
        try:
            received = self.line.recv(CHUNK)
        except BlockingIOError:
            return
        except ConnectionResetError:
            received = b""
        self._incoming += received
        answers, begin = [], 0
        while len(self._incoming) - begin >= HEADER.size:
            mark, seconds, size = HEADER.unpack_from(self._incoming, begin)
            if mark != MARK:  # the task wrote to the line; nothing that comes from it can be trusted
                received = b""
                break
            end = begin + HEADER.size + size
            if end > len(self._incoming):
                break
            if size:
                answers.append((seconds, partial(pickle.loads, self._incoming[begin + HEADER.size : end])))
            else:
                self._workforce.arrived(self)
            begin = end
        del self._incoming[:begin]
        if answers:
            self._workforce.answered(self, answers)
        if not received:
            self._workforce.ended(self)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def environment(seat: int, workers: int) -> dict[str, str]:
    """The variables of the worker with this number: its threads, and its share of the devices."""
    variables = {"JAX_PLATFORMS": "cpu"} | dict(os.environ) | dict.fromkeys(SINGLE_THREADED, "1")
    devices = _devices() if {"cuda", "gpu"} & set(variables["JAX_PLATFORMS"].split(",")) else []
    if devices:
        crowd = -(-workers // len(devices))
        variables["CUDA_VISIBLE_DEVICES"] = devices[seat % len(devices)]
        variables.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{DEVICE_MEMORY / crowd:.3f}")
    return variables


def _devices() -> list[str]:
    """The graphics processors that this process may use, as CUDA numbers them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    return sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
