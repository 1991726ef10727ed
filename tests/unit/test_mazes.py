import jax
import jax.numpy as jnp
import numpy as np

from aiga.envs.maze import HARD_MAZE, Maze, padded
from aiga.inspect.mazes import draw, follow
from aiga.learners.episodes import play


def act(key, genome, observation, carry):
    return jax.nn.sigmoid(genome @ observation), carry


def test_a_robot_is_followed_as_it_is_played():
    env, genomes = Maze(ticks=30), jax.random.normal(jax.random.key(0), (3, 2, 11))
    paths = follow(jax.random.key(1), env, HARD_MAZE, act, genomes)
    assert paths.shape == (3, env.steps + 1, 2)
    assert (paths[:, 0] == jnp.asarray(HARD_MAZE.start)).all()
    played = play(jax.random.key(2), env, HARD_MAZE, act, genomes, env.steps)
    np.testing.assert_allclose(paths[:, -1], played.state.position, rtol=1e-5)
    assert float(jnp.abs(paths[:, -1] - paths[:, 0]).max()) > 1


def test_a_maze_is_drawn_with_its_ways_start_and_goal():
    ways = np.arange(12.0).reshape(2, 3, 2)
    figure = draw(padded(HARD_MAZE, 15), ways, names=["one", "two"], ends=ways[:, -1])
    walls, ends, one, two, start, goal = figure.data
    assert np.asarray(walls.x)[:3].tolist()[:2] == [41, 3]
    assert list(ends.x) == [4, 10]
    assert (one.name, two.name) == ("one", "two")
    assert list(two.y) == [7, 9, 11]
    assert (list(start.x), list(goal.y)) == ([36], [20])
    assert len(draw(HARD_MAZE).data) == 3
