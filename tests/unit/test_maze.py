import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.core.protocols import Env
from aiga.envs.maze import (
    ENVELOPE,
    HARD_MAZE,
    Maze,
    MazeParams,
    clearance,
    divided_maze,
    geodesic,
    hidden,
    padded,
    quadrant,
    sighted,
)

ROOM = np.array([(0, 0, 100, 0), (100, 0, 100, 60), (100, 60, 0, 60), (0, 60, 0, 0)], np.float32)


def room(start=(20.0, 30.0), goal=(80.0, 30.0), heading=0.0, walls=ROOM):
    return MazeParams.of(walls, start, goal, heading)


def drive(env, params, actions):
    """The state after each action."""
    key = jax.random.key(0)
    state, _ = env.reset(key, params)

    def step(state, action):
        after = env.step(key, state, action, params)
        return after.state, after

    return jax.lax.scan(step, state, jnp.asarray(actions, float))[1]


def always(turn, speed, n):
    return jnp.tile(jnp.array([turn, speed]), (n, 1))


def test_rangefinders_measure_the_way_to_the_walls():
    _, observation = Maze().reset(jax.random.key(0), room())
    # left (up) 30, left ahead 30 * sqrt(2), ahead 80, and the same to the right; behind 20
    diagonal = 30 * 2**0.5
    expected = [1, 0.3, diagonal / 100, 0.8, diagonal / 100, 0.3, 0.2]
    np.testing.assert_allclose(observation[:7], expected, rtol=1e-5)


def test_a_rangefinder_sees_no_farther_than_its_range_and_not_past_the_end_of_a_wall():
    walls = jnp.array([(50.0, -10.0, 50.0, 10.0)])
    origin = jnp.zeros(2)
    assert sighted(origin, jnp.array([0.0, 180.0, 45.0]), walls, 100.0).tolist() == [50, 100, 100]
    assert sighted(origin, jnp.array([0.0]), walls, 40.0).tolist() == [40]


def test_the_rangefinders_turn_with_the_robot():
    ahead = Maze().reset(jax.random.key(0), room(heading=90.0))[1]
    np.testing.assert_allclose(ahead[3], 0.3, rtol=1e-5)
    np.testing.assert_allclose(ahead[1], 0.8, rtol=1e-5)


@pytest.mark.parametrize(
    ("goal", "expected"), [((1, 0), 0), ((0, 1), 1), ((-1, 0), 2), ((0, -1), 3), ((2, 1), 0), ((-1, -2), 3)]
)
def test_the_radar_tells_the_quadrant_of_the_goal(goal, expected):
    seen = quadrant(jnp.zeros(2), jnp.zeros(()), jnp.array(goal, float))
    assert seen.tolist() == [i == expected for i in range(4)]
    turned = quadrant(jnp.zeros(2), jnp.array(90.0), jnp.array(goal, float))
    assert turned.tolist() == [i == (expected - 1) % 4 for i in range(4)]


def test_the_goal_is_in_exactly_one_quadrant():
    goals = jnp.array([(x, y) for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0) if x or y])
    seen = jax.vmap(quadrant, (None, None, 0))(jnp.zeros(2), jnp.zeros(()), goals)
    assert seen.sum(axis=1).tolist() == [1] * 8


def test_opaque_walls_hide_the_goal():
    params = room(walls=np.concatenate([ROOM, [(50, 0, 50, 40)]]).astype(np.float32))
    start, walls = jnp.asarray(params.start), jnp.asarray(params.walls)
    assert [bool(hidden(start, jnp.array(goal), walls)) for goal in ((80.0, 30.0), (45.0, 30.0), (80.0, 59.0))] == [
        True,
        False,
        False,
    ]
    key = jax.random.key(0)
    assert Maze().reset(key, params)[1][7:].tolist() == [1, 0, 0, 0]
    assert Maze(opaque=True).reset(key, params)[1][7:].tolist() == [0, 0, 0, 0]


def test_speed_and_turning_approach_what_is_asked_for_by_the_slew_and_stop_at_the_top():
    after = drive(Maze(ticks=60, repeat=1), room(), always(1.0, 1.0, 16))
    np.testing.assert_allclose(after.state.speed, [0.2 * min(i, 15) for i in range(1, 17)], rtol=1e-5)
    np.testing.assert_allclose(after.state.turning, after.state.speed)
    back = drive(Maze(ticks=60, repeat=1, stop=False), room(start=(80, 30)), [(0.5, 0.25)] * 9)
    np.testing.assert_allclose(back.state.speed[-1], -1.5, rtol=1e-5)
    np.testing.assert_allclose(back.state.speed[1], -0.4, rtol=1e-5)


