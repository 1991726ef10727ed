"""The run directory: what a run writes while it lives.

`run.json` says what was run; `run.sqlite` (WAL: others read it while it is written) holds metrics, lineage, events and
blobs; `checkpoint.npz` holds the state, and the one before it is kept.  A row is committed within a second or so of
its step; a checkpoint is written after the rows of its steps are on disk, so a resumed run drops the rows beyond its
checkpoint and writes them again.  What the world outside said (calls of models, results of programs, what agents
finished, what a person allowed, the order in which answers came) is committed at once and never dropped: a resumed run
is told the same.  Reading is `aiga.runs.record`.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aiga.core.errors import UsageError
from aiga.runs import clouds
from aiga.runs.clouds import packed
from aiga.runs.events import Born, Cloud

SCHEMA = 1
COMMIT_EVERY = 1.0
"""Seconds; the promise is five."""

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value);
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE metrics (name INTEGER, step INTEGER, value, PRIMARY KEY (name, step)) WITHOUT ROWID;
CREATE TABLE lineage (id INTEGER PRIMARY KEY, step INTEGER, parent INTEGER, others TEXT,
                      operator INTEGER, kept INTEGER, fitness REAL, cell INTEGER, replaced INTEGER,
                      noise INTEGER, sign INTEGER, blob TEXT);
CREATE TABLE events (seq INTEGER PRIMARY KEY, step INTEGER, time REAL, kind TEXT, data TEXT);
CREATE TABLE blobs (id TEXT PRIMARY KEY, data BLOB);
"""
OUTSIDE = """
CREATE TABLE IF NOT EXISTS calls (key TEXT, attempt INTEGER, task TEXT, model TEXT, request TEXT, outcome TEXT,
                                  reply TEXT, tokens_in INTEGER, tokens_out INTEGER, usd REAL, seconds REAL,
                                  final INTEGER, time REAL);
CREATE INDEX IF NOT EXISTS calls_by_key ON calls (key);
CREATE TABLE IF NOT EXISTS programs (key TEXT UNIQUE, outcome TEXT, result TEXT, seconds REAL, time REAL);
CREATE TABLE IF NOT EXISTS orders (step INTEGER PRIMARY KEY, candidate INTEGER);
CREATE TABLE IF NOT EXISTS finished (key TEXT PRIMARY KEY, text TEXT, time REAL);
"""


