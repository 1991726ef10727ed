import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs.linear_projection import LinearProjection

KEY = jax.random.key(0)


@pytest.mark.parametrize("function", ["sphere", "rastrigin"])
def test_the_optimum_has_a_hundred_and_the_worst_corner_nothing(function):
    world = LinearProjection(function)
    found = world(KEY, jnp.stack([jnp.full(100, 2.048), jnp.full(100, -5.12)]))
    assert np.allclose(found.fitness, [100, 0], atol=1e-3)
    assert np.allclose(found.descriptor, [[102.4, 102.4], world.low], rtol=1e-5)


def test_the_start_scores_what_the_formulas_say():
    sphere = LinearProjection("sphere")(KEY, jnp.zeros((1, 100)))
    assert float(sphere.fitness[0]) == pytest.approx(100 * (1 - 2.048**2 / 7.168**2), rel=1e-5)
    rastrigin = LinearProjection("rastrigin")(KEY, jnp.zeros((1, 100)))
    cost = [10 + y**2 - 10 * np.cos(2 * np.pi * y) for y in (-2.048, -7.168)]
    assert float(rastrigin.fitness[0]) == pytest.approx(100 * (1 - cost[0] / cost[1]), rel=1e-5)


def test_numbers_outside_the_box_count_the_less_the_farther_out_they_are():
    x = jnp.array([[10.24, -20.48, 1.0, 2.0]])
    assert np.allclose(LinearProjection(dimensions=4)(KEY, x).descriptor, [[0.25, 3.0]])


def test_descriptors_stay_within_the_limits():
    world = LinearProjection()
    found = world(KEY, 30 * jax.random.normal(jax.random.key(1), (200, 100)))
    assert (np.abs(found.descriptor) <= np.array(world.high)).all()


def test_rastrigin_is_the_textbook_function():
    x = 4 * jax.random.normal(jax.random.key(1), (50, 100))
    y = np.asarray(x, float) - 2.048
    textbook = (10 + y**2 - 10 * np.cos(2 * np.pi * y)).sum(1)
    assert np.allclose(LinearProjection("rastrigin").cost(x), textbook, rtol=1e-5)
