"""Worlds for policies: all chance comes from outside, and what is saved is all there is."""

import gymnasium
import numpy as np
from windy_walk import WindyWalk

from aiga.envs.playable import Playable, PlayableGymnasium, seated
from aiga.envs.restorable import World


def cartpole() -> PlayableGymnasium:
    return PlayableGymnasium(gymnasium.make("CartPole-v1", max_episode_steps=20))


def test_a_gymnasium_environment_goes_on_from_its_snapshot_as_it_would_have():
    env, other = cartpole(), cartpole()
    assert isinstance(env, Playable)
    env.reset(np.random.default_rng(0), None)
    other.reset(np.random.default_rng(1), None)
    other.step(np.random.default_rng(1), 0)
    rng = np.random.default_rng(2)
    for turn in range(10):
        env.step(rng, turn % 2)
    other.restore(env.save())
    for action in (0, 0, 1, 0, 1):
        one, two = env.step(rng, action), other.step(rng, action)
        assert one[1:] == two[1:]
        assert np.array_equal(one.observation, two.observation)


def test_episodes_of_a_gymnasium_environment_depend_on_the_generator_alone_and_end_as_it_says():
    env = cartpole()
    first = env.reset(np.random.default_rng(5), None)
    assert np.array_equal(env.reset(np.random.default_rng(5), None), first)
    rng = np.random.default_rng(0)
    ends = [env.step(rng, step % 2)[2:] for step in range(20)]
    assert ends == [(False, False)] * 19 + [(False, True)]


def test_a_process_keeps_its_worlds():
    world = World(WindyWalk, (4,))
    few = seated(world, 2)
    assert [one is two for one, two in zip(few, seated(world, 3), strict=False)] == [True, True]
