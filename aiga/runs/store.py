"""The run directory: what a run writes while it lives.

`run.json` says what was run; `run.sqlite` (WAL: others read it while it is written) holds metrics, lineage, events and
blobs; `checkpoint.npz` holds the state, and the one before it is kept.  A row is committed within a second or so of
its step; a checkpoint is written after the rows of its steps are on disk, so a resumed run drops the rows beyond its
checkpoint and writes them again.  What the world outside said (calls of models, results of programs, what agents
finished, what a person allowed, the order in which answers came) is committed at once and never dropped: a resumed run
is told the same.  Reading is `aiga.runs.record`.
"""

import contextlib
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
from aiga.runs.folder import (
    SCHEMA,
    SEAL,
    UNFINISHED,
    check_place,
    check_schema,
    check_seal,
    connect_to_read,
    explained,
    locked,
    seal,
    vacate,
    write,
)

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
CREATE INDEX IF NOT EXISTS calls_by_cost ON calls (key, usd, tokens_in, tokens_out);
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
        self._columns = _columns()
        self._guard = threading.Lock()  # the committer and the loop share the connection
        self._closed = threading.Event()
        self._failure: UsageError | None = None
        self._committer = threading.Thread(target=self._commit_regularly, daemon=True)
        self._committer.start()

    @classmethod
    def create(cls, directory: Path, manifest: Mapping[str, Any]) -> "Store":
        """Start a run in `directory`, which must be new or empty, or left by a process that was killed in here."""
        with explained(directory, "give --out a folder that you may write"), contextlib.ExitStack() as undo:
            vacate(directory)
            lock = locked(directory)
            undo.callback(os.close, lock)
            vacate(directory)  # again: another process may have been faster
            for name in UNFINISHED - {"run.lock", "media"}:
                (directory / name).unlink(missing_ok=True)
            (directory / "media").mkdir(exist_ok=True)
            database = undo.enter_context(contextlib.closing(_connect(directory / "run.sqlite")))
            database.executescript(TABLES)
            database.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA,))
            written = json.dumps({**manifest, "schema": SCHEMA}, indent=2) + "\n"
            write(directory / "run.json", written)  # last: a folder with run.json is a complete run
            store = cls(directory, database, lock)
            undo.pop_all()
            return store

    @classmethod
    def open(cls, directory: Path) -> "Store":
        """Continue writing the run in `directory`."""
        check_schema(directory)
        with explained(directory), contextlib.ExitStack() as undo:
            lock = locked(directory)
            undo.callback(os.close, lock)
            check_seal(directory)
            with contextlib.closing(connect_to_read(directory)) as database:
                found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
                schema = database.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
            if found != "ok" or schema != (SCHEMA,):
                raise UsageError(f"{directory}/run.sqlite is damaged ({found}); nothing was changed: restore a copy.")
            database = undo.enter_context(contextlib.closing(_connect(directory / "run.sqlite")))
            (directory / SEAL).unlink(missing_ok=True)
            store = cls(directory, database, lock)
            undo.pop_all()
            return store

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
            self._database.executemany("INSERT INTO metrics (name, step, value) VALUES (?, ?, ?)", rows)

    def put(self, data: bytes) -> str:
        """Keep `data` in the blob store, once however often it is put; its id is its content's."""
        name = hashlib.sha256(data).hexdigest()[:32]
        with self._writing():
            self._database.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (name, data))
        return name

    def append(self, table: str, row: tuple[Any, ...]) -> None:
        """Add what the world outside said to one of its tables, with the time of day if that is a column; commit."""
        stamped = (*row, time.time()) if table != "orders" else row
        columns, places = ", ".join(self._columns[table]), ", ".join("?" * len(stamped))
        with self._writing():
            self._database.execute(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({places})", stamped)
            self._commit()

    def look_up(self, query: str, *arguments: Any) -> tuple[Any, ...] | None:
        """The first row that a query finds, among what is not committed yet too."""
        with self._guard, explained(self.directory):
            return self._database.execute(query, arguments).fetchone()

    def note(self, **values: Any) -> None:
        """Set facts about the run, such as its status, and commit them."""
        with self._writing():
            self._database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())
            self._commit()

    def save(self, step: int, state: Any, seconds: float) -> None:
        """Write the checkpoint before `step`, after the rows of the earlier steps are safely on disk."""
        from aiga.archives.geometry import boxes
        from aiga.core import trees  # jax is needed to save, not to write

        with self._writing():
            self._commit()
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('checkpoint', ?)", (step,))
            self._commit()
            self._database.execute("PRAGMA synchronous=NORMAL")
            latest, following = self.directory / "checkpoint.npz", self.directory / "checkpoint.next.npz"
            check_place(self.directory, self._lock)
            trees.save(following, state, step=step, seconds=seconds, grids=boxes(state))
            if latest.exists():  # a damaged one was set aside
                os.replace(latest, self.directory / "checkpoint.previous.npz")
            os.replace(following, latest)

    def set_aside(self, checkpoint: str) -> None:
        """Keep a damaged checkpoint out of the way of those that are saved; commit what was said of it."""
        with self._writing():
            self._commit()
            os.replace(self.directory / checkpoint, self.directory / "checkpoint.damaged.npz")

    def rewind(self, step: int) -> None:
        """Forget the rows of `step` and later."""
        with self._writing():
            for table in ("metrics", "lineage", "events", "clouds"):
                self._database.execute(f"DELETE FROM {table} WHERE step >= ?", (step,))
            self._commit()

    def close(self) -> None:
        """Commit, seal, and let the directory go."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._committer.join()
        with self._guard, explained(self.directory):
            try:
                with contextlib.closing(self._database):
                    self._commit()
                if self._failure is None:
                    check_place(self.directory, self._lock)
                    seal(self.directory)
            finally:
                os.close(self._lock)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Nothing is written after a failure: the database may have undone rows that a later checkpoint would miss."""
        with self._guard:
            if self._failure is not None:
                raise self._failure
            try:
                with explained(self.directory):
                    if not self._database.in_transaction:
                        self._database.execute("BEGIN")
                    yield
            except UsageError as error:
                if not isinstance(error.__cause__, sqlite3.IntegrityError):  # of one statement: nothing was undone
                    self._failure = error
                raise

    def _commit(self) -> None:
        if self._database.in_transaction:
            self._database.execute("COMMIT")

    def _commit_regularly(self) -> None:
        while not self._closed.wait(COMMIT_EVERY):
            with self._guard:
                try:
                    with explained(self.directory):
                        self._commit()
                except UsageError as error:  # raised at the next write
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
        operator, names = self._name(born.operator), ", ".join(self._columns["lineage"])
        self._database.executemany(
            f"INSERT INTO lineage ({names}) VALUES (?, {step}, ?, ?, {operator}, ?, ?, ?, ?, ?, ?, ?)",
            zip(*columns, strict=True),
        )

    def _event(self, step: int, event: Any) -> None:
        data = json.dumps(event._asdict(), default=lambda x: np.asarray(x).tolist())
        row = (step, time.time(), type(event).__name__.lower(), data)
        self._database.execute("INSERT INTO events (step, time, kind, data) VALUES (?, ?, ?, ?)", row)


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


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    return database


def _columns() -> dict[str, list[str]]:
    """The columns of every table that this version writes; a later version's may have more."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES + OUTSIDE + clouds.TABLE)
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: [row[1] for row in database.execute(f"PRAGMA table_info({table})")] for table in tables}
