"""A run directory: refuses what it cannot keep, and is read while it is written."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.runs.events import Born, Failed
from aiga.runs.record import Run
from aiga.runs.store import Store, packed

MANIFEST = {"system": "toy", "options": {}, "seed": 0, "sandbox": None, "model": None}


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path / "run", MANIFEST)
    yield store
    store.close()


def births(n, birth, **fields):
    return Born(
        id=trees.identities(birth, n, np),
        parents=np.full((n, 1, 2), -1),
        operator="test",
        kept=np.full(n, 2),
        fitness=np.arange(n, dtype=float),
        **fields,
    )


def test_metrics_are_read_back_with_their_names_and_kinds(store):
    store.record(0, {"a/x": 1.5, "a/name": "first"})
    store.record(1, {"a/x": float("nan"), "a/big": float("inf")})
    store.note(status="finished")
    run = Run(store.directory)
    assert run.metric("a/x").steps.tolist() == [0, 1]
    assert np.array_equal(run.metric("a/x").values, [1.5, np.nan], equal_nan=True)
    assert run.latest()["a/name"] == "first"
    assert run.latest()["a/big"] == float("inf")
    with pytest.raises(UsageError, match="it has a/x, a/name, a/big"):
        run.metric("a/y")


def test_only_what_was_kept_enters_the_lineage(store):
    born = births(3, 7)._replace(kept=np.array([1, 0, 2]), replaced=np.array([[3, 1], [-1, -1], [-1, -1]]))
    born = born._replace(parents=np.array([[[3, 1], [4, 0]], [[-1, -1]] * 2, [[-1, -1]] * 2]), cell=np.array([5, 6, 7]))
    store.record(9, {"born": born})
    store.note()
    lineage = Run(store.directory).lineage()
    assert lineage["id"].tolist() == [7 << 32, (7 << 32) + 2]
    assert lineage["parent"].tolist() == [(3 << 32) + 1, -1]
    assert lineage["others"].tolist() == [f"[{4 << 32}]", None]
    assert lineage["replaced"].tolist() == [(3 << 32) + 1, -1]
    assert lineage["cell"].tolist() == [5, 7]
    assert lineage["fitness"].tolist() == [0.0, 2.0]


def test_a_candidate_that_is_born_twice_is_refused_and_the_rest_is_kept(store):
    store.record(0, {"x": 0, "born": births(2, 0)})
    with pytest.raises(UsageError, match=r"UNIQUE constraint failed: lineage\.id"):
        store.record(1, {"x": 1, "born": births(2, 0)})
    store.record(1, {"failed": Failed("step 1", "born twice")})
    store.note(status="failed")
    run = Run(store.directory)
    assert (len(run.lineage()["id"]), run.status, len(list(run.events("failed")))) == (2, "failed", 1)


def test_identities_pack_into_one_integer_and_nobody_into_minus_one():
    assert packed(np.array([[0, 5], [1, 0], [-1, -1]])).tolist() == [5, 1 << 32, -1]


def test_costs_are_summed_over_calls(store):
    store.append("calls", ("key a", 1, "t", "m", "{}", "empty", None, 10, 0, 0.25, 1.0, False))
    store.append("calls", ("key a", 2, "t", "m", "{}", "ok", '{"text": "x"}', 10, 5, 0.25, 1.0, True))
    store.append("calls", ("key b", 1, "t", "m", "{}", "ok", "no JSON", 1, 1, 0.5, 1.0, True))
    run = Run(store.directory)
    assert run.cost() == {"usd": 1.0, "tokens": 27, "calls": 2}
    assert [(call["outcome"], call["reply"]) for call in run.calls()] == [
        ("empty", None),
        ("ok", {"text": "x"}),
        ("ok", "no JSON"),
    ]


def test_what_the_world_outside_said_outlives_a_rewinding(store):
    store.append("calls", ("key", 1, "t", "m", "{}", "ok", "{}", 1, 1, 0.5, 1.0, True))
    store.append("orders", (3, 7))
    store.rewind(0)
    assert Run(store.directory).cost()["calls"] == 1
    assert store.look_up("SELECT candidate FROM orders WHERE step = 3") == (7,)


def test_blobs_are_kept_once_by_content(store):
    assert store.put(b"text") == store.put(b"text") != store.put(b"other")
    store.note()
    assert Run(store.directory).blob(store.put(b"text")) == b"text"


def test_rewinding_forgets_the_rows_from_a_step_on(store):
    for step in range(5):
        store.record(step, {"x": step, "born": births(1, step), "failed": Failed("a", "b")})
    store.rewind(3)
    run = Run(store.directory)
    assert run.metric("x").steps.tolist() == [0, 1, 2]
    assert run.lineage()["step"].tolist() == [0, 1, 2]
    assert [event["step"] for event in run.events()] == [0, 1, 2]


def test_a_second_process_reads_while_the_run_is_written(store):
    script = (
        "import sys, time; from aiga.runs.record import Run\n"
        "run = Run(sys.argv[1]); deadline = time.monotonic() + 20\n"
        "while run.latest().get('x', 0) < 50 and time.monotonic() < deadline: time.sleep(0.01)\n"
        "print(run.status, run.latest()['x'])"
    )
    reader = subprocess.Popen([sys.executable, "-c", script, store.directory], stdout=subprocess.PIPE, text=True)
    step = 0
    while reader.poll() is None:
        store.record(step, {"x": step, "born": births(20, step)})
        step += 1
        if step == 60:
            store.note()
        if step > 60:
            reader.wait(30)
    out = reader.communicate()[0].split()
    assert out[0] == "running"
    assert float(out[1]) >= 50


def test_rows_are_committed_by_themselves(store):
    store.record(0, {"x": 1})
    run = Run(store.directory)
    deadline = time.monotonic() + 5
    while "x" not in run.latest() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.latest() == {"x": 1.0}


def test_a_second_writer_is_refused(store):
    with pytest.raises(UsageError, match="written by another process"):
        Store.open(store.directory)


def test_a_folder_that_holds_a_run_is_not_overwritten(store):
    store.close()
    with pytest.raises(UsageError, match="continue it with `aiga resume"):
        Store.create(store.directory, MANIFEST)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("chapter one")
    with pytest.raises(UsageError, match="not empty and holds no run"):
        Store.create(tmp_path, MANIFEST)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="holds no run"):
        Run(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Not a directory"):
        Store.create(tmp_path / "file" / "run", MANIFEST)


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="root may write anywhere but /proc")
def test_a_read_only_folder_is_named(tmp_path):
    folder = Path("/proc/self") if os.geteuid() == 0 else tmp_path
    if os.geteuid() != 0:
        folder.chmod(0o500)
    with pytest.raises(UsageError, match="give --out a folder that you may write"):
        Store.create(folder / "run", MANIFEST)


def test_a_newer_run_is_not_touched(store):
    store.close()
    path = store.directory / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    for reading in (Run, Store.open):
        with pytest.raises(UsageError, match=r"has format 99 .*`pip install -U aiga`"):
            reading(store.directory)


@pytest.mark.parametrize("damage", [b"not a database" * 100, b""])
def test_a_corrupt_database_is_named_and_not_touched(store, damage):
    store.record(0, {"x": 1})
    store.close()
    path = store.directory / "run.sqlite"
    path.write_bytes(damage)
    with pytest.raises(UsageError, match=r"run\.sqlite can"):
        Run(store.directory).summary()
    with pytest.raises(UsageError, match=r"run\.sqlite is damaged .*restore a copy, or delete run\.sha256"):
        Store.open(store.directory)
    (store.directory / "run.sha256").unlink()
    with pytest.raises(UsageError, match=r"run\.sqlite can"):
        Store.open(store.directory)
    assert path.read_bytes() == damage


def test_a_damaged_page_is_found_before_a_run_goes_on(store):
    for step in range(200):
        store.record(step, {"x": step, "born": births(20, step)})
    store.close()
    path = store.directory / "run.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    data = bytearray(path.read_bytes())
    data[4096 * 8 : 4096 * 9] = bytes(4096)
    path.write_bytes(data)
    (store.directory / "run.sha256").unlink()
    with pytest.raises(UsageError, match=r"is damaged|cannot be used"):
        Store.open(store.directory)


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path):
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from aiga.core.errors import UsageError
from aiga.runs.store import Store
from test_store import MANIFEST, births
store = Store.create(Path({str(tmp_path / "run")!r}), MANIFEST)
store.record(0, {{"x": 0.0}})
store.save(1, {{}}, 0.0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    for step in range(1, 10_000):
        store.record(step, {{"x": step, "born": births(100, step)}})
        store.note()
except UsageError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "cannot be written" in said
    assert "free some space, then `aiga resume" in said
    assert Run(tmp_path / "run").metric("x").steps[0] == 0
