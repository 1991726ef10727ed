"""The examples do what they say."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_go_explore_wins_in_an_environment_of_ones_own():
    command = [sys.executable, str(EXAMPLES / "go_explore_gymnasium.py")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("1 point after")
