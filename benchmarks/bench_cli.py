"""How long the command line takes to start, against the limit that we set for it: CPU-seconds, median of five."""

import os
import statistics
import subprocess
import sys
from typing import Any

BUDGET = 0.4
"""CPU-seconds."""


def rows() -> list[dict[str, Any]]:
    return [row("--help"), row("list"), row("list", "--json")]


def row(*words: str) -> dict[str, Any]:
    cost(*words)  # the first start fills the disk cache
    ours = statistics.median(cost(*words) for _ in range(5))
    name = f"aiga {' '.join(words)}"
    return {
        "bench": "cli",
        "row": name,
        "unit": "CPU-s",
        "ours": ours,
        "peer": BUDGET,
        "peer_name": "budget",
        "ratio": BUDGET / ours,
    }


def cost(*words: str) -> float:
    """CPU-seconds of a fresh process."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "aiga", *words], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
