"""MAP-Elites: the best of every kind.

Mouret & Clune (2015), "Illuminating search spaces by mapping elites", https://arxiv.org/abs/1504.04909, Figure 2:

    for each iteration:
        x', x'' <- random elites of the map
        x       <- random_variation(x', x'')
        keep x in its cell if the cell is empty or x is better than its occupant

Here an iteration asks for a batch, and the first is made from the world's start genome alone, as in pyribs.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from aiga.archives.grid import Grid, GridCells
from aiga.archives.voronoi import VoronoiCells
from aiga.core.errors import UsageError, require
from aiga.core.lifts import Generational, Scanned
from aiga.core.protocols import Candidates, Evaluation, Info, Key
from aiga.core.trees import take
from aiga.envs.arm import Arm
from aiga.envs.linear_projection import LinearProjection
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.report import Figure, style
from aiga.variation.vectors import gaussian, iso_line

ABOUT = {"papers": (), "pillar": "stepping stones", "needs": ()}


class MapElites(eqx.Module):
    """Illuminate a search space.  The state is the archive."""

    empty: Grid
    vary: Callable[..., PyTree]
    """From a key and the genomes of as many parents as an elite remembers to the genomes of children."""
    operator: str = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    elitist: bool = eqx.field(static=True, default=True)
    lineage: bool = eqx.field(static=True, default=True)

    def init(self, key: Key) -> Grid:
        del key
        return self.empty

    def ask(self, key: Key, state: Grid) -> Candidates:
        choose, vary = jax.random.split(key)
        source = state if self.elitist else self.empty  # an empty archive gives the start genome
        parents = source.parents.shape[1]
        rows = source.choose(choose, parents * self.batch).reshape(parents, self.batch)
        genomes = self.vary(vary, *(take(source.genomes, parent) for parent in rows))
        return Candidates(genomes, source.identity[rows.T])

    def tell(self, key: Key, state: Grid, candidates: Candidates, evaluation: Evaluation) -> tuple[Grid, Info]:
        del key
        state, placed = state.place(candidates.genomes, evaluation, candidates.parents)
        if not self.lineage:
            return state, state.metrics()
        born = Born(
            id=placed.identity,
            parents=candidates.parents,
            operator=self.operator,
            kept=placed.status,
            fitness=evaluation.fitness,
            cell=placed.cell,
            replaced=placed.replaced,
        )
        return state, {**state.metrics(), "born": born}


def make(
    world: Literal["arm", "sphere", "rastrigin"] = "arm",
    archive: Literal["grid", "cvt"] = "grid",
    cells: int = 2500,
    variation: Literal["iso_line", "gaussian"] = "iso_line",
    iso: float = 0.1,
    line: float = 0.2,
    parents: Literal["elites", "start"] = "elites",
    batch: int = 256,
    fuse: int = 20,
    lineage: bool = True,
) -> Scanned:
    """Illuminate the reach of a planar arm, or a classic function of 100 numbers.

    Args:
        world: What is searched; `sphere` and `rastrigin` are linear projections.
        archive: A grid of square cells, or as many cells around evenly spread centroids.
        cells: Cells of the archive; for a grid, a square number.
        variation: Gaussian mutation, or that and a step towards a second parent.
        iso: Standard deviation of the mutation, in units of the genome.
        line: Standard deviation of the step, in units of the distance between the parents.
        parents: What is varied: random elites, or, as a control without selection, always the start genome.
        batch: Candidates evaluated at once.
        fuse: Batches evaluated in a step of the run.
        lineage: Record every birth.
    """
    task = Arm() if world == "arm" else LinearProjection(world)
    vary = {"gaussian": partial(gaussian, sigma=iso), "iso_line": partial(iso_line, iso=iso, line=line)}[variation]
    side = round(cells**0.5)
    if archive == "grid" and side**2 != cells:
        raise UsageError(f"--cells is {cells}: a grid needs a square number, for example {side**2}.")
    division = (
        GridCells(task.low, task.high, (side, side))
        if archive == "grid"
        else VoronoiCells.spread(task.low, task.high, cells)
    )
    empty = Grid.empty(task.start, division, parents=2 if variation == "iso_line" else 1, offset=task.offset)
    strategy = MapElites(empty, vary, variation, batch, elitist=parents == "elites", lineage=lineage)
    return Scanned(Generational(strategy, task), fuse)


PAPER = {"world": "sphere", "cells": 10_000, "iso": 0.5, "line": 0.2, "batch": 540, "fuse": 100}
"""The linear projection of Fontaine & Nikolaidis (2023), as in the examples of pyribs; 10,000 batches: 100 steps."""

CLAIM = Claim(
    statement="MAP-Elites finds better solutions in more cells than random sampling with as many evaluations.",
    source="Mouret & Clune 2015, Figure 4",
    metric="archive/qd_score",
    treatment={},
    control={"parents": "start", "variation": "gaussian", "iso": 0.6},
    steps=40,
    others={"narrow": {"parents": "start", "variation": "gaussian", "iso": 0.3}},
    also=("archive/coverage", "archive/best"),
)


def figures(run: Run) -> Iterable[Figure]:
    """The map: the fitness of the elite of every cell."""
    graph = require("plotly.graph_objects", "report")
    grid: Grid = run.state
    occupied = np.asarray(grid.occupied)
    title = f"{int(grid.size):,} of {grid.cells.count:,} cells have an elite; colour is its fitness."
    colour = {"colorscale": "Viridis", "colorbar": {"title": "fitness"}}
    if isinstance(grid.cells, GridCells):
        values = np.where(occupied, grid.fitness, np.nan).reshape(grid.cells.shape).T
        edges = zip(grid.cells.low, grid.cells.high, grid.cells.shape, strict=True)
        x, y = (np.linspace(low, high, count + 1) for low, high, count in edges)
        content = graph.Figure(graph.Heatmap(z=values, x=x, y=y, **colour))
    else:
        x, y = np.asarray(grid.cells.centroids)[occupied].T
        marker = {"color": np.asarray(grid.fitness)[occupied], "size": 5, **colour}
        content = graph.Figure(graph.Scatter(x=x, y=y, mode="markers", marker=marker))
    style(content, height=560, width=640, xaxis_title="descriptor 1", yaxis_title="descriptor 2")
    return [Figure("Map of elites", title, content)]


if __name__ == "__main__":
    import aiga

    aiga.run("map_elites", steps=40)
