"""Atari games as worlds to explore and to play, and the cells that Go-Explore divides them into.

The emulator is ale-py (GPL-2.0, the optional extra `atari`).  Imports numpy alone: runs in worker processes.
"""

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from aiga.core.errors import UsageError, require
from aiga.envs.pixels import overlaps
from aiga.envs.playable import Outcome

SCREEN = (210, 160)
SIDE, PICTURES = 84, 4
"""Of the pictures that policies see, and how many they see at once."""


class Atari:
    """A deterministic game; one action lasts `skip` frames.

    The actions are the game's minimal set, as in Gym; for Montezuma's Revenge and Pitfall that is all 18.  Scores are
    the game's own.  The emulator's state is saved exactly: a restored game goes on byte for byte like the saved one.
    """

    def __init__(self, game: str, life_loss_ends: bool = True, skip: int = 4) -> None:
        ale_py = require("ale_py", "atari")
        roms = require("ale_py.roms", "atari")
        if game not in roms.get_all_rom_ids():
            raise UsageError(f"the game `{game}` is unknown; ale-py's names are like `montezuma_revenge`, `pitfall`.")
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.ale, self._state = ale_py.ALEInterface(), ale_py.ALEState
        self.ale.setInt("random_seed", 0)
        self.ale.setInt("frame_skip", skip)
        self.ale.setFloat("repeat_action_probability", 0.0)
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


class PlayableAtari:
    """A game as policies play it: sticky actions of four frames, seen as the console's memory or as pictures.

    Machado et al. (2018), https://arxiv.org/abs/1709.06009, section 5.2: at every frame the action of the frame before
    goes on with probability `sticky`.  As in ALE, but the draws come from the generator that is passed in.  Pictures
    are those of the last four steps, the oldest first: the brighter of a step's last two frames, in grey.  Every
    episode begins with the same state of the game; the reset's params are not looked at.
    """

    def __init__(
        self,
        game: str,
        observation: Literal["ram", "pixels"] = "ram",
        sticky: float = 0.25,
        life_loss_ends: bool = False,
        limit: int = 27_000,
    ) -> None:
        """`limit`: steps after which an episode is cut."""
        self.game, self.sticky, self.limit = Atari(game, life_loss_ends, skip=1), sticky, limit
        self.actions = self.game.actions
        self._last, self._age = 0, 0
        self._pictures = np.zeros((PICTURES, SIDE, SIDE) if observation == "pixels" else (0, SIDE, SIDE), np.uint8)
        if len(self._pictures):
            self._pictures[-1] = picture(self.game.frame())
        self._origin = self.save()

    def reset(self, rng: np.random.Generator, params: object) -> UInt8[np.ndarray, "*shape"]:
        del rng, params
        self.restore(self._origin)
        return self.seen()

    def step(self, rng: np.random.Generator, action: int) -> Outcome:
        reward, over, frames = 0.0, False, []
        for frame, kept in enumerate(rng.random(4).tolist()):
            if kept >= self.sticky:
                self._last = action
            gained, over = self.game.act(self._last)
            reward += gained
            if len(self._pictures) and frame >= 2:
                frames.append(self.game.frame().copy())
        if frames:
            self._pictures[:-1] = self._pictures[1:].copy()
            self._pictures[-1] = picture(np.maximum(*frames))
        self._age += 1
        return Outcome(self.seen(), reward, over, self._age >= self.limit)

    def seen(self) -> UInt8[np.ndarray, "*shape"]:
        """What a policy sees: 128 bytes, or four pictures of 84 x 84."""
        return self._pictures.copy() if len(self._pictures) else self.game.ram()

    def save(self) -> bytes:
        return self._last.to_bytes(1) + self._age.to_bytes(4) + self._pictures.tobytes() + self.game.save()

    def restore(self, snapshot: bytes) -> None:
        self._last, self._age = snapshot[0], int.from_bytes(snapshot[1:5])
        end = 5 + self._pictures.size
        self._pictures[...] = np.frombuffer(snapshot[5:end], np.uint8).reshape(self._pictures.shape)
        self.game.restore(snapshot[end:])


def picture(frame: UInt8[np.ndarray, "210 160"]) -> UInt8[np.ndarray, "84 84"]:
    """The frame as policies see it: averages over areas, whose sums are whole numbers."""
    (rows, tall), (columns, wide) = (_covered(side) for side in SCREEN)
    bands: Any = sum(weight[:, None] * frame[row] for row, weight in zip(rows, tall, strict=True))
    sums: Any = sum(weight * bands[:, column] for column, weight in zip(columns, wide, strict=True))
    return (sums / np.float32(SCREEN[0] * SCREEN[1])).astype(np.uint8)


@lru_cache(maxsize=2)
def _covered(pixels: int) -> tuple[Int[np.ndarray, "3 s"], Float[np.ndarray, "3 s"]]:
    """The up to three pixels of a line that each of the picture's covers, and how much of them."""
    shares = overlaps(pixels, SIDE)
    covered = np.minimum((shares > 0).argmax(axis=1), pixels - 3) + np.arange(3)[:, None]
    return covered, shares[np.arange(SIDE), covered]


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
