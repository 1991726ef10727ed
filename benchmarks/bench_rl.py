"""PPO: steps per CPU-second, CPU-seconds to a return and the return reached, against CleanRL's way and PureJaxRL's.

Every contestant is a process of its own with the same hyperparameters and networks; all run in one call, one after
the other.  CleanRL's way is PyTorch with one thread over Gymnasium's `SyncVectorEnv` (`rl/torch_ppo.py`); install it
apart: `pip install torch minatar opencv-python-headless`.  What is not installed is left out.
"""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measure import row

from aiga.core.errors import require

FOLDER = Path(__file__).parent / "rl"
CLEANRL = {
    "seed": 0, "worlds": 4, "length": 128, "learning_rate": 2.5e-4, "anneal": True, "discount": 0.99, "trace": 0.95,
    "clip": 0.2, "epochs": 4, "minibatches": 4, "entropy": 0.01, "value_weight": 0.5, "gradient_norm": 0.5,
    "activation": "tanh", "hidden": [64, 64],
}  # fmt: skip
"""The defaults of CleanRL's `ppo.py`."""
PUREJAXRL = CLEANRL | {"worlds": 64, "minibatches": 8, "learning_rate": 5e-3, "activation": "relu"}
"""What PureJaxRL uses for MinAtar."""
ATARI = CLEANRL | {"worlds": 8, "clip": 0.1}
"""The defaults of CleanRL's `ppo_atari.py`."""
TASKS: dict[str, tuple[dict[str, Any], float | None]] = {
    "CartPole, 4 worlds": (CLEANRL | {"env": "CartPole-v1", "steps": 976 * 512}, 475.0),
    "Breakout-MinAtar, 4 worlds": (CLEANRL | {"env": "Breakout-MinAtar", "steps": 200 * 512}, None),
    "Breakout-MinAtar, 64 worlds": (PUREJAXRL | {"env": "Breakout-MinAtar", "steps": 2**21}, 20.0),
    "Atari Breakout, memory": (ATARI | {"env": "atari-breakout-ram", "steps": 20 * 1024}, None),
    "Atari Breakout, pixels": (ATARI | {"env": "atari-breakout-pixels", "steps": 4 * 1024}, None),
}
"""Settings, and the return to reach, if it is more than a measurement of speed."""
NEEDS = {"torch_ppo": ("torch", "minatar", "cv2"), "purejax_ppo": ("gymnax",)}
NAMES = {"torch_ppo": "CleanRL's way", "purejax_ppo": "PureJaxRL's way"}
SETTLED = 0.2
"""The share of a run that is not timed: compilation, first episodes."""


def rows() -> list[dict[str, Any]]:
    require("gymnax", "gymnax")
    require("ale_py", "atari")
    peers = [peer for peer, modules in NEEDS.items() if all(importlib.util.find_spec(name) for name in modules)]
    found = []
    for name, (task, goal) in TASKS.items():
        ours = run("ours", task)
        for peer in peers:
            if peer == "torch_ppo" or not task["env"].startswith("atari-"):
                found += compared(name, goal, ours, run(peer, task), NAMES[peer])
    return found


def run(contestant: str, task: dict[str, Any]) -> np.ndarray:
    """The contestant's curve: a row per update of steps, CPU-seconds, mean return of the last episodes."""
    env = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, str(FOLDER / f"{contestant}.py"), json.dumps(task)]
    done = subprocess.run(command, env=env, capture_output=True, check=True, text=True)
    return np.array(json.loads(done.stdout.splitlines()[-1])["curve"], float)


def compared(name: str, goal: float | None, ours: np.ndarray, peer: np.ndarray, peer_name: str) -> list[dict[str, Any]]:
    found = [row("rl", f"{name}: speed", "steps/CPU-s", speed(ours), speed(peer), peer_name)]
    if goal is not None:
        seconds = until(ours, goal), until(peer, goal)
        goal_row = f"{name}: to a return of {goal:g}"
        found.append(row("rl", goal_row, "CPU-s", *seconds, peer_name, smaller_is_better=True))
        found.append(row("rl", f"{name}: return at the end", "return", final(ours), final(peer), peer_name))
    return found


def speed(curve: np.ndarray) -> float:
    """Steps per CPU-second once everything is compiled."""
    start = math.ceil(SETTLED * len(curve))
    steps, seconds = curve[-1, :2] - curve[start, :2]
    return steps / seconds


def until(curve: np.ndarray, goal: float) -> float:
    """CPU-seconds, compilation included, until the mean of a twentieth of the run is at the goal; infinite: never."""
    window = max(1, len(curve) // 20)
    smooth = np.convolve(np.nan_to_num(curve[:, 2]), np.ones(window) / window, "valid")
    there = np.flatnonzero(smooth >= goal)
    return curve[there[0] + window - 1, 1] if len(there) else math.inf


def final(curve: np.ndarray) -> float:
    """The mean return of the last tenth."""
    return float(np.nanmean(curve[-len(curve) // 10 :, 2]))


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=1)
