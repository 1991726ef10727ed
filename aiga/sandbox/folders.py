"""Files into and out of a program's folder, which a hostile program may have filled with anything.

Nothing here follows a link or opens anything but plain files, however the folder was left.
"""

import fnmatch
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from aiga.core.errors import UsageError

DEPTH = 50
"""Of folders in folders; more is not looked at."""
ENTRY = 1024
"""Bytes that a file counts at least: empty ones need room as well."""
PLACE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def fill(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write `files` into the folder; they belong to its owner. What was there under a name is replaced."""
    for name, content in files.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name:
            raise UsageError(f"a program's file cannot be named {name!r}: names stay inside its folder.")
        _write(folder, parts, content.encode() if isinstance(content, str) else content)


def _write(folder: Path, parts: tuple[str, ...], content: bytes) -> None:
    owner = folder.stat().st_uid
    place = os.open(folder, PLACE)
    try:
        for part in parts[:-1]:
            place = _enter(place, part, owner)
        _unlink(place, parts[-1])
        fd = os.open(parts[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=place)
        with os.fdopen(fd, "wb") as file:
            _give(fd, owner)
            file.write(content)
    finally:
        os.close(place)


def _enter(place: int, name: str, owner: int) -> int:
    """A folder in a folder, made if it is missing; closes the outer one. A link or a file of that name is replaced."""
    try:
        if not _is_folder(place, name):
            _unlink(place, name)
            os.mkdir(name, 0o755, dir_fd=place)
        inner = os.open(name, PLACE, dir_fd=place)
    finally:
        os.close(place)
    _give(inner, owner)
    return inner


def _is_folder(place: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _unlink(place: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=place)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise UsageError(f"a program's file cannot be named {name!r}, as a folder is.") from None


def _give(fd: int, owner: int) -> None:
    if os.fstat(fd).st_uid != owner:
        os.fchown(fd, owner, owner)


def collect(folder: Path, globs: Sequence[str], most: int) -> dict[str, bytes]:
    """The files that match a glob (`*` passes `/` as well), until there are `most` bytes.

    Links, files with more than one name, devices, pipes, and names that are no text are left out.
    """
    found: dict[str, bytes] = {}
    names = sorted(entry.path for entry in _walk(folder) if entry.is_file(follow_symlinks=False)) if globs else ()
    for path in names:
        name = os.path.relpath(path, folder)
        if name.isprintable() and any(fnmatch.fnmatchcase(name, glob) for glob in globs):
            content = _read(path, most)
            if content is not None:
                found[name] = content
                most -= len(content)
    return found


def _read(path: str, most: int) -> bytes | None:
    """A plain file with one name and at most so many bytes."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # the program has locked it
        return None
    with os.fdopen(fd, "rb") as file:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_size > most:  # sparse ones cost nothing
            return None
        content = file.read(most + 1)
    return content if len(content) <= most else None


def full(folder: Path, most: int) -> bool:
    """Whether what lies in the folder takes more than `most` bytes of the disk, or cannot be measured."""
    used = 0
    try:
        for entry in _walk(folder, locked=False):
            used += max(ENTRY, _size(entry))
            if used > most:
                return True
    except OSError:  # too deep for a path, or locked against us
        return True
    return False


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def _walk(folder: Path, locked: bool = True) -> Iterator["os.DirEntry[str]"]:
    """Everything inside; `locked`: pass over what cannot be opened, and over what is too deep."""
    places = [(str(folder), 0)]
    while places:
        place, depth = places.pop()
        try:
            entries = list(os.scandir(place))
        except FileNotFoundError:
            continue
        except OSError:
            if locked:
                continue
            raise
        yield from entries
        if depth < DEPTH:
            places += [(entry.path, depth + 1) for entry in entries if entry.is_dir(follow_symlinks=False)]
        elif not locked:
            raise OSError("too deep")
