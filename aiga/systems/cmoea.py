"""CMOEA: the best at every combination of tasks, as stepping stones to being good at all of them.

Huizinga & Clune (2018), "Evolving multimodal robot behavior via many stepping stones with the combinatorial
multi-objective evolutionary algorithm", https://arxiv.org/abs/1807.03392:

    one bin for every non-empty subset of the tasks (of many tasks: for a sample of the subsets)
    repeat:
        parents  <- random members of random bins
        children <- mutated parents, evaluated at every task
        every bin is offered every child, and keeps the survivors of NSGA-II on
            the combined performance in the bin's tasks, and diversity

The controls keep one population, whose objectives are the tasks.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from aiga.archives.subsets import Subsets, combined, every_subset, sampled_subsets
from aiga.core.errors import UsageError, require
from aiga.core.lifts import Generational, Scanned
from aiga.core.protocols import Candidates, Evaluation, Info, Key
from aiga.core.trees import NOBODY, identities, take
from aiga.envs.brax import Brax
from aiga.envs.hard_easy import HardEasy
from aiga.learners.tasks import COMMANDS, Legged, Mazes
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.report import Figure, style
from aiga.selection import nsga2
from aiga.selection.lexicase import lexicase
from aiga.variation.vectors import polynomial

ABOUT = {"papers": (42,), "pillar": "stepping stones", "needs": ()}
SOLVED = 0.99
"""The score from which a task counts as solved."""
Selection = Literal["cmoea", "nsga2", "nsga2_combined", "lexicase", "epsilon_lexicase", "combined"]


@runtime_checkable
class World(Protocol):
    """Tasks that a genome is evaluated at."""

    @property
    def tasks(self) -> int: ...

    @property
    def by(self) -> Literal["mean", "product"]:
        """How scores are combined."""
        ...

    @property
    def behaviour(self) -> int:
        """Numbers of a descriptor."""
        ...

    def build(self, key: Key) -> PyTree:
        """A random genome of numbers from -1 to 1."""
        ...

    def __call__(self, key: Key, genomes: PyTree) -> Evaluation:
        """Fitness: all scores combined; aux: a column of scores for every task."""
        ...


class Population(NamedTuple):
    """What the controls keep: the fittest, in the order of their selection."""

    genomes: PyTree
    scores: Float[Array, "rows tasks"]
    """NaN: nobody."""
    identity: Int[Array, "rows 2"]
    births: Int[Array, ""]

    @property
    def size(self) -> Int[Array, ""]:
        """How many there are."""
        return (~jnp.isnan(self.scores).any(axis=1)).sum()


class Search(NamedTuple):
    """The state: who is kept, and what the best so far scored."""

    kept: Any
    best: Float[Array, " tasks"]
    """Scores of whoever was best at all tasks together; NaN: nobody yet."""


class Evolution(eqx.Module):
    """What CMOEA and its controls have in common: mutation, the first generation, and what is reported."""

    world: World
    keeper: "Bins | Single"
    children: int = eqx.field(static=True)
    rate: float
    eta: float

    def init(self, key: Key) -> Search:
        return Search(self.keeper.empty(self.world.build(key)), jnp.full(self.world.tasks, jnp.nan, float))

    def ask(self, key: Key, state: Search) -> Candidates:
        choose, vary, build = jax.random.split(key, 3)
        rows = self.keeper.choose(choose, state.kept, self.children)
        mutated = polynomial(vary, take(state.kept.genomes, rows), self.rate, self.eta)
        fresh = jax.vmap(self.world.build)(jax.random.split(build, self.children))
        first = jnp.isnan(state.best).any()
        genomes = jax.tree.map(lambda a, b: jnp.where(first, a, b), fresh, mutated)
        parents = jnp.where(first, jnp.array(NOBODY), state.kept.identity[rows])
        return Candidates(genomes, parents[:, None])

    def tell(self, key: Key, state: Search, candidates: Candidates, evaluation: Evaluation) -> tuple[Search, Info]:
        birth = state.kept.births
        kept, status = self.keeper.keep(key, state.kept, candidates, evaluation)
        best = jnp.where(jnp.isnan(evaluation.fitness), -jnp.inf, evaluation.fitness)
        record = combined(state.best, jnp.ones(self.world.tasks, bool), self.world.by)
        better = (best.max() > record) | (jnp.isnan(record) & (best.max() > -jnp.inf))
        scores = jnp.where(better, evaluation.aux[best.argmax()], state.best)
        born = Born(identities(birth, self.children), candidates.parents, "polynomial", status, evaluation.fitness)
        info = {
            "tasks/best": combined(scores, jnp.ones(self.world.tasks, bool), self.world.by),
            "tasks/solved": (scores >= SOLVED).sum(),
            "archive/size": kept.size,
            "archive/accepted": (status > 0).mean(),
            "born": born,
        }
        return Search(kept, scores), info


class Bins(eqx.Module):
    """CMOEA: a bin for every combination of tasks."""

    world: World
    bins: int = eqx.field(static=True)
    """0: all combinations."""
    places: int = eqx.field(static=True)
    diversity: bool = eqx.field(static=True)
    redraw: float

    def empty(self, example: PyTree) -> Subsets:
        tasks = self.world.tasks
        subsets = sampled_subsets(tasks, self.bins) if self.bins else every_subset(tasks)
        survivors = nsga2.survivors if self.diversity else None
        return Subsets.empty(example, subsets, self.places, self.world.behaviour, by=self.world.by, survivors=survivors)

    def choose(self, key: Key, kept: Subsets, n: int) -> Int[Array, " n"]:
        return kept.choose(key, n)

    def keep(
        self, key: Key, kept: Subsets, candidates: Candidates, evaluation: Evaluation
    ) -> tuple[Subsets, Int[Array, " n"]]:
        if self.bins:
            kept = kept.redrawn(key, self.redraw, 1 + self.world.tasks)
        return kept.add(candidates.genomes, evaluation, candidates.parents)


class Single(eqx.Module):
    """The controls: one population that survives by NSGA-II or by lexicase selection."""

    world: World
    selection: Selection = eqx.field(static=True)
    population: int = eqx.field(static=True)

    def empty(self, example: PyTree) -> Population:
        rows = self.population
        genomes = jax.tree.map(lambda x: jnp.broadcast_to(x, (rows, *x.shape)), example)
        nobody = jnp.full((rows, 2), NOBODY[0], jnp.int32)
        return Population(genomes, jnp.full((rows, self.world.tasks), jnp.nan, float), nobody, jnp.array(0, jnp.int32))

    def choose(self, key: Key, kept: Population, n: int) -> Int[Array, " n"]:
        """Lexicase selection, or the fitter of two, who is nearer to the front of the population."""
        if "lexicase" in self.selection:
            return lexicase(key, kept.scores, n, epsilon=self.selection == "epsilon_lexicase")
        return jax.random.randint(key, (n, 2), 0, jnp.maximum(kept.size, 1)).min(axis=1)

    def keep(
        self, key: Key, kept: Population, candidates: Candidates, evaluation: Evaluation
    ) -> tuple[Population, Int[Array, " n"]]:
        n = len(evaluation.fitness)
        news = (candidates.genomes, evaluation.aux, jnp.asarray(identities(kept.births, n)))
        pool = jax.tree.map(lambda *x: jnp.concatenate(x), news, tuple(kept[:3]))
        failed = jnp.isnan(pool[1]).any(axis=1)
        rows = self._survivors(key, jnp.where(failed[:, None], jnp.nan, pool[1]))
        status = jnp.zeros(n, jnp.int32).at[jnp.where(rows < n, rows, n)].set(2, mode="drop")
        genomes, scores, identity = take(pool, rows)
        return Population(genomes, scores, identity, kept.births + 1), jnp.where(failed[:n], 0, status)

    def _survivors(self, key: Key, scores: Float[Array, "everyone tasks"]) -> Int[Array, " rows"]:
        if "lexicase" in self.selection:
            epsilon = self.selection == "epsilon_lexicase"
            return lexicase(key, scores, self.population, epsilon=epsilon, replace=False)
        together = combined(scores, jnp.ones(self.world.tasks, bool), self.world.by)[:, None]
        objectives = {
            "nsga2": scores,
            "nsga2_combined": jnp.concatenate([scores, together], axis=1),
            "combined": together,
        }
        return jnp.asarray(nsga2.survivors(objectives[self.selection], self.population))


def make(
    world: Literal["hard_easy", "maze", "legged"] = "hard_easy",
    selection: Selection = "cmoea",
    tasks: int = 6,
    bins: int = 0,
    bin_size: int = 10,
    diversity: bool = False,
    redraw: float = 0.001,
    population: int = 100,
    children: int = 100,
    rate: float = 0.3,
    eta: float = 15.0,
    cells: int = 8,
    splits: int = 3,
    ticks: int = 200,
    repeat: int = 5,
    hidden: int = 8,
    robot: str = "ant",
    fuse: int = 20,
) -> Scanned:
    """Become good at all of several tasks.

    Args:
        world: Pairs of a hard and an easy task, as many mazes as tasks, or a robot of brax with six commands.
        selection: CMOEA, or a control with one population: NSGA-II with the tasks as objectives, the same with all
            tasks combined as one objective more, lexicase selection, epsilon-lexicase selection, or the performance
            in all tasks combined alone.
        tasks: How many tasks; for `hard_easy` an even number, for `legged` six.
        bins: Combinations of tasks that have a bin, of which all but the first are drawn; 0: every combination.
        bin_size: Individuals a bin keeps.
        diversity: Behave differently from the others, as a second objective within a bin.
        redraw: Probability that a drawn bin is drawn anew in a generation.
        population: Individuals a control keeps.
        children: Candidates of a generation.
        rate: Probability that a number of a genome is mutated.
        eta: Of the polynomial mutation; more: smaller steps.
        cells: Of a side of a maze.
        splits: Walls of a maze, each with a door.
        ticks: Length of an episode in a maze or of a robot.
        repeat: Ticks that an action in a maze is held.
        hidden: Neurons of the hidden layer.
        robot: Which robot of brax.
        fuse: Generations in a step of the run.
    """
    counts = {"tasks": tasks, "bin_size": bin_size, "population": population, "children": children, "ticks": ticks}
    for name, value in {**counts, "repeat": repeat, "hidden": hidden}.items():
        if value < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {value}: give a number above zero.")
    if not 0 < rate <= 1 or not 0 <= redraw <= 1 or eta < 0 or bins < 0:
        given = f"--rate is {rate}, --redraw {redraw}, --eta {eta}, --bins {bins}"
        raise UsageError(f"{given}: give probabilities up to 1, the rate above 0, and nothing below 0.")
    place = _world(world, tasks, hidden, cells, splits, ticks, repeat, robot)
    if selection == "cmoea":
        keeper = Bins(place, bins, bin_size, diversity, redraw)
    else:
        keeper = Single(place, selection, population)
    return Scanned(Generational(Evolution(place, keeper, children, rate, eta), place), fuse)


def _world(
    name: str, tasks: int, hidden: int, cells: int, splits: int, ticks: int, repeat: int, robot: str
) -> HardEasy | Mazes | Legged:
    if name == "maze":
        return Mazes.random(tasks, cells, splits, ticks, repeat, hidden)
    if name == "legged":
        if tasks != len(COMMANDS):
            raise UsageError(f"--tasks is {tasks}: the robot has {len(COMMANDS)} commands, give that.")
        return Legged(Brax(robot, horizon=ticks), hidden)
    if tasks % 2 or tasks < 2:
        raise UsageError(f"--tasks is {tasks}: they come in pairs, give an even number from 2.")
    return HardEasy(tasks // 2)


PAPER = {
    "world": "maze",
    "tasks": 100,
    "bins": 1000,
    "bin_size": 10,
    "population": 1000,
    "children": 1000,
    "rate": 0.1,
    "cells": 20,
    "splits": 5,
    "ticks": 2500,
    "repeat": 1,
    "hidden": 20,
    "fuse": 1,
}
"""The hundred mazes; 1,001 steps.  The robot: `world="legged", tasks=6, bins=0, bin_size=100, diversity=True`."""

MAZES = {"world": "maze", "tasks": 10, "cells": 10, "splits": 4, "ticks": 250, "rate": 0.1}
CLAIM = (
    Claim(
        statement="CMOEA learns hard tasks that break easy ones, and learns these anew, as the strongest controls do.",
        source="Huizinga & Clune 2018: outperforms or is competitive",
        metric="tasks/best",
        treatment={},
        control={"selection": "lexicase"},
        steps=10,
        margin=-0.02,
        others={
            "nsga2": {"selection": "nsga2"},
            "nsga2 combined": {"selection": "nsga2_combined"},
            "combined alone": {"selection": "combined"},
        },
        also=("tasks/solved",),
    ),
    Claim(
        statement="CMOEA finds a network for all mazes that is better than, or as good as, those of the controls.",
        source="Huizinga & Clune 2018: outperforms or is competitive",
        metric="tasks/best",
        treatment={**MAZES, "bins": 100},
        control={**MAZES, "selection": "epsilon_lexicase"},
        steps=4,
        margin=-0.02,
        others={
            "nsga2": {**MAZES, "selection": "nsga2"},
            "nsga2 combined": {**MAZES, "selection": "nsga2_combined"},
        },
        also=("tasks/solved",),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """How good the best of every bin is, by how many tasks the bin combines."""
    graph = require("plotly.graph_objects", "report")
    kept = run.state.kept
    if isinstance(kept, Population):
        return []
    scores = kept.scores.at[kept.members].get(mode="fill", fill_value=jnp.nan)
    best = np.nanmax(np.asarray(combined(scores, kept.subsets[:, None], kept.by)), axis=1, initial=-np.inf)
    count = np.asarray(kept.subsets).sum(axis=1)
    content = graph.Figure(graph.Box(x=count, y=best, boxpoints="all"))
    style(content, height=420, xaxis_title="tasks of the bin", yaxis_title="combined performance of its best")
    return [Figure("Bins", f"{len(best):,} bins hold {int(kept.size):,} different individuals.", content)]


if __name__ == "__main__":
    import aiga

    aiga.run("cmoea", steps=10)
