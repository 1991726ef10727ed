"""A run of many births, written straight into its database."""

import sqlite3
from pathlib import Path

import numpy as np

from aiga.runs.record import Run
from aiga.runs.store import Store

CELLS = 2_500
BATCH = 100


def large_run(directory: Path, births: int, metrics: int = 100) -> Run:
    """A run of `map_elites` in which each birth has a parent of a few thousand births before, and takes a cell."""
    Store.create(directory, {"system": "map_elites", "options": {}, "seed": 0, "model": "", "sandbox": ""}).close()
    rng, row = np.random.default_rng(0), np.arange(births)
    ids, cell = ((row // BATCH) << 32) | (row % BATCH), rng.integers(0, CELLS, births)
    back = BATCH + rng.exponential(3_000, births).astype(int)
    parent = np.where(row < BATCH, -1, ids[np.maximum(row - back, 0)])
    order = np.argsort(cell, kind="stable")
    before = np.where(np.diff(cell[order], prepend=-1) == 0, np.roll(ids[order], 1), -1)
    replaced = np.empty(births, np.int64)
    replaced[order] = before
    fitness = rng.random(births) + row / births
    columns = (ids, row // BATCH, _nullable(parent), np.where(replaced < 0, 2, 1), fitness, cell, _nullable(replaced))
    rows = zip(*(column if isinstance(column, list) else column.tolist() for column in columns), strict=True)
    with sqlite3.connect(directory / "run.sqlite") as database:
        database.executemany("INSERT INTO names VALUES (?, ?)", [(1, "archive/best"), (2, "gaussian")])
        database.executemany("INSERT INTO lineage VALUES (?, ?, ?, NULL, 2, ?, ?, ?, ?, NULL, NULL, NULL)", rows)
        values = np.sin(np.arange(metrics) / 50).tolist()
        database.executemany("INSERT INTO metrics VALUES (1, ?, ?)", enumerate(values))
    database.close()
    return Run(directory)


def _nullable(identities: np.ndarray) -> list[int | None]:
    return [None if identity < 0 else identity for identity in identities.tolist()]
