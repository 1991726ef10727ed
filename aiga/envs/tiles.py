"""Atari games divided into tiles: where the player is, from the console's memory.

Imports numpy alone: runs in worker processes.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

SCREEN = (210, 160)


class Tiles(NamedTuple):
    """Where a game keeps its player, and the squares that divide its rooms; addresses are the console's memory's.

    The player's height is `top` at the upper edge of the screen and grows downwards (`down` 1) or shrinks (-1).
    """

    x: int
    y: int
    top: int
    down: int
    room: int | None
    """None: the game has one."""
    rooms: int
    side: int = 16

    @property
    def shape(self) -> tuple[int, ...]:
        """Rooms, rows, columns."""
        return self.rooms, *(-(-size // self.side) for size in SCREEN)

    def locate(self, ram: UInt8[np.ndarray, " 128"]) -> tuple[int, int, int]:
        """The room, row and column of the tile that the player is in; off the screen, the nearest."""
        height = self.down * (int(ram[self.y]) - self.top)
        place = (0 if self.room is None else int(ram[self.room]), height // self.side, int(ram[self.x]) // self.side)
        room, row, column = (min(max(at, 0), most - 1) for at, most in zip(place, self.shape, strict=True))
        return room, row, column


GAMES = {
    "montezuma_revenge": Tiles(x=42, y=43, top=320, down=-1, room=3, rooms=24),
    "seaquest": Tiles(x=70, y=97, top=-36, down=1, room=None, rooms=1),
}
