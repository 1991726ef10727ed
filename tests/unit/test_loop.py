"""The loop owns seeds, checkpoints, events, limits, stops and resumption."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from aiga.core.errors import UsageError
from aiga.runs.loop import Limits, resume, run
from aiga.runs.record import Run

WANDER = str(Path(__file__).parents[1] / "toys" / "wander.py")


def same(a: Run, b: Run) -> None:
    assert np.array_equal(a.state.position, b.state.position)
    assert int(a.state.count) == int(b.state.count)
    for name in ("walk/x", "walk/doubled", "run/steps"):
        assert np.array_equal(a.metric(name).values, b.metric(name).values)
    for column, values in a.lineage().items():
        assert values.tolist() == b.lineage()[column].tolist()


def test_a_run_leaves_a_directory_that_says_what_it_was(tmp_path):
    result = run(WANDER, seed=3, steps=5, out=tmp_path / "run", scale=2.0)
    summary = result.summary()
    assert summary["status"] == "finished"
    assert summary["steps"] == 5
    assert summary["seed"] == 3
    assert summary["options"] == {"scale": 2.0}
    assert summary["archive"] == {"size": 5.0}
    assert summary["cost"] == {"usd": 0.0, "tokens": 0, "calls": 0}
    assert result.manifest["versions"]["python"] == sys.version.split()[0]


def test_lineage_can_be_read_back(tmp_path):
    result = run(WANDER, steps=4, out=tmp_path / "run")
    lineage = result.lineage()
    assert lineage["parent"].tolist() == [-1, 0, 1 << 32, 2 << 32]
    assert set(lineage["operator"]) == {"walk"}
    assert result.ancestors(3 << 32) == [3 << 32, 2 << 32, 1 << 32, 0]
    assert result.ancestors(result.lineage()["id"][1]) == [1 << 32, 0]


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path):
    first = run(WANDER, seed=1, steps=6, out=tmp_path / "first")
    same(first, run(WANDER, seed=1, steps=6, out=tmp_path / "second"))
    other = run(WANDER, seed=2, steps=6, out=tmp_path / "third")
    assert not np.array_equal(first.state.position, other.state.position)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = run(WANDER, steps=9, out=tmp_path / "whole")
    half = run(WANDER, steps=4, out=tmp_path / "half")
    same(whole, resume(half.directory, steps=9))


@pytest.mark.parametrize("at", [1, 2, 7])
def test_a_killed_run_is_resumed_without_loss(tmp_path, at):
    whole = run(WANDER, steps=9, out=tmp_path / "whole")
    options = f"steps=9, out={str(tmp_path / 'killed')!r}, breaks_at={at}, how='kill'"
    script = f"from aiga.runs.loop import run; run({WANDER!r}, {options})"
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    killed = Run(tmp_path / "killed")
    assert killed.status == "killed"
    manifest = json.loads((killed.directory / "run.json").read_text())
    manifest["options"]["breaks_at"] = 0
    (killed.directory / "run.json").write_text(json.dumps(manifest))
    same(whole, resume(killed.directory))


def test_an_unexpected_exception_saves_a_checkpoint_and_is_recorded(tmp_path):
    with pytest.raises(RuntimeError, match="the floor gave way"):
        run(WANDER, steps=9, out=tmp_path / "run", breaks_at=4)
    broken = Run(tmp_path / "run")
    assert broken.status == "failed"
    assert int(broken.state.count) == 3
    assert [event["reason"] for event in broken.events("failed")] == ["RuntimeError: the floor gave way"]


def test_a_spent_budget_stops_the_run_cleanly(tmp_path):
    result = run(WANDER, steps=9, out=tmp_path / "run", breaks_at=4, how="budget")
    assert result.status == "budget"
    assert int(result.state.count) == 3


def test_a_system_can_end_its_run(tmp_path):
    result = run(WANDER, out=tmp_path / "run", ends_at=3)
    assert (result.status, int(result.state.count)) == ("finished", 3)


def test_a_time_limit_ends_the_run(tmp_path):
    started = time.monotonic()
    result = run(WANDER, minutes=0.005, out=tmp_path / "run", sleep=0.01)
    assert result.status == "finished"
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_ends(tmp_path, number):
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), number))
    timer.start()
    result = run(WANDER, steps=10_000, out=tmp_path / "run", sleep=0.05)
    timer.join()
    assert result.status == "stopped"
    assert 0 < int(result.state.count) < 10_000
    assert int(result.state.count) == result.summary()["steps"]


def test_a_stop_file_ends_the_run_and_does_not_hinder_its_resumption(tmp_path):
    timer = threading.Timer(0.5, lambda: (tmp_path / "run" / "STOP").touch())
    timer.start()
    result = run(WANDER, steps=10_000, out=tmp_path / "run", sleep=0.05)
    timer.join()
    assert result.status == "stopped"
    reached = result.summary()["steps"]
    assert resume(result.directory, steps=reached + 2).summary()["steps"] == reached + 2


def test_a_finished_run_says_how_to_go_on(tmp_path):
    result = run(WANDER, steps=2, out=tmp_path / "run")
    with pytest.raises(UsageError, match="larger total with --steps"):
        resume(result.directory)


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(tmp_path):
    whole = run(WANDER, steps=9, out=tmp_path / "whole")
    half = run(WANDER, steps=4, out=tmp_path / "half")
    resume(half.directory, steps=6)
    checkpoint = half.directory / "checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-30])
    resumed = resume(half.directory, steps=9)
    same(whole, resumed)
    assert "Continued from step" in next(resumed.events("failed"))["reason"]


def test_a_run_works_inside_a_running_event_loop(tmp_path):
    async def notebook():
        return run(WANDER, steps=2, out=tmp_path / "run")

    assert asyncio.run(notebook()).status == "finished"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"steps": 0}, "--steps is 0: give a number above zero"),
        ({"minutes": -1.0}, "--minutes is -1"),
        ({"seed": -1}, "--seed is -1: give a whole number from zero on"),
        ({"scale": "2"}, "`scale` is '2': give a number"),
        ({"breaks_at": True}, "`breaks_at` is True: give a whole number"),
        ({"how": 3}, "`how` is 3: give a text"),
        ({"pool": "cloud"}, "--pool 'cloud' is not available"),
        ({"preset": "papr"}, "--preset 'papr' is unknown"),
        ({"scal": 1.0}, "did you mean `scale`"),
    ],
)
def test_wrong_arguments_are_refused_and_leave_no_trace(tmp_path, arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        run(WANDER, out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_preset_yields_to_given_options(tmp_path):
    assert run(WANDER, steps=1, out=tmp_path / "a", preset="paper").options == {"scale": 2.0}
    assert run(WANDER, steps=1, out=tmp_path / "b", preset="paper", scale=3.0).options == {"scale": 3.0}


def test_sequences_survive_the_manifest(tmp_path):
    result = run(WANDER, steps=1, out=tmp_path / "run", shape=(3, 4))
    assert resume(result.directory, steps=2).status == "finished"


def test_the_nearest_limit_counts():
    assert Limits(steps=10, minutes=1.0).fraction(5, 45.0) == 0.75
    assert not Limits().reached(10**9, 1e9)
