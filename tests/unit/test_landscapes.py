import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs.landscapes import LANDSCAPES, donut, fleeing_peaks, gradient_cliff, gradient_gap, narrowing_path
from aiga.systems.es_robustness import climb

WIDE = 0.7


def value(fitness, x, y):
    return float(fitness(jnp.array([x, y], float)))


def test_values_that_can_be_computed_by_hand():
    assert value(donut, 0, 1) == pytest.approx(1)
    assert value(donut, 0, 0) == pytest.approx(np.exp(-12.5), abs=1e-7)
    assert value(narrowing_path, 1, 0) == 1
    assert value(narrowing_path, 3, 0) == 2
    assert value(narrowing_path, 2, 0.1) < 0.02
    assert value(narrowing_path, -1, 0) == 0
    assert value(fleeing_peaks, 1, 0) == pytest.approx(0.8)
    assert value(fleeing_peaks, 0.5, 0) == pytest.approx(-0.35)
    assert value(gradient_gap, 0.2, 0) == value(gradient_gap, 0.8, 0) == 0
    assert value(gradient_gap, 9, 0) == 3
    assert value(gradient_cliff, 0.9, 0) == pytest.approx(0.9)
    assert value(gradient_cliff, 1.1, 0) == -1


def test_the_gap_has_no_gradient():
    assert not np.asarray(jax.grad(gradient_gap)(jnp.array([0.5, 0.0]))).any()


@pytest.mark.parametrize(
    ("name", "narrow", "wide"),
    [
        ("donut", lambda x: abs(np.hypot(*x) - 1) < 0.05, lambda x: np.hypot(*x) < 0.3),
        ("narrowing path", lambda x: x[0] > 1.6, lambda x: x[0] < 1.3),
        ("fleeing peaks", lambda x: abs(x[0]) < 0.1, lambda x: x[0] > 3.5),
        ("gradient gap", lambda x: x[0] < 0.15, lambda x: x[0] > 2.5),
        ("gradient cliff", lambda x: x[0] > 0.9, lambda x: 0 < x[0] < 0.7),
    ],
)
def test_a_narrow_cloud_goes_where_finite_differences_go_and_a_wide_one_elsewhere(name, narrow, wide):
    """Ends of the climb: by finite differences, by a cloud of deviation 0.02, and by one of deviation 0.7."""
    ends = [np.asarray(climb(jax.random.key(0), LANDSCAPES[name], sigma)[-1]) for sigma in (0.0, 0.02, WIDE)]
    assert narrow(ends[0])
    assert narrow(ends[1])
    assert wide(ends[2])


def test_the_narrow_climb_ends_over_the_cliff_or_at_its_edge_and_the_wide_one_before_it():
    paths = [climb(jax.random.key(0), LANDSCAPES["gradient cliff"], sigma) for sigma in (0.0, WIDE)]
    assert value(gradient_cliff, *paths[0][-1]) == pytest.approx(-1, abs=0.05)
    assert max(float(x) for x in paths[1][:, 0]) < 1
