"""Planes to look at behaviours in: two of their dimensions, or the two in which they differ most."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from aiga.core.errors import UsageError, require
from aiga.runs.clouds import Listed, Points

ENOUGH = 20_000
"""Behaviours from which principal components are computed."""
FEW = 3_000
"""The most behaviours that t-SNE is asked to lay out."""


class Plane(NamedTuple):
    """The individuals of a series in a plane."""

    series: str
    axes: tuple[str, str]
    listed: list[Listed]
    """The generations."""
    parents: Float[np.ndarray, "g 2"]
    places: Float[np.ndarray, "n 2"]
    fitness: Float[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]
    """Of the generation."""
    number: Int[np.ndarray, " n"]
    """In the generation."""


def planes(series: str, points: Points, choices: Mapping[str, str]) -> list[Plane]:
    """The planes that were chosen; by default the first two dimensions, or of more than two the principal ones.

    Args:
        series: Of the points.
        points: Individuals; of whom a number is not finite, they are left out.
        choices: `x` and `y`: a dimension each, by name or number; `planes`: several pairs, as in `1,2;3,4`; `reduce`:
            `pca`, or `tsne` for few individuals.
    """
    index = np.concatenate([np.arange(one.size) for one in points.listed])
    known = np.isfinite(points.behaviour).all(axis=1) & np.isfinite(points.fitness)
    names = points.names or tuple(f"behaviour {i + 1}" for i in range(points.behaviour.shape[1]))
    return [
        Plane(series, axes, points.listed, parents, places, points.fitness[known], points.row[known], index[known])
        for axes, parents, places in _laid_out(points, known, names, choices)
    ]


def _laid_out(points: Points, known: Bool[np.ndarray, " n"], names: tuple[str, ...], choices: Mapping[str, str]) -> Any:
    """Axes, places of the parents and of the individuals; a plane each."""
    behaviour, dimensions = points.behaviour[known], len(names)
    if dimensions == 1:  # beside the fitness
        fitness = [one.fitness for one in points.listed]
        parents = np.stack([points.parents[:, 0], fitness], axis=1)
        return [((names[0], "fitness"), parents, np.stack([behaviour[:, 0], points.fitness[known]], axis=1))]
    pairs = [pair.split(",") for pair in choices.get("planes", "").split(";") if pair]
    if "x" in choices or "y" in choices:
        pairs.append([choices.get("x", "1"), choices.get("y", "2")])
    if pairs or (dimensions == 2 and "reduce" not in choices):
        chosen = [_chosen(pair, names) for pair in pairs] or [(0, 1)]
        return [((names[x], names[y]), points.parents[:, [x, y]], behaviour[:, [x, y]]) for x, y in chosen]
    return [_reduced(points, known, choices.get("reduce", "pca"))]


def _chosen(pair: list[str], names: tuple[str, ...]) -> tuple[int, ...]:
    """The two dimensions of these names or numbers."""
    known = {name: i for i, name in enumerate(names)} | {str(i + 1): i for i in range(len(names))}
    found = [known.get(name.strip()) for name in pair]
    if len(found) != 2 or None in found:
        asked = f"`{','.join(pair)}` is no pair of dimensions of behaviour"
        raise UsageError(f"{asked}: give two of {', '.join(names)}, or their numbers from 1 on.")
    return tuple(i for i in found if i is not None)


def _reduced(points: Points, known: Bool[np.ndarray, " n"], how: str) -> Any:
    if how not in ("pca", "tsne"):
        raise UsageError(f"`reduce` is `{how}`: give pca or tsne.")
    behaviour = points.behaviour[known]
    everyone = np.concatenate([np.nan_to_num(points.parents), behaviour]).astype(np.float32)
    if how == "pca":
        places, shares = principal(everyone)
        axes = tuple(f"component {i + 1} ({share:.0%})" for i, share in enumerate(shares))
    else:
        if len(everyone) > FEW:
            raise UsageError(f"t-SNE is for {FEW:,} behaviours and these are {len(everyone):,}: give `reduce` pca.")
        manifold = require("sklearn.manifold", "report")
        places = manifold.TSNE(2, perplexity=min(30, (len(everyone) - 1) / 3), random_state=0).fit_transform(everyone)
        axes = ("t-SNE 1", "t-SNE 2")
    count = len(points.parents)
    return axes, places[:count], places[count:]


def principal(x: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "2"]]:
    """Places along the two principal components, and their shares of the variance."""
    some = x[:: max(1, len(x) // ENOUGH)]
    middle = some.mean(axis=0)
    _, values, components = np.linalg.svd(some - middle, full_matrices=False)
    components = components[:2] * np.sign(components[:2].sum(axis=1, keepdims=True) + 1e-12)
    shares = values[:2] ** 2 / max(float((values**2).sum()), 1e-30)
    return ((x - middle) @ components.T).astype(np.float32), shares
