"""Exploration from saved states, in a world small enough to check by hand."""

import subprocess
import sys

import numpy as np
from grid_world import COINS, GridWorld, Square, quarter

from aiga.envs.restorable import (
    Explore,
    Gymnasium,
    Restorable,
    Rollout,
    Start,
    World,
    explore,
    explore_many,
    opened,
    random_actions,
    replay,
)

WORLD = World(GridWorld)
HOW = Explore(Square(), quarter, steps=60, repeat=2.0)


def rollout(how=HOW, seed=0, start=b"\0\0") -> Rollout:
    return explore(GridWorld(), how, Start(start), np.random.default_rng(seed))


def test_a_restorable_world_is_recognised():
    assert isinstance(GridWorld(), Restorable)


def test_every_cell_of_a_rollout_is_reported_once_with_its_best_moment():
    """Against a plain replay that keeps everything."""
    for seed in range(20):
        found, env, seen, gain = rollout(seed=seed), GridWorld(), {}, 0.0
        for step, action in enumerate(found.actions.tolist(), 1):
            reward, done = env.act(action)
            if done:
                break
            gain += reward
            key = Square()(env)
            if key not in seen or gain > seen[key][0]:
                seen[key] = (gain, step, quarter(env), env.save())
        keys = [key.tobytes() for key in found.keys]
        reported = zip(found.gains, found.steps, found.places, found.snapshots, strict=True)
        assert dict(zip(keys, reported, strict=True)) == seen


def test_the_step_that_ends_the_episode_finds_nothing():
    beside_the_pit = bytes([5, 4])
    for seed in range(30):
        found = rollout(seed=seed, start=beside_the_pit)
        assert [5, 5] not in found.keys.tolist()
    assert min(len(rollout(seed=s, start=beside_the_pit).actions) for s in range(30)) < 10


def test_a_rollout_depends_on_its_own_seed_alone():
    starts, seeds = [Start(b"\0\0"), Start(b"\3\3"), Start(b"\7\7")], [(9, 1), (9, 2), (9, 3)]
    together = explore_many(WORLD, HOW, {}, starts, seeds)
    apart = [explore_many(WORLD, HOW, {}, [start], [seed])[0] for start, seed in zip(starts, seeds, strict=True)]
    for one, other in zip(together, apart, strict=True):
        assert one.snapshots == other.snapshots
        np.testing.assert_array_equal(one.actions, other.actions)


def test_what_cannot_beat_a_known_elite_is_counted_but_not_saved():
    start, plain = Start(b"\0\0", score=7.0, length=20), rollout()
    scores, lengths = 7.0 + plain.gains, 20 + plain.steps
    keys = [key.tobytes() for key in plain.keys]
    for score, length, saved in ((0, 0, False), (1, 0, False), (-1, 0, True), (0, -1, False), (0, 1, True)):
        known = dict(zip(keys, zip(scores + score, (lengths + length).tolist(), strict=True), strict=True))
        found = explore(GridWorld(), HOW, start, np.random.default_rng(0), known)
        np.testing.assert_array_equal(found.keys, plain.keys)
        assert found.snapshots == (plain.snapshots if saved else (b"",) * len(keys))


def test_actions_are_repeated_a_geometric_number_of_times():
    actions = random_actions(np.random.default_rng(0), 18, 200_000, 20.0)
    changes = 1 + (np.diff(actions.astype(int)) != 0).sum()
    expected = 20.0 * 18 / 17  # a new draw is the same action once in 18
    assert abs(len(actions) / changes - expected) < 0.5
    assert set(actions.tolist()) == set(range(18))


def test_replaying_from_the_reset_gives_score_length_and_cell():
    actions = np.array([2, 2, 2, 0], np.uint8)
    assert replay(WORLD, Square(), actions) == (COINS[3, 0], 4, b"\3\1")


def test_a_replay_into_the_pit_stops_there():
    actions = np.array([2] * 5 + [0] * 7, np.uint8)
    assert replay(WORLD, Square(), actions).length == 9


def test_pictures_are_reported_only_if_asked_for():
    with_frames = HOW._replace(frame=GridWorld.frame, sample=0.5)
    found = rollout(with_frames)
    assert len(found.frames) == len(found.steps)
    assert len(found.frames[0]) == 24 * 36
    assert 0 < len(found.samples) < len(found.actions)
    assert rollout().samples == ()
    np.testing.assert_array_equal(rollout().actions, found.actions)


class Walk:
    """A Gymnasium environment with randomness of its own."""

    class action_space:  # noqa: N801
        n = 2

    def reset(self, seed):
        self.rng, self.at = np.random.default_rng(seed), 0.0
        return self.at, {}

    def step(self, action):
        self.at += (2 * action - 1) * self.rng.random()
        return self.at, self.at, abs(self.at) > 9, False, {}


def test_any_gymnasium_environment_that_can_be_pickled_can_be_restored():
    env = Gymnasium(Walk())
    env.reset()
    [env.act(1) for _ in range(3)]
    saved = env.save()
    after = [env.act(a) for a in (0, 1, 1)]
    env.restore(saved)
    assert [env.act(a) for a in (0, 1, 1)] == after


def test_an_environments_own_save_and_restore_are_used():
    def save(env):
        return env.rng.bit_generator.state, env.at

    def restore(env, state):
        env.rng.bit_generator.state, env.at = state

    env, other = Gymnasium(Walk(), save, restore), Gymnasium(Walk(), save, restore)
    env.reset(), other.reset(), env.act(1)
    other.restore(env.save())
    assert env.act(0) == other.act(0)


def test_a_fresh_world_is_one_of_its_own_just_reset():
    opened(WORLD).act(1)
    assert WORLD.fresh().save() == b"\0\0"
    assert WORLD.fresh() is not WORLD.fresh()


def test_workers_do_not_import_jax():
    program = "import sys, aiga.envs.restorable, aiga.envs.atari, aiga.envs.pixels; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
