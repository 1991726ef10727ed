"""The folder of a run as an object that can be damaged: its lock, its format, its seal, and what to say of a fault."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiga.core.errors import UsageError

SCHEMA = 1
SEAL = "run.sha256"
SEALED = ("run.json", "run.sqlite")
"""What the seal covers; a checkpoint has checksums of its own, in the zip file that it is."""
UNFINISHED = {"run.lock", "media", "run.json.tmp", "run.sqlite", "run.sqlite-wal", "run.sqlite-shm"}
"""What there may be before `run.json`, which makes a folder a run."""
NEEDED = {"schema", "system", "options", "seed"}
ELSEWHERE = "make it writable, or go on with a copy of it"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_SPACE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


def check_schema(directory: Path) -> dict[str, Any]:
    """The manifest of the run in `directory`, if this version of aiga can read it."""
    try:
        manifest = json.loads((directory / "run.json").read_text())
        schema = manifest["schema"]
        missing = ", ".join(sorted(NEEDED - manifest.keys()))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{directory} holds no run (it has no run.json): give the folder of a run.") from error
    except PermissionError as error:
        raise UsageError(f"{directory}/run.json cannot be read ({error.strerror}): make it readable.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{directory}/run.json cannot be read ({error}): restore a copy; nothing was changed."
        ) from error
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        mend = "upgrade with `pip install -U aiga`" if newer else "use the version of aiga that wrote it"
        raise UsageError(f"{directory} has format {schema} and this version of aiga reads format {SCHEMA}: {mend}.")
    if missing:
        raise UsageError(f"{directory}/run.json is damaged (it lacks {missing}): restore a copy; nothing was changed.")
    if not (directory / "run.sqlite").exists():
        raise UsageError(f"{directory} has lost its run.sqlite: restore a copy; nothing was changed.")
    return manifest


def vacate(directory: Path) -> None:
    """Refuse a folder that holds anything but what a process left that was killed before its run began.

    The lock must not be taken yet: it would be a file of ours in somebody's folder.
    """
    directory.mkdir(parents=True, exist_ok=True)
    found = {path.name for path in directory.iterdir()}
    if "run.json" in found:
        raise UsageError(f"{directory} holds a run already: continue it with `aiga resume {directory}`.")
    if found - UNFINISHED or (found and "run.lock" not in found):
        raise UsageError(f"{directory} is not empty and holds no run: give --out a new or an empty folder.")


def locked(directory: Path) -> int:
    """Hold the run's lock; the system takes it back when the process ends, however that happens."""
    lock = os.open(directory / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise UsageError(f"{directory} is being written by another process: stop that one first.") from error
    return lock


def is_written(directory: Path) -> bool:
    """Whether a process holds the run's lock."""
    try:
        lock = os.open(directory / "run.lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def check_place(directory: Path, lock: int) -> None:
    """Refuse to write if `directory` is no longer the folder whose lock is held: the files would go to another run."""
    try:
        same = os.path.samestat(os.fstat(lock), (directory / "run.lock").stat())
    except OSError:
        same = False
    if not same:
        raise UsageError(
            f"{directory} was moved or deleted while the run wrote to it: if it lies elsewhere, `aiga resume` it there."
        )


def connect_to_read(directory: Path) -> sqlite3.Connection:
    """A connection that cannot write, also where nobody can, as on a full disk or a mounted archive."""
    path = (directory / "run.sqlite").resolve()
    log = path.with_name("run.sqlite-wal")
    place = f"{path.as_uri()}?mode=ro"
    database = sqlite3.connect(place, uri=True, timeout=30)
    try:
        database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error as error:
        database.close()
        closed = not (log.exists() and log.stat().st_size)
        if not closed or code_of(error) not in (*NO_SPACE, *REFUSED):
            raise
        return sqlite3.connect(f"{place}&immutable=1", uri=True)  # no room for the files that readers share
    return database


def code_of(error: Exception) -> int:
    """SQLite's own number of an error, without what says more of it than anybody asks."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def seal(directory: Path) -> None:
    """Write the checksums of a run that is closed, as `sha256sum -c` reads them."""
    log = directory / "run.sqlite-wal"
    if log.exists() and log.stat().st_size:
        return  # a reader is there: what it holds is not in the main file yet
    write(directory / SEAL, "".join(f"{_checksum(directory / name)}  {name}\n" for name in SEALED))


def check_seal(directory: Path) -> None:
    """Refuse a run whose files are not as they were when it was closed; one that was killed has no seal."""
    with contextlib.suppress(FileNotFoundError):
        for line in (directory / SEAL).read_text(errors="replace").splitlines():
            checksum, _, name = line.partition("  ")
            if name in SEALED and checksum != _checksum(directory / name):
                raise UsageError(
                    f"{directory}/{name} is damaged (its checksum is not that in {SEAL}); nothing was changed: restore "
                    f"a copy, or delete {SEAL} to use the file as it is."
                )


def write(path: Path, text: str) -> None:
    """Write a small file beside its place, flush it to disk and rename it."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


@contextlib.contextmanager
def explained(directory: Path, mend: str = ELSEWHERE) -> Iterator[None]:
    """Say in one sentence what the operating system or the database refused; `mend` is for what may not be written."""
    space = f"free some space, then `aiga resume {directory}`"
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        code = code_of(error)
        if code in NO_SPACE or code in REFUSED:
            mend = space if code in NO_SPACE else mend
            raise UsageError(f"{directory} cannot be written ({error}): {mend}.") from error
        raise UsageError(f"{directory}/run.sqlite cannot be used ({error}): restore a copy of it.") from error
    except OSError as error:
        mend = space if error.errno in FULL else mend
        raise UsageError(f"{directory} cannot be written ({error.strerror}): {mend}.") from error


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
