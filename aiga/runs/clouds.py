"""Clouds of pseudo-offspring in the run directory: a row a generation, its individuals as blobs of numbers.

What VINE needs of a generation, Wang, Clune & Stanley (2018), https://arxiv.org/abs/1805.01141: behaviour, fitness,
noise and sign of every individual, and its parent.  Behaviours and fitnesses are kept as floats of four bytes, places
in the noise table and identities as integers of eight.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Int8, Int64, UInt32

from aiga.core.errors import UsageError
from aiga.runs.events import Cloud

DENSE = 128
"""Twice as many steps are recorded in full; then every second one, until there are again twice as many, and so on."""
REAL, WHOLE, SIGN, WORD = np.dtype("<f4"), np.dtype("<i8"), np.dtype("i1"), np.dtype("<u4")
# The genome last: whoever reads the columns before it does not touch its pages.
TABLE = """
CREATE TABLE IF NOT EXISTS clouds (id INTEGER PRIMARY KEY, step INTEGER, series INTEGER, generation INTEGER,
                                   parent INTEGER, fitness REAL, size INTEGER, dimensions INTEGER, names TEXT,
                                   sigma REAL, place BLOB, behaviours BLOB, fitnesses BLOB, noise BLOB, sign BLOB,
                                   parents BLOB, key BLOB, context BLOB, genome BLOB);