def test_actions_beyond_their_bounds_ask_for_no_more_than_the_top():
    far, top = (drive(Maze(repeat=1), room(), always(a, a, 20)) for a in (50.0, 1.0))
    assert np.array_equal(far.state.position, top.state.position)


def test_the_robot_moves_along_its_heading_before_it_turns():
    after = drive(Maze(repeat=1), room(), [(1.0, 1.0)] * 2)
    np.testing.assert_allclose(after.state.position[0], (20.2, 30), rtol=1e-6)
    assert float(after.state.heading[0]) == pytest.approx(0.2)
    np.testing.assert_allclose(after.state.position[1, 1], 30 + 0.4 * np.sin(np.deg2rad(0.2)), rtol=1e-6)


def test_an_action_is_held_for_as_many_ticks_as_it_is_repeated():
    once = drive(Maze(ticks=30, repeat=1), room(), jnp.repeat(jnp.array([(0.9, 0.8), (0.1, 0.6)]), 3, axis=0))
    held = drive(Maze(ticks=30, repeat=3), room(), [(0.9, 0.8), (0.1, 0.6)])
    assert np.array_equal(held.state.position, once.state.position[2::3])


def test_an_episode_lasts_its_ticks_even_if_the_last_action_is_cut_short():
    env = Maze(ticks=10, repeat=3, stop=False)
    after = drive(env, room(), always(0.5, 0.6, env.steps))
    assert env.steps == 4
    assert after.state.time.tolist() == [3, 6, 9, 10]
    assert after.truncated.tolist() == [False, False, False, True]
    assert after.reward[:3].tolist() == [0, 0, 0]
    left = np.linalg.norm(after.state.position[-1] - np.array((80, 30)))
    assert float(after.reward[-1]) == pytest.approx(-left)


def test_reaching_the_goal_terminates_the_episode_where_it_is_reached():
    env = Maze()
    after = drive(env, room(), always(0.5, 1.0, 40))
    first = int(np.argmax(after.terminated))
    assert 0 < first < 39
    assert not after.truncated.any()
    end = after.state.position[first]
    assert float(np.linalg.norm(end - np.array((80, 30)))) < 10
    assert (after.state.position[first:] == end).all()
    on = drive(Maze(stop=False), room(), always(0.5, 1.0, 40))
    assert not on.terminated.any()
    assert bool(on.state.reached[-1])
    assert float(on.state.position[-1, 0]) > 88


def test_a_robot_stops_before_a_wall_and_can_leave_it_again():
    after = drive(Maze(ticks=2000, repeat=1, stop=False), room(), [(0.5, 1.0)] * 60 + [(0.5, 0.0)] * 30)
    gap = 100 - np.asarray(after.state.position[:, 0])
    assert gap.min() >= 8
    assert gap[59] < 11
    assert gap[-1] > 30


def test_clearance_is_the_distance_to_the_nearest_wall_or_to_its_end():
    walls = jnp.array([(0.0, 0.0, 10.0, 0.0), (50.0, 50.0, 50.0, 50.0)])
    assert float(clearance(jnp.array([5.0, 3.0]), walls)) == 3
    assert float(clearance(jnp.array([13.0, 4.0]), walls)) == 5
    assert float(clearance(jnp.array([50.0, 50.0]), walls)) > 60


