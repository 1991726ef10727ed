import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs.box2d import Box2DWalker, gymnasium_walker
from aiga.envs.terrain import CELLS, HEIGHT, STEP, flat, of_polyline, pieces

STUMP = of_polyline(
    jnp.array([0, 8, 8, 9, 9, CELLS * STEP]), HEIGHT + jnp.array([0, 0, 1, 1, 0, 0.0])
)  # a metre high, a metre wide


def actions(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, 4))


def moved(walker, x, up=0.0):
    """The poses with the hull at `x`, and higher."""
    poses = walker.poses()
    return poses + np.array([x - poses[0, 0], up, 0.0])


@pytest.fixture
def walker():
    walker = Box2DWalker(flat())
    walker.reset()
    return walker


def test_on_its_ground_and_from_its_moment_it_does_what_gymnasiums_walker_does():
    """Rough ground of gymnasium's own generator."""
    theirs = gymnasium_walker().BipedalWalker()
    theirs.reset(seed=3)
    ours = Box2DWalker(of_polyline(jnp.array(theirs.terrain_x), jnp.array(theirs.terrain_y)))
    ours.reset()
    for action in actions(10):
        theirs.step(action)
    bodies = [theirs.hull, *theirs.legs]
    poses = np.array([(*body.position, body.angle) for body in bodies])
    velocities = np.array([(*body.linearVelocity, body.angularVelocity) for body in bodies])
    ours.place(poses, velocities)
    for action in actions(10, seed=1):
        mine, (observation, reward, terminated, _, _) = ours.step(action), theirs.step(action)
        np.testing.assert_allclose(mine[0][:8], observation[:8], atol=1e-5)
        np.testing.assert_allclose(mine[0][14:], observation[14:], atol=1e-5)
        assert mine[1] == pytest.approx(reward, abs=1e-4)
        assert mine[2] == terminated


def test_the_same_actions_from_a_moment_it_was_put_back_to_lead_to_the_same_place(walker):
    for action in actions(20):
        walker.step(action)
    poses, velocities = walker.poses(), walker.velocities()
    went = [walker.step(action) for action in actions(10, seed=1)]
    end = walker.poses()
    walker.reset()
    walker.place(poses, velocities)
    np.testing.assert_allclose(walker.poses(), poses, atol=1e-6)
    np.testing.assert_allclose(walker.velocities(), velocities, atol=1e-6)
    again = [walker.step(action) for action in actions(10, seed=1)]
    np.testing.assert_allclose(walker.poses(), end, atol=5e-3)
    np.testing.assert_allclose([step[1] for step in again], [step[1] for step in went], atol=5e-3)


def test_every_edge_of_the_ground_is_laid_but_none_of_the_padding():
    walker = Box2DWalker(STUMP)
    walker.reset()
    assert len(walker.env.terrain) == len(pieces(STUMP)) - 1 == 5


def test_the_first_ray_is_straight_down_and_sees_the_top_of_a_stump():
    walker = Box2DWalker(STUMP)
    walker.reset()
    raised = moved(walker, x=8.5, up=2.0)
    walker.place(raised, np.zeros((5, 3)))
    observation = walker.step(np.zeros(4))[0]
    height = walker.poses()[0, 1] - HEIGHT - 1
    assert observation[14] == pytest.approx(height / gymnasium_walker().LIDAR_RANGE, abs=1e-5)


def test_a_wall_holds_a_foot_back():
    walker = Box2DWalker(STUMP)
    walker.reset()
    before = moved(walker, x=7.5)
    walker.place(before, np.tile([4.0, 0.0, 0.0], (5, 1)))
    for _ in range(10):
        walker.step(np.zeros(4))
    assert walker.poses()[[2, 4], 0].max() < 8.0


def test_a_hull_that_touches_the_ground_ends_the_episode_and_costs_100_points(walker):
    lying = moved(walker, x=5.0, up=3.0)
    lying[:, :2] = lying[0, :2] - (lying[:, :2] - lying[0, :2])
    lying[:, 2] += np.pi  # on its back
    walker.place(lying, np.zeros((5, 3)))
    steps = [walker.step(np.zeros(4)) for _ in range(60)]
    first = next(i for i, step in enumerate(steps) if step[2])
    assert first > 5
    assert steps[first][1] == -100
    assert not any(step[3] for step in steps)


def test_an_episode_is_played_to_its_end_or_to_the_horizon():
    standing = Box2DWalker(flat(), horizon=30).play(lambda observation: np.zeros(4))
    assert standing.length == 30
    falling = Box2DWalker(flat()).play(lambda observation: np.ones(4))
    assert falling.length < 2000
    assert falling.total < -90
    assert Box2DWalker(flat()).play(lambda observation: np.ones(4)) == falling


def test_the_seed_decides_the_push_at_the_start(walker):
    speeds = []
    for seed in (0, 1, 0):
        walker.reset(seed)
        speeds.append(walker.velocities()[0, 0])
    assert speeds[0] == speeds[2] != speeds[1]
