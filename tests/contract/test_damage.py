"""What is damaged is never used in silence: checkpoints, databases, and runs of other versions."""

import json
import random
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import jax
import numpy as np
import pytest

from aiga.cli.main import main
from aiga.core import trees
from aiga.core.errors import UsageError
from aiga.runs.events import Born, Failed
from aiga.runs.loop import resume, run
from aiga.runs.record import Run
from aiga.runs.store import Store

SEEKER = Path(__file__).parents[1] / "toys" / "seeker.py"
EARLIER = Path(__file__).parents[1] / "golden" / "run_format_1"
MANIFEST = {"system": "toy", "options": {}, "seed": 0, "sandbox": None, "model": None}


def flipped(data, place, bit):
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def same(a, b):
    return jax.tree.all(jax.tree.map(jax.numpy.array_equal, a.state, b.state)) and all(
        values.tolist() == b.lineage()[column].tolist() for column, values in a.lineage().items()
    )


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """A run of twelve steps whose previous checkpoint is that of the sixth."""
    begun = run(str(SEEKER), seed=1, steps=6, out=tmp_path_factory.mktemp("damage") / "run")
    six = Path(shutil.copytree(begun.directory, begun.directory.with_name("six")))
    done = resume(begun.directory, steps=12)
    shutil.copy(six / "checkpoint.npz", done.directory / "checkpoint.previous.npz")
    return done


@pytest.fixture
def copy(twelve, tmp_path):
    return Run(shutil.copytree(twelve.directory, tmp_path / "run"))


def test_a_bit_that_flips_in_a_checkpoint_is_noticed_or_harms_nothing(tmp_path):
    path = tmp_path / "checkpoint.npz"
    state = {"x": np.arange(5.0), "n": np.array(3), "none": np.zeros((0, 2))}
    trees.save(path, state, step=7, seconds=1.5)
    whole, noticed = path.read_bytes(), 0
    places = range(0, len(whole), 3)
    for place in places:
        path.write_bytes(flipped(whole, place, place % 8))
        try:
            found, note = trees.load(path, state)
        except ValueError:
            noticed += 1
        else:
            assert note == {"step": 7, "seconds": 1.5}
            jax.tree.map(np.testing.assert_array_equal, found, state)
    assert noticed > len(places) / 2


def test_a_truncated_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "checkpoint.npz"
    trees.save(path, {"x": np.arange(5.0)}, step=7)
    whole = path.read_bytes()
    for length in range(0, len(whole), 31):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cannot be read"):
            trees.load(path, {"x": np.zeros(5)})


def test_the_checkpoint_before_a_damaged_one_is_used_and_the_loss_told_for_good(twelve, copy, capsys):
    latest = copy.directory / "checkpoint.npz"
    latest.write_bytes(latest.read_bytes()[:-30])
    assert main(["resume", str(copy.directory), "--steps", "13"]) == 0
    assert "it is damaged or not a checkpoint. Continued from step 6." in capsys.readouterr().err
    assert (copy.directory / "checkpoint.damaged.npz").exists()
    for name in ("checkpoint.npz", "checkpoint.previous.npz"):  # as if it had been killed before it saved again
        shutil.copy(twelve.directory / "checkpoint.previous.npz", copy.directory / name)
    again = resume(copy.directory, steps=14)
    assert [event["what"] for event in again.events("failed")] == ["checkpoint"]
    assert again.metric("run/steps").values.tolist() == list(range(1, 15))


def test_without_a_whole_checkpoint_a_run_says_what_to_do_and_begins_again_if_it_is_done(twelve, copy, capsys):
    for name in ("checkpoint.npz", "checkpoint.previous.npz"):
        (copy.directory / name).write_bytes(b"PK\x03\x04")
    before = sorted((path.name, path.stat().st_size) for path in copy.directory.glob("*.npz"))
    assert main(["resume", str(copy.directory), "--steps", "20"]) == 2
    assert "cannot be continued" in (said := capsys.readouterr().err)
    assert "delete the checkpoints: the run is then computed again from its start" in said
    assert sorted((path.name, path.stat().st_size) for path in copy.directory.glob("*.npz")) == before
    for path in copy.directory.glob("checkpoint*.npz"):
        path.unlink()
    whole = run(str(SEEKER), seed=1, steps=20, out=copy.directory.with_name("whole"))
    assert same(whole, resume(copy.directory, steps=20))


def test_a_database_that_lost_rows_before_the_checkpoint_is_noticed(twelve, copy, capsys):
    """As when `run.sqlite` of a killed run is copied without its `run.sqlite-wal`."""
    shutil.copy(twelve.directory.with_name("six") / "run.sqlite", copy.directory)
    (copy.directory / "run.sha256").unlink()
    resumed = resume(copy.directory, steps=12)
    assert "is of step 12, and run.sqlite has lost rows before it" in (said := capsys.readouterr().err)
    assert "Continued from step 6" in said
    assert same(twelve, resumed)


def test_a_changed_value_in_a_closed_run_is_noticed_before_it_goes_on(copy):
    path = copy.directory / "run.sqlite"
    blobs = [name for (name,) in copy.query("SELECT id FROM blobs")]
    whole, text = path.read_bytes(), copy.blob(blobs[-1])
    assert subprocess.run(["sha256sum", "-c", "run.sha256"], cwd=copy.directory, capture_output=True).returncode == 0
    path.write_bytes(flipped(whole, whole.index(text), 0))
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",), "SQLite itself sees nothing"
    database.close()
    with pytest.raises(UsageError, match=r"run\.sqlite is damaged .* restore a copy, or delete run\.sha256"):
        resume(copy.directory, steps=20)
    with pytest.raises(UsageError, match=r"blob \w+ has changed"):
        list(map(copy.blob, blobs))
    path.write_bytes(whole)
    assert resume(copy.directory, steps=14).status == "finished"


