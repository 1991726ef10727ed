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
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.archives.grid import Grid
from aiga.archives.novelty import Novelty
from aiga.core.errors import UsageError, require
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.trees import Layout, take
from aiga.learners.map_search import map_search
from aiga.learners.robots import Network, robot_of
from aiga.runs.claims import Claim
from aiga.runs.events import Born
from aiga.runs.record import Run
from aiga.runs.report import Figure, style
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import ESState, OpenAIES, centred_ranks

ABOUT = {"papers": (30,), "pillar": "stepping stones", "needs": ()}

NOVEL, LATEST, PROMISING = 5, 5, 2
"""Cells that exploration chooses from; of the latest cells, those that exploitation chooses from."""
STALE, IMPROVED, CHANGE = 20, 0.1, 0.05
"""NSRA-ES: generations without, and the share of, an improvement; how much novelty then weighs more, or less."""


class MEState(NamedTuple):
    """The map, everyone's behaviour, and the clouds that move now: one, but a population in NS-ES and its kin."""

    map: Grid
    """Genomes as vectors."""
    seen: Novelty
    clouds: ESState
    behaviour: Float[Array, "population d"]
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
    """The hyperparameters, and the system.  `evaluate` scores genomes, perhaps of a damaged body."""

    strategy: OpenAIES
    evaluate: Callable[..., Evaluation]
    empty: Grid
    seen: Novelty
    damages: PyTree = None
    """None: recovery is not tested."""
    algorithm: str = eqx.field(static=True, default="me_es")
    mode: str = eqx.field(static=True, default="both")
    cells: str = eqx.field(static=True, default="best")
    population: int = eqx.field(static=True, default=1)
    repeats: int = eqx.field(static=True, default=5)
    visit: int = eqx.field(static=True, default=10)
    test: int = eqx.field(static=True, default=10)

    @property
    def children(self) -> int:
        """Candidates of ME-GA in a generation: as many episodes as ME-ES has."""
        return max(1, (2 * self.strategy.pairs + self.repeats) // self.repeats)

    def init(self, key: Key) -> MEState:
        return self._init(key)

    def step(self, key: Key, state: MEState) -> tuple[MEState, Info]:
        """A visit to a cell: ten generations."""
        return self._step(key, state._replace(seen=state.seen.with_room(self.visit)))

    @eqx.filter_jit
    def _init(self, key: Key) -> MEState:
        build, evaluate = jax.random.split(key)
        genomes = jax.vmap(self.strategy.build)(jax.random.split(build, self.population))
        means = self.strategy.layout.flat(genomes)
        evaluation = self.repeated(evaluate, means)
        grid, placed = self.empty.place(means, evaluation)
        zero = jnp.zeros((), jnp.int32)
        return MEState(
            map=grid,
            seen=self.seen.add(None, evaluation)[0],
            clouds=jax.vmap(self.strategy.begin)(means, placed.identity),
            behaviour=evaluation.descriptor,
            cell=zero,
            credit=jnp.full(self.empty.cells.count, -jnp.inf),
            weight=jnp.array({"ns_es": 1.0, "nsr_es": 0.5, "nsra_es": 0.5}.get(self.algorithm, 0.0), jnp.float32),
            record=jnp.full((), -jnp.inf),
            stale=zero,
            steps=zero,
            recovery=jnp.full(3, jnp.nan, jnp.float32),
        )

    @eqx.filter_jit
    def _step(self, key: Key, state: MEState) -> tuple[MEState, Info]:
        choose, generations, test = jax.random.split(key, 3)
        if self.algorithm == "me_es":
            state = self.settle(choose, state)
        generation = self.breed if self.algorithm == "me_ga" else self.improve
        state, (births, returns) = jax.lax.scan(
            lambda state, key: generation(state, key), state, jax.random.split(generations, self.visit)
        )
        born = Born(operator=self.algorithm, **jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), births))
        state = self.tested(test, state._replace(steps=state.steps + 1))
        info = {
            **state.map.metrics(),
            "me_es/fitness": returns[-1],
            "me_es/novelty_weight": state.weight,
            "me_es/behaviours": state.seen.size,
            "me_es/generations": self.visit * state.steps,
            "born": born,
        }
        if self.damages is not None:
            names = ("damage/recovered", "damage/worst", "damage/unsearched")
            info |= dict(zip(names, state.recovery, strict=True))
        return state, info

    def settle(self, key: Key, state: MEState) -> MEState:
        """Begin a cloud at the elite of a cell chosen for the mode."""
        explore = {"explore": True, "exploit": False}.get(self.mode, state.steps % 2 == 0)
        chosen = best_or_any(key, state.map) if self.cells == "best" else self.frontier(key, state, explore)
        cloud = self.strategy.begin(state.map.genomes[chosen], state.map.identity[chosen])
        clouds = jax.tree.map(lambda x: x[None], cloud)
        behaviour = state.map.descriptor[chosen][None]
        return state._replace(clouds=clouds, behaviour=behaviour, cell=chosen, weight=jnp.asarray(explore, jnp.float32))

    def frontier(self, key: Key, state: MEState, explore: Bool[Array, ""] | bool) -> Int[Array, ""]:
        """The paper's choice for deep exploration: novel cells to explore from, promising new ones to exploit."""
        grid = state.map
        coin, any_, novel_, latest_ = jax.random.split(key, 4)
        coin = jax.random.uniform(coin)
        novelty = jnp.where(grid.occupied, state.seen.novelty(grid.descriptor), -jnp.inf)
        novel = jnp.where(coin < 0.1, grid.choose(any_, 1)[0], _proportional(novel_, *jax.lax.top_k(novelty, NOVEL)))
        last = grid.size - 1 - jnp.arange(LATEST)
        latest = grid.discovered[jnp.maximum(last, 0)]
        score = jnp.where(last >= 0, jnp.maximum(grid.fitness[latest], state.credit[latest]), -jnp.inf)
        low = jnp.where(last >= 0, score, jnp.inf).min()
        best, place = jax.lax.top_k(score - low, PROMISING)
        promising = jnp.where(coin < 0.5, grid.fitness.argmax(), latest[_proportional(latest_, best, place)])
        return jnp.where(explore, novel, promising).astype(jnp.int32)

    def improve(self, state: MEState, key: Key) -> tuple[MEState, tuple[dict[str, Array], Array]]:
        """One generation of a cloud, whose new mean is offered to the map and to the archive."""
        choose, move, evaluate = jax.random.split(key, 3)
        novelty = state.seen.novelty(state.behaviour)
        row = _proportional(choose, novelty, jnp.arange(self.population))
        before = take(state.clouds, row)
        strategy = replace(self.strategy, shape=partial(blended, state.seen, state.weight))
        cloud, _, episodes, _ = strategy.generation(move, before, self.evaluate)
        evaluation = self.repeated(evaluate, cloud.mean[None])
        grid, placed = state.map.place(cloud.mean[None], evaluation, before.identity[None, None])
        # What the map did not keep cannot be anyone's recorded parent: the line goes on from the last that it kept.
        cloud = cloud._replace(identity=jnp.where(placed.status[0] > 0, placed.identity[0], before.identity))
        returned = jnp.nanmean(episodes.fitness)
        state = state._replace(
            map=grid,
            seen=state.seen.add(None, evaluation)[0],
            clouds=jax.tree.map(lambda all_, one: all_.at[row].set(one), state.clouds, cloud),
            behaviour=state.behaviour.at[row].set(evaluation.descriptor[0]),
            credit=state.credit.at[state.cell].max(jnp.nan_to_num(returned, nan=-jnp.inf)),
        )
        born = _births(placed, before.identity[None, None], evaluation)
        return self._weighed(state, evaluation.fitness[0]), (born, evaluation.fitness[0])

    def breed(self, state: MEState, key: Key) -> tuple[MEState, tuple[dict[str, Array], Array]]:
        """One generation of ME-GA: random elites with Gaussian noise, each evaluated as often as a mean of ME-ES."""
        choose, vary, evaluate = jax.random.split(key, 3)
        rows = state.map.choose(choose, self.children)
        parents = state.map.identity[rows][:, None]
        genomes = state.map.genomes[rows]
        genomes = genomes + self.strategy.sigma * jax.random.normal(vary, genomes.shape)
        evaluation = self.repeated(evaluate, genomes)
        grid, placed = state.map.place(genomes, evaluation, parents)
        return state._replace(map=grid), (_births(placed, parents, evaluation), jnp.nanmean(evaluation.fitness))

    def repeated(self, key: Key, means: Float[Array, "n d"]) -> Evaluation:
        """Mean fitness and mean behaviour of some episodes each."""
        genomes = self.strategy.layout.tree(jnp.repeat(means, self.repeats, axis=0))
        episodes = self.evaluate(key, genomes)
        fitness = episodes.fitness.reshape(len(means), self.repeats).mean(axis=1)
        return Evaluation(fitness, episodes.descriptor.reshape(len(means), self.repeats, -1).mean(axis=1))

    def tested(self, key: Key, state: MEState) -> MEState:
        """Test recovery, at every `test`th step; what is found does not influence the search."""
        if self.damages is None:
            return state
        due = state.steps % self.test == 0
        recovery = jax.lax.cond(due, lambda: self.recover(key, state.map), lambda: state.recovery)
        return state._replace(recovery=recovery)

    def recover(self, key: Key, grid: Grid) -> Float[Array, " 3"]:
        """What a damaged body achieves with the elite that twenty trials find, and with the best without any."""
        low = jnp.where(grid.occupied, grid.fitness, jnp.inf).min()
        span = jnp.maximum(grid.fitness.max() - low, 1e-6)
        prior = jnp.where(grid.occupied, (grid.fitness - low) / span, 0.0)

        def achieved(key: Key, rows: Int[Array, " n"], params: PyTree) -> Float[Array, " n"]:
            return self.evaluate(key, self.strategy.layout.tree(grid.genomes[rows]), params).fitness

        def adapt(key: Key, params: PyTree) -> Float[Array, " 2"]:
            search, test = jax.random.split(key)

            def trial(key: Key, row: Int[Array, ""]) -> Float[Array, ""]:
                return (achieved(key, row[None], params)[0] - low) / span

            chosen = map_search(search, grid.descriptor, prior, grid.occupied, trial).chosen
            return achieved(test, jnp.stack([chosen, grid.fitness.argmax()]), params)

        count = jax.tree.leaves(self.damages)[0].shape[0]
        found, best = jax.vmap(adapt)(jax.random.split(key, count), self.damages).T
        return jnp.stack([found.mean(), found.min(), best.mean()])

    def _weighed(self, state: MEState, fitness: Float[Array, ""]) -> MEState:
        """NSRA-ES: less novelty once the return improves, more of it when it long did not."""
        if self.algorithm != "nsra_es":
            return state
        needed = jnp.where(jnp.isfinite(state.record), state.record + IMPROVED * jnp.abs(state.record), -jnp.inf)
        better = fitness > needed
        stale = jnp.where(better, 0, state.stale + 1)
        tired = stale >= STALE
        weight = state.weight + jnp.where(better, -CHANGE, jnp.where(tired, CHANGE, 0.0))
        return state._replace(
            weight=jnp.clip(weight, 0, 1),
            record=jnp.where(better, fitness, state.record),
            stale=jnp.where(tired, 0, stale),
        )


