import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs.chains import Attempts, Chains


def key(number: int = 0):
    return jax.random.key(number)


def small(**options) -> Chains:
    return Chains(**({"chains": 1, "length": 2, "impossible": 1, "forgetting": 0.0} | options))


def test_a_task_needs_all_items_before_it():
    chances = Chains(chains=2, length=3, impossible=2).chances(jnp.array([[0.5, 0.5, 0.1], [1.0, 0.2, 1.0]]))
    assert chances.tolist() == pytest.approx([0.5, 0.25, 0.025, 1.0, 0.2, 0.2, 0.0, 0.0])


def test_attempts_are_counted_when_they_are_over():
    goals, over, success = jnp.array([0, 0, 2, 2]), jnp.array([1, 1, 1, 0], bool), jnp.array([1, 0, 0, 0], bool)
    attempts = Attempts.tally(3, goals, over, success)
    assert attempts.tried.tolist() == [2, 0, 1]
    assert attempts.successes.tolist() == [1, 0, 0]


def test_what_can_be_done_succeeds_and_what_does_not_exist_does_not():
    chains = small()
    _, attempts = chains.attempt(key(), jnp.array([[1.0, 1.0]]), jnp.array([0, 1, 1, 2]), jnp.zeros(3))
    assert attempts.successes.tolist() == [1, 2, 0]
    assert attempts.tried.tolist() == [1, 2, 1]


@pytest.mark.parametrize(("capacity", "used"), [(100.0, 1.0), (2.0, 2.0)])
def test_a_success_practises_its_item_within_the_size_of_an_update(capacity, used):
    """With `k` rewards of 0.1, all of them or `capacity` in total: 1 - (1 - 0.5) 0.9^k."""
    chains = small(capacity=capacity)
    skills, attempts = chains.attempt(key(), jnp.array([[0.5, 0.0]]), jnp.zeros(16, int), jnp.zeros(3))
    k = int(attempts.successes[0])
    assert k > 2
    assert skills[0].tolist() == pytest.approx([1 - 0.5 * 0.9 ** (k if capacity > k else used), 0.0])


def test_failure_practises_only_what_pays_a_bonus():
    chains, skills, goals = small(), jnp.array([[0.5, 0.0]]), jnp.ones(16, int)
    without, _ = chains.attempt(key(), skills, goals, jnp.zeros(3))
    paid, _ = chains.attempt(key(), skills, goals, jnp.array([0.1, 0.0, 0.0]))
    other, _ = chains.attempt(key(), skills, goals, jnp.array([0.0, 0.1, 0.0]))
    assert without.tolist() == other.tolist() == skills.tolist()
    assert paid[0, 0] > 0.5
    assert paid[0, 1] == 0


def test_skills_are_forgotten_towards_those_of_a_novice():
    chains = small(forgetting=0.5, novice=0.2)
    skills, _ = chains.attempt(key(), jnp.array([[0.6, 0.2]]), jnp.full(4, 2), jnp.zeros(3))
    assert skills[0].tolist() == pytest.approx([0.4, 0.2])


def test_examinations_cost_nothing_and_tell_how_often_a_task_succeeds():
    chains = small(tries=400, updates=1, batch=1)
    _, attempts = chains.begin(key())
    assert attempts.tried.tolist() == [400] * 3
    after, known, score, _ = chains.practise(key(), jnp.array([[1.0, 0.5]]), jnp.array([0.0, 0.0, 1.0]), jnp.zeros(3))
    assert after.tolist() == [[1.0, 0.5]]
    assert score.tolist() == [1.0, 0.5, 0.0]
    assert np.asarray(known.successes / known.tried) == pytest.approx([1.0, 0.5, 0.0], abs=0.1)


def test_without_examinations_the_attempts_of_all_updates_are_what_is_known():
    chains = small(tries=0, updates=3, batch=5)
    _, known, _, _ = chains.practise(key(), jnp.array([[1.0, 0.0]]), jnp.array([1.0, 0.0, 0.0]), jnp.zeros(3))
    assert known.tried.tolist() == [15, 0, 0] == known.successes.tolist()


def test_every_task_belongs_to_a_group():
    assert Chains(chains=2, length=2, impossible=1).groups == ("item_1", "item_2", "item_1", "item_2", "impossible")
