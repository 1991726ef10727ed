"""Rollouts of worlds on the host: the same anywhere, resumed to the byte, bootstrapped where they are cut."""

import asyncio

import jax
import numpy as np
import pytest
from windy_walk import WindyWalk, age

from aiga.core import trees
from aiga.envs.restorable import World
from aiga.learners.host import HostTraining, collect, seat
from aiga.learners.ppo import PPO
from aiga.nn.policy import make_policy
from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import Lost, Serial

WORLD = World(WindyWalk)


def policy(memory):
    return make_policy(jax.random.key(7), 8, 2, hidden=(8,), memory=memory)


def gather(policy, worlds, pool, *, key=1, length=12, **options):
    async def go():
        return await collect(jax.random.key(key), WORLD, 3, policy, worlds, length, pool=pool, share=2, **options)

    return asyncio.run(go())


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_workers_give_the_same_rollout_as_this_process_alone():
    agent = policy(4)
    worlds = seat(jax.random.key(0), WORLD, 3, agent, 5)
    alone = gather(agent, worlds, Serial(), watch=age)
    with LocalPool(2) as pool:
        same(gather(agent, worlds, pool, watch=age), alone)


def test_a_rollout_goes_on_where_the_one_before_it_ended():
    agent = policy(4)
    worlds = seat(jax.random.key(0), WORLD, 3, agent, 4)
    middle, first = gather(agent, worlds, Serial())
    end, second = gather(agent, middle, Serial(), key=2)
    followed, start = (
        np.concatenate(pair)
        for pair in zip((first.observation["age"], first.start), (second.observation["age"], second.start), strict=True)
    )
    expected = np.where(start, 0, np.roll(followed, 1, axis=0) + 1 / 9)
    np.testing.assert_allclose(followed, expected, atol=1e-6)
    ended = [(part.terminated | part.truncated).sum() for part in (first, second)]
    assert end.episodes.ended == sum(ended)


def test_the_steps_are_what_the_policy_did_and_episodes_are_cut_with_the_value_of_what_they_led_to():
    agent = policy(4)
    _, record = gather(agent, seat(jax.random.key(0), WORLD, 3, agent, 4), Serial(), length=40, watch=age)
    output = agent.unroll(record.observation, record.start, record.carry)
    np.testing.assert_allclose(output.value, record.value, atol=1e-6)
    np.testing.assert_allclose(output.distribution.log_prob(record.action), record.log_prob, atol=1e-6)
    assert (record.next_value[record.terminated] == 0).all()
    going = ~(record.terminated | record.truncated)[:-1]
    same(record.next_value[:-1][going], record.value[1:][going])
    cut = record.truncated & ~record.terminated
    assert cut.any()
    assert record.terminated.any()
    assert (record.watched["age"][cut] == 9).all(), "worlds are watched before they begin anew"
    same(record.watched["reward"].astype(np.float32), record.reward)
    t, b = np.argwhere(cut[:-1])[0]
    assert record.next_value[t, b] != record.value[t + 1, b]
    final = {"place": np.zeros(7, np.float32), "age": np.float32(1)}
    candidates = []
    carry = agent.initial()
    begun = np.flatnonzero(record.start[: t + 1, b])[-1]
    for s in range(begun, t + 1):
        carry = agent(jax.tree.map(lambda x, s=s: x[s, b], record.observation), carry).carry
    for x in range(1, 6):
        place = np.eye(7, dtype=np.float32)[x]
        candidates.append(float(agent({**final, "place": place}, carry).value))
    assert min(abs(value - record.next_value[t, b]) for value in candidates) < 1e-6


def test_greedy_rollouts_take_the_most_probable_actions():
    agent = policy(4)
    worlds = seat(jax.random.key(0), WORLD, 3, agent, 4)
    _, record = gather(agent, worlds, Serial(), greedy=True)
    output = agent.unroll(record.observation, record.start, record.carry)
    same(record.action, output.distribution.mode())


def training(pool, **options):
    learner = PPO(learning_rate=1e-2, minibatches=2, entropy=0.0)
    return HostTraining(WORLD, 3, learner, lambda key: make_policy(key, 8, 2, hidden=(8,), **options), pool, 8, 32)


def run(system, steps, state=None, first=0):
    async def go(state):
        info = {}
        for step in range(first, first + steps):
            state, info = await system.step(jax.random.fold_in(jax.random.key(0), step + 1), state)
        return state, info

    return asyncio.run(go(system.init(jax.random.key(0)) if state is None else state))


def test_it_learns_to_walk():
    _, before = run(training(Serial()), 1)
    _, after = run(training(Serial()), 25)
    assert before["episode/return"] < 0.7
    assert after["episode/return"] > 0.9
    assert after["learner/steps"] == 25 * 8 * 32


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path):
    system = training(Serial(), memory=4)
    whole, _ = run(system, 4)
    half, _ = run(system, 2)
    trees.save(tmp_path / "state.npz", half)
    loaded, _ = trees.load(tmp_path / "state.npz", system.init(jax.random.key(0)))
    same(run(system, 2, loaded, first=2)[0], whole)


def test_a_lost_worker_stops_the_run():
    class Losing(Serial):
        def submit(self, fn, *args):
            return super().submit(Lost, "play", 4, -9)

    with pytest.raises(RuntimeError, match="Lost"):
        run(training(Losing()), 1)
