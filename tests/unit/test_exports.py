"""Exports hold what the run holds: read back from the files that TensorBoard and Weights & Biases read."""

import struct
import time
import warnings
from datetime import datetime

import pytest
from PIL import Image
from recorded import CREATED, recorded

from aiga.cli.main import main
from aiga.core.errors import UsageError
from aiga.runs.exports import export, options, steps
from aiga.runs.record import Run
from aiga.runs.store import Store

BEGAN = datetime.strptime(CREATED, "%Y-%m-%dT%H:%M:%S%z").timestamp()


@pytest.fixture
def run(tmp_path):
    """Two steps of numbers and words, a picture and a film; still going."""
    run = recorded(
        tmp_path / "run",
        {"m": [1.0, 2.0], "late": [None, float("nan")], "stage/name": ["explore", "explore"]},
        seed=3,
        status="running",
        cells=8,
        shape=[1, 2],
    )
    frames = [Image.new("RGB", (4, 6), colour) for colour in ("red", "green", "blue")]
    frames[0].save(run.media / "map.png")
    frames[0].save(run.media / "film.gif", save_all=True, append_images=frames[1:])
    return run


def written(folder):
    """All events of the event files of a folder, read record by record."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    events = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            events.append(event_pb2.Event.FromString(data[12 : 12 + length]))
            data = data[12 + length + 4 :]
    return events


def scalars(events, tag):
    return [
        (event.step, event.wall_time, value.simple_value)
        for event in events
        for value in event.summary.value
        if value.tag == tag and value.HasField("simple_value")
    ]


def go_on(run, value):
    store = Store.open(run.directory)
    store.record(2, {"run/steps": 3, "run/seconds": 30.0, "m": value})
    store.close()


def test_event_files_hold_numbers_at_their_steps_and_times(run):
    pytest.importorskip("tensorboardX")
    events = written(export(run, "tensorboard"))
    assert scalars(events, "m") == [(0, BEGAN + 10.0, 1.0), (1, BEGAN + 20.0, 2.0)]
    assert [step for step, *_ in scalars(events, "late")] == [1]


def test_event_files_hold_words_once_pictures_and_options(run):
    pytest.importorskip("tensorboardX")
    values = [value for event in written(export(run, "tensorboard")) for value in event.summary.value]
    words = [value.tensor.string_val[0] for value in values if value.tag.startswith("stage/name")]
    assert words == [b"explore"]
    images = {value.tag: value.image for value in values if value.HasField("image")}
    assert set(images) == {"media/map", "media/film"}
    assert (images["media/map"].width, images["media/map"].height) == (4, 6)
    assert images["media/film"].encoded_image_string == (run.media / "film.gif").read_bytes(), "it still moves"
    told = next(value for value in values if value.tag == "_hparams_/session_start_info")
    assert b"cells" in told.metadata.plugin_data.content


def test_a_run_that_went_on_is_exported_again_in_place_of_before(run, tmp_path):
    pytest.importorskip("tensorboardX")
    (tmp_path / "events.out.tfevents.1.somebody").write_bytes(b"")
    export(run, "tensorboard", tmp_path)
    go_on(run, 3.0)
    export(run, "tensorboard", tmp_path)
    assert [value for *_, value in scalars(written(tmp_path), "m")] == [1.0, 2.0, 3.0]
    assert (tmp_path / "events.out.tfevents.1.somebody").exists()


def test_an_export_does_not_replace_that_of_another_run(run, tmp_path):
    pytest.importorskip("tensorboardX")
    export(run, "tensorboard", tmp_path / "out")
    other = recorded(tmp_path / "other", {"m": [5.0]})
    with pytest.raises(UsageError, match="holds the export of another run"):
        export(other, "tensorboard", tmp_path / "out")
    assert scalars(written(tmp_path / "out"), "m") == [(0, BEGAN + 10.0, 1.0), (1, BEGAN + 20.0, 2.0)]


def test_an_unknown_mode_of_weights_and_biases_is_one_sentence(run, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(UsageError, match="WANDB_MODE is 'sometimes': set it to offline or online"):
        export(run, "wandb")


def logged(data):
    """The records of a file of Weights & Biases: LevelDB's log, blocks of 32 KiB behind a header of seven bytes."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        if 32_768 - place % 32_768 < 7:  # no header fits: padding
            place += 32_768 - place % 32_768
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        place += 7 + length
        if place > len(data):  # it is being written
            return
        parts += data[place - length : place]
        if kind in (1, 4):  # all of a record, or its last part
            yield parts
            parts = b""


def history(folder):
    """The rows and the settings of the one offline run below a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    (file,) = folder.glob("offline-run-*/run-*.wandb")
    found, until = [], time.monotonic() + 20
    while not found or found[-1].WhichOneof("record_type") != "exit":  # its own process writes it, a little later
        assert time.monotonic() < until, "the file has no end"
        found = [records.Record.FromString(data) for data in logged(file.read_bytes())]
    rows, settings = [], {}
    for record in found:
        if record.WhichOneof("record_type") == "history":
            rows.append({item.key or "/".join(item.nested_key): item.value_json for item in record.history.item})
        if record.WhichOneof("record_type") == "run":
            settings |= {item.key: item.value_json for item in record.run.config.update}
    return rows, settings


def test_an_offline_run_holds_numbers_pictures_and_options_and_is_replaced(run, monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    export(run, "wandb", tmp_path / "out")
    go_on(run, 3.0)
    rows, settings = history(export(run, "wandb", tmp_path / "out"))
    numbers = [row for row in rows if "m" in row]
    assert [float(row["m"]) for row in numbers] == [1.0, 2.0, 3.0]
    assert [int(row["_step"]) for row in numbers] == [0, 1, 2]
    assert float(numbers[1]["_timestamp"]) == BEGAN + 20.0
    assert {"media/map", "media/film"} <= {name.removesuffix("/_type") for row in rows for name in row}
    assert settings["cells"] == "8"


def test_steps_are_those_of_all_metrics_in_order(run):
    (first, second) = steps(Run(run.directory))
    assert first.values == {"run/steps": 1.0, "run/seconds": 10.0, "m": 1.0, "stage/name": "explore"}
    assert (second.step, second.time) == (1, BEGAN + 20.0)
    assert options(run) == {"system": "map_elites", "seed": 3, "cells": 8, "shape": "[1, 2]"}


def test_an_export_that_cannot_be_is_one_sentence(run, tmp_path, capsys):
    with pytest.raises(UsageError, match="no export to `mlflow`"):
        export(run, "mlflow")
    (tmp_path / "file").write_text("")
    assert main(["export", str(run.directory), "--to", "tensorboard", "--out", str(tmp_path / "file")]) == 2
    assert "or give another --out" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "--to", "wandb"]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_picture_that_is_none_is_one_sentence(run):
    pytest.importorskip("tensorboardX")
    (run.media / "broken.png").write_text("no picture")
    with pytest.raises(UsageError, match=r"broken\.png"):
        export(run, "tensorboard")