class Store:
    """Writes one run directory; a second writer is refused."""

    def __init__(self, directory: Path, database: sqlite3.Connection, lock: int) -> None:
        self.directory = directory
        self._database, self._lock = database, lock
        database.executescript(OUTSIDE + clouds.TABLE)  # also in a run of an earlier version
        self._names = dict(database.execute("SELECT name, id FROM names"))
        self._guard = threading.Lock()  # the committer and the loop share the connection
        self._closed = threading.Event()
        self._failure: BaseException | None = None
        self._committer = threading.Thread(target=self._commit_regularly, daemon=True)
        self._committer.start()

    @classmethod
    def create(cls, directory: Path, manifest: Mapping[str, Any]) -> "Store":
        """Start a run in `directory`, which must be new or empty."""
        with _explained(directory):
            directory.mkdir(parents=True, exist_ok=True)
            if (directory / "run.json").exists():
                raise UsageError(f"{directory} holds a run already: continue it with `aiga resume {directory}`.")
            if any(directory.iterdir()):
                raise UsageError(f"{directory} is not empty and holds no run: give --out a new or an empty folder.")
            lock = _locked(directory)
            (directory / "media").mkdir()
            database = _connect(directory / "run.sqlite")
            database.executescript(TABLES)
            database.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA,))
            temporary = directory / "run.json.tmp"
            temporary.write_text(json.dumps({**manifest, "schema": SCHEMA}, indent=2) + "\n")
            os.replace(temporary, directory / "run.json")  # last: a folder with run.json is a complete run
            return cls(directory, database, lock)

    @classmethod
    def open(cls, directory: Path) -> "Store":
        """Continue writing the run in `directory`."""
        check_schema(directory)
        with _explained(directory):
            lock = _locked(directory)
            with contextlib.closing(connect_to_read(directory)) as database:
                found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
                schema = database.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
            if found != "ok" or schema != (SCHEMA,):
                raise UsageError(f"{directory}/run.sqlite is damaged ({found}); nothing was changed: restore a copy.")
            return cls(directory, _connect(directory / "run.sqlite"), lock)

    def record(self, step: int, info: Mapping[str, Any]) -> None:
        """Store what a step said: scalars as metrics, event batches as their rows."""
        with self._writing():
            rows = []
            for name, value in info.items():
                if isinstance(value, Born):
                    self._born(step, value)
                elif isinstance(value, Cloud):
                    self._database.executemany(clouds.INSERT, clouds.rows(step, self._name(name), value))
                elif isinstance(value, tuple):
                    self._event(step, value)
                else:
                    rows.append((self._name(name), step, value if isinstance(value, str) else float(value)))
            self._database.executemany("INSERT INTO metrics VALUES (?, ?, ?)", rows)

    def put(self, data: bytes) -> str:
        """Keep `data` in the blob store, once however often it is put; its id is its content's."""
        name = hashlib.sha256(data).hexdigest()[:32]
        with self._writing():
            self._database.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (name, data))
        return name

    def append(self, table: str, row: tuple[Any, ...]) -> None:
        """Add what the world outside said to one of its tables, with the time of day if that is a column; commit."""
        stamped = (*row, time.time()) if table != "orders" else row
        places = ", ".join("?" * len(stamped))
        with self._writing():
            self._database.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", stamped)
            self._commit()

    def look_up(self, query: str, *arguments: Any) -> tuple[Any, ...] | None:
        """The first row that a query finds, among what is not committed yet too."""
        with self._guard, _explained(self.directory):
            return self._database.execute(query, arguments).fetchone()

    def note(self, **values: Any) -> None:
        """Set facts about the run, such as its status, and commit them."""
        with self._writing():
            self._database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())
            self._commit()

    def save(self, step: int, state: Any, seconds: float) -> None:
        """Write the checkpoint before `step`, after the rows of the earlier steps are safely on disk."""
        from aiga.core import trees  # jax is needed to save, not to write

        with self._writing():
            self._commit()
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('checkpoint', ?)", (step,))
            self._commit()
            self._database.execute("PRAGMA synchronous=NORMAL")
            latest = self.directory / "checkpoint.npz"
            if latest.exists():
                os.replace(latest, self.directory / "checkpoint.previous.npz")
            trees.save(latest, state, step=step, seconds=seconds)

    def rewind(self, step: int) -> None:
        """Forget the rows of `step` and later."""
        with self._writing():
            for table in ("metrics", "lineage", "events", "clouds"):
                self._database.execute(f"DELETE FROM {table} WHERE step >= ?", (step,))
            self._commit()

    def close(self) -> None:
        """Commit and let the directory go."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._committer.join()
        with self._guard, _explained(self.directory):
            try:
                self._commit()
            finally:
                self._database.close()
                os.close(self._lock)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._guard, _explained(self.directory):
            if self._failure is not None:
                raise self._failure
            if not self._database.in_transaction:
                self._database.execute("BEGIN")
            yield

    def _commit(self) -> None:
        if self._database.in_transaction:
            self._database.execute("COMMIT")

    def _commit_regularly(self) -> None:
        while not self._closed.wait(COMMIT_EVERY):
            with self._guard:
                try:
                    self._commit()
                except sqlite3.Error as error:  # raised at the next write
                    self._failure = error

    def _name(self, name: str) -> int:
        if name not in self._names:
            cursor = self._database.execute("INSERT INTO names (name) VALUES (?)", (name,))
            self._names[name] = int(cursor.lastrowid or 0)
        return self._names[name]

    def _born(self, step: int, born: Born) -> None:
        kept = np.asarray(born.kept)
        rows = np.flatnonzero(kept)
        parents = packed(np.asarray(born.parents)[rows])
        first = parents[:, 0].tolist() if parents.size else [-1] * rows.size
        columns = (
            packed(np.asarray(born.id)[rows]).tolist(),
            [None if parent < 0 else parent for parent in first],
            [
                json.dumps([p for p in row if p >= 0]) if max(row, default=-1) >= 0 else None
                for row in parents[:, 1:].tolist()
            ],
            kept[rows].tolist(),
            np.asarray(born.fitness)[rows].tolist(),
            *(_column(values, rows) for values in (born.cell, born.replaced, born.noise, born.sign, born.blob)),
        )
        operator = self._name(born.operator)
        self._database.executemany(
            f"INSERT INTO lineage VALUES (?, {step}, ?, ?, {operator}, ?, ?, ?, ?, ?, ?, ?)",
            zip(*columns, strict=True),
        )

    def _event(self, step: int, event: Any) -> None:
        data = json.dumps(event._asdict(), default=lambda x: np.asarray(x).tolist())
        row = (step, time.time(), type(event).__name__.lower(), data)
        self._database.execute("INSERT INTO events (step, time, kind, data) VALUES (?, ?, ?, ?)", row)


def check_schema(directory: Path) -> dict[str, Any]:
    """The manifest of the run in `directory`, if this version of aiga can read it."""
    try:
        manifest = json.loads((directory / "run.json").read_text())
        schema = manifest["schema"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{directory} holds no run (it has no run.json): give the folder of a run.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{directory}/run.json cannot be read ({error}): restore a copy; nothing was changed."
        ) from error
    if schema != SCHEMA:
        mend = "upgrade with `pip install -U aiga`" if schema > SCHEMA else "use the version of aiga that wrote it"
        raise UsageError(f"{directory} has format {schema} and this version of aiga reads format {SCHEMA}: {mend}.")
    if not (directory / "run.sqlite").exists():
        raise UsageError(f"{directory} has lost its run.sqlite: restore a copy; nothing was changed.")
    return manifest


def _column(values: Any, rows: np.ndarray) -> list[Any]:
    """The rows of an optional column as Python values, identities packed, nobody as NULL."""
    if values is None:
        return [None] * rows.size
    if isinstance(values, (list, tuple)):
        return [values[row] for row in rows]
    values = np.asarray(values)[rows]
    if values.ndim == 2:
        return [None if value < 0 else value for value in packed(values).tolist()]
    return values.tolist()


def connect_to_read(directory: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    return sqlite3.connect(f"{(directory / 'run.sqlite').resolve().as_uri()}?mode=ro", uri=True, timeout=30)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    return database


def _locked(directory: Path) -> int:
    lock = os.open(directory / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise UsageError(f"{directory} is being written by another process: stop that one first.") from error
    return lock


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Say in one sentence what the operating system or the database refused."""
    try:
        yield
    except sqlite3.Error as error:
        if "full" in str(error) or "I/O" in str(error):
            mend = f"free some space, then `aiga resume {directory}`"
            raise UsageError(f"{directory} cannot be written ({error}): {mend}.") from error
        raise UsageError(f"{directory}/run.sqlite cannot be used ({error}): restore a copy of it.") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        mend = f"free some space, then `aiga resume {directory}`" if full else "give --out a folder that you may write"
        raise UsageError(f"{directory} cannot be written ({error.strerror}): {mend}.") from error
