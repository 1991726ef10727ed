import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.protocols import Env
from aiga.envs.stepper import DRAG, STRIDE, Stepper

KEY = jax.random.key(0)
NOWHERE = jnp.zeros(2)


def walk(actions, params=NOWHERE):
    """The last transition, and the sum of rewards."""
    env = Stepper(horizon=len(actions))
    state, _ = env.reset(KEY, params)
    total = 0.0
    for action in actions:
        after = env.step(KEY, state, jnp.asarray(action, jnp.float32), params)
        state, total = after.state, total + float(after.reward)
    return after, total


def test_it_is_an_environment_whose_numbers_are_those_it_says():
    env = Stepper()
    assert isinstance(env, Env)
    _, observation = env.reset(KEY, NOWHERE)
    assert observation.shape == (env.features,)
    assert env.actions == 6


def test_a_gripping_foot_that_is_drawn_back_pushes_the_body_forward():
    after, _ = walk([(-1, 0, 1, 0, 0, -1)])
    np.testing.assert_allclose(after.state.position, [STRIDE / (1 + DRAG), 0], rtol=1e-6)
    np.testing.assert_allclose(after.state.feet, [[-STRIDE, 0], [0, 0]])


def test_feet_in_the_air_and_feet_that_pull_against_each_other_move_nothing():
    for action in ((-1, 1, -1, 1, 1, -1), (-1, 0.5, 1, 1, -0.5, 1)):
        after, _ = walk([action])
        np.testing.assert_allclose(after.state.position, [0, 0], atol=1e-7)


def test_a_foot_reaches_only_so_far_and_one_stance_pushes_no_farther():
    after, _ = walk([(-1, 0, 1, 0, 0, -1)] * 10)
    np.testing.assert_allclose(after.state.feet[0], [-1, 0])
    np.testing.assert_allclose(after.state.position, [1 / (1 + DRAG), 0], rtol=1e-6)


def test_lifting_a_foot_to_bring_it_back_makes_a_gait():
    stride = [(-1, 0, 1, 1, 0, -1)] * 2 + [(1, 0, -1, -1, 0, 1)] * 2
    after, _ = walk(stride * 8)
    assert float(after.state.position[0]) > 10


def test_the_reward_is_progress_in_the_direction_that_is_the_worlds_genome():
    action = [(-1, 0.5, 1, 0, 0, -1)]
    after, forward = walk(action, jnp.array([1.0, 0.0]))
    _, back = walk(action, jnp.array([-1.0, 0.0]))
    _, any_way = walk(action)
    assert forward == pytest.approx(float(after.state.position[0]))
    assert back == -forward
    assert any_way == 0


def test_an_episode_is_cut_off_after_its_steps_and_never_ends_otherwise():
    after, _ = walk([(0,) * 6] * 3)
    assert bool(after.truncated)
    env = Stepper(horizon=4)
    state, _ = env.reset(KEY, NOWHERE)
    first = env.step(KEY, state, jnp.zeros(6), NOWHERE)
    assert not bool(first.truncated | first.terminated)


def test_the_clock_comes_round_after_its_period():
    env = Stepper(period=4.0)
    state, observation = env.reset(KEY, NOWHERE)
    seen = [np.asarray(observation[-2:])]
    for _ in range(4):
        after = env.step(KEY, state, jnp.zeros(6), NOWHERE)
        state = after.state
        seen.append(np.asarray(after.observation[-2:]))
    np.testing.assert_allclose(seen[0], [0, 1], atol=1e-6)
    np.testing.assert_allclose(seen[1], [1, 0], atol=1e-6)
    np.testing.assert_allclose(seen[4], seen[0], atol=1e-5)
