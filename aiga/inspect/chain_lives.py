"""The lives of networks from seed chains again: the lineage and the noise table rebuild them, to the last bit.

A chain is the place of its first weights and those of its mutations.  Of a member of a generation the cloud has the
last mutation, and the lineage those of its ancestors, all of whom were parents; the first place is drawn again from
the key of the step in which the first ancestor was born.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from aiga.core.errors import UsageError
from aiga.core.protocols import Key
from aiga.core.trees import take
from aiga.envs.maze import HARD_MAZE
from aiga.inspect import mazes, robot_lives
from aiga.inspect.robot_lives import Life, said
from aiga.inspect.vine import Individual
from aiga.learners.drives import Drive, traced
from aiga.runs.clouds import Recorded
from aiga.runs.record import Run
from aiga.runs.report import Figure
from aiga.strategies.genetic import Genetic
from aiga.strategies.openai_es import OpenAIES
from aiga.strategies.seed_chains import PLACE, POWER, Chain, Chains, on_host


def again(system: Any, run: Run, individual: Individual) -> list[Figure]:
    """The way of an individual through the maze: of a `DeepGA`, or of the evolution strategy `Following`."""
    if isinstance(system.strategy, OpenAIES):
        return [_follower(system, run, individual)]
    if not isinstance(system.world, Drive):
        raise UsageError("only individuals of the maze can be run again; this run is of an Atari game.")
    if individual.member is None:
        return [_parent(system, run, individual)]
    cloud, row = individual.member.cloud, individual.member.row
    chain = chain_of(run, cloud, row, system.strategy)
    life = lived(system, chain, jax.random.wrap_key_data(jnp.asarray(cloud.key[2:])), cloud.about.size, row)
    recorded = cloud.fitness[row], cloud.behaviour[row]
    return [_drawn(life, cloud.behaviour, said(individual.name, life, recorded))]


def _follower(system: Any, run: Run, individual: Individual) -> Figure:
    """The way of a candidate of the evolution strategy, or of its mean."""
    trace, walls = partial(_traced, system.layout), np.asarray(HARD_MAZE.walls)
    if individual.member is not None:
        return robot_lives.candidate(individual.member, system.strategy, None, trace, walls)
    individual.row(run.state.cloud.identity[None])
    return robot_lives.alone(individual.name, run.state.cloud.mean, trace, walls)


def chain_of(run: Run, cloud: Recorded, row: int, strategy: Genetic) -> Chain:
    """The chain of a member of a generation."""
    assert cloud.parents is not None
    lineage, line, identity = run.lineage(), [int(cloud.noise[row])], int(cloud.parents[row])
    first = divmod(identity, 2**32) if identity >= 0 else (cloud.about.step, row)
    while identity >= 0:
        at = int(np.searchsorted(lineage["id"], identity))
        if at == len(lineage["id"]) or lineage["id"][at] != identity:
            raise UsageError("an ancestor is not in the lineage, so this individual cannot be built again.")
        first, identity = divmod(identity, 2**32), int(lineage["parent"][at])
        line.append(int(lineage["noise"][at]))
    places = np.array([place for place in reversed(line) if place >= 0], PLACE)
    powers = np.full(len(places), strategy.vary.power, POWER)  # pyright: ignore[reportFunctionMemberAccess]  # `Extension`
    start = int(_starts(strategy, run.manifest["seed"], first[0])[first[1]])
    return Chain(start, places.tobytes(), powers.tobytes())


def lived(system: Any, chain: Chain, key: Key, size: int, row: int) -> Life:
    """Its episode, as one of a generation of so many."""
    weights = jnp.tile(jnp.asarray(system.world.decoder.weights(chain)), (size, 1))
    evaluation, path = traced(key, system.world.layout, weights, jnp.asarray([row]))
    fitness, behaviour = np.asarray(evaluation.fitness)[row], np.asarray(evaluation.descriptor)[row]
    return Life(np.asarray(path).swapaxes(0, 1), fitness, behaviour)


def _parent(system: Any, run: Run, individual: Individual) -> Figure:
    """The way of one of those that have children now."""
    population = run.state.population
    [chain] = on_host(take(population.genomes, np.array([individual.row(population.identity)])))
    life = lived(system, chain, jax.random.key(0), 1, 0)
    return _drawn(life, None, f"Individual {individual.name}, a parent, {len(chain)} mutations from the first network.")


def _starts(strategy: Genetic, seed: int, step: int) -> np.ndarray:
    """Where the weights began of those who were born without parents in a step."""
    key = jax.random.split(jax.random.fold_in(jax.random.key(seed), step + 1), 4)[0]
    genomes: Chains = _asked(strategy, key)
    return np.asarray(genomes.start)


@eqx.filter_jit
def _asked(strategy: Genetic, key: Key) -> Chains:
    nobody = strategy.init(key)
    return strategy.ask(key, nobody).genomes


def _traced(layout: Any, key: Key, weights: Float[Array, "n w"], rows: Array) -> Any:
    return traced(key, layout, weights, rows)


def _drawn(life: Life, others: Any, caption: str) -> Figure:
    return Figure("The way again", caption, mazes.draw(HARD_MAZE, life.paths, ends=others))