def test_a_changed_manifest_is_noticed_before_the_run_goes_on(copy):
    path = copy.directory / "run.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 3'))
    with pytest.raises(UsageError, match=r"run\.json is damaged"):
        resume(copy.directory, steps=20)


@pytest.fixture
def recorded(tmp_path):
    """A closed run of all kinds of rows."""
    store = Store.create(tmp_path / "run", MANIFEST)
    for step in range(20):
        births = trees.identities(step, 20, np)
        born = Born(births, births[:, None] - np.array([1, 0]), "toy", np.ones(20), np.arange(20.0), cell=births[:, 1])
        born = born._replace(blob=[store.put(f"{step} {i}".encode()) for i in range(20)])
        store.record(step, {"run/steps": step + 1, "toy/x": step, "born": born, "failed": Failed("toy", str(step))})
        store.append("calls", (f"key {step}", 1, "t", "m", "{}", "ok", '{"text": "x"}', 10, 5, 0.25, 1.0, True))
    store.note(status="finished")
    store.save(20, {"x": np.zeros(3)}, 1.0)
    store.close()
    return store.directory


def read_all(record):
    for reading in (record.summary, record.lineage, lambda: list(record.events()), lambda: list(record.calls())):
        reading()
    for name in record.latest():
        record.metric(name)
    for name in record.lineage("blob")["blob"]:
        record.blob(name)


def test_a_damaged_database_is_read_or_refused_in_one_sentence_and_never_continued_unnoticed(recorded):
    path, chance, refused = recorded / "run.sqlite", random.Random(0), 0
    whole, seal = path.read_bytes(), (recorded / "run.sha256").read_bytes()
    for trial in range(20):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 20])):
            place = chance.randrange(len(whole))
            damaged[place] = (damaged[place] + chance.randrange(1, 256)) % 256
        path.write_bytes(damaged if trial % 5 else damaged[: chance.randrange(len(whole))])
        (recorded / "run.sha256").write_bytes(seal)
        with pytest.raises(UsageError, match=r"run\.sqlite is damaged"):
            Store.open(recorded)
        (recorded / "run.sha256").unlink()
        for use in (lambda: read_all(Run(recorded)), lambda: Store.open(recorded).close()):
            try:
                use()
            except UsageError:
                refused += 1
        for log in recorded.glob("run.sqlite-*"):
            log.unlink()
    assert refused > 10


@pytest.mark.parametrize(
    "damage", ['{"schema": 1, "sys', "[]", "{}", '{"schema": 1, "system": "toy"}', '{"schema": "x"}']
)
def test_a_damaged_manifest_is_named(recorded, damage):
    (recorded / "run.json").write_text(damage)
    with pytest.raises(UsageError, match=r"run\.json|has format x"):
        Run(recorded)


@pytest.fixture
def earlier(tmp_path):
    """A run as the first version of this format wrote it."""
    directory = Path(shutil.copytree(EARLIER, tmp_path / "run"))
    with closing(sqlite3.connect(directory / "run.sqlite")) as database:
        database.executescript((directory / "run.sql").read_text())
    manifest = json.loads((directory / "run.json").read_text()) | {"system": str(SEEKER)}
    (directory / "run.json").write_text(json.dumps(manifest))
    return directory


def test_a_run_of_an_earlier_version_goes_on(earlier):
    before = Run(earlier)
    assert before.summary()["steps"] == 12
    lineage = before.lineage()
    after = resume(earlier, steps=20)
    assert after.metric("run/steps").values.tolist() == list(range(1, 21))
    assert all(
        column[: len(lineage["id"])].tolist() == lineage[name].tolist() for name, column in after.lineage().items()
    )


def test_tables_columns_and_events_of_a_later_version_are_left_as_they_are(earlier):
    with closing(sqlite3.connect(earlier / "run.sqlite")) as database, database:
        database.execute("CREATE TABLE dreams (id INTEGER PRIMARY KEY, text TEXT)")
        database.execute("INSERT INTO dreams VALUES (1, 'of sheep')")
        for table in ("metrics", "lineage", "events", "calls", "finished", "orders", "programs"):
            database.execute(f"ALTER TABLE {table} ADD COLUMN depth INTEGER")
        database.execute("INSERT INTO events VALUES (NULL, 3, 0.0, 'dreamt', '{\"of\": \"sheep\"}', 1)")
    manifest = json.loads((earlier / "run.json").read_text()) | {"mood": "calm"}
    (earlier / "run.json").write_text(json.dumps(manifest))
    after = resume(earlier, steps=16)
    assert after.summary()["steps"] == 16
    assert [event["of"] for event in after.events("dreamt")] == ["sheep"]
    assert after.query("SELECT text FROM dreams") == [("of sheep",)]


@pytest.mark.parametrize("part", ["limits", "outside"])
def test_a_manifest_that_says_more_than_this_version_knows_is_refused(earlier, part):
    manifest = json.loads((earlier / "run.json").read_text())
    manifest[part]["depth"] = 3
    (earlier / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=r"does not know .*depth.*: upgrade with `pip install -U aiga`"):
        resume(earlier)
