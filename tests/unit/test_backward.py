"""The backward algorithm in a windy corridor, where the demonstration alone does not get far."""

import asyncio

import jax
import numpy as np
import pytest
from windy_walk import WindyWalk

from aiga.core import trees
from aiga.envs.restorable import World
from aiga.learners.backward import Backward, Rehearsal, Rule, demonstrated
from aiga.learners.examination import Examination, Examined
from aiga.learners.ppo import PPO
from aiga.nn.policy import make_policy
from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import Serial

WINDY, CALM = World(WindyWalk, (6, 40, 0.3)), World(WindyWalk, (6, 40, 0.0))
ACTIONS = np.array([1, 0, 1, 1, 1, 1, 1], np.uint8)
"""From 1: two steps more than are needed."""
RULE = Rule(spread=2, shift=2, episodes=10, slack=20, trials=30, goal=0.9)


def rehearsal(**options) -> Rehearsal:
    return Rehearsal(CALM, CALM, ACTIONS.tobytes(), RULE._replace(**options))


def test_the_demonstration_is_played_where_nothing_is_left_to_chance():
    demo = demonstrated(CALM, ACTIONS.tobytes())
    assert demo.scores.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert [int(seen["place"].argmax()) for seen in demo.observations] == [1, 2, 1, 2, 3, 4, 5, 6]
    assert demo.unit == 1


def test_episodes_begin_just_before_the_start_point_or_later():
    world, rng = rehearsal(later=0.0), np.random.default_rng(0)
    begun = set()
    for _ in range(50):
        seen = world.reset(rng, 4)
        begun.add(world.begun)
        assert int(seen["place"].argmax()) == [1, 2, 1, 2, 3, 4, 5, 6][world.begun]
    assert begun == {3, 4}
    later = rehearsal(later=1.0)
    assert {(later.reset(rng, 4), later.begun)[1] for _ in range(50)} == {5, 6}
    world.reset(rng, 0)
    assert world.begun == 0


def test_an_episode_ends_with_the_demonstrations_score_or_when_it_falls_behind():
    world, rng = rehearsal(later=0.0, spread=1, slack=3), np.random.default_rng(0)
    world.reset(rng, 4)
    ends = [world.step(rng, 1)[1:3] for _ in range(3)]
    assert ends == [(0.0, False), (0.0, False), (1.0, True)]
    assert world.matched()
    world.reset(rng, 4)
    ends = [world.step(rng, step % 2)[1:3] for step in range(6)]
    assert ends == [(0.0, False)] * 5 + [(0.0, True)], "three moments after the demonstration had scored"
    assert not world.matched()


def test_after_the_score_is_reached_play_goes_on_for_a_while():
    world, rng = rehearsal(later=0.0, spread=1, overtime=2.0), np.random.default_rng(0)
    lengths = set()
    for _ in range(40):
        world.reset(rng, 7)
        world.env.x, world.score = 3, 1.0
        length = 1
        while not world.step(rng, length % 2).terminated:
            length += 1
        lengths.add(length)
    assert min(lengths) >= 2
    assert max(lengths) <= 8
    assert len(lengths) > 3


def test_a_rehearsal_goes_on_from_its_snapshot():
    world, other = rehearsal(), rehearsal()
    rng = np.random.default_rng(3)
    world.reset(rng, 4)
    world.step(rng, 1)
    other.restore(world.save())
    assert (other.begun, other.now, other.left, other.score) == (world.begun, world.now, world.left, world.score)
    assert other.save() == world.save()


def backward(pool=None) -> Backward:
    def build(key):
        return make_policy(key, 8, 2, hidden=(16,))

    learner = PPO(learning_rate=1e-2, minibatches=2, entropy=1e-3)
    return Backward(WINDY, CALM, learner, build, pool or Serial(), RULE, 8, 32, 4)


def run(system, steps, state=None, first=0):
    async def go(state):
        info = {}
        for step in range(first, first + steps):
            state, info = await system.step(jax.random.fold_in(jax.random.key(0), step + 1), state)
            if state.done:
                break
        return state, info

    begun = system.init(jax.random.key(0))._replace(actions=ACTIONS) if state is None else state
    return asyncio.run(go(begun))


@pytest.fixture(scope="module")
def learnt():
    return run(backward(), 60)


def test_the_start_point_moves_back_to_the_beginning_and_the_policy_beats_the_demonstration(learnt):
    state, info = learnt
    assert int(state.done) == 1
    assert info["backward/start"] == 0
    assert info["backward/success"] >= 0.9
    told = {}
    for blind in (False, True):
        examination = Examination(backward(), 40, blind)
        examined = Examined(state.learner.policy, ACTIONS, np.zeros((), int))
        after, told[blind] = asyncio.run(examination.step(jax.random.key(5), examined))
        assert after.times == 1
    assert told[False]["robustified/success"] > 0.8
    assert told[True]["robustified/success"] < 0.5
    for info in told.values():
        assert info["robustified/score"] == pytest.approx(info["robustified/success"]), "the goal is one point"


def test_learning_resumes_to_the_byte_and_does_not_depend_on_workers(tmp_path):
    whole, _ = run(backward(), 4)
    half, _ = run(backward(), 2)
    trees.save(tmp_path / "state.npz", half)
    loaded, _ = trees.load(tmp_path / "state.npz", backward().init(jax.random.key(0)))
    with LocalPool(2) as pool:
        resumed, _ = run(backward(pool), 2, loaded, first=2)
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)
