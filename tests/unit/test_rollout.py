"""Rollouts: what is recorded, how episodes end and begin, and the advantages of a hand-computed trajectory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.learners.rollout import Trajectory, advantages, begin, renew, rollout
from aiga.nn.distributions import Categorical
from aiga.nn.policy import Policy, Row, Scale
from tests.toys.recall import Line, Recall


def always(action):
    """A policy that always takes one action, and whose value is ten times its observation."""
    logits = jnp.where(jnp.arange(2) == action, 0.0, -1e9)
    return Policy(Row(), None, lambda _: Categorical(logits), lambda x: 10 * x, Scale(jnp.zeros(()), jnp.ones(())))


def played(action, start, length, limit=5):
    env, policy = Line(limit), always(action)
    worlds = begin(jax.random.key(0), env, jnp.array(start), policy, 2)
    return rollout(jax.random.key(1), env, jnp.array(start), policy, worlds, length, watch=lambda t: t.state[1])


def test_an_episode_that_terminates_leads_to_nothing():
    worlds, trajectory = played(action=1, start=2.0, length=5)
    np.testing.assert_array_equal(trajectory.observation[:, 0, 0], [2, 1, 2, 1, 2])
    np.testing.assert_array_equal(trajectory.terminated[:, 0], [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(trajectory.start[:, 0], [1, 0, 1, 0, 1])
    np.testing.assert_array_equal(trajectory.value[:, 0], [20, 10, 20, 10, 20])
    np.testing.assert_array_equal(trajectory.next_value[:, 0], [10, 0, 10, 0, 10])
    np.testing.assert_array_equal(worlds.episodes.last_returned, [-2, -2])
    assert int(worlds.episodes.ended) == 4
    assert float(worlds.episodes.metrics()["episode/length"]) == 2


def test_an_episode_that_is_truncated_leads_to_the_value_of_its_last_observation():
    _, trajectory = played(action=1, start=4.0, length=4, limit=3)
    np.testing.assert_array_equal(trajectory.truncated[:, 0], [0, 0, 1, 0])
    np.testing.assert_array_equal(trajectory.terminated[:, 0], [0, 0, 0, 0])
    np.testing.assert_array_equal(trajectory.observation[:, 0, 0], [4, 3, 2, 4])
    np.testing.assert_array_equal(trajectory.next_value[:, 0], [30, 20, 10, 30])


def test_what_is_watched_is_seen_before_the_world_begins_anew():
    _, trajectory = played(action=1, start=2.0, length=4)
    np.testing.assert_array_equal(trajectory.watched[:, 0], [1, 2, 1, 2])


def test_a_rollout_goes_on_where_the_one_before_ended():
    env, policy, start = Line(), always(1), jnp.array(3.0)
    worlds = begin(jax.random.key(0), env, start, policy, 2)
    worlds, _ = rollout(jax.random.key(1), env, start, policy, worlds, 2)
    _, second = rollout(jax.random.key(2), env, start, policy, worlds, 2)
    np.testing.assert_array_equal(second.observation[:, 0, 0], [1, 3])
    np.testing.assert_array_equal(second.start[:, 0], [0, 1])


@pytest.mark.parametrize("resets", [None, 1, 2, 100])
def test_worlds_that_ended_and_no_others_begin_anew(resets):
    env, start = Line(), jnp.array(9.0)
    ended = jnp.array([True, False, True, True, False])
    state = (jnp.arange(5.0), jnp.arange(5))
    (x, t), seen = renew(jax.random.key(0), env, start, ended, (state, state[0][:, None]), resets)
    np.testing.assert_array_equal(x, [9, 1, 9, 9, 4])
    np.testing.assert_array_equal(t, [0, 1, 0, 0, 4])
    np.testing.assert_array_equal(seen[:, 0], x)


@pytest.mark.parametrize("resets", [None, 2])
def test_new_worlds_differ_from_each_other(resets):
    ended = jnp.ones(64, bool)
    old = (jnp.full(64, 5), jnp.zeros(64, int)), jnp.zeros((64, 2))
    (cue, _), _ = renew(jax.random.key(0), Recall(), None, ended, old, resets)
    assert 16 < int(cue.sum()) < 48


def test_advantages_of_a_hand_computed_trajectory():
    """delta = r + 0.5 V' - V; A_t = delta_t + 0.25 A_{t+1} unless the episode ends."""
    column = lambda *x: jnp.array(x, float)[:, None]  # noqa: E731
    flag = lambda *x: jnp.array(x, bool)[:, None]  # noqa: E731
    nothing = column(0, 0, 0, 0)
    trajectory = Trajectory(
        (), (), nothing, column(1, 2, 3, 4), column(2, 0, 8, 6), column(1, 1, 1, 1), flag(0, 1, 0, 0),
        flag(0, 0, 1, 0), flag(1, 0, 1, 1), nothing, (),
    )  # fmt: skip
    # deltas: 1 + 1 - 1 = 1; 1 + 0 - 2 = -1; 1 + 4 - 3 = 2; 1 + 3 - 4 = 0
    np.testing.assert_allclose(advantages(trajectory, 0.5, 0.5)[:, 0], [0.75, -1, 2, 0])


def test_advantages_and_values_make_returns_where_the_trace_is_one():
    _, trajectory = played(action=1, start=3.0, length=3)
    returns = advantages(trajectory, 0.9, 1.0) + trajectory.value
    np.testing.assert_allclose(returns[:, 0], [-1 - 0.9 - 0.81, -1.9, -1], rtol=1e-6)
