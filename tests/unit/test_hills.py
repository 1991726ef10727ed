"""The walker on hills: mechanics that can be computed by hand, and batches that change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs.hills import RAYS, SIGHT, Hills, HillsState, poses
from aiga.envs.links import MASSES, Body, pivots
from aiga.envs.terrain import CELLS, HEIGHT, STEP, flat, of_heights, of_polyline
from aiga.envs.walker import DT, GRAVITY, JOINTS, LIMITS, bent, kinetic

ENV = Hills()
LOW = of_heights(jnp.full(CELLS, -100.0))
"""Ground that is never reached."""


@pytest.fixture(scope="module")
def step():
    return jax.jit(ENV.step)


@pytest.fixture(scope="module")
def move():
    return jax.jit(jax.vmap(ENV.step, (None, 0, 0, None)))


def begun(terrain=None, seed=0) -> HillsState:
    return ENV.reset(jax.random.key(seed), flat() if terrain is None else terrain)[0]


def thrown(seed: int, n: int = 32) -> HillsState:
    """Walkers in mid-air, bent at random within their joints, that turn and fly."""
    bend, speed, spin = jax.random.split(jax.random.key(seed), 3)
    share = jax.random.uniform(bend, (n, 4))
    low, high = np.array(LIMITS).T
    bends = low + share * (high - low)
    hull = jnp.zeros((n, 1))
    angle = jnp.concatenate(
        [hull, bends[:, :1], bends[:, :1] + bends[:, 1:2], bends[:, 2:3], bends[:, 2:3] + bends[:, 3:]], axis=1
    )
    state = jax.vmap(lambda key: ENV.reset(key, LOW)[0])(jax.random.split(jax.random.key(seed + 1), n))
    return state._replace(
        angle=angle, velocity=3 * jax.random.normal(speed, (n, 2)), spin=3 * jax.random.normal(spin, (n, 5))
    )


@jax.jit
def turning(state: HillsState) -> jax.Array:
    """The energy of the links' turning: their velocities belong to where they were before they last turned."""
    before = state.angle - DT * state.spin
    return kinetic(Body(state.centre.T, before.T, 0 * state.velocity.T, state.spin.T))


def test_an_episode_begins_on_the_pad_with_the_joints_within_their_limits():
    state, observation = ENV.reset(jax.random.key(0), flat())
    assert np.allclose(poses(state)[0], [4.647, 5.731, -0.005], atol=1e-4)
    assert observation.shape == (24,)
    for bend, (low, high) in zip(bent(state.angle), LIMITS, strict=True):
        assert low - 0.04 <= bend <= high + 0.04
    assert int(state.time) == 0


def test_rays_measure_the_flat_ground_by_the_cosine():
    state, observation = ENV.reset(jax.random.key(0), flat())
    height = float(poses(state)[0, 1]) - HEIGHT
    expected = np.minimum(height / np.cos(RAYS) / SIGHT, 1.0)
    assert np.allclose(observation[14:], expected, atol=1e-5)


def test_a_ray_sees_a_wall_in_front():
    x = [0.0, 7.0, 7.0, 8.0, 8.0, 90.0]
    y = [HEIGHT, HEIGHT, 20.0, 20.0, HEIGHT, HEIGHT]
    state, observation = ENV.reset(jax.random.key(0), of_polyline(jnp.array(x), jnp.array(y)))
    away = 7.0 - float(poses(state)[0, 0])
    assert np.allclose(observation[14 + 9], away / np.sin(RAYS[9]) / SIGHT, atol=1e-5)


def test_the_centre_of_mass_falls_freely_whatever_the_motors_do(step):
    state = begun(LOW)
    for i in range(10):
        action = jnp.array([1.0, -1.0, -1.0, 1.0]) * (-1) ** i
        state = step(jax.random.key(0), state, action, LOW).state
    start = begun(LOW)
    fallen = DT * DT * GRAVITY * 10 * 11 / 2  # the speed changes before the place, step by step
    assert np.allclose(start.centre[1] - state.centre[1], fallen, atol=1e-4)
    assert np.allclose(state.centre[0] - start.centre[0], 10 * DT * start.velocity[0], atol=1e-4)


def test_without_motors_turning_loses_energy_in_the_air(move):
    state = thrown(0)
    first = before = turning(state)
    for _ in range(60):
        state = move(jax.random.key(0), state, jnp.zeros((32, 4)), LOW).state
        after = turning(state)
        assert (after <= 1.002 * before).all()  # what moves joints back from beyond their ends
        before = after
    assert (after < first).all()


