"""The two-weight models of the authors' `sm_simple.py` (https://github.com/uber-research/safemutations, 1497930).

The medians are those of the project's own measurement of that algorithm before this code was written (their program
needs Python 2): a hill climber, weights from -1 to 1, at most 2,000 iterations, solved below an error of 0.001, the
best magnitude of each operator.  Not repeated: SM-R on "easy" (201), whose line search is another here.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.systems.safe_mutations import TOYS, Toy
from aiga.variation.safe import mutate

LIMIT = 2000
MEDIANS = {
    "easy": {"plain": 29, "sm-g-sum": 15, "sm-g-abs": 29, "sm-g-so": 26},
    "medium": {"plain": LIMIT, "sm-r": LIMIT, "sm-g-sum": 505, "sm-g-abs": 581, "sm-g-so": 506},
    "washout": {"plain": LIMIT, "sm-r": LIMIT, "sm-g-sum": LIMIT, "sm-g-abs": 1011, "sm-g-so": 759},
}
MAGNITUDES = (0.1, 0.3, 1.0)


@lru_cache
def climber(operator):
    """The iterations of 20 hill climbers for each magnitude, as a function of keys and the toy's inputs."""

    def climb(key, magnitude, inputs):
        toy, (start, climb) = Toy(inputs), jax.random.split(key)

        def turn(iteration, now):
            weights, error, solved = now
            child = mutate(jax.random.fold_in(climb, iteration), weights, inputs, toy.apply, operator, magnitude, 10.0)
            found = -toy.live(key, child[None]).fitness[0]
            better = found < error
            weights, error = jnp.where(better, child, weights), jnp.where(better, found, error)
            solved = jnp.minimum(solved, jnp.where(error < 1e-3, iteration + 1, LIMIT))
            return weights, error, solved

        weights = toy.build(start)
        begin = (weights, -toy.live(climb, weights[None]).fitness[0], jnp.array(LIMIT))
        return jax.lax.fori_loop(0, LIMIT, turn, begin)[2]

    return jax.jit(jax.vmap(jax.vmap(climb, (0, None, None)), (None, 0, None)))


@pytest.mark.parametrize("world", MEDIANS)
def test_safe_mutations_solve_the_models_that_the_authors_solve_in_about_as_many_iterations(world):
    inputs = jnp.array(TOYS[world])
    for operator, expected in MEDIANS[world].items():
        keys = jax.random.split(jax.random.key(0), 20)
        medians = np.median(climber(operator)(keys, jnp.array(MAGNITUDES), inputs), axis=1)
        found = medians.min()
        if expected == LIMIT:
            assert found == LIMIT, f"{operator} solved what it should not"
        else:
            assert expected / 2.2 < found < 2 * expected, f"{operator}: {medians}"
