"""Genomes are any pytree: the same searches run on a module, a dict of arrays and a flat vector."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.grid import Grid, GridCells
from aiga.core.lifts import Generational, Scanned
from aiga.core.protocols import Candidates, Evaluation, Strategy
from aiga.core.trees import Layout
from aiga.nn.mlp import mlp
from aiga.strategies.genetic import Genetic, Mutation
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import OpenAIES
from aiga.systems.map_elites import MapElites
from aiga.variation.vectors import iso_line

TABLE = NoiseTable.make(2**16)
GENOMES = {
    "vector": jnp.ones(13),
    "dict": {"a": jnp.ones(9), "b": jnp.ones((2, 2))},
    "module": jax.tree.map(jnp.ones_like, mlp(jax.random.key(0), (2, 3, 1))),
}
"""All of thirteen ones."""


def evolution_strategy(example: Any) -> Strategy:
    return OpenAIES(TABLE, Layout.of(example), lambda key: example, pairs=16, sigma=0.1, learning_rate=0.1)


def genetic(example: Any) -> Strategy:
    return Genetic(Mutation(TABLE, Layout.of(example), 0.1), lambda key: example, population=32, parents=4)


def map_elites(example: Any) -> Strategy:
    return MapElites(Grid.empty(example, GridCells((0.0,), (2.0,), (8,))), iso_line, "iso_line", batch=32)


STRATEGIES = {"evolution strategy": evolution_strategy, "genetic": genetic, "map_elites": map_elites}


def small(key: Any, genomes: Any) -> Evaluation:
    """Smaller numbers are better; the descriptor is the mean size of the genome's numbers."""
    rows = [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(genomes)]
    flat = jnp.concatenate(rows, axis=1)
    return Evaluation(-(flat**2).sum(axis=1), jnp.abs(flat).mean(axis=1, keepdims=True))


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES.keys())
@pytest.mark.parametrize("example", GENOMES.values(), ids=GENOMES.keys())
def test_the_same_search_runs_whatever_a_genome_is(make, example):
    strategy = make(example)
    system = Scanned(Generational(strategy, small), 8)
    state, _ = system.step(jax.random.key(1), system.init(jax.random.key(0)))
    candidates = strategy.ask(jax.random.key(2), state)
    assert isinstance(candidates, Candidates)
    assert jax.tree.structure(candidates.genomes) == jax.tree.structure(example)
    assert float(jnp.nanmax(small(None, candidates.genomes).fitness)) > -13 + 0.5, "better than the start"


@pytest.mark.parametrize("make", [evolution_strategy, genetic])
def test_searches_with_the_noise_table_do_the_same_for_a_vector_and_for_a_tree_of_its_numbers(make):
    fitness = []
    for example in GENOMES.values():
        system = Generational(make(example), small)
        state, _ = system.step(jax.random.key(1), system.init(jax.random.key(0)))
        genomes = make(example).ask(jax.random.key(2), state).genomes
        fitness.append(np.sort(small(None, genomes).fitness))
    assert np.allclose(fitness[0], fitness[1], atol=1e-4)
    assert np.allclose(fitness[0], fitness[2], atol=1e-4)
