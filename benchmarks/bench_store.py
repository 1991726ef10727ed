"""The run store: lineage rows a second into a run directory, and how soon a run of a million rows is open."""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measure import row

from aiga.core.trees import identities
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.store import Store

MANIFEST = {"system": "bench", "options": {}, "seed": 0, "sandbox": None, "model": None}
STEPS, BATCH = 1_000, 1_000


def rows() -> list[dict[str, Any]]:
    """Write a million lineage rows, then open the run; ratios to the limits that we set."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "run", MANIFEST)
        rates = [_fill(store, fifth) for fifth in range(5)]
        store.note(status="finished")
        store.close()
        opening = [_open(store.directory) for _ in range(5)]
    rate, seconds = median(rates), median(opening)
    return [
        row("store", "lineage rows a second", "rows/s", rate, 20_000, "budget"),
        row("store", "opening a run of a million rows", "s", seconds, 2.0, "budget", smaller_is_better=True),
    ]


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


def _open(directory: Path) -> float:
    started = time.perf_counter()
    Run(directory).summary()
    return time.perf_counter() - started
