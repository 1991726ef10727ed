"""Reading a run directory, also while it is written, and without jax."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aiga.core.errors import UsageError
from aiga.runs import clouds
from aiga.runs.clouds import Listed, Points, Recorded
from aiga.runs.folder import NO_SPACE, REFUSED, check_schema, code_of, connect_to_read, is_written

COLUMNS = ("id", "step", "parent", "others", "operator", "kept", "fitness", "cell", "replaced", "noise", "sign", "blob")
KINDS = {"others": "O", "fitness": "f8", "blob": "O"}
"""Of columns that are no integers."""


class Series(NamedTuple):
    """One metric over the steps."""

    steps: np.ndarray
    values: np.ndarray


class Run:
    """A run directory as a value: what was run, how it went, and what it left."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.manifest: Mapping[str, Any] = check_schema(self.directory)

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"

    @property
    def system(self) -> str:
        return self.manifest["system"]

    @property
    def options(self) -> Mapping[str, Any]:
        return self.manifest["options"]

    @property
    def media(self) -> Path:
        """Pictures and films of the run."""
        return self.directory / "media"

    @property
    def status(self) -> str:
        """running, finished, stopped (by a person or a limit of time), budget, failed, or killed."""
        status = str(self._meta().get("status", "running"))
        return "killed" if status == "running" and not is_written(self.directory) else status

    @property
    def reason(self) -> str:
        """Why it ended, where a budget or a fault ended it."""
        return str(self._meta().get("reason", ""))

    @property
    def approve(self) -> str:
        """Who allows what agents wrote, as `--approve` said last."""
        first = self.manifest.get("outside", {}).get("approve", "auto")
        return str(self._meta().get("approve", first))

    @property
    def saved(self) -> int:
        """The step up to which all rows were on disk before a checkpoint was written."""
        return int(self._meta().get("checkpoint", 0))

    def summary(self) -> dict[str, Any]:
        """What `aiga show --json` prints."""
        latest = self.latest()
        with self._legible():
            steps, seconds = int(latest.get("run/steps", 0)), float(latest.get("run/seconds", 0.0))
        return {
            "system": self.system,
            "options": dict(self.options),
            "seed": self.manifest["seed"],
            "status": self.status,
            "steps": steps,
            "seconds": seconds,
            "metrics": latest,
            "archive": {n.removeprefix("archive/"): v for n, v in latest.items() if n.startswith("archive/")},
            "cost": self.cost(),
            "sandbox": self.manifest.get("sandbox"),
            "model": self.manifest.get("model"),
        }

    def latest(self) -> dict[str, Any]:
        """The last value of every metric."""
        query = (
            "SELECT names.name, (SELECT value FROM metrics WHERE metrics.name = names.id ORDER BY step DESC LIMIT 1) "
            "FROM names WHERE EXISTS (SELECT 1 FROM metrics WHERE metrics.name = names.id) ORDER BY names.id"
        )
        return {name: float("nan") if value is None else value for name, value in self._query(query)}

    def changing(self) -> list[str]:
        """The metrics that had more than one value."""
        of = "FROM metrics WHERE metrics.name = names.id"
        changes = f"EXISTS (SELECT 1 {of} AND value IS NOT (SELECT value {of} ORDER BY step LIMIT 1))"
        return [name for (name,) in self._query(f"SELECT name FROM names WHERE {changes} ORDER BY id")]

    def metric(self, name: str) -> Series:
        """A metric over the steps; unknown names are answered with those that exist."""
        query = "SELECT step, value FROM metrics WHERE name = (SELECT id FROM names WHERE name = ?) ORDER BY step"
        rows = list(self._query(query, name))
        if not rows:
            raise UsageError(f"{self.directory} has no metric {name!r}; it has {', '.join(self.latest()) or 'none'}.")
        steps, values = zip(*rows, strict=True)
        return Series(np.array(steps), np.array([np.nan if value is None else value for value in values]))

    def lineage(self, *columns: str) -> dict[str, np.ndarray]:
        """Who was born of whom, a row for each candidate an archive took in, in order of birth; all columns, or some.

        An identity is birth step · 2³² + index, and -1 is nobody; further parents are a JSON list in `others`.
        """
        wanted = columns or COLUMNS
        if unknown := set(wanted) - set(COLUMNS):
            raise UsageError(f"the lineage has no column {', '.join(sorted(unknown))}; it has {', '.join(COLUMNS)}.")
        chosen = ", ".join(name if name in KINDS else f"coalesce({name}, -1)" for name in wanted)
        types = [(name, KINDS.get(name, "i8")) for name in wanted]
        try:
            with self._reading() as database:
                names = dict(database.execute("SELECT id, name FROM names"))
                rows = np.fromiter(database.execute(f"SELECT {chosen} FROM lineage ORDER BY id"), types)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{self.directory}/run.sqlite is damaged ({error}): restore a copy of it.") from error
        found = {name: np.ascontiguousarray(rows[name]) for name in wanted}
        if "operator" in found:
            found["operator"] = np.array([names.get(number, "") for number in found["operator"].tolist()], object)
        return found

    def ancestors(self, identity: int | np.integer) -> list[int]:
        """The line of first parents of an elite, from itself back to the first that is on record."""
        climb = (
            "WITH RECURSIVE line (id, parent) AS (SELECT id, parent FROM lineage WHERE id = ? UNION ALL SELECT "
            "lineage.id, lineage.parent FROM line JOIN lineage ON lineage.id = line.parent AND lineage.id < line.id) "
        )
        climb += "SELECT id FROM line ORDER BY id DESC"
        return [row for (row,) in self._query(climb, int(identity))]  # SQLite takes a number of NumPy for a blob

    def events(self, kind: str | None = None) -> Iterator[dict[str, Any]]:
        """What happened, in order: dicts of step, time, kind and the event's fields."""
        condition = "" if kind is None else "WHERE kind = ?"
        arguments = () if kind is None else (kind,)
        for step, time, name, data in self._query(
            f"SELECT step, time, kind, data FROM events {condition} ORDER BY seq", *arguments
        ):
            with self._legible():
                event = {"step": step, "time": time, "kind": name, **json.loads(data)}
            yield event

    def clouds(self) -> list[Listed]:
        """The recorded generations of pseudo-offspring, in order, without what is in them."""
        return clouds.listed(self._of_clouds)

    def cloud(self, number: int) -> Recorded:
        """A generation of pseudo-offspring, by the number that `clouds` gives as its id."""
        return clouds.recorded(self._of_clouds, number)

    def pseudo_offspring(self, series: str) -> Points:
        """How all individuals of a series of generations behaved, without their genomes."""
        return clouds.points(self._of_clouds, series)

    def blob(self, name: str) -> bytes:
        """The bytes that were put under this id."""
        row = next(iter(self._query("SELECT data FROM blobs WHERE id = ?", name)), None)
        if row is None:
            raise UsageError(f"{self.directory} has no blob {name!r}: ids stand in the `blob` column of the lineage.")
        if hashlib.sha256(row[0]).hexdigest()[: len(name)] != name:
            raise UsageError(f"{self.directory}/run.sqlite is damaged (blob {name} has changed): restore a copy of it.")
        return row[0]

    def calls(self) -> Iterator[dict[str, Any]]:
        """Every attempt of every call of a foundation model, in order: prompts, replies, failures, costs."""
        names = ("task", "model", "attempt", "outcome", "tokens_in", "tokens_out", "usd", "seconds", "time", "key")
        columns = ", ".join(names)
        for *row, request, reply in self._outside(f"SELECT {columns}, request, reply FROM calls ORDER BY rowid"):
            told = {"request": _unpacked(request), "reply": _unpacked(reply)}
            yield dict(zip(names, row, strict=True)) | told

    def cost(self) -> dict[str, float]:
        """Dollars and tokens of foundation models, failed attempts included, and how many calls there were."""
        query = (
            "SELECT coalesce(sum(usd), 0.0), coalesce(sum(tokens_in + tokens_out), 0), count(DISTINCT key) FROM calls"
        )
        return dict(zip(("usd", "tokens", "calls"), next(self._outside(query), (0.0, 0, 0)), strict=True))

    def programs_run(self) -> int:
        """How many programs ran in the sandbox."""
        return next(self._outside("SELECT count(*) FROM programs"), (0,))[0]

    @cached_property
    def state(self) -> Any:
        """The state in the newest checkpoint that can be read."""
        from aiga.runs.loop import final_state  # jax, only when the state is wanted

        return final_state(self)

    @property
    def bare(self) -> bool:
        """Whether nothing came of it: no step, and no answer from the world outside."""
        finished = next(self._outside("SELECT count(*) FROM finished"), (0,))[0]
        return not (self.summary()["steps"] or self.cost()["calls"] or self.programs_run() or finished)

    def _meta(self) -> dict[str, Any]:
        return dict(self._query("SELECT name, value FROM meta"))

    def _outside(self, query: str) -> Iterator[tuple[Any, ...]]:
        """As `_query`; nothing in a run of a version that had no such tables."""
        tables = {row[0] for row in self._query("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if {"calls", "programs"} <= tables:
            yield from self._query(query)

    def _of_clouds(self, query: str, *arguments: Any) -> Iterator[tuple[Any, ...]]:
        """As `_query`; nothing in a run of a version that recorded none."""
        if any(self._query("SELECT 1 FROM sqlite_master WHERE name = 'clouds'")):
            yield from self._query(query, *arguments)

    def query(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What a query finds, for readers that need few rows; the tables are those of `aiga.runs.store`."""
        return list(self._query(query, *arguments))

    def _query(self, query: str, *arguments: Any) -> Iterator[tuple[Any, ...]]:
        with self._reading() as database:
            yield from database.execute(query, arguments).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._legible(), closing(connect_to_read(self.directory)) as database:
            yield database

    @contextmanager
    def _legible(self) -> Iterator[None]:
        """Say in one sentence that the database holds what no run writes."""
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            blocked = code_of(error) in (*NO_SPACE, *REFUSED)
            mend = "copy the folder to where there is space and you may write" if blocked else "restore a copy of it"
            if blocked and not os.access(self.directory / "run.sqlite", os.R_OK):
                mend = "make it readable"
            raise UsageError(f"{self.directory}/run.sqlite cannot be read ({error}): {mend}.") from error


def _unpacked(text: str | None) -> Any:
    """JSON as its value; what a provider said that is none stays a text."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
