"""A folder in which an agent edits files and runs commands, one after the other, with all that changed as a diff.

    async with workspace.opened(rung, source) as space:
        result = await space.run(["python", "-m", "pytest"])
        space.write("notes.txt", "two tests fail")
        print(space.diff())

Files are copied in, commands run confined, and what comes out is text; the folder is removed at the end. `diffs.apply`
makes the same files of the same source and the diff, so a chain of diffs is a genome.
"""

import asyncio
import contextlib
import glob
import os
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

from aiga.core.errors import UsageError
from aiga.sandbox import commands, diffs, folders
from aiga.sandbox.launch import Rung, private_folder
from aiga.sandbox.protocol import Limits, Result, Serve

ROOMY = Limits(seconds=1800.0, memory_mb=2048, files_mb=256, processes=64)
"""Of a workspace: seconds and files for all its commands together, the rest for each."""


@contextlib.asynccontextmanager
async def opened(
    rung: Rung, source: Path | Mapping[str, str | bytes], limits: Limits = ROOMY
) -> AsyncIterator["Workspace"]:
    """A workspace with a copy of a folder or of files; at the end its commands are ended and everything is removed."""
    files = read(source, limits.files_mb << 20) if isinstance(source, Path) else source
    with private_folder() as folder:
        folders.fill(folder, files)
        if isinstance(source, Path):
            _make_executable(source, folder, files)
        space = Workspace(rung, folder, limits)
        try:
            yield space
        finally:
            await space.stop()


class Workspace:
    """Use `opened`. What is done here between commands follows no link that a command has left."""

    def __init__(self, rung: Rung, folder: Path, limits: Limits) -> None:
        self._rung, self._folder, self._limits = rung, folder, limits
        self._seconds = limits.seconds
        self._running: set[asyncio.Task[Result]] = set()
        self._before = self.files()

    @property
    def seconds_left(self) -> float:
        """For all commands that are still to come."""
        return max(0.0, self._seconds)

    async def run(self, argv: Sequence[str], *, limits: Limits | None = None, serve: Serve | None = None) -> Result:
        """A command in the folder, with what earlier ones have left there; no process outlives it.

        `limits` count as far as the workspace has as much left.
        """
        asked, most = limits or self._limits, self._limits
        if self._seconds <= 0:
            return Result("timeout", stderr=f"the workspace has used its {most.seconds:g} seconds.", code=-9)
        granted = asked._replace(seconds=min(asked.seconds, self._seconds), files_mb=most.files_mb)
        began = time.monotonic()
        running = asyncio.create_task(commands.execute(self._rung, argv, self._folder, granted, serve))
        self._running.add(running)
        try:
            result = await running
        except BaseException:
            self._seconds -= time.monotonic() - began
            raise
        finally:
            self._running.discard(running)
        self._seconds -= result.seconds
        return result

    def files(self) -> dict[str, bytes]:
        """All plain files with one name, by their path in the folder."""
        return folders.collect(self._folder, ["*"], self._limits.files_mb << 21)  # it may be fuller when it is noticed

    def read(self, name: str) -> bytes:
        """One file; UsageError if it is not there, or no plain file."""
        found = folders.collect(self._folder, [glob.escape(name)], self._limits.files_mb << 21)
        if name not in found:
            raise UsageError(f"the workspace has no plain file {name!r}.")
        return found[name]

    def write(self, name: str, content: str | bytes) -> None:
        """Write or replace one file."""
        folders.fill(self._folder, {name: content})
        if folders.full(self._folder, self._limits.files_mb << 20):
            raise UsageError(f"the workspace is full: its files may take {self._limits.files_mb} MB.")

    def diff(self) -> str:
        """All that is different from what was copied in; empty: nothing. Binary files are only named."""
        return diffs.diff(self._before, self.files())

    async def stop(self) -> None:
        """End what still runs."""
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


def read(source: Path, most: int) -> dict[str, bytes]:
    """The files of a folder of ours; a link counts as the file it leads to, which has to be in the folder too."""
    if not source.is_dir():
        raise UsageError(f"{source} is no folder: give the folder that is to be copied into the workspace.")
    root, found = source.resolve(), dict[str, bytes]()
    for place, folders_in_it, names in os.walk(source):
        links = [name for name in folders_in_it if Path(place, name).is_symlink()]
        for path in sorted(Path(place, name) for name in [*names, *links]):
            target = path.resolve()
            if not target.is_file() or not target.is_relative_to(root):
                raise UsageError(f"{path} is no file of this folder (a link, or a device): remove it, then copy again.")
            most -= target.stat().st_size
            if most < 0:
                raise UsageError(f"{source} is larger than the workspace: give `limits` more `files_mb`.")
            found[path.relative_to(source).as_posix()] = target.read_bytes()
    return found


def _make_executable(source: Path, folder: Path, names: Collection[str]) -> None:
    for name in names:
        if os.access(source / name, os.X_OK):
            (folder / name).chmod(0o755)
