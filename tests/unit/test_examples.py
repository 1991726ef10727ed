"""The examples do what they say."""

import runpy
import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_go_explore_wins_in_an_environment_of_ones_own():
    command = [sys.executable, str(EXAMPLES / "go_explore_gymnasium.py")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("1 point after")


def test_a_walker_learns_a_little_and_is_filmed(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "learn_to_walk.py"))
    first = example["learn"](pairs=2, steps=20, most=1)
    assert first.shape == (2804,)
    assert "1 generations" in capsys.readouterr().out
    example["film"](tmp_path / "walker.gif", first)
    with Image.open(tmp_path / "walker.gif") as film:
        assert film.n_frames > 5
