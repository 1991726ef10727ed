"""Many small programs: processes that stay, of which each program is a fork.

    thread of the pool:  queue -> worker -> frames -> zygote.py, confined
                                                       fork -> program -> value | questions

Starting an interpreter in confinement costs far more than a small program.  The pool starts one for each core when it
is first needed, and sends it programs in the order in which they came.  All of this lives in a thread with an event
loop of its own, so that a caller may await from any loop.
"""

import asyncio
import atexit
import contextlib
import json
import math
import os
import subprocess
import sysconfig
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from aiga.core.errors import UsageError
from aiga.sandbox import broker, folders
from aiga.sandbox.desk import Desk
from aiga.sandbox.launch import Launch, Rung, end, private_folder
from aiga.sandbox.protocol import USUAL, Limits, Result, Serve

HERE = Path(__file__).parent
PATIENCE = 60.0
"""Seconds in which a worker starts."""
LATE = 2.0
"""Seconds beyond its limit after which a program is ended from outside, with its worker."""
GLANCE = 0.05
"""Seconds between two looks at how full the folder is."""
OWN = 2
"""Processes of the confinement itself."""


class Pool:
    """Calls functions of programs; at the end of the process, or with `close`, its workers end."""

    def __init__(self, rung: Rung, workers: int = 0, *, preload: Sequence[str] = (), recycle: int = 500) -> None:
        """Of `workers`, 0 means one a core; each is replaced after `recycle` programs, and imports `preload` first."""
        self.rung, self.level = rung, rung.level
        if not rung.alone:
            recycle = 1
        self._workers = [Worker(rung, preload, recycle) for _ in range(workers or os.cpu_count() or 1)]
        self._idle: asyncio.LifoQueue[Worker] = asyncio.LifoQueue()  # the one that ran last is warm
        for worker in self._workers:
            self._idle.put_nowait(worker)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._live, name="sandbox", daemon=True)
        self._starting = threading.Lock()

    async def call(
        self,
        code: str,
        function: str = "main",
        arguments: Sequence[Any] = (),
        *,
        limits: Limits = USUAL,
        serve: Serve | None = None,
    ) -> Result:
        """Call `function` of the program `code`; to cancel the task that waits is to end the program."""
        job = {"code": code, "function": function, "arguments": list(arguments), "serves": serve is not None}
        job |= {"seconds": limits.seconds, "memory_mb": limits.memory_mb, "output_kb": limits.output_kb}
        job["cpu_seconds"] = math.ceil(limits.seconds * (os.cpu_count() or 1)) + 1
        here = asyncio.get_running_loop()

        async def ours(request: Any) -> Any:
            assert serve is not None
            return await serve(request)

        def answer(request: Any) -> asyncio.Future[Any]:
            return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ours(request), here))

        loop = self._started()
        running = self._run(json.dumps(job).encode(), limits, answer)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(running, loop))

    async def _run(self, job: bytes, limits: Limits, serve: Serve) -> Result:
        worker = await self._idle.get()
        try:
            return await worker.run(job, limits, serve)
        finally:
            self._idle.put_nowait(worker)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread.start()
                atexit.register(self.close)
        if not self._thread.is_alive():
            raise RuntimeError("this pool is closed, or was started before this process was forked.")
        return self._loop

    def _live(self) -> None:
        assert self._loop is not None
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def close(self) -> None:
        """End all workers and programs; who still waits for one is cancelled."""
        loop = self._loop
        if loop is None or not self._thread.is_alive():
            return
        atexit.unregister(self.close)
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for worker in self._workers:
            worker.end()
        await asyncio.sleep(0)  # the transports close

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Worker:
    """A confined zygote, started when it is needed and again when it has ended."""

    def __init__(self, rung: Rung, preload: Sequence[str], recycle: int) -> None:
        self._rung, self._preload, self._recycle = rung, preload, recycle
        self._process: subprocess.Popen[bytes] | None = None
        self._room: tuple[int, int] = (0, 0)
        self._programs = 0
        self._resources = contextlib.ExitStack()

    async def run(self, job: bytes, limits: Limits, serve: Serve) -> Result:
        """Run a program to its end; an end of the worker is one of the program."""
        try:
            await self._ready(limits)
            async with asyncio.timeout(limits.seconds + LATE) as clock:
                desk = Desk(serve, clock, self._writer.write, self.end)
                watch = asyncio.create_task(self._watch(limits.files_mb))
                try:
                    result = await self._follow(job, desk)
                finally:
                    watch.cancel()
                    await desk.close()
        except TimeoutError:
            self.end()
            return Result("timeout", code=-9, seconds=limits.seconds)
        except BaseException:
            self.end()
            raise
        if desk.error:
            raise desk.error
        if watch.done() and not watch.cancelled():
            return result._replace(stderr=f"ended by the sandbox: more than {limits.files_mb} MB of files")
        return result

    async def _watch(self, most: int) -> None:
        """End the worker when its folder is full; where it is in memory, ours is empty and its own is limited."""
        while not folders.full(self._folder, most << 20):
            await asyncio.sleep(GLANCE)
        self.end()

    async def _follow(self, job: bytes, desk: Desk) -> Result:
        self._programs += 1
        self._writer.write(broker.frame(broker.JOB, job))
        try:
            while True:
                kind, payload = await self._frame()
                if kind == broker.RESULT:
                    return raw(json.loads(payload))
                desk.ask(payload)
        except asyncio.IncompleteReadError:
            self.end()
            return Result("killed", code=-9)
        except (ValueError, RecursionError):  # a question that is no JSON
            self.end()
            return Result("forged", code=-9)

    async def _frame(self) -> tuple[bytes, bytes]:
        kind, length = broker.HEAD.unpack(await self._reader.readexactly(broker.HEAD.size))
        return kind, await self._reader.readexactly(length)

    async def _ready(self, limits: Limits) -> None:
        """Wait until the zygote takes a job; start it, if there is none that can."""
        room = (limits.files_mb, limits.processes)
        alive = self._process and self._process.poll() is None
        if alive and self._programs < self._recycle and room == self._room and await self._waits():
            return
        self.end()
        self._room = room
        await self._start(limits)
        if not await self._waits():
            self._log.seek(0)
            words = self._log.read().decode(errors="replace").strip()
            self.end()
            raise UsageError(f"the sandbox `{self._rung.level}` does not start; `aiga doctor` says more: {words}")

    async def _waits(self) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._frame()
        except (asyncio.IncompleteReadError, TimeoutError):
            return False
        return True

    async def _start(self, limits: Limits) -> None:
        with contextlib.ExitStack() as resources:
            self._folder = resources.enter_context(private_folder())
            self._log = resources.enter_context(tempfile.TemporaryFile())
            room = limits._replace(processes=limits.processes + OWN)
            argv = ["python", "-P", "-s", "-S", str(HERE / "zygote.py")]  # with its environment, no less apart than -I
            with self._rung.wrap(argv, self._folder, room, readable=[HERE], lasting=True) as launch:
                self._process = self._opened(launch)
            resources.callback(end, self._process, launch)
            await self._connect(self._process, resources)
            self._resources, self._programs = resources.pop_all(), 0

    def _opened(self, launch: Launch) -> "subprocess.Popen[bytes]":
        settings = {
            "writable": [launch.inside, *self._rung.writable],
            "path": sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}),
            "preload": list(self._preload),
            "alone": self._rung.alone,
        }
        return subprocess.Popen(
            [*launch.argv, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=launch.env | {"PYTHONHASHSEED": "0"},  # sets have one order, whichever worker runs a program
            cwd=launch.cwd,
            pass_fds=launch.pass_fds,
            start_new_session=True,
        )

    async def _connect(self, process: "subprocess.Popen[bytes]", resources: contextlib.ExitStack) -> None:
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader()
        reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), process.stdout)
        resources.callback(reading.close)
        self._writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        resources.callback(lambda: self._writer.is_closing() or self._writer.abort())

    def end(self) -> None:
        """Kill it and whatever runs in it, at once."""
        self._process = None
        self._resources.close()


def raw(found: dict[str, Any]) -> Result:
    """What the zygote says; the value is the program's and may be anything."""
    if found["outcome"] == "ok":
        try:
            found["value"] = json.loads(found["value"])
        except (ValueError, RecursionError):
            found |= {"outcome": "forged", "value": None}
    else:
        found["value"] = None
    return Result(**found)
