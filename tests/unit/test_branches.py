import jax
import jax.numpy as jnp
import pytest

from aiga.envs.branches import Branches
from aiga.envs.chains import Chains

ONE, TWO, ONE_OTHERWISE, TWO_OTHERWISE, NOTHING = range(5)


def small(**options) -> Branches:
    return Branches(Chains(**({"chains": 1, "length": 2, "impossible": 1, "forgetting": 0.0} | options)), variants=1)


def attempt(skills, *goals, **options):
    return small(**options).attempt(jax.random.key(0), jnp.array([skills], float), jnp.array(goals))


def test_another_way_needs_the_items_before_it_and_a_skill_of_its_own():
    chances = small().chances(jnp.array([[[0.5, 0.1], [0.5, 1.0]]]))
    assert chances.tolist() == pytest.approx([0.5, 0.25, 0.05, 0.25, 0.0])


def test_a_success_practises_the_skills_that_it_took():
    after, outcome = attempt([[1.0, 1.0], [1.0, 1.0]], ONE, TWO, TWO_OTHERWISE, NOTHING)
    assert outcome.successes.tolist() == [1, 1, 0, 1, 0]
    assert outcome.tried.tolist() == [1, 1, 0, 1, 1]
    assert after.tolist() == [[[1.0, 1.0], [1.0, 1.0]]]
    after, outcome = attempt([[0.999, 0.0], [0.999, 0.999]], TWO_OTHERWISE)
    assert outcome.successes.tolist() == [0, 0, 0, 1, 0]
    assert after.ravel().tolist() == pytest.approx([1 - 0.0009, 0.0, 1 - 0.0009, 1 - 0.0009], abs=1e-6)


@pytest.mark.parametrize("goal", [ONE_OTHERWISE, NOTHING])
def test_failure_practises_nothing(goal):
    after, outcome = attempt([[1.0, 0.0], [0.5, 0.5]], goal)
    assert outcome.successes.sum() == 0
    assert after.tolist() == [[[1.0, 0.0], [0.5, 0.5]]]


def test_another_way_leads_nowhere():
    """Whoever is perfect at the first item in its other way is no better at the second."""
    chances = small().chances(jnp.array([[[0.5, 0.0], [0.5, 0.0]]]))
    better = small().chances(jnp.array([[[0.5, 1.0], [0.5, 0.0]]]))
    assert chances[TWO] == better[TWO] == 0.25


def test_examinations_are_at_all_tasks_and_cost_nothing():
    branches = small(tries=400, updates=1, batch=1)
    skills = jnp.array([[[1.0, 0.5], [0.5, 0.0]]])
    only_nothing = jnp.array([0.0, 0.0, 0.0, 0.0, 1.0])
    after, known, score, _ = branches.practise(jax.random.key(0), skills, only_nothing, jnp.zeros(5))
    assert after.tolist() == skills.tolist()
    assert score.tolist() == [1.0, 0.5, 0.5, 0.0, 0.0]
    assert (known.successes / known.tried).tolist() == pytest.approx([1.0, 0.5, 0.5, 0.0, 0.0], abs=0.1)
    assert small().begin(jax.random.key(0))[1].tried.tolist() == [20] * 5
