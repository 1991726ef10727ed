"""One command in a folder of its own: started, watched and ended, and what it left behind taken back."""

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aiga.sandbox import broker, folders
from aiga.sandbox.desk import Desk
from aiga.sandbox.launch import Launch, Rung, private_folder
from aiga.sandbox.protocol import USUAL, Limits, Result, Serve

GLANCE = 0.05
"""Seconds between two looks at how full the folder is."""
DRAIN = 2.0
"""Seconds to wait for the rest of the outputs of what has ended."""
PIECE = 1 << 16
ENDED, FORGED = "", "forged"
SHORT_OF_MEMORY = ("MemoryError", "std::bad_alloc", "Cannot allocate memory")


async def run(
    rung: Rung,
    argv: Sequence[str],
    *,
    files: Mapping[str, str | bytes],
    limits: Limits = USUAL,
    collect: Sequence[str] = (),
    serve: Serve | None = None,
) -> Result:
    """`Sandbox.run` on a rung."""
    with private_folder() as folder:
        folders.fill(folder, files)
        result = await execute(rung, argv, folder, limits, serve)
        return result._replace(files=folders.collect(folder, collect, limits.files_mb << 20))


async def execute(
    rung: Rung, argv: Sequence[str], folder: Path, limits: Limits = USUAL, serve: Serve | None = None
) -> Result:
    """A command in a folder that stays; all that it started has ended when this returns."""
    watch = Watch()
    with _line() if serve else contextlib.nullcontext() as line:
        process, launch = await _start(rung, argv, folder, limits, line)
        try:
            async with asyncio.timeout(limits.seconds) as clock:
                watch.begin(process, folder, limits)
                async with _answered(line, serve, clock, watch) if serve and line else contextlib.nullcontext():
                    reason = await watch.reason
        except TimeoutError:
            reason = "timeout"
        finally:
            await _end(process, launch)
            out, err = await watch.close()
    if watch.error:
        raise watch.error
    assert process.returncode is not None
    return judge(reason, process.returncode, out, err)._replace(seconds=watch.seconds())


async def _start(
    rung: Rung, argv: Sequence[str], folder: Path, limits: Limits, line: "Line | None"
) -> tuple[Process, Launch]:
    readable, fds = ([line.library], line.theirs) if line else ([], [])
    with rung.wrap(argv, folder, limits, readable=readable, pass_fds=fds) as launch:
        options = launch.options | {"env": launch.env | (line.env if line else {})}
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return await asyncio.create_subprocess_exec(*launch.argv, **options, **pipes), launch


async def _end(process: Process, launch: Launch) -> None:
    """End the process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        if launch.undo:
            undo = await asyncio.create_subprocess_exec(
                *launch.undo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            await undo.wait()
        if process.returncode is None and launch.grace:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(launch.grace):
                    await process.wait()
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def judge(reason: str, code: int, out: str, err: str) -> Result:
    """Name what happened; `code` is a shell's: 128 + signal, or the negative signal."""
    code = 128 - code if 128 < code <= 128 + signal.NSIG else code
    if reason == "timeout" or code == -signal.SIGXCPU:
        return Result("timeout", stdout=out, stderr=err, code=-signal.SIGKILL)
    if reason == FORGED:
        return Result("forged", stdout=out, stderr=err, code=-signal.SIGKILL)
    if reason != ENDED:
        return Result("killed", stdout=out, stderr=f"{err}\nended by the sandbox: {reason}", code=-signal.SIGKILL)
    if code > 0 and any(words in err[-500:] for words in SHORT_OF_MEMORY):
        return Result("memory", stdout=out, stderr=err, code=code)
    return Result("ok" if code == 0 else "error" if code > 0 else "killed", stdout=out, stderr=err, code=code)


