"""How an archive divides the space of descriptors, read from a checkpoint's arrays, without jax."""

import json
import math
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from aiga.runs.record import Run

LARGEST = 1 << 28
"""Bytes of an array that is read, and cells of a division."""


class Boxes(NamedTuple):
    """Cells between edges, rising in each dimension; cell 0 is the lowest in all, and the last dimension runs first."""

    edges: tuple[Float[np.ndarray, " _"], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(edges) - 1 for edges in self.edges)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dimensions(self) -> int:
        return len(self.edges)


class Points(NamedTuple):
    """Cells around points: CVT."""

    centroids: Float[np.ndarray, "cells d"]

    @property
    def size(self) -> int:
        return len(self.centroids)

    @property
    def dimensions(self) -> int:
        return self.centroids.shape[1]


Division = Boxes | Points


def division(run: Run, cells: int) -> Division | None:
    """The first division of at least so many cells in the newest checkpoint; None: there is none, or none is known."""
    for file in ("checkpoint.npz", "checkpoint.previous.npz"):
        try:
            found = _divisions(run.directory / file)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):  # the run is shown without it
            continue
        return next((one for one in found if cells <= one.size <= LARGEST), None)
    return None


def _divisions(path: Path) -> list[Division]:
    with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
        note = json.loads(str(file[""]))["note"]
        small = [name for name in file.files if file.zip.getinfo(f"{name}.npy").file_size <= LARGEST]
        found: list[Division] = [_box(grid) for grid in note.get("grids", {}).values()]
        found += [Points(_table(file[name])) for name in small if name.endswith("cells.centroids")]
        edges = [_table(file[name]) for name in small if name.endswith("cells.edges")]
        return found + [_rising(*rows) for rows in edges]


def _box(told: dict[str, Any]) -> Boxes:
    dimensions = list(zip(told["low"], told["high"], told["shape"], strict=True))
    if not dimensions or any(not 0 < count <= LARGEST >> 10 for _, _, count in dimensions):
        raise ValueError(f"{told} is no grid")
    return _rising(*(np.linspace(float(low), float(high), int(count) + 1) for low, high, count in dimensions))


def _rising(*edges: np.ndarray) -> Boxes:
    if not all(np.isfinite(axis).all() and len(axis) > 1 and (np.diff(axis) > 0).all() for axis in edges):
        raise ValueError("the edges of cells must rise")
    return Boxes(edges)


def _table(values: np.ndarray) -> Float[np.ndarray, "n d"]:
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"{values.shape} is no table of finite numbers")
    return values.astype(float)
