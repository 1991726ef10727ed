"""A room of coloured things, in which one is told what to do: the kind of task that BabyAI has.

Chevalier-Boisvert et al. (2019), https://arxiv.org/abs/1810.08272, as far as these go: turn, walk, pick up, drop and
open in one room, with balls, keys, boxes and doors.  Written anew in JAX, for many worlds at once.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from aiga.core.protocols import Key, Transition

COLOURS = ("red", "green", "blue")
KINDS = ("ball", "key", "box", "door")
THINGS = tuple((colour, kind) for kind in KINDS for colour in COLOURS)
"""All of them are in every room."""
DOORS = np.array([kind == "door" for _, kind in THINGS])
OPENS = np.array([kind in ("box", "door") for _, kind in THINGS])
VERBS = {"go to": np.ones(len(THINGS), bool), "pick up": ~DOORS, "open": OPENS}
"""What can be done, and with which things."""
HEADINGS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
"""Rows and columns: up, right, down, left."""
LEFT, RIGHT, FORWARD, PICK_UP, DROP, TOGGLE = range(6)
NOTHING = -1


def _events() -> tuple[list[str], np.ndarray]:
    """What may happen in words, for a thing of any colour and then for each; and whether it is by (verb, thing)."""
    texts, rows = [], []
    for coloured in (False, True):
        for v, (verb, fit) in enumerate(VERBS.items()):
            for kind in KINDS:
                of_kind = [i for i, thing in enumerate(THINGS) if thing[1] == kind and fit[i]]
                for group in [[i] for i in of_kind] if coloured else [of_kind] * bool(of_kind):
                    texts.append(f"{verb} the {THINGS[group[0]][0]} {kind}" if coloured else f"{verb} a {kind}")
                    rows.append(np.zeros((len(VERBS), len(THINGS)), bool))
                    rows[-1][v, group] = True
    return texts, np.array(rows)


TEXTS, WHICH = _events()


class Room(NamedTuple):
    """A moment in a room of `k` things."""

    position: Int[Array, " 2"]
    heading: Int[Array, ""]
    places: Int[Array, "k 2"]
    """Doors are in the walls: one row or column outside; what is carried keeps its last place."""
    carried: Int[Array, ""]
    """Which thing, or -1."""
    opened: Bool[Array, " k"]
    happened: Bool[Array, " items"]
    """In the step that led here."""
    time: Int[Array, ""]


class Playroom(eqx.Module):
    """Turn, walk, pick up, drop, open; an item is something that happens, such as to stand before the red ball.

    Observed is each thing as seen by the agent, how far ahead and to the right, in sides of the room, whether it is
    carried, whether it is open; and whether the way ahead is blocked.  One thing can be carried.  There is no reward.
    """

    side: int = eqx.field(static=True, default=7)
    horizon: int = eqx.field(static=True, default=128)
    """Steps after which an episode is cut off."""
    actions: int = eqx.field(static=True, default=6)
    features: int = eqx.field(static=True, default=4 * len(THINGS) + 1)

    @property
    def items(self) -> tuple[str, ...]:
        return tuple(TEXTS)

    def reset(self, key: Key, params: None = None) -> tuple[Room, Float[Array, " f"]]:
        del params
        floor, wall, turn = jax.random.split(key, 3)
        squares = jax.random.permutation(floor, self.side**2)
        inside = jnp.stack([squares // self.side, squares % self.side], axis=1)
        gaps = jax.random.permutation(wall, 4 * self.side)[: len(THINGS)]
        along, out = gaps % self.side, jnp.array([-1, self.side])[gaps // self.side % 2]
        across = gaps[:, None] // self.side >= 2
        outside = jnp.where(across, jnp.stack([along, out], 1), jnp.stack([out, along], 1))
        places = jnp.where(DOORS[:, None], outside, inside[: len(THINGS)])
        nothing = jnp.zeros(len(TEXTS), bool)
        heading, shut = jax.random.randint(turn, (), 0, 4), jnp.zeros(len(THINGS), bool)
        zero = jnp.zeros((), int)
        room = Room(inside[len(THINGS)], heading, places, zero + NOTHING, shut, nothing, zero)
        return room, self.observe(room)

    def step(self, key: Key, state: Room, action: Int[Array, ""], params: None = None) -> Transition:
        del key, params
        turned = (state.heading + (action == RIGHT) - (action == LEFT)) % 4
        state = state._replace(heading=turned, time=state.time + 1)
        ahead, before = self._ahead(state)
        free = ~before.any() & ((ahead >= 0) & (ahead < self.side)).all()
        position = jnp.where((action == FORWARD) & free, ahead, state.position)
        hand = state.carried == NOTHING
        taken = before & ~DOORS & hand & (action == PICK_UP)
        dropped = (jnp.arange(len(THINGS)) == state.carried) & free & (action == DROP)
        toggled = before & OPENS & (action == TOGGLE)
        carried = jnp.where(taken.any(), jnp.argmax(taken), jnp.where(dropped.any(), NOTHING, state.carried))
        places = jnp.where(dropped[:, None], ahead, state.places)
        state = state._replace(position=position, carried=carried, places=places, opened=state.opened ^ toggled)
        done = jnp.stack([self._ahead(state)[1], taken, toggled & state.opened])
        state = state._replace(happened=(WHICH & done).any(axis=(1, 2)))
        return Transition(state, self.observe(state), jnp.zeros(()), jnp.zeros((), bool), state.time >= self.horizon)

    def obtained(self, state: Room) -> Bool[Array, " items"]:
        """What happened in the step that led here."""
        return state.happened

    def observe(self, state: Room) -> Float[Array, " f"]:
        """What the agent sees."""
        forward, right = (jnp.array(HEADINGS)[(state.heading + turn) % 4] for turn in (0, 1))
        offsets = (state.places - state.position) / self.side
        carried = jnp.arange(len(THINGS)) == state.carried
        seen = jnp.where(carried, 0, jnp.stack([offsets @ forward, offsets @ right]))
        ahead, before = self._ahead(state)
        blocked = before.any() | ((ahead < 0) | (ahead >= self.side)).any()
        return jnp.concatenate([seen.ravel(), carried, state.opened, blocked[None]]).astype(float)

    def _ahead(self, state: Room) -> tuple[Int[Array, " 2"], Bool[Array, " k"]]:
        """The square before the agent, and which thing is there."""
        ahead = state.position + jnp.array(HEADINGS)[state.heading]
        return ahead, (state.places == ahead).all(axis=1) & (jnp.arange(len(THINGS)) != state.carried)
