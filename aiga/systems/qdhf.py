"""Quality diversity through human feedback: learn from people what "different" means, while illuminating it.

Ding, Zhang, Clune, Spector & Lehman (2023), https://arxiv.org/abs/2310.12103:

    for each iteration of MAP-Elites:
        at the first iteration, and at a few later ones:
            ask, for triplets of solutions, which of two is more similar to a reference
            projection <- triplet loss on all answers so far       # descriptor = features x projection
            archive    <- its elites again, in cells of the new descriptor
        x, x' <- random elites, mutated;  keep the best of every cell

The archive knows the learned descriptor only.  What it is worth is measured in the ground truth, which nothing but the
simulated judge sees: its elites are sorted anew into cells of that.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from aiga.archives.grid import Grid, GridCells
from aiga.core.errors import UsageError, require
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.trees import NOBODY, identities, take
from aiga.envs.drawn import DrawnArm, DrawnMaze, View
from aiga.judges.human import Judge, Questions, at_terminal, from_file, simulated
from aiga.learners.preference import UNANSWERED, fit, untrained
from aiga.nn.mlp import mlp
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.report import Figure, style
from aiga.variation.vectors import gaussian

ABOUT = {"papers": (8,), "pillar": "stepping stones", "needs": ()}

STEPS = 20
"""Steps of a run, equal parts of its iterations."""
ASKED = (0, 2, 5, 10)
"""Before which steps the descriptor is changed; of the paper's 1,000 iterations, before 1, 101, 251 and 501."""


class Solution(NamedTuple):
    """What a cell keeps: features are all that a new projection needs to place it again."""

    genome: PyTree
    features: Float[Array, "*n f"]


class Learned(NamedTuple):
    """How the last projection was found."""

    accuracy: Float[Array, ""]
    epochs: Int[Array, ""]
    lost: Int[Array, ""]
    """Elites that no cell of the new projection was left for."""


class Illumination(NamedTuple):
    """The state."""

    archive: Grid
    """Genomes are `Solution`s; descriptors, places in the unit square of `view`."""
    seen: Grid
    """The best of all solutions in every cell of the ground truth, without their genomes."""
    view: View
    triplets: Float[Array, "q 3 f"]
    answers: Int[Array, " q"]
    learned: Learned
    iteration: Int[Array, ""]


