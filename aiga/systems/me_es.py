"""ME-ES: MAP-Elites whose mutations are steps of evolution strategies.

Colas, Huizinga, Madhavan & Clune (2020), "Scaling MAP-Elites to deep neuroevolution",
https://arxiv.org/abs/2003.01825, Algorithm 1:

    evaluate a first theta; put it into the map, and its behaviour into the novelty archive
    repeat:
        mode  <- explore and exploit by turns
        theta <- the elite of a cell chosen for the mode; an optimiser that remembers nothing
        for ten generations:
            theta <- a step of OpenAI's ES by the ranks of novelty (explore) or of the return (exploit)
            evaluate theta several times; put it into the map if it is better, its behaviour into the archive

A map serves to recover from damage: elites are tried, guided by a Gaussian process, until one works.
Controls: ME-GA, whose mutations are random, and NS-ES, NSR-ES and NSRA-ES, which have a population but no map
(Conti et al. 2018, https://arxiv.org/abs/1712.06560).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from aiga.archives.grid import Grid, Placement
from aiga.archives.novelty import Novelty
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.trees import Layout, take
from aiga.inspect import robot_lives
from aiga.inspect.vine import Individual
from aiga.learners.elites import best_or_any, blended, frontier, proportional
from aiga.learners.robots import Network, observed, recovered, robot_of
from aiga.nn.normaliser import Normaliser
from aiga.runs.claims import Claim
from aiga.runs.events import Born, Cloud
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import ESState, OpenAIES

ABOUT = {"papers": (30,), "pillar": "stepping stones", "needs": ()}

STALE, IMPROVED, CHANGE = 20, 0.1, 0.05
"""NSRA-ES: generations without, and the share of, an improvement; how much novelty then weighs more, or less."""


class MEState(NamedTuple):
    """The map, everyone's behaviour, and the clouds that move now: one, but a population in NS-ES and its kin."""

    map: Grid
    """Genomes as vectors."""
    seen: Novelty
    clouds: ESState
    behaviour: Float[Array, "population d"]
    normaliser: Normaliser | None
    """Of what all episodes observed; None: observations stay as they are."""
    cell: Int[Array, ""]
    """Where the cloud came from."""
    credit: Float[Array, " cells"]
    """The best mean return of a cloud that came from the cell."""
    weight: Float[Array, ""]
    """Of novelty in a candidate's utility; the rest is the return's."""
    record: Float[Array, ""]
    """NSRA-ES: the best fitness."""
    stale: Int[Array, ""]
    """NSRA-ES: generations since then."""
    steps: Int[Array, ""]
    recovery: Float[Array, " 3"]
    """At the last test: mean and worst return of damaged bodies after a search of the map, and mean without one."""


