"""A short life of a run's store, killed at each of its calls in turn, and gone on with: `python crash_points.py DIR N`.

A call is one of the store's, or of what it stands on, to C: to the operating system, to SQLite, to NumPy.  Every Nth
is tried, in a fork of this process.  Writes a line `OUTCOME POINT` for each, and `points N` at the end.
"""

import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np

from aiga.core import trees
from aiga.runs import folder, store
from aiga.runs.events import Born, Failed
from aiga.runs.folder import check_schema
from aiga.runs.record import Run
from aiga.runs.store import Store

OURS = (store.__file__, folder.__file__, trees.__file__)
MANIFEST = {"system": "toy", "options": {}, "seed": 0, "sandbox": None, "model": None}
LIKE = {"x": np.zeros(3), "n": np.zeros((), int)}
STEPS, SAVES = 7, (0, 3, 5, 7)


def live(directory, told=lambda key: None):
    """Begin a run or go on with one, to its end."""
    if (directory / "run.json").exists():
        kept, step, state = resumed(directory)
    else:
        kept, step, state = Store.create(directory, MANIFEST), 0, LIKE
    kept.note(status="running")
    while True:
        if step in SAVES:
            kept.save(step, state, float(step))
        if step == STEPS:
            break
        state = {"x": state["x"] + step, "n": state["n"] + 1}
        kept.append("finished", (f"task {step}", "done"))
        told(f"task {step}")
        kept.record(step, info(step, kept.put(f"text {step}".encode())))
        step += 1
    kept.note(status="finished")
    kept.close()


def resumed(directory):
    """As the loop does: the newest checkpoint that can be read, and the rows before it."""
    saved, step, state = Run(directory).saved, 0, LIKE
    for name in ("checkpoint.npz", "checkpoint.previous.npz"):
        if (directory / name).exists():
            state, note = trees.load(directory / name, LIKE)
            step = note["step"]
            assert step <= saved
            break
    kept = Store.open(directory)
    kept.rewind(step)
    return kept, step, state


def info(step, text):
    births = trees.identities(step, 3, np)
    born = Born(births, births[:, None] - np.array([1, 0]), "toy", np.array([2, 0, 1]), np.arange(3.0), blob=[text] * 3)
    return {"run/steps": step + 1, "toy/x": step / 2, "born": born, "failed": Failed("toy", str(step))}


def left(directory):
    """What a finished run left, times and row numbers apart."""
    run = Run(directory)
    lineage = {name: column.tolist() for name, column in run.lineage().items()}
    events = [{name: value for name, value in event.items() if name != "time"} for event in run.events()]
    metrics = {name: [series.tolist() for series in run.metric(name)] for name in run.latest()}
    state, note = trees.load(directory / "checkpoint.npz", LIKE)
    texts = [run.blob(name).decode() for name in lineage["blob"]]
    files = sorted(path.name for path in directory.iterdir())
    return lineage, events, metrics, state["x"].tolist(), int(state["n"]), note, texts, files, run.status


def killed_at(point, work):
    """Do some work in a fork that is killed at its `point`th call; how many calls there were, if it lived."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        calls = 0

        def count(frame, event, argument):
            nonlocal calls
            if event == "c_call" and frame.f_code.co_filename in OURS:
                calls += 1
                if calls == point:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        work(lambda key: os.write(writer, f"{key}\n".encode()))
        sys.setprofile(None)
        os.write(writer, f"calls {calls}\n".encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as stream:
        told = stream.read().split("\n")[:-1]
    return os.waitpid(child, 0)[1], told


def main(place, every):
    live(place / "whole")
    expected = left(place / "whole")
    _, told = killed_at(0, partial(live, place / "counted"))
    points = int(told[-1].removeprefix("calls "))
    # A resumption has calls of its own: half of the kills fall on one that goes on from the middle.
    for kind, total in (("begun", points), ("resumed", points)):
        for point in range(1 if kind == "begun" else 2, total, every):
            directory = place / f"{kind}-{point}"
            life = partial(live, directory)
            if kind == "resumed":
                killed_at(points // 2, life)
            status, told = killed_at(point, life)
            if not os.WIFSIGNALED(status):
                shutil.rmtree(directory)
                break  # it takes fewer calls to go on than to begin
            if (directory / "run.json").exists():
                kept = Store.open(directory)
                lost = [key for key in told if kept.look_up("SELECT 1 FROM finished WHERE key = ?", key) is None]
                kept.close()
                assert lost == [], f"{kind} {point}: {lost}"
            live(directory)
            same = left(directory) == expected and check_schema(directory)
            sys.stdout.write(f"{'same' if same else 'different'} {kind} {point}\n")
            shutil.rmtree(directory)
    sys.stdout.write(f"points {points}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