class Watch:
    """What is looked at while a command runs; `reason` says why it is over."""

    def __init__(self) -> None:
        self.reason: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.error: Exception | None = None
        """What `serve` raised."""
        self.stopped = 0.0
        """Seconds that `serve` took."""
        self._started = time.monotonic()
        self._found = (bytearray(), bytearray())
        self._outputs: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    def stop(self, reason: str) -> None:
        if not self.reason.done():
            self.reason.set_result(reason)

    def seconds(self) -> float:
        return time.monotonic() - self._started - self.stopped

    def begin(self, process: Process, folder: Path, limits: Limits) -> None:
        assert process.stdout
        assert process.stderr
        most = limits.output_kb << 10
        streams = zip((process.stdout, process.stderr), self._found, strict=True)
        self._outputs = [asyncio.create_task(self._read(stream, found, most)) for stream, found in streams]
        self._others = [
            asyncio.create_task(self._look(folder, limits.files_mb)),
            asyncio.create_task(self._wait(process)),
        ]

    async def _read(self, stream: asyncio.StreamReader, found: bytearray, most: int) -> None:
        """The first `most` bytes; the rest is read and dropped, so that nothing waits for us at the end."""
        while piece := await stream.read(PIECE):
            room = most - len(found)
            found += piece[:room]
            if len(piece) > room:
                self.stop(f"more than {most >> 10} kB of output")

    async def _look(self, folder: Path, most: int) -> None:
        began = time.monotonic()
        while not folders.full(folder, most << 20):
            took = time.monotonic() - began
            await asyncio.sleep(min(max(GLANCE, 5 * took), 10 * GLANCE))  # our own work goes on
            began = time.monotonic()
        self.stop(f"more than {most} MB of files, or too many or too deep to be measured")

    async def _wait(self, process: Process) -> None:
        await process.wait()
        self.stop(ENDED)

    async def close(self) -> tuple[str, str]:
        """The outputs; call when all that writes to them has ended."""
        for task in self._others:
            task.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        await asyncio.wait(self._outputs, timeout=DRAIN)  # without a sandbox, something may still hold them
        for task in self._outputs:
            task.cancel()
        out, err = (bytes(found) for found in self._found)
        return out.decode(errors="replace"), err.decode(errors="replace")


class Line(NamedTuple):
    """Pipes for a command's questions."""

    library: Path
    """A folder with the module `broker`."""
    theirs: tuple[int, int]
    """Its ends: it reads answers from the first, and writes questions to the second."""
    ours: tuple[int, int]
    """We write answers to the first, and read questions from the second."""

    @property
    def env(self) -> dict[str, str]:
        return {broker.PIPES: f"{self.theirs[0]},{self.theirs[1]}", "PYTHONPATH": str(self.library)}


@contextlib.contextmanager
def _line() -> Iterator[Line]:
    answers, questions = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="aiga-broker-") as name:
        library = Path(name)
        library.chmod(0o755)
        (library / "broker.py").write_bytes(Path(broker.__file__).read_bytes())
        try:
            yield Line(library, (answers[0], questions[1]), (answers[1], questions[0]))
        finally:
            for fd in (*answers, *questions):
                os.close(fd)


@contextlib.asynccontextmanager
async def _answered(line: Line, serve: Serve, clock: asyncio.Timeout, watch: Watch) -> AsyncIterator[None]:
    """Answer questions meanwhile."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    questions = os.fdopen(os.dup(line.ours[1]), "rb", 0)
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), questions)
    writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(os.dup(line.ours[0]), "wb", 0))
    desk = Desk(serve, clock, writer.write, lambda: watch.stop(ENDED))
    asking = asyncio.create_task(_ask(reader, desk, watch))
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, desk.close(), return_exceptions=True)
        watch.error, watch.stopped = desk.error, desk.stopped
        reading.close()
        writer.abort()
        await asyncio.sleep(0)  # the transports close


async def _ask(reader: asyncio.StreamReader, desk: Desk, watch: Watch) -> None:
    try:
        while True:
            kind, length = broker.HEAD.unpack(await reader.readexactly(broker.HEAD.size))
            if kind != broker.ASK or length > broker.LONGEST + broker.NUMBER.size:
                return watch.stop(FORGED)
            desk.ask(await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        return None
    except (ValueError, RecursionError):  # a question that is no JSON
        return watch.stop(FORGED)
