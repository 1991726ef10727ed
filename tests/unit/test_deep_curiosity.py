import asyncio
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.archives.visits import Visits
from aiga.core.protocols import Env
from aiga.envs import rooms
from aiga.envs.playable import Playable
from aiga.envs.tiles import GAMES
from aiga.learners.ppo import a2c
from aiga.runs.loop import run
from aiga.systems import deep_curiosity
from aiga.systems.deep_curiosity import Curiosity, Entered, Tiled, TiledAtari, make

KEY = jax.random.key(0)
UP, RIGHT, DOWN, LEFT = range(4)
LAYOUT = rooms.draw("@  $", limit=6)
LEFT_OR_RIGHT = Tiled(rooms.Rooms("vector"), lambda state, params: rooms.place(state, params) // 2, 2, channel=True)


def walk(env, actions):
    life, _ = env.reset(KEY, LAYOUT)
    transitions = []
    for action in actions:
        transitions.append(env.step(KEY, life, jnp.array(action), LAYOUT))
        life = transitions[-1].state
    return transitions


def test_only_the_first_visit_of_a_tile_in_a_life_is_first():
    assert isinstance(LEFT_OR_RIGHT, Env)
    after = walk(LEFT_OR_RIGHT, [RIGHT, RIGHT, LEFT, RIGHT, RIGHT])
    assert [bool(t.state.entered.first) for t in after] == [False, True, False, False, False]
    assert [int(t.state.entered.tiles) for t in after] == [1, 2, 2, 2, 2]
    assert [int(t.state.entered.tile) for t in after] == [0, 1, 0, 1, 1]


def test_the_grid_is_shown_and_begins_anew_with_a_life():
    life, observation = LEFT_OR_RIGHT.reset(KEY, LAYOUT)
    assert observation[1].tolist() == [1, 0]
    assert walk(LEFT_OR_RIGHT, [RIGHT, RIGHT])[-1].observation[1].tolist() == [1, 1]
    again, _ = LEFT_OR_RIGHT.reset(KEY, LAYOUT)
    assert jax.tree.all(jax.tree.map(np.array_equal, life, again))


def test_without_the_channel_the_grid_is_kept_but_not_shown():
    blind = Tiled(LEFT_OR_RIGHT.world, LEFT_OR_RIGHT.tile, 2, channel=False)
    after = walk(blind, [RIGHT, RIGHT])[-1]
    assert after.observation[1].tolist() == [0, 0]
    assert after.state.visits.counts.tolist() == [2, 1]


def test_the_worlds_own_reward_and_end_stay_as_they_are():
    after = walk(LEFT_OR_RIGHT, [RIGHT, RIGHT, RIGHT])
    assert [t.reward.item() for t in after] == [0, 0, 1]
    assert after[-1].terminated


@pytest.mark.parametrize(
    ("novelty", "expected"),
    [("life", [[1, 0], [0, 1]]), ("training", [[0.5, 1], [0.5, 0.5]]), ("none", [[0, 0], [0, 0]])],
)
def test_novelty_is_counted_in_this_life_or_in_all_of_training(novelty, expected):
    tile = jnp.array([[0, 1], [0, 0]])
    entered = Entered(tile, jnp.array([[True, False], [False, True]]), jnp.ones((2, 2), int))
    visits, _ = Visits(jnp.array([1, 0])).visit(tile.ravel())
    curiosity = Curiosity(a2c(), 2, novelty, 1.0)
    assert curiosity.bonus(entered, visits).tolist() == expected


def test_a_run_counts_every_step_of_every_world_and_its_report_shows_where(tmp_path):
    done = run("deep_curiosity", steps=1, out=tmp_path / "run", worlds=4, length=5, fuse=2, hidden=8, corridors=2)
    assert int(done.state.visits.counts.sum()) == done.latest()["learner/steps"] == 40
    (figure,) = deep_curiosity.figures(done)
    shown = np.asarray(figure.content.data[0].z)
    assert shown.shape == (9, 13)
    assert np.isfinite(shown[1, 1])
    assert np.isnan(shown[0]).all()
    assert (10 ** shown[np.isfinite(shown)]).sum() == pytest.approx(1)


@pytest.mark.parametrize("game", list(GAMES))
def test_a_game_shows_its_grid_and_can_be_restored(game):
    rng = np.random.default_rng(0)
    env = TiledAtari(game, channel=True, sticky=0.0)
    assert isinstance(env, Playable)
    first = env.reset(rng, None)
    assert first.shape == (5, 84, 84)
    assert set(np.unique(first[4])) == {0, 255}
    for _ in range(30):
        env.step(rng, int(rng.integers(env.actions)))
    saved, before = env.save(), env.visits
    after = env.step(rng, 3).observation
    env.restore(saved)
    assert np.array_equal(env.visits.counts > 0, before.counts > 0)
    assert np.array_equal(env.step(rng, 3).observation, after)


def test_the_grid_is_drawn_over_the_picture_it_belongs_to():
    shown = TiledAtari("montezuma_revenge", channel=True, sticky=0.0).reset(np.random.default_rng(0), None)[4]
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    assert set(rows * 210 // 84 // 16) == {5}  # the platform in the middle, 80 to 95 pixels from above
    assert set(columns * 160 // 84 // 16) == {4}
    assert shown.sum() == 255 * len(rows) * len(columns)


def test_a_lost_life_empties_the_grid():
    rng, env = np.random.default_rng(0), TiledAtari("montezuma_revenge", channel=True, sticky=0.0)
    env.reset(rng, None)
    tiles = [int(env.entered.tiles)]
    while env.env.game.ale.lives() == 6 or tiles[-1] > 1:
        env.step(rng, 3)  # right, off the platform
        tiles.append(int(env.entered.tiles))
    assert max(tiles) > 2


@pytest.mark.parametrize("game", list(GAMES))
def test_a_policy_learns_two_steps_of_a_game(game):
    system = make(world=game, worlds=2, length=3)
    assert pickle.loads(pickle.dumps(system.world)) == system.world
    state = system.init(jax.random.key(0))
    for step in (1, 2):
        state, info = asyncio.run(system.step(jax.random.key(step), state))
    assert int(info["learner/steps"]) == 12
    assert int(state.visits.counts.sum()) == 12
