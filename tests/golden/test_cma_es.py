"""CMA-ES in ten dimensions, ten samples a generation, sigma 0.5: evaluations until one is below 1e-8.

The peers are DEAP 1.4.4 (`deap.cma.Strategy`) and pyribs 0.12 (`CMAEvolutionStrategy` told `batch_size // 2` parents),
medians of seeds 0 to 6, measured with `numpy.random.seed(seed)` and `seed=seed` from the same starts.  pyribs is slow
to learn shapes: its rank-one update has the factor c_1 twice.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.strategies.cma_es import CMAES

D, POPULATION = 10, 10
AXES = jnp.power(1e6, jnp.arange(D) / (D - 1))
FUNCTIONS = {
    "sphere": (lambda x: (x**2).sum(axis=1), 1.0),
    "ellipsoid": (lambda x: (AXES * x**2).sum(axis=1), 1.0),
    "rosenbrock": (lambda x: (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(axis=1), 0.0),
}
"""Function, and every coordinate of the start."""
DEAP = {"sphere": 1340, "ellipsoid": 5690, "rosenbrock": 5750}
PYRIBS = {"sphere": 1400, "ellipsoid": 9550, "rosenbrock": 9900}


def evaluations(function, start: float, seed: int, generations: int = 1000) -> float:
    search = CMAES(D, POPULATION, 0.5)

    def generation(state, key):
        samples = search.ask(key, state)
        costs = function(samples)
        return search.tell(state, samples, jnp.argsort(costs), jnp.array(POPULATION // 2)), costs.min()

    keys = jax.random.split(jax.random.key(seed), generations)
    _, costs = jax.lax.scan(generation, search.begin(jnp.full(D, start)), keys)
    there = np.flatnonzero(np.asarray(costs) < 1e-8)
    return POPULATION * (there[0] + 1) if len(there) else np.inf


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_search_takes_as_many_evaluations_as_deaps(name):
    function, start = FUNCTIONS[name]
    found = np.median([evaluations(function, start, seed) for seed in range(5)])
    assert 0.8 * DEAP[name] < found < 1.25 * DEAP[name]
    assert found < 1.1 * PYRIBS[name]
