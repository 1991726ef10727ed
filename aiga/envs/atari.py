"""Atari games as restorable worlds, and the cells that Go-Explore divides them into.

The emulator is ale-py (GPL-2.0, the optional extra `atari`).  Imports numpy alone: runs in worker processes.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from aiga.core.errors import UsageError, require

SCREEN = (210, 160)


class Atari:
    """A game, deterministic unless `sticky`; one action lasts `skip` frames.

    The actions are the game's minimal set, as in Gym; for Montezuma's Revenge and Pitfall that is all 18.  Scores are
    the game's own.  The emulator's state is saved exactly: a restored game goes on byte for byte like the saved one.
    """

    def __init__(self, game: str, life_loss_ends: bool = True, skip: int = 4, sticky: float = 0.0) -> None:
        ale_py = require("ale_py", "atari")
        roms = require("ale_py.roms", "atari")
        if game not in roms.get_all_rom_ids():
            raise UsageError(f"the game `{game}` is unknown; ale-py's names are like `montezuma_revenge`, `pitfall`.")
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.ale, self._state = ale_py.ALEInterface(), ale_py.ALEState
        self.ale.setInt("random_seed", 0)
        self.ale.setInt("frame_skip", skip)
        self.ale.setFloat("repeat_action_probability", sticky)
        self.ale.loadROM(roms.get_rom_path(game))
        self.life_loss_ends = life_loss_ends
        self.codes = [action.value for action in self.ale.getMinimalActionSet()]
        self.actions = len(self.codes)
        self._grey = np.empty(SCREEN, np.uint8)
        self.reset()

    def reset(self) -> None:
        self.ale.reset_game()
        self._lives = self.ale.lives()

    def act(self, action: int) -> tuple[float, bool]:
        ale = self.ale
        reward = float(ale.act(self.codes[action]))
        return reward, (self.life_loss_ends and ale.lives() < self._lives) or ale.game_over()

    def save(self) -> bytes:
        return self.ale.cloneState().serialize()

    def restore(self, snapshot: bytes) -> None:
        self.ale.restoreState(self._state(snapshot))
        self._lives = self.ale.lives()

    def frame(self) -> UInt8[np.ndarray, "210 160"]:
        """The grey picture; overwritten by the next call."""
        self.ale.getScreenGrayscale(self._grey)
        return self._grey

    def picture(self) -> UInt8[np.ndarray, "210 160 3"]:
        """The picture in colour."""
        return self.ale.getScreenRGB()

    def ram(self) -> UInt8[np.ndarray, " 128"]:
        """The console's memory."""
        return self.ale.getRAM()


class MontezumaCell(NamedTuple):
    """Cells of Montezuma's Revenge from the console's memory: level, room, x, y and what is carried.

    Ecoffet et al. (2019), https://arxiv.org/abs/1901.10995, section 2.1: squares of 16 pixels, of a picture twice as
    wide as the memory's.
    """

    resolution: int = 16

    def __call__(self, env: Atari) -> bytes:
        ram = env.ale.getRAM().tobytes()
        return bytes((ram[57], ram[3], 2 * ram[42] // self.resolution, ram[43] // self.resolution, ram[65]))


def montezuma_place(env: Atari) -> int:
    """24 rooms per level."""
    ram = env.ram()
    return int(ram[57]) * 24 + int(ram[3])


class PitfallCell(NamedTuple):
    """Cells of Pitfall from the console's memory: room, x, y; the first byte, a level elsewhere, is always 0."""

    resolution: int = 16

    def __call__(self, env: Atari) -> bytes:
        ram = env.ale.getRAM().tobytes()
        return bytes((0, ram[1], 2 * ram[97] // self.resolution, ram[105] // self.resolution))


def pitfall_place(env: Atari) -> int:
    """The room's number in the game's own order, a shift register that visits 1..255."""
    return int(env.ram()[1])
