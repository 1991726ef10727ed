"""Runs of a handful of births, written by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aiga.runs.events import Born
from aiga.runs.store import Store

MANIFEST = {"system": "map_elites", "options": {}, "seed": 0, "model": "", "sandbox": ""}
NOBODY = (-1, -1)


class Birth(NamedTuple):
    """One candidate that the archive took in, the only one of its step."""

    step: int
    parent: int = -1
    """The step of its birth; -1: nobody."""
    fitness: float = 0.0
    cell: int | None = None
    replaced: int = -1
    text: bytes | None = None
    other: int = -1


def name(step: int) -> str:
    """What the one who was born then is called."""
    return str(step << 32)


def written(directory: Path, births: Sequence[Birth], *infos: dict[str, Any], **manifest: Any) -> Path:
    """A run of these births, and of what else the steps after them said."""
    store = Store.create(directory, {**MANIFEST, **manifest})
    for birth in births:
        blob = None if birth.text is None else [store.put(birth.text)]
        parents = np.array([[_identity(birth.parent), _identity(birth.other)]])
        one, replaced = np.array([_identity(birth.step)]), np.array([_identity(birth.replaced)])
        cell = None if birth.cell is None else [birth.cell]
        fitness, kept = np.array([birth.fitness]), np.array([2 if birth.replaced < 0 else 1])
        born = Born(one, parents, "by hand", kept, fitness, cell, replaced, blob=blob)
        store.record(birth.step, {"born": born, "archive/size": float(birth.step)})
    for step, info in enumerate(infos, start=len(births)):
        store.record(step, info)
    store.close()
    return directory


def _identity(step: int) -> tuple[int, int]:
    return NOBODY if step < 0 else (step, 0)
