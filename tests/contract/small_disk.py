"""Runs on a disk of three megabytes that fills up and becomes read-only.

`unshare -rm python small_disk.py FOLDER` mounts it in the folder.  Each line it writes is what a
user would be told, or what was found, as JSON: `[WHAT, FOUND]`.
"""

import ctypes
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np

from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.runs.loop import resume, run
from aiga.runs.record import Run
from aiga.runs.store import Store

SEEKER = str(Path(__file__).parents[1] / "toys" / "seeker.py")
MANIFEST = {"system": "toy", "options": {}, "seed": 0, "sandbox": None, "model": None}
LIBC = ctypes.CDLL(None, use_errno=True)
READ_ONLY, REMOUNT = 1, 32
STEPS = 40


def mount(folder, flags=0):
    if LIBC.mount(b"small", str(folder).encode(), b"tmpfs", flags, b"size=3m") != 0:
        raise OSError(ctypes.get_errno(), "mount")


def say(what, found):
    sys.stdout.write(json.dumps([what, found]) + "\n")


def told(work):
    """What the user is told."""
    try:
        work()
    except UsageError as error:
        return str(error)
    return "nothing"


def fill(folder):
    """Leave no byte."""
    with open(folder / "ballast", "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1 << 8):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


def same(a, b):
    state = jax.tree.all(jax.tree.map(jax.numpy.array_equal, a.state, b.state))
    rows = all(values.tolist() == b.lineage()[name].tolist() for name, values in a.lineage().items())
    return bool(state and rows and np.array_equal(a.metric("toy/best").values, b.metric("toy/best").values))


def a_disk_that_is_full_when_a_run_goes_on(disk, whole):
    begun = run(SEEKER, steps=10, out=disk / "full")
    fill(disk)
    say("resumed on a full disk", told(lambda: resume(disk / "full", steps=STEPS)))
    say("the run is as it was", (begun.summary()["steps"], begun.status))
    (disk / "ballast").unlink()
    say("same after there was space", same(whole, resume(disk / "full", steps=STEPS)))


def a_disk_that_fills_while_a_run_goes_on(disk, folder):
    def begin():
        run(SEEKER, steps=100_000, out=disk / "filled")

    filling = threading.Thread(target=fill_when_begun, args=[disk])
    filling.start()
    say("the disk became full", told(begin))
    filling.join()
    (disk / "ballast").unlink()
    steps = Run(disk / "filled").summary()["steps"] + 10
    whole = run(SEEKER, steps=steps, out=folder / "whole-filled")
    say("same after it had been full", same(whole, resume(disk / "filled", steps=steps)))


def fill_when_begun(disk):
    while not (disk / "filled" / "checkpoint.npz").exists():
        time.sleep(0.01)
    fill(disk)


def a_disk_without_room_for_a_checkpoint(disk):
    state = {"x": np.random.default_rng(0).random(100_000)}
    store = Store.create(disk / "large", MANIFEST)
    for step in (0, 1):
        store.record(step, {"x": step})
        store.save(step + 1, state, 0.0)
    (disk / "filling").write_bytes(bytes(800_000))
    store.record(2, {"x": 2})
    say("no room for a checkpoint", told(lambda: store.save(3, state, 0.0)))
    say("nothing more is written", told(lambda: store.record(3, {"x": 3})))
    store.close()
    steps = [
        trees.load(disk / "large" / name, state)[1]["step"] for name in ("checkpoint.npz", "checkpoint.previous.npz")
    ]
    say("checkpoints", steps)
    say("files", sorted(path.name for path in (disk / "large").iterdir() if path.name.startswith("checkpoint")))


def a_disk_that_can_only_be_read(disk, killed):
    shutil.copytree(killed, disk / "killed")
    mount(disk, REMOUNT | READ_ONLY)
    say("shown", Run(disk / "full").summary()["steps"])
    say("went on", told(lambda: resume(disk / "full", steps=STEPS + 1)))
    say("began", told(lambda: run(SEEKER, steps=1, out=disk / "new")))
    say("a killed run shown", told(lambda: Run(disk / "killed").summary()))


def killed(folder):
    """A run that was killed before its rows were in the main file."""
    child = os.fork()
    if child == 0:
        store = Store.create(folder, MANIFEST)
        store.record(0, {"x": 0})
        store.note(status="running")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)


def main(folder):
    whole = run(SEEKER, steps=STEPS, out=folder / "whole")
    killed(folder / "killed")
    disk = folder / "disk"
    disk.mkdir()
    mount(disk)
    started = time.monotonic()
    a_disk_that_is_full_when_a_run_goes_on(disk, whole)
    a_disk_that_fills_while_a_run_goes_on(disk, folder)
    a_disk_without_room_for_a_checkpoint(disk)
    a_disk_that_can_only_be_read(disk, folder / "killed")
    say("seconds", time.monotonic() - started)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
