"""A restorable world without an emulator: a grid with coins and a pit."""

from typing import NamedTuple

import numpy as np

COINS = {(3, 0): 5.0, (7, 4): 3.0, (11, 11): 10.0}
PIT = (5, 5)
MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))


class GridWorld:
    """Walk on a 12 x 12 grid, collect each coin once, die in the pit."""

    actions = 4

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.x = self.y = 0
        self.taken: frozenset[tuple[int, int]] = frozenset()

    def act(self, action: int) -> tuple[float, bool]:
        dx, dy = MOVES[action]
        self.x, self.y = min(max(self.x + dx, 0), 11), min(max(self.y + dy, 0), 11)
        here = (self.x, self.y)
        reward = 0.0 if here in self.taken else COINS.get(here, 0.0)
        if reward:
            self.taken |= {here}
        return reward, here == PIT

    def save(self) -> bytes:
        return bytes([self.x, self.y]) + bytes(v for coin in sorted(self.taken) for v in coin)

    def restore(self, snapshot: bytes) -> None:
        self.x, self.y, *rest = snapshot
        self.taken = frozenset(zip(rest[::2], rest[1::2], strict=True))

    def frame(self) -> np.ndarray:
        picture = np.zeros((24, 36), np.uint8)
        picture[2 * self.x : 2 * self.x + 2, 3 * self.y : 3 * self.y + 3] = 255
        return picture


class Square(NamedTuple):
    """Cells of `side` x `side`; part of the world's memory makes them deeper than its picture."""

    side: int = 1

    def __call__(self, env: GridWorld) -> bytes:
        return bytes([env.x // self.side, env.y // self.side])


def quarter(env: GridWorld) -> int:
    """The room: one of four."""
    return env.x // 6 + 2 * (env.y // 6)


class Liar(GridWorld):
    """A world whose restored state pays a coin again: its record cannot be replayed."""

    def restore(self, snapshot: bytes) -> None:
        super().restore(snapshot)
        self.taken = frozenset()
