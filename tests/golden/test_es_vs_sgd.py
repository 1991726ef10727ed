"""The cosine between evolution's estimate and the gradient, sqrt(n / (n + d)).

Closed form, and as a script of ours, apart from this library, measured it: d = 5920, n = 500: theory 0.279, measured
0.285, with centred ranks 0.271; n = 2000: 0.5025, 0.507, 0.494; d = 1480, n = 2000: 0.758, 0.760.  The network of
TensorFlow's old tutorial has 3,274,634 weights; 10,000 pseudo-offspring, n = 5000, have a cosine of 0.039 there.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import centred_ranks
from aiga.systems.es_vs_sgd import cosine, expected_cosine, make, with_cosine

TABLE = {(500, 5920): 0.279, (2000, 5920): 0.5025, (2000, 1480): 0.758}


def regression(d):
    """The loss of softmax regression without bias, d / 10 inputs, on 64 random examples."""
    x = jax.random.normal(jax.random.key(1), (64, d // 10))
    y = jax.random.randint(jax.random.key(2), (64,), 0, 10)
    return lambda w: optax.softmax_cross_entropy_with_integer_labels(x @ w.reshape(-1, 10), y).mean()


@pytest.mark.parametrize(("n", "d"), TABLE)
def test_the_cosine_of_evolution_and_gradient_is_that_of_the_law(n, d):
    assert expected_cosine(n, d) == pytest.approx(TABLE[n, d], abs=5e-4)
    loss, table, weights = regression(d), NoiseTable.make(), jnp.zeros(d)
    gradient, sigma = jax.grad(loss)(weights), 0.002

    @jax.jit
    def measured(key):
        """With the losses themselves, and with their ranks."""
        index = table.draw(key, n, d)
        losses = jax.lax.map(lambda i: jax.vmap(loss)(jnp.array([[sigma], [-sigma]]) * table.row(i, d)), index)
        utilities = -losses, centred_ranks(-losses.ravel()).reshape(-1, 2)
        return jnp.stack([cosine(table.weighted(index, u[:, 0] - u[:, 1], d), -gradient) for u in utilities])

    found, ranked = np.mean([measured(jax.random.key(seed)) for seed in range(5)], axis=0)
    assert found == pytest.approx(TABLE[n, d], rel=0.04)
    assert ranked == pytest.approx(TABLE[n, d] * 0.977, rel=0.04)  # sqrt(3 / pi), for small n


@pytest.mark.parametrize(("n", "d"), TABLE)
def test_the_cosine_of_the_proxy_is_that_of_the_law(n, d):
    gradient = jax.random.normal(jax.random.key(0), (d,))
    found = [
        cosine(with_cosine(jax.random.key(seed), gradient, expected_cosine(n, d)), gradient) for seed in range(1, 21)
    ]
    assert np.mean(found) == pytest.approx(TABLE[n, d], rel=0.015)


def test_the_papers_network_has_3274634_weights_and_the_law_gives_its_correlation():
    system = make(mode="sgd", network="convnet", width=32, pixels=28, data="drawn", predictor="none")
    assert system.layout.size == 3_274_634
    assert expected_cosine(5000, 3_274_634) == pytest.approx(0.039, abs=5e-4)