def blended(seen: Novelty, weight: Float[Array, ""], evaluation: Evaluation) -> Float[Array, " n"]:
    """Utilities: the ranks of novelty, the ranks of the return, or a mixture of both."""
    novelty = centred_ranks(seen.novelty(evaluation.descriptor))
    return weight * novelty + (1 - weight) * centred_ranks(evaluation.fitness)


def best_or_any(key: Key, grid: Grid) -> Int[Array, ""]:
    """The paper's choice for damage recovery: the best cell or any, by the toss of a coin."""
    coin, any_ = jax.random.split(key)
    return jnp.where(jax.random.bernoulli(coin), grid.fitness.argmax(), grid.choose(any_, 1)[0]).astype(jnp.int32)


def _proportional(key: Key, weights: Float[Array, " n"], rows: Int[Array, " n"]) -> Int[Array, ""]:
    """One of the rows, with a probability proportional to its weight; those of weight -inf never."""
    share = jnp.where(jnp.isneginf(weights), -jnp.inf, jnp.log(jnp.maximum(weights, 1e-9)))
    return rows[jax.random.categorical(key, share)]


def _births(placed: Any, parents: Int[Array, "n p 2"], evaluation: Evaluation) -> dict[str, Array]:
    return {
        "id": placed.identity,
        "parents": parents,
        "kept": placed.status,
        "fitness": evaluation.fitness,
        "cell": placed.cell,
        "replaced": placed.replaced,
    }


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
    table: int = 2**20,
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
        table: Numbers of the noise table.
    """
    if min(side, hidden, pairs, repeats, visit, population, test) < 1:
        raise UsageError("side, hidden, pairs, repeats, visit, population and test have to be above zero: raise them.")
    robot = robot_of(world, horizon, side)
    sizes = (robot.env.features, hidden, hidden, robot.env.actions)
    build = Network(sizes)
    shapes = jax.eval_shape(build, jax.random.key(0))
    layout = Layout.of(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
    strategy = OpenAIES(NoiseTable.make(table), layout, build, pairs, sigma, learning_rate, l2)
    empty = Grid.empty(jnp.zeros(layout.size), robot.division, parents=1, offset=robot.offset)
    return MEES(
        strategy=strategy,
        evaluate=robot,
        empty=empty,
        seen=Novelty.empty(None, robot.division.dimensions, squared=True),
        damages=robot.damages,
        algorithm=algorithm,
        mode=mode,
        cells=cells,
        population=population if algorithm.startswith("ns") else 1,
        repeats=repeats,
        visit=visit,
        test=test,
    )


PAPER = {
    "world": "humanoid_trap", "cells": "frontier", "side": 91, "hidden": 256, "pairs": 5000, "sigma": 0.02,
    "learning_rate": 0.01, "repeats": 30, "table": 250_000_000,
}  # fmt: skip
"""Deep exploration by 1,000 generations: 100 steps.  Damage: `--world ant --cells best --side 10`, 50 steps."""

CRAWLER = {"world": "crawler", "cells": "best", "side": 5, "test": 20}
CLAIM = (
    Claim(
        statement="ME-ES gets past a deceptive trap, farther than MAP-Elites with random mutations.",
        source="Colas et al. 2020, deep exploration",
        metric="archive/best",
        treatment={},
        control={"algorithm": "me_ga"},
        steps=30,
        others={name: {"algorithm": name} for name in ("ns_es", "nsr_es", "nsra_es")},
        also=("archive/coverage",),
    ),
    Claim(
        statement="A damaged robot gets farther with what a search of the map of ME-ES finds than of that of ME-GA.",
        source="Colas et al. 2020, damage recovery",
        metric="damage/recovered",
        treatment=CRAWLER,
        control={**CRAWLER, "algorithm": "me_ga"},
        steps=20,
        also=("damage/unsearched", "damage/worst", "archive/best", "archive/coverage"),
    ),
)


def figures(run: Run) -> Iterable[Figure]:
    """The elites by their behaviour, in two of its dimensions."""
    graph = require("plotly.graph_objects", "report")
    grid: Grid = run.state.map
    kept = np.asarray(grid.occupied)
    x, y = np.asarray(grid.descriptor)[kept].T[:2]
    marker = {"color": np.asarray(grid.fitness)[kept], "colorscale": "Viridis", "colorbar": {"title": "fitness"}}
    content = graph.Figure(graph.Scatter(x=x, y=y, mode="markers", marker=marker))
    style(content, height=560, width=640, xaxis_title="behaviour 1", yaxis_title="behaviour 2")
    return [Figure("Map of elites", f"{kept.sum():,} elites by their behaviour; colour is fitness.", content)]


if __name__ == "__main__":
    import aiga

    aiga.run("me_es", steps=30)
