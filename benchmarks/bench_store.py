"""The run store: lineage rows a second, also while they are read, and how soon a large run is open."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measure import row

from aiga.core.trees import identities
from aiga.runs.events import Born, Failed
from aiga.runs.record import Run
from aiga.runs.store import Store

MANIFEST = {"system": "bench", "options": {}, "seed": 0, "sandbox": None, "model": None}
STEPS, BATCH = 1_000, 1_000
EVENT = Failed("bench", "an event of a usual length, with a reason that fills about half a line of the terminal")
READER = """
import pathlib, sys, time
from aiga.runs.record import Run
while not pathlib.Path(sys.argv[1], "run.json").exists():
    time.sleep(0.01)
run, last = Run(sys.argv[1]), -1
while True:
    for name in list(run.summary()["metrics"])[:1]:
        run.metric(name)
    rows = run.query("SELECT id, parent, fitness FROM lineage WHERE id > ? ORDER BY id LIMIT 20000", last)
    last = rows[-1][0] if rows else last
    sys.stdout.write(".")
    sys.stdout.flush()
    time.sleep(0.2)
"""
"""Follows a run as a dashboard does, five times a second."""


def rows() -> list[dict[str, Any]]:
    """Write a million lineage rows twice, then a million events, and open the run; ratios to the limits that we set."""
    with tempfile.TemporaryDirectory() as folder:
        alone = _written(Path(folder) / "alone")
        with _reader(Path(folder) / "read"):
            read = _written(Path(folder) / "read")
        _add_events(Path(folder) / "read")
        opening = [_seconds(lambda: Run(Path(folder) / "read").summary()) for _ in range(5)]
        command = [sys.executable, "-m", "aiga", "show", str(Path(folder) / "read"), "--json"]
        showing = [_seconds(lambda: subprocess.run(command, capture_output=True, check=True)) for _ in range(5)]
    return [
        row("store", "lineage rows a second", "rows/s", alone, 20_000, "budget"),
        row("store", "lineage rows a second, while it is read", "rows/s", read, 20_000, "budget"),
        _within("opening a run of a million rows and events", median(opening)),
        _within("`aiga show` of a million rows and events", median(showing)),
    ]


def _within(name: str, seconds: float) -> dict[str, Any]:
    return row("store", name, "s", seconds, 2.0, "budget", smaller_is_better=True)


def _written(directory: Path) -> float:
    """Rows a second, the median of five fifths of a run."""
    store = Store.create(directory, MANIFEST)
    rate = median(_fill(store, fifth) for fifth in range(5))
    store.note(status="finished")
    store.close()
    return rate


def _fill(store: Store, fifth: int) -> float:
    started = time.perf_counter()
    for step in range(fifth * STEPS // 5, (fifth + 1) * STEPS // 5):
        births = identities(step, BATCH, np)
        parents = births[:, None] - np.array([1, 0])
        fitness = np.linspace(0, 1, BATCH)
        born = Born(births, parents, "bench", np.ones(BATCH), fitness, cell=births[:, 1], replaced=births)
        store.record(step, {"bench/step": step, "run/steps": step + 1, "run/seconds": float(step), "born": born})
    store.note()
    return STEPS * BATCH / 5 / (time.perf_counter() - started)


def _add_events(directory: Path) -> None:
    store = Store.open(directory)
    for step in range(STEPS):
        store.record(STEPS + step, {f"event {i}": EVENT for i in range(BATCH)})
    store.close()


@contextlib.contextmanager
def _reader(directory: Path) -> Iterator[None]:
    """Another process reads `directory`, once it is there, until the block ends."""
    with subprocess.Popen([sys.executable, "-c", READER, str(directory)], stdout=subprocess.PIPE) as process:
        try:
            yield
            assert process.poll() is None, "the reader gave up"
        finally:
            process.kill()
        assert process.stdout is not None
        assert process.stdout.read().count(b".") > 2, "nothing was read"


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
