"""MAP-Elites: the best of every kind.

Mouret & Clune (2015), "Illuminating search spaces by mapping elites", https://arxiv.org/abs/1504.04909, Figure 2:

    for each iteration:
        x', x'' <- random elites of the map
        x       <- random_variation(x', x'')
        keep x in its cell if the cell is empty or x is better than its occupant

Here an iteration asks for a batch, and the first is made from the world's start genome alone, as in pyribs.  What
varies elites is an operator, or a set of emitters, each a CMA-ES that is told what the archive made of its samples:
Fontaine et al. (2020), "Covariance matrix adaptation for the rapid illumination of behavior space",
https://arxiv.org/abs/1912.02400 (CMA-ME, its improvement emitters), and Fontaine & Nikolaidis (2023), "Covariance
matrix adaptation MAP-annealing", https://arxiv.org/abs/2205.10752 (CMA-MAE):

    for each iteration, for each emitter:
        x       <- samples of its Gaussian
        keep x as above
        move and shape the Gaussian towards those x that improved on the archive most
        if none did (CMA-ME), or the Gaussian has collapsed: begin again around a random elite
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

from aiga.archives.grid import Grid, GridCells, Placement
from aiga.archives.voronoi import VoronoiCells
from aiga.core.errors import UsageError, require
from aiga.core.lifts import Generational, Scanned
from aiga.core.protocols import Candidates, Evaluation, Info, Key
from aiga.core.trees import NOBODY, Layout, take
from aiga.envs.arm import Arm
from aiga.envs.linear_projection import LinearProjection
from aiga.inspect import postures
from aiga.inspect.vine import Individual
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.report import Figure, style
from aiga.strategies.cma_es import CMAES, Distribution
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
        info = state.metrics()
        if self.lineage:
            born = placed.births(candidates.parents, evaluation.fitness)
            info = {**info, "born": Born(operator=self.operator, **born)}
        return state, info


class Emitting(NamedTuple):
    """The state of `Emitters`."""

    archive: Grid
    emitters: Distribution
    """A row an emitter."""
    origins: Int[Array, "e 2"]
    """The elite that each began around."""
    restarts: Int[Array, ""]


class Emitters(eqx.Module):
    """Illuminate with CMA-ES emitters: CMA-MAE if the archive has thresholds, else CMA-ME.

    CMA-ME ranks what filled new cells above what improved old ones, and moves to all that did either.  CMA-MAE ranks
    by improvement alone, and moves to the better half.
    """

    empty: Grid
    search: CMAES
    count: int = eqx.field(static=True)
    operator: str = eqx.field(static=True)
    lineage: bool = eqx.field(static=True, default=True)

    @property
    def layout(self) -> Layout:
        return Layout.of(take(self.empty.genomes, 0))

    def init(self, key: Key) -> Emitting:
        del key
        rows = jnp.zeros(self.count, jnp.int32)  # an empty archive has the start genome in every row
        nobody = jnp.broadcast_to(jnp.array(NOBODY, jnp.int32), (self.count, 2))
        return Emitting(self.empty, self._begin(self.empty, rows), nobody, jnp.array(0, jnp.int32))

    def ask(self, key: Key, state: Emitting) -> Candidates:
        samples = jax.vmap(self.search.ask)(jax.random.split(key, self.count), state.emitters)
        parents = jnp.repeat(state.origins, self.search.population, axis=0)[:, None]
        return Candidates(self.layout.tree(samples.reshape(-1, self.search.dimensions)), parents)

    def tell(self, key: Key, state: Emitting, candidates: Candidates, evaluation: Evaluation) -> tuple[Emitting, Info]:
        archive, placed = state.archive.place(candidates.genomes, evaluation, candidates.parents)
        samples = self.layout.flat(candidates.genomes).reshape(self.count, -1, self.search.dimensions)
        order, parents, fruitless = self._ranked(state.archive, placed)
        emitters = jax.vmap(self.search.tell)(state.emitters, samples, order, parents)
        restart = fruitless | jax.vmap(self.search.converged)(emitters)
        rows = archive.choose(key, self.count)
        emitters, origins = jax.tree.map(
            lambda fresh, old: jnp.where(restart.reshape(-1, *[1] * (old.ndim - 1)), fresh, old),
            (self._begin(archive, rows), archive.identity[rows]),
            (emitters, state.origins),
        )
        state = Emitting(archive, emitters, origins, state.restarts + restart.sum(dtype=jnp.int32))
        info = {**archive.metrics(), "emitters/restarts": state.restarts, "emitters/sigma": emitters.sigma.mean()}
        if self.lineage:
            info["born"] = Born(operator=self.operator, **placed.births(candidates.parents, evaluation.fitness))
        return state, info

    def _begin(self, archive: Grid, rows: Int[Array, " e"]) -> Distribution:
        return jax.vmap(self.search.begin)(self.layout.flat(take(archive.genomes, rows)))

    def _ranked(self, before: Grid, placed: Placement) -> tuple[Int[Array, "e n"], Int[Array, " e"], Bool[Array, " e"]]:
        """Every emitter's samples, best first; how many it moves to; and whether they give no reason to go on."""
        improvement, accepted = (x.reshape(self.count, -1) for x in (placed.improvement, placed.accepted))
        annealed = before.threshold is not None
        stage = accepted.astype(jnp.int32) + (accepted & ~before.occupied[placed.cell].reshape(self.count, -1))
        order = jnp.lexsort((-improvement,) if annealed else (-improvement, -stage))
        filled = (improvement > -jnp.inf).sum(axis=1)
        parents = jnp.minimum(filled, self.search.population // 2) if annealed else accepted.sum(axis=1)
        equal = (improvement == improvement[:, :1]).all(axis=1)
        if not annealed:
            equal &= (stage == stage[:, :1]).all(axis=1)
        return order, parents, equal | (parents == 0)


def make(
    world: Literal["arm", "sphere", "rastrigin"] = "arm",
    archive: Literal["grid", "cvt"] = "grid",
    cells: int = 2500,
    variation: Literal["iso_line", "gaussian", "cma_me", "cma_mae"] = "iso_line",
    iso: float = 0.1,
    line: float = 0.2,
    parents: Literal["elites", "start"] = "elites",
    emitters: int = 16,
    learning_rate: float = 0.01,
    batch: int = 256,
    fuse: int = 20,
    lineage: bool = True,
) -> Scanned:
    """Illuminate the reach of a planar arm, or a classic function of 100 numbers.

    Args:
        world: What is searched; `sphere` and `rastrigin` are linear projections.
        archive: A grid of square cells, or as many cells around evenly spread centroids.
        cells: Cells of the archive; for a grid, a square number.
        variation: Gaussian mutation, or that and a step towards a second parent; or emitters that are CMA-ES, of
            which those of `cma_mae` compare with thresholds that rise slowly.
        iso: Standard deviation of the mutation, in units of the genome; emitters begin with it.
        line: Standard deviation of the step, in units of the distance between the parents.
        parents: What is varied: random elites, or, as a control without selection, always the start genome.
        emitters: How many emitters share the batch.
        learning_rate: How far a candidate pulls its cell's threshold towards its fitness, with `cma_mae`.
        batch: Candidates evaluated at once.
        fuse: Batches evaluated in a step of the run.
        lineage: Record every birth.
    """
    task = Arm() if world == "arm" else LinearProjection(world)
    if batch < 1:
        raise UsageError(f"--batch is {batch}: give a number above zero.")
    if not (0 <= iso < np.inf and 0 <= line < np.inf):
        raise UsageError(f"--iso is {iso} and --line is {line}: give numbers from zero on.")
    division = _division(archive, cells, task)
    if variation in ("cma_me", "cma_mae"):
        if parents == "start":
            raise UsageError("--parents start is a control of iso_line and gaussian; emitters have no such option.")
        annealed = {"learning_rate": learning_rate, "threshold_min": task.offset} if variation == "cma_mae" else {}
        empty = Grid.empty(task.start, division, parents=1, offset=task.offset, **annealed)
        if emitters < 1:
            raise UsageError(f"--emitters is {emitters}: give a number above zero.")
        if batch % emitters or batch < 2 * emitters:
            raise UsageError(f"--batch is {batch} for {emitters} emitters; give a multiple, twice as many or more.")
        search = CMAES(task.start.size, batch // emitters, iso)
        return Scanned(Generational(Emitters(empty, search, emitters, variation, lineage), task), fuse)
    vary = {"gaussian": partial(gaussian, sigma=iso), "iso_line": partial(iso_line, iso=iso, line=line)}[variation]
    empty = Grid.empty(task.start, division, parents=2 if variation == "iso_line" else 1, offset=task.offset)
    strategy = MapElites(empty, vary, variation, batch, elitist=parents == "elites", lineage=lineage)
    return Scanned(Generational(strategy, task), fuse)


def _division(archive: str, cells: int, task: Arm | LinearProjection) -> GridCells | VoronoiCells:
    if cells < 1:
        raise UsageError(f"--cells is {cells}: give a number above zero.")
    if archive == "cvt":
        return VoronoiCells.spread(task.low, task.high, cells)
    side = round(cells**0.5)
    if side**2 != cells:
        raise UsageError(f"--cells is {cells}: a grid needs a square number, for example {side**2}.")
    return GridCells(task.low, task.high, (side, side))


PAPER = {"world": "sphere", "cells": 10_000, "iso": 0.5, "line": 0.2, "batch": 540, "fuse": 100, "emitters": 15}
"""The linear projection of Fontaine & Nikolaidis (2023), as in the examples of pyribs; 10,000 batches: 100 steps."""

SPHERE = {
    "world": "sphere", "cells": 10_000, "iso": 0.5, "batch": 540, "emitters": 15, "fuse": 100, "lineage": False,
}  # fmt: skip
CLAIM = (
    Claim(
        statement="MAP-Elites finds better solutions in more cells than random sampling with as many evaluations.",
        source="Mouret & Clune 2015, Figure 4",
        metric="archive/qd_score",
        treatment={},
        control={"parents": "start", "variation": "gaussian", "iso": 0.6},
        steps=40,
        others={"narrow": {"parents": "start", "variation": "gaussian", "iso": 0.3}},
        also=("archive/coverage", "archive/best"),
    ),
    Claim(
        statement="CMA-MAE illuminates the linear projection better than MAP-Elites with as many evaluations.",
        source="Fontaine & Nikolaidis 2023, linear projection (sphere)",
        metric="archive/qd_score",
        treatment={**SPHERE, "variation": "cma_mae"},
        control={**SPHERE, "variation": "iso_line"},
        steps=5,
        others={"cma_me": {**SPHERE, "variation": "cma_me"}},
        also=("archive/coverage", "archive/best"),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """The map: the fitness of the elite of every cell."""
    graph = require("plotly.graph_objects", "report")
    grid: Grid = run.state if isinstance(run.state, Grid) else run.state.archive
    occupied = np.asarray(grid.occupied)
    title = f"{int(grid.size):,} of {grid.cells.count:,} cells have an elite; colour is its fitness."
    colour = {"colorscale": "Viridis", "colorbar": {"title": "fitness"}}
    if isinstance(grid.cells, GridCells):
        values = np.where(occupied, grid.fitness, np.nan).reshape(grid.cells.shape).T
        edges = zip(grid.cells.low, grid.cells.high, grid.cells.shape, strict=True)
        x, y = (np.linspace(low, high, count + 1) for low, high, count in edges)
        content = graph.Figure(graph.Heatmap(z=values, x=x, y=y, **colour))
    else:
        assert isinstance(grid.cells, VoronoiCells)
        x, y = np.asarray(grid.cells.centroids)[occupied].T
        marker = {"color": np.asarray(grid.fitness)[occupied], "size": 5, **colour}
        content = graph.Figure(graph.Scatter(x=x, y=y, mode="markers", marker=marker))
    style(content, height=560, width=640, xaxis_title="descriptor 1", yaxis_title="descriptor 2")
    return [Figure("Map of elites", title, content)]


def replay(run: Run, individual: Individual) -> Iterable[Figure]:
    """The arm as an elite bends it, or the numbers of an elite of another world."""
    system = make(**run.options).system
    assert isinstance(system, Generational)
    grid: Grid = run.state if isinstance(run.state, Grid) else run.state.archive
    return [postures.again(system.evaluate, grid, individual)]


if __name__ == "__main__":
    import aiga

    aiga.run("map_elites", steps=40)
