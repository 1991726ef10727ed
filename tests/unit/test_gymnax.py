import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Env
from aiga.envs.gymnax import Gymnax


def played(env, params, actions):
    """All transitions from the same beginning."""

    def step(state, action):
        after = env.step(jax.random.key(1), state, action, params)
        return after.state, after

    state, _ = env.reset(jax.random.key(0), params)
    return jax.lax.scan(step, state, actions)[1]


def test_it_is_a_world_that_does_not_reset_itself():
    env = Gymnax("CartPole-v1")
    assert isinstance(env, Env)
    assert (env.actions, env.shape) == (2, (4,))
    after = played(env, env.params, jnp.ones(30, int))
    fallen = int(np.argmax(after.terminated))
    assert 5 < fallen < 15
    assert after.terminated[fallen:].all()
    np.testing.assert_array_equal(after.state.time, np.arange(1, 31))
    np.testing.assert_array_equal(after.reward, np.arange(30) <= fallen)


def test_a_time_limit_truncates_and_does_not_terminate():
    env = Gymnax("CartPole-v1")
    after = played(env, env.params.replace(max_steps_in_episode=3), jnp.array([0, 1, 0]))
    assert after.truncated.tolist() == [False, False, True]
    assert not after.terminated.any()


def test_what_ends_at_its_limit_is_terminated():
    env = Gymnax("Catch-bsuite")
    after = played(env, env.params.replace(max_steps_in_episode=9), jnp.ones(9, int))
    assert after.terminated.tolist() == [False] * 8 + [True]
    assert not after.truncated.any()


@pytest.mark.parametrize("name", ["CartPole-v1", "Breakout-MinAtar", "MemoryChain-bsuite"])
def test_types_stay_the_same_from_the_reset_on(name):
    env = Gymnax(name)
    state, observation = jax.eval_shape(lambda: env.reset(jax.random.key(0), env.params))
    after = jax.eval_shape(lambda s: env.step(jax.random.key(0), s, jnp.array(0), env.params), state)
    assert jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), after.state) == jax.tree.map(
        lambda x: (x.shape, x.dtype, False), state
    )
    assert (after.observation.shape, after.observation.dtype) == (observation.shape, observation.dtype)


def test_one_name_is_one_environment():
    assert Gymnax("CartPole-v1") == Gymnax("CartPole-v1")
    assert Gymnax("MemoryChain-bsuite", num_bits=3).shape == (5,)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="CartPole-v1"):
        Gymnax("CartPole")
