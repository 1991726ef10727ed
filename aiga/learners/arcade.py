"""Atari episodes of networks that are given as seed chains: kilobytes go to a worker, where they become weights."""

import asyncio
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Key, Pool
from aiga.envs.atari import PlayableAtari
from aiga.envs.playable import seated
from aiga.envs.restorable import World
from aiga.nn.atari import Network, large, small
from aiga.strategies.noise import NoiseTable
from aiga.strategies.seed_chains import Chain, Chains, Decoder, on_host

TASK = 4
"""Episodes per task of the pool."""
NETWORKS = {"small": small, "large": large}


class Console(NamedTuple):
    """What a worker needs besides a chain."""

    game: str
    network: Literal["small", "large"]
    table: int
    """Numbers in the noise table."""
    limit: int
    """Steps of an episode, of four frames each."""
    idle: int
    """An episode begins with up to so many steps without action: its only chance."""
    remember: int
    """Parents whose weights a worker keeps."""

    @property
    def world(self) -> World:
        """The game as policies play it, without sticky actions."""
        return World(PlayableAtari, (self.game, "pixels", 0.0, False, self.limit))

    def policy(self) -> Network:
        """The network of this game's actions."""
        return NETWORKS[self.network](seated(self.world, 1)[0].actions)


class Episode(NamedTuple):
    """How an episode went."""

    returned: float
    length: int


class Arcade:
    """Plays chains on a console, in the workers of a pool."""

    def __init__(self, console: Console, pool: Pool) -> None:
        self.console, self.pool = console, pool
        self.numbers = console.policy().size

    async def evaluate(self, key: Key, chains: Chains) -> Evaluation:
        """The score of one episode each; `aux` is how many steps each took."""
        seed = tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())
        tasks = [(chain.packed(), (*seed, i)) for i, chain in enumerate(on_host(chains))]
        shares = [
            self.pool.submit(episodes, self.console, tasks[first : first + TASK])
            for first in range(0, len(tasks), TASK)
        ]
        played = [episode for share in await asyncio.gather(*shares) for episode in _present(share)]
        returned, length = (np.array(column) for column in zip(*played, strict=True))
        return Evaluation(jnp.asarray(returned, jnp.float32), jnp.zeros((len(played), 0)), jnp.asarray(length))


def episodes(console: Console, tasks: list[tuple[bytes, tuple[int, ...]]]) -> list[Episode]:
    """Play packed chains, each with its seed; runs in a worker."""
    return [episode(console, Chain.unpacked(packed), np.random.default_rng(seed)) for packed, seed in tasks]


def episode(console: Console, chain: Chain, rng: np.random.Generator) -> Episode:
    """Play one chain: first nothing for a while, then the network's best actions."""
    network, decoder = equipment(console)
    weights = decoder.weights(chain)
    env = seated(console.world, 1)[0]
    seen = env.reset(rng, None)
    idle, returned, length, over = int(rng.integers(console.idle + 1)), 0.0, 0, False
    while not over:
        after = env.step(rng, 0 if length < idle else network.action(weights, seen))
        seen, over = after.observation, after.terminated or after.truncated
        returned, length = returned + after.reward, length + 1
    return Episode(returned, length)


@lru_cache(maxsize=2)
def equipment(console: Console) -> tuple[Network, Decoder]:
    """This process's network, and its noise with the parents it remembers."""
    network = console.policy()
    noise = np.asarray(NoiseTable.make(console.table).values)
    if network.size > noise.size:
        raise UsageError(
            f"the network has {network.size:,} weights, the noise table {noise.size:,}; make --table larger."
        )
    return network, Decoder(noise, network.scale(), console.remember)


def _present(share: Any) -> list[Episode]:
    if not isinstance(share, list):
        raise RuntimeError(f"{share}: a generation cannot go on without these episodes; resume the run.")
    return share
