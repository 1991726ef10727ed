import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.envs.minigrid import FEATURES, MiniGrid
from aiga.envs.playable import Playable

LEFT, RIGHT, FORWARD = 0, 1, 2


@pytest.fixture
def world():
    return MiniGrid("MiniGrid-Empty-5x5-v0")


def test_the_goal_pays_the_more_the_sooner_it_is_reached(world):
    rng = np.random.default_rng(0)
    assert isinstance(world, Playable)
    assert world.actions == 7
    world.reset(rng, None)
    outcomes = [world.step(rng, action) for action in (FORWARD, FORWARD, RIGHT, FORWARD, FORWARD)]
    assert [outcome.reward for outcome in outcomes] == [0, 0, 0, 0, pytest.approx(1 - 0.9 * 5 / 100)]
    assert [outcome.terminated for outcome in outcomes] == [False] * 4 + [True]


def test_a_time_limit_truncates(world):
    rng = np.random.default_rng(0)
    world.reset(rng, None)
    outcomes = [world.step(rng, LEFT) for _ in range(100)]
    assert [outcome.truncated for outcome in outcomes] == [False] * 99 + [True]
    assert not any(outcome.terminated for outcome in outcomes)


def test_an_observation_names_one_kind_of_everything_per_cell(world):
    seen = world.reset(np.random.default_rng(0), None)
    assert seen.shape == (FEATURES,)
    assert seen.sum() == 3 * 49 + 1
    direction = [world.step(np.random.default_rng(0), RIGHT).observation[-4:].argmax() for _ in range(4)]
    assert direction == [1, 2, 3, 0]


def test_another_world_goes_on_from_a_snapshot_alike():
    mine, other = MiniGrid("MiniGrid-DoorKey-6x6-v0"), MiniGrid("MiniGrid-DoorKey-6x6-v0")
    rng = np.random.default_rng(3)
    mine.reset(rng, None)
    other.restore(mine.save())
    for action in rng.integers(7, size=60).tolist():
        here, there = mine.step(rng, action), other.step(rng, action)
        np.testing.assert_array_equal(here.observation, there.observation)
        assert here[1:] == there[1:]


def test_layouts_come_from_the_generator():
    world = MiniGrid("MiniGrid-DoorKey-8x8-v0")
    seen = [world.reset(np.random.default_rng(seed), None).tobytes() for seed in (0, 0, *range(1, 9))]
    assert seen[0] == seen[1]
    assert len(set(seen)) > 5


def test_an_unknown_name_is_answered_with_what_names_are_like():
    with pytest.raises(UsageError, match="MiniGrid-DoorKey-5x5-v0"):
        MiniGrid("DoorKey")
