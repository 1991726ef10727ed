"""Nothing that was recorded is lost, whatever happens to the machine: kills, full disks, clocks, other processes.

`make chaos` kills a store at every one of its calls.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import pytest

from aiga.core.errors import UsageError
from aiga.runs.loop import resume, run
from aiga.runs.record import Run
from aiga.runs.store import Store

HERE = Path(__file__).parent
SEEKER, SLEEPER = (str(HERE.parent / "toys" / name) for name in ("seeker.py", "sleeper.py"))
LONG = int(os.environ.get("AIGA_KILLS", "1")) >= 20
MEMORY = Path("/dev/shm")
"""A file system that no disk has to flush, where there is one."""


def script(name, *arguments, before=()):
    command = [*before, sys.executable, "-W", "ignore", str(HERE / name), *map(str, arguments)]
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def same(a, b):
    assert jax.tree.all(jax.tree.map(jax.numpy.array_equal, a.state, b.state))
    for column, values in a.lineage().items():
        assert values.tolist() == b.lineage()[column].tolist(), column
    assert a.metric("run/steps").values.tolist() == b.metric("run/steps").values.tolist()


def test_a_store_may_be_killed_at_each_of_its_calls(tmp_path):
    folder = Path(MEMORY / f"aiga-{os.getpid()}" if os.access(MEMORY, os.W_OK) else tmp_path / "points")
    folder.mkdir()
    try:
        *outcomes, last = script("crash_points.py", folder, 1 if LONG else 29)
    finally:
        shutil.rmtree(folder)
    assert int(last.removeprefix("points ")) > 200
    assert len(outcomes) > (500 if LONG else 15)
    assert [line for line in outcomes if not line.startswith("same ")] == []


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """What a run says on a disk that is full, or can only be read."""
    alone = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "small", "/mnt"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system of their own")
    return dict(map(json.loads, script("small_disk.py", tmp_path_factory.mktemp("small"), before=alone)))


def test_a_full_disk_is_told_in_one_sentence_and_loses_nothing(disk):
    for scene in ("resumed on a full disk", "the disk became full", "no room for a checkpoint"):
        assert "cannot be written" in disk[scene]
        assert "free some space, then `aiga resume" in disk[scene]
    assert disk["the run is as it was"] == [10, "finished"], "and can be shown"
    assert disk["same after there was space"]
    assert disk["same after it had been full"]


def test_without_room_for_a_checkpoint_the_two_before_are_whole_and_nothing_more_is_written(disk):
    assert disk["checkpoints"] == [2, 1]
    assert disk["files"] == ["checkpoint.npz", "checkpoint.previous.npz"]
    assert disk["nothing more is written"] == disk["no room for a checkpoint"]


def test_a_run_that_nobody_can_write_is_shown_and_not_continued(disk):
    assert disk["shown"] == 40
    assert disk["a killed run shown"] == "nothing"
    assert disk["went on"].endswith("(Read-only file system): make it writable, or go on with a copy of it.")
    assert disk["began"].endswith("(Read-only file system): give --out a folder that you may write.")


def test_a_clock_that_jumps_changes_nothing_but_the_times_of_events(tmp_path, monkeypatch):
    whole = run(SEEKER, steps=20, out=tmp_path / "whole")
    chance, clock = random.Random(0), time.time
    monkeypatch.setattr(time, "time", lambda: clock() + chance.choice([-1e9, -3600.0, 0.0, 3600.0, 1e9]))
    run(SEEKER, steps=10, out=tmp_path / "jumped")
    same(whole, resume(tmp_path / "jumped", steps=20))
    assert Run(tmp_path / "jumped").summary()["seconds"] < 60


def descendants(process):
    files = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for file in files for child in file.read_text().split()]
    return [each for child in children for each in (child, *descendants(child))]


def test_a_signal_to_all_processes_of_a_run_falsifies_no_program(tmp_path):
    """As systemd and batch systems send it before they kill: the programs in the sandbox end first."""
    whole = run(SLEEPER, steps=3, out=tmp_path / "whole")
    signalled = []

    def end_all():
        while not (descendants(os.getpid()) and Run(tmp_path / "run").summary()["steps"]):
            time.sleep(0.05)
        time.sleep(0.3)
        for process in (*descendants(os.getpid()), os.getpid()):
            signalled.append(process)
            os.kill(process, signal.SIGTERM)

    first = run(SLEEPER, steps=1, out=tmp_path / "run")
    ending = threading.Thread(target=end_all)
    ending.start()
    started = time.monotonic()
    stopped = resume(first.directory, steps=3)
    ending.join()
    assert len(signalled) > 1, "there was a program"
    assert stopped.status == "stopped"
    assert time.monotonic() - started < 10, "what a preempted machine leaves"
    same(whole, resume(first.directory, steps=3))
    assert Run(first.directory).metric("toy/outcome").values.tolist() == ["ok"] * 3


def test_a_run_that_was_moved_goes_on_where_it_is(tmp_path):
    whole = run(SEEKER, steps=9, out=tmp_path / "whole")
    run(SEEKER, steps=4, out=tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    same(whole, resume(tmp_path / "there", steps=9))


@pytest.mark.parametrize("fate", ["moved", "deleted", "replaced"])
def test_a_folder_that_goes_away_under_a_run_is_noticed_and_no_other_run_harmed(tmp_path, fate):
    here, there = tmp_path / "here", tmp_path / "there"
    store = Store.create(here, {"system": "toy", "options": {}, "seed": 0})
    store.record(0, {"x": 0})
    store.save(1, {}, 0.0)
    shutil.move(here, there)
    if fate == "deleted":
        shutil.rmtree(there)
    if fate == "replaced":
        Store.create(here, {"system": "other", "options": {}, "seed": 1}).close()
    before = sorted(here.iterdir()) if here.exists() else []
    store.record(1, {"x": 1})
    with pytest.raises(UsageError, match="was moved or deleted while the run wrote to it"):
        store.save(2, {}, 1.0)
    store.close()
    assert (sorted(here.iterdir()) if here.exists() else []) == before
    if fate != "deleted":
        assert Run(there).metric("x").values.tolist() == [0, 1]


def test_a_run_that_is_being_written_is_not_continued_by_another_process_and_stays_as_it_is(tmp_path):
    done = run(SEEKER, steps=3, out=tmp_path / "run")
    store = Store.open(done.directory)
    try:
        (done.directory / "STOP").touch()
        with pytest.raises(UsageError, match="being written by another process: stop that one first"):
            resume(done.directory, steps=6)
        assert (done.directory / "STOP").exists(), "it was meant for the other"
    finally:
        store.close()
    assert resume(done.directory, steps=6).summary()["steps"] == 6