def test_no_robot_ever_passes_a_wall_of_the_hard_maze_whatever_it_does():
    env, n = Maze(stop=False, repeat=5, ticks=2000), 64
    lazy = jax.random.uniform(jax.random.key(1), (n, env.steps // 8, 2), minval=-1, maxval=2)
    actions = jnp.repeat(lazy, 8, axis=1).at[:8].set(jnp.array([0.5, 1.0]))
    positions = jax.vmap(lambda a: drive(env, HARD_MAZE, a).state.position)(actions).reshape(-1, 2)
    distance = jax.vmap(clearance, (0, None))(positions, jnp.asarray(HARD_MAZE.walls))
    assert float(distance.min()) >= 8
    assert (positions > jnp.array(ENVELOPE[0])).all()
    assert (positions < jnp.array(ENVELOPE[1])).all()
    assert float(positions[:, 1].min()) < 160, "they did not get about"


def test_walls_without_length_change_nothing():
    actions = jax.random.uniform(jax.random.key(2), (60, 2))
    plain = drive(Maze(opaque=True), HARD_MAZE, actions)
    more = drive(Maze(opaque=True), padded(HARD_MAZE, 20), actions)
    assert padded(HARD_MAZE, 20).walls.shape == (20, 4)
    assert np.array_equal(plain.observation, more.observation)
    assert np.array_equal(plain.state.position, more.state.position)
    assert np.array_equal(geodesic(HARD_MAZE).table, geodesic(padded(HARD_MAZE, 20)).table)
    with pytest.raises(UsageError, match="at least as many"):
        padded(HARD_MAZE, 12)


def test_a_batch_of_mazes_is_a_batch_of_genomes():
    mazes = [divided_maze(seed) for seed in range(3)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *mazes)
    env = Maze(radius=4.0, opaque=True)
    assert isinstance(env, Env)
    actions = jax.random.uniform(jax.random.key(3), (30, 2))
    together = jax.vmap(lambda params: drive(env, params, actions))(batch)
    alone = drive(env, mazes[1], actions)
    np.testing.assert_allclose(together.state.position[1], alone.state.position, rtol=1e-5)


def rooms_reached(params, cells=20, size=20.0):
    """The cells that can be reached from the first one without crossing a wall between two cells."""
    walls = np.asarray(params.walls) / size
    blocked = set()
    for x1, y1, x2, y2 in walls.round().astype(int).tolist():
        if x1 == x2:
            blocked |= {((x1 - 1, y), (x1, y)) for y in range(min(y1, y2), max(y1, y2))}
        else:
            blocked |= {((x, y1 - 1), (x, y1)) for x in range(min(x1, x2), max(x1, x2))}
    seen, edge = {(0, 0)}, [(0, 0)]
    while edge:
        x, y = edge.pop()
        for near in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            inside = 0 <= near[0] < cells and 0 <= near[1] < cells
            if inside and near not in seen and tuple(sorted(((x, y), near))) not in blocked:
                seen.add(near)
                edge.append(near)
    return len(seen), len(blocked)


@pytest.mark.parametrize("seed", range(5))
def test_every_cell_of_a_divided_maze_can_be_reached(seed):
    params = divided_maze(seed)
    assert params.walls.shape == (14, 4)
    reached, blocked = rooms_reached(params)
    assert reached == 400
    assert blocked > 80, "there are no walls inside"
    assert not np.array_equal(params.start, params.goal)


def test_a_divided_maze_depends_on_its_seed_alone():
    one, same, other = divided_maze(7), divided_maze(7), divided_maze(8)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one.walls, other.walls)
    assert divided_maze(0, cells=4, splits=0).walls.shape == (4, 4)
    with pytest.raises(UsageError, match="`splits` -1"):
        divided_maze(0, splits=-1)


def test_a_robot_can_drive_to_the_goal_of_every_divided_maze():
    for seed in range(3):
        params = divided_maze(seed)
        distances = geodesic(params, resolution=200, radius=4.0)
        assert float(distances.at(jnp.asarray(params.start))) < distances.table.max()


def test_geodesic_distances_go_around_walls():
    # a wall from the top to 20 above the bottom: the robot's way leads below its end, in an arc of radius 8
    params = room(start=(20, 10), goal=(80, 10), walls=np.concatenate([ROOM, [(50, 0, 50, 40)]]).astype(np.float32))
    distances = geodesic(params, resolution=100)
    found = float(distances.at(jnp.asarray(params.start)))
    far = np.hypot(30, 30)
    straightest = 2 * np.sqrt(far**2 - 8**2) + 8 * (1.5 * np.pi - 2 * np.arccos(8 / far))
    assert straightest - 2 < found < 1.09 * straightest
    around = geodesic(room(start=(20, 10), goal=(80, 10)), resolution=100)
    assert float(around.at(jnp.asarray(params.start))) == pytest.approx(60, abs=0.1)


def test_geodesic_distances_are_at_least_those_of_the_crow():
    distances = geodesic(HARD_MAZE)
    x, y = (distances.low[i] + distances.cell * (np.arange(distances.table.shape[i]) + 0.5) for i in (0, 1))
    crow = np.hypot(*(np.stack(np.meshgrid(x, y, indexing="ij")) - HARD_MAZE.goal[:, None, None]))
    assert (distances.table >= crow - 1.5 * distances.cell).all()
    start, goal = (float(distances.at(jnp.asarray(place))) for place in (HARD_MAZE.start, HARD_MAZE.goal))
    assert goal < 1.5
    assert start > 2 * np.linalg.norm(HARD_MAZE.start - HARD_MAZE.goal)


def test_distances_beyond_the_table_are_those_of_its_border():
    distances = geodesic(room(), resolution=50)
    assert float(distances.at(jnp.array([-50.0, 30.0]))) == distances.table[0, 15]
    assert geodesic(room(), resolution=50) is distances


def test_a_table_too_coarse_and_a_goal_in_a_wall_are_usage_errors():
    with pytest.raises(UsageError, match="give a larger one"):
        geodesic(HARD_MAZE, resolution=20)
    with pytest.raises(UsageError, match="nearer to a wall"):
        geodesic(room(goal=(98, 30)), resolution=100)
