"""Survivors of a population with several objectives, all maximised: by front, then by crowding distance.

Deb, Pratap, Agarwal & Meyarivan (2002), "A fast and elitist multiobjective genetic algorithm: NSGA-II",
https://doi.org/10.1109/4235.996017.  One individual dominates another if no objective is worse and one is better; the
first front is what nobody dominates, the next what only the first dominates, and so on.

Equal individuals are in the same front.  An individual with a NaN among its objectives has failed: all such form the
last front, behind everyone else.  Of equals in front and crowding distance, the first of the batch comes first.

Every function has two bodies.  Inside `jit`, `vmap` or `scan` it is compiled, for many small populations; called on
arrays, up to three objectives are sorted on the host, where 100,000 individuals take a fraction of a second.
No body needs memory for all pairs.
"""

from bisect import bisect_left, bisect_right
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from aiga.core.errors import UsageError

Placing = tuple[Array, Array, Array]
SWEPT = 3
"""Up to so many objectives are sorted on the host in O(n log^2 n)."""


def fronts(objectives: Float[Array | np.ndarray, "n m"]) -> Int[Array | np.ndarray, " n"]:
    """The front of every individual: 0 is not dominated.

    Compiled, two objectives take n log n operations, more take n^2; on the host, two take n log n and three n log^2 n.
    """
    if objectives.shape[1] == 0:
        raise UsageError("individuals without objectives cannot be compared: give one column per objective.")
    if _traced(objectives) or objectives.shape[1] > SWEPT:
        return _compiled_fronts(jnp.asarray(objectives))
    return _host_fronts(np.asarray(objectives))


def crowding(
    objectives: Float[Array | np.ndarray, "n m"], front: Int[Array | np.ndarray, " n"]
) -> Float[Array | np.ndarray, " n"]:
    """How far an individual's neighbours in its front are apart, summed over objectives in units of the front's range.

    Infinite at both ends of every objective; an objective in which a front does not vary, or varies without
    end, adds nothing else.  Individuals that are equal in an objective lie side by side in the order of the objectives
    before it, then of the batch.
    """
    np_ = jnp if _traced(objectives) or _traced(front) else np
    objectives, front = np_.asarray(objectives), np_.asarray(front)
    n = len(front)
    order = np_.argsort(front, stable=True)
    ordered = front[order]
    first = np_.searchsorted(ordered, ordered)
    last = np_.searchsorted(ordered, ordered, side="right") - 1
    place = np_.arange(n)
    before, after = np_.maximum(place - 1, 0), np_.minimum(place + 1, n - 1)
    total = np_.zeros(n, objectives.dtype)
    for column in objectives.T:
        order = order[np_.lexsort((column[order], ordered))]
        values = column[order]
        finite = np_.where(np_.isfinite(values[first]) & np_.isfinite(values[last]), values, 0)
        extent = finite[last] - finite[first]
        gap = np_.where(extent > 0, finite[after] - finite[before], 0) / np_.where(extent > 0, extent, 1)
        total = total + _returned(np_.where((place == first) | (place == last), np_.inf, gap), order)
    return total


def ranking(objectives: Float[Array | np.ndarray, "n m"]) -> Int[Array | np.ndarray, " n"]:
    """Everyone's row, the fittest first: by front, then the less crowded, then the earlier in the batch."""
    np_ = jnp if _traced(objectives) else np
    front = fronts(objectives)
    return np_.lexsort((-crowding(objectives, front), np_.asarray(front)))


def survivors(objectives: Float[Array | np.ndarray, "n m"], count: int) -> Int[Array | np.ndarray, " count"]:
    """The rows of the `count` fittest, the fittest first; failed ones only if there are not enough others."""
    if not 0 <= count <= len(objectives):
        raise UsageError(f"`count` is {count} of {len(objectives)} individuals: give a number from 0 to that.")
    return ranking(objectives)[:count]


def _traced(x: Any) -> bool:
    return isinstance(x, Tracer)


def _returned(values: Any, order: Any) -> Any:
    """`values`, which are in the given order, in the order of the batch."""
    if isinstance(values, np.ndarray):
        out = np.empty_like(values)
        out[order] = values
        return out
    return jnp.zeros_like(values).at[order].set(values, unique_indices=True)


@jax.jit
def _compiled_fronts(objectives: Float[Array, "n m"]) -> Int[Array, " n"]:
    if not len(objectives):
        return jnp.zeros(0, jnp.int32)
    failed = jnp.isnan(objectives).any(axis=1)
    lowest = jnp.where(failed[:, None], -jnp.inf, objectives)
    front = _swept(lowest, failed) if lowest.shape[1] <= 2 else _chained(lowest, failed)
    behind = jnp.where(failed, -1, front).max(initial=-1) + 1
    return jnp.where(failed, behind, front).astype(jnp.int32)