"""
COLUMNS = "step, series, generation, parent, fitness, size, dimensions, names, sigma, place"
COLUMNS += ", behaviours, fitnesses, noise, sign, parents, key, context, genome"
INSERT = f"INSERT INTO clouds ({COLUMNS}) VALUES (?{', ?' * 17})"
LISTED = "clouds.id, step, names.name, generation, parent, fitness, size, dimensions"
WHOLE_ROW = f"{LISTED}, names, sigma, place, behaviours, fitnesses, noise, sign, parents, key, context, genome"

Query = Callable[..., Iterable[tuple[Any, ...]]]
"""From a statement and its arguments to rows."""


class Listed(NamedTuple):
    """A generation of pseudo-offspring, without its individuals."""

    id: int
    step: int
    series: str
    generation: int
    """Of its line; where it does not grow, another line begins."""
    parent: int
    """Birth step · 2³² + index; -1: nobody whom the lineage knows."""
    fitness: float
    """Of the parent; NaN: it was not evaluated."""
    size: int
    dimensions: int


class Recorded(NamedTuple):
    """A generation of `n` pseudo-offspring, and what is needed to have them again; None: that was not recorded."""

    about: Listed
    names: tuple[str, ...]
    """Of the dimensions of behaviour."""
    sigma: float
    parent_behaviour: Float32[np.ndarray, " d"] | None
    behaviour: Float32[np.ndarray, "n d"]
    fitness: Float32[np.ndarray, " n"]
    noise: Int64[np.ndarray, " n"]
    sign: Int8[np.ndarray, " n"]
    parents: Int64[np.ndarray, " n"] | None
    key: UInt32[np.ndarray, " k"]
    context: Float32[np.ndarray, " c"] | None
    genome: Float32[np.ndarray, " p"] | None


class Points(NamedTuple):
    """The individuals of many generations, one after the other, and the generations that they are of."""

    listed: list[Listed]
    names: tuple[str, ...]
    parents: Float32[np.ndarray, "g d"]
    """How the parents behaved; the middle of their offspring, where a parent was not evaluated."""
    behaviour: Float32[np.ndarray, "n d"]
    fitness: Float32[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]
    """Of the generation."""


def packed(identities: np.ndarray) -> np.ndarray:
    """Pairs (birth step, index) as single integers; nobody becomes -1."""
    birth, index = identities[..., 0].astype(np.int64), identities[..., 1].astype(np.int64)
    return np.where(birth < 0, -1, (birth << 32) | index)


def remembered(step: int) -> bool:
    """Whether the clouds of a step are kept: a run that goes on for ever would fill the disk with them."""
    return step % (1 << max(0, (step // DENSE).bit_length() - 1)) == 0


def rows(step: int, series: int, cloud: Cloud) -> Iterator[tuple[Any, ...]]:
    """What is stored of an event, as values of `INSERT`."""
    if not remembered(step):
        return
    behaviour = np.asarray(cloud.behaviour)
    kept = np.ones(len(behaviour), bool) if cloud.kept is None else np.asarray(cloud.kept).astype(bool)
    parent, generation = packed(np.asarray(cloud.parent)), np.asarray(cloud.generation)
    parents = None if cloud.parents is None else packed(np.asarray(cloud.parents))
    for i in np.flatnonzero(kept).tolist():
        yield (
            step,
            series,
            int(generation[i]),
            int(parent[i]),
            _number(cloud.parent_fitness, i),
            *behaviour.shape[1:],
            json.dumps(cloud.names),
            _number(cloud.sigma, i),
            _bytes(cloud.parent_behaviour, i, REAL),
            _bytes(behaviour, i, REAL),
            _bytes(cloud.fitness, i, REAL),
            _bytes(cloud.noise, i, WHOLE),
            _bytes(cloud.sign, i, SIGN),
            _bytes(parents, i, WHOLE),
            _bytes(cloud.key, i, WORD),
            _bytes(cloud.context, i, REAL),
            _bytes(cloud.genome, i, REAL),
        )


def listed(query: Query) -> list[Listed]:
    """All generations, in the order in which they were recorded."""
    found = query(f"SELECT {LISTED} FROM clouds JOIN names ON names.id = series ORDER BY clouds.id")
    return [_listed(row) for row in found]


def recorded(query: Query, number: int) -> Recorded:
    """One generation with all that was kept of it."""
    statement = f"SELECT {WHOLE_ROW} FROM clouds JOIN names ON names.id = series WHERE clouds.id = ?"
    row = next(iter(query(statement, number)), None)
    if row is None:
        raise UsageError(f"there is no cloud {number}: `Run.clouds` lists those that were recorded.")
    about, (names, sigma, place, behaviours, fitnesses, noise, sign, parents, key, context, genome) = row[:8], row[8:]
    about = _listed(about)
    return Recorded(
        about,
        tuple(json.loads(names)),
        float("nan") if sigma is None else sigma,
        _array(place, REAL),
        np.frombuffer(behaviours, REAL).reshape(about.size, about.dimensions),
        np.frombuffer(fitnesses, REAL),
        np.frombuffer(noise, WHOLE),
        np.frombuffer(sign, SIGN),
        _array(parents, WHOLE),
        np.frombuffer(key, WORD),
        _array(context, REAL),
        _array(genome, REAL),
    )


def points(query: Query, series: str) -> Points:
    """Behaviour and fitness of all individuals of a series."""
    statement = (
        f"SELECT {LISTED}, names, place, behaviours, fitnesses FROM clouds JOIN names ON names.id = series "
        "WHERE names.name = ? ORDER BY clouds.id"
    )
    found = list(query(statement, series))
    if not found:
        raise UsageError(f"there is no series `{series}` of clouds: `Run.clouds` lists those that were recorded.")
    about = [_listed(row[:8]) for row in found]
    dimensions = about[-1].dimensions
    behaviours = [np.frombuffer(row[10], REAL).reshape(-1, dimensions) for row in found]
    places = [_middle(row[9], behaviour) for row, behaviour in zip(found, behaviours, strict=True)]
    return Points(
        about,
        tuple(json.loads(found[-1][8])),
        np.stack(places),
        np.concatenate(behaviours),
        np.frombuffer(b"".join(row[11] for row in found), REAL),
        np.repeat(np.arange(len(about)), [one.size for one in about]),
    )


def _middle(place: bytes | None, behaviour: Float[np.ndarray, "n d"]) -> Float32[np.ndarray, " d"]:
    """The parent's behaviour, or the mean of its offspring's."""
    own = _array(place, REAL)
    if own is not None and np.isfinite(own).all():
        return own
    known = behaviour[np.isfinite(behaviour).all(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(behaviour.shape[1], np.nan, REAL)


def _listed(row: tuple[Any, ...]) -> Listed:
    return Listed(*row)._replace(fitness=float("nan") if row[5] is None else row[5])


def _array(data: bytes | None, kind: np.dtype) -> np.ndarray | None:
    return None if data is None else np.frombuffer(data, kind)


def _bytes(values: Any, row: int, kind: np.dtype) -> bytes | None:
    return None if values is None else np.ascontiguousarray(np.asarray(values)[row], kind).tobytes()


def _number(values: Any, row: int) -> float | None:
    return None if values is None else float(np.asarray(values)[row])
