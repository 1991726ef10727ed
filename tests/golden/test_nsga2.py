"""Non-dominated sorting and crowding distance against DEAP 1.4, which takes the mean over objectives."""

import jax
import numpy as np
import pytest
from deap import base, tools

from aiga.selection.nsga2 import crowding, fronts

CASES = {
    "random": lambda random, m: random.normal(size=(150, m)),
    "duplicates": lambda random, m: random.integers(0, 4, (150, m)),
    "one front": lambda random, m: np.stack([np.arange(60), *[-np.arange(60)] * (m - 1)], axis=1),
    "a chain": lambda random, m: np.repeat(random.permutation(40)[:, None], m, axis=1),
    "all equal": lambda random, m: np.ones((20, m)),
    "one individual": lambda random, m: np.ones((1, m)),
}


def found(points, how):
    """Fronts and crowding distances; compiled, of 150 rows, the last of them failed, as few programs suffice."""
    if how == "host":
        front = fronts(points)
        return front, crowding(points, front)
    padded = np.full((150, points.shape[1]), np.nan, np.float32)
    padded[: len(points)] = points
    front, distance = compiled(padded)
    return np.asarray(front)[: len(points)], np.asarray(distance)[: len(points)]


@jax.jit
def compiled(points):
    front = fronts(points)
    return front, crowding(points, front)


def individuals(points):
    class Fitness(base.Fitness):
        weights = (1.0,) * points.shape[1]

    people = [type("Individual", (), {"fitness": Fitness(tuple(row)), "row": i}) for i, row in enumerate(points)]
    return [one() if isinstance(one, type) else one for one in people]


@pytest.mark.parametrize("how", ["host", "compiled"])
@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_fronts_and_crowding_are_those_of_deap(case, m, how):
    points = CASES[case](np.random.default_rng(m), m).astype(np.float32)
    front, distance = found(points, how)
    population = individuals(points.astype(float))
    for number, members in enumerate(tools.sortNondominated(population, len(population))):
        rows = sorted(one.row for one in members)
        assert rows == np.flatnonzero(front == number).tolist()
        members.sort(key=lambda one: one.row)
        tools.emo.assignCrowdingDist(members)
        expected = [one.fitness.crowding_dist * m for one in members]
        assert np.allclose(distance[rows], expected, rtol=1e-4)
