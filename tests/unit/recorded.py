"""Run directories that were written by hand: numbers that a test knows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiga.runs.record import Run
from aiga.runs.store import Store

CREATED = "2026-01-02T03:04:05+0000"


def recorded(
    directory: Path,
    metrics: Mapping[str, Sequence[Any]],
    *,
    seed: int = 0,
    system: str = "map_elites",
    status: str = "finished",
    seconds: float = 10.0,
    **options: Any,
) -> Run:
    """A run of a step for each value, `seconds` apart; None: not recorded at that step."""
    asked = {"system": system, "options": options, "seed": seed, "preset": "laptop", "model": None, "sandbox": None}
    store = Store.create(directory, {**asked, "created": CREATED})
    for step in range(max(map(len, metrics.values()), default=0)):
        here = {name: values[step] for name, values in metrics.items() if step < len(values)}
        info = {name: value for name, value in here.items() if value is not None}
        store.record(step, {"run/steps": step + 1, "run/seconds": seconds * (step + 1)} | info)
    store.note(status=status)
    store.close()
    return Run(directory)
