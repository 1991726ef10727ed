"""Seed chains: a genome as the list of the random numbers it was made from.

Such et al. (2017), https://arxiv.org/abs/1712.06567: instead of its weights, an individual is

    (place of the first weights, (place of mutation 1, its power), ..., (place of mutation G, its power))

in a shared table of noise; the weights are the first slice, scaled layer by layer, plus power times slice, in order.
The length of a chain grows with the generations and not with the network, so it travels in kilobytes.

Weights are decoded with numpy: one rounded product and one rounded sum a number and mutation.  So every process gets
the same bits, which compiled programs, that may fuse the two, do not promise.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from aiga.core.errors import UsageError
from aiga.core.protocols import Key

PLACE, POWER = np.dtype("<u4"), np.dtype("<f4")


class Chains(NamedTuple):
    """Chains as a genome for a strategy: arrays with room for as many mutations as they are wide."""

    start: Int[Array, "*n"]
    places: Int[Array, "*n g"]
    powers: Float[Array, "*n g"]
    length: Int[Array, "*n"]
    """Mutations so far."""


class Chain(NamedTuple):
    """One chain on the host: small, hashable, and sent to workers."""

    start: int
    places: bytes = b""
    """As unsigned numbers of four bytes."""
    powers: bytes = b""
    """As floats of four bytes."""

    @property
    def parent(self) -> "Chain":
        """The chain without its last mutation."""
        return Chain(self.start, self.places[: -PLACE.itemsize], self.powers[: -POWER.itemsize])

    def __len__(self) -> int:
        """How many mutations."""
        return len(self.places) // PLACE.itemsize

    def mutations(self) -> list[tuple[int, np.float32]]:
        """Place and power of each."""
        return list(zip(np.frombuffer(self.places, PLACE).tolist(), np.frombuffer(self.powers, POWER), strict=True))

    def packed(self) -> bytes:
        """The chain as it is sent and measured: equal powers in a row are written once."""
        powers = np.frombuffer(self.powers, POWER)
        first = np.flatnonzero(np.append(True, powers[1:] != powers[:-1])[: powers.size])
        counts = np.diff(np.append(first, powers.size))
        head = np.array([self.start, first.size], PLACE).tobytes()
        return head + powers[first].tobytes() + counts.astype(PLACE).tobytes() + self.places

    @classmethod
    def unpacked(cls, packed: bytes) -> "Chain":
        """The chain that was packed."""
        start, runs = np.frombuffer(packed, PLACE, 2).tolist()
        powers = np.frombuffer(packed, POWER, runs, offset=8)
        counts = np.frombuffer(packed, PLACE, runs, offset=8 + 4 * runs)
        return cls(start, packed[8 + 8 * runs :], np.repeat(powers, counts).tobytes())


class Start(eqx.Module):
    """A random chain without mutations."""

    places: int = eqx.field(static=True)
    """Where a slice may begin."""
    room: int = eqx.field(static=True, default=32)

    def __call__(self, key: Key) -> Chains:
        zeros = jnp.zeros(self.room, jnp.int32)
        return Chains(jax.random.randint(key, (), 0, self.places), zeros, zeros.astype(float), jnp.array(0, jnp.int32))


class Extension(eqx.Module):
    """One more mutation for each chain; raises, at run time, if there is no room for it."""

    places: int = eqx.field(static=True)
    """Where a slice may begin."""
    power: float

    def __call__(self, key: Key, parents: Chains) -> tuple[Chains, Int[Array, " n"]]:
        n, room = parents.places.shape
        place = jax.random.randint(key, (n,), 0, self.places)
        full = (parents.length >= room).any()
        here = (jnp.arange(n), eqx.error_if(parents.length, full, "a chain is full: call `with_room` before the step"))
        places, powers = parents.places.at[here].set(place), parents.powers.at[here].set(self.power)
        return Chains(parents.start, places, powers, parents.length + 1), place


def places(table: int, genome: int) -> int:
    """In how many places of a table a slice as long as the genome may begin."""
    if genome > table:
        raise UsageError(f"a genome has {genome:,} numbers, the noise table {table:,}; make a longer table.")
    return table - genome + 1


def with_room(chains: Chains) -> Chains:
    """These chains with room for one more mutation: the same, or of twice the width (not in jit)."""
    width = chains.places.shape[-1]
    if int(chains.length.max(initial=-1)) < width:
        return chains
    pad = [(0, 0)] * (chains.places.ndim - 1) + [(0, max(width, 1))]
    return chains._replace(places=jnp.pad(chains.places, pad), powers=jnp.pad(chains.powers, pad))


def on_host(chains: Chains) -> list[Chain]:
    """Every row as a chain of its own."""
    start, length = (np.asarray(x).tolist() for x in (chains.start, chains.length))
    places, powers = np.asarray(chains.places).astype(PLACE), np.asarray(chains.powers).astype(POWER)
    rows = zip(start, length, places, powers, strict=True)
    return [Chain(first, place[:n].tobytes(), power[:n].tobytes()) for first, n, place, power in rows]


class Decoder:
    """The weights of chains.  Those of the parents met last are remembered, so that a child costs one sum.

    What is remembered changes the time that decoding takes, never a bit of its result.
    """

    def __init__(self, noise: Float32[np.ndarray, " size"], scale: Float32[np.ndarray, " d"], remember: int) -> None:
        """`scale`: what the first slice is multiplied with; `remember`: how many parents."""
        self.noise, self.scale, self.remember = noise, scale, remember
        self._parents: dict[Chain, Float32[np.ndarray, " d"]] = {}

    def weights(self, chain: Chain) -> Float32[np.ndarray, " d"]:
        """Of one individual."""
        return self._mutated(self._parent(chain.parent), *chain.mutations()[-1]) if len(chain) else self._first(chain)

    def _parent(self, chain: Chain) -> Float32[np.ndarray, " d"]:
        found = self._parents.pop(chain, None)
        found = self._decoded(chain) if found is None else found
        while len(self._parents) >= max(self.remember, 1):
            del self._parents[next(iter(self._parents))]  # the one not met for longest
        self._parents[chain] = found
        return found

    def _decoded(self, chain: Chain) -> Float32[np.ndarray, " d"]:
        before = self._parents.get(chain.parent) if len(chain) else None
        if before is not None:
            return self._mutated(before, *chain.mutations()[-1])
        weights = self._first(chain)
        for place, power in chain.mutations():
            weights = self._mutated(weights, place, power)
        return weights

    def _first(self, chain: Chain) -> Float32[np.ndarray, " d"]:
        return self._slice(chain.start) * self.scale

    def _mutated(self, weights: Any, place: int, power: np.float32) -> Float32[np.ndarray, " d"]:
        return weights + power * self._slice(place)

    def _slice(self, place: int) -> Float32[np.ndarray, " d"]:
        return self.noise[place : place + self.scale.size]


def compression(numbers: int, chain: Chain) -> float:
    """How many times smaller the chain is than weights of four bytes each."""
    return 4 * numbers / len(chain.packed())
