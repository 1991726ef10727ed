import asyncio

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.envs.atari import PlayableAtari
from aiga.learners.arcade import Arcade, Console, episode
from aiga.nn.atari import large, small
from aiga.runs.local_pool import LocalPool
from aiga.runs.pools import Lost, Serial
from aiga.strategies.seed_chains import Chain, Chains

CONSOLE = Console("breakout", "small", 2**20, limit=15, idle=3, remember=4)


def chains(n=3):
    """Chains with one mutation each, of power 1."""
    place = jnp.arange(n)[:, None] * 100
    return Chains(jnp.arange(n), place, jnp.ones((n, 1)), jnp.ones(n, jnp.int32))


def evaluate(pool, console=CONSOLE):
    async def go():
        return await Arcade(console, pool).evaluate(jax.random.key(0), chains())

    return asyncio.run(go())


def test_the_network_is_that_of_the_games_actions():
    assert CONSOLE.policy() == small(4)
    assert CONSOLE._replace(game="frostbite", network="large").policy() == large(18)


def test_workers_give_what_this_process_alone_gives():
    alone = evaluate(Serial())
    with LocalPool(2) as pool:
        beside = evaluate(pool)
    assert np.array_equal(alone.fitness, beside.fitness)
    assert np.array_equal(alone.aux, beside.aux)
    assert np.array_equal(alone.aux, [15, 15, 15]), "cut at the limit"
    assert alone.descriptor.shape == (3, 0)


def test_an_episode_is_what_the_network_does_after_a_while_without_action():
    chain, seed = Chain(5), 8
    console = CONSOLE._replace(limit=60)
    idle = int(np.random.default_rng(seed).integers(4))
    env, network = PlayableAtari("breakout", "pixels", 0.0, limit=60), small(4)
    weights = (
        network.scale() * np.random.RandomState(123).standard_normal(2**20).astype(np.float32)[5 : 5 + network.size]
    )
    seen, returned, taken = env.reset(np.random.default_rng(0), None), 0.0, 0
    while True:
        action = 0 if taken < idle else network.action(weights, seen)
        after = env.step(np.random.default_rng(0), action)
        seen, returned, taken = after.observation, returned + after.reward, taken + 1
        if after.terminated or after.truncated:
            break
    assert idle > 0
    assert episode(console, chain, np.random.default_rng(seed)) == (returned, taken)


def test_a_table_shorter_than_the_network_is_refused():
    with pytest.raises(UsageError, match="1,004,852 weights, the noise table 65,536; make --table larger"):
        evaluate(Serial(), CONSOLE._replace(table=2**16))


def test_a_lost_worker_stops_the_run():
    class Losing(Serial):
        def submit(self, fn, *args):
            return super().submit(lambda: Lost("episodes", 4, -9))

    with pytest.raises(RuntimeError, match="resume the run"):
        evaluate(Losing())
