"""How long the command line takes to start, against the limit that we set for it: CPU-seconds, median of five."""

import os
import statistics
import subprocess
import sys
from typing import Any

from measure import row

BUDGET = 0.4
"""CPU-seconds."""


def rows() -> list[dict[str, Any]]:
    return [start("--help"), start("list"), start("list", "--json")]


def start(*words: str) -> dict[str, Any]:
    cost(*words)  # the first start fills the disk cache
    ours = statistics.median(cost(*words) for _ in range(5))
    return row("cli", f"aiga {' '.join(words)}", "CPU-s", ours, BUDGET, "budget", smaller_is_better=True)


def cost(*words: str) -> float:
    """CPU-seconds of a fresh process."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "aiga", *words], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