class MEES(eqx.Module):
    """The hyperparameters, and the system.  `evaluate` scores genomes, perhaps of a damaged body.

    What is compiled are the parts of a step, not the step: the program that judges means is also that of `init`.
    """

    strategy: OpenAIES
    evaluate: Callable[..., Evaluation]
    empty: Grid
    seen: Novelty
    normaliser: Normaliser | None = None
    damages: PyTree = None
    """None: recovery is not tested."""
    algorithm: str = eqx.field(static=True, default="me_es")
    mode: str = eqx.field(static=True, default="both")
    cells: str = eqx.field(static=True, default="best")
    population: int = eqx.field(static=True, default=1)
    repeats: int = eqx.field(static=True, default=5)
    visit: int = eqx.field(static=True, default=10)
    test: int = eqx.field(static=True, default=10)
    block: int | None = eqx.field(static=True, default=None)
    """Pairs whose genomes are in memory together; None: as many as fit in a core's cache."""
    clouds: int = eqx.field(static=True, default=1)
    """Generations from one recorded cloud to the next; 0: none is recorded."""
    names: tuple[str, ...] = eqx.field(static=True, default=())
    """Of the dimensions of behaviour."""

    @property
    def children(self) -> int:
        """Candidates of ME-GA in a generation: as many episodes as ME-ES has."""
        return max(1, (2 * self.strategy.pairs + self.repeats) // self.repeats)

    def init(self, key: Key) -> MEState:
        return self.judge(*self.begin(key))[0]

    def step(self, key: Key, state: MEState) -> tuple[MEState, Info]:
        """A visit to a cell: ten generations."""
        keys, state = self.settle(key, state._replace(seen=state.seen.with_room(self.visit)))
        births, clouds, began = [], [], state.map.fitness[state.cell]
        for key in keys[1:]:
            if self.algorithm == "me_ga":
                state, born = self.breed(key, state)
            else:
                judge, state, row, cloud = self.move(key, state)
                state, born = self.judge(judge, state, row)
                clouds.append(cloud)
            births.append(born)
        state, info = self.report(state, births, clouds, began)
        if self.damages is None:
            return state, info
        if int(state.steps) % self.test == 0:
            known = self.evaluate, self.strategy.layout, state.map, self.damages, state.normaliser
            state = state._replace(recovery=recovered(keys[0], *known))
        names = ("damage/recovered", "damage/worst", "damage/unsearched")
        return state, {**info, **dict(zip(names, np.asarray(state.recovery), strict=True))}

    @eqx.filter_jit
    def begin(self, key: Key) -> tuple[Key, MEState, Int[Array, " n"]]:
        """The state with random clouds, which are to be judged: a key for that, and their rows."""
        judge, build = jax.random.split(key)
        genomes = jax.vmap(self.strategy.build)(jax.random.split(build, self.population))
        zero = jnp.zeros((), jnp.int32)
        state = MEState(
            map=self.empty,
            seen=self.seen,
            clouds=jax.vmap(self.strategy.begin)(self.strategy.layout.flat(genomes)),
            behaviour=jnp.zeros((self.population, self.empty.cells.dimensions)),
            normaliser=self.normaliser,
            cell=zero,
            credit=jnp.full(self.empty.cells.count, -jnp.inf),
            weight=jnp.array({"ns_es": 1.0, "nsr_es": 0.5, "nsra_es": 0.5}.get(self.algorithm, 0.0), jnp.float32),
            record=jnp.full((), -jnp.inf),
            stale=zero,
            steps=zero,
            recovery=jnp.full(3, jnp.nan, jnp.float32),
        )
        return judge, state, jnp.arange(self.population)

    @eqx.filter_jit
    def settle(self, key: Key, state: MEState) -> tuple[tuple[Key, ...], MEState]:
        """Keys for a test and for all generations; ME-ES begins a cloud at the elite of a cell chosen for the mode."""
        choose, *keys = jax.random.split(key, 2 + self.visit)
        if self.algorithm != "me_es":
            return tuple(keys), state
        explore = {"explore": True, "exploit": False}.get(self.mode, state.steps % 2 == 0)
        if self.cells == "best":
            chosen = best_or_any(choose, state.map)
        else:
            chosen = frontier(choose, state.map, state.seen.novelty(state.map.descriptor), state.credit, explore)
        cloud = self.strategy.begin(state.map.genomes[chosen], state.map.identity[chosen])
        clouds = jax.tree.map(lambda x: x[None], cloud)
        behaviour, weight = state.map.descriptor[chosen][None], jnp.asarray(explore, jnp.float32)
        return tuple(keys), state._replace(clouds=clouds, behaviour=behaviour, cell=chosen, weight=weight)

    @eqx.filter_jit
    def move(self, key: Key, state: MEState) -> tuple[Key, MEState, Int[Array, "1"], dict[str, Array]]:
        """The state with a cloud moved by a generation, whose mean is to be judged: a key, its row; and how it was."""
        judge, choose, move = jax.random.split(key, 3)
        novelty = state.seen.novelty(state.behaviour)
        row = proportional(jax.random.uniform(choose), novelty, jnp.arange(self.population))
        before = take(state.clouds, row)
        strategy = replace(self.strategy, shape=partial(blended, state.seen, state.weight))
        evaluate = partial(self.evaluate, normaliser=state.normaliser)
        cloud, drawn, episodes, _ = strategy.generation(move, before, evaluate, self.block)
        shown = strategy.cloud(move, before, drawn, episodes)
        shown["parent_behaviour"] = state.behaviour[row][None]
        shown["kept"] = before.generation[None] % max(self.clouds, 1) == 0
        if state.normaliser:
            shown["context"] = state.normaliser.numbers[None]
        cloud = cloud._replace(identity=before.identity)
        returned = jnp.nanmean(episodes.fitness)
        state = state._replace(
            clouds=jax.tree.map(lambda all_, one: all_.at[row].set(one), state.clouds, cloud),
            normaliser=observed(state.normaliser, episodes.aux),
            credit=state.credit.at[state.cell].max(jnp.nan_to_num(returned, nan=-jnp.inf)),
        )
        return judge, state, row[None], shown

    def judge(self, key: Key, state: MEState, rows: Int[Array, " n"]) -> tuple[MEState, dict[str, Array]]:
        """Offer the means of some clouds to the map and to the archive."""
        state, evaluation, born = self.place(key, state, rows)
        # Not in the same program: one that can raise is compiled anew in every process.
        return state._replace(seen=state.seen.add(None, evaluation)[0]), born

    @eqx.filter_jit
    def place(self, key: Key, state: MEState, rows: Int[Array, " n"]) -> tuple[MEState, Evaluation, dict[str, Array]]:
        """Offer the means of some clouds to the map.

        What the map does not keep cannot be anyone's recorded parent: the line goes on from the last that it kept.
        """
        means, parents = state.clouds.mean[rows], state.clouds.identity[rows]
        state, evaluation, placed = self.offer(key, state, means, parents[:, None])
        identity = jnp.where(placed.status[:, None] > 0, placed.identity, parents)
        state = state._replace(
            clouds=state.clouds._replace(identity=state.clouds.identity.at[rows].set(identity)),
            behaviour=state.behaviour.at[rows].set(evaluation.descriptor),
        )
        born = placed.births(parents[:, None], evaluation.fitness)
        return self._weighed(state, evaluation.fitness.max()), evaluation, born

    @eqx.filter_jit
    def breed(self, key: Key, state: MEState) -> tuple[MEState, dict[str, Array]]:
        """A generation of ME-GA: random elites with Gaussian noise, each evaluated as often as a mean of ME-ES."""
        choose, vary, evaluate = jax.random.split(key, 3)
        rows = state.map.choose(choose, self.children)
        parents = state.map.identity[rows][:, None]
        genomes = state.map.genomes[rows]
        genomes = genomes + self.strategy.sigma * jax.random.normal(vary, genomes.shape)
        state, evaluation, placed = self.offer(evaluate, state, genomes, parents)
        return state, placed.births(parents, evaluation.fitness)

    def offer(
        self, key: Key, state: MEState, means: Float[Array, "n d"], parents: Int[Array, "n 1 2"]
    ) -> tuple[MEState, Evaluation, Placement]:
        """Offer genomes to the map by the mean fitness and the mean behaviour of some episodes each."""
        genomes = self.strategy.layout.tree(jnp.repeat(means, self.repeats, axis=0))
        episodes = self.evaluate(key, genomes, normaliser=state.normaliser)
        fitness = episodes.fitness.reshape(len(means), self.repeats).mean(axis=1)
        descriptor = episodes.descriptor.reshape(len(means), self.repeats, -1).mean(axis=1)
        evaluation = Evaluation(fitness, descriptor)
        grid, placed = state.map.place(means, evaluation, parents)
        state = state._replace(map=grid, normaliser=observed(state.normaliser, episodes.aux))
        return state, evaluation, placed

    @eqx.filter_jit
    def report(
        self, state: MEState, births: list[dict[str, Array]], clouds: list[dict[str, Array]], began: Float[Array, ""]
    ) -> tuple[MEState, Info]:
        """The state after a visit, and what is to be said of it."""
        steps = state.steps + 1
        born = jax.tree.map(lambda *x: jnp.concatenate(x), *births)
        cloud = jax.tree.map(lambda *x: jnp.concatenate(x), *clouds) if clouds and self.clouds else {}
        if cloud and self.algorithm == "me_es":  # of a population, nobody remembers the fitness
            cloud["parent_fitness"] = jnp.stack([began, *(one["fitness"][0] for one in births[:-1])])
        return state._replace(steps=steps), {
            **state.map.metrics(),
            "me_es/fitness": jnp.nanmean(births[-1]["fitness"]),
            "me_es/novelty_weight": state.weight,
            "me_es/behaviours": state.seen.size,
            "me_es/generations": self.visit * steps,
            "born": Born(operator=self.algorithm, **born),
            **({"cloud": Cloud(**cloud, names=self.names)} if cloud else {}),
        }

    def _weighed(self, state: MEState, fitness: Float[Array, ""]) -> MEState:
        """NSRA-ES: less novelty once the return improves, more of it when it long did not."""
        if self.algorithm != "nsra_es":
            return state
        first = jnp.isneginf(state.record)
        better = ~first & (fitness > state.record + IMPROVED * jnp.abs(state.record))
        stale = jnp.where(first | better, 0, state.stale + 1)
        tired = stale >= STALE
        weight = state.weight + jnp.where(better, -CHANGE, jnp.where(tired, CHANGE, 0.0))
        return state._replace(
            weight=jnp.clip(weight, 0, 1),
            record=jnp.where(first | better, fitness, state.record),
            stale=jnp.where(tired, 0, stale),
        )


def make(
    world: Literal["crawler", "trap", "ant", "humanoid_trap", "ant_trap", "ant_goal"] = "trap",
    algorithm: Literal["me_es", "me_ga", "ns_es", "nsr_es", "nsra_es"] = "me_es",
    mode: Literal["both", "explore", "exploit"] = "both",
    cells: Literal["best", "frontier"] = "frontier",
    side: int = 30,
    hidden: int = 32,
    pairs: int = 32,
    sigma: float = 0.05,
    learning_rate: float = 0.03,
    l2: float = 0.005,
    repeats: int = 5,
    visit: int = 10,
    population: int = 5,
    horizon: int = 0,
    test: int = 10,
    normalise: bool = False,
    block: int = 0,
    table: int = 2**20,
    clouds: int = 1,
) -> MEES:
    """Map what a neural network can do with a robot, by evolution strategies.

    Args:
        world: A trap for a point, an ant or a humanoid; an ant that is to reach a goal behind walls; or a crawler or an
            ant that may be damaged.
        algorithm: ME-ES, or a control.
        mode: What ME-ES does from the cells it chooses: explore and exploit by turns, or one alone.
        cells: How ME-ES chooses them: the best or any; or at the frontier, as in the paper's deep exploration.
        side: Cells of the map along each dimension of behaviour.
        hidden: Neurons of each of the two hidden layers.
        pairs: Mirrored pairs of candidates in a generation.
        sigma: Deviation of the noise, and of ME-GA's mutation.
        learning_rate: Of Adam.
        l2: How strongly weights are pulled to zero.
        repeats: Episodes of each candidate for the map.
        visit: Generations of a cell's cloud; they make one step of the run.
        population: Clouds of NS-ES and its kin.
        horizon: Steps of an episode; 0: the world's own.
        test: Steps of the run between two tests of recovery from damage.
        normalise: Show policies observations of about zero mean and unit deviation, as all episodes so far had them.
        block: Pairs evaluated at once, a divisor of `pairs`; 0: as many as fit in a core's cache.
        table: Numbers of the noise table.
        clouds: Record the candidates of every so many generations; 0: of none.
    """
    if min(side, hidden, pairs, repeats, visit, population, test) < 1:
        raise UsageError("side, hidden, pairs, repeats, visit, population and test have to be above zero: raise them.")
    if clouds < 0:
        raise UsageError(f"--clouds is {clouds}: give a number of generations, or 0.")
    if block and pairs % block:
        raise UsageError(f"--block is {block}: give a divisor of {pairs} pairs, or 0.")
    robot = robot_of(world, horizon, side)
    build = Network((robot.env.features, hidden, hidden, robot.env.actions))
    shapes = jax.eval_shape(build, jax.random.key(0))
    layout = Layout.of(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
    strategy = OpenAIES(NoiseTable.make(table), layout, build, pairs, sigma, learning_rate, l2)
    empty = Grid.empty(jnp.zeros(layout.size), robot.division, parents=1, offset=robot.offset)
    return MEES(
        strategy=strategy,
        evaluate=robot,
        empty=empty,
        seen=Novelty.empty(None, robot.division.dimensions, squared=True),
        normaliser=Normaliser.none((robot.env.features,)) if normalise else None,
        damages=robot.damages,
        algorithm=algorithm,
        mode=mode,
        cells=cells,
        population=population if algorithm.startswith("ns") else 1,
        repeats=repeats,
        visit=visit,
        test=test,
        block=block or None,
        clouds=clouds,
        names=robot.names,
    )


PAPER = {
    "world": "humanoid_trap", "cells": "frontier", "side": 91, "hidden": 256, "pairs": 5000, "sigma": 0.02,
    "learning_rate": 0.01, "repeats": 30, "normalise": True, "block": 500, "table": 250_000_000,
}  # fmt: skip
"""Deep exploration by 1,000 generations: 100 steps.  Damage: `--world ant --cells best --side 10`, 50 steps."""

CRAWLER = {"world": "crawler", "cells": "best", "side": 5, "test": 20}
TUNED = {"algorithm": "me_ga", "sigma": 0.4}
"""The best of five deviations in the trap, on seeds 100 and 101; 0.1 is the best of them for the crawler."""
CLAIM = (
    Claim(
        statement="ME-ES gets past a deceptive trap, which catches it if it only exploits.",
        source="Colas et al. 2020, deep exploration",
        metric="archive/best",
        treatment={},
        control={"mode": "exploit"},
        steps=30,
        others={"me_ga": TUNED, **{name: {"algorithm": name} for name in ("ns_es", "nsr_es", "nsra_es")}},
        also=("archive/coverage",),
    ),
    Claim(
        statement="A damaged robot gets farther with what a search of the map of ME-ES finds than of that of ME-GA.",
        source="Colas et al. 2020, damage recovery",
        metric="damage/recovered",
        treatment=CRAWLER,
        control={**CRAWLER, "algorithm": "me_ga", "sigma": 0.1},
        steps=20,
        also=("damage/unsearched", "damage/worst", "archive/best", "archive/coverage"),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """The elites by their behaviour, in two of its dimensions."""
    return [robot_lives.elites(run.state.map)]


def replay(run: Run, individual: Individual) -> Iterable[Figure]:
    """The episode of a candidate, or those by which an elite was judged."""
    return robot_lives.again(make(**run.options), run, individual)


if __name__ == "__main__":
    import aiga

    aiga.run("me_es", steps=30)