def _swept(objectives: Float[Array, "n m"], failed: Bool[Array, " n"]) -> Int[Array, " n"]:
    """Fronts of one or two objectives: Jensen (2003), https://doi.org/10.1109/TEVC.2003.817234.

    In lexicographic order, the best first, whoever comes later dominates nobody who came before; so a front dominates
    a newcomer if the best second objective in it is as good.  Those bests fall from front to front.
    """
    first, second = objectives[:, 0], objectives[:, -1]
    order = jnp.lexsort((-second, -first, failed))
    x, y = first[order], second[order]
    again = (x == jnp.roll(x, 1)) & (y == jnp.roll(y, 1)) & (jnp.arange(len(x)) > 0)

    def place(state: Placing, given: tuple[Array, Array]) -> tuple[Placing, Array]:
        bests, count, latest = state
        y, again = given
        behind = jnp.searchsorted(bests, -y, side="right", method="scan_unrolled").astype(jnp.int32)
        front = jnp.where(again, latest, jnp.minimum(behind, count))  # -inf is behind the unused too
        return (bests.at[front].set(-y), jnp.maximum(count, front + 1), front), front

    none = jnp.array(0, jnp.int32)
    _, found = jax.lax.scan(place, (jnp.full(len(x), jnp.inf, x.dtype), none, none), (y, again))
    return _returned(found, order)


def _chained(objectives: Float[Array, "n m"], failed: Bool[Array, " n"]) -> Int[Array, " n"]:
    """Fronts of any number of objectives: one more than the last front that dominates an individual.

    Taken in the order of the sum, over objectives, of how many are worse: exact in integers, and larger for whoever
    dominates.
    """
    worse = jax.vmap(lambda column: jnp.searchsorted(jnp.sort(column), column), in_axes=1)(objectives).sum(axis=0)
    order = jnp.lexsort((-worse, failed))
    points, score = objectives[order], worse[order]

    def place(front: Int[Array, " n"], i: Int[Array, ""]) -> tuple[Int[Array, " n"], None]:
        dominates = (points >= points[i]).all(axis=1) & (score > score[i])
        return front.at[i].set(jnp.where(dominates, front + 1, 0).max()), None

    front, _ = jax.lax.scan(place, jnp.zeros(len(points), jnp.int32), jnp.arange(len(points)))
    return _returned(front, order)


def _host_fronts(objectives: Float[np.ndarray, "n m"]) -> Int[np.ndarray, " n"]:
    failed = np.isnan(objectives).any(axis=1)
    rows = np.flatnonzero(~failed)
    points = -objectives[rows]
    order = np.lexsort(points.T[::-1])
    points = points[order]
    distinct = np.ones(len(points), bool)
    distinct[1:] = (points[1:] != points[:-1]).any(axis=1)
    sweep = _host_three if points.shape[1] == 3 else _host_two
    found = np.array(sweep(points[distinct]), np.int32)
    front = np.full(len(objectives), found.max(initial=-1) + 1, np.int32)
    front[rows[order]] = found[np.cumsum(distinct) - 1]
    return front


def _host_two(points: Float[np.ndarray, "n m"]) -> list[int]:
    """`_swept`, of distinct points in order, both objectives minimised."""
    bests: list[float] = []
    found = []
    for y in points[:, -1].tolist():
        front = bisect_right(bests, y)
        if front == len(bests):
            bests.append(y)
        else:
            bests[front] = y
        found.append(front)
    return found


def _host_three(points: Float[np.ndarray, "n 3"]) -> list[int]:
    """The same for three objectives, minimised.

    The last two objectives of a front form a staircase, `ys` rising and `zs` falling, below which nobody is dominated.
    Whoever a front dominates, all earlier fronts dominate: the first that does not is found by halving.
    """
    stairs: list[tuple[list[float], list[float]]] = []
    found = []
    for y, z in points[:, 1:].tolist():
        low, high = 0, len(stairs)
        while low < high:
            middle = (low + high) // 2
            ys, zs = stairs[middle]
            step = bisect_right(ys, y) - 1
            low, high = (middle + 1, high) if step >= 0 and zs[step] <= z else (low, middle)
        if low == len(stairs):
            stairs.append(([], []))
        ys, zs = stairs[low]
        step = end = bisect_left(ys, y)
        while end < len(zs) and zs[end] >= z:
            end += 1
        ys[step:end], zs[step:end] = [y], [z]
        found.append(low)
    return found