def test_what_is_dropped_never_has_more_energy_than_before(move):
    state = thrown(3)
    state = state._replace(centre=jnp.array([20.0, HEIGHT + 3.0]) + 0 * state.centre)  # above the ground

    @jax.jit
    def energy(state):
        motion = 0.5 * MASSES.total * (state.velocity**2).sum(axis=1)
        return turning(state) + motion + MASSES.total * GRAVITY * state.centre[:, 1]

    first = most = energy(state)
    ground, key, still = flat(), jax.random.key(0), jnp.zeros((32, 4))
    for _ in range(100):
        state = move(key, state, still, ground).state
        most = jnp.maximum(most, energy(state))
    assert (most <= first + 0.1).all()  # J; what comes out of the ground is lifted a little
    assert (energy(state) < 0.75 * first).all()


def test_joints_stay_within_their_limits_and_a_step(step):
    state = begun(LOW)
    for _ in range(50):
        state = step(jax.random.key(0), state, jnp.ones(4), LOW).state
    for bend, (low, high) in zip(bent(state.angle), LIMITS, strict=True):
        assert low - 0.16 <= bend <= high + 0.16
    speeds = [float(state.spin[child] - state.spin[parent]) for parent, child in JOINTS]
    assert np.allclose(speeds, 0, atol=0.1)


def test_the_origin_of_the_hull_is_where_the_masses_say():
    state = begun()
    body = Body(state.centre[:, None], state.angle[:, None], state.velocity[:, None], state.spin[:, None])
    at = pivots(body)
    hull, others = np.asarray(at.hull)[:, 0], np.asarray(poses(state))[1:, :2]
    masses = np.array([5.42222, 0.302222, 0.241778, 0.302222, 0.241778])  # Box2D's own numbers
    centre = (masses[0] * hull + masses[1:] @ others) / masses.sum()
    assert np.allclose(centre, state.centre, atol=1e-4)


def test_a_fall_costs_a_hundred_points_and_ends_the_episode(step):
    state = begun()
    state = state._replace(angle=state.angle - 1.5)  # on its nose
    for _ in range(100):
        after = step(jax.random.key(0), state, jnp.zeros(4), flat())
        state = after.state
        if after.terminated:
            break
    assert after.terminated
    assert float(after.reward) == -100


def test_no_leg_gets_through_a_wall():
    x, y = [0.0, 6.0, 6.0, 90.0], [HEIGHT, HEIGHT, HEIGHT + 6, HEIGHT + 6]
    wall = of_polyline(jnp.array(x), jnp.array(y))
    state = begun()._replace(velocity=jnp.array([4.0, 0.0]))
    move = jax.jit(ENV.step)
    farthest = 0.0
    for i in range(60):
        state = move(jax.random.key(0), state, jnp.array([1.0, -1.0, -1.0, 1.0]) * (-1) ** (i // 10), wall).state
        farthest = max(farthest, float(poses(state)[:, 0].max()))
    assert farthest < 6.0


def test_batches_over_candidates_and_grounds_change_nothing():
    rough = of_heights(HEIGHT + 0.1 * jnp.sin(jnp.arange(CELLS)).at[:20].set(0))
    grounds = jax.tree.map(lambda *x: jnp.stack(x), flat(), rough)
    actions = jax.random.uniform(jax.random.key(1), (20, 2, 3, 4), minval=-1, maxval=1)

    def episode(actions, ground):
        def move(state, action):
            after = ENV.step(jax.random.key(0), state, action, ground)
            return after.state, after.observation

        return jax.lax.scan(move, ENV.reset(jax.random.key(0), ground)[0], actions)[1]

    both = jax.jit(jax.vmap(jax.vmap(episode, (1, None), 1), (1, 0), 1))(actions, grounds)
    for world in range(2):
        alone = jax.jit(episode)(actions[:, world, 1], jax.tree.map(lambda x, w=world: x[w], grounds))
        assert np.allclose(both[:, world, 1], alone, atol=2e-3)


def test_the_finish_ends_an_episode_and_time_truncates_it(step):
    state = begun()
    last = CELLS * STEP - 10 * STEP
    shift = jnp.array([last - 4.6, 0.0])
    after = step(jax.random.key(0), state._replace(centre=state.centre + shift), jnp.zeros(4), flat())
    assert after.terminated
    assert float(after.reward) > -100
    late = step(jax.random.key(0), state._replace(time=jnp.int32(ENV.horizon - 1)), jnp.zeros(4), flat())
    assert late.truncated
    assert not late.terminated
