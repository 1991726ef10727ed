import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.envs.arm import Arm
from aiga.envs.drawn import DrawnArm, DrawnMaze
from aiga.envs.maze import ENVELOPE, HARD_MAZE, Maze


def test_the_arm_ends_where_the_ground_truth_says_and_where_its_line_ends():
    world = DrawnArm()
    genomes = world.first(jax.random.key(0), 50)
    scored = world(jax.random.key(1), genomes)
    ends = Arm()(jax.random.key(2), genomes).descriptor
    assert np.allclose(world.truth.of(scored.descriptor), ends, atol=1e-6)
    lines = world.lines(np.asarray(scored.descriptor))
    assert np.allclose(lines[:, 0], 0.5)
    assert np.allclose(lines[:, 1:], Arm().joint_positions(genomes), atol=1e-6)


def test_the_features_of_an_arm_are_cosines_then_sines_and_evenly_bent_is_worth_100():
    world = DrawnArm(Arm(joints=2))
    scored = world(jax.random.key(0), jnp.array([[jnp.pi / 2, jnp.pi / 2], [0.0, 2.0]]))
    assert np.allclose(scored.descriptor[0], [0, -1, 1, 0], atol=1e-6)
    assert np.allclose(scored.fitness, [100, 0])


def test_the_first_arms_are_bent_in_all_directions():
    angles = np.asarray(DrawnArm().first(jax.random.key(0), 1000))
    assert angles.shape == (1000, 10)
    assert -np.pi <= angles.min() < -3.1
    assert 3.1 < angles.max() < np.pi


@pytest.fixture(scope="module")
def ways():
    """Who stands still, and who drives straight on at full speed."""
    world = DrawnMaze(jax.random.normal, Maze(ticks=15, stop=False), places=5)
    actions = jnp.array([[0.5, 0.5], [0.5, 1.0]])
    episode = jax.jit(jax.vmap(lambda action: world._episode(jax.random.key(0), lambda observation: action)))
    return world, *episode(actions)


def test_a_robot_is_worth_more_the_less_it_turns_and_drives(ways):
    _, fitness, _ = ways
    assert np.allclose(fitness, [100, 50])


def test_the_way_of_a_robot_ends_where_the_ground_truth_says(ways):
    world, _, features = ways
    lines, ends = world.lines(np.asarray(features)), np.asarray(world.truth.of(features))
    assert lines.shape == (2, 6, 2)
    assert np.allclose(lines[:, -1], ends)
    size = np.ptp(ENVELOPE, axis=0)
    assert np.allclose(lines[0], (HARD_MAZE.start - ENVELOPE[0]) / size)  # stands still
    gone = (lines[1] * size + ENVELOPE[0] - HARD_MAZE.start)[:, 0]
    # 0.2, 0.4, ..., 3.0 units a tick, seen after 3, 6, ..., 15 ticks
    assert np.allclose(gone, [0, 1.2, 4.2, 9, 15.6, 24], atol=1e-3)


def test_the_walls_are_those_of_the_maze_in_the_unit_square():
    walls = DrawnMaze(jax.random.normal).walls
    assert walls.shape == (13, 2, 2)
    assert walls.min() == 0
    assert walls.max() == 1
