"""Where runs are: the folders below one directory, and nothing outside it.

A run is named by its path below the directory.  Links are never followed: neither to a run, nor to a file of one.
Everything here looks at names and facts of files, never into them, so that no content can harm the server.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aiga.core.errors import UsageError

DEEPEST = 5
"""Folders below the directory: runs/claim/claim-2/arm-seed0 is three."""
MOST_RUNS, MOST_FOLDERS = 5_000, 20_000
LONGEST_MANIFEST = 4 << 20
"""Bytes of a run.json; ours have a few thousand."""
KINDS = {
    ".png": "image/png",
    ".apng": "image/apng",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".pdf": "application/pdf",
}
"""What may be sent as what it is; everything else is plain text or a download."""
TEXTS = {".txt", ".md", ".json", ".jsonl", ".csv", ".py", ".tex", ".typ", ".log", ".toml", ".diff"}
FILES = ("run.json", "run.sqlite", "run.sqlite-wal", "run.sqlite-shm", "run.lock", "checkpoint.npz")
FILES += ("checkpoint.previous.npz",)


class Found(NamedTuple):
    """The names of the runs below a directory."""

    names: list[str]
    complete: bool
    """Whether all folders were looked at."""


class Root:
    """The directory that is shown."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise UsageError(f"{directory} is no folder: give the one that holds your runs, or start a run first.")
        if not os.access(directory, os.R_OK | os.X_OK):
            raise UsageError(f"{directory} cannot be read (Permission denied): make it readable, or give another.")
        self.given, self.path = directory, directory.resolve()

    def runs(self) -> Found:
        """Every folder with a run.json or a run.sqlite, by name."""
        names = []
        for seen, (path, entries) in enumerate(_folders(self.path)):
            if seen == MOST_FOLDERS or len(names) == MOST_RUNS:
                return Found(sorted(names), complete=False)
            if entries & {"run.json", "run.sqlite"} and _encodable(path):
                names.append(path.relative_to(self.path).as_posix())
        return Found(sorted(names), complete=True)

    def run(self, name: str) -> Path:
        """The folder of a run."""
        path = self._below(self.path, name)
        if path is None or not path.is_dir():
            raise UsageError(f"there is no run {name[:200]!r} here: it was moved, or it lies outside the folder.")
        return path

    def file(self, name: str, path: str) -> Path:
        """A plain file in the folder of a run, other than the run's own records."""
        run = self.run(name)
        file = self._below(run, path)
        if file is None or file.parent == run or not file.is_file():
            raise UsageError(f"the run has no file {path[:200]!r} that may be shown.")
        return file

    def plain(self, text: str) -> str:
        """A message without the machine's path of the directory."""
        return text.replace(f"{self.path}/", "").replace(str(self.path), str(self.given))

    def command(self, name: str) -> str:
        """The path of a run as one would type it."""
        return str(self.given / name)

    @staticmethod
    def _below(parent: Path, name: str) -> Path | None:
        """The path, if it is spelled as it lies on the disk: no link, no `..`, not absolute."""
        if "\0" in name:
            return None
        path = parent / name
        try:
            plain = path == path.resolve() and path.exists()
        except (OSError, RuntimeError, ValueError):  # too long, or a loop of links
            return None
        return path if plain and path.is_relative_to(parent) and path.relative_to(parent).as_posix() == name else None


def faults(directory: Path, *, writing: bool = False) -> str:
    """Why the files of a run cannot be opened, as far as can be told without opening them; empty if they can.

    Args:
        directory: The folder of the run.
        writing: What is to be done may write pictures into `media`, as a system's own figures do.
    """
    for name in FILES:
        kind = _kind(directory / name)
        if kind not in ("file", "nothing"):
            return f"{name} is {kind}, not a plain file; it was not opened."
    if _size(directory / "run.json") > LONGEST_MANIFEST:
        return f"run.json has {_size(directory / 'run.json'):,} bytes, which no run writes; it was not opened."
    media = _kind(directory / "media")
    if media not in ("folder", "nothing"):
        return f"media is {media}, not a folder; it was not opened."
    if writing and media == "folder":
        with os.scandir(directory / "media") as entries:
            odd = next((e.name for e in entries if not (e.is_file(follow_symlinks=False) or _is_folder(e))), None)
        if odd is not None:
            return f"media holds {odd!r}, which is no plain file: remove it to see what is computed."
    return ""


def signature(directory: Path) -> tuple[tuple[int, int], ...]:
    """What changes when a run writes: times and sizes of its files."""
    facts = []
    for name in (*FILES[:3], "checkpoint.npz", "media"):
        try:
            found = os.lstat(directory / name)
        except OSError:
            facts.append((0, 0))
            continue
        empty = name.endswith("-wal") and not found.st_size  # one that a reader made
        facts.append((0, 0) if empty else (found.st_mtime_ns, found.st_size))
    return tuple(facts)


def newest_picture(directory: Path) -> str:
    """The path, below the run, of the picture that was written last; empty if there is none."""
    media = directory / "media"
    if _kind(media) != "folder":
        return ""
    with os.scandir(media) as entries:
        found = [
            (entry.stat(follow_symlinks=False).st_mtime_ns, entry.name)
            for entry in entries
            if KINDS.get(Path(entry.name).suffix.lower(), "").startswith("image/")
            and entry.is_file(follow_symlinks=False)
            and _encodable(entry.name)
        ]
    return f"media/{max(found)[1]}" if found else ""


def media_type(path: Path) -> str:
    """How a file is sent: pictures and films as such, texts as plain text, the rest as bytes to save."""
    suffix = path.suffix.lower()
    return KINDS.get(suffix, "text/plain; charset=utf-8" if suffix in TEXTS else "application/octet-stream")


def _folders(top: Path) -> Iterator[tuple[Path, set[str]]]:
    """Folders, parents first, with the names in them; what lies below a run is not looked at."""
    waiting = [(top, 0)]
    while waiting:
        path, depth = waiting.pop()
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError:  # not ours to read, or gone
            continue
        names = {entry.name for entry in entries}
        yield path, names
        if depth < DEEPEST and not names & {"run.json", "run.sqlite"}:
            waiting += [(path / e.name, depth + 1) for e in entries if e.name[0] != "." and _is_folder(e)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _kind(path: Path) -> str:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return "nothing"
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _encodable(path: Path | str) -> bool:
    """Whether the name can be written down: not all that a disk holds is UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
