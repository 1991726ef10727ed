"""Evolution strategies and what many objectives and behaviours cost.

OpenAI-ES on 100,000 numbers with 128 mirrored pairs, against evosax, both as compiled scans of generations; NSGA-II's
ranking of 100,000 individuals; the novelty of a batch among 100,000 behaviours.  CPU-seconds of the process and wall
time, warm, medians of five, contestants in turn.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from measure import Measured, measured_in_turn, row
from scipy.spatial import KDTree

from aiga.archives.novelty import Novelty
from aiga.core.errors import require
from aiga.core.protocols import Evaluation, Key
from aiga.core.trees import Layout
from aiga.selection.nsga2 import fronts, survivors
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import OpenAIES

BENCH = "es"
NUMBERS, PAIRS, SIGMA, RATE = 100_000, 128, 0.1, 0.01
GENERATIONS = 20
"""In one compiled scan."""
TARGET = 8.0
"""Times evosax, the least that was aimed at."""


INDIVIDUALS = 100_000
BEHAVIOURS, ASKED = 100_000, 256


def rows() -> list[dict[str, Any]]:
    found = strategies()
    for objectives in (2, 3):
        found += survival(objectives)
    for dimensions in (2, 10):
        found += novelty(dimensions)
    return found


def strategies() -> list[dict[str, Any]]:
    """OpenAI-ES from the same point on the sphere, ours and evosax's."""
    ours, theirs = ours_es(), evosax_es()
    for warm in (ours, theirs):
        warm(0)
    mine, peers = measured_in_turn(ours, theirs)
    name = f"OpenAI-ES, {NUMBERS:,} numbers, {2 * PAIRS} candidates"
    fitness = "fitness of the mean after 20 generations (starts at -100,000)"
    return [
        *speeds(name, "generations", GENERATIONS, [mine, peers], "evosax"),
        row(BENCH, f"{name}: times evosax", "ratio per CPU-second", peers.cpu / mine.cpu, TARGET, "budget"),
        row(BENCH, name, fitness, mean(mine), mean(peers), "evosax", smaller_is_better=True),
    ]


def sphere(genomes: Float[Array, "n d"]) -> Float[Array, " n"]:
    return -(genomes**2).sum(axis=1)


def ours_es() -> Callable[[int], float]:
    start = jnp.ones(NUMBERS)
    strategy = OpenAIES(
        NoiseTable.make(2**26), Layout.of(start), lambda key: start, PAIRS, SIGMA, RATE, l2=0.0, divide=True
    )

    def evaluate(key: Key, genomes: Float[Array, "n d"]) -> Evaluation:
        return Evaluation(sphere(genomes), genomes[:, :0])

    @eqx.filter_jit
    def climb(strategy: OpenAIES, key: Key) -> Float[Array, ""]:
        begin, go = jax.random.split(key)

        def generation(state: Any, key: Key) -> tuple[Any, None]:
            return strategy.generation(key, state, evaluate)[0], None

        state, _ = jax.lax.scan(generation, strategy.init(begin), jax.random.split(go, GENERATIONS))
        return sphere(state.mean[None])[0]

    return lambda seed: float(climb(strategy, jax.random.key(seed)))


def evosax_es() -> Callable[[int], float]:
    algorithms = require("evosax.algorithms", "bench")
    shaping = require("evosax.core.fitness_shaping", "bench")
    strategy = algorithms.Open_ES(
        2 * PAIRS,
        jnp.ones(NUMBERS),
        optimizer=optax.adam(RATE),
        std_schedule=optax.constant_schedule(SIGMA),
        fitness_shaping_fn=shaping.centered_rank_fitness_shaping_fn,
    )
    params = strategy.default_params

    @jax.jit
    def climb(key: Key) -> Float[Array, ""]:
        begin, go = jax.random.split(key)

        def generation(state: Any, key: Key) -> tuple[Any, None]:
            ask, tell = jax.random.split(key)
            population, state = strategy.ask(ask, state, params)
            state, _ = strategy.tell(tell, population, -sphere(population), state, params)  # evosax minimises
            return state, None

        state = strategy.init(begin, jnp.ones(NUMBERS), params)
        state, _ = jax.lax.scan(generation, state, jax.random.split(go, GENERATIONS))
        return sphere(strategy.get_mean(state)[None])[0]

    return lambda seed: float(climb(jax.random.key(seed)))


def survival(objectives: int) -> list[dict[str, Any]]:
    """NSGA-II's choice of half of 100,000 individuals against deap's, and its fronts against those of moocore, in C."""
    deap, moocore = require("deap.tools", "dev"), require("moocore", "dev")
    points = np.random.default_rng(0).normal(size=(INDIVIDUALS, objectives)).astype(np.float32)
    individuals = [Individual(row, objectives) for row in points.tolist()]
    name = f"NSGA-II, {INDIVIDUALS:,} individuals, {objectives} objectives"
    chosen = measured_in_turn(
        lambda seed: survivors(points, INDIVIDUALS // 2),
        lambda seed: deap.selNSGA2(individuals, INDIVIDUALS // 2, nd="log"),
    )
    ranked = measured_in_turn(lambda seed: fronts(points), lambda seed: moocore.pareto_rank(points, maximise=True))
    assert np.array_equal(ranked[0].values[0], ranked[1].values[0])
    return [
        *speeds(f"{name}: survivors", "individuals", INDIVIDUALS, chosen, "deap"),
        *speeds(f"{name}: fronts alone", "individuals", INDIVIDUALS, ranked, "moocore"),
    ]


class Individual(list):
    """What deap sorts."""

    def __init__(self, values: list[float], objectives: int) -> None:
        super().__init__(values)
        kind = type("Fitness", (require("deap.base", "dev").Fitness,), {"weights": (1.0,) * objectives})
        self.fitness = kind(values)


def novelty(dimensions: int) -> list[dict[str, Any]]:
    """The novelty of a batch among 100,000 behaviours.

    They change with every batch, so the peer, scipy's k-d tree, is built anew each time.
    """
    points = np.random.default_rng(0).normal(size=(BEHAVIOURS, dimensions)).astype(np.float32)
    asked = np.random.default_rng(1).normal(size=(ASKED, dimensions)).astype(np.float32)
    archive = Novelty.empty(jnp.zeros(0), dimensions, capacity=BEHAVIOURS)
    archive, _ = archive.add(jnp.zeros((BEHAVIOURS, 0)), Evaluation(jnp.zeros(BEHAVIOURS), jnp.asarray(points)))

    def ours(seed: int) -> np.ndarray:
        return np.asarray(archive.novelty(jnp.asarray(asked)))

    def theirs(seed: int) -> np.ndarray:
        return KDTree(points).query(asked, k=archive.k)[0].mean(axis=1)

    assert np.allclose(ours(0), theirs(0), rtol=1e-4)
    name = f"novelty of {ASKED} among {BEHAVIOURS:,} behaviours of {dimensions} numbers"
    return speeds(name, "behaviours", ASKED, measured_in_turn(ours, theirs), "scipy's KDTree, built and asked")


def speeds(name: str, what: str, count: int, contest: list[Measured], peer_name: str) -> list[dict[str, Any]]:
    """Two lines: how many `what` per CPU-second, and per second, we do and the peer does."""
    ours, peer = contest
    return [
        row(BENCH, name, f"{what} per CPU-second", count / ours.cpu, count / peer.cpu, peer_name),
        row(BENCH, name, f"{what} per second", count / ours.wall, count / peer.wall, peer_name),
    ]


def mean(measured: Measured) -> float:
    return sum(measured.values) / len(measured.values)


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=1)
