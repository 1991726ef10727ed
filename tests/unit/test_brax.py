import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from aiga.core.errors import UsageError
from aiga.core.protocols import Env
from aiga.envs.brax import Brax, BraxState

PENDULUM = Brax("inverted_pendulum", horizon=30, walls=((0.1, -1.0, 0.1, 1.0),))
"""The cheapest robot to compile: a cart that is pushed away under a pole, and a wall in front of it."""
step = jax.jit(PENDULUM.step)


@pytest.fixture(scope="module")
def state() -> BraxState:
    return jax.jit(PENDULUM.reset)(jax.random.key(0), PENDULUM.params)[0]


def test_a_robot_follows_the_protocol_and_its_time_limit_is_no_termination(state):
    assert isinstance(PENDULUM, Env)
    early = step(jax.random.key(1), state, jnp.zeros(1), PENDULUM.params)
    late = step(jax.random.key(1), state._replace(time=jnp.array(29, jnp.int32)), jnp.zeros(1), PENDULUM.params)
    assert (bool(early.terminated), bool(early.truncated)) == (False, False)
    assert (bool(late.terminated), bool(late.truncated)) == (False, True)
    assert early.observation.shape == (PENDULUM.features,)
    assert float(early.reward) == 1


def test_a_damaged_joint_has_lost_its_strength(state):
    full = step(jax.random.key(1), state, jnp.ones(1), PENDULUM.params)
    none = step(jax.random.key(1), state, jnp.zeros(1), PENDULUM.params)
    damaged = step(jax.random.key(1), state, jnp.ones(1), PENDULUM.damaged(0))
    speeds = [float(after.state.simulation.pipeline_state.qd[0]) for after in (none, damaged, full)]
    assert 0 < speeds[1] - speeds[0] < 0.02 * (speeds[2] - speeds[0])
    with pytest.raises(UsageError, match="no joint 1"):
        PENDULUM.damaged(1)


def test_a_fallen_robot_is_terminated_and_before_a_wall_it_treads_on_the_spot(state):
    terminated = False
    while not terminated:
        after = step(jax.random.key(1), state, jnp.ones(1), PENDULUM.params)
        state, terminated = after.state, bool(after.terminated)
    assert int(state.time) < 30
    assert not bool(after.truncated)
    assert float(state.simulation.pipeline_state.x.pos[0, 0]) > 0.1 > float(state.place[0]) > 0


def test_with_a_goal_the_end_alone_is_rewarded_and_the_place_is_observed(state):
    env = Brax("inverted_pendulum", goal=(3.0, 4.0))
    nothing, place = jnp.array(1.0), jnp.zeros(2)
    assert float(env._reward(nothing, place, place, jnp.array(False))) == 0
    assert float(env._reward(nothing, place, place, jnp.array(True))) == -5
    assert env.observe(state).shape == (env.features,) == (PENDULUM.features + 2,)
    assert np.array_equal(env.observe(state)[:2], state.place)


def test_the_feet_that_touch_the_floor_are_told():
    ant = Brax("ant")
    state, _ = jax.jit(ant.reset)(jax.random.key(0), ant.params)

    @jax.jit
    def raised(height: Float[Array, " 9"]) -> Array:
        """What touches once every part of the ant has been raised."""
        pipeline = state.simulation.pipeline_state
        x = pipeline.x.replace(pos=pipeline.x.pos.at[:, 2].add(height))
        simulation = state.simulation.replace(pipeline_state=pipeline.replace(x=x))
        return ant.touching(state._replace(simulation=simulation))

    down = jnp.full(9, -0.4)
    assert raised(jnp.ones(9)).tolist() == [0, 0, 0, 0]
    assert raised(down).tolist() == [1, 1, 1, 1]
    assert raised(down.at[4].set(1.0)).tolist() == [1, 0, 1, 1]


def test_unknown_robots_are_refused():
    with pytest.raises(UsageError, match="it has ant, "):
        Brax("unicorn")