class Qdhf(eqx.Module):
    """Illuminate a descriptor that is learned from answers on the way."""

    world: DrawnArm | DrawnMaze
    judge: Judge = eqx.field(static=True)
    descriptor: str = eqx.field(static=True)
    learning: tuple[int, ...] = eqx.field(static=True)
    """Before which steps the projection is learned."""
    scaling: tuple[int, ...] = eqx.field(static=True)
    """Before which steps, besides, its box is measured anew."""
    questions: int = eqx.field(static=True)
    """Before each learning; 0: nobody is asked."""
    fused: int = eqx.field(static=True)
    """Iterations of a step."""
    batch: int = eqx.field(static=True)
    founders: int = eqx.field(static=True)
    sigma: float = eqx.field(static=True)
    side: int = eqx.field(static=True)
    """Cells along each side of the archives."""
    lineage: bool = eqx.field(static=True)

    @eqx.filter_jit
    def init(self, key: Key) -> Illumination:
        draw, evaluate = jax.random.split(key)
        genomes = self.world.first(draw, self.founders)
        scored = self.world(evaluate, genomes)
        founders = Solution(genomes, scored.descriptor)
        # Until there is a descriptor, every founder has a cell of its own, in no order.
        rows = jnp.arange(self.founders)
        places = (jnp.stack([rows // self.side, rows % self.side], axis=1) + 0.5) / self.side
        archive = self._grid(take(founders, 0), parents=1)
        archive, _ = archive.add(founders, Evaluation(scored.fitness, places))
        return Illumination(
            archive=archive,
            seen=self._sorted(self._grid(jnp.zeros(0)), scored),
            view=self.world.truth,
            triplets=jnp.zeros((self.questions * len(self.learning), 3, scored.descriptor.shape[1])),
            answers=jnp.full(self.questions * len(self.learning), UNANSWERED),
            learned=Learned(jnp.array(jnp.nan), jnp.array(0), jnp.array(0)),
            iteration=jnp.array(0),
        )

    async def step(self, key: Key, state: Illumination) -> tuple[Illumination, Info]:
        ask, learn, search = jax.random.split(key, 3)
        step = int(state.iteration) // self.fused
        founded = self._founded(state) if step == 0 and self.lineage else {}
        if step in self.learning and self.questions:
            first = self.learning.index(step) * self.questions
            triplets = self.ask(ask, state)
            answers = await self.judge(self._pictured(triplets, first))
            state = state._replace(
                triplets=jax.lax.dynamic_update_slice_in_dim(state.triplets, triplets, first, 0),
                answers=state.answers.at[first : first + self.questions].set(answers),
            )
        if step in self.learning:
            state = self.learn(learn, state)
        elif step in self.scaling:
            state = self.rescale(state)
        state, info = self.search(search, state)
        finished = {"run/finished": 1} if step + 1 >= STEPS else {}
        return state, {**info, **founded, **finished}

    @eqx.filter_jit
    def ask(self, key: Key, state: Illumination) -> Float[Array, "m 3 f"]:
        """Triplets of random solutions in the first round, then of elites, three different ones each."""
        return jax.lax.cond(state.iteration == 0, self._fresh, self._elites, key, state)

    @eqx.filter_jit
    def learn(self, key: Key, state: Illumination) -> Illumination:
        """The state with another descriptor, and the archive rebuilt in it."""
        features, occupied = state.archive.genomes.features, state.archive.occupied
        accuracy, epochs = jnp.array(jnp.nan), jnp.array(0)
        if self.questions:
            projection, accuracy, epochs = fit(key, state.triplets, state.answers)
        elif self.descriptor == "random":
            projection = untrained(key, features.shape[1])
        elif self.descriptor == "truth":
            projection = self.world.truth.projection
        else:
            projection = principal(features, occupied)
        return self._moved(state, projection, accuracy, epochs)

    @eqx.filter_jit
    def rescale(self, state: Illumination) -> Illumination:
        """The state with the same projection in the box of what was found by now, and the archive rebuilt in it."""
        return self._moved(state, state.view.projection, state.learned.accuracy, state.learned.epochs)

    @eqx.filter_jit
    def search(self, key: Key, state: Illumination) -> tuple[Illumination, Info]:
        """MAP-Elites for a step, in the cells of the learned descriptor."""

        def iterate(carry: tuple[Grid, Grid], key: Key) -> tuple[tuple[Grid, Grid], PyTree]:
            archive, seen = carry
            choose, vary, evaluate = jax.random.split(key, 3)
            rows = archive.choose(choose, self.batch)
            genomes = gaussian(vary, take(archive.genomes.genome, rows), self.sigma)
            scored = self.world(evaluate, genomes)
            parents = archive.identity[rows][:, None]
            placed = Evaluation(scored.fitness, state.view.of(scored.descriptor))
            archive, placement = archive.place(Solution(genomes, scored.descriptor), placed, parents)
            return (archive, self._sorted(seen, scored)), (placement, parents, scored.fitness)

        keys = jax.random.split(key, self.fused)
        (archive, seen), births = jax.lax.scan(iterate, (state.archive, state.seen), keys)
        state = state._replace(archive=archive, seen=seen, iteration=state.iteration + self.fused)
        info = self._metrics(state)
        if self.lineage:
            at, parents, fitness = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), births)
            info["born"] = Born(at.identity, parents, "gaussian", at.status, fitness, at.cell, at.replaced)
        return state, info

    def _moved(self, state: Illumination, projection: Array, accuracy: Array, epochs: Array) -> Illumination:
        features, occupied = state.archive.genomes.features, state.archive.occupied
        places = features @ projection
        low = jnp.where(occupied[:, None], places, jnp.inf).min(axis=0)
        high = jnp.where(occupied[:, None], places, -jnp.inf).max(axis=0)
        view = View(projection, low, jnp.maximum(high, low + 1e-6))
        view = self.world.truth if self.descriptor == "truth" else view
        archive = state.archive.sorted_into(state.archive.cells, view.of(features))
        learned = Learned(accuracy, epochs, state.archive.size - archive.size)
        return state._replace(archive=archive, view=view, learned=learned)

    def _fresh(self, key: Key, state: Illumination) -> Float[Array, "m 3 f"]:
        draw, evaluate = jax.random.split(key)
        features = self.world(evaluate, self.world.first(draw, 3 * self.questions)).descriptor
        return features.reshape(self.questions, 3, -1)

    def _elites(self, key: Key, state: Illumination) -> Float[Array, "m 3 f"]:
        rows = state.archive.discovered[different(key, self.questions, state.archive.size)]
        return state.archive.genomes.features[rows]

    def _pictured(self, triplets: Float[Array, "m 3 f"], first: int) -> Questions:
        features = np.asarray(triplets)
        lines = self.world.lines(features.reshape(-1, features.shape[-1]))
        return Questions(lines.reshape(*features.shape[:2], *lines.shape[1:]), self.world.walls, first)

    def _grid(self, example: PyTree, parents: int = 0) -> Grid:
        return Grid.empty(example, GridCells((0.0, 0.0), (1.0, 1.0), (self.side, self.side)), parents=parents)

    def _sorted(self, grid: Grid, scored: Evaluation) -> Grid:
        """An archive in the ground truth with these solutions added, without their genomes."""
        nothing = jnp.zeros((len(scored.fitness), 0))
        grid, _ = grid.add(nothing, Evaluation(scored.fitness, self.world.truth.of(scored.descriptor)))
        return grid

    def _metrics(self, state: Illumination) -> dict[str, Any]:
        elites = Evaluation(state.archive.fitness, state.archive.genomes.features)
        resorted = self._sorted(self._grid(jnp.zeros(0)), elites)
        judged = {
            "judge/answers": jnp.sum(state.answers != UNANSWERED),
            "judge/accuracy": state.learned.accuracy,
            "judge/epochs": state.learned.epochs,
            "archive/lost": state.learned.lost,
        }
        return {
            **self._worth("truth", resorted),
            **self._worth("seen", state.seen),
            **state.archive.metrics(),
            **judged,
        }

    def _worth(self, name: str, grid: Grid) -> dict[str, Array]:
        metrics = grid.metrics()
        per_cell = metrics["archive/qd_score"] / grid.cells.count
        return {f"{name}/qd_score": per_cell, f"{name}/coverage": metrics["archive/coverage"]}

    def _founded(self, state: Illumination) -> dict[str, Born]:
        rows = slice(0, self.founders)
        kept = 2 * state.archive.occupied[rows].astype(int)
        nobody = jnp.full((self.founders, 1, 2), NOBODY[0])
        fitness = state.archive.fitness[rows]
        return {"founders": Born(identities(0, self.founders), nobody, "random", kept, fitness)}


def different(key: Key, n: int, size: Int[Array, ""]) -> Int[Array, "{n} 3"]:
    """Three different numbers below `size`, `n` times."""
    first, second, third = jax.random.split(key, 3)
    a = jax.random.randint(first, (n,), 0, size)
    b = jax.random.randint(second, (n,), 0, jnp.maximum(size - 1, 1))
    c = jax.random.randint(third, (n,), 0, jnp.maximum(size - 2, 1))
    c = c + (c >= b)  # both count from behind `a`, around
    return jnp.stack([a, (a + 1 + b) % size, (a + 1 + c) % size], axis=1)


def principal(features: Float[Array, "n f"], counted: Array) -> Float[Array, "f 2"]:
    """The two directions in which the counted rows vary most."""
    weights = counted / counted.sum()
    centred = features - weights @ features
    _, vectors = jnp.linalg.eigh(centred.T @ (weights[:, None] * centred))
    return vectors[:, -2:]


def policy(key: Key) -> PyTree:
    """What steers the robot: a perceptron with eight hidden units."""
    return mlp(key, (11, 8, 2), last=jax.nn.sigmoid)


def make(
    world: Literal["arm", "maze"] = "arm",
    descriptor: Literal["online", "offline", "rescaled", "pca", "pca_online", "random", "truth"] = "online",
    judge: Literal["simulated", "terminal", "file"] = "simulated",
    answers: str = "",
    questions: int = 1000,
    mistakes: float = 0.0,
    iterations: int = 1000,
    batch: int = 100,
    founders: int = 100,
    sigma: float | None = None,
    cells: int = 2500,
    lineage: bool = True,
) -> Qdhf:
    """Illuminate the reach of an arm, or the ways through a maze, by what judges call similar.

    Args:
        world: A planar arm, or a robot in the hard maze.
        descriptor: Learned from answers in four rounds, in one, or in one and rescaled in the other three; principal
            components, once or four times; random; or the ground truth.
        judge: One that knows the ground truth, a person at the terminal, or a file of answers.
        answers: The file of answers, .csv or .jsonl; the terminal writes it, `file` reads it.
        questions: All that are asked.
        mistakes: Share of its answers in which the simulated judge errs.
        iterations: Batches of the whole run.
        batch: Candidates evaluated at once.
        founders: Random solutions at the beginning.
        sigma: Standard deviation of the mutation; by default 0.1 for the arm, 0.2 for the maze.
        cells: Cells of the archive, a square number.
        lineage: Record every birth.
    """
    side, asked = round(cells**0.5), descriptor in ("online", "offline", "rescaled")
    rounds = ASKED if descriptor.endswith("online") else ASKED[:1]
    if side**2 != cells or cells < founders:
        raise UsageError(f"--cells is {cells}: a square number from --founders, {founders}, on, such as 2500.")
    if iterations < STEPS or iterations % STEPS:
        raise UsageError(f"--iterations is {iterations}: a run has {STEPS} equal steps, so give a multiple of {STEPS}.")
    if asked and (questions < len(rounds) or questions % len(rounds)):
        raise UsageError(
            f"--questions is {questions}: they are asked in {len(rounds)} equal rounds, so give a multiple."
        )
    if asked and judge != "simulated" and not answers:
        raise UsageError(f"--judge {judge} needs --answers FILE, .csv or .jsonl: where the answers are kept.")
    if answers and (judge == "simulated" or not asked):
        raise UsageError("--answers is for --judge terminal or file, and a --descriptor learned from answers.")
    if min(batch, founders) < 1 or not 0 <= mistakes <= 1 or (sigma is not None and not sigma > 0):
        given = f"--batch {batch}, --founders {founders}, --mistakes {mistakes}, --sigma {sigma}"
        raise UsageError(f"{given}: give 1 or more of the first two, a share of 0 to 1, and a deviation above zero.")
    people = {"terminal": at_terminal, "file": from_file}
    return Qdhf(
        world=DrawnArm() if world == "arm" else DrawnMaze(policy),
        judge=people[judge](Path(answers)) if asked and judge in people else simulated(mistakes),
        descriptor=descriptor,
        learning=rounds,
        scaling=ASKED if descriptor == "rescaled" else (),
        questions=questions // len(rounds) if asked else 0,
        fused=iterations // STEPS,
        batch=batch,
        founders=founders,
        sigma=sigma if sigma is not None else {"arm": 0.1, "maze": 0.2}[world],
        side=side,
        lineage=lineage,
    )


PAPER = {"iterations": 1000, "batch": 100, "founders": 100, "sigma": 0.1, "cells": 2500, "questions": 1000}
"""The arm; they are the laptop's settings too."""

CLAIM = (
    Claim(
        statement="A descriptor learned on the way illuminates more than one learned beforehand from as many answers.",
        source="Ding et al. 2023, robotic arm: QDHF online and offline",
        metric="truth/qd_score",
        treatment={"descriptor": "online"},
        control={"descriptor": "offline"},
        others={name: {"descriptor": name} for name in ("rescaled", "pca", "pca_online", "random", "truth")},
        also=("truth/coverage", "seen/qd_score", "judge/accuracy"),
    ),
    Claim(
        statement="So it does where solutions are policies and features are the way of a robot through a maze.",
        source="Ding et al. 2023, maze navigation: QDHF online and offline",
        metric="truth/qd_score",
        treatment={"world": "maze", "descriptor": "online", "iterations": 400},
        control={"world": "maze", "descriptor": "offline", "iterations": 400},
        others={name: {"world": "maze", "descriptor": name, "iterations": 400} for name in ("rescaled", "truth")},
        also=("truth/coverage", "seen/qd_score", "judge/accuracy"),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """The archive in the space that was learned, and its elites in the ground truth."""
    graph, subplots = require("plotly.graph_objects", "report"), require("plotly.subplots", "report")
    figure = subplots.make_subplots(1, 2, subplot_titles=("learned", "ground truth"))
    images = maps(run)
    for column, image in enumerate(images, 1):
        figure.add_trace(graph.Heatmap(z=image.T, coloraxis="coloraxis"), row=1, col=column)
    style(figure, height=480, coloraxis={"colorscale": "Viridis", "colorbar": {"title": "fitness"}})
    filled = [int(np.isfinite(image).sum()) for image in images]
    caption = f"The {filled[0]:,} elites of the archive are in {filled[1]:,} cells of the ground truth."
    return [Figure("Two views of the same elites", caption, figure)]


def maps(run: Run) -> list[Float[np.ndarray, "x y"]]:
    """The best fitness in every cell of the learned descriptor and of the ground truth; NaN where there is none."""
    system, archive = make(**run.options), run.state.archive
    elites = Evaluation(archive.fitness, archive.genomes.features)
    resorted = system._sorted(system._grid(jnp.zeros(0)), elites)
    both = [np.asarray(grid.fitness).reshape(system.side, -1) for grid in (archive, resorted)]
    return [np.where(np.isfinite(image), image, np.nan) for image in both]


if __name__ == "__main__":
    import aiga

    aiga.run("qdhf")
